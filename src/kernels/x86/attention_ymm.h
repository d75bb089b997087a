/* SPDX-License-Identifier: Apache-2.0
 * What the attention kernels with 256-bit vectors share. Chunks of 16 queries go through three stages over all keys: scores,
 * probabilities, weighted values; the first and the last are products, which differ from one instruction set to the other. */
#ifndef ESPI_KERNELS_ATTENTION_YMM_H
#define ESPI_KERNELS_ATTENTION_YMM_H

#include "kernels/attention.h"
#include "kernels/x86/product_ymm.h"

ESPI_INLINE size_t round_up_16(size_t value)
{
    return (value + 15) / 16 * 16;
}

/* ---- scores -------------------------------------------------------------------------------------------------------------- */

/* Of each query, in the order of the scores. */
struct extremes_16 {
    __m256i largest, smallest;
};

/* Adds to the scores of a chunk, whose first query is number `query`, what there is by distance. */
static struct extremes_16 add_distances(size_t count, const int16_t *distances, size_t query, __m256i *scores)
{
    struct extremes_16 found = {_mm256_set1_epi16(INT16_MIN), _mm256_set1_epi16(INT16_MAX)};
    for (size_t key = 0; key < count; key++) {
        const int16_t *at = distances + ((ptrdiff_t)query - (ptrdiff_t)key);
        __m256i added = _mm256_permute4x64_epi64(_mm256_loadu_si256((const __m256i *)(const void *)at), 0xd8);
        scores[key] = _mm256_adds_epi16(scores[key], added);
        found.largest = _mm256_max_epi16(found.largest, scores[key]);
        found.smallest = _mm256_min_epi16(found.smallest, scores[key]);
    }
    return found;
}

/* ---- probabilities --------------------------------------------------------------------------------------------------------- */

/* espi_softmax_factors, each 16 words as their low bytes and their high bytes. */
struct factors {
    __m256i low[2], high[2];
};

ESPI_INLINE struct factors load_factors(void)
{
    const __m128i order = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    struct factors factors;
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const uint8_t *words = (const uint8_t *)espi_softmax_factors[i];
        __m128i first = _mm_shuffle_epi8(load_16(words), order), second = _mm_shuffle_epi8(load_16(words + 16), order);
        factors.low[i] = _mm256_broadcastsi128_si256(_mm_unpacklo_epi64(first, second));
        factors.high[i] = _mm256_broadcastsi128_si256(_mm_unpackhi_epi64(first, second));
    }
    return factors;
}

/* 256 * the table's entries before they are rounded: of the bytes' low halves, of their high halves. */
ESPI_INLINE void exponentials(const struct factors *factors, __m256i index, __m256i out[2])
{
    const __m256i mask = _mm256_set1_epi8(15);
    __m256i coarse = _mm256_and_si256(_mm256_srli_epi16(index, 4), mask), fine = _mm256_and_si256(index, mask);
    __m256i low[2] = {_mm256_shuffle_epi8(factors->low[0], coarse), _mm256_shuffle_epi8(factors->low[1], fine)};
    __m256i high[2] = {_mm256_shuffle_epi8(factors->high[0], coarse), _mm256_shuffle_epi8(factors->high[1], fine)};
    out[0] = _mm256_mulhi_epu16(_mm256_unpacklo_epi8(low[0], high[0]), _mm256_unpacklo_epi8(low[1], high[1]));
    out[1] = _mm256_mulhi_epu16(_mm256_unpackhi_epi8(low[0], high[0]), _mm256_unpackhi_epi8(low[1], high[1]));
}

/* The high bytes of two vectors of words, side by side. */
ESPI_INLINE __m256i join_bytes(__m256i a, __m256i b)
{
    return _mm256_or_si256(_mm256_srli_epi16(a, 8), _mm256_andnot_si256(_mm256_set1_epi16(255), b));
}

/* The sum of the 4 bytes of each dword, of those keys that exist. */
ESPI_INLINE __m256i sum_keys(__m256i dwords, size_t key, size_t count)
{
    uint32_t ones = key >= count ? 0 : count - key < 4 ? 0x01010101u >> (8 * (4 - (count - key))) : 0x01010101u;
    __m256i pairs = _mm256_maddubs_epi16(dwords, _mm256_set1_epi32((int)ones)); // at most 510
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

/* What scores are subtracted from. */
ESPI_INLINE __m256i find_top(const struct espi_attention *attention, __m256i largest)
{
    const int half = attention->multiplier ? 32767 / attention->multiplier : 0;
    return _mm256_adds_epi16(largest, _mm256_set1_epi16((short)half));
}

/* Probabilities of all keys as dwords of 4 keys, (keys / 4, 16, 4), and their sums, all less a 256th of each query's `base`.
 * Eight keys at a time: keys i and i + 4 round alike and share a register. */
ESPI_INLINE void softmax_chunk(size_t count, const struct espi_attention *attention, __m256i top, __m256i base,
                               const __m256i *scores, __m256i sums[2], __m256i *out)
{
    const __m256i multiplier = _mm256_set1_epi16((short)attention->multiplier);
    const struct factors factors = load_factors();
    sums[0] = sums[1] = _mm256_setzero_si256();
    for (size_t key = 0; key < count; key += 8, scores += 8, out += 4) {
        __m256i p[4][2];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const __m256i round = _mm256_sub_epi16(_mm256_set1_epi16(espi_softmax_rounding[i]), base);
            __m256i a = _mm256_sub_epi16(top, _mm256_loadu_si256(scores + i));
            __m256i b = _mm256_sub_epi16(top, _mm256_loadu_si256(scores + i + 4));
            exponentials(&factors,
                         _mm256_packus_epi16(_mm256_mulhi_epu16(a, multiplier), _mm256_mulhi_epu16(b, multiplier)),
                         p[i]);
            p[i][0] = _mm256_add_epi16(p[i][0], round);
            p[i][1] = _mm256_add_epi16(p[i][1], round);
        }
        __m256i ab[2] = {join_bytes(p[0][0], p[1][0]), join_bytes(p[0][1], p[1][1])};
        __m256i cd[2] = {join_bytes(p[2][0], p[3][0]), join_bytes(p[2][1], p[3][1])};
#pragma GCC unroll 2
        for (size_t i = 0; i < 2; i++) { // the first four keys, the others
            __m256i low = _mm256_unpacklo_epi16(ab[i], cd[i]), high = _mm256_unpackhi_epi16(ab[i], cd[i]);
            sums[0] = _mm256_add_epi32(sums[0], sum_keys(low, key + 4 * i, count));
            sums[1] = _mm256_add_epi32(sums[1], sum_keys(high, key + 4 * i, count));
            _mm256_storeu_si256(out + 2 * i, low);
            _mm256_storeu_si256(out + 2 * i + 1, high);
        }
    }
}

/* ---- values ---------------------------------------------------------------------------------------------------------------- */

/* One output row: 16 values, of which the existing tokens' are stored. */
ESPI_INLINE void store_row(const struct espi_attention *attention, const struct espi_stretch *lanes, size_t row,
                           __m256 y[2])
{
    float values[CHUNK];
    const bool whole = lanes->count[0] == CHUNK;
    size_t element = attention->kind == ESPI_EPILOGUE_U8 ? 1 : sizeof(float);
    uint8_t *out = (uint8_t *)attention->out + (lanes->at[0] + (attention->row + row) * lanes->width[0]) * element;
    uint8_t *to = whole ? out : (uint8_t *)values;
    if (element == 1) {
        __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(y[0]), _mm256_cvtps_epi32(y[1]));
        words = _mm256_permute4x64_epi64(words, 0xd8);
        _mm_storeu_si128((__m128i *)(void *)to,
                         _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    } else {
        _mm256_storeu_ps((float *)(void *)to, y[0]);
        _mm256_storeu_ps((float *)(void *)to + 8, y[1]);
    }
    if (!whole)
        espi_stretch_store(lanes, attention->row + row, element, values, attention->out);
}

/* 1 / the sum of the probabilities of each query. */
ESPI_INLINE void invert_sums(const __m256i sums[2], __m256 factor[2])
{
    __m256 one = _mm256_set1_ps(1);
    factor[0] = _mm256_div_ps(one, _mm256_cvtepi32_ps(sums[0]));
    factor[1] = _mm256_div_ps(one, _mm256_cvtepi32_ps(sums[1]));
}

/* An output row of a chunk from its sums. */
ESPI_INLINE void finish_values(const struct espi_attention *attention, const struct espi_stretch *lanes, size_t row,
                               const __m256i sums[2], const __m256 factor[2])
{
    __m256 scale = _mm256_set1_ps(attention->scale[row]), bias = _mm256_set1_ps(attention->bias[row]), y[2];
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++)
        y[v] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[v]), factor[v]), scale, bias);
    store_row(attention, lanes, row, y);
}

#endif
