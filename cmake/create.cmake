# SPDX-License-Identifier: Apache-2.0
# ESPALIER_BUILD_CREATE: what creates models, for the command, the tests and libespalier-create.

# Libraries that are loaded when they are first needed (src/create/layers/dynlib.h): their headers, and the name to load them by.
function(espi_soname variable library)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C ${CMAKE_READELF} -d ${library} OUTPUT_VARIABLE entries COMMAND_ERROR_IS_FATAL ANY)
  if(NOT entries MATCHES "soname: \\[([^]]+)\\]")
    message(FATAL_ERROR "${library}: expected a shared library with a soname")
  endif()
  set(${variable} ${CMAKE_MATCH_1} PARENT_SCOPE)
endfunction()

# Debian's CMake package of oneDNN asks for OpenCL, which nothing here uses.
find_path(DNNL_INCLUDE oneapi/dnnl/dnnl.h REQUIRED)
find_library(DNNL_LIBRARY NAMES dnnl libdnnl.so.2 REQUIRED) # its arm64 package of headers cannot stand beside x86's
espi_soname(DNNL_SONAME ${DNNL_LIBRARY})
add_library(espi_dnnl INTERFACE)
target_include_directories(espi_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE})
target_compile_definitions(espi_dnnl INTERFACE ESPALIER_DNNL="${DNNL_SONAME}")
target_link_libraries(espi_dnnl INTERFACE ${CMAKE_DL_LIBS})

# Data parallel training, where Open MPI is installed.
pkg_check_modules(MPI ompi-c)
add_library(espi_mpi INTERFACE)
if(MPI_FOUND)
  find_library(MPI_LIBRARY mpi HINTS ${MPI_LIBRARY_DIRS} REQUIRED)
  espi_soname(MPI_SONAME ${MPI_LIBRARY})
  target_include_directories(espi_mpi SYSTEM INTERFACE ${MPI_INCLUDE_DIRS})
  target_compile_options(espi_mpi INTERFACE ${MPI_CFLAGS_OTHER})
  target_compile_definitions(espi_mpi INTERFACE ESPALIER_MPI=1 ESPALIER_MPI_LIBRARY="${MPI_SONAME}")
else()
  target_compile_definitions(espi_mpi INTERFACE ESPALIER_MPI=0)
endif()

# Data sets and metrics: the command line and training read them, an application brings its own.
add_library(espi_eval OBJECT ${eval_SOURCES})
target_link_libraries(espi_eval PUBLIC espi_runtime)

add_library(espi_create OBJECT ${create_SOURCES})
target_link_libraries(espi_create PUBLIC espi_runtime espi_dnnl PRIVATE espi_mpi)

# Everything, for the command line and the tests (object libraries do not pass their objects on by themselves).
add_library(espi_all STATIC $<TARGET_OBJECTS:espi_runtime> $<TARGET_OBJECTS:espi_eval> $<TARGET_OBJECTS:espi_create>)
target_link_libraries(espi_all PUBLIC espi_flags PkgConfig::JANSSON PkgConfig::UTF8PROC Threads::Threads m espi_dnnl)
target_include_directories(espi_all PUBLIC src include ${kernels_TABLES})

# The library of espalier_create.h, the component `create` of the package. It exports what that header declares alone: the inner
# functions it shares with libespalier it has from libespalier.a, hidden. Both are of one build, and stay together.
if(EXISTS ${PROJECT_SOURCE_DIR}/include/espalier_create.h)
  add_library(espalier_create SHARED $<TARGET_OBJECTS:espi_create> $<TARGET_OBJECTS:espi_eval>)
  target_link_libraries(espalier_create PRIVATE espi_flags espalier_static Threads::Threads ${CMAKE_DL_LIBS} INTERFACE espalier)
  target_link_options(espalier_create PRIVATE LINKER:--exclude-libs,libespalier.a
    LINKER:--version-script=${PROJECT_SOURCE_DIR}/cmake/create.map)
  set_target_properties(espalier_create PROPERTIES LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/create.map)
  add_library(espalier_create_static STATIC $<TARGET_OBJECTS:espi_create> $<TARGET_OBJECTS:espi_eval>)
  target_link_libraries(espalier_create_static INTERFACE espalier_static ${CMAKE_DL_LIBS})
  espi_public(espalier_create espalier-create)
endif()
