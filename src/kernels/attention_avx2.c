/* SPDX-License-Identifier: Apache-2.0
 * Attention of AVX2. Products of two groups of 4 are added up in 16 bits before they are widened, where a bound that holds
 * for all keys, or all rows of V, says that they fit: it is found once per 16 queries, from the queries or probabilities
 * themselves, so that the inner loops branch alike for all of them. docs/kernels.md has the bounds. */
#include "kernels/attention_pairs.h"
#include "kernels/attention_ymm.h"
#include "kernels/panel_ymm.h"

/* ---- scores -------------------------------------------------------------------------------------------------------------- */

/* 4 keys of a chunk. k: of the first key; q: ordered. */
ESPI_INLINE void score_keys(const struct lists *lists, const uint8_t *k, const __m256i *q, __m256i acc[4][2])
{
    const uint32_t *at = lists->pair_items, *end = at + 2 * lists->pairs;
    for (; at < end; at += 2, q += 4) {
        const uint8_t *w = k + at[0], *v = k + at[1];
        const __m256i x[2] = {q[0], q[1]}, y[2] = {q[2], q[3]};
        dot_pair_s8(acc[0], x, y, w, v);
        dot_pair_s8(acc[1], x, y, w + 4, v + 4);
        dot_pair_s8(acc[2], x, y, w + 8, v + 8);
        dot_pair_s8(acc[3], x, y, w + 12, v + 12);
    }
    for (end += lists->single; at < end; at++, q += 2) {
        const __m256i x[2] = {q[0], q[1]};
        dot_single_s8(acc[0], x, k + *at);
        dot_single_s8(acc[1], x, k + *at + 4);
        dot_single_s8(acc[2], x, k + *at + 8);
        dot_single_s8(acc[3], x, k + *at + 12);
    }
    for (end += lists->rest; at < end; at++, q += 2) {
        const __m256i x[2] = {q[0], q[1]};
        dot_words_s8(acc[0], x, k + *at);
        dot_words_s8(acc[1], x, k + *at + 4);
        dot_words_s8(acc[2], x, k + *at + 8);
        dot_words_s8(acc[3], x, k + *at + 12);
    }
}

/* Scores of 4 keys: a key's words stand as packing leaves them: 128-bit lane l holds tokens 4l .. 4l + 3 and 4l + 8 ..
 * 4l + 11. */
ESPI_INLINE void score_4(const struct work *work, size_t size, size_t key, __m128i shift, const __m256i begin[2],
                         __m256i words[4])
{
    __m256i acc[4][2] = {{begin[0], begin[1]}, {begin[0], begin[1]}, {begin[0], begin[1]}, {begin[0], begin[1]}};
    score_keys(&work->features, work->keys + key / 16 * 16 * size + key % 16 * 4, work->ordered, acc);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        words[i] = _mm256_packs_epi32(_mm256_sra_epi32(acc[i][0], shift), _mm256_sra_epi32(acc[i][1], shift));
        _mm256_store_si256(work->scores + key + i, words[i]);
    }
}

/* All keys; returns the largest score of each query. Behind the last key there is anything. */
static __m256i score_chunk(const struct espi_packed_head *head, const struct work *work, uint32_t shift_count,
                           const __m256i begin[2])
{
    const __m128i shift = _mm_cvtsi32_si128((int)shift_count);
    const size_t count = head->count, size = head->size;
    __m256i largest = _mm256_set1_epi16(INT16_MIN), words[4];
    size_t key = 0;
    for (; key + 4 <= count; key += 4) {
        score_4(work, size, key, shift, begin, words);
        largest = _mm256_max_epi16(
            largest, _mm256_max_epi16(_mm256_max_epi16(words[0], words[1]), _mm256_max_epi16(words[2], words[3])));
    }
    if (key < count) {
        score_4(work, size, key, shift, begin, words);
        for (size_t i = 0; i < count - key; i++)
            largest = _mm256_max_epi16(largest, words[i]);
    }
    return largest;
}

/* ---- values -------------------------------------------------------------------------------------------------------------- */

/* Whether every query gives all its keys nearly as much as its first: then 255 - p is what is small. */
ESPI_INLINE bool is_flat(size_t count, const __m256i sums[2], const __m256i valid[2])
{
    const __m256i least = _mm256_set1_epi32((int)(count * 191));
    __m256i less = _mm256_or_si256(_mm256_and_si256(_mm256_cmpgt_epi32(least, sums[0]), valid[0]),
                                   _mm256_and_si256(_mm256_cmpgt_epi32(least, sums[1]), valid[1]));
    return _mm256_testz_si256(less, less);
}

/* Appends what `yes` says, without a branch: which groups are pairs is hard to predict. */
ESPI_INLINE size_t append(uint32_t *items, size_t count, size_t item, bool yes)
{
    items[count] = (uint32_t)item;
    return count + yes;
}

/* most_values has 127 for 128: 4 products may be 4 * 255 more. */
enum { VALUE_LIMIT = INT16_MAX - 4 * 255 };

/* Lists 8 keys: two neighbouring groups are a pair when their Σ p max |v| fit, and left out when all are 0. A group that has no
 * partner is safe when its own do. What stands behind the last key counts for nothing: its values are 0. */
ESPI_INLINE void list_step(struct work *work, size_t key, bool complement, const __m256i valid[2])
{
    const __m256i limit = _mm256_set1_epi16(VALUE_LIMIT);
    struct lists *lists = &work->values;
    __m256i *p = work->p + key / 2, loads[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        __m256i most = _mm256_broadcastd_epi32(_mm_loadu_si32(work->most_values + key + i / 2 * 4));
        if (complement)
            p[i] = _mm256_xor_si256(p[i], _mm256_set1_epi8(-1));
        loads[i] = _mm256_and_si256(_mm256_maddubs_epi16(p[i], most), valid[i % 2]);
    }
    __m256i low = _mm256_adds_epi16(loads[0], loads[2]), high = _mm256_adds_epi16(loads[1], loads[3]);
    __m256i any = _mm256_or_si256(low, high);
    bool pair = !_mm256_movemask_epi8(_mm256_cmpgt_epi16(_mm256_max_epi16(low, high), limit));
    uint32_t beyond = (uint32_t)_mm256_movemask_epi8( // 8 bits of the first group, 8 of the second, twice
        _mm256_packs_epi16(_mm256_cmpgt_epi16(_mm256_max_epi16(loads[0], loads[1]), limit),
                           _mm256_cmpgt_epi16(_mm256_max_epi16(loads[2], loads[3]), limit)));
    bool first = !(beyond & 0x00ff00ff), second = !(beyond & 0xff00ff00);
    lists->pairs = append(lists->pair_items, lists->pairs, key, pair & !_mm256_testz_si256(any, any));
    lists->single = append(lists->single_items, lists->single, key, !pair & first);
    lists->single = append(lists->single_items, lists->single, key + 4, !pair & second);
    lists->rest = append(lists->rest_items, lists->rest, key, !pair & !first);
    lists->rest = append(lists->rest_items, lists->rest, key + 4, !pair & !second);
}

static void list_values(size_t count, struct work *work, const __m256i sums[2], const __m256i valid[2])
{
    work->values.pairs = work->values.single = work->values.rest = 0;
    work->complement = is_flat(count, sums, valid);
    for (size_t key = 0; key < count; key += 8)
        if (work->complement)
            list_step(work, key, true, valid);
        else
            list_step(work, key, false, valid);
}

/* 4 rows of V, `stride` apart. */
ESPI_INLINE void weigh_rows(const struct lists *lists, const uint8_t *narrow, const int8_t *v, size_t stride,
                            const uint8_t *p, __m256i acc[4][2])
{
    for (const uint32_t *at = lists->pair_items, *end = at + lists->pairs; at < end; at++) {
        const int8_t *w = v + *at;
        const uint8_t *x = p + (size_t)*at * CHUNK;
        const __m256i x0[2] = {load_32(x), load_32(x + 32)}, x1[2] = {load_32(x + 64), load_32(x + 96)};
        dot_pair_u8(acc[0], x0, x1, w, w + 4);
        dot_pair_u8(acc[1], x0, x1, w + stride, w + stride + 4);
        dot_pair_u8(acc[2], x0, x1, w + 2 * stride, w + 2 * stride + 4);
        dot_pair_u8(acc[3], x0, x1, w + 3 * stride, w + 3 * stride + 4);
    }
    for (const uint32_t *at = lists->single_items, *end = at + lists->single; at < end; at++) {
        const int8_t *w = v + *at;
        const uint8_t *x = p + (size_t)*at * CHUNK;
        const __m256i x0[2] = {load_32(x), load_32(x + 32)};
        dot_single_u8(acc[0], x0, w);
        dot_single_u8(acc[1], x0, w + stride);
        dot_single_u8(acc[2], x0, w + 2 * stride);
        dot_single_u8(acc[3], x0, w + 3 * stride);
    }
    for (const uint32_t *at = lists->rest_items, *end = at + lists->rest; at < end; at++) {
        const int8_t *w = v + *at;
        const uint8_t *x = p + (size_t)*at * CHUNK;
        const __m256i x0[2] = {load_32(x), load_32(x + 32)};
        if (narrow[*at / 4]) {
            dot_single_u8(acc[0], x0, w);
            dot_single_u8(acc[1], x0, w + stride);
            dot_single_u8(acc[2], x0, w + 2 * stride);
            dot_single_u8(acc[3], x0, w + 3 * stride);
        } else {
            dot_words_u8(acc[0], x0, w);
            dot_words_u8(acc[1], x0, w + stride);
            dot_words_u8(acc[2], x0, w + 2 * stride);
            dot_words_u8(acc[3], x0, w + 3 * stride);
        }
    }
}

/* Σ p v = 255 Σ v - Σ (255 - p) v */
ESPI_INLINE void subtract_from_all(const int32_t value_sums[4], __m256i acc[4][2])
{
#pragma GCC unroll 4
    for (size_t r = 0; r < 4; r++) {
        __m256i all = _mm256_set1_epi32(255 * value_sums[r]);
        acc[r][0] = _mm256_sub_epi32(all, acc[r][0]);
        acc[r][1] = _mm256_sub_epi32(all, acc[r][1]);
    }
}

/* 4 output rows of a chunk from their sums. */
ESPI_INLINE void finish_4(const struct espi_attention *attention, const struct lanes *lanes, size_t row,
                          const __m256i sums[4][2], const __m256 factor[2])
{
    if (attention->kind != ESPI_EPILOGUE_U8 || lanes->count[0] != CHUNK) {
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++)
            finish_values(attention, lanes, row + r, sums[r], factor);
        return;
    }
    uint8_t *out = (uint8_t *)attention->out + lanes->at[0] + (attention->row + row) * lanes->width[0];
#pragma GCC unroll 4
    for (size_t r = 0; r < 4; r++, out += lanes->width[0]) {
        __m256 scale = _mm256_set1_ps(attention->scale[row + r]), bias = _mm256_set1_ps(attention->bias[row + r]);
        __m256 low = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[r][0]), factor[0]), scale, bias);
        __m256 high = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[r][1]), factor[1]), scale, bias);
        _mm_storeu_si128((__m128i *)(void *)out, to_bytes(low, high));
    }
}

static void weigh_chunk(const struct espi_packed_head *head, const struct work *work, const __m256 factor[2],
                        const struct espi_attention *attention, const struct lanes *lanes)
{
    const size_t keys = round_up_16(head->count);
    for (size_t row = 0; row < head->size; row += 4) {
        __m256i acc[4][2];
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++)
            acc[r][0] = acc[r][1] = _mm256_setzero_si256();
        weigh_rows(&work->values, work->narrow + row / 4 * (keys / 4), head->v + row * keys, keys,
                   (const uint8_t *)work->p, acc);
        if (work->complement)
            subtract_from_all(work->value_sums + row, acc);
        finish_4(attention, lanes, row, (const __m256i(*)[2])acc, factor);
    }
}

void espi_attention_avx2(const struct espi_packed_head *head, size_t first_block, size_t end_block,
                         const struct espi_attention *attention, void *scratch)
{
    struct work work = place_work(head, scratch);
    find_keys(head, &work);
    find_values(head, &work);
    for (size_t block = first_block; block < end_block; block++) {
        size_t width = espi_query_width(head->count, block), first = block * ESPI_PANEL_TOKENS;
        for (size_t lane = 0; lane < width && first + lane < head->count; lane += CHUNK) {
            __m256i valid[2], begin[2], sums[2];
            find_valid(head->count - first - lane, valid);
            take_queries(head, &work, head->q + first * head->size + lane * 4, width * 4, valid, begin);
            __m256i largest = score_chunk(head, &work, attention->shift, begin);
            softmax_chunk(head->count, attention, largest, work.scores, sums, work.p);
            list_values(head->count, &work, sums, valid);
            __m256 factor[2];
            invert_sums(sums, factor);
            struct lanes lanes = find_lanes(&attention->span, first + lane);
            weigh_chunk(head, &work, factor, attention, &lanes);
        }
    }
}
