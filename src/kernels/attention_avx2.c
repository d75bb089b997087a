/* SPDX-License-Identifier: Apache-2.0
 * Attention of AVX2. Products of two groups of 4 are added up in 16 bits before they are widened, where a bound that holds
 * for all keys, or all rows of V, says that they fit: it is found once per 16 queries, from the queries or probabilities
 * themselves, so that the inner loops branch alike for all of them. docs/kernels.md has the bounds. */
#include "kernels/attention_pairs.h"
#include "kernels/attention_ymm.h"

/* ---- scores -------------------------------------------------------------------------------------------------------------- */

/* 4 keys of a chunk. `k`: of the first key, groups of features as far apart as those of q. */
ESPI_INLINE void score_keys(const struct lists *lists, const uint8_t *k, const uint8_t *q, __m256i acc[4][2])
{
    for (const uint32_t *at = lists->pair_items, *end = at + 2 * lists->pairs; at < end; at += 2) {
        const uint8_t *w = k + at[0], *v = k + at[1], *x = q + at[0], *y = q + at[1];
        const __m256i x0[2] = {load_32(x), load_32(x + 32)}, x1[2] = {load_32(y), load_32(y + 32)};
        dot_pair_s8(acc[0], x0, x1, w, v);
        dot_pair_s8(acc[1], x0, x1, w + 4, v + 4);
        dot_pair_s8(acc[2], x0, x1, w + 8, v + 8);
        dot_pair_s8(acc[3], x0, x1, w + 12, v + 12);
    }
    for (const uint32_t *at = lists->single_items, *end = at + lists->single; at < end; at++) {
        const __m256i x[2] = {load_32(q + *at), load_32(q + *at + 32)};
        dot_single_s8(acc[0], x, k + *at);
        dot_single_s8(acc[1], x, k + *at + 4);
        dot_single_s8(acc[2], x, k + *at + 8);
        dot_single_s8(acc[3], x, k + *at + 12);
    }
    for (const uint32_t *at = lists->rest_items, *end = at + lists->rest; at < end; at++) {
        const __m256i x[2] = {load_32(q + *at), load_32(q + *at + 32)};
        dot_words_s8(acc[0], x, k + *at);
        dot_words_s8(acc[1], x, k + *at + 4);
        dot_words_s8(acc[2], x, k + *at + 8);
        dot_words_s8(acc[3], x, k + *at + 12);
    }
}

/* Scores of a chunk: a key's words stand as packing leaves them: 128-bit lane l holds tokens 4l .. 4l + 3 and 4l + 8 ..
 * 4l + 11. Returns the largest of each query. */
static __m256i score_chunk(const struct espi_packed_head *head, const struct work *work, uint32_t shift_count,
                           const __m256i begin[2])
{
    const __m128i shift = _mm_cvtsi32_si128((int)shift_count);
    __m256i largest = _mm256_set1_epi16(INT16_MIN), *scores = work->scores;
    for (size_t key = 0; key < round_up_16(head->count); key += 4, scores += 4) {
        const uint8_t *k = work->keys + key / 16 * 16 * head->size + key % 16 * 4;
        __m256i acc[4][2];
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++) {
            const __m256i none = _mm256_set1_epi32(INT32_MIN / 2);
            acc[i][0] = key + i < head->count ? begin[0] : none;
            acc[i][1] = key + i < head->count ? begin[1] : none;
        }
        score_keys(&work->features, k, (const uint8_t *)work->queries, acc);
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++) {
            __m256i words = _mm256_packs_epi32(_mm256_sra_epi32(acc[i][0], shift), _mm256_sra_epi32(acc[i][1], shift));
            _mm256_storeu_si256(scores + i, words);
            largest = _mm256_max_epi16(largest, words);
        }
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

ESPI_INLINE bool is_zero(__m256i bits)
{
    return _mm256_testz_si256(bits, bits);
}

ESPI_INLINE bool fits(__m256i low, __m256i high, __m256i limit)
{
    return is_zero(_mm256_cmpgt_epi16(_mm256_max_epi16(low, high), limit));
}

/* Lists a group that has no partner: safe when the sums of its pairs of probabilities are, else where V is narrow. */
ESPI_INLINE void list_group(struct lists *lists, size_t key, __m256i low, __m256i high, __m256i limit, bool alone)
{
    bool safe = fits(low, high, limit), any = !is_zero(_mm256_or_si256(low, high)); // the safe ones may all be 0
    lists->single = append(lists->single_items, lists->single, key, alone & safe & any);
    lists->rest = append(lists->rest_items, lists->rest, key, alone & !safe);
}

/* Lists the groups of keys. Two neighbours are a pair when the sums of their probabilities fit. */
static void list_values(const struct espi_packed_head *head, struct work *work, const __m256i sums[2],
                        const __m256i valid[2])
{
    const __m256i limit = _mm256_set1_epi16((short)(INT16_MAX / (work->most_value ? work->most_value : 1)));
    struct lists *lists = &work->values;
    lists->pairs = lists->single = lists->rest = 0;
    work->complement = is_flat(head->count, sums, valid);
    const __m256i flip = _mm256_set1_epi8(work->complement ? -1 : 0);
    __m256i *p = work->p;
    for (size_t key = 0; key < head->count; key += 8, p += 4) {
        __m256i pairs[4];
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++) {
            size_t left = head->count - key, done = i / 2 * 4; // keys that do not exist have no value
            uint32_t keys = left >= done + 4 ? 0x01010101u : left <= done ? 0 : 0x01010101u >> 8 * (done + 4 - left);
            p[i] = _mm256_xor_si256(p[i], flip);
            pairs[i] = _mm256_and_si256(_mm256_maddubs_epi16(p[i], _mm256_set1_epi32((int)keys)), valid[i % 2]);
        }
        __m256i low = _mm256_add_epi16(pairs[0], pairs[2]), high = _mm256_add_epi16(pairs[1], pairs[3]);
        bool pair = fits(low, high, limit), any = !is_zero(_mm256_or_si256(low, high));
        lists->pairs = append(lists->pair_items, lists->pairs, key, pair & any);
        list_group(lists, key, pairs[0], pairs[1], limit, !pair);
        list_group(lists, key + 4, pairs[2], pairs[3], limit, !pair);
    }
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
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++) {
            if (work->complement) { // Σ p v = 255 Σ v - Σ (255 - p) v
                __m256i all = _mm256_set1_epi32(255 * work->value_sums[row + r]);
                acc[r][0] = _mm256_sub_epi32(all, acc[r][0]);
                acc[r][1] = _mm256_sub_epi32(all, acc[r][1]);
            }
            finish_values(attention, lanes, row + r, acc[r], factor);
        }
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
            list_values(head, &work, sums, valid);
            __m256 factor[2];
            invert_sums(sums, factor);
            struct lanes lanes = find_lanes(&attention->span, first + lane);
            weigh_chunk(head, &work, factor, attention, &lanes);
        }
    }
}
