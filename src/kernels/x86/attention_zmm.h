/* SPDX-License-Identifier: Apache-2.0
 * Attention with 512-bit vectors. Only for files compiled for AVX-512.
 *
 * A block of queries at a time, in three stages over all keys: scores (16 bits), probabilities (bytes, 4 keys
 * interleaved), weighted values. A stage's output stays in L1 or L2. */
#ifndef ESPI_KERNELS_ATTENTION_ZMM_H
#define ESPI_KERNELS_ATTENTION_ZMM_H

#include "kernels/x86/head_zmm.h"
#include "kernels/x86/product_zmm.h"

/* Scratch of a query block of `vectors` vectors: 16-bit scores (keys, words(vectors) zmm) as packing leaves them, then
 * u8 probabilities (keys / 4, width, 4). */
enum { MAX_WORDS = 2 };

ESPI_INLINE int words_of(int vectors)
{
    return vectors == 4 ? 2 : 1;
}

/* ---- scores -------------------------------------------------------------------------------------------------------------- */

/* One key's sums to words: 128-bit lane l of word vector 0 holds the tokens 4l .. 4l + 3 of vectors 0 and 1 (of vector
 * 0 twice when there is one vector), word vector 1 those of vectors 2 and 3. */
ESPI_INLINE void finish_key(const __m512i *acc, __m512i shift, int vectors, __m512i *out)
{
    __m512i shifted[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        shifted[v] = _mm512_srav_epi32(acc[v], shift);
    out[0] = _mm512_packs_epi32(shifted[0], shifted[vectors > 1 ? 1 : 0]);
    if (vectors == 4)
        out[1] = _mm512_packs_epi32(shifted[2], shifted[3]);
}

/* Keys first .. first + keys - 1 of a block of 16. */
ESPI_INLINE void score_keys(const uint8_t *q, const int8_t *k, const int32_t *start, size_t groups, int first, int keys,
                            __m512i shift, int vectors, __m512i *largest, __m512i *out)
{
    __m512i acc[16][4];
#pragma GCC unroll 16
    for (int i = 0; i < keys; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            acc[i][v] = start_sum(&start[first + i]);
    k += 4 * first;
    for (size_t group = 0; group < groups; group++, q += 64 * vectors, k += 64) {
        __m512i x[4];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            x[v] = _mm512_loadu_si512(q + 64 * v);
#pragma GCC unroll 16
        for (int i = 0; i < keys; i++)
            dot_row(acc[i], x, k + 4 * i, vectors, DOT_U8S8);
    }
    __m512i top[MAX_WORDS] = {largest[0], largest[1]};
#pragma GCC unroll 16
    for (int i = 0; i < keys; i++) {
        __m512i words[MAX_WORDS];
        finish_key(acc[i], shift, vectors, words);
#pragma GCC unroll 2
        for (int w = 0; w < words_of(vectors); w++) {
            top[w] = _mm512_max_epi16(top[w], words[w]);
            _mm512_store_si512(out + (first + i) * words_of(vectors) + w, words[w]);
        }
    }
    largest[0] = top[0];
    largest[1] = top[1];
}

/* All keys; scores past the last group of 4 keys are left out. */
ESPI_INLINE void score_block(const struct espi_packed_head *head, const uint8_t *q, uint32_t shift_count, int vectors,
                             __m512i *largest, __m512i *scores)
{
    const __m512i shift = _mm512_set1_epi32((int)shift_count);
    const size_t groups = head->size / 4;
    largest[0] = largest[1] = _mm512_set1_epi16(INT16_MIN);
    for (size_t key = 0; key < head->count; key += 16) {
        const int8_t *k = head->k + key * head->size;
        const int32_t *start = head->start + key;
        size_t left = (head->count - key + 3) / 4 * 4;
        __m512i *out = scores + key * (size_t)words_of(vectors);
        if (vectors == 4) { // as many accumulators as registers allow
            score_keys(q, k, start, groups, 0, 6, shift, vectors, largest, out);
            if (left > 6)
                score_keys(q, k, start, groups, 6, 5, shift, vectors, largest, out);
            if (left > 11)
                score_keys(q, k, start, groups, 11, 5, shift, vectors, largest, out);
        } else if (vectors == 2) {
            score_keys(q, k, start, groups, 0, 8, shift, vectors, largest, out);
            if (left > 8)
                score_keys(q, k, start, groups, 8, 8, shift, vectors, largest, out);
        } else {
            score_keys(q, k, start, groups, 0, 16, shift, vectors, largest, out);
        }
    }
}

/* Adds to the scores of a block, whose first query is number `query`, what there is by distance. */
ESPI_INLINE void add_distances(size_t count, const int16_t *distances, size_t query, int vectors, __m512i *largest,
                               __m512i *scores)
{
    /* quads of words as packing leaves those of the tokens: of two vectors, or of one twice */
    const __m512i order =
        vectors > 1 ? _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7) : _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3);
    const int words = words_of(vectors);
    largest[0] = largest[1] = _mm512_set1_epi16(INT16_MIN);
    for (size_t key = 0; key < count; key++, scores += words) {
        const int16_t *at = distances + ((ptrdiff_t)query - (ptrdiff_t)key);
#pragma GCC unroll 2
        for (int w = 0; w < words; w++) {
            __m512i added = vectors > 1 ? _mm512_loadu_si512(at + 32 * w)
                                        : _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)at));
            added = _mm512_adds_epi16(_mm512_load_si512(scores + w), _mm512_permutexvar_epi64(order, added));
            largest[w] = _mm512_max_epi16(largest[w], added);
            _mm512_store_si512(scores + w, added);
        }
    }
}

/* ---- probabilities --------------------------------------------------------------------------------------------------------- */

/* Bytes of the 256-entry table with the numbers of two vectors of words up to 32767; above 255 they count as 255. */
ESPI_INLINE __m512i look_up(const uint8_t *table, const __m512i words[2])
{
#ifdef __AVX512VBMI__
    /* the instruction looks up 128 and ignores the top bit, which chooses between two halves */
    __m512i index = _mm512_packus_epi16(words[0], words[1]);
    __m512i low = _mm512_permutex2var_epi8(_mm512_loadu_si512(table), index, _mm512_loadu_si512(table + 64));
    __m512i high = _mm512_permutex2var_epi8(_mm512_loadu_si512(table + 128), index, _mm512_loadu_si512(table + 192));
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(index), high);
#else
    /* likewise, of words of two entries */
    const __m512i half = _mm512_set1_epi16(128), last = _mm512_set1_epi16(255);
    __m512i entries[2];
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        __m512i index = _mm512_min_epi16(words[i], last);
        __m512i low = look_up_words(table, index), high = look_up_words(table + 128, index);
        entries[i] = _mm512_mask_mov_epi16(low, _mm512_test_epi16_mask(index, half), high);
    }
    return _mm512_packus_epi16(entries[0], entries[1]);
#endif
}

/* One key's words to bytes, in the words' order. */
ESPI_INLINE __m512i probabilities(const __m512i *scores, const __m512i *top, __m512i multiplier, const uint8_t *table,
                                  int vectors)
{
    __m512i index[2];
#pragma GCC unroll 2
    for (int w = 0; w < words_of(vectors); w++)
        index[w] = _mm512_mulhi_epu16(_mm512_sub_epi16(top[w], _mm512_load_si512(scores + w)), multiplier);
    if (vectors < 4)
        index[1] = index[0];
    return look_up(table, index);
}

/* Four keys' bytes to dwords of a query: out[v] in natural order, since the words' packing undoes the unpacking. */
ESPI_INLINE void interleave_keys(const __m512i p[4], int vectors, __m512i *out)
{
    __m512i ab = _mm512_unpacklo_epi8(p[0], p[1]), cd = _mm512_unpacklo_epi8(p[2], p[3]);
    out[0] = _mm512_unpacklo_epi16(ab, cd);
    if (vectors > 1)
        out[1] = _mm512_unpackhi_epi16(ab, cd);
    if (vectors == 4) {
        ab = _mm512_unpackhi_epi8(p[0], p[1]);
        cd = _mm512_unpackhi_epi8(p[2], p[3]);
        out[2] = _mm512_unpacklo_epi16(ab, cd);
        out[3] = _mm512_unpackhi_epi16(ab, cd);
    }
}

/* Probabilities of all keys and their sums. */
ESPI_INLINE void softmax_block(size_t count, const struct espi_attention *attention, int vectors,
                               const __m512i *largest, const __m512i *scores, __m512i *sums, uint8_t *out)
{
    const int words = words_of(vectors);
    const __m512i multiplier = _mm512_set1_epi16((short)attention->multiplier);
    const int half = attention->multiplier ? 32767 / attention->multiplier : 0;
    __m512i top[MAX_WORDS];
#pragma GCC unroll 2
    for (int w = 0; w < words; w++)
        top[w] = _mm512_adds_epi16(largest[w], _mm512_set1_epi16((short)half));
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        sums[v] = _mm512_setzero_si512();
    for (size_t key = 0; key < count; key += 4, scores += 4 * words, out += 64 * vectors) {
        size_t left = count - key;
        const __m512i ones = _mm512_set1_epi32(left < 4 ? 0x01010101 >> (8 * (4 - left)) : 0x01010101);
        __m512i p[4], dwords[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            p[i] = probabilities(scores + i * words, top, multiplier, espi_softmax_table[i], vectors);
        interleave_keys(p, vectors, dwords);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            sums[v] = _mm512_dpbusd_epi32(sums[v], dwords[v], ones);
            _mm512_store_si512(out + 64 * v, dwords[v]);
        }
    }
}

/* ---- values ---------------------------------------------------------------------------------------------------------------- */

/* One output row of the block into its lanes of one or two panels. */
ESPI_INLINE void store_row(const struct espi_attention *attention, const struct part *part, size_t row, __m512 *y,
                           int vectors)
{
    size_t first = part->at[0] + (attention->row + row) * part->width[0];
    size_t second = part->at[1] + (attention->row + row) * part->width[1];
    if (attention->kind == ESPI_EPILOGUE_U8) {
        __m512i bytes = to_bytes(y, vectors);
        _mm512_mask_storeu_epi8((uint8_t *)attention->out + first, part->mask[0], bytes);
        if (part->mask[1])
            _mm512_mask_storeu_epi8((uint8_t *)attention->out + second, part->mask[1], bytes);
        return;
    }
#pragma GCC unroll 4
    for (size_t v = 0; v < (size_t)vectors; v++) {
        _mm512_mask_storeu_ps((float *)attention->out + first + 16 * v, (__mmask16)(part->mask[0] >> 16 * v), y[v]);
        if (part->mask[1])
            _mm512_mask_storeu_ps((float *)attention->out + second + 16 * v, (__mmask16)(part->mask[1] >> 16 * v),
                                  y[v]);
    }
}

/* Output rows row .. row + rows - 1. */
ESPI_INLINE void weigh_rows(const struct espi_packed_head *head, const struct espi_attention *attention,
                            const struct part *part, const uint8_t *p, const __m512 *factor, size_t row, int rows,
                            int vectors)
{
    const size_t keys = (head->count + 15) / 16 * 16;
    const int8_t *values[16];
    __m512i acc[16][4];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        values[r] = head->v + (row + (size_t)r) * keys;
        if (rows <= 8) // a register each; gcc would compute the addresses anew for every dot product
            __asm__("" : "+r"(values[r]));
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            acc[r][v] = _mm512_setzero_si512();
    }
    for (size_t key = 0; key < head->count; key += 4, p += 64 * vectors) {
        __m512i x[4];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            x[v] = _mm512_load_si512(p + 64 * v);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
            dot_row(acc[r], x, values[r] + key, vectors, DOT_U8S8);
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        __m512 scale = _mm512_set1_ps(attention->scale[row + (size_t)r]);
        __m512 bias = _mm512_set1_ps(attention->bias[row + (size_t)r]), y[4];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            y[v] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[r][v]), factor[v]), scale, bias);
        store_row(attention, part, row + (size_t)r, y, vectors);
    }
}

ESPI_INLINE void attend_block(const struct espi_packed_head *head, size_t block, const struct espi_attention *attention,
                              void *scratch, int vectors)
{
    enum { ROWS_64 = 6, ROWS_32 = 12, ROWS_16 = 16 };
    __m512i largest[MAX_WORDS], sums[4];
    __m512 factor[4];
    size_t keys = (head->count + 15) / 16 * 16, row = 0;
    __m512i *scores = scratch;
    uint8_t *p = (uint8_t *)(scores + keys * (size_t)words_of(vectors));
    score_block(head, head->q + block * 64 * head->size, attention->shift, vectors, largest, scores);
    if (attention->distances)
        add_distances(head->count, attention->distances, block * 64, vectors, largest, scores);
    softmax_block(head->count, attention, vectors, largest, scores, sums, p);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        factor[v] = _mm512_div_ps(_mm512_set1_ps(1), _mm512_cvtepi32_ps(sums[v]));
    struct part part = find_part(&attention->span, block * 64);
    const int rows = vectors == 4 ? ROWS_64 : vectors == 2 ? ROWS_32 : ROWS_16;
    for (; row + (size_t)rows <= head->size; row += (size_t)rows)
        weigh_rows(head, attention, &part, p, factor, row, rows, vectors);
    for (; row + 4 <= head->size; row += 4)
        weigh_rows(head, attention, &part, p, factor, row, 4, vectors);
    if (row < head->size)
        weigh_rows(head, attention, &part, p, factor, row, 2, vectors);
}

ESPI_INLINE void attend_blocks(const struct espi_packed_head *head, size_t first_block, size_t end_block,
                               const struct espi_attention *attention, void *scratch)
{
    for (size_t block = first_block; block < end_block; block++) {
        size_t width = espi_query_width(head->count, block);
        if (width == 64)
            attend_block(head, block, attention, scratch, 4);
        else if (width == 32)
            attend_block(head, block, attention, scratch, 2);
        else
            attend_block(head, block, attention, scratch, 1);
    }
}

#endif
