/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

void espi_interleave_u8_c(const uint8_t *panel, size_t columns, size_t width, uint8_t *out)
{
    size_t groups = (columns + 3) / 4;
    for (size_t group = 0; group < groups; group++)
        for (size_t token = 0; token < width; token++)
            for (size_t i = 0; i < 4; i++) {
                size_t column = group * 4 + i;
                out[(group * width + token) * 4 + i] = column < columns ? panel[column * width + token] : 0;
            }
}
