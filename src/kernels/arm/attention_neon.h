/* SPDX-License-Identifier: Apache-2.0
 * Attention. Chunks of 16 queries go through three stages over all keys: scores, probabilities, weighted values. The first and
 * the last are products in tiles of 4 keys or rows by 16 queries, as those of kernels/arm/int8_neon.h are. */
#ifndef ESPI_KERNELS_ATTENTION_NEON_H
#define ESPI_KERNELS_ATTENTION_NEON_H

#include "kernels/arm/int8_neon.h"
#include "kernels/attention.h"

/* ---- scores -------------------------------------------------------------------------------------------------------------- */

/* 16 words of a key. */
struct words {
    int16x8_t low, high;
};

/* All keys up to the end of the last block; `stride`: bytes from one group of 4 features of q to the next. Returns the largest
 * of each query: a key past the last one has the least there is. */
static struct words score_chunk(const struct espi_packed_head *head, const uint8_t *q, size_t stride, uint32_t shift,
                                struct words *scores)
{
    const size_t groups = head->size / 4;
    const int32x4_t right = vdupq_n_s32(-(int32_t)shift);
    struct words largest = {vdupq_n_s16(INT16_MIN), vdupq_n_s16(INT16_MIN)};
    int32x4_t surplus[4], sums[4][4];
    find_surplus(q, groups, stride, surplus);
    for (size_t key = 0; key < head->count; key += 4) {
        const int8_t *k = head->k + key / ESPI_KEY_BLOCK * ESPI_KEY_BLOCK * head->size + key % ESPI_KEY_BLOCK * 4;
        begin_sums(head->start + key, surplus, sums);
        add_groups(sums, groups, k, 4 * ESPI_KEY_BLOCK, q, stride);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const struct words words = {
                vqmovn_high_s32(vqmovn_s32(vshlq_s32(sums[i][0], right)), vshlq_s32(sums[i][1], right)),
                vqmovn_high_s32(vqmovn_s32(vshlq_s32(sums[i][2], right)), vshlq_s32(sums[i][3], right))};
            largest.low = vmaxq_s16(largest.low, words.low);
            largest.high = vmaxq_s16(largest.high, words.high);
            scores[key + (size_t)i] = words;
        }
    }
    return largest;
}

/* Adds to the scores of a chunk, whose first query is number `query`, what there is by distance. */
static struct words add_distances(size_t count, const int16_t *distances, size_t query, struct words *scores)
{
    struct words largest = {vdupq_n_s16(INT16_MIN), vdupq_n_s16(INT16_MIN)};
    for (size_t key = 0; key < count; key++) {
        const int16_t *at = distances + ((ptrdiff_t)query - (ptrdiff_t)key);
        scores[key].low = vqaddq_s16(scores[key].low, vld1q_s16(at));
        scores[key].high = vqaddq_s16(scores[key].high, vld1q_s16(at + 8));
        largest.low = vmaxq_s16(largest.low, scores[key].low);
        largest.high = vmaxq_s16(largest.high, scores[key].high);
    }
    return largest;
}

/* ---- probabilities ------------------------------------------------------------------------------------------------------- */

/* espi_softmax_factors, each 16 words as their low bytes and their high bytes. */
struct factors {
    uint8x16x2_t coarse, fine;
};

ESPI_INLINE struct factors load_factors(void)
{
    return (struct factors){vld2q_u8((const uint8_t *)espi_softmax_factors[0]),
                            vld2q_u8((const uint8_t *)espi_softmax_factors[1])};
}

/* Entries of the table of exponentials: ((a[i / 16] * b[i % 16] >> 16) + rounding) >> 8. */
ESPI_INLINE uint8x16_t exponentials(const struct factors *factors, uint8x16_t index, uint8_t rounding)
{
    const uint8x16_t coarse = vshrq_n_u8(index, 4), fine = vandq_u8(index, vdupq_n_u8(15));
    const uint8x16_t a[2] = {vqtbl1q_u8(factors->coarse.val[0], coarse), vqtbl1q_u8(factors->coarse.val[1], coarse)};
    const uint8x16_t b[2] = {vqtbl1q_u8(factors->fine.val[0], fine), vqtbl1q_u8(factors->fine.val[1], fine)};
    const uint16x8_t round = vdupq_n_u16(rounding);
    uint16x8_t low =
        multiply_high(vreinterpretq_u16_u8(vzip1q_u8(a[0], a[1])), vreinterpretq_u16_u8(vzip1q_u8(b[0], b[1])));
    uint16x8_t high =
        multiply_high(vreinterpretq_u16_u8(vzip2q_u8(a[0], a[1])), vreinterpretq_u16_u8(vzip2q_u8(b[0], b[1])));
    return vuzp2q_u8(vreinterpretq_u8_u16(vaddq_u16(low, round)), vreinterpretq_u8_u16(vaddq_u16(high, round)));
}

/* The table's indices of a key: what is above 255 is narrowed to that. */
ESPI_INLINE uint8x16_t score_index(struct words top, struct words score, uint16x8_t multiplier)
{
    uint16x8_t low = multiply_high(vreinterpretq_u16_s16(vsubq_s16(top.low, score.low)), multiplier);
    uint16x8_t high = multiply_high(vreinterpretq_u16_s16(vsubq_s16(top.high, score.high)), multiplier);
    return vqmovn_high_u16(vqmovn_u16(low), high);
}

/* Probabilities of all keys as dwords of 4 keys, (keys / 4, 16, 4), 0 up to the end of the last block, and their sums. */
static void softmax_chunk(size_t count, const struct espi_attention *attention, struct words largest,
                          const struct words *scores, int32x4_t sums[4], uint8_t *out)
{
    const uint16x8_t multiplier = vdupq_n_u16(attention->multiplier);
    const int16x8_t half = vdupq_n_s16((int16_t)(attention->multiplier ? 32767 / attention->multiplier : 0));
    const struct words top = {vqaddq_s16(largest.low, half), vqaddq_s16(largest.high, half)};
    const struct factors factors = load_factors();
    const size_t end = (count + ESPI_KEY_BLOCK - 1) / ESPI_KEY_BLOCK * ESPI_KEY_BLOCK;
    uint32x4_t totals[4] = {vdupq_n_u32(0), vdupq_n_u32(0), vdupq_n_u32(0), vdupq_n_u32(0)};
    for (size_t key = 0; key < end; key += 4, out += 4 * CHUNK) {
        uint8x16_t p[4], dwords[4];
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++)
            p[i] = key + i < count
                       ? exponentials(&factors, score_index(top, scores[key + i], multiplier), espi_softmax_rounding[i])
                       : vdupq_n_u8(0);
        interleave_4(p, dwords);
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            totals[v] = vdotq_u32(totals[v], dwords[v], vdupq_n_u8(1));
            vst1q_u8(out + 16 * v, dwords[v]);
        }
    }
    for (int v = 0; v < 4; v++)
        sums[v] = vreinterpretq_s32_u32(totals[v]);
}

/* ---- values -------------------------------------------------------------------------------------------------------------- */

#define WEIGH(i, four)                                                                                                 \
    x = vld1q_u8(p + 4 * CHUNK * (four) + 16 * (i));                                                                   \
    sums[0][i] = DOT_ROW(sums[0][i], x, v[0], four);                                                                   \
    sums[1][i] = DOT_ROW(sums[1][i], x, v[1], four);                                                                   \
    sums[2][i] = DOT_ROW(sums[2][i], x, v[2], four);                                                                   \
    sums[3][i] = DOT_ROW(sums[3][i], x, v[3], four)
#define WEIGH_KEYS(four)                                                                                               \
    WEIGH(0, four);                                                                                                    \
    WEIGH(1, four);                                                                                                    \
    WEIGH(2, four);                                                                                                    \
    WEIGH(3, four)

/* sums[r][i] += the 16 keys of v[r] times their probabilities: here a lane is 4 keys. */
ESPI_INLINE void weigh_block(int32x4_t sums[4][4], const uint8_t *p, const int8x16_t v[4])
{
    uint8x16_t x;
    WEIGH_KEYS(0);
    WEIGH_KEYS(1);
    WEIGH_KEYS(2);
    WEIGH_KEYS(3);
}

/* An output row of a chunk from its sums; of the values those of tokens that exist are stored. */
ESPI_INLINE void finish_values(const struct espi_attention *attention, const struct espi_stretch *lanes, size_t row,
                               const int32x4_t sums[4], const float32x4_t factor[4])
{
    const float32x4_t scale = vdupq_n_f32(attention->scale[row]), bias = vdupq_n_f32(attention->bias[row]);
    float32x4_t y[4];
    float values[CHUNK];
    for (int v = 0; v < 4; v++)
        y[v] = vfmaq_f32(bias, vmulq_f32(vcvtq_f32_s32(sums[v]), factor[v]), scale);
    if (attention->kind == ESPI_EPILOGUE_U8)
        vst1q_u8((uint8_t *)values, to_bytes(y));
    else
        store_floats(values, y);
    espi_stretch_store(lanes, attention->row + row, attention->kind == ESPI_EPILOGUE_U8 ? 1 : sizeof(float), values,
                       attention->out);
}

static void weigh_chunk(const struct espi_packed_head *head, const struct espi_attention *attention,
                        const struct espi_stretch *lanes, const uint8_t *p, const int32x4_t totals[4])
{
    static const int32_t zero[4] = {0};
    const size_t keys = (head->count + ESPI_KEY_BLOCK - 1) / ESPI_KEY_BLOCK * ESPI_KEY_BLOCK;
    int32x4_t surplus[4], sums[4][4];
    float32x4_t factor[4];
    for (int v = 0; v < 4; v++) {
        surplus[v] = vmulq_n_s32(totals[v], SURPLUS);
        factor[v] = vdivq_f32(vdupq_n_f32(1), vcvtq_f32_s32(totals[v]));
    }
    for (size_t row = 0; row < head->size; row += 4) {
        begin_sums(zero, surplus, sums);
        for (size_t key = 0; key < keys; key += ESPI_KEY_BLOCK) {
            const int8_t *v = head->v + row * keys + key;
            const int8x16_t values[4] = {load_weights(v), load_weights(v + keys), load_weights(v + 2 * keys),
                                         load_weights(v + 3 * keys)};
            weigh_block(sums, p + key * CHUNK, values);
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++)
            finish_values(attention, lanes, row + r, sums[r], factor);
    }
}

ESPI_INLINE void attend_blocks(const struct espi_packed_head *head, size_t first_block, size_t end_block,
                               const struct espi_attention *attention, void *scratch)
{
    const size_t keys = (head->count + ESPI_KEY_BLOCK - 1) / ESPI_KEY_BLOCK * ESPI_KEY_BLOCK;
    struct words *scores = scratch;
    uint8_t *p = (uint8_t *)(scores + keys);
    for (size_t block = first_block; block < end_block; block++) {
        const size_t width = espi_query_width(head->count, block), first = block * ESPI_PANEL_TOKENS;
        for (size_t lane = 0; lane < width && first + lane < head->count; lane += CHUNK) {
            int32x4_t totals[4];
            const uint8_t *q = head->q + first * head->size + lane * 4;
            struct words largest = score_chunk(head, q, width * 4, attention->shift, scores);
            if (attention->distances)
                largest = add_distances(head->count, attention->distances, first + lane, scores);
            softmax_chunk(head->count, attention, largest, scores, totals, p);
            const struct espi_stretch lanes = espi_span_stretch(&attention->span, first + lane, CHUNK);
            weigh_chunk(head, attention, &lanes, p, totals);
        }
    }
}

#endif
