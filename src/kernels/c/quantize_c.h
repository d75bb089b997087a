/* SPDX-License-Identifier: Apache-2.0
 * Floats to bytes in the C references: struct espi_quantize, one lane at a time. Ground truth for every ISA. */
#ifndef ESPI_KERNELS_QUANTIZE_C_H
#define ESPI_KERNELS_QUANTIZE_C_H

#include "kernels/c/product_c.h"

static inline float larger(float a, float b)
{
    return a > b ? a : b;
}

/* The scale of one token. */
static inline float token_scale(const struct espi_quantize *quantize, const float *x, size_t rows, size_t width)
{
    float up = quantize->zero_point < 255 ? 1.0f / (float)(255 - quantize->zero_point) : 0;
    float down = quantize->zero_point > 0 ? 1.0f / (float)quantize->zero_point : 0;
    float high = 0, low = 0;
    for (size_t row = 0; row < rows; row++) {
        float v = x[row * width] * quantize->scale[row];
        high = larger(v, high);
        low = larger(-v, low);
    }
    return larger(larger(high * up, low * down), 0x1p-126f);
}

static inline uint8_t quantize_value(float value, float factor, int32_t zero_point)
{
    return (uint8_t)clamp(round_to_int(fmaf(value, factor, (float)zero_point)), 0, 255);
}

/* One token: lane `x[0]`, `x[width]`, ... */
static inline void quantize_token(const struct espi_quantize *quantize, const float *x, size_t rows, size_t width,
                                  size_t token)
{
    uint8_t *out = quantize->out + token;
    if (!quantize->token_scale) {
        for (size_t row = 0; row < rows; row++)
            out[row * width] = quantize_value(x[row * width], quantize->scale[row], quantize->zero_point);
        return;
    }
    float scale = token_scale(quantize, x, rows, width), inverse = 1.0f / scale;
    quantize->token_scale[token] = scale;
    for (size_t row = 0; row < rows; row++)
        out[row * width] = quantize_value(x[row * width] * quantize->scale[row], inverse, quantize->zero_point);
}

#endif
