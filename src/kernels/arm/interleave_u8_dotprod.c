/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/arm/product_neon.h"

void espi_interleave_u8_dotprod(const uint8_t *panel, size_t columns, size_t width, uint8_t *out)
{
    for (size_t column = 0; column < columns; column += 4)
        for (size_t token = 0; token < width; token += CHUNK, out += 64) {
            uint8x16_t rows[4], dwords[4];
            for (size_t i = 0; i < 4; i++)
                rows[i] = column + i < columns ? vld1q_u8(panel + (column + i) * width + token) : vdupq_n_u8(0);
            interleave_4(rows, dwords);
            for (int v = 0; v < 4; v++)
                vst1q_u8(out + 16 * v, dwords[v]);
        }
}
