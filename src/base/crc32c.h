/* SPDX-License-Identifier: Apache-2.0
 * CRC-32C (Castagnoli; RFC 3720, appendix B.4): polynomial 0x1EDC6F41, reflected, start and end inverted. */
#ifndef ESPI_BASE_CRC32C_H
#define ESPI_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Reflected: bit 31 is the coefficient of x^0. */
#define ESPI_CRC32C_POLYNOMIAL 0x82F63B78u

/* The checksum of `bytes` bytes that follow others whose checksum is `before` (0: there are none). */
uint32_t espi_crc32c(uint32_t before, const void *data, size_t bytes);

/* The same by the table alone, which every CPU has. */
uint32_t espi_crc32c_table(uint32_t before, const void *data, size_t bytes);

#endif
