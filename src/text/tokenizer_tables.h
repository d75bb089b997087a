/* SPDX-License-Identifier: Apache-2.0
 * A tokenizer as one block of bytes that is used where it stands: the tokenizer section of a compiled file, as
 * docs/format.md describes it. Little-endian. Private to src/text. */
#ifndef ESPI_TEXT_TOKENIZER_TABLES_H
#define ESPI_TEXT_TOKENIZER_TABLES_H

#include "text/tokenizer_state.h"

enum {
    ESPI_TABLES_ALIGN = 64, // of every array and of the whole
    ESPI_TABLES_STAGES = 64,
    ESPI_STAGE_NUMBERS = 9,
    ESPI_STAGE_ARRAYS = 5,
};

/* Bits of the header's flags. */
enum { ESPI_TABLES_TRUNCATE_LEFT = 1, ESPI_TABLES_KEEP_SPACES = 2, ESPI_TABLES_ALL_FLAGS = 3 };

/* The first 64 bytes; the records of the stages follow. */
struct espi_tables_header {
    uint64_t max_length; // model_max_length; 2^64 - 1: not stated
    uint32_t flags;
    uint32_t size; // ids: the largest + 1
    uint32_t stages;
    int32_t special[8]; // ids of the roles, in their order; -1: none
    uint32_t reserved[3];
};

struct espi_tables_array {
    uint64_t offset, bytes; // 0, 0: there is none
};

/* Numbers and arrays a form has no use for are 0. A text is an offset into the texts of the vocabulary. */
struct espi_stage_record {
    uint32_t place, kind; // enum espi_stage_place, and which form of it
    uint32_t flags;
    uint32_t numbers[ESPI_STAGE_NUMBERS];
    struct espi_tables_array arrays[ESPI_STAGE_ARRAYS];
};

/* The stages that have no forms: their kind is 1. */
enum { ESPI_VOCABULARY_OFFSETS, ESPI_VOCABULARY_TEXTS };              // number 0: tokens of the model
enum { ESPI_ADDED_TRIE, ESPI_ADDED_TOKENS };                          //
enum { ESPI_TEMPLATE_PIECES };                                        // number 0: those of one text
enum { ESPI_SPLIT_BLOCK_OF, ESPI_SPLIT_ACTIONS, ESPI_SPLIT_SEVERAL }; //

/* Bits of a template's flags: a file states it; spaces at the ends of tokens are not part of them; but for a first one. */
enum { ESPI_TEMPLATE_STATED = 1, ESPI_TEMPLATE_TRIM = 2, ESPI_TEMPLATE_KEEP_FIRST = 4, ESPI_TEMPLATE_ALL_FLAGS = 7 };

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

_Static_assert(sizeof(struct espi_tables_header) == 64 && sizeof(struct espi_stage_record) == 128 &&
                   sizeof(struct espi_tables_added) == 12 && sizeof(struct espi_tables_piece) == 12,
               "sizes in the file");

/* ---- writing ------------------------------------------------------------------------------------------------------- */

struct espi_tables_writer {
    esp_context *ctx;
    const esp_tokenizer *tokenizer;
    struct espi_string texts;
    struct espi_arena arena; // of arrays that are made
    struct espi_stage_record records[ESPI_TABLES_STAGES];
    const void *arrays[ESPI_TABLES_STAGES][ESPI_STAGE_ARRAYS]; // what they point at, until they are copied
    size_t count;
};

/* Adds a text; *at is its place. */
int espi_tables_put_text(struct espi_tables_writer *writer, const char *text, uint32_t *at) ESPI_NODISCARD;
/* Array number `which` of the last record; it is copied at the end. */
void espi_tables_put_array(struct espi_tables_writer *writer, size_t which, const void *data, size_t count,
                           size_t size);

/* ---- reading ------------------------------------------------------------------------------------------------------- */

struct espi_tables_reader {
    esp_context *ctx;
    const char *source;
    const unsigned char *data;
    const struct espi_tables_header *header;
    const struct espi_stage_record *records; // (header->stages)
    const char *texts;
    size_t text_bytes;
    esp_tokenizer *tokenizer;
};

/* "source: tokenizer: field: expected at most 5, found 7" */
int espi_tables_fail(const struct espi_tables_reader *reader, const char *field, const char *expected, int64_t limit,
                     int64_t found);
/* Flags, numbers and arrays beyond those that are known must not be there. */
int espi_tables_shape(const struct espi_tables_reader *reader, const struct espi_stage_record *record, uint32_t flags,
                      size_t numbers, size_t arrays) ESPI_NODISCARD;
/* A number that is a text. */
int espi_tables_text(const struct espi_tables_reader *reader, const char *field, uint32_t at,
                     const char **out) ESPI_NODISCARD;
/* An array of elements of `size` bytes, from `least` to `most` of them. */
int espi_tables_view(const struct espi_tables_reader *reader, const struct espi_stage_record *record, size_t which,
                     const char *field, size_t size, size_t least, size_t most, const void **out,
                     size_t *count) ESPI_NODISCARD;
/* An array that is a trie whose values lie below `values`: no step leads out of it. */
int espi_tables_trie(const struct espi_tables_reader *reader, const struct espi_stage_record *record, size_t which,
                     const char *field, size_t values, struct espi_trie *out) ESPI_NODISCARD;

#endif
