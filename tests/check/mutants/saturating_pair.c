/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "kernels/c/product_c.h"

/* What AVX2's maddubs does to a careless port. */
static uint32_t saturated(const uint8_t *x, const int8_t *w)
{
    return (uint32_t)clamp(x[0] * w[0] + x[1] * w[1], INT16_MIN, INT16_MAX) +
           (uint32_t)clamp(x[2] * w[2] + x[3] * w[3], INT16_MIN, INT16_MAX);
}

void mutant_saturating_pair(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                            const struct espi_epilogue *epilogue)
{
    size_t groups = (weights->columns + 3) / 4;
    for (size_t row = first * ESPI_QUAD; row < end * ESPI_QUAD && row < weights->rows; row++) {
        uint32_t sums[ESPI_PANEL_TOKENS];
        const int8_t *w = weights->weights + row / ESPI_QUAD * groups * 16 + row % ESPI_QUAD * 4;
        for (size_t token = 0; token < width; token++) {
            sums[token] = (uint32_t)epilogue->start[row];
            for (size_t group = 0; group < groups; group++)
                sums[token] += saturated(x + (group * width + token) * 4, w + group * 16);
        }
        finish_row(epilogue, row, width, sums);
    }
}
