/* SPDX-License-Identifier: Apache-2.0
 * What the 256-bit ops on panels share: bytes from floats, struct espi_quantize. Work proceeds in chunks of 16 tokens, two
 * vectors of a row. Only for files compiled for AVX2. */
#ifndef ESPI_KERNELS_PANEL_YMM_H
#define ESPI_KERNELS_PANEL_YMM_H

#include "kernels/x86/product_ymm.h"

/* 16 floats, rounded and clamped to bytes in their order. */
ESPI_INLINE __m128i to_bytes(__m256 low, __m256 high)
{
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high));
    words = _mm256_permute4x64_epi64(words, 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

struct extremes {
    __m256 high[2], low[2];
};

ESPI_INLINE void extremes_add(struct extremes *extremes, const __m256 x[2], float scale)
{
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) {
        __m256 value = _mm256_mul_ps(x[v], _mm256_set1_ps(scale));
        extremes->high[v] = _mm256_max_ps(value, extremes->high[v]);
        extremes->low[v] = _mm256_min_ps(value, extremes->low[v]);
    }
}

/* A row of a chunk with a fixed scale; `out`: of the chunk's first token. */
ESPI_INLINE void quantize_fixed_row(const struct espi_quantize *quantize, const __m256 x[2], size_t row, uint8_t *out)
{
    __m256 scale = _mm256_set1_ps(quantize->scale[row]), zero_point = _mm256_set1_ps((float)quantize->zero_point);
    _mm_storeu_si128((__m128i *)(void *)out,
                     to_bytes(_mm256_fmadd_ps(x[0], scale, zero_point), _mm256_fmadd_ps(x[1], scale, zero_point)));
}

/* A chunk whose extremes are known, with a scale per token. */
ESPI_INLINE void quantize_tokens(const struct espi_quantize *quantize, const float *x, size_t rows, size_t width,
                                 size_t token, const struct extremes *extremes)
{
    float up = quantize->zero_point < 255 ? 1.0f / (float)(255 - quantize->zero_point) : 0;
    float down = quantize->zero_point > 0 ? -1.0f / (float)quantize->zero_point : 0;
    __m256 zero_point = _mm256_set1_ps((float)quantize->zero_point), inverse[2];
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) {
        __m256 scale = _mm256_max_ps(_mm256_mul_ps(extremes->high[v], _mm256_set1_ps(up)),
                                     _mm256_mul_ps(extremes->low[v], _mm256_set1_ps(down)));
        scale = _mm256_max_ps(scale, _mm256_set1_ps(0x1p-126f));
        _mm256_storeu_ps(quantize->token_scale + token + 8 * v, scale);
        inverse[v] = _mm256_div_ps(_mm256_set1_ps(1), scale);
    }
    for (size_t row = 0; row < rows; row++) {
        const float *values = x + row * width + token;
        __m256 scale = _mm256_set1_ps(quantize->scale[row]), y[2];
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            y[v] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_loadu_ps(values + 8 * v), scale), inverse[v], zero_point);
        _mm_storeu_si128((__m128i *)(void *)(quantize->out + row * width + token), to_bytes(y[0], y[1]));
    }
}

/* ---- transposition --------------------------------------------------------------------------------------------------------- */

/* 8 vectors of 8 floats: rows become columns. */
ESPI_INLINE void transpose_8(__m256 r[8])
{
    __m256 t[8];
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) { // 4 x 4 within 128-bit lanes
        __m256 a = _mm256_unpacklo_ps(r[i], r[i + 1]), b = _mm256_unpackhi_ps(r[i], r[i + 1]);
        __m256 c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm256_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { // then the lanes
        r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}

/* The first `count` of 8 dwords: a mask for masked loads and stores. */
ESPI_INLINE __m256i first_lanes(size_t count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

#endif
