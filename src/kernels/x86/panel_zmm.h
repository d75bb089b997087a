/* SPDX-License-Identifier: Apache-2.0
 * What the 512-bit ops on panels share: bytes from floats, transposition. Only for files compiled for AVX-512. */
#ifndef ESPI_KERNELS_PANEL_ZMM_H
#define ESPI_KERNELS_PANEL_ZMM_H

#include "kernels/kernel.h"

#include <immintrin.h>

#define ESPI_INLINE static inline __attribute__((always_inline))

/* `vectors` vectors of 16 floats, rounded and clamped to bytes in their order. */
ESPI_INLINE __m512i to_bytes(const __m512 *y, int vectors)
{
    __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i low = _mm512_packs_epi32(_mm512_cvtps_epi32(y[0]), _mm512_cvtps_epi32(y[vectors > 1 ? 1 : 0]));
    __m512i high = low;
    if (vectors == 4)
        high = _mm512_packs_epi32(_mm512_cvtps_epi32(y[2]), _mm512_cvtps_epi32(y[3]));
    return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high));
}

ESPI_INLINE void store_row_bytes(__m512i bytes, int vectors, uint8_t *out)
{
    if (vectors == 4)
        _mm512_storeu_si512(out, bytes);
    else if (vectors == 2)
        _mm256_storeu_si256((__m256i *)(void *)out, _mm512_castsi512_si256(bytes));
    else
        _mm_storeu_si128((__m128i *)(void *)out, _mm512_castsi512_si128(bytes));
}

/* ---- struct espi_quantize ------------------------------------------------------------------------------------------------ */

struct extremes {
    __m512 high[4], low[4];
};

ESPI_INLINE void extremes_begin(struct extremes *extremes)
{
    for (int v = 0; v < 4; v++)
        extremes->high[v] = extremes->low[v] = _mm512_setzero_ps();
}

ESPI_INLINE void extremes_add(struct extremes *extremes, const __m512 *x, float scale, int vectors)
{
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        __m512 value = _mm512_mul_ps(x[v], _mm512_set1_ps(scale));
        extremes->high[v] = _mm512_max_ps(value, extremes->high[v]);
        extremes->low[v] = _mm512_min_ps(value, extremes->low[v]);
    }
}

ESPI_INLINE void quantize_fixed_row(const struct espi_quantize *quantize, const __m512 *x, size_t row, int vectors)
{
    __m512 scale = _mm512_set1_ps(quantize->scale[row]), zero_point = _mm512_set1_ps((float)quantize->zero_point);
    __m512 y[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        y[v] = _mm512_fmadd_ps(x[v], scale, zero_point);
    store_row_bytes(to_bytes(y, vectors), vectors, quantize->out + row * (size_t)vectors * 16);
}

/* A panel whose extremes are known, with a scale per token. */
ESPI_INLINE void quantize_tokens(const struct espi_quantize *quantize, const float *x, size_t rows,
                                 const struct extremes *extremes, int vectors)
{
    float up = quantize->zero_point < 255 ? 1.0f / (float)(255 - quantize->zero_point) : 0;
    float down = quantize->zero_point > 0 ? -1.0f / (float)quantize->zero_point : 0;
    __m512 zero_point = _mm512_set1_ps((float)quantize->zero_point), inverse[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        __m512 scale = _mm512_max_ps(_mm512_mul_ps(extremes->high[v], _mm512_set1_ps(up)),
                                     _mm512_mul_ps(extremes->low[v], _mm512_set1_ps(down)));
        scale = _mm512_max_ps(scale, _mm512_set1_ps(0x1p-126f));
        _mm512_storeu_ps(quantize->token_scale + 16 * v, scale);
        inverse[v] = _mm512_div_ps(_mm512_set1_ps(1), scale);
    }
    for (size_t row = 0; row < rows; row++, x += 16 * vectors) {
        __m512 scale = _mm512_set1_ps(quantize->scale[row]), y[4];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            y[v] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_loadu_ps(x + 16 * v), scale), inverse[v], zero_point);
        store_row_bytes(to_bytes(y, vectors), vectors, quantize->out + row * (size_t)vectors * 16);
    }
}

/* ---- transposition --------------------------------------------------------------------------------------------------------- */

/* 16 vectors of 16 floats: rows become columns. */
ESPI_INLINE void transpose_16(__m512 r[16])
{
    __m512 t[16];
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) { // 4 x 4 within 128-bit lanes
        __m512 a = _mm512_unpacklo_ps(r[i], r[i + 1]), b = _mm512_unpackhi_ps(r[i], r[i + 1]);
        __m512 c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm512_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { // then the lanes among themselves
        __m512 a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x44), b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xee);
        __m512 c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x44), d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xee);
        r[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        r[i + 4] = _mm512_shuffle_f32x4(a, c, 0xdd);
        r[i + 8] = _mm512_shuffle_f32x4(b, d, 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}

#endif
