/* SPDX-License-Identifier: Apache-2.0
 * BertNormalizer and BertPreTokenizer in one table: what becomes of each code point.
 *
 * The table says for one code point alone what it becomes; that is right for every text except where a combining mark
 * that is kept meets other marks (canonical ordering): such code points are marked ESPI_ACTION_ORDER, and from there on the
 * stages are applied one after another. */
#ifndef ESPI_TEXT_SPLIT_TABLE_H
#define ESPI_TEXT_SPLIT_TABLE_H

#include "base/status.h"
#include "text/unicode.h"

#include <stdint.h>

struct espi_bert_options {
    bool clean_text, handle_chinese_chars, strip_accents, lowercase;
};

/* An action is payload << 3 | kind. The payload of LETTER and ALONE is the code point it becomes, or 0: itself. */
enum espi_char_action {
    ESPI_ACTION_LETTER,  // part of a word
    ESPI_ACTION_SPACE,   // ends a word
    ESPI_ACTION_DROP,    // vanishes; does not end a word
    ESPI_ACTION_ALONE,   // a word by itself
    ESPI_ACTION_SEVERAL, // payload: index into `several`, which holds a count and that many actions
    ESPI_ACTION_ORDER,   // depends on its neighbours
};

enum { ESPI_ACTION_BITS = 3, ESPI_ACTION_KIND = 7, ESPI_TABLE_BLOCK = 128 };

/* Most actions of one code point: decomposed, each part lowered, spaces on both sides. */
enum { ESPI_ACTIONS_OF_ONE = 2 + ESPI_DECOMPOSED * ESPI_LOWERED };

/* Owner: the caller, zero-initialised. Immutable once it is built. */
struct espi_split_table {
    uint16_t ascii[256]; // kind of an ASCII byte's action · 256 + what it becomes; of other bytes as of several actions
    uint16_t *block_of;  // (0x110000 / ESPI_TABLE_BLOCK) block number of a code point
    uint32_t *actions;   // (blocks, ESPI_TABLE_BLOCK)
    size_t blocks, block_capacity;
    uint32_t *several;
    size_t several_count, several_capacity;
};

int espi_split_table_build(esp_context *ctx, const struct espi_bert_options *options,
                           struct espi_split_table *table) ESPI_NODISCARD;
/* Sets what is said of ASCII, from the actions. */
void espi_split_table_note_ascii(struct espi_split_table *table);
void espi_split_table_clear(struct espi_split_table *table);

static inline uint32_t espi_split_action(const struct espi_split_table *table, uint32_t code)
{
    return table
        ->actions[(size_t)table->block_of[code / ESPI_TABLE_BLOCK] * ESPI_TABLE_BLOCK + code % ESPI_TABLE_BLOCK];
}

#endif
