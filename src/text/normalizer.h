/* SPDX-License-Identifier: Apache-2.0
 * BertNormalizer and BertPreTokenizer of Hugging Face tokenizers: what becomes of each code point.
 *
 * Two ways to the same result. The table says for one code point alone what it becomes; that is right for every text
 * except where a combining mark that is kept meets other marks (canonical ordering): such code points are marked
 * ESPI_STEP_ORDER, and a text that has one goes through espi_normalize, the plain sequence of passes. */
#ifndef ESPI_TEXT_NORMALIZER_H
#define ESPI_TEXT_NORMALIZER_H

#include "base/status.h"
#include "text/unicode.h"

#include <stdint.h>

struct espi_normalizer_options {
    bool clean_text, handle_chinese_chars, strip_accents, lowercase;
};

/* A step is payload << 3 | kind. The payload of LETTER and ALONE is the code point it becomes, or 0: itself. */
enum espi_step_kind {
    ESPI_STEP_LETTER,  // part of a word
    ESPI_STEP_SPACE,   // ends a word
    ESPI_STEP_DROP,    // vanishes; does not end a word
    ESPI_STEP_ALONE,   // a word by itself
    ESPI_STEP_SEVERAL, // payload: index into `several`, which holds a count and that many steps
    ESPI_STEP_ORDER,   // needs espi_normalize
};

enum { ESPI_STEP_BITS = 3, ESPI_STEP_KIND = 7, ESPI_TABLE_BLOCK = 128 };

/* Most steps one code point becomes: decomposed, each part lowered, spaces on both sides. */
enum { ESPI_STEPS_OF_ONE = 2 + ESPI_DECOMPOSED * ESPI_LOWERED };

/* Owner: the caller, zero-initialised. Immutable after espi_normalizer_init. */
struct espi_normalizer {
    struct espi_normalizer_options options;
    uint8_t ascii_kind[256]; // kind of an ASCII byte's step; ESPI_STEP_SEVERAL for the bytes of longer sequences
    uint8_t ascii_out[128];  // what an ASCII letter becomes
    uint16_t *block_of;      // (0x110000 / ESPI_TABLE_BLOCK) block number of a code point
    uint32_t *steps;         // (blocks, ESPI_TABLE_BLOCK)
    size_t blocks, block_capacity;
    uint32_t *several;
    size_t several_count, several_capacity;
};

int espi_normalizer_init(esp_context *ctx, struct espi_normalizer *normalizer,
                         const struct espi_normalizer_options *options) ESPI_NODISCARD;
/* Sets what is said of ASCII, from the steps. */
void espi_normalizer_note_ascii(struct espi_normalizer *normalizer);
void espi_normalizer_clear(struct espi_normalizer *normalizer);

static inline uint32_t espi_normalizer_step(const struct espi_normalizer *normalizer, uint32_t code)
{
    return normalizer
        ->steps[(size_t)normalizer->block_of[code / ESPI_TABLE_BLOCK] * ESPI_TABLE_BLOCK + code % ESPI_TABLE_BLOCK];
}

/* One code point of a normalized text and where it came from. */
struct espi_unit {
    uint32_t code;
    uint32_t begin, end; // bytes of the original text
    uint32_t index;      // of the original code point
};

/* A growing array of units. `scratch` is what a pass writes to. Owner: the caller, zero-initialised. */
struct espi_units {
    struct espi_unit *data;
    size_t count, capacity;
    struct espi_unit *scratch;
    size_t scratch_capacity;
};

void espi_units_clear(struct espi_units *units);

/* Normalizes text[begin .. end), whose first code point has number `index`, exactly as the passes of BertNormalizer
 * do. The units replace what was there. */
int espi_normalize(esp_context *ctx, const struct espi_normalizer *normalizer, const unsigned char *text, size_t begin,
                   size_t end, uint32_t index, struct espi_units *units) ESPI_NODISCARD;

#endif
