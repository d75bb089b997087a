/* SPDX-License-Identifier: Apache-2.0
 * What the NEON ops on panels share: struct espi_quantize and transposition. */
#ifndef ESPI_KERNELS_PANEL_NEON_H
#define ESPI_KERNELS_PANEL_NEON_H

#include "kernels/arm/product_neon.h"

/* The largest and the smallest value of each token, 0 included. Here NaN counts for nothing, as in the reference. */
struct extremes {
    float32x4_t high[4], low[4];
};

ESPI_INLINE void extremes_add(struct extremes *extremes, const float32x4_t x[4], float scale)
{
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        float32x4_t value = vmulq_n_f32(x[v], scale);
        extremes->high[v] = vmaxnmq_f32(value, extremes->high[v]);
        extremes->low[v] = vminnmq_f32(value, extremes->low[v]);
    }
}

/* A row of a chunk with a static scale; `out`: of the chunk's first token. */
ESPI_INLINE void quantize_fixed_row(const struct espi_quantize *quantize, const float32x4_t x[4], size_t row,
                                    uint8_t *out)
{
    const float32x4_t scale = vdupq_n_f32(quantize->scale[row]), zero = vdupq_n_f32((float)quantize->zero_point);
    float32x4_t y[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        y[v] = vfmaq_f32(zero, x[v], scale);
    vst1q_u8(out, to_bytes(y));
}

/* a > b ? a : b. The instruction for the maximum takes NaN for less than anything, the reference only in `a`. */
ESPI_INLINE float32x4_t larger(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

/* A chunk whose extremes are known, with a scale per token. */
ESPI_INLINE void quantize_tokens(const struct espi_quantize *quantize, const float *x, size_t rows, size_t width,
                                 size_t token, const struct extremes *extremes)
{
    const float up = quantize->zero_point < 255 ? 1.0f / (float)(255 - quantize->zero_point) : 0;
    const float down = quantize->zero_point > 0 ? -1.0f / (float)quantize->zero_point : 0;
    const float32x4_t zero = vdupq_n_f32((float)quantize->zero_point);
    float32x4_t inverse[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        float32x4_t scale = larger(vmulq_n_f32(extremes->high[v], up), vmulq_n_f32(extremes->low[v], down));
        scale = larger(scale, vdupq_n_f32(0x1p-126f));
        vst1q_f32(quantize->token_scale + token + 4 * v, scale);
        inverse[v] = vdivq_f32(vdupq_n_f32(1), scale);
    }
    for (size_t row = 0; row < rows; row++) {
        float32x4_t y[4];
        load_floats(x + row * width + token, y);
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            y[v] = vfmaq_f32(zero, vmulq_n_f32(y[v], quantize->scale[row]), inverse[v]);
        vst1q_u8(quantize->out + row * width + token, to_bytes(y));
    }
}

/* 4 vectors of 4 floats: rows become columns. */
ESPI_INLINE void transpose_4(float32x4_t r[4])
{
    float32x4_t a = vzip1q_f32(r[0], r[2]), b = vzip1q_f32(r[1], r[3]);
    float32x4_t c = vzip2q_f32(r[0], r[2]), d = vzip2q_f32(r[1], r[3]);
    r[0] = vzip1q_f32(a, b);
    r[1] = vzip2q_f32(a, b);
    r[2] = vzip1q_f32(c, d);
    r[3] = vzip2q_f32(c, d);
}

#endif
