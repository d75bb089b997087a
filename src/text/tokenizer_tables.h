/* SPDX-License-Identifier: Apache-2.0
 * A tokenizer as one block of bytes that is used where it stands: the tokenizer section of a compiled file, as
 * docs/format.md describes it. Little-endian. Private to src/text. */
#ifndef ESPI_TEXT_TOKENIZER_TABLES_H
#define ESPI_TEXT_TOKENIZER_TABLES_H

#include "text/tokenizer_state.h"
#include "text/unicode.h"

enum { ESPI_TABLES_ALIGN = 64 }; // of every array and of the whole

/* Bits of `flags`. */
enum {
    ESPI_TABLES_CLEAN_TEXT = 1,
    ESPI_TABLES_CHINESE = 2,
    ESPI_TABLES_STRIP_ACCENTS = 4,
    ESPI_TABLES_LOWERCASE = 8,
    ESPI_TABLES_ACCENTS_STATED = 16,
    ESPI_TABLES_TEMPLATE = 32,
    ESPI_TABLES_DECODER = 64,
    ESPI_TABLES_CLEANUP = 128,
    ESPI_TABLES_TRUNCATE_LEFT = 256,
    ESPI_TABLES_KEEP_SPACES = 512,
    ESPI_TABLES_ALL_FLAGS = 1023,
};

/* The first 128 bytes. Texts are offsets into the last array; each ends with a zero. */
struct espi_tables_header {
    uint64_t max_length; // model_max_length; 2^64 - 1: not stated
    uint32_t flags;
    uint32_t size;         // ids: the largest + 1
    uint32_t model_tokens; // of the WordPiece model
    uint32_t max_word_chars;
    uint32_t unk_token, prefix, decoder_prefix; // texts
    int32_t special[5];                         // ids of pad, unk, cls, sep, mask; -1: none
    uint32_t added_count;
    uint32_t single_pieces, pair_pieces;
    uint32_t trie_nodes, added_nodes;     // multiples of 256
    uint32_t step_blocks, several_counts; // of the normalizer
    uint32_t text_bytes;
    uint32_t reserved[10]; // 0
};

/* Bits of an added token's flags. */
enum {
    ESPI_ADDED_SINGLE_WORD = 1,
    ESPI_ADDED_LSTRIP = 2,
    ESPI_ADDED_RSTRIP = 4,
    ESPI_ADDED_IS_NORMALIZED = 8,
    ESPI_ADDED_SPECIAL = 16,
    ESPI_ADDED_ALL_FLAGS = 31,
};

struct espi_tables_added {
    uint32_t text;
    int32_t id;
    uint32_t flags;
};

struct espi_tables_piece {
    int32_t sequence; // 0 text, 1 pair, -1 a special token
    int32_t id;       // of it
    uint32_t type_id;
};

_Static_assert(sizeof(struct espi_tables_header) == 128 && sizeof(struct espi_tables_added) == 12 &&
                   sizeof(struct espi_tables_piece) == 12,
               "sizes in the file");

/* The arrays behind the header, in this order, each at the next multiple of 64.
 * X(name, size of an element, number of elements by the header h) */
#define ESPI_TABLES_MAP(X)                                                                                             \
    X(TRIE, sizeof(uint64_t), h->trie_nodes)                                                                           \
    X(ADDED_TRIE, sizeof(uint64_t), h->added_nodes)                                                                    \
    X(TOKENS, sizeof(uint32_t), h->size)                                                                               \
    X(ADDED, sizeof(struct espi_tables_added), h->added_count)                                                         \
    X(PIECES, sizeof(struct espi_tables_piece), (size_t)h->single_pieces + h->pair_pieces)                             \
    X(BLOCK_OF, sizeof(uint16_t), ESPI_CODE_POINTS / ESPI_TABLE_BLOCK)                                                 \
    X(STEPS, sizeof(uint32_t), (size_t)h->step_blocks *ESPI_TABLE_BLOCK)                                               \
    X(SEVERAL, sizeof(uint32_t), h->several_counts)                                                                    \
    X(TEXTS, 1, h->text_bytes)

enum espi_tables_array {
#define X(name, size, count) ESPI_TABLES_##name,
    ESPI_TABLES_MAP(X)
#undef X
        ESPI_TABLES_ARRAYS,
};

/* Where each array begins; returns the bytes of the whole. Counts are 32 bits wide: nothing overflows. */
static inline size_t espi_tables_lay_out(const struct espi_tables_header *h, size_t offsets[ESPI_TABLES_ARRAYS])
{
    size_t end = sizeof *h;
#define X(name, size, count)                                                                                           \
    offsets[ESPI_TABLES_##name] = end;                                                                                 \
    end = (end + (size) * (size_t)(count) + ESPI_TABLES_ALIGN - 1) / ESPI_TABLES_ALIGN * ESPI_TABLES_ALIGN;
    ESPI_TABLES_MAP(X)
#undef X
    return end;
}

#endif
