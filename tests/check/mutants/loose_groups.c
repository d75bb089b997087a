/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "kernels/c/product_c.h"
#include "kernels/pack.h"

/* Two columns of two groups, as AVX2 adds them up in 16 bits when the weights are thought to be small enough. */
static uint32_t four(const uint8_t *x, const uint8_t *x2, const int8_t *w, const int8_t *w2)
{
    int32_t sum = x[0] * w[0] + x[1] * w[1] + x2[0] * w2[0] + x2[1] * w2[1], up = 0, down = 0;
    const int8_t weights[4] = {w[0], w[1], w2[0], w2[1]};
    for (int i = 0; i < 4; i++)
        *(weights[i] > 0 ? &up : &down) += weights[i];
    return (uint32_t)(up <= ESPI_PAIR_LIMIT + 1 && -down <= ESPI_PAIR_LIMIT + 1 ? (int16_t)sum : sum);
}

void mutant_loose_groups(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                         const struct espi_epilogue *epilogue)
{
    static const uint8_t no_columns[4];
    static const int8_t no_weights[4];
    size_t groups = (weights->columns + 3) / 4;
    for (size_t row = first * ESPI_QUAD; row < end * ESPI_QUAD && row < weights->rows; row++) {
        uint32_t sums[ESPI_PANEL_TOKENS];
        const int8_t *w = weights->weights + row / ESPI_QUAD * groups * 16 + row % ESPI_QUAD * 4;
        for (size_t token = 0; token < width; token++) {
            sums[token] = (uint32_t)epilogue->start[row];
            for (size_t group = 0; group < groups; group += 2) {
                bool two = group + 1 < groups;
                const uint8_t *columns = x + (group * width + token) * 4;
                const uint8_t *columns2 = two ? columns + width * 4 : no_columns;
                const int8_t *w1 = w + group * 16, *w2 = two ? w1 + 16 : no_weights;
                sums[token] += four(columns, columns2, w1, w2) +
                               four(columns + 2, columns2 + (two ? 2 : 0), w1 + 2, w2 + (two ? 2 : 0));
            }
        }
        finish_row(epilogue, row, width, sums);
    }
}
