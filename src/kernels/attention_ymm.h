/* SPDX-License-Identifier: Apache-2.0
 * Attention with 256-bit vectors: one text for AVX2 and AVX-VNNI, which differ in the dot product alone. Chunks of 16
 * queries go through three stages over all keys: scores, probabilities, weighted values. */
#ifndef ESPI_KERNELS_ATTENTION_YMM_H
#define ESPI_KERNELS_ATTENTION_YMM_H

#include "kernels/attention.h"
#include "kernels/int8_ymm.h"

#include <string.h>

ESPI_INLINE size_t round_up_16(size_t value)
{
    return (value + 15) / 16 * 16;
}

/* ---- scores -------------------------------------------------------------------------------------------------------------- */

/* Keys first .. first + keys - 1 of a block of 16; `stride`: bytes from one group of 4 features of q to the next. A
 * key's words stand as packing leaves them: 128-bit lane l holds tokens 4l .. 4l + 3 and 4l + 8 .. 4l + 11. */
ESPI_INLINE __m256i score_keys(const uint8_t *q, size_t stride, const int8_t *k, const int32_t *start, size_t groups,
                               int first, int keys, __m128i shift, __m256i largest, __m256i *out)
{
    __m256i acc[DENSE_ROWS][2];
#pragma GCC unroll 6
    for (int i = 0; i < keys; i++)
        acc[i][0] = acc[i][1] = _mm256_set1_epi32(start[first + i]);
    for (size_t group = 0; group < groups; group++, q += stride, k += 64) {
        struct columns x = from_dwords(load_32(q), load_32(q + 32));
#pragma GCC unroll 6
        for (int i = 0; i < keys; i++)
            dot_row(acc[i], &x, k + (size_t)(first + i) * 4);
    }
#pragma GCC unroll 6
    for (int i = 0; i < keys; i++) {
        __m256i words = _mm256_packs_epi32(_mm256_sra_epi32(acc[i][0], shift), _mm256_sra_epi32(acc[i][1], shift));
        _mm256_storeu_si256(out + first + i, words);
        largest = _mm256_max_epi16(largest, words);
    }
    return largest;
}

/* All keys, up to the end of the last block. */
ESPI_INLINE __m256i score_chunk(const struct espi_packed_head *head, const uint8_t *q, size_t stride,
                                uint32_t shift_count, __m256i *scores)
{
    const __m128i shift = _mm_cvtsi32_si128((int)shift_count);
    const size_t groups = head->size / 4;
    __m256i largest = _mm256_set1_epi16(INT16_MIN);
    for (size_t key = 0; key < head->count; key += 16) {
        const int8_t *k = head->k + key * head->size;
        int first = 0;
        for (; first + DENSE_ROWS <= 16; first += DENSE_ROWS)
            largest =
                score_keys(q, stride, k, head->start + key, groups, first, DENSE_ROWS, shift, largest, scores + key);
        if (first < 16)
            largest = score_keys(q, stride, k, head->start + key, groups, first, 16 % DENSE_ROWS, shift, largest,
                                 scores + key);
    }
    return largest;
}

/* ---- probabilities --------------------------------------------------------------------------------------------------------- */

ESPI_INLINE __m256i look_up_256(const uint8_t *table, __m256i index)
{
    __m256i low = _mm256_and_si256(index, _mm256_set1_epi8(127));
    return _mm256_blendv_epi8(look_up(table, low), look_up(table + 128, low), index);
}

/* The sum of the 4 bytes of each dword, of those keys that exist. */
ESPI_INLINE __m256i sum_keys(__m256i dwords, size_t key, size_t count)
{
    uint32_t ones = key >= count ? 0 : count - key < 4 ? 0x01010101u >> (8 * (4 - (count - key))) : 0x01010101u;
    __m256i pairs = _mm256_maddubs_epi16(dwords, _mm256_set1_epi32((int)ones)); // at most 510
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

/* Probabilities of all keys as dwords of 4 keys, (keys / 4, 16, 4), and their sums. Eight keys at a time: keys i and
 * i + 4 use the same table and share a register. */
ESPI_INLINE void softmax_chunk(size_t count, const struct espi_attention *attention, __m256i largest,
                               const __m256i *scores, __m256i sums[2], __m256i *out)
{
    const __m256i multiplier = _mm256_set1_epi16((short)attention->multiplier);
    const int half = attention->multiplier ? 32767 / attention->multiplier : 0;
    const __m256i top = _mm256_adds_epi16(largest, _mm256_set1_epi16((short)half));
    sums[0] = sums[1] = _mm256_setzero_si256();
    for (size_t key = 0; key < count; key += 8, scores += 8, out += 4) {
        __m256i p[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            __m256i a = _mm256_sub_epi16(top, _mm256_loadu_si256(scores + i));
            __m256i b = _mm256_sub_epi16(top, _mm256_loadu_si256(scores + i + 4));
            p[i] = look_up_256(espi_softmax_table[i], _mm256_packus_epi16(_mm256_mulhi_epu16(a, multiplier),
                                                                          _mm256_mulhi_epu16(b, multiplier)));
        }
        __m256i ab[2] = {_mm256_unpacklo_epi8(p[0], p[1]), _mm256_unpackhi_epi8(p[0], p[1])};
        __m256i cd[2] = {_mm256_unpacklo_epi8(p[2], p[3]), _mm256_unpackhi_epi8(p[2], p[3])};
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

/* The lanes of a chunk: `count` tokens at value at[0] + row * width[0] of the panels, then at at[1] + ... */
struct lanes {
    size_t at[2], width[2], count[2];
};

ESPI_INLINE struct lanes find_lanes(const struct espi_span *span, size_t token)
{
    struct lanes lanes = {0};
    size_t count = span->count - token < CHUNK ? span->count - token : CHUNK;
    size_t room = ESPI_PANEL_TOKENS - (span->first + token) % ESPI_PANEL_TOKENS;
    lanes.count[0] = count < room ? count : room;
    lanes.count[1] = count - lanes.count[0];
    lanes.at[0] = espi_span_at(span, token, &lanes.width[0]);
    if (lanes.count[1])
        lanes.at[1] = espi_span_at(span, token + room, &lanes.width[1]);
    return lanes;
}

/* One output row: 16 values, of which the existing tokens' are stored. */
ESPI_INLINE void store_row(const struct espi_attention *attention, const struct lanes *lanes, size_t row, __m256 y[2])
{
    float values[CHUNK];
    size_t element = sizeof(float), done = 0;
    if (attention->kind == ESPI_EPILOGUE_U8) {
        element = 1;
        __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(y[0]), _mm256_cvtps_epi32(y[1]));
        words = _mm256_permute4x64_epi64(words, 0xd8);
        _mm_storeu_si128((__m128i *)(void *)values,
                         _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    } else {
        _mm256_storeu_ps(values, y[0]);
        _mm256_storeu_ps(values + 8, y[1]);
    }
    for (int i = 0; i < 2; done += lanes->count[i], i++) {
        size_t at = lanes->at[i] + (attention->row + row) * lanes->width[i];
        memcpy((uint8_t *)attention->out + at * element, (uint8_t *)values + done * element, lanes->count[i] * element);
    }
}

ESPI_INLINE void weigh_rows(const struct espi_packed_head *head, const struct espi_attention *attention,
                            const struct lanes *lanes, const uint8_t *p, const __m256 factor[2], size_t row, int rows)
{
    const size_t keys = round_up_16(head->count);
    __m256i acc[DENSE_ROWS][2];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
        acc[r][0] = acc[r][1] = _mm256_setzero_si256();
    for (size_t key = 0; key < head->count; key += 4, p += 64) {
        struct columns x = from_dwords(load_32(p), load_32(p + 32));
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
            dot_row(acc[r], &x, head->v + (row + (size_t)r) * keys + key);
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < (size_t)rows; r++) {
        __m256 scale = _mm256_set1_ps(attention->scale[row + r]), bias = _mm256_set1_ps(attention->bias[row + r]), y[2];
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            y[v] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(acc[r][v]), factor[v]), scale, bias);
        store_row(attention, lanes, row + r, y);
    }
}

ESPI_INLINE void attend_chunk(const struct espi_packed_head *head, size_t token, const uint8_t *q, size_t stride,
                              const struct espi_attention *attention, __m256i *scratch)
{
    __m256i *scores = scratch, *p = scratch + round_up_16(head->count), sums[2];
    __m256i largest = score_chunk(head, q, stride, attention->shift, scores);
    __m256 factor[2], one = _mm256_set1_ps(1);
    softmax_chunk(head->count, attention, largest, scores, sums, p);
    factor[0] = _mm256_div_ps(one, _mm256_cvtepi32_ps(sums[0]));
    factor[1] = _mm256_div_ps(one, _mm256_cvtepi32_ps(sums[1]));
    struct lanes lanes = find_lanes(&attention->span, token);
    size_t row = 0;
    for (; row + DENSE_ROWS <= head->size; row += DENSE_ROWS)
        weigh_rows(head, attention, &lanes, (const uint8_t *)p, factor, row, DENSE_ROWS);
    for (; row < head->size; row += 2)
        weigh_rows(head, attention, &lanes, (const uint8_t *)p, factor, row, 2);
}

ESPI_INLINE void attend(const struct espi_packed_head *head, size_t first_block, size_t end_block,
                        const struct espi_attention *attention, void *scratch)
{
    for (size_t block = first_block; block < end_block; block++) {
        size_t width = espi_query_width(head->count, block), first = block * ESPI_PANEL_TOKENS;
        for (size_t lane = 0; lane < width && first + lane < head->count; lane += CHUNK)
            attend_chunk(head, first + lane, head->q + first * head->size + lane * 4, width * 4, attention, scratch);
    }
}

#endif
