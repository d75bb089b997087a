/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"

#include "base/arch.h"

/* An entry is the sum of those of its bits. */
#define BIT(i, n, value) ((i) & (n) ? (value) : 0u)
#define E1(i)                                                                                                          \
    (BIT(i, 1, 0xF26B8303u) ^ BIT(i, 2, 0xE13B70F7u) ^ BIT(i, 4, 0xC79A971Fu) ^ BIT(i, 8, 0x8AD958CFu) ^               \
     BIT(i, 16, 0x105EC76Fu) ^ BIT(i, 32, 0x20BD8EDEu) ^ BIT(i, 64, 0x417B1DBCu) ^                                     \
     BIT(i, 128, ESPI_CRC32C_POLYNOMIAL))
#define E4(i)  E1(i), E1((i) + 1), E1((i) + 2), E1((i) + 3)
#define E16(i) E4(i), E4((i) + 4), E4((i) + 8), E4((i) + 12)
#define E64(i) E16(i), E16((i) + 16), E16((i) + 32), E16((i) + 48)

static const uint32_t table[256] = {E64(0), E64(64), E64(128), E64(192)};

uint32_t espi_crc32c_table(uint32_t before, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    uint32_t crc = ~before;
    for (size_t i = 0; i < bytes; i++)
        crc = crc >> 8 ^ table[(crc ^ p[i]) & 0xff];
    return ~crc;
}

uint32_t espi_crc32c(uint32_t before, const void *data, size_t bytes)
{
    if (espi_cpu_features() & ESPI_CPU_CRC32C)
        return espi_arch_crc32c(before, data, bytes);
    return espi_crc32c_table(before, data, bytes);
}
