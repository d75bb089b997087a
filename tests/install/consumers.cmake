# SPDX-License-Identifier: Apache-2.0
# The consumer as C and as C++, with the shared library and with the static one.
configure_file(${CMAKE_CURRENT_LIST_DIR}/consumer.c consumer.cc COPYONLY)
foreach(kind "" _static)
  add_executable(consumer${kind} ${CMAKE_CURRENT_LIST_DIR}/consumer.c)
  add_executable(consumer_cxx${kind} ${CMAKE_CURRENT_BINARY_DIR}/consumer.cc)
  foreach(program consumer consumer_cxx)
    target_link_libraries(${program}${kind} PRIVATE espalier::espalier${kind})
  endforeach()
endforeach()
