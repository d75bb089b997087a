/* SPDX-License-Identifier: Apache-2.0
 * What the 256-bit products share: the epilogue. Only for files compiled for AVX2.
 *
 * Work proceeds in chunks of 16 tokens, two vectors of a row. "Natural": vector v holds tokens 8v .. 8v+7. "Lanes", d tokens
 * apart: 128-bit lane l of vector v holds tokens dl+4v .. dl+4v+3, what unpacking gives: d is 8 or 16; 0 stands for natural. */
#ifndef ESPI_KERNELS_PRODUCT_YMM_H
#define ESPI_KERNELS_PRODUCT_YMM_H

#include "kernels/x86/dense.h"

#include <immintrin.h>

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

/* 32 words through the activation, as bytes: lane by lane those of p0, then those of p1. */
ESPI_INLINE __m256i activate(const struct espi_activation_table *activation, __m256i p0, __m256i p1)
{
    const __m256i zero = _mm256_setzero_si256(), scale = _mm256_set1_epi16((short)activation->index_scale);
    const __m128i shift = _mm_cvtsi32_si128(activation->shift);
    /* the indices are at most 32767, so the signed pack clamps them to 127 */
    __m256i index = _mm256_packs_epi16(_mm256_mulhi_epu16(_mm256_abs_epi16(p0), scale),
                                       _mm256_mulhi_epu16(_mm256_abs_epi16(p1), scale));
    __m256i bump = look_up(activation->table, index);
    p0 = _mm256_add_epi16(_mm256_max_epi16(p0, zero), _mm256_unpacklo_epi8(bump, zero));
    p1 = _mm256_add_epi16(_mm256_max_epi16(p1, zero), _mm256_unpackhi_epi8(bump, zero));
    return _mm256_packus_epi16(_mm256_srl_epi16(p0, shift), _mm256_srl_epi16(p1, shift));
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

/* Words of an output of bytes; lane by lane those of p0, then those of p1. */
ESPI_INLINE __m256i word_bytes(const struct espi_epilogue *epilogue, __m256i p0, __m256i p1)
{
    if (epilogue->kind == ESPI_EPILOGUE_U8_TABLE)
        return activate(epilogue->activation, p0, p1);
    return _mm256_packus_epi16(p0, p1);
}

ESPI_INLINE void scale_row(const struct espi_epilogue *epilogue, size_t row, __m256 y[2])
{
    __m256 scale = _mm256_set1_ps(epilogue->scale[row]), bias = _mm256_set1_ps(epilogue->bias[row]);
    y[0] = _mm256_fmadd_ps(y[0], scale, bias);
    y[1] = _mm256_fmadd_ps(y[1], scale, bias);
}

ESPI_INLINE __m256i to_words(const __m256 y[2])
{
    return _mm256_packs_epi32(_mm256_cvtps_epi32(y[0]), _mm256_cvtps_epi32(y[1]));
}

/* One row of a chunk from sums as floats; `offset` of its first token from the start of the panel. Bytes: not in lanes 16
 * apart. */
ESPI_INLINE void finish_floats(const struct espi_epilogue *epilogue, size_t row, size_t offset, __m256 y[2],
                               size_t lanes)
{
    scale_row(epilogue, row, y);
    if (epilogue->kind < ESPI_EPILOGUE_F32) {
        __m256i words = to_words(y);
        if (!lanes)
            words = _mm256_permute4x64_epi64(words, 0xd8);
        __m256i bytes = _mm256_permute4x64_epi64(word_bytes(epilogue, words, words), 0xd8);
        _mm_storeu_si128((__m128i *)(void *)((uint8_t *)epilogue->out + offset), _mm256_castsi256_si128(bytes));
        return;
    }
    float *out = (float *)epilogue->out + offset, *second = out + second_of(lanes);
    if (lanes)
        swap_lanes(y);
    if (epilogue->kind == ESPI_EPILOGUE_F32_ADD) {
        y[0] = _mm256_add_ps(_mm256_loadu_ps(out), y[0]);
        y[1] = _mm256_add_ps(_mm256_loadu_ps(second), y[1]);
    } else if (epilogue->kind == ESPI_EPILOGUE_F32_CURVE) {
        y[0] = curved(epilogue->curve, y[0]);
        y[1] = curved(epilogue->curve, y[1]);
    }
    _mm256_storeu_ps(out, y[0]);
    _mm256_storeu_ps(second, y[1]);
}

/* Integer sums as floats, times their tokens' scales. */
ESPI_INLINE void to_floats(const struct espi_epilogue *epilogue, size_t token, const __m256i sums[2], size_t lanes,
                           __m256 y[2])
{
    y[0] = _mm256_cvtepi32_ps(sums[0]);
    y[1] = _mm256_cvtepi32_ps(sums[1]);
    if (epilogue->token_scale) {
        __m256 scale[2] = {_mm256_loadu_ps(epilogue->token_scale + token),
                           _mm256_loadu_ps(epilogue->token_scale + token + second_of(lanes))};
        if (lanes)
            swap_lanes(scale);
        y[0] = _mm256_mul_ps(y[0], scale[0]);
        y[1] = _mm256_mul_ps(y[1], scale[1]);
    }
}

/* One row of a chunk from integer sums. */
ESPI_INLINE void finish_row(const struct espi_epilogue *epilogue, size_t row, size_t offset, size_t token,
                            const __m256i sums[2], size_t lanes)
{
    __m256 y[2];
    to_floats(epilogue, token, sums, lanes, y);
    finish_floats(epilogue, row, offset, y, lanes);
}

/* One row of two chunks in lanes, 16 tokens apart; the second chunk begins 8 tokens behind the first. */
ESPI_INLINE void finish_row_32(const struct espi_epilogue *epilogue, size_t row, size_t offset, size_t token,
                               const __m256i first[2], const __m256i second[2])
{
    if (epilogue->kind >= ESPI_EPILOGUE_F32) {
        finish_row(epilogue, row, offset, token, first, 16);
        finish_row(epilogue, row, offset + 8, token + 8, second, 16);
        return;
    }
    __m256 y[2], z[2];
    to_floats(epilogue, token, first, 16, y);
    to_floats(epilogue, token + 8, second, 16, z);
    scale_row(epilogue, row, y);
    scale_row(epilogue, row, z);
    _mm256_storeu_si256((__m256i *)(void *)((uint8_t *)epilogue->out + offset),
                        word_bytes(epilogue, to_words(y), to_words(z)));
}

#endif
