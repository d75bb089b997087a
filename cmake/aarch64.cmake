# SPDX-License-Identifier: Apache-2.0
# Toolchain: 64-bit ARM with Debian's cross compiler and multiarch libraries (tools/install-deps.sh aarch64). On a machine of
# that architecture the ordinary presets build the same.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig)
# Tests run under the emulator; ESPALIER_EMULATED_CPU names one with fewer instructions, such as cortex-a76.
set(ESPALIER_EMULATED_CPU max CACHE STRING "CPU that qemu-aarch64 imitates")
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -cpu ${ESPALIER_EMULATED_CPU})
