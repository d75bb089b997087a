/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "kernels/c/product_c.h"

void mutant_narrow_index(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                         const struct espi_epilogue *epilogue)
{
    for (size_t row = first * ESPI_QUAD; row < end * ESPI_QUAD && row < weights->rows; row++) {
        uint32_t sums[ESPI_PANEL_TOKENS];
        const size_t quad = row / ESPI_QUAD;
        for (size_t token = 0; token < width; token++) {
            sums[token] = (uint32_t)epilogue->start[row];
            for (size_t i = (size_t)weights->starts[quad] * 4; i < (size_t)weights->starts[quad + 1] * 4; i++)
                sums[token] += (uint32_t)(x[(weights->indices[i] & 0x7fff) * width + token] *
                                          weights->weights[i / 4 * 16 + row % ESPI_QUAD * 4 + i % 4]);
        }
        finish_row(epilogue, row, width, sums);
    }
}
