/* SPDX-License-Identifier: Apache-2.0
 * The 256-bit dense float products: one text for float and bf16 weights. Blocks of 4 rows of 16 tokens. */
#ifndef ESPI_KERNELS_DENSE_YMM_H
#define ESPI_KERNELS_DENSE_YMM_H

#include "kernels/x86/product_ymm.h"

/* The upper and the lower bf16 of each dword as floats. */
ESPI_INLINE __m256 upper(__m256 pairs)
{
    return _mm256_and_ps(pairs, _mm256_castsi256_ps(_mm256_set1_epi32((int32_t)0xffff0000)));
}

ESPI_INLINE __m256 lower(__m256 pairs)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(pairs), 16));
}

/* acc[v] += x[v] * w, of one dword: a float, or a pair of bf16 (the second first). */
ESPI_INLINE void dot_dword(__m256 acc[2], const __m256 x[2], const float *w, bool bf16)
{
    __m256 weight = _mm256_broadcast_ss(w);
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++)
        if (bf16)
            acc[v] = _mm256_fmadd_ps(lower(x[v]), lower(weight), _mm256_fmadd_ps(upper(x[v]), upper(weight), acc[v]));
        else
            acc[v] = _mm256_fmadd_ps(x[v], weight, acc[v]);
}

ESPI_INLINE void dense_product(const struct dense *dense, size_t width, size_t first, size_t end, enum dot dot)
{
    const float *weights = (const float *)(const void *)dense->weights, *x = (const float *)(const void *)dense->x;
    const size_t groups = dense->groups;
    for (size_t quad = first; quad < end; quad++)
        for (size_t token = 0; token < width; token += CHUNK) {
            __m256 acc[4][2];
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                acc[r][0] = acc[r][1] = _mm256_setzero_ps();
            for (size_t group = 0; group < groups; group++) {
                const float *columns = x + group * width + token;
                __m256 values[2] = {_mm256_loadu_ps(columns), _mm256_loadu_ps(columns + 8)};
#pragma GCC unroll 4
                for (size_t r = 0; r < 4; r++)
                    dot_dword(acc[r], values, weights + (quad * groups + group) * 4 + r, dot == DOT_BF16);
            }
#pragma GCC unroll 4
            for (size_t r = 0; r < 4; r++)
                if (quad * 4 + r < dense->rows)
                    finish_floats(dense->epilogue, quad * 4 + r, (quad * 4 + r) * width + token, acc[r], 0);
        }
}

#endif
