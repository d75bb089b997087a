/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "kernels/c/product_c.h"
#include "kernels/pack.h"

#include <stdlib.h>

/* One pair of products, as AVX2 forms it when the weights are thought to be small enough. */
static uint32_t pair(const uint8_t *x, const int8_t *w)
{
    int32_t sum = x[0] * w[0] + x[1] * w[1];
    return (uint32_t)(abs(w[0] + w[1]) <= ESPI_PAIR_LIMIT + 1 ? clamp(sum, INT16_MIN, INT16_MAX) : sum);
}

void mutant_loose_limit(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                        const struct espi_epilogue *epilogue)
{
    size_t groups = (weights->columns + 3) / 4;
    for (size_t row = first * ESPI_QUAD; row < end * ESPI_QUAD && row < weights->rows; row++) {
        uint32_t sums[ESPI_PANEL_TOKENS];
        const int8_t *w = weights->weights + row / ESPI_QUAD * groups * 16 + row % ESPI_QUAD * 4;
        for (size_t token = 0; token < width; token++) {
            sums[token] = (uint32_t)epilogue->start[row];
            for (size_t group = 0; group < groups; group++) {
                const uint8_t *columns = x + (group * width + token) * 4;
                sums[token] += pair(columns, w + group * 16) + pair(columns + 2, w + group * 16 + 2);
            }
        }
        finish_row(epilogue, row, width, sums);
    }
}
