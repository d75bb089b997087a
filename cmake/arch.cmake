# SPDX-License-Identifier: Apache-2.0
# The architecture that is built for. Its folders in the layers, src/LAYER/ARCH, are built and those of the others are not; a
# layer whose seam to the architecture has none for this one takes src/LAYER/plain, which is C and knows no instructions.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(ESPALIER_ARCH x86)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(ESPALIER_ARCH arm)
else()
  set(ESPALIER_ARCH plain)
endif()

# Files of a folder and of all folders in it that this architecture builds: a new file, or a new folder, needs no edit.
function(espi_sources variable folder pattern)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/${pattern})
  foreach(arch x86 arm plain)
    if(arch STREQUAL ESPALIER_ARCH OR (arch STREQUAL "plain" AND NOT IS_DIRECTORY ${folder}/${ESPALIER_ARCH}))
      continue()
    endif()
    list(FILTER sources EXCLUDE REGEX "^${folder}/${arch}/")
  endforeach()
  set(${variable} ${sources} PARENT_SCOPE)
endfunction()
