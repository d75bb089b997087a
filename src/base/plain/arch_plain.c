/* SPDX-License-Identifier: Apache-2.0
 * An architecture of which nothing is known. */
#include "base/arch.h"
#include "base/crc32c.h"

uint32_t espi_arch_features(void)
{
    return 0;
}

void espi_arch_name(char name[ESPI_CPU_NAME_BYTES])
{
    name[0] = 0;
}

uint32_t espi_arch_crc32c(uint32_t before, const void *data, size_t bytes)
{
    return espi_crc32c_table(before, data, bytes);
}
