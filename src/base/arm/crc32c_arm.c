/* SPDX-License-Identifier: Apache-2.0
 * CRC-32C by the instructions of ARMv8.1, optional before. */
#include <stdint.h>

static inline uint32_t add_8(uint32_t crc, uint64_t value)
{
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %1" : "+r"(crc) : "r"(value));
    return crc;
}

static inline uint32_t add_1(uint32_t crc, uint8_t value)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"(value));
    return crc;
}

#define CRC32C_TARGET
#define CRC32C_8(crc, value) add_8((uint32_t)(crc), value)
#define CRC32C_1(crc, value) add_1(crc, value)
#include "base/crc32c_streams.h"
