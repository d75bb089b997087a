/* SPDX-License-Identifier: Apache-2.0
 * CRC-32C by SSE 4.2. */
#define CRC32C_TARGET        __attribute__((target("sse4.2")))
#define CRC32C_8(crc, value) __builtin_ia32_crc32di(crc, value)
#define CRC32C_1(crc, value) __builtin_ia32_crc32qi(crc, value)
#include "base/crc32c_streams.h"
