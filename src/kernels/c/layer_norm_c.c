/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/c/quantize_c.h"

static float total(const float partial[4])
{
    return (partial[0] + partial[1]) + (partial[2] + partial[3]);
}

static void normalize_token(const float *x, size_t rows, size_t width, const struct espi_layer_norm *norm, float *y)
{
    float sums[4] = {0}, squares[4] = {0};
    for (size_t row = 0; row < rows; row++) {
        float d = x[row * width] - x[0];
        sums[row % 4] += d;
        squares[row % 4] = fmaf(d, d, squares[row % 4]);
    }
    float shift = total(sums) / (float)rows, mean = x[0] + shift;
    float variance = larger(fmaf(-shift, shift, total(squares) / (float)rows), 0);
    float factor = 1.0f / sqrtf(variance + norm->epsilon);
    for (size_t row = 0; row < rows; row++)
        y[row * width] = fmaf((x[row * width] - mean) * factor, norm->gain[row], norm->bias[row]);
}

void espi_layer_norm_c(const float *x, size_t rows, size_t width, const struct espi_layer_norm *norm, float *y,
                       const struct espi_quantize *quantize)
{
    for (size_t token = 0; token < width; token++) {
        normalize_token(x + token, rows, width, norm, y + token);
        if (quantize)
            quantize_token(quantize, y + token, rows, width, token);
    }
}
