/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/c/product_c.h"

void espi_gemm_f32_c(const struct espi_float_quads *weights, const float *x, size_t width, size_t first, size_t end,
                     const struct espi_epilogue *epilogue)
{
    for (size_t row = first * ESPI_QUAD; row < end * ESPI_QUAD && row < weights->rows; row++) {
        const float *w = (const float *)weights->weights + row / ESPI_QUAD * weights->columns * 4 + row % ESPI_QUAD;
        for (size_t token = 0; token < width; token++) {
            float sum = 0;
            for (size_t column = 0; column < weights->columns; column++)
                sum = fmaf(x[column * width + token], w[column * 4], sum);
            finish_value(epilogue, row, row * width + token, sum);
        }
    }
}
