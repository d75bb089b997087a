/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/c/product_c.h"

void espi_gemm_u8s8_c(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                      const struct espi_epilogue *epilogue)
{
    size_t groups = (weights->columns + 3) / 4;
    for (size_t row = first * ESPI_QUAD; row < end * ESPI_QUAD && row < weights->rows; row++) {
        uint32_t sums[ESPI_PANEL_TOKENS];
        const int8_t *w = weights->weights + row / ESPI_QUAD * groups * 16 + row % ESPI_QUAD * 4;
        for (size_t token = 0; token < width; token++) {
            uint32_t sum = (uint32_t)epilogue->start[row];
            for (size_t group = 0; group < groups; group++)
                for (size_t i = 0; i < 4; i++)
                    sum += (uint32_t)(x[(group * width + token) * 4 + i] * w[group * 16 + i]);
            sums[token] = sum;
        }
        finish_row(epilogue, row, width, sums);
    }
}
