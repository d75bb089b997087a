/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "kernels/c/quantize_c.h"

void mutant_one_sum(const float *x, size_t rows, size_t width, const struct espi_layer_norm *norm, float *y,
                    const struct espi_quantize *quantize)
{
    for (size_t token = 0; token < width; token++) {
        float sum = 0, squares = 0, first = x[token];
        for (size_t row = 0; row < rows; row++) {
            float d = x[row * width + token] - first;
            sum += d;
            squares = fmaf(d, d, squares);
        }
        float shift = sum / (float)rows, mean = first + shift;
        float variance = larger(fmaf(-shift, shift, squares / (float)rows), 0);
        float factor = 1.0f / sqrtf(variance + norm->epsilon);
        for (size_t at = token; at < rows * width; at += width)
            y[at] = fmaf((x[at] - mean) * factor, norm->gain[at / width], norm->bias[at / width]);
        if (quantize)
            quantize_token(quantize, y + token, rows, width, token);
    }
}
