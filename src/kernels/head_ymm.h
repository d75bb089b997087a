/* SPDX-License-Identifier: Apache-2.0
 * Packing of attention heads with 256-bit vectors, from u8 or float panels. Rows of 64 tokens are gathered from one or two
 * panels into a buffer first. Only for files compiled for AVX2. */
#ifndef ESPI_KERNELS_HEAD_YMM_H
#define ESPI_KERNELS_HEAD_YMM_H

#include "kernels/attention.h"
#include "kernels/panel_ymm.h"

#include <string.h>

enum { BLOCK = 64 }; // tokens

/* Q, K or V in panels of bytes, or of floats with the factor that makes bytes of them. */
struct source {
    const void *panels;
    size_t element; // bytes of a value: 1 or 4
    size_t row;
    float inverse;
};

/* Up to 64 consecutive tokens of a sequence, in one or two panels. */
struct part {
    size_t at[2], width[2], count[2];
};

static inline struct part find_part(const struct espi_span *span, size_t token)
{
    struct part part = {0};
    size_t count = span->count - token < BLOCK ? span->count - token : BLOCK;
    size_t room = ESPI_PANEL_TOKENS - (span->first + token) % ESPI_PANEL_TOKENS;
    part.count[0] = count < room ? count : room;
    part.count[1] = count - part.count[0];
    part.at[0] = espi_span_at(span, token, &part.width[0]);
    if (part.count[1])
        part.at[1] = espi_span_at(span, token + room, &part.width[1]);
    return part;
}

/* A row's values of the part, side by side: where they stand, or gathered in `buffer` (BLOCK values, at first 0). */
static inline const void *gather(const struct source *source, const struct part *part, size_t row, void *buffer)
{
    uint8_t *to = buffer;
    for (int i = 0; i < 2; i++) {
        size_t at = part->at[i] + (source->row + row) * part->width[i], bytes = part->count[i] * source->element;
        const uint8_t *from = (const uint8_t *)source->panels + at * source->element;
        if (part->count[i] == BLOCK)
            return from;
        memcpy(to, from, bytes);
        to += bytes;
    }
    return buffer;
}

/* A row as 64 bytes, u8 with zero point 128, XOR `flip`; 0 where there is no token. */
static inline void load_row(const struct source *source, const struct part *part, size_t row, int8_t flip,
                            uint8_t out[BLOCK])
{
    size_t count = part->count[0] + part->count[1];
    const __m256i flips = _mm256_set1_epi8(flip);
    const uint8_t *bytes = out;
    if (source->element == 1) {
        bytes = gather(source, part, row, out);
    } else {
        float buffer[BLOCK];
        if (part->count[0] != BLOCK)
            memset(buffer, 0, sizeof(buffer));
        const float *values = gather(source, part, row, buffer);
        for (int i = 0; i < BLOCK; i += CHUNK) {
            __m256 inverse = _mm256_set1_ps(source->inverse), zero_point = _mm256_set1_ps(128);
            __m128i chunk = to_bytes(_mm256_fmadd_ps(_mm256_loadu_ps(values + i), inverse, zero_point),
                                     _mm256_fmadd_ps(_mm256_loadu_ps(values + i + 8), inverse, zero_point));
            _mm_storeu_si128((__m128i *)(void *)(out + i), _mm_max_epu8(chunk, _mm_set1_epi8(1)));
        }
    }
    for (int i = 0; i < BLOCK; i += 32)
        _mm256_storeu_si256((__m256i *)(void *)(out + i), _mm256_xor_si256(load_32(bytes + i), flips));
    if (count < BLOCK)
        memset(out + count, 0, BLOCK - count);
}

/* Four rows of 16 tokens to dwords of one token each. */
ESPI_INLINE void interleave_16(const uint8_t rows[4][BLOCK], size_t token, __m128i out[4])
{
    __m128i a = load_16(rows[0] + token), b = load_16(rows[1] + token);
    __m128i c = load_16(rows[2] + token), d = load_16(rows[3] + token);
    __m128i ab_low = _mm_unpacklo_epi8(a, b), ab_high = _mm_unpackhi_epi8(a, b);
    __m128i cd_low = _mm_unpacklo_epi8(c, d), cd_high = _mm_unpackhi_epi8(c, d);
    out[0] = _mm_unpacklo_epi16(ab_low, cd_low);
    out[1] = _mm_unpackhi_epi16(ab_low, cd_low);
    out[2] = _mm_unpacklo_epi16(ab_high, cd_high);
    out[3] = _mm_unpackhi_epi16(ab_high, cd_high);
}

ESPI_INLINE void load_rows(const struct source *source, const struct part *part, size_t group, int8_t flip,
                           uint8_t rows[4][BLOCK])
{
    for (size_t i = 0; i < 4; i++)
        load_row(source, part, group * 4 + i, flip, rows[i]);
}

static inline void pack_queries(const struct source *source, const struct part *part, size_t token,
                                struct espi_packed_head *head)
{
    size_t width = espi_query_width(head->count, token / BLOCK);
    __m128i *q = (__m128i *)(void *)(head->q + token * head->size);
    for (size_t group = 0; group < head->size / 4; group++) {
        uint8_t rows[4][BLOCK];
        load_rows(source, part, group, 0, rows);
        for (size_t lane = 0; lane < width; lane += 16, q += 4) {
            __m128i dwords[4];
            interleave_16(rows, lane, dwords);
            for (int i = 0; i < 4; i++)
                _mm_storeu_si128(q + i, dwords[i]);
        }
    }
}

static inline void pack_keys(const struct source *source, const struct part *part, size_t token,
                             struct espi_packed_head *head)
{
    size_t left = head->count - token, blocks = left < BLOCK ? (left + 15) / 16 : 4;
    __m128i sums[4][4] = {0};
    for (size_t group = 0; group < head->size / 4; group++) {
        uint8_t rows[4][BLOCK];
        load_rows(source, part, group, INT8_MIN, rows);
        for (size_t block = 0; block < blocks; block++) {
            int8_t *k = head->k + (token + block * 16) * head->size + group * 64;
            __m128i dwords[4];
            interleave_16(rows, block * 16, dwords);
            for (int i = 0; i < 4; i++) {
                __m128i pairs = _mm_maddubs_epi16(_mm_set1_epi8(1), dwords[i]);
                sums[block][i] = _mm_add_epi32(sums[block][i], _mm_madd_epi16(pairs, _mm_set1_epi16(1)));
                _mm_storeu_si128((__m128i *)(void *)(k + 16 * i), dwords[i]);
            }
        }
    }
    int32_t start[BLOCK];
    for (size_t i = 0; i < BLOCK; i += 4)
        _mm_storeu_si128((__m128i *)(void *)(start + i),
                         _mm_sub_epi32(_mm_setzero_si128(), _mm_slli_epi32(sums[i / 16][i / 4 % 4], 7)));
    for (size_t key = 0; key < blocks * 16; key++)
        head->start[token + key] = key < left ? start[key] : INT32_MIN / 2;
}

static inline void pack_values(const struct source *source, const struct part *part, size_t token,
                               struct espi_packed_head *head)
{
    size_t keys = (head->count + 15) / 16 * 16, left = keys - token < BLOCK ? keys - token : BLOCK;
    for (size_t row = 0; row < head->size; row++) {
        uint8_t values[BLOCK];
        load_row(source, part, row, INT8_MIN, values);
        if (left == BLOCK)
            memcpy(head->v + row * keys + token, values, BLOCK);
        else
            memcpy(head->v + row * keys + token, values, left);
    }
}

static inline void pack_head(const struct source source[3], const struct espi_span *span, struct espi_packed_head *head)
{
    for (size_t token = 0; token < head->count; token += BLOCK) {
        struct part part = find_part(span, token);
        pack_queries(&source[0], &part, token, head);
        pack_keys(&source[1], &part, token, head);
        pack_values(&source[2], &part, token, head);
    }
}

#endif
