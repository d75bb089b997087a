/* SPDX-License-Identifier: Apache-2.0
 * Packing of attention heads, from u8 or float panels, 16 tokens at a time. Rows that do not stand in one panel are gathered
 * into a buffer first. */
#ifndef ESPI_KERNELS_HEAD_NEON_H
#define ESPI_KERNELS_HEAD_NEON_H

#include "kernels/arm/panel_neon.h"
#include "kernels/attention.h"

/* Q, K or V in panels of bytes, or of floats with the factor that makes bytes of them. */
struct source {
    const void *panels;
    size_t row;
    float inverse;
};

/* Up to 16 consecutive tokens of a sequence. */
struct part {
    bool direct; // 16 values of a row stand side by side in a panel
    struct espi_stretch place;
    uint8x16_t real; // 0 in the bytes past the last token, -1 before
};

static inline struct part find_part(const struct espi_span *span, size_t token)
{
    static const uint8_t numbers[CHUNK] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    struct part part = {.place = espi_span_stretch(span, token, CHUNK)};
    size_t count = part.place.count[0] + part.place.count[1];
    part.direct = (span->first + token) % ESPI_PANEL_TOKENS + CHUNK <= part.place.width[0];
    part.real = vcltq_u8(vld1q_u8(numbers), vdupq_n_u8((uint8_t)count));
    return part;
}

/* A row's 16 values, anything past the last token: where they stand, or gathered in `buffer`. */
ESPI_INLINE const void *find_row(const struct source *source, const struct part *part, size_t row, size_t element,
                                 float buffer[CHUNK])
{
    if (part->direct)
        return (const uint8_t *)source->panels +
               (part->place.at[0] + (source->row + row) * part->place.width[0]) * element;
    espi_stretch_load(&part->place, source->row + row, element, source->panels, buffer);
    return buffer;
}

/* The same as bytes, u8 with zero point 128, XOR `flip`; 0 past the last token. */
ESPI_INLINE uint8x16_t load_row(const struct source *source, const struct part *part, size_t row, size_t element,
                                uint8_t flip)
{
    float buffer[CHUNK] = {0};
    const void *from = find_row(source, part, row, element, buffer);
    uint8x16_t bytes;
    if (element == 1) {
        bytes = vld1q_u8(from);
    } else {
        float32x4_t y[4];
        load_floats(from, y);
        for (int v = 0; v < 4; v++)
            y[v] = vfmaq_n_f32(vdupq_n_f32(128), y[v], source->inverse);
        bytes = vmaxq_u8(to_bytes(y), vdupq_n_u8(1));
    }
    return vandq_u8(veorq_u8(bytes, vdupq_n_u8(flip)), part->real);
}

/* 4 rows as dwords of a token. */
ESPI_INLINE void load_group(const struct source *source, const struct part *part, size_t group, size_t element,
                            uint8_t flip, uint8x16_t dwords[4])
{
    uint8x16_t rows[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++)
        rows[i] = load_row(source, part, group * 4 + i, element, flip);
    interleave_4(rows, dwords);
}

ESPI_INLINE void pack_queries(const struct source *source, const struct part *part, size_t token, size_t element,
                              struct espi_packed_head *head)
{
    const size_t width = espi_query_width(head->count, token / ESPI_PANEL_TOKENS), lane = token % ESPI_PANEL_TOKENS;
    uint8_t *q = head->q + (token - lane) * head->size + lane * 4;
    for (size_t group = 0; group < head->size / 4; group++, q += width * 4) {
        uint8x16_t dwords[4];
        load_group(source, part, group, element, 0, dwords);
        for (int v = 0; v < 4; v++)
            vst1q_u8(q + 16 * v, dwords[v]);
    }
}

ESPI_INLINE void pack_keys(const struct source *source, const struct part *part, size_t token, size_t element,
                           struct espi_packed_head *head)
{
    int8_t *k = head->k + token * head->size;
    int32x4_t sums[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
    for (size_t group = 0; group < head->size / 4; group++, k += 64) {
        uint8x16_t dwords[4];
        load_group(source, part, group, element, 128, dwords);
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            int8x16_t bytes = vreinterpretq_s8_u8(dwords[v]);
            sums[v] = vdotq_s32(sums[v], bytes, vdupq_n_s8(INT8_MIN)); // -128 Σ k
            vst1q_s8(k + 16 * v, bytes);
        }
    }
    for (size_t v = 0; v < 4; v++)
        vst1q_s32(head->start + token + 4 * v, sums[v]);
    for (size_t key = part->place.count[0] + part->place.count[1]; key < CHUNK; key++)
        head->start[token + key] = INT32_MIN / 2;
}

ESPI_INLINE void pack_values(const struct source *source, const struct part *part, size_t token, size_t element,
                             struct espi_packed_head *head)
{
    const size_t keys = (head->count + ESPI_KEY_BLOCK - 1) / ESPI_KEY_BLOCK * ESPI_KEY_BLOCK;
    for (size_t row = 0; row < head->size; row++)
        vst1q_s8(head->v + row * keys + token, vreinterpretq_s8_u8(load_row(source, part, row, element, 128)));
}

/* The lanes of the last query block past its last chunk. */
static inline void clear_queries(struct espi_packed_head *head)
{
    const size_t block = (head->count - 1) / ESPI_PANEL_TOKENS, width = espi_query_width(head->count, block);
    const size_t used = (head->count - block * ESPI_PANEL_TOKENS + CHUNK - 1) / CHUNK * CHUNK;
    uint8_t *q = head->q + block * ESPI_PANEL_TOKENS * head->size;
    for (size_t group = 0; group < head->size / 4; group++, q += width * 4)
        memset(q + used * 4, 0, (width - used) * 4);
}

/* element: that of the sources, a constant. */
ESPI_INLINE void pack_head(const struct source source[3], size_t element, const struct espi_span *span,
                           struct espi_packed_head *head)
{
    for (size_t token = 0; token < head->count; token += CHUNK) {
        const struct part part = find_part(span, token);
        pack_queries(&source[0], &part, token, element, head);
        pack_keys(&source[1], &part, token, element, head);
        pack_values(&source[2], &part, token, element, head);
    }
    clear_queries(head);
}

#endif
