/* SPDX-License-Identifier: Apache-2.0
 * Attention of AVX2. Products of two groups of 4 are added up in 16 bits before they are widened, where they fit
 * (kernels/x86/attention_pairs.h). */
#include "kernels/x86/attention_pairs.h"
#include "kernels/x86/attention_ymm.h"
#include "kernels/x86/panel_ymm.h"

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
    for (end += lists->split; at < end; at++, q += 2) {
        const __m256i x[2] = {q[0], q[1]};
        __m256i first[2], second[2];
        split(x, first, second);
        dot_two_s8(acc[0], first, second, k + *at, k + *at);
        dot_two_s8(acc[1], first, second, k + *at + 4, k + *at + 4);
        dot_two_s8(acc[2], first, second, k + *at + 8, k + *at + 8);
        dot_two_s8(acc[3], first, second, k + *at + 12, k + *at + 12);
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

/* All keys. Behind the last one there is anything. */
static struct extremes_16 score_chunk(const struct espi_packed_head *head, const struct work *work,
                                      uint32_t shift_count, const __m256i begin[2])
{
    const __m128i shift = _mm_cvtsi32_si128((int)shift_count);
    const size_t count = head->count, size = head->size;
    struct extremes_16 scores = {_mm256_set1_epi16(INT16_MIN), _mm256_set1_epi16(INT16_MAX)};
    __m256i words[4];
    size_t key = 0;
    for (; key + 4 <= count; key += 4) {
        score_4(work, size, key, shift, begin, words);
        scores.largest = _mm256_max_epi16(scores.largest, _mm256_max_epi16(_mm256_max_epi16(words[0], words[1]),
                                                                           _mm256_max_epi16(words[2], words[3])));
        scores.smallest = _mm256_min_epi16(scores.smallest, _mm256_min_epi16(_mm256_min_epi16(words[0], words[1]),
                                                                             _mm256_min_epi16(words[2], words[3])));
    }
    if (key < count) {
        score_4(work, size, key, shift, begin, words);
        for (size_t i = 0; i < count - key; i++) {
            scores.largest = _mm256_max_epi16(scores.largest, words[i]);
            scores.smallest = _mm256_min_epi16(scores.smallest, words[i]);
        }
    }
    return scores;
}

/* ---- values -------------------------------------------------------------------------------------------------------------- */

/* A query that gives something to all its keys, as those of a model that has learnt little do: what they have in common
 * counts with the sum of V, and the rest is small. 256 times that, in the order of the scores; to a multiple of 32, since it
 * does not pay for less. The table's first rounding is its lowest. */
ESPI_INLINE __m256i find_base(const struct espi_attention *attention, __m256i top, __m256i smallest)
{
    const struct factors factors = load_factors();
    const __m256i multiplier = _mm256_set1_epi16((short)attention->multiplier);
    __m256i index = _mm256_mulhi_epu16(_mm256_sub_epi16(top, smallest), multiplier), p[2];
    exponentials(&factors, _mm256_packus_epi16(index, index), p);
    p[0] = _mm256_add_epi16(p[0], _mm256_set1_epi16(espi_softmax_rounding[0]));
    return _mm256_and_si256(p[0], _mm256_set1_epi16((short)0xe000));
}

/* Probabilities less their base; sums: of the probabilities. */
ESPI_INLINE void softmax(size_t count, const struct espi_attention *attention, struct work *work,
                         const struct extremes_16 *scores, const __m256i valid[2], __m256i sums[2])
{
    const __m256i top = find_top(attention, scores->largest), zero = _mm256_setzero_si256();
    const __m256i base = find_base(attention, top, scores->smallest);
    softmax_chunk(count, attention, top, base, work->scores, sums, work->p);
    work->base[0] = _mm256_and_si256(_mm256_srli_epi32(_mm256_unpacklo_epi16(base, zero), 8), valid[0]);
    work->base[1] = _mm256_and_si256(_mm256_srli_epi32(_mm256_unpackhi_epi16(base, zero), 8), valid[1]);
    __m256i any = _mm256_or_si256(work->base[0], work->base[1]);
    work->has_base = !_mm256_testz_si256(any, any);
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++)
        sums[v] = _mm256_add_epi32(sums[v], _mm256_mullo_epi32(work->base[v], _mm256_set1_epi32((int)count)));
}

/* Appends the item if `yes`, without a branch: which keys are pairs is hard to predict. */
ESPI_INLINE size_t append(uint32_t *items, size_t count, size_t item, bool yes)
{
    items[count] = (uint32_t)item;
    return count + yes;
}

/* most_values has 127 for 128: 4 products may be 4 * 255 more. */
enum { VALUE_LIMIT = INT16_MAX - 4 * 255 };

/* Lists 8 keys, left out when all give 0: as a pair when their Σ p max |v| fit together, else one by one. What stands
 * behind the last key counts for nothing: its values are 0. */
ESPI_INLINE void list_step(struct work *work, size_t key, const __m256i valid[2])
{
    const __m256i limit = _mm256_set1_epi16(VALUE_LIMIT);
    const __m256i most[2] = {_mm256_set1_epi32((int)load_dword(work->most_values + key)),
                             _mm256_set1_epi32((int)load_dword(work->most_values + key + 4))};
    struct lists *lists = &work->values;
    const __m256i *p = work->p + key / 2;
    __m256i loads[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++)
        loads[i] = _mm256_and_si256(_mm256_maddubs_epi16(p[i], most[i / 2]), valid[i % 2]);
    __m256i both = _mm256_max_epi16(_mm256_adds_epi16(loads[0], loads[2]), _mm256_adds_epi16(loads[1], loads[3]));
    __m256i first = _mm256_cmpgt_epi16(_mm256_max_epi16(loads[0], loads[1]), limit);
    __m256i second = _mm256_cmpgt_epi16(_mm256_max_epi16(loads[2], loads[3]), limit);
    uint32_t beyond = (uint32_t)_mm256_movemask_epi8(_mm256_packs_epi16(first, second)); // 8 bits of each, twice
    bool pair = !_mm256_movemask_epi8(_mm256_cmpgt_epi16(both, limit));
    bool split_first = beyond & 0x00ff00ff, split_second = beyond & 0xff00ff00;
    lists->pairs = append(lists->pair_items, lists->pairs, key, pair & !_mm256_testz_si256(both, both));
    lists->two = append(lists->two_items, lists->two, key, !pair & !beyond);
    lists->single = append(lists->single_items, lists->single, key, !split_first & split_second);
    lists->single = append(lists->single_items, lists->single, key + 4, split_first & !split_second);
    lists->split = append(lists->split_items, lists->split, key, split_first);
    lists->split = append(lists->split_items, lists->split, key + 4, split_second);
}

static void list_values(size_t count, struct work *work, const __m256i valid[2])
{
    work->values.pairs = work->values.two = work->values.single = work->values.split = 0;
    for (size_t key = 0; key < count; key += 8)
        list_step(work, key, valid);
}

/* A row of V times two neighbouring groups of keys, added up in 16 bits or each alone. */
ESPI_INLINE void dot_neighbours(__m256i acc[2], const __m256i x[2], const __m256i y[2], const int8_t *w, bool together)
{
    if (together)
        dot_pair_u8(acc, x, y, w, w + 4);
    else
        dot_two_u8(acc, x, y, w, w + 4);
}

ESPI_INLINE void weigh_neighbours(const uint32_t *items, size_t count, bool together, const int8_t *v, size_t stride,
                                  const uint8_t *p, __m256i acc[4][2])
{
    for (const uint32_t *at = items, *end = at + count; at < end; at++) {
        const int8_t *w = v + *at;
        const uint8_t *from = p + (size_t)*at * CHUNK;
        const __m256i x[2] = {load_32(from), load_32(from + 32)}, y[2] = {load_32(from + 64), load_32(from + 96)};
        dot_neighbours(acc[0], x, y, w, together);
        dot_neighbours(acc[1], x, y, w + stride, together);
        dot_neighbours(acc[2], x, y, w + 2 * stride, together);
        dot_neighbours(acc[3], x, y, w + 3 * stride, together);
    }
}

/* 4 rows of V, `stride` apart. */
ESPI_INLINE void weigh_rows(const struct lists *lists, const int8_t *v, size_t stride, const uint8_t *p,
                            __m256i acc[4][2])
{
    weigh_neighbours(lists->pair_items, lists->pairs, true, v, stride, p, acc);
    weigh_neighbours(lists->two_items, lists->two, false, v, stride, p, acc);
    for (const uint32_t *at = lists->single_items, *end = at + lists->single; at < end; at++) {
        const int8_t *w = v + *at;
        const uint8_t *from = p + (size_t)*at * CHUNK;
        const __m256i x[2] = {load_32(from), load_32(from + 32)};
        dot_single_u8(acc[0], x, w);
        dot_single_u8(acc[1], x, w + stride);
        dot_single_u8(acc[2], x, w + 2 * stride);
        dot_single_u8(acc[3], x, w + 3 * stride);
    }
    for (const uint32_t *at = lists->split_items, *end = at + lists->split; at < end; at++) {
        const int8_t *w = v + *at;
        const uint8_t *from = p + (size_t)*at * CHUNK;
        const __m256i x[2] = {load_32(from), load_32(from + 32)};
        __m256i first[2], second[2];
        split(x, first, second);
        dot_two_u8(acc[0], first, second, w, w);
        dot_two_u8(acc[1], first, second, w + stride, w + stride);
        dot_two_u8(acc[2], first, second, w + 2 * stride, w + 2 * stride);
        dot_two_u8(acc[3], first, second, w + 3 * stride, w + 3 * stride);
    }
}

/* Σ (p + base) v = Σ p v + base Σ v */
ESPI_INLINE void add_base(const __m256i base[2], const int32_t value_sums[4], __m256i acc[4][2])
{
#pragma GCC unroll 4
    for (size_t r = 0; r < 4; r++) {
        const __m256i sum = _mm256_set1_epi32(value_sums[r]);
        acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_mullo_epi32(base[0], sum));
        acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_mullo_epi32(base[1], sum));
    }
}

/* 4 output rows of a chunk from their sums. */
ESPI_INLINE void finish_4(const struct espi_attention *attention, const struct espi_stretch *lanes, size_t row,
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
                        const struct espi_attention *attention, const struct espi_stretch *lanes)
{
    const size_t keys = round_up_16(head->count);
    for (size_t row = 0; row < head->size; row += 4) {
        __m256i acc[4][2];
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++)
            acc[r][0] = acc[r][1] = _mm256_setzero_si256();
        weigh_rows(&work->values, head->v + row * keys, keys, (const uint8_t *)work->p, acc);
        if (work->has_base)
            add_base(work->base, work->value_sums + row, acc);
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
            struct extremes_16 scores = score_chunk(head, &work, attention->shift, begin);
            if (attention->distances)
                scores = add_distances(head->count, attention->distances, first + lane, work.scores);
            softmax(head->count, attention, &work, &scores, valid, sums);
            list_values(head->count, &work, valid);
            __m256 factor[2];
            invert_sums(sums, factor);
            struct espi_stretch lanes = espi_span_stretch(&attention->span, first + lane, CHUNK);
            weigh_chunk(head, &work, factor, attention, &lanes);
        }
    }
}
