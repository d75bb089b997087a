/* SPDX-License-Identifier: Apache-2.0
 * The stages of a tokenizer: added tokens → normalizers → pre-tokenizers → model → template → windows.
 *
 * A form of a normalizer, pre-tokenizer, model or decoder is a struct espi_stage_form in a file of its own and a row in
 * stage.c: whoever reads, writes, compiles or applies a tokenizer goes through the forms and knows none by name. Private to
 * src/text. */
#ifndef ESPI_TEXT_STAGE_H
#define ESPI_TEXT_STAGE_H

#include "base/json.h"
#include "base/json_writer.h"
#include "base/memory.h"
#include "text/units.h"

/* Where in a tokenizer; numbers of a compiled file. The forms are of four of them. */
enum espi_stage_place {
    ESPI_PLACE_VOCABULARY = 1,
    ESPI_PLACE_ADDED,
    ESPI_PLACE_NORMALIZER,
    ESPI_PLACE_PRE_TOKENIZER,
    ESPI_PLACE_MODEL,
    ESPI_PLACE_TEMPLATE,
    ESPI_PLACE_DECODER,
    ESPI_PLACE_SPLIT_TABLE,
    ESPI_PLACES
};

/* "vocabulary", "normalizer", ...; a number that is no place has no name (NULL). */
const char *espi_stage_place_name(uint32_t place);

/* A part of a normalized text: units [begin, end), a word to be or an added token. */
struct espi_part {
    size_t begin, end;
    int32_t added; // index into the tokenizer's added tokens, or -1
};

/* A text between normalizer and model. `scratch` is what a pre-tokenizer writes its parts to. */
struct espi_parts {
    struct espi_units units;
    struct espi_part *data, *scratch;
    size_t count, capacity, scratch_count, scratch_capacity;
};

/* Adds to `scratch`; espi_parts_swap makes it the parts. */
int espi_parts_add(esp_context *ctx, struct espi_parts *parts, struct espi_part part) ESPI_NODISCARD;
/* Adds a part for each run of code points of one class. */
enum espi_part_class {
    ESPI_PART_DROPPED,
    ESPI_PART_ALONE,
    ESPI_PART_RUN,
    ESPI_PART_OTHER_RUN
}; // ALONE: each by itself
typedef enum espi_part_class espi_part_class_fn(const void *self, uint32_t code);
int espi_parts_split(esp_context *ctx, struct espi_parts *parts, struct espi_part part, espi_part_class_fn *class_of,
                     const void *self) ESPI_NODISCARD;
/* What becomes of the matches a part is split at; numbers of compiled files. MERGED: with what stands before or behind them,
 * unless that is a match as well. */
enum espi_behavior {
    ESPI_REMOVED,
    ESPI_ISOLATED,
    ESPI_CONTIGUOUS = 3,
    ESPI_MERGED_WITH_PREVIOUS,
    ESPI_MERGED_WITH_NEXT,
    ESPI_BEHAVIORS
};
/* The first match in units[at .. end), or false. */
typedef bool espi_find_fn(const void *self, const struct espi_unit *units, size_t at, size_t end, size_t *begin,
                          size_t *stop);
/* `invert`: what lies between the matches is taken for the matches. */
int espi_parts_split_at(esp_context *ctx, struct espi_parts *parts, struct espi_part part, enum espi_behavior behavior,
                        bool invert, espi_find_fn *find, const void *self) ESPI_NODISCARD;
/* Makes of a part a copy behind all others, with a code point in front, at the place of its first. */
int espi_parts_prepend(esp_context *ctx, struct espi_parts *parts, uint32_t code,
                       struct espi_part *part) ESPI_NODISCARD;
void espi_parts_swap(struct espi_parts *parts);
void espi_parts_clear(struct espi_parts *parts);

/* A word as the model sees it. */
struct espi_word {
    const unsigned char *bytes; // (count); NULL: it has more than tokenizer->longest_word code points
    size_t count, chars;
    const struct espi_unit *from; // (count) where each byte came from; NULL: byte i from byte first.begin + i, of ASCII
    struct espi_unit first, last; // with `from`: its first and last code point; else begin and index of `first` alone
    int32_t added;                // an added token, found in the normalized text; -1: a word
};

/* The tokens of a word: ids and ends, in bytes; one that ends where the one before it does has its place, too. Owner: the caller, zero-initialised; espi_pieces_clear. */
struct espi_pieces {
    int32_t *ids; // (capacity)
    uint32_t *ends;
    size_t capacity;
    void *scratch; // a model's own
    size_t scratch_capacity;
};

/* Room for the tokens of a word of that many bytes. */
int espi_pieces_reserve(esp_context *ctx, struct espi_pieces *pieces, size_t bytes) ESPI_NODISCARD;
void espi_pieces_clear(struct espi_pieces *pieces);

/* Returns their number; 0 when there is no memory. */
typedef size_t espi_model_split_fn(esp_context *ctx, const void *self, const struct espi_word *word,
                                   struct espi_pieces *out);

/* What a model is asked. */
struct espi_model_calls {
    /* All tokens are there; `source` is named in messages. */
    int (*index)(esp_context *ctx, esp_tokenizer *tokenizer, const char *source, void *self);
    /* The id of a token of the model, or -1. */
    int32_t (*find)(const void *self, const char *text, size_t bytes);
    /* A word (no added token) as at least one token, for which there is room. */
    espi_model_split_fn *split;
    /* Releases what index made. */
    void (*clear)(void *self);
    bool marks_words; // tokens say whether they continue a word
};

struct espi_stage_record;
struct espi_tables_reader;
struct espi_tables_writer;

/* `self` is the form's own struct, zeroed, in the tokenizer's arena. */
struct espi_stage_form {
    enum espi_stage_place place;
    uint32_t kind;            // in compiled files
    const char *type;         // in tokenizer.json
    size_t size;              // of *self
    void (*init)(void *self); // what holds where a file says nothing; NULL: zeros
    /* The members of tokenizer.json, all that are known; NULL: it has none but its type. */
    int (*read)(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self);
    void (*write)(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self);
    /* The form's record in a compiled file; NULL: it is empty. */
    int (*put)(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record);
    int (*take)(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self);
    union {
        int (*normalize)(esp_context *ctx, const void *self, struct espi_units *units);
        /* Adds what becomes of one of the parts, which is no added token. Where units come in between, a copy of its
         * units is put behind all others. */
        int (*pre_tokenize)(esp_context *ctx, const void *self, struct espi_parts *parts, struct espi_part part);
        const struct espi_model_calls *model;
        /* Appends a token to a text that is being joined; `first`: it is the first. */
        int (*decode)(esp_context *ctx, const void *self, const char *token, size_t bytes, bool first,
                      struct espi_string *out);
    };
};

struct espi_stage {
    const struct espi_stage_form *form; // NULL: there is none
    void *self;
};

enum { ESPI_MAX_STAGES = 8 }; // of one place

struct espi_stages {
    struct espi_stage data[ESPI_MAX_STAGES];
    size_t count;
};

/* By its name, or by its number; NULL: not known. */
const struct espi_stage_form *espi_stage_find(enum espi_stage_place place, const char *type);
const struct espi_stage_form *espi_stage_find_kind(enum espi_stage_place place, uint32_t kind);
/* The names of a place's forms, "A, B and C". Returns `text`. */
const char *espi_stage_types(enum espi_stage_place place, char *text, size_t bytes);

/* A stage with its defaults, in the arena. */
int espi_stage_new(esp_context *ctx, struct espi_arena *arena, const struct espi_stage_form *form,
                   struct espi_stage *out) ESPI_NODISCARD;
int espi_stages_add(esp_context *ctx, const struct espi_stage *stage, struct espi_stages *stages) ESPI_NODISCARD;

#endif
