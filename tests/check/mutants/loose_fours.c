/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "kernels/c/product_c.h"
#include "kernels/pack.h"

/* Two columns of two groups, as AVX2 adds them up in 16 bits when the weights are thought to be small enough. */
static uint32_t four(const uint8_t *const x[4], const int8_t w[4])
{
    int32_t sum = 0, up = 0, down = 0;
    for (int i = 0; i < 4; i++) {
        sum += *x[i] * w[i];
        *(w[i] > 0 ? &up : &down) += w[i];
    }
    return (uint32_t)(up <= ESPI_PAIR_LIMIT + 1 && -down <= ESPI_PAIR_LIMIT + 1 ? (int16_t)sum : sum);
}

void mutant_loose_fours(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                        const struct espi_epilogue *epilogue)
{
    for (size_t row = first * ESPI_QUAD; row < end * ESPI_QUAD && row < weights->rows; row++) {
        uint32_t sums[ESPI_PANEL_TOKENS];
        size_t begin = weights->starts[row / ESPI_QUAD], groups = weights->starts[row / ESPI_QUAD + 1] - begin;
        for (size_t token = 0; token < width; token++) {
            sums[token] = (uint32_t)epilogue->start[row];
            for (size_t slot = 0; slot < groups * 4;
                 slot += slot % 4 ? 6 : 2) { // slots 0 and 1, 2 and 3 of each second group
                const uint8_t *columns[4];
                int8_t w[4] = {0};
                for (size_t i = 0; i < 4; i++) {
                    size_t at = slot + i / 2 * 4 + i % 2;
                    bool exists = at < groups * 4;
                    columns[i] = x + (exists ? weights->indices[begin * 4 + at] : 0) * width + token;
                    if (exists)
                        w[i] = weights->weights[(begin + at / 4) * 16 + row % ESPI_QUAD * 4 + at % 4];
                }
                sums[token] += four(columns, w);
            }
        }
        finish_row(epilogue, row, width, sums);
    }
}
