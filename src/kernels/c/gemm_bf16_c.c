/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/c/product_c.h"

#include <string.h>

static float widen(uint16_t value)
{
    uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, sizeof(result));
    return result;
}

void espi_gemm_bf16_c(const struct espi_float_quads *weights, const uint16_t *x, size_t width, size_t first, size_t end,
                      const struct espi_epilogue *epilogue)
{
    size_t pairs = (weights->columns + 1) / 2;
    for (size_t row = first * ESPI_QUAD; row < end * ESPI_QUAD && row < weights->rows; row++) {
        const uint16_t *w = (const uint16_t *)weights->weights + row / ESPI_QUAD * pairs * 8 + row % ESPI_QUAD * 2;
        for (size_t token = 0; token < width; token++) {
            float sum = 0;
            for (size_t pair = 0; pair < pairs; pair++) {
                const uint16_t *columns = x + (pair * width + token) * 2;
                sum = fmaf(widen(columns[1]), widen(w[pair * 8 + 1]), sum);
                sum = fmaf(widen(columns[0]), widen(w[pair * 8]), sum);
            }
            finish_value(epilogue, row, row * width + token, sum);
        }
    }
}
