/* SPDX-License-Identifier: Apache-2.0
 * Packing of attention heads with 256-bit vectors, from u8 or float panels, 16 tokens at a time. Rows that do not stand in one
 * panel are gathered into a buffer first. Only for files compiled for AVX2. */
#ifndef ESPI_KERNELS_HEAD_YMM_H
#define ESPI_KERNELS_HEAD_YMM_H

#include "kernels/attention.h"
#include "kernels/x86/panel_ymm.h"

enum { BLOCK = 64 }; // tokens

/* Q, K or V in panels of bytes, or of floats with the factor that makes bytes of them. */
struct source {
    const void *panels;
    size_t row;
    float inverse;
};

/* Up to 64 consecutive tokens of a sequence. */
struct part {
    size_t lanes; // tokens, rounded up to 16
    bool direct;  // a row's lanes stand side by side in a panel
    struct espi_stretch place;
    __m128i real[BLOCK / CHUNK]; // 0 in the bytes past the last token
};

static inline struct part find_part(const struct espi_span *span, size_t token)
{
    struct part part = {.place = espi_span_stretch(span, token, BLOCK)};
    size_t count = part.place.count[0] + part.place.count[1];
    part.lanes = (count + CHUNK - 1) / CHUNK * CHUNK;
    part.direct = (span->first + token) % ESPI_PANEL_TOKENS + part.lanes <= part.place.width[0];
    const __m128i numbers = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (size_t i = 0; i < BLOCK / CHUNK; i++)
        part.real[i] = _mm_cmpgt_epi8(_mm_set1_epi8((char)count), _mm_add_epi8(numbers, _mm_set1_epi8((char)(16 * i))));
    return part;
}

/* A row's values of the part, side by side, and anything up to `lanes`: where they stand, or gathered in `buffer` (BLOCK
 * values). */
ESPI_INLINE const void *find_row(const struct source *source, const struct part *part, size_t row, size_t element,
                                 void *buffer)
{
    if (part->direct)
        return (const uint8_t *)source->panels +
               (part->place.at[0] + (source->row + row) * part->place.width[0]) * element;
    espi_stretch_load(&part->place, source->row + row, element, source->panels, buffer);
    return buffer;
}

/* 16 values of a row as bytes, u8 with zero point 128. */
ESPI_INLINE __m128i load_bytes(const void *row, size_t token, size_t element, float inverse)
{
    if (element == 1)
        return load_16((const uint8_t *)row + token);
    const float *values = (const float *)row + token;
    const __m256 factor = _mm256_set1_ps(inverse), zero_point = _mm256_set1_ps(128);
    __m128i bytes = to_bytes(_mm256_fmadd_ps(_mm256_loadu_ps(values), factor, zero_point),
                             _mm256_fmadd_ps(_mm256_loadu_ps(values + 8), factor, zero_point));
    return _mm_max_epu8(bytes, _mm_set1_epi8(1));
}

/* 16 tokens of 4 rows, XOR `flip`, as dwords of one token each; 0 past the last token. */
ESPI_INLINE void interleave_16(const void *const rows[4], size_t token, const struct part *part, int8_t flip,
                               size_t element, float inverse, __m256i out[2])
{
    __m128i x[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m128i bytes = _mm_xor_si128(load_bytes(rows[i], token, element, inverse), _mm_set1_epi8(flip));
        x[i] = _mm_and_si128(bytes, part->real[token / CHUNK]);
    }
    __m128i ab_low = _mm_unpacklo_epi8(x[0], x[1]), ab_high = _mm_unpackhi_epi8(x[0], x[1]);
    __m128i cd_low = _mm_unpacklo_epi8(x[2], x[3]), cd_high = _mm_unpackhi_epi8(x[2], x[3]);
    out[0] = _mm256_set_m128i(_mm_unpackhi_epi16(ab_low, cd_low), _mm_unpacklo_epi16(ab_low, cd_low));
    out[1] = _mm256_set_m128i(_mm_unpackhi_epi16(ab_high, cd_high), _mm_unpacklo_epi16(ab_high, cd_high));
}

ESPI_INLINE void find_rows(const struct source *source, const struct part *part, size_t group, size_t element,
                           float buffer[4][BLOCK], const void *rows[4])
{
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++)
        rows[i] = find_row(source, part, group * 4 + i, element, buffer[i]);
}

ESPI_INLINE void pack_queries(const struct source *source, const struct part *part, size_t token, size_t element,
                              float buffer[4][BLOCK], struct espi_packed_head *head)
{
    const size_t width = espi_query_width(head->count, token / BLOCK);
    const float inverse = source->inverse;
    __m256i *q = (__m256i *)(void *)(head->q + token * head->size);
    for (size_t group = 0; group < head->size / 4; group++) {
        const void *rows[4];
        find_rows(source, part, group, element, buffer, rows);
        for (size_t lane = 0; lane < width; lane += CHUNK, q += 2) {
            __m256i dwords[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
            if (lane < part->lanes)
                interleave_16(rows, lane, part, 0, element, inverse, dwords);
            _mm256_storeu_si256(q, dwords[0]);
            _mm256_storeu_si256(q + 1, dwords[1]);
        }
    }
}

ESPI_INLINE void pack_keys(const struct source *source, const struct part *part, size_t token, size_t element,
                           float buffer[4][BLOCK], struct espi_packed_head *head)
{
    const float inverse = source->inverse;
    __m256i sums[BLOCK / 8];
    for (int i = 0; i < BLOCK / 8; i++)
        sums[i] = _mm256_setzero_si256();
    for (size_t group = 0; group < head->size / 4; group++) {
        const void *rows[4];
        find_rows(source, part, group, element, buffer, rows);
        for (size_t lane = 0; lane < part->lanes; lane += CHUNK) {
            __m256i *k = (__m256i *)(void *)(head->k + (token + lane) * head->size + group * 64), dwords[2];
            interleave_16(rows, lane, part, INT8_MIN, element, inverse, dwords);
#pragma GCC unroll 2
            for (size_t i = 0; i < 2; i++) {
                __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), dwords[i]);
                sums[lane / 8 + i] =
                    _mm256_add_epi32(sums[lane / 8 + i], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
                _mm256_storeu_si256(k + i, dwords[i]);
            }
        }
    }
    int32_t start[BLOCK];
    for (size_t i = 0; i < BLOCK; i += 8)
        _mm256_storeu_si256((__m256i *)(void *)(start + i),
                            _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sums[i / 8], 7)));
    for (size_t key = 0; key < part->lanes; key++)
        head->start[token + key] = token + key < head->count ? start[key] : INT32_MIN / 2;
}

ESPI_INLINE void pack_values(const struct source *source, const struct part *part, size_t token, size_t element,
                             float buffer[4][BLOCK], struct espi_packed_head *head)
{
    const size_t keys = (head->count + ESPI_KEY_BLOCK - 1) / ESPI_KEY_BLOCK * ESPI_KEY_BLOCK;
    const float inverse = source->inverse;
    for (size_t row = 0; row < head->size; row++) {
        const void *values = find_row(source, part, row, element, buffer[0]);
        __m128i *v = (__m128i *)(void *)(head->v + row * keys + token);
        for (size_t lane = 0; lane < part->lanes; lane += CHUNK, v++) {
            __m128i bytes = _mm_xor_si128(load_bytes(values, lane, element, inverse), _mm_set1_epi8(INT8_MIN));
            _mm_storeu_si128(v, _mm_and_si128(bytes, part->real[lane / CHUNK]));
        }
    }
}

/* element: that of the sources, a constant. */
ESPI_INLINE void pack_head(const struct source source[3], size_t element, const struct espi_span *span,
                           struct espi_packed_head *head)
{
    float buffer[4][BLOCK] = {{0}};
    for (size_t token = 0; token < head->count; token += BLOCK) {
        struct part part = find_part(span, token);
        pack_queries(&source[0], &part, token, element, buffer, head);
        pack_keys(&source[1], &part, token, element, buffer, head);
        pack_values(&source[2], &part, token, element, buffer, head);
    }
}

#endif
