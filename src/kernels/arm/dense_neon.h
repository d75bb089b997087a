/* SPDX-License-Identifier: Apache-2.0
 * The dense float products: one text for float and bf16 weights, in tiles of 4 rows by 16 tokens. A dword is a float of a column
 * or two bf16 of a pair of columns. */
#ifndef ESPI_KERNELS_DENSE_NEON_H
#define ESPI_KERNELS_DENSE_NEON_H

#include "kernels/arm/product_neon.h"

/* The upper and the lower bf16 of each dword as floats. */
ESPI_INLINE float32x4_t upper(float32x4_t pairs)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(pairs), vdupq_n_u32(0xffff0000)));
}

ESPI_INLINE float32x4_t lower(float32x4_t pairs)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(pairs), 16));
}

/* sums[row][v] += x[v] * w[row] */
ESPI_INLINE void add_column(float32x4_t sums[4][4], const float32x4_t x[4], float32x4_t w)
{
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        sums[0][v] = vfmaq_laneq_f32(sums[0][v], x[v], w, 0);
        sums[1][v] = vfmaq_laneq_f32(sums[1][v], x[v], w, 1);
        sums[2][v] = vfmaq_laneq_f32(sums[2][v], x[v], w, 2);
        sums[3][v] = vfmaq_laneq_f32(sums[3][v], x[v], w, 3);
    }
}

/* Of each pair the second column first. */
ESPI_INLINE void add_dwords(float32x4_t sums[4][4], const float32x4_t x[4], float32x4_t w, bool bf16)
{
    if (!bf16) {
        add_column(sums, x, w);
        return;
    }
    const float32x4_t second[4] = {upper(x[0]), upper(x[1]), upper(x[2]), upper(x[3])};
    const float32x4_t first[4] = {lower(x[0]), lower(x[1]), lower(x[2]), lower(x[3])};
    add_column(sums, second, upper(w));
    add_column(sums, first, lower(w));
}

/* `dwords`: of a token; bf16: a constant. */
ESPI_INLINE void float_product(const struct espi_float_quads *weights, const float *x, size_t dwords, size_t width,
                               size_t first, size_t end, const struct espi_epilogue *epilogue, bool bf16)
{
    for (size_t quad = first; quad < end; quad++)
        for (size_t token = 0; token < width; token += CHUNK) {
            const float *w = (const float *)weights->weights + quad * dwords * 4;
            float32x4_t sums[4][4];
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                sums[r][0] = sums[r][1] = sums[r][2] = sums[r][3] = vdupq_n_f32(0);
            for (size_t i = 0; i < dwords; i++) {
                float32x4_t columns[4];
                load_floats(x + i * width + token, columns);
                add_dwords(sums, columns, vld1q_f32(w + i * 4), bf16);
            }
#pragma GCC unroll 4
            for (size_t r = 0; r < 4; r++)
                if (quad * 4 + r < weights->rows)
                    finish_floats(epilogue, quad * 4 + r, (quad * 4 + r) * width + token, sums[r]);
        }
}

#endif
