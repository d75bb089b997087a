/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

#include <string.h>

/* Nearest, ties to even. */
static uint16_t to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void espi_interleave_bf16_c(const float *panel, size_t columns, size_t width, uint16_t *out)
{
    for (size_t column = 0; column < columns; column += 2)
        for (size_t token = 0; token < width; token++) {
            out[column * width + token * 2] = to_bf16(panel[column * width + token]);
            out[column * width + token * 2 + 1] =
                column + 1 < columns ? to_bf16(panel[(column + 1) * width + token]) : 0;
        }
}
