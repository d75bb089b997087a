/* SPDX-License-Identifier: Apache-2.0
 * Packing of attention heads, from u8 or float panels, and the lanes of a query block in its panels. Only for files
 * compiled for AVX-512. */
#ifndef ESPI_KERNELS_HEAD_ZMM_H
#define ESPI_KERNELS_HEAD_ZMM_H

#include "kernels/attention.h"
#include "kernels/x86/panel_zmm.h"

/* ---- where tokens stand ---------------------------------------------------------------------------------------------- */

/* Up to 64 consecutive tokens of a sequence: some in one panel, the rest in the next. A row's values for the first part
 * begin at value at[0] + row * width[0]; at[1] is set back by the size of the first part, so that a token's place in the
 * block is its distance from both. */
struct part {
    size_t at[2], width[2];
    __mmask64 mask[2];
};

ESPI_INLINE __mmask64 lane_mask(size_t count)
{
    return count < 64 ? ((__mmask64)1 << count) - 1 : UINT64_MAX;
}

static inline struct part find_part(const struct espi_span *span, size_t token)
{
    struct part part = {0};
    size_t count = span->count - token < 64 ? span->count - token : 64;
    size_t first = 64 - (span->first + token) % 64; // that fit into the panel
    part.at[0] = espi_span_at(span, token, &part.width[0]);
    part.mask[0] = lane_mask(count < first ? count : first);
    if (count > first) {
        part.at[1] = espi_span_at(span, token + first, &part.width[1]) - first;
        part.mask[1] = lane_mask(count) ^ part.mask[0];
    }
    return part;
}

/* ---- one row of a block of 64 tokens, as bytes ----------------------------------------------------------------------- */

/* Q, K or V in panels of bytes, or of floats with the factor that makes bytes of them. */
struct source {
    const uint8_t *bytes;
    const float *floats; // NULL: bytes
    float inverse;
    size_t row;
};

ESPI_INLINE __m512 load_floats(const struct source *source, const struct part *part, size_t row, int v)
{
    const float *first = source->floats + part->at[0] + (source->row + row) * part->width[0] + 16 * (size_t)v;
    __m512 value = _mm512_maskz_loadu_ps((__mmask16)(part->mask[0] >> 16 * v), first);
    if (part->mask[1]) {
        const float *second = source->floats + part->at[1] + (source->row + row) * part->width[1] + 16 * (size_t)v;
        value = _mm512_mask_loadu_ps(value, (__mmask16)(part->mask[1] >> 16 * v), second);
    }
    return value;
}

/* u8 with zero point 128; `fill` where there is no token. */
ESPI_INLINE __m512i load_bytes(const struct source *source, const struct part *part, size_t row, __m512i fill,
                               bool from_floats)
{
    if (from_floats) {
        __m512 y[4];
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            y[v] = _mm512_fmadd_ps(load_floats(source, part, row, v), _mm512_set1_ps(source->inverse),
                                   _mm512_set1_ps(128));
        __m512i bytes = _mm512_max_epu8(to_bytes(y, 4), _mm512_set1_epi8(1));
        return _mm512_mask_mov_epi8(fill, part->mask[0] | part->mask[1], bytes);
    }
    const uint8_t *first = source->bytes + part->at[0] + (source->row + row) * part->width[0];
    __m512i bytes = _mm512_mask_loadu_epi8(fill, part->mask[0], first);
    if (part->mask[1])
        bytes = _mm512_mask_loadu_epi8(bytes, part->mask[1],
                                       source->bytes + part->at[1] + (source->row + row) * part->width[1]);
    return bytes;
}

/* Four rows of 64 tokens to dwords: out[v] holds tokens 16v .. 16v + 15. */
ESPI_INLINE void interleave_rows(const __m512i rows[4], __m512i out[4])
{
    __m512i ab_low = _mm512_unpacklo_epi8(rows[0], rows[1]), ab_high = _mm512_unpackhi_epi8(rows[0], rows[1]);
    __m512i cd_low = _mm512_unpacklo_epi8(rows[2], rows[3]), cd_high = _mm512_unpackhi_epi8(rows[2], rows[3]);
    __m512i a = _mm512_unpacklo_epi16(ab_low, cd_low), b = _mm512_unpackhi_epi16(ab_low, cd_low);
    __m512i c = _mm512_unpacklo_epi16(ab_high, cd_high), d = _mm512_unpackhi_epi16(ab_high, cd_high);
    __m512i e = _mm512_shuffle_i32x4(a, b, 0x44), f = _mm512_shuffle_i32x4(c, d, 0x44);
    __m512i g = _mm512_shuffle_i32x4(a, b, 0xee), h = _mm512_shuffle_i32x4(c, d, 0xee);
    out[0] = _mm512_shuffle_i32x4(e, f, 0x88);
    out[1] = _mm512_shuffle_i32x4(e, f, 0xdd);
    out[2] = _mm512_shuffle_i32x4(g, h, 0x88);
    out[3] = _mm512_shuffle_i32x4(g, h, 0xdd);
}

ESPI_INLINE void load_group(const struct source *source, const struct part *part, size_t group, __m512i fill,
                            bool from_floats, __m512i out[4])
{
    __m512i rows[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++)
        rows[i] = load_bytes(source, part, group * 4 + i, fill, from_floats);
    interleave_rows(rows, out);
}

/* ---- the three parts of a head, 64 tokens of each -------------------------------------------------------------------- */

ESPI_INLINE void pack_queries(const struct source *source, const struct part *part, size_t token,
                              struct espi_packed_head *head, bool from_floats)
{
    size_t width = espi_query_width(head->count, token / 64);
    uint8_t *q = head->q + token * head->size;
    for (size_t group = 0; group < head->size / 4; group++, q += width * 4) {
        __m512i dwords[4];
        load_group(source, part, group, _mm512_setzero_si512(), from_floats, dwords);
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; v++)
            if (v * 16 < width)
                _mm512_storeu_si512(q + 64 * v, dwords[v]);
    }
}

ESPI_INLINE void pack_keys(const struct source *source, const struct part *part, size_t token,
                           struct espi_packed_head *head, bool from_floats)
{
    const __m512i flip = _mm512_set1_epi8(INT8_MIN), ones = _mm512_set1_epi8(1);
    size_t left = head->count - token, blocks = left < 64 ? (left + 15) / 16 : 4;
    __m512i sums[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        sums[v] = _mm512_setzero_si512();
    for (size_t group = 0; group < head->size / 4; group++) {
        __m512i dwords[4];
        load_group(source, part, group, flip, from_floats, dwords);
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; v++) {
            __m512i k = _mm512_xor_si512(dwords[v], flip);
            sums[v] = _mm512_dpbusd_epi32(sums[v], ones, k);
            if (v < blocks)
                _mm512_storeu_si512(head->k + (token + v * 16) * head->size + group * 64, k);
        }
    }
#pragma GCC unroll 4
    for (size_t v = 0; v < 4; v++) {
        __m512i start = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sums[v], 7));
        __mmask16 real = (__mmask16)(lane_mask(left) >> 16 * v);
        if (v < blocks)
            _mm512_storeu_si512(head->start + token + v * 16,
                                _mm512_mask_mov_epi32(_mm512_set1_epi32(INT32_MIN / 2), real, start));
    }
}

ESPI_INLINE void pack_values(const struct source *source, const struct part *part, size_t token,
                             struct espi_packed_head *head, bool from_floats)
{
    const __m512i flip = _mm512_set1_epi8(INT8_MIN);
    size_t keys = (head->count + 15) / 16 * 16;
    __mmask64 mask = lane_mask(keys - token);
    for (size_t row = 0; row < head->size; row++)
        _mm512_mask_storeu_epi8(head->v + row * keys + token, mask,
                                _mm512_xor_si512(load_bytes(source, part, row, flip, from_floats), flip));
}

ESPI_INLINE void pack_head(const struct source source[3], const struct espi_span *span, struct espi_packed_head *head,
                           bool from_floats)
{
    for (size_t token = 0; token < head->count; token += 64) {
        struct part part = find_part(span, token);
        pack_queries(&source[0], &part, token, head, from_floats);
        pack_keys(&source[1], &part, token, head, from_floats);
        pack_values(&source[2], &part, token, head, from_floats);
    }
}

#endif
