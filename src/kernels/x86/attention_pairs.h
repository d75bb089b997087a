/* SPDX-License-Identifier: Apache-2.0
 * Which groups of a product of attention may be added up in 16 bits. Only for files compiled for AVX2.
 *
 * A word of maddubs holds 2 products, one of a pair of groups 4. Their sum is at most Σ |a| max |b|, which is known for a chunk
 * of 16 queries before its products are formed. Scores: a is the query, s8, and b is K with 128 added, as u8, so
 * Σ |q| max |k| + 128 |Σ q|, with the largest |k| of each feature. Values: a is the probability, b is V: Σ p max |v|, with the
 * largest |v| of each key. Two groups whose words fit together are taken as a pair, those that only fit alone alone, the others
 * in two halves, whose words hold one product each. So it depends on the chunk alone, not on the key or the row of V, how
 * a group is multiplied, and the inner loops of a chunk all branch alike. */
#ifndef ESPI_KERNELS_ATTENTION_PAIRS_H
#define ESPI_KERNELS_ATTENTION_PAIRS_H

#include "kernels/attention.h"
#include "kernels/x86/dot_avx2.h"

#include <assert.h>
#include <string.h>

/* ---- products ------------------------------------------------------------------------------------------------------------ */

/* Two groups, or the halves of one, each alone. */
ESPI_INLINE void dot_two_u8(__m256i acc[2], const __m256i x[2], const __m256i y[2], const int8_t *w, const int8_t *v)
{
    dot_single_u8(acc, x, w);
    dot_single_u8(acc, y, v);
}

ESPI_INLINE void dot_two_s8(__m256i acc[2], const __m256i x[2], const __m256i y[2], const uint8_t *w, const uint8_t *v)
{
    dot_single_s8(acc, x, w);
    dot_single_s8(acc, y, v);
}

/* The first and third bytes of each dword, and the others: a word of maddubs then holds one product, which always fits. */
ESPI_INLINE void split(const __m256i x[2], __m256i first[2], __m256i second[2])
{
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) {
        first[v] = _mm256_and_si256(x[v], low_bytes);
        second[v] = _mm256_andnot_si256(low_bytes, x[v]);
    }
}

ESPI_INLINE uint32_t load_dword(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

/* ---- scratch memory ------------------------------------------------------------------------------------------------------ */

/* Offsets by the way what stands there is multiplied: two groups as a pair, two neighbours alone, a group alone, a group by
 * halves. */
struct lists {
    size_t pairs, two, single, split;
    uint32_t *pair_items, *two_items, *single_items, *split_items;
};

struct work {
    __m256i *scores; // (keys) of a chunk
    __m256i *p;      // (keys / 2) probabilities of a chunk: (keys / 4, 16, 4)
    /* of the head: */
    uint8_t *keys;        // K with 128 added: (keys / 16, size / 4, 16, 4)
    uint32_t *most_keys;  // (size / 4) 4 bytes each: the largest |k| of a feature, 127 for 128
    uint8_t *most_values; // (keys) the largest |v| of a key, 127 for 128
    int32_t *value_sums;  // (size) Σ v
    /* of a chunk: */
    __m256i *queries;      // (size / 4, 2) s8 dwords of 4 features
    __m256i *ordered;      // the same in the order of the lists
    __m256i *loads;        // (size / 4, 4) Σ |q| most_keys, Σ q of 2 features of a query
    struct lists features; // offsets in `queries`, all in pair_items: two for a pair; no `two`
    struct lists values;   // offsets in a row of V; pairs: of two neighbours
    __m256i base[2];       // of each query what p is less than its probabilities
    bool has_base;
};

ESPI_INLINE void *take(uint8_t **memory, size_t bytes)
{
    void *taken = *memory;
    *memory += (bytes + 31) / 32 * 32;
    return taken;
}

ESPI_INLINE struct lists take_lists(uint8_t **memory, size_t items)
{
    struct lists lists = {0};
    lists.pair_items = take(memory, items * sizeof(uint32_t));
    lists.two_items = take(memory, items * sizeof(uint32_t));
    lists.single_items = take(memory, items * sizeof(uint32_t));
    lists.split_items = take(memory, items * sizeof(uint32_t));
    return lists;
}

/* Within espi_attention_scratch: 53 bytes a key, size * (keys + 73), and less than 48 for each piece. */
ESPI_INLINE struct work place_work(const struct espi_packed_head *head, void *memory)
{
    const size_t keys = (head->count + ESPI_KEY_BLOCK - 1) / ESPI_KEY_BLOCK * ESPI_KEY_BLOCK, groups = head->size / 4;
    uint8_t *at = memory;
    struct work work = {0};
    work.scores = take(&at, keys * sizeof(__m256i));
    work.p = take(&at, keys / 2 * sizeof(__m256i));
    work.keys = take(&at, keys * head->size);
    work.queries = take(&at, groups * 2 * sizeof(__m256i));
    work.ordered = take(&at, groups * 2 * sizeof(__m256i));
    work.loads = take(&at, groups * 4 * sizeof(__m256i));
    work.most_keys = take(&at, groups * sizeof(uint32_t));
    work.most_values = take(&at, keys);
    work.value_sums = take(&at, head->size * sizeof(int32_t));
    work.features = take_lists(&at, groups);
    work.values = take_lists(&at, keys / 4 + 1);
    assert((size_t)(at - (uint8_t *)memory) <= espi_attention_scratch(head->count, head->size));
    return work;
}

/* ---- what is found once for a head --------------------------------------------------------------------------------------- */

/* The largest of the 8 dwords' bytes 0, of their bytes 1, .. */
ESPI_INLINE uint32_t largest_dword(__m256i bytes)
{
    __m128i most = _mm_max_epu8(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    most = _mm_max_epu8(most, _mm_srli_si128(most, 8));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu8(most, _mm_srli_si128(most, 4)));
}

static void find_keys(const struct espi_packed_head *head, struct work *work)
{
    const __m256i flip = _mm256_set1_epi8(INT8_MIN), clip = _mm256_set1_epi8(INT8_MAX);
    for (size_t group = 0; group < head->size / 4; group++) {
        __m256i most = _mm256_setzero_si256();
        for (size_t key = 0; key < head->count; key += ESPI_KEY_BLOCK)
            for (size_t half = 0; half < 64; half += 32) {
                size_t at = key * head->size + group * 64 + half;
                __m256i k = load_32((const uint8_t *)head->k + at);
                most = _mm256_max_epu8(most, _mm256_abs_epi8(k));
                _mm256_storeu_si256((__m256i *)(void *)(work->keys + at), _mm256_xor_si256(k, flip));
            }
        work->most_keys[group] = largest_dword(_mm256_min_epu8(most, clip));
    }
}

static void find_values(const struct espi_packed_head *head, struct work *work)
{
    const size_t keys = (head->count + ESPI_KEY_BLOCK - 1) / ESPI_KEY_BLOCK * ESPI_KEY_BLOCK;
    const __m128i clip = _mm_set1_epi8(INT8_MAX), zero = _mm_setzero_si128();
    memset(work->most_values, 0, keys);
    for (size_t row = 0; row < head->size; row += 4) {
        __m128i sums[4] = {zero, zero, zero, zero};
        for (size_t key = 0; key < keys; key += 16) {
            __m128i most = load_16(work->most_values + key);
#pragma GCC unroll 4
            for (size_t r = 0; r < 4; r++) {
                __m128i v = load_16((const uint8_t *)head->v + (row + r) * keys + key);
                __m128i pairs = _mm_maddubs_epi16(_mm_set1_epi8(1), v);
                most = _mm_max_epu8(most, _mm_min_epu8(_mm_abs_epi8(v), clip));
                sums[r] = _mm_add_epi32(sums[r], _mm_madd_epi16(pairs, _mm_set1_epi16(1)));
            }
            _mm_storeu_si128((__m128i *)(void *)(work->most_values + key), most);
        }
        __m128i low = _mm_hadd_epi32(sums[0], sums[1]), high = _mm_hadd_epi32(sums[2], sums[3]);
        _mm_storeu_si128((__m128i *)(void *)(work->value_sums + row), _mm_hadd_epi32(low, high));
    }
}

/* ---- what is found for a chunk of queries -------------------------------------------------------------------------------- */

/* -1 in the lanes of the chunk's first `count` queries, 0 in the others, which hold anything. */
ESPI_INLINE void find_valid(size_t count, __m256i valid[2])
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), all = _mm256_set1_epi32((int)count);
    valid[0] = _mm256_cmpgt_epi32(all, lanes);
    valid[1] = _mm256_cmpgt_epi32(all, _mm256_add_epi32(lanes, _mm256_set1_epi32(8)));
}

/* most_keys has 127 for 128: 4 products may be 4 * 128 more. */
enum { LOAD_LIMIT = INT16_MAX - 4 * 128 };

/* Whether |Σ q (k + 128)| may pass 16 bits: load: Σ |q| max |k|, sum: Σ q. */
ESPI_INLINE __m256i may_pass(__m256i load, __m256i sum)
{
    __m256i offset = _mm256_min_epi16(_mm256_abs_epi16(sum), _mm256_set1_epi16(255)); // 255 * 128 is enough to pass
    load = _mm256_adds_epi16(load, _mm256_slli_epi16(offset, 7));
    return _mm256_cmpgt_epi16(load, _mm256_set1_epi16(LOAD_LIMIT));
}

ESPI_INLINE bool pair_fits(const __m256i a[4], const __m256i b[4])
{
    __m256i low = may_pass(_mm256_adds_epi16(a[0], b[0]), _mm256_add_epi16(a[2], b[2]));
    __m256i high = may_pass(_mm256_adds_epi16(a[1], b[1]), _mm256_add_epi16(a[3], b[3]));
    __m256i any = _mm256_or_si256(low, high);
    return _mm256_testz_si256(any, any);
}

/* Pairs the group with one of those that have no partner yet, of which it tries the latest. */
ESPI_INLINE void pair_group(const struct work *work, struct lists *lists, size_t group)
{
    enum { TRIES = 8 };
    const __m256i *loads = work->loads;
    size_t open = lists->single, least = open > TRIES ? open - TRIES : 0;
    for (size_t i = open; i-- > least;) {
        size_t other = lists->single_items[i] / 64;
        if (!pair_fits(loads + group * 4, loads + other * 4))
            continue;
        lists->pair_items[lists->pairs * 2] = (uint32_t)other * 64;
        lists->pair_items[lists->pairs++ * 2 + 1] = (uint32_t)group * 64;
        lists->single_items[i] = lists->single_items[--lists->single];
        return;
    }
    lists->single_items[lists->single++] = (uint32_t)group * 64;
}

/* The queries in the order of the lists, which become one: products then read them one after another. */
static void order_queries(struct work *work, size_t groups)
{
    struct lists *lists = &work->features;
    uint32_t *items = lists->pair_items;
    memcpy(items + lists->pairs * 2, lists->single_items, lists->single * sizeof(*items));
    memcpy(items + lists->pairs * 2 + lists->single, lists->split_items, lists->split * sizeof(*items));
    for (size_t i = 0; i < groups; i++) {
        work->ordered[i * 2] = work->queries[items[i] / 32];
        work->ordered[i * 2 + 1] = work->queries[items[i] / 32 + 1];
    }
}

/* Takes the queries of a chunk: q from group to group `stride` bytes apart. begin: what the sums of a key begin with. */
static void take_queries(const struct espi_packed_head *head, struct work *work, const uint8_t *q, size_t stride,
                         const __m256i valid[2], __m256i begin[2])
{
    const __m256i flip = _mm256_set1_epi8(INT8_MIN);
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    struct lists *lists = &work->features;
    lists->pairs = lists->single = lists->split = 0;
    for (size_t group = 0; group < head->size / 4; group++, q += stride) {
        const __m256i most = _mm256_set1_epi32((int)work->most_keys[group]);
        __m256i *load = work->loads + group * 4, *out = work->queries + group * 2;
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            __m256i x = _mm256_and_si256(_mm256_xor_si256(load_32(q + 32 * v), flip), valid[v]);
            out[v] = x;
            load[v] = _mm256_maddubs_epi16(_mm256_abs_epi8(x), most);
            load[2 + v] = _mm256_maddubs_epi16(_mm256_set1_epi8(1), x);
            sums[v] = _mm256_add_epi32(sums[v], _mm256_madd_epi16(load[2 + v], one_words));
        }
        __m256i wide = _mm256_or_si256(may_pass(load[0], load[2]), may_pass(load[1], load[3]));
        if (_mm256_testz_si256(wide, wide))
            pair_group(work, lists, group);
        else
            lists->split_items[lists->split++] = (uint32_t)group * 64;
    }
    order_queries(work, head->size / 4);
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++)
        begin[v] = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sums[v], 7));
}

#endif
