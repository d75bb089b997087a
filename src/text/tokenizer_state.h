/* SPDX-License-Identifier: Apache-2.0
 * What a tokenizer is made of; private to src/text. */
#ifndef ESPI_TEXT_TOKENIZER_STATE_H
#define ESPI_TEXT_TOKENIZER_STATE_H

#include "base/json.h"
#include "base/memory.h"
#include "text/split.h"
#include "text/split_table.h"
#include "text/stage.h"
#include "text/tokenizer.h"
#include "text/trie.h"

enum {
    ESPI_MAX_TOKENS = 1 << 22,   // ids lie below this
    ESPI_MAX_ADDED = 1 << 14,    // added tokens
    ESPI_MAX_ADDED_BYTES = 1024, // of one added token's text
    ESPI_MAX_TEMPLATE = 64,      // pieces of one template
};

#define ESPI_NO_TEXT UINT32_MAX // offset of a text that is not there

/* Roots of the added tokens' trie: those found in the text as it is, and in the normalized text. */
enum { ESPI_ROOT_RAW, ESPI_ROOT_NORMALIZED, ESPI_ADDED_ROOTS };

struct espi_added_token {
    const char *content;
    size_t bytes;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
};

enum { ESPI_PIECE_SPECIAL = -1 };

struct espi_piece {
    int sequence; // 0 text, 1 pair, ESPI_PIECE_SPECIAL
    int32_t id;   // of a special token
    uint8_t type_id;
};

struct espi_template {
    struct espi_piece pieces[ESPI_MAX_TEMPLATE];
    size_t count;
    size_t special; // pieces that are special tokens
};

struct esp_tokenizer {
    struct espi_arena arena; // texts and lists below, and what the stages are
    struct espi_stages normalizers, pre_tokenizers;
    struct espi_stage model, decoder;
    struct espi_split_table table; // normalizer and pre-tokenizer in one, where they are BERT's
    bool has_table;
    size_t longest_word; // code points of a word of which the model sees the text

    bool borrowed;           // it stands on tables that are not its own: tries, table, texts by `offsets`
    const char **tokens;     // (size) text by id; NULL where an id is not used; not when borrowed:
    const uint32_t *offsets; // (size) of a token's text in `texts`
    const char *texts;
    size_t size, capacity;
    size_t model_tokens; // tokens of the model; added ones that are not in it are not counted
    struct espi_special_ids special;

    struct espi_added_token *added; // (added_count)
    size_t added_count, added_capacity;
    bool raw_first[256];        // bytes that an added token found in the raw text begins with
    int raw_only_first;         // that byte when there is just one, or -1
    bool normalized_first[128]; // of ASCII those that an added token found in the normalized text may begin with
    bool any_raw, any_normalized;
    struct espi_trie added_trie; // of raw and normalized contents; values: indices into added

    bool has_template;
    bool trim_offsets, trim_keeps_first; // spaces at the ends of tokens are not part of them, but for one before a text
    struct espi_template single, pair;
    size_t max_length;  // model_max_length, or SIZE_MAX
    bool truncate_left; // truncation_side: the end of a long text is kept
    bool keep_spaces;   // clean_up_tokenization_spaces is false
};

/* Without stages; esp_tokenizer_free releases it. */
int espi_tokenizer_new(esp_context *ctx, esp_tokenizer **out) ESPI_NODISCARD;
/* Gives it the stages of BERT's classes. */
int espi_tokenizer_bert_stages(esp_context *ctx, esp_tokenizer *tokenizer) ESPI_NODISCARD;
/* Its BertNormalizer, when that is all its normalizer, or NULL. */
struct espi_bert_normalizer *espi_tokenizer_bert_normalizer(const esp_tokenizer *tokenizer);

/* Whether its normalizer and pre-tokenizer are what the split table holds. */
bool espi_tokenizer_wants_table(const esp_tokenizer *tokenizer);

/* Adds a token of the model; `source` is named in messages. The text is copied. One that no text can have, empty or with a
 * zero byte, takes its id only. */
int espi_tokenizer_add_token(esp_context *ctx, esp_tokenizer *tokenizer, const char *source, const char *text,
                             size_t bytes, int64_t id) ESPI_NODISCARD;

/* Called once all tokens of the model are there: of two equal ones the later id counts; refuses a missing unknown token. */
int espi_tokenizer_index(esp_context *ctx, esp_tokenizer *tokenizer, const char *source) ESPI_NODISCARD;

/* ESP_ERR_FORMAT when the id that was found for the unknown token is none. */
int espi_tokenizer_check_unknown(esp_context *ctx, const char *source, const char *token, int32_t id) ESPI_NODISCARD;

/* The id of a token of the model, or -1. */
int32_t espi_tokenizer_find_model(const esp_tokenizer *tokenizer, const char *text);

/* Adds an added token after espi_tokenizer_index; token->id is the id the file states, or -1 to take the one of the
 * model or else the next free one. The content is copied. */
int espi_tokenizer_add_added(esp_context *ctx, esp_tokenizer *tokenizer, const char *source,
                             const struct espi_added_token *token) ESPI_NODISCARD;

/* Called last: builds the split table and what is needed to find added tokens, and finds the special tokens no file has
 * named. */
int espi_tokenizer_finish(esp_context *ctx, esp_tokenizer *tokenizer, const char *source) ESPI_NODISCARD;

/* CLS A SEP and CLS A SEP B SEP with type ids 0 and 1. */
void espi_tokenizer_bert_template(esp_tokenizer *tokenizer, int32_t cls, int32_t sep);

/* The same of RoBERTa: two SEP between the texts, all types 0. */
void espi_tokenizer_roberta_template(esp_tokenizer *tokenizer, int32_t cls, int32_t sep);
/* The tokens that have the roles in RoBERTa's vocabularies. */
extern const char *const espi_roberta_specials[ESPI_SPECIAL_ROLES];

/* The two file formats, without the files beside them; espi_tokenizer_finish is still to come. */
int espi_tokenizer_read_json(esp_context *ctx, esp_tokenizer *tokenizer,
                             const struct espi_json *document) ESPI_NODISCARD;
int espi_tokenizer_read_vocab(esp_context *ctx, esp_tokenizer *tokenizer, const char *path) ESPI_NODISCARD;

/* For the forms: a text member, when it is there; the object of tokens, a member of the model. */
int espi_tokenizer_read_text(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *object,
                             const char *key, const char **out) ESPI_NODISCARD;
int espi_tokenizer_read_vocabulary(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *model,
                                   const struct espi_json *vocab) ESPI_NODISCARD;
void espi_tokenizer_write_vocabulary(struct espi_json_writer *w, const esp_tokenizer *tokenizer);

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

struct espi_token {
    int32_t id;
    uint32_t word;
    uint32_t byte_begin, byte_end, char_begin, char_end;
};

/* The tokens of one text. */
struct espi_token_list {
    struct espi_token *data;
    size_t count, capacity;
    uint32_t words;
};

/* Part [begin, end) of a text's tokens. */
struct espi_token_range {
    size_t begin, end;
};

struct espi_token_ranges {
    struct espi_token_range *data; // at least one
    size_t count, capacity;
};

/* Private buffers of an encoding: esp_encoding.workspace. */
struct espi_encode_workspace {
    struct espi_token_list lists[2];
    struct espi_token_ranges windows[2];
    struct espi_splitter splitter;
    struct espi_pieces pieces;
    size_t token_capacity, start_capacity; // of the encoding's public arrays
};

/* Tokens of one text, before truncation and template. Stops behind the word with which there are `limit` or more. */
int espi_encode_text(esp_context *ctx, const esp_tokenizer *tokenizer, const char *text, size_t bytes, size_t limit,
                     struct espi_encode_workspace *workspace, struct espi_token_list *out) ESPI_NODISCARD;

/* Cuts the texts into windows (workspace->windows) as the options say; `left`: at their beginnings. */
int espi_truncate(esp_context *ctx, const esp_encode_options *options, bool left, size_t added, bool has_pair,
                  struct espi_encode_workspace *workspace) ESPI_NODISCARD;

int espi_token_range_add(esp_context *ctx, struct espi_token_ranges *list, size_t begin, size_t end) ESPI_NODISCARD;

/* Empties an encoding and makes its workspace. */
int espi_encoding_prepare(esp_context *ctx, esp_encoding *out) ESPI_NODISCARD;
/* Writes the windows (workspace->windows, of workspace->lists) in the template, with or without its special tokens. */
int espi_encoding_write(esp_context *ctx, const struct espi_template *template, bool special,
                        struct espi_encode_workspace *workspace, esp_encoding *out) ESPI_NODISCARD;

/* An added token found at [begin, end), with the spaces it takes in; index into tokenizer->added. */
struct espi_match {
    size_t begin, end;
    size_t added;
    size_t resume; // where the search goes on
};

/* The next added token of the raw text at or after match->resume; match->end is where the last one ended (both 0 at
 * first). False when there is none. */
bool espi_added_find_raw(const esp_tokenizer *tokenizer, const unsigned char *text, size_t bytes,
                         struct espi_match *match);
/* The same in normalized text; begin, end and resume count units. */
bool espi_added_find_normalized(const esp_tokenizer *tokenizer, const struct espi_units *units,
                                struct espi_match *match);
/* Sets what is said of all added tokens together: raw_first, raw_only_first, any_raw, any_normalized. */
void espi_added_note(esp_tokenizer *tokenizer, const struct espi_added_token *token);
/* The same of added_trie: normalized_first. */
void espi_added_note_trie(esp_tokenizer *tokenizer);
/* Builds added_trie. */
int espi_added_index(esp_context *ctx, esp_tokenizer *tokenizer, const char *source) ESPI_NODISCARD;

#endif
