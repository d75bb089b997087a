/* SPDX-License-Identifier: Apache-2.0
 * What the 256-bit products share: the epilogue. Only for files compiled for AVX2.
 *
 * Work proceeds in chunks of 16 tokens, two vectors of a row. "Natural": vector v holds tokens 8v .. 8v+7. "Lanes", d tokens
 * apart: 128-bit lane l of vector v holds tokens dl+4v .. dl+4v+3, what unpacking gives: d is 8 or 16; 0 stands for natural. */
#ifndef ESPI_KERNELS_PRODUCT_YMM_H
#define ESPI_KERNELS_PRODUCT_YMM_H

#include "kernels/kernel.h"

#include <immintrin.h>

#define ESPI_INLINE static inline __attribute__((always_inline))

enum { CHUNK = 16 }; // tokens

ESPI_INLINE __m128i load_16(const uint8_t *x)
{
    return _mm_loadu_si128((const __m128i *)(const void *)x);
}

ESPI_INLINE __m256i load_32(const uint8_t *x)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)x);
}

/* The first token of the second vector, once its lanes are swapped. */
ESPI_INLINE size_t second_of(size_t lanes)
{
    return lanes ? lanes : 8;
}

/* Lanes to natural and back. */
ESPI_INLINE void swap_lanes(__m256 v[2])
{
    __m256 low = _mm256_permute2f128_ps(v[0], v[1], 0x20);
    v[1] = _mm256_permute2f128_ps(v[0], v[1], 0x31);
    v[0] = low;
}

/* Halves a list: entry i is one of its entries 2i and 2i + 1, by the highest bit of each byte of `choice`. */
ESPI_INLINE void choose(__m256i *entries, int count, __m256i choice)
{
#pragma GCC unroll 4
    for (int i = 0; i < count / 2; i++)
        entries[i] = _mm256_blendv_epi8(entries[2 * i], entries[2 * i + 1], choice);
}

/* Bytes of the 128-entry table at `index` (0 .. 127): 8 shuffles of 16 entries, chosen from by bits 4, 5 and 6. */
ESPI_INLINE __m256i look_up(const uint8_t table[128], __m256i index)
{
    __m256i entries[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        entries[i] = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(load_16(table + 16 * i)), index);
    choose(entries, 8, _mm256_slli_epi16(index, 3));
    choose(entries, 4, _mm256_slli_epi16(index, 2));
    choose(entries, 2, _mm256_slli_epi16(index, 1));
    return entries[0];
}

/* 16 words through the activation, each result twice. */
ESPI_INLINE __m256i activate(const struct espi_activation_table *activation, __m256i p)
{
    __m256i zero = _mm256_setzero_si256();
    __m256i index = _mm256_mulhi_epu16(_mm256_abs_epi16(p), _mm256_set1_epi16((short)activation->index_scale));
    /* the index is at most 32767, so the signed pack clamps it to 127 */
    __m256i bump = _mm256_unpacklo_epi8(look_up(activation->table, _mm256_packs_epi16(index, index)), zero);
    __m256i value = _mm256_add_epi16(_mm256_max_epi16(p, zero), bump);
    value = _mm256_srl_epi16(value, _mm_cvtsi32_si128(activation->shift));
    return _mm256_packus_epi16(value, value);
}

ESPI_INLINE __m256 curved(const struct espi_activation_curve *curve, __m256 y)
{
    __m256 zero = _mm256_setzero_ps(), a = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), y);
    __m256 b = _mm256_min_ps(a, _mm256_set1_ps(curve->limit));
    __m256 s = _mm256_fmadd_ps(_mm256_mul_ps(b, b), _mm256_set1_ps(curve->spread), _mm256_set1_ps(-1));
    __m256 p = _mm256_set1_ps(curve->coefficients[ESPI_CURVE_TERMS - 1]);
    for (int i = ESPI_CURVE_TERMS - 2; i >= 0; i--)
        p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(curve->coefficients[i]));
    __m256 q = _mm256_max_ps(_mm256_fnmadd_ps(b, p, _mm256_set1_ps(0.5f)), zero);
    return _mm256_fnmadd_ps(a, q, _mm256_max_ps(y, zero));
}

ESPI_INLINE void store_bytes(const struct espi_epilogue *epilogue, const __m256i y[2], size_t lanes, uint8_t *out)
{
    __m256i words = _mm256_packs_epi32(y[0], y[1]), bytes;
    if (!lanes)
        words = _mm256_permute4x64_epi64(words, 0xd8);
    if (epilogue->kind == ESPI_EPILOGUE_U8_TABLE)
        bytes = activate(epilogue->activation, words);
    else
        bytes = _mm256_packus_epi16(words, words);
    __m128i both = _mm256_castsi256_si128(_mm256_permute4x64_epi64(bytes, 0xd8));
    if (second_of(lanes) == 8) {
        _mm_storeu_si128((__m128i *)(void *)out, both);
    } else {
        _mm_storel_epi64((__m128i *)(void *)out, both);
        _mm_storel_epi64((__m128i *)(void *)(out + lanes), _mm_unpackhi_epi64(both, both));
    }
}

/* One row of a chunk from sums as floats; `offset` of its first token from the start of the panel. */
ESPI_INLINE void finish_floats(const struct espi_epilogue *epilogue, size_t row, size_t offset, __m256 y[2],
                               size_t lanes)
{
    __m256 scale = _mm256_set1_ps(epilogue->scale[row]), bias = _mm256_set1_ps(epilogue->bias[row]);
    y[0] = _mm256_fmadd_ps(y[0], scale, bias);
    y[1] = _mm256_fmadd_ps(y[1], scale, bias);
    if (epilogue->kind < ESPI_EPILOGUE_F32) {
        __m256i rounded[2] = {_mm256_cvtps_epi32(y[0]), _mm256_cvtps_epi32(y[1])};
        store_bytes(epilogue, rounded, lanes, (uint8_t *)epilogue->out + offset);
        return;
    }
    float *out = (float *)epilogue->out + offset;
    if (lanes)
        swap_lanes(y);
    if (epilogue->kind == ESPI_EPILOGUE_F32_ADD) {
        y[0] = _mm256_add_ps(_mm256_loadu_ps(out), y[0]);
        y[1] = _mm256_add_ps(_mm256_loadu_ps(out + second_of(lanes)), y[1]);
    } else if (epilogue->kind == ESPI_EPILOGUE_F32_CURVE) {
        y[0] = curved(epilogue->curve, y[0]);
        y[1] = curved(epilogue->curve, y[1]);
    }
    _mm256_storeu_ps(out, y[0]);
    _mm256_storeu_ps(out + second_of(lanes), y[1]);
}

/* The same from integer sums. */
ESPI_INLINE void finish_row(const struct espi_epilogue *epilogue, size_t row, size_t offset, size_t token,
                            const __m256i sums[2], size_t lanes)
{
    __m256 y[2] = {_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])};
    if (epilogue->token_scale) {
        __m256 scale[2] = {_mm256_loadu_ps(epilogue->token_scale + token),
                           _mm256_loadu_ps(epilogue->token_scale + token + second_of(lanes))};
        if (lanes)
            swap_lanes(scale);
        y[0] = _mm256_mul_ps(y[0], scale[0]);
        y[1] = _mm256_mul_ps(y[1], scale[1]);
    }
    finish_floats(epilogue, row, offset, y, lanes);
}

#endif
