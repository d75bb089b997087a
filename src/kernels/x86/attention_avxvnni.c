/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/x86/attention_ymm.h"
#include "kernels/x86/int8_avxvnni.h"

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

ESPI_INLINE void weigh_rows(const struct espi_packed_head *head, const struct espi_attention *attention,
                            const struct espi_stretch *lanes, const uint8_t *p, const __m256 factor[2], size_t row,
                            int rows)
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
    for (size_t r = 0; r < (size_t)rows; r++)
        finish_values(attention, lanes, row + r, acc[r], factor);
}

ESPI_INLINE void attend_chunk(const struct espi_packed_head *head, size_t token, const uint8_t *q, size_t stride,
                              const struct espi_attention *attention, __m256i *scratch)
{
    __m256i *scores = scratch, *p = scratch + round_up_16(head->count), sums[2];
    __m256i largest = score_chunk(head, q, stride, attention->shift, scores);
    __m256 factor[2];
    if (attention->distances)
        largest = add_distances(head->count, attention->distances, token, scores).largest;
    softmax_chunk(head->count, attention, find_top(attention, largest), _mm256_setzero_si256(), scores, sums, p);
    invert_sums(sums, factor);
    struct espi_stretch lanes = espi_span_stretch(&attention->span, token, CHUNK);
    size_t row = 0;
    for (; row + DENSE_ROWS <= head->size; row += DENSE_ROWS)
        weigh_rows(head, attention, &lanes, (const uint8_t *)p, factor, row, DENSE_ROWS);
    for (; row < head->size; row += 2)
        weigh_rows(head, attention, &lanes, (const uint8_t *)p, factor, row, 2);
}

void espi_attention_avxvnni(const struct espi_packed_head *head, size_t first_block, size_t end_block,
                            const struct espi_attention *attention, void *scratch)
{
    for (size_t block = first_block; block < end_block; block++) {
        size_t width = espi_query_width(head->count, block), first = block * ESPI_PANEL_TOKENS;
        for (size_t lane = 0; lane < width && first + lane < head->count; lane += CHUNK)
            attend_chunk(head, first + lane, head->q + first * head->size + lane * 4, width * 4, attention, scratch);
    }
}
