/* SPDX-License-Identifier: Apache-2.0
 * The 256-bit int8 products: one text for AVX2 and AVX-VNNI, which differ in the dot product alone. Only for files
 * compiled for AVX2.
 *
 * AVX2's own u8 x s8 product (maddubs) saturates pairs at 16 bits. Here bytes are widened to words and multiplied with
 * madd, whose pair sums fit 32 bits: exact for every input.
 *
 * Work proceeds in chunks of 16 tokens, acc[row][2]. "Natural": acc[row][v] holds tokens 8v .. 8v+7. "Lanes": 128-bit
 * lane l of acc[row][v] holds tokens 8l+4v .. 8l+4v+3, what unpacking gives. */
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

/* ---- the dot product --------------------------------------------------------------------------------------------------- */

#ifdef __AVXVNNI__

enum { DENSE_ROWS = 6 }; // of a block: 12 accumulators hide the latency

struct columns {
    __m256i bytes[2]; // dwords of 4 columns of a token
};

ESPI_INLINE struct columns from_dwords(__m256i low, __m256i high)
{
    return (struct columns){{low, high}};
}

ESPI_INLINE struct columns from_rows(__m128i a, __m128i b, __m128i c, __m128i d)
{
    __m256i ab = _mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b));
    __m256i cd = _mm256_set_m128i(_mm_unpackhi_epi8(c, d), _mm_unpacklo_epi8(c, d));
    return (struct columns){{_mm256_unpacklo_epi16(ab, cd), _mm256_unpackhi_epi16(ab, cd)}};
}

/* acc[v] += dot4(u8 x[v], s8 w) with one dword of weights. In assembly: gcc 12 copies accumulators around the
 * intrinsic. */
ESPI_INLINE void dot_row(__m256i acc[2], const struct columns *x, const int8_t *w)
{
    __m256i weight;
    __asm__("vpbroadcastd %[w], %[weight]\n\t"
            "%{vex%} vpdpbusd %[weight], %[x0], %[a0]\n\t"
            "%{vex%} vpdpbusd %[weight], %[x1], %[a1]"
            : [a0] "+x"(acc[0]), [a1] "+x"(acc[1]), [weight] "=&x"(weight)
            : [x0] "x"(x->bytes[0]), [x1] "x"(x->bytes[1]), [w] "m"(*(const int32_t(*)[1])(const void *)w));
}

#else

enum { DENSE_ROWS = 4 };

struct columns {
    __m256i even[2], odd[2]; // dwords of two words: columns 0 and 2, columns 1 and 3
};

ESPI_INLINE struct columns from_dwords(__m256i low, __m256i high)
{
    __m256i mask = _mm256_set1_epi16(0xff);
    return (struct columns){{_mm256_and_si256(low, mask), _mm256_and_si256(high, mask)},
                            {_mm256_srli_epi16(low, 8), _mm256_srli_epi16(high, 8)}};
}

ESPI_INLINE struct columns from_rows(__m128i a, __m128i b, __m128i c, __m128i d)
{
    __m256i wide[4] = {_mm256_cvtepu8_epi16(a), _mm256_cvtepu8_epi16(b), _mm256_cvtepu8_epi16(c),
                       _mm256_cvtepu8_epi16(d)};
    return (struct columns){{_mm256_unpacklo_epi16(wide[0], wide[2]), _mm256_unpackhi_epi16(wide[0], wide[2])},
                            {_mm256_unpacklo_epi16(wide[1], wide[3]), _mm256_unpackhi_epi16(wide[1], wide[3])}};
}

ESPI_INLINE void dot_row(__m256i acc[2], const struct columns *x, const int8_t *w)
{
    __m256i weight = _mm256_broadcastd_epi32(_mm_loadu_si32(w));
    __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(weight, 8), 8), odd = _mm256_srai_epi16(weight, 8);
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++)
        acc[v] = _mm256_add_epi32(
            acc[v], _mm256_add_epi32(_mm256_madd_epi16(x->even[v], even), _mm256_madd_epi16(x->odd[v], odd)));
}

#endif

/* ---- the epilogue ------------------------------------------------------------------------------------------------------ */

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

ESPI_INLINE void store_bytes(const struct espi_epilogue *epilogue, const __m256i y[2], bool lanes, uint8_t *out)
{
    __m256i words = _mm256_packs_epi32(y[0], y[1]), bytes;
    if (!lanes)
        words = _mm256_permute4x64_epi64(words, 0xd8);
    if (epilogue->kind == ESPI_EPILOGUE_U8_TABLE)
        bytes = activate(epilogue->activation, words);
    else
        bytes = _mm256_packus_epi16(words, words);
    _mm_storeu_si128((__m128i *)(void *)out, _mm256_castsi256_si128(_mm256_permute4x64_epi64(bytes, 0xd8)));
}

/* One row of a chunk; `offset` of its first token from the start of the panel. */
ESPI_INLINE void finish_row(const struct espi_epilogue *epilogue, size_t row, size_t offset, size_t token,
                            const __m256i sums[2], bool lanes)
{
    __m256 y[2] = {_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])};
    if (epilogue->token_scale) {
        __m256 scale[2] = {_mm256_loadu_ps(epilogue->token_scale + token),
                           _mm256_loadu_ps(epilogue->token_scale + token + 8)};
        if (lanes)
            swap_lanes(scale);
        y[0] = _mm256_mul_ps(y[0], scale[0]);
        y[1] = _mm256_mul_ps(y[1], scale[1]);
    }
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
        y[1] = _mm256_add_ps(_mm256_loadu_ps(out + 8), y[1]);
    }
    _mm256_storeu_ps(out, y[0]);
    _mm256_storeu_ps(out + 8, y[1]);
}

/* ---- dense ------------------------------------------------------------------------------------------------------------- */

/* Output rows `row` .. `row + rows - 1` (those that exist) of every chunk; `phase`: row % 4. */
ESPI_INLINE void dense_block(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t row, int phase,
                             int rows, const struct espi_epilogue *epilogue)
{
    const size_t groups = (weights->columns + 3) / 4;
    for (size_t token = 0; token < width; token += CHUNK) {
        __m256i acc[DENSE_ROWS][2];
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
            acc[r][0] = acc[r][1] = _mm256_set1_epi32(epilogue->start[row + (size_t)r]);
        const int8_t *w = weights->weights + row / 4 * groups * 16;
        const uint8_t *dwords = x + token * 4;
        for (size_t group = 0; group < groups; group++, w += 16, dwords += width * 4) {
            struct columns columns = from_dwords(load_32(dwords), load_32(dwords + 32));
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++)
                dot_row(acc[r], &columns, w + (size_t)((phase + r) / 4) * groups * 16 + (phase + r) % 4 * 4);
        }
#pragma GCC unroll 6
        for (size_t r = 0; r < (size_t)rows; r++)
            if (row + r < weights->rows)
                finish_row(epilogue, row + r, (row + r) * width + token, token, acc[r], false);
    }
}

ESPI_INLINE void dense_product(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first,
                               size_t end, const struct espi_epilogue *epilogue)
{
    size_t quad = first;
    if (DENSE_ROWS == 6)
        for (; quad + 3 <= end; quad += 3) {
            dense_block(weights, x, width, quad * 4, 0, DENSE_ROWS, epilogue);
            dense_block(weights, x, width, quad * 4 + 6, 2, DENSE_ROWS, epilogue);
        }
    for (; quad < end; quad++)
        dense_block(weights, x, width, quad * 4, 0, 4, epilogue);
}

/* ---- sparse ------------------------------------------------------------------------------------------------------------ */

ESPI_INLINE void sparse_product(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first,
                                size_t end, const struct espi_epilogue *epilogue)
{
    for (size_t i = first * (width / CHUNK); i < end * (width / CHUNK); i++) {
        size_t quad = i / (width / CHUNK), token = i % (width / CHUNK) * CHUNK;
        __m256i acc[4][2];
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++)
            acc[r][0] = acc[r][1] = _mm256_set1_epi32(epilogue->start[quad * 4 + r]);
        for (size_t group = weights->starts[quad]; group < weights->starts[quad + 1]; group++) {
            const uint16_t *indices = weights->indices + group * 4;
            struct columns columns =
                from_rows(load_16(x + indices[0] * width + token), load_16(x + indices[1] * width + token),
                          load_16(x + indices[2] * width + token), load_16(x + indices[3] * width + token));
#pragma GCC unroll 4
            for (size_t r = 0; r < 4; r++)
                dot_row(acc[r], &columns, weights->weights + group * 16 + r * 4);
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++)
            if (quad * 4 + r < weights->rows)
                finish_row(epilogue, quad * 4 + r, (quad * 4 + r) * width + token, token, acc[r], true);
    }
}

#endif
