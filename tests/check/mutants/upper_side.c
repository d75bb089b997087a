/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "kernels/c/quantize_c.h"

void mutant_upper_side(const float *x, size_t rows, size_t width, const struct espi_quantize *quantize)
{
    for (size_t token = 0; token < width; token++) {
        float high = 0x1p-126f;
        for (size_t row = 0; row < rows && quantize->token_scale; row++)
            high = larger(x[row * width + token] * quantize->scale[row], high);
        if (!quantize->token_scale || quantize->zero_point == 255) {
            quantize_token(quantize, x + token, rows, width, token);
            continue;
        }
        float step = larger(high * (1.0f / (float)(255 - quantize->zero_point)), 0x1p-126f);
        quantize->token_scale[token] = step;
        for (size_t at = token; at < rows * width; at += width)
            quantize->out[at] = quantize_value(x[at] * quantize->scale[at / width], 1.0f / step, quantize->zero_point);
    }
}
