/* SPDX-License-Identifier: Apache-2.0
 * What the 512-bit products share: the dot product and the epilogue of a quad. Only for files compiled for AVX-512.
 *
 * Accumulators are acc[row][vector], 16 tokens each, in one of two orders. "Natural": vector v holds tokens 16v .. 16v+15.
 * "Lanes": what interleaving in registers gives most cheaply. Of 64 tokens, 128-bit lane l of vector v holds tokens
 * 16l+4v .. 16l+4v+3; of 32 tokens, half h of vector v holds tokens 16h+8v .. 16h+8v+7; 16 tokens are natural. */
#ifndef ESPI_KERNELS_PRODUCT_ZMM_H
#define ESPI_KERNELS_PRODUCT_ZMM_H

#include "kernels/x86/dense.h"

#include <immintrin.h>

/* One row's dword of weights times `vectors` vectors of tokens. */
#define DOT_ROW(instruction)                                                                                           \
    __m512i weight;                                                                                                    \
    if (vectors == 4)                                                                                                  \
        __asm__("vpbroadcastd %[w], %[weight]\n\t" instruction " %[weight], %[x0], %[a0]\n\t" instruction              \
                " %[weight], %[x1], %[a1]\n\t" instruction " %[weight], %[x2], %[a2]\n\t" instruction                  \
                " %[weight], %[x3], %[a3]"                                                                             \
                : [a0] "+v"(acc[0]), [a1] "+v"(acc[1]), [a2] "+v"(acc[2]), [a3] "+v"(acc[3]), [weight] "=&v"(weight)   \
                : [x0] "v"(x[0]), [x1] "v"(x[1]), [x2] "v"(x[2]), [x3] "v"(x[3]),                                      \
                  [w] "m"(*(const int32_t(*)[1])(const void *)w));                                                     \
    else if (vectors == 2)                                                                                             \
        __asm__("vpbroadcastd %[w], %[weight]\n\t" instruction " %[weight], %[x0], %[a0]\n\t" instruction              \
                " %[weight], %[x1], %[a1]"                                                                             \
                : [a0] "+v"(acc[0]), [a1] "+v"(acc[1]), [weight] "=&v"(weight)                                         \
                : [x0] "v"(x[0]), [x1] "v"(x[1]), [w] "m"(*(const int32_t(*)[1])(const void *)w));                     \
    else                                                                                                               \
        __asm__("vpbroadcastd %[w], %[weight]\n\t" instruction " %[weight], %[x0], %[a0]"                              \
                : [a0] "+v"(acc[0]), [weight] "=&v"(weight)                                                            \
                : [x0] "v"(x[0]), [w] "m"(*(const int32_t(*)[1])(const void *)w))

/* acc[v] += dot(x[v], w): 4 columns u8 x s8, 1 of floats or 2 of bf16 in a dword. Written in assembly because gcc 12 copies
 * and spills accumulators around the intrinsics. The broadcast is a load of its own: as an operand of the dot product it
 * costs an eighth of the speed on Intel's cores. */
ESPI_INLINE void dot_row(__m512i *acc, const __m512i *x, const int8_t *w, int vectors, enum dot dot)
{
    if (dot == DOT_U8S8) {
        DOT_ROW("vpdpbusd");
    } else if (dot == DOT_F32) {
        DOT_ROW("vfmadd231ps");
    } else {
        DOT_ROW("vdpbf16ps");
    }
}

/* A sum's first value for all tokens. Volatile, so that gcc does not keep one copy of it beside the accumulators. */
ESPI_INLINE __m512i start_sum(const int32_t *start)
{
    __m512i value;
    __asm__ volatile("vpbroadcastd %1, %0" : "=v"(value) : "m"(*start));
    return value;
}

/* Lanes to natural and back: the transposition of the pieces of 4 (64 tokens) or 8 tokens (32 tokens). */
ESPI_INLINE void transpose_lanes(__m512 *v, int vectors)
{
    if (vectors == 1)
        return;
    __m512 a = _mm512_shuffle_f32x4(v[0], v[1], 0x44), b = _mm512_shuffle_f32x4(v[0], v[1], 0xee);
    if (vectors == 2) {
        v[0] = a;
        v[1] = b;
        return;
    }
    __m512 c = _mm512_shuffle_f32x4(v[2], v[3], 0x44), d = _mm512_shuffle_f32x4(v[2], v[3], 0xee);
    v[0] = _mm512_shuffle_f32x4(a, c, 0x88);
    v[1] = _mm512_shuffle_f32x4(a, c, 0xdd);
    v[2] = _mm512_shuffle_f32x4(b, d, 0x88);
    v[3] = _mm512_shuffle_f32x4(b, d, 0xdd);
}

/* Of 128 bytes those with the numbers in the lower 7 bits of words, each as a word. Without VBMI: first the word it is in. */
ESPI_INLINE __m512i look_up_words(const uint8_t table[128], __m512i index)
{
    __m512i pair = _mm512_permutex2var_epi16(_mm512_loadu_si512(table), _mm512_srli_epi16(index, 1),
                                             _mm512_loadu_si512(table + 64));
    __m512i upper = _mm512_and_si512(_mm512_slli_epi16(index, 3), _mm512_set1_epi16(8)); // bits, of odd numbers
    return _mm512_and_si512(_mm512_srlv_epi16(pair, upper), _mm512_set1_epi16(255));
}

/* Those of two vectors of words up to 32767; above 127 they count as 127. */
ESPI_INLINE void look_up_clamped(const uint8_t table[128], __m512i low, __m512i high, __m512i out[2])
{
#ifdef __AVX512VBMI__
    const __m512i zero = _mm512_setzero_si512();
    __m512i bytes = _mm512_permutex2var_epi8(_mm512_loadu_si512(table), _mm512_packs_epi16(low, high),
                                             _mm512_loadu_si512(table + 64));
    out[0] = _mm512_unpacklo_epi8(bytes, zero);
    out[1] = _mm512_unpackhi_epi8(bytes, zero);
#else
    const __m512i last = _mm512_set1_epi16(127);
    out[0] = look_up_words(table, _mm512_min_epi16(low, last));
    out[1] = look_up_words(table, _mm512_min_epi16(high, last));
#endif
}

/* 64 words, packed from dwords, through the activation's table. */
ESPI_INLINE __m512i activate(const struct espi_activation_table *activation, __m512i low, __m512i high)
{
    __m512i zero = _mm512_setzero_si512(), bump[2];
    __m512i index_scale = _mm512_set1_epi16((short)activation->index_scale);
    __m512i shift = _mm512_set1_epi16((short)activation->shift);
    look_up_clamped(activation->table, _mm512_mulhi_epu16(_mm512_abs_epi16(low), index_scale),
                    _mm512_mulhi_epu16(_mm512_abs_epi16(high), index_scale), bump);
    low = _mm512_add_epi16(_mm512_max_epi16(low, zero), bump[0]);
    high = _mm512_add_epi16(_mm512_max_epi16(high, zero), bump[1]);
    return _mm512_packus_epi16(_mm512_srlv_epi16(low, shift), _mm512_srlv_epi16(high, shift));
}

/* One row of `vectors` rounded values to u8, in the order of the panel. */
ESPI_INLINE void store_bytes(const struct espi_epilogue *epilogue, const __m512i *y, int vectors, bool lanes,
                             uint8_t *out)
{
    __m512i low = _mm512_packs_epi32(y[0], y[vectors > 1 ? 1 : 0]), high = low, bytes;
    if (vectors == 4)
        high = _mm512_packs_epi32(y[2], y[3]);
    if (epilogue->kind == ESPI_EPILOGUE_U8_TABLE)
        bytes = activate(epilogue->activation, low, high);
    else
        bytes = _mm512_packus_epi16(low, high);
    if (!lanes || vectors == 1)
        bytes =
            _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), bytes);
    else if (vectors == 2)
        bytes = _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 1, 5, 8, 12, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0), bytes);
    if (vectors == 4)
        _mm512_storeu_si512(out, bytes);
    else if (vectors == 2)
        _mm256_storeu_si256((__m256i *)(void *)out, _mm512_castsi512_si256(bytes));
    else
        _mm_storeu_si128((__m128i *)(void *)out, _mm512_castsi512_si128(bytes));
}

ESPI_INLINE __m512 curved(const struct espi_activation_curve *curve, __m512 y)
{
    __m512 zero = _mm512_setzero_ps(), a = _mm512_abs_ps(y), b = _mm512_min_ps(a, _mm512_set1_ps(curve->limit));
    __m512 s = _mm512_fmadd_ps(_mm512_mul_ps(b, b), _mm512_set1_ps(curve->spread), _mm512_set1_ps(-1));
    __m512 p = _mm512_set1_ps(curve->coefficients[ESPI_CURVE_TERMS - 1]);
#pragma GCC unroll 10
    for (int i = ESPI_CURVE_TERMS - 2; i >= 0; i--)
        p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(curve->coefficients[i]));
    __m512 q = _mm512_max_ps(_mm512_fnmadd_ps(b, p, _mm512_set1_ps(0.5f)), zero);
    return _mm512_fnmadd_ps(a, q, _mm512_max_ps(y, zero));
}

ESPI_INLINE void store_floats(const struct espi_epilogue *epilogue, __m512 *y, int vectors, bool lanes, float *out)
{
    if (lanes)
        transpose_lanes(y, vectors);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        if (epilogue->kind == ESPI_EPILOGUE_F32_ADD)
            y[v] = _mm512_add_ps(_mm512_loadu_ps(out + 16 * v), y[v]);
        else if (epilogue->kind == ESPI_EPILOGUE_F32_CURVE)
            y[v] = curved(epilogue->curve, y[v]);
        _mm512_storeu_ps(out + 16 * v, y[v]);
    }
}

/* The epilogue of one row of the panel, from sums as floats. */
ESPI_INLINE void finish_floats(const struct espi_epilogue *epilogue, size_t row, size_t width, __m512 *y, int vectors,
                               bool lanes)
{
    __m512 scale = _mm512_set1_ps(epilogue->scale[row]), bias = _mm512_set1_ps(epilogue->bias[row]);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        y[v] = _mm512_fmadd_ps(y[v], scale, bias);
    if (epilogue->kind >= ESPI_EPILOGUE_F32) {
        store_floats(epilogue, y, vectors, lanes, (float *)epilogue->out + row * width);
        return;
    }
    __m512i rounded[4] = {0};
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        rounded[v] = _mm512_cvtps_epi32(y[v]);
    store_bytes(epilogue, rounded, vectors, lanes, (uint8_t *)epilogue->out + row * width);
}

/* The same from integer sums. */
ESPI_INLINE void finish_row(const struct espi_epilogue *epilogue, size_t row, size_t width, const __m512i *sums,
                            int vectors, bool lanes)
{
    __m512 y[4] = {0};
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        y[v] = _mm512_cvtepi32_ps(sums[v]);
    if (epilogue->token_scale) {
        __m512 token[4] = {0};
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            token[v] = _mm512_loadu_ps(epilogue->token_scale + 16 * v);
        if (lanes)
            transpose_lanes(token, vectors);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            y[v] = _mm512_mul_ps(y[v], token[v]);
    }
    finish_floats(epilogue, row, width, y, vectors, lanes);
}

#endif
