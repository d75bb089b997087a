/* SPDX-License-Identifier: Apache-2.0
 * The tokenizer beyond the public API: special ids, decoding, reading from memory, writing. */
#ifndef ESPI_TEXT_TOKENIZER_H
#define ESPI_TEXT_TOKENIZER_H

#include "base/memory.h"

#include <stdio.h>

/* The tokens a model gives a meaning to, by their roles. */
enum espi_special_role {
    ESPI_SPECIAL_PAD,
    ESPI_SPECIAL_UNK,
    ESPI_SPECIAL_CLS,
    ESPI_SPECIAL_SEP,
    ESPI_SPECIAL_MASK,
    ESPI_SPECIAL_ROLES
};

/* The tokens that have these roles in BERT's vocabularies, which begin with them. */
extern const char *const espi_bert_specials[ESPI_SPECIAL_ROLES];

/* Their ids; -1 where the tokenizer has no such token. */
struct espi_special_ids {
    union {
        struct {
            int32_t pad, unk, cls, sep, mask;
        };
        int32_t of_role[ESPI_SPECIAL_ROLES];
    };
};

const struct espi_special_ids *espi_tokenizer_special(const esp_tokenizer *tokenizer);
/* True for added tokens that are marked special. */
bool espi_tokenizer_is_special(const esp_tokenizer *tokenizer, int32_t id);

/* Another model_max_length; SIZE_MAX: none. */
void espi_tokenizer_set_max_length(esp_tokenizer *tokenizer, size_t max_length);

/* Whether the end of a long text is kept (truncation_side). */
bool espi_tokenizer_truncates_left(const esp_tokenizer *tokenizer);
/* Whether decoded text keeps the spaces its pieces have (clean_up_tokenization_spaces is false). */
bool espi_tokenizer_keeps_spaces(const esp_tokenizer *tokenizer);

/* Special tokens that the template of one text, or of two, adds. */
size_t espi_tokenizer_added(const esp_tokenizer *tokenizer, bool pair);
/* The name of its model: "WordPiece", "BPE", … Static storage. */
const char *espi_tokenizer_model(const esp_tokenizer *tokenizer);
/* Whether tokens say that they continue a word, as WordPiece's do. */
bool espi_tokenizer_marks_words(const esp_tokenizer *tokenizer);

/* Text of ids as Hugging Face's decoder of this tokenizer writes it. Unknown ids are left out. *text is zero-terminated and
 * the caller's: free(). */
int espi_tokenizer_decode(esp_context *ctx, const esp_tokenizer *tokenizer, const int32_t *ids, size_t count,
                          bool skip_special, char **text) ESPI_NODISCARD;
/* The same of one more token behind others (`first`: there are none), or of a text in the place of an unknown one. */
int espi_tokenizer_join(esp_context *ctx, const esp_tokenizer *tokenizer, const char *token, size_t bytes, bool first,
                        struct espi_string *out) ESPI_NODISCARD;
/* Takes spaces before punctuation and English contractions out of a text, in place (clean_up_tokenization of transformers;
 * with `decoder` the WordPiece decoder's, which also shortens "do not"). Returns its new length. */
size_t espi_clean_up(char *text, size_t length, bool decoder);

/* Encodes the lines of a text one behind another, the tokenizer's separator between two of them, into windows of max_length
 * tokens (the last one shorter), each in the template of a single text. A long line goes on in the next window; no token is
 * lost or stands in two windows, but for a separator that would meet the edge of one. A text without tokens has no windows.
 * Errors as esp_encode. */
int espi_encode_lines(esp_context *ctx, const esp_tokenizer *tokenizer, const char *text, size_t bytes,
                      size_t max_length, esp_encoding *out) ESPI_NODISCARD;

/* Whether a directory has a vocabulary of any kind. */
bool espi_tokenizer_is_there(const char *directory);
/* A tokenizer from the text of a tokenizer.json in memory; `source` is named in messages. */
int espi_tokenizer_open_text(esp_context *ctx, const char *source, const char *text, size_t bytes,
                             esp_tokenizer **out) ESPI_NODISCARD;
/* A tokenizer as one block of bytes (docs/format.md, the tokenizer section), 64-byte aligned: free() it. */
int espi_tokenizer_tables(esp_context *ctx, const esp_tokenizer *tokenizer, unsigned char **data,
                          size_t *bytes) ESPI_NODISCARD;
/* A tokenizer on such a block, 64-byte aligned, which outlives it: nothing is copied but the added tokens. ESP_ERR_FORMAT
 * when a number in it leads nowhere. */
int espi_tokenizer_open_tables(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes,
                               esp_tokenizer **out) ESPI_NODISCARD;
/* What a new BERT tokenizer is like. */
struct espi_vocab_settings {
    bool lowercase;
    int strip_accents; // 0, 1, or -1: as lowercase
    size_t max_length; // model_max_length; SIZE_MAX: not stated
};

/* From its tokens in id order, espi_bert_specials among them. */
int espi_tokenizer_from_vocab(esp_context *ctx, const char *const *tokens, size_t count,
                              const struct espi_vocab_settings *settings, esp_tokenizer **out) ESPI_NODISCARD;
/* One without tokens, for espi_split: words of more than `longest_word` code points are not kept. */
int espi_tokenizer_of_words(esp_context *ctx, const struct espi_vocab_settings *settings, size_t longest_word,
                            esp_tokenizer **out) ESPI_NODISCARD;
/* Writes a tokenizer.json from which the same tokenizer is read back (but for model_max_length, which has no place in
 * it). */
int espi_tokenizer_write_json(esp_context *ctx, const esp_tokenizer *tokenizer, FILE *stream) ESPI_NODISCARD;
/* Writes vocab.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json into an existing directory. */
int espi_tokenizer_write_directory(esp_context *ctx, const esp_tokenizer *tokenizer,
                                   const char *directory) ESPI_NODISCARD;

#endif
