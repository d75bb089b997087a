/* SPDX-License-Identifier: Apache-2.0
 * What surrounds the attention ops: the memory of a packed head, the numbers of struct espi_attention, the table of
 * exponentials. docs/kernels.md says how the numbers were chosen. */
#ifndef ESPI_KERNELS_ATTENTION_H
#define ESPI_KERNELS_ATTENTION_H

#include "kernels/kernel.h"

#include <string.h>

/* Sums of up to 2^16 products of 255 * 127 stay within 32 bits. */
enum { ESPI_MAX_KEYS = 65536, ESPI_MAX_HEAD_SIZE = 4096 };

enum { ESPI_KEY_BLOCK = 16, ESPI_SOFTMAX_ENTRIES = 256, ESPI_SOFTMAX_DITHERS = 4 };

/* The natural logarithm of the ratio of two neighbours in the table: p is 0 from 7.65 below the top on. */
#define ESPI_SOFTMAX_STEP 0.03

/* table[d][i] = floor(255 * exp(-i * ESPI_SOFTMAX_STEP) + 1, 5, 3 and 7 eighths): four ways to round, which the keys take
 * in turn, so that the sum of many small probabilities is not rounded away. */
extern const uint8_t espi_softmax_table[ESPI_SOFTMAX_DITHERS][ESPI_SOFTMAX_ENTRIES];

/* The same without the table: with a and b the factors,
 *     table[d][i] = ((a[i / 16] * b[i % 16] >> 16) + espi_softmax_rounding[d]) >> 8      exactly, in 16 bits
 * The factors are 256 * 255 * exp(-16 * 0.03 i) and 2^16 * exp(-0.03 i), both times a constant, moved by up to 4 % until all
 * 1,024 entries came out. */
enum { ESPI_SOFTMAX_FACTORS = 16 };
extern const uint16_t espi_softmax_factors[2][ESPI_SOFTMAX_FACTORS];
extern const uint8_t espi_softmax_rounding[ESPI_SOFTMAX_DITHERS];

/* Bytes of a packed head, a multiple of 64. ESP_ERR_LIMIT: no tokens or more than ESPI_MAX_KEYS, or a size that is not
 * a multiple of 4 from 4 to ESPI_MAX_HEAD_SIZE. */
int espi_head_bytes(esp_context *ctx, size_t tokens, size_t size, size_t *bytes) ESPI_NODISCARD;

/* Lays a head out in `memory` of at least that many bytes, 64-byte aligned, which it borrows. */
void espi_head_place(struct espi_packed_head *head, size_t tokens, size_t size, void *memory);

/* Bytes of the scratch memory of `attention` for a sequence of at most `tokens` and heads of that size: 64-byte aligned, one
 * per thread. */
size_t espi_attention_scratch(size_t tokens, size_t size);

/* Sets shift and multiplier so that q · k times `scale`, the exponent of a natural exponential, is what softmax is
 * taken of: scale = scale of q * scale of k / sqrt(size). The clamping to 16 bits begins at exponents of +-64 at least.
 * A scale above 0.015 (a unit of q · k is half an entry of the table) counts as 0.015. scale: not negative, finite. */
void espi_attention_scores(struct espi_attention *attention, size_t size, float scale);

/* The same where biases are added to the scores: 16 bits hold exponents of +-64 at least, whatever q and k are. Returns the
 * exponent of a unit, for `distances`. */
float espi_attention_biased_scores(struct espi_attention *attention, float scale);

static inline size_t espi_query_blocks(size_t tokens)
{
    return (tokens + ESPI_PANEL_TOKENS - 1) / ESPI_PANEL_TOKENS;
}

/* Values of espi_attention.distances; that of distance 0 is number tokens - 1. */
static inline size_t espi_distance_count(size_t tokens)
{
    return tokens - 1 + espi_query_blocks(tokens) * ESPI_PANEL_TOKENS;
}

/* Lanes of a query block: those of the narrowest panel that holds its queries. */
static inline size_t espi_query_width(size_t tokens, size_t block)
{
    size_t left = tokens - block * ESPI_PANEL_TOKENS;
    return espi_panel_width(left < ESPI_PANEL_TOKENS ? left : ESPI_PANEL_TOKENS);
}

/* Where a token's value of row 0 stands in panels, and the width of its panel: row r is r * width further. */
static inline size_t espi_span_at(const struct espi_span *span, size_t token, size_t *width)
{
    size_t at = span->first + token, panel = at / ESPI_PANEL_TOKENS;
    size_t left = span->tokens - panel * ESPI_PANEL_TOKENS;
    *width = espi_panel_width(left < ESPI_PANEL_TOKENS ? left : ESPI_PANEL_TOKENS);
    return panel * ESPI_PANEL_TOKENS * span->rows + at % ESPI_PANEL_TOKENS;
}

/* Consecutive tokens of a sequence: count[0] of them in one panel, count[1] in the next. A row's values begin at
 * at[i] + row * width[i]. */
struct espi_stretch {
    size_t count[2], at[2], width[2];
};

/* The `most` tokens (up to ESPI_PANEL_TOKENS) from `token` on, or what is left. */
static inline struct espi_stretch espi_span_stretch(const struct espi_span *span, size_t token, size_t most)
{
    struct espi_stretch stretch = {0};
    size_t count = span->count - token < most ? span->count - token : most;
    size_t room = ESPI_PANEL_TOKENS - (span->first + token) % ESPI_PANEL_TOKENS;
    stretch.count[0] = count < room ? count : room;
    stretch.count[1] = count - stretch.count[0];
    stretch.at[0] = espi_span_at(span, token, &stretch.width[0]);
    if (stretch.count[1])
        stretch.at[1] = espi_span_at(span, token + room, &stretch.width[1]);
    return stretch;
}

/* A row's values from or into panels of elements of that size. */
static inline void espi_stretch_load(const struct espi_stretch *stretch, size_t row, size_t element, const void *panels,
                                     void *values)
{
    size_t first = stretch->count[0] * element;
    memcpy(values, (const uint8_t *)panels + (stretch->at[0] + row * stretch->width[0]) * element, first);
    memcpy((uint8_t *)values + first, (const uint8_t *)panels + (stretch->at[1] + row * stretch->width[1]) * element,
           stretch->count[1] * element);
}

static inline void espi_stretch_store(const struct espi_stretch *stretch, size_t row, size_t element,
                                      const void *values, void *panels)
{
    size_t first = stretch->count[0] * element;
    memcpy((uint8_t *)panels + (stretch->at[0] + row * stretch->width[0]) * element, values, first);
    memcpy((uint8_t *)panels + (stretch->at[1] + row * stretch->width[1]) * element, (const uint8_t *)values + first,
           stretch->count[1] * element);
}

#endif
