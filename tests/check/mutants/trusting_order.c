/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "kernels/c/product_c.h"
#include "kernels/pairs.h"

/* Takes the groups in the order the file proposes, whatever it is; those that do not exist count as 0. */
void mutant_trusting_order(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                           const struct espi_epilogue *epilogue)
{
    size_t groups = (weights->columns + 3) / 4;
    for (size_t row = first * ESPI_QUAD; row < end * ESPI_QUAD && row < weights->rows; row++) {
        uint32_t sums[ESPI_PANEL_TOKENS];
        const int8_t *w = weights->weights + row / ESPI_QUAD * groups * 16 + row % ESPI_QUAD * 4;
        const uint8_t *order = weights->order + row / ESPI_QUAD * groups;
        for (size_t token = 0; token < width; token++) {
            sums[token] = (uint32_t)epilogue->start[row];
            for (size_t i = 0; i < groups; i++) {
                size_t group = i / ESPI_SEGMENT_GROUPS * ESPI_SEGMENT_GROUPS + order[i];
                for (size_t c = 0; c < 4 && group < groups; c++)
                    sums[token] += (uint32_t)(x[(group * width + token) * 4 + c] * w[group * 16 + c]);
            }
        }
        finish_row(epilogue, row, width, sums);
    }
}
