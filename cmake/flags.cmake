# SPDX-License-Identifier: Apache-2.0
# Compiler flags of every target.
add_library(espi_flags INTERFACE)
target_compile_features(espi_flags INTERFACE c_std_17)
target_compile_definitions(espi_flags INTERFACE _GNU_SOURCE)
target_compile_options(espi_flags INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Wundef
  -Wformat=2 -Wold-style-definition -Wdouble-promotion
  -ffp-contract=off -fno-math-errno -fno-omit-frame-pointer -fno-common)
if(ESPALIER_WERROR)
  target_compile_options(espi_flags INTERFACE -Werror)
endif()
if(ESPALIER_SANITIZE)
  target_compile_options(espi_flags INTERFACE -fsanitize=${ESPALIER_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(espi_flags INTERFACE -fsanitize=${ESPALIER_SANITIZE})
endif()
if(ESPALIER_FUZZ)
  target_compile_options(espi_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
