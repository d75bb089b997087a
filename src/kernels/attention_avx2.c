/* SPDX-License-Identifier: Apache-2.0
 * Attention of AVX2. Which of K's and V's groups are narrow (kernels/int8_avx2.h) is found once for all queries, for 16
 * groups together, since a large part of them has no wide one. */
#include "kernels/attention_ymm.h"
#include "kernels/int8_avx2.h"

enum { KEY_SEGMENT = 64 }; // keys whose values are looked at together: 16 groups

/* The rest of the scratch memory, behind the scores and probabilities of a chunk: 0 or 1 each. */
struct kinds {
    uint8_t *keys;   // (keys / 4): the group of any feature is wide
    uint8_t *values; // (segments, size / 4): the group of any key of the segment is wide
};

/* Words of which one exceeds the limit, of 32 bytes of weights. */
ESPI_INLINE __m256i wide_pairs(__m256i weights)
{
    __m256i sums = _mm256_maddubs_epi16(_mm256_set1_epi8(1), weights);
    return _mm256_cmpgt_epi16(_mm256_abs_epi16(sums), _mm256_set1_epi16(ESPI_PAIR_LIMIT));
}

static void find_wide_keys(const struct espi_packed_head *head, uint8_t *kinds)
{
    for (size_t key = 0; key < head->count; key += 8) { // 32 bytes of each group of features
        const int8_t *k = head->k + key / 16 * 16 * head->size + key % 16 * 4;
        __m256i wide = _mm256_setzero_si256();
        for (size_t group = 0; group < head->size / 4; group++)
            wide = _mm256_or_si256(wide, wide_pairs(load_32((const uint8_t *)k + group * 64)));
        uint32_t mask = (uint32_t)_mm256_movemask_epi8(wide);
        kinds[key / 4] = (mask & 0xffff) != 0;
        kinds[key / 4 + 1] = mask >> 16 != 0;
    }
}

static void find_wide_values(const struct espi_packed_head *head, uint8_t *kinds)
{
    const size_t keys = round_up_16(head->count);
    for (size_t key = 0; key < keys; key += KEY_SEGMENT)
        for (size_t row = 0; row < head->size; row += 4) {
            __m256i wide = _mm256_setzero_si256();
            for (size_t r = row; r < row + 4; r++)
                for (size_t i = key; i < keys && i < key + KEY_SEGMENT; i += 16) {
                    __m128i weights = load_16((const uint8_t *)head->v + r * keys + i);
                    wide = _mm256_or_si256(wide, wide_pairs(_mm256_castsi128_si256(weights)));
                }
            *kinds++ = !_mm_testz_si128(_mm256_castsi256_si128(wide), _mm256_castsi256_si128(wide));
        }
}

/* acc[r] += row r of a wide group times 16 queries; x: dwords of 4 columns; `stride`: bytes from row to row. */
ESPI_INLINE void dot_wide_rows(__m256i acc[4][2], __m256i x0, __m256i x1, const int8_t *group, size_t stride)
{
    const __m256i mask = _mm256_set1_epi16(0xff);
    __m256i even[2] = {_mm256_and_si256(x0, mask), _mm256_and_si256(x1, mask)};
    __m256i odd[2] = {_mm256_srli_epi16(x0, 8), _mm256_srli_epi16(x1, 8)};
#pragma GCC unroll 4
    for (size_t r = 0; r < 4; r++) {
        __m256i w = _mm256_broadcastd_epi32(_mm_loadu_si32(group + r * stride));
        __m256i w02 = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8), w13 = _mm256_srai_epi16(w, 8);
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(even[v], w02));
            acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(odd[v], w13));
        }
    }
}

/* acc[r] += 4 rows of `groups` groups times 16 tokens; row r of a group is `stride` from row r - 1, a group `step` from the
 * one before. x: groups of dwords, `x_step` from one to the next. */
ESPI_INLINE void dot_groups(__m256i acc[4][2], bool wide, size_t groups, const int8_t *weights, size_t stride,
                            size_t step, const uint8_t *x, size_t x_step)
{
    if (wide)
        for (size_t i = 0; i < groups; i++, weights += step, x += x_step)
            dot_wide_rows(acc, load_32(x), load_32(x + 32), weights, stride);
    else
        for (size_t i = 0; i < groups; i++, weights += step, x += x_step)
            dot_narrow(acc, load_32(x), load_32(x + 32), weights, stride);
}

/* Scores of a chunk: a key's words stand as packing leaves them: 128-bit lane l holds tokens 4l .. 4l + 3 and 4l + 8 ..
 * 4l + 11. `stride`: bytes from one group of 4 features of q to the next. Returns the largest of each query. */
static __m256i score_chunk(const struct espi_packed_head *head, const uint8_t *kinds, const uint8_t *q, size_t stride,
                           uint32_t shift_count, __m256i *scores)
{
    const __m128i shift = _mm_cvtsi32_si128((int)shift_count);
    __m256i largest = _mm256_set1_epi16(INT16_MIN);
    for (size_t key = 0; key < round_up_16(head->count); key += 4, scores += 4) {
        const int8_t *k = head->k + key / 16 * 16 * head->size + key % 16 * 4;
        __m256i acc[4][2];
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++)
            acc[i][0] = acc[i][1] = _mm256_set1_epi32(head->start[key + i]);
        dot_groups(acc, kinds[key / 4], head->size / 4, k, 4, 64, q, stride);
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++) {
            __m256i words = _mm256_packs_epi32(_mm256_sra_epi32(acc[i][0], shift), _mm256_sra_epi32(acc[i][1], shift));
            _mm256_storeu_si256(scores + i, words);
            largest = _mm256_max_epi16(largest, words);
        }
    }
    return largest;
}

static void weigh_chunk(const struct espi_packed_head *head, const uint8_t *kinds, const uint8_t *p,
                        const __m256 factor[2], const struct espi_attention *attention, const struct lanes *lanes)
{
    const size_t keys = round_up_16(head->count);
    for (size_t row = 0; row < head->size; row += 4) {
        __m256i acc[4][2];
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++)
            acc[r][0] = acc[r][1] = _mm256_setzero_si256();
        for (size_t key = 0; key < keys; key += KEY_SEGMENT) {
            size_t count = keys - key < KEY_SEGMENT ? keys - key : KEY_SEGMENT;
            bool wide = kinds[key / KEY_SEGMENT * (head->size / 4) + row / 4];
            dot_groups(acc, wide, count / 4, head->v + row * keys + key, keys, 4, p + key * CHUNK, 4 * CHUNK);
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++)
            finish_values(attention, lanes, row + r, acc[r], factor);
    }
}

void espi_attention_avx2(const struct espi_packed_head *head, size_t first_block, size_t end_block,
                         const struct espi_attention *attention, void *scratch)
{
    const size_t keys = round_up_16(head->count);
    __m256i *scores = scratch, *p = scores + keys, sums[2];
    struct kinds kinds = {.keys = (uint8_t *)(p + keys / 2)};
    kinds.values = kinds.keys + keys / 4;
    find_wide_keys(head, kinds.keys);
    find_wide_values(head, kinds.values);
    for (size_t block = first_block; block < end_block; block++) {
        size_t width = espi_query_width(head->count, block), first = block * ESPI_PANEL_TOKENS;
        for (size_t lane = 0; lane < width && first + lane < head->count; lane += CHUNK) {
            const uint8_t *q = head->q + first * head->size + lane * 4;
            __m256i largest = score_chunk(head, kinds.keys, q, width * 4, attention->shift, scores);
            softmax_chunk(head->count, attention, largest, scores, sums, p);
            __m256 factor[2];
            invert_sums(sums, factor);
            struct lanes lanes = find_lanes(&attention->span, first + lane);
            weigh_chunk(head, kinds.values, (const uint8_t *)p, factor, attention, &lanes);
        }
    }
}
