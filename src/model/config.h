/* SPDX-License-Identifier: Apache-2.0
 * What an encoder is: its shape, switches and head, from config.json (and the sentence-transformers files beside it). */
#ifndef ESPI_MODEL_CONFIG_H
#define ESPI_MODEL_CONFIG_H

#include "base/json.h"
#include "base/memory.h"
#include "kernels/activate.h"

struct espi_arch; // a model family: one row of archs.inc

enum espi_head {
    ESPI_HEAD_NONE, // bare encoder (perhaps with a pooler and sentence-transformers pooling)
    ESPI_HEAD_QA,
    ESPI_HEAD_SEQUENCE, // sequence classification or regression
    ESPI_HEAD_TOKEN,    // token classification
    ESPI_HEAD_MLM,
};

enum espi_problem { ESPI_SINGLE_LABEL, ESPI_MULTI_LABEL, ESPI_REGRESSION };

/* Where the places of tokens come into a layer's input. */
enum espi_positions {
    ESPI_POSITIONS_LEARNED, // a table's row for each place in the sequence, from position_offset on
    ESPI_POSITIONS_COUNTED, // the same with tokens counted that are not the padding id, which has the row before the first
    ESPI_POSITIONS_ROTARY, // queries and keys turned by position_theta
    ESPI_POSITIONS_NONE,
};

/* What a layer computes. Families state it in archs.inc; what runs a model reads this, and refuses what it cannot compute
 * (espi_block_check). */
struct espi_block {
    bool norm_first;   // x + f(norm(x)); else norm(x + f(x))
    bool no_norm_bias; // LayerNorm without shift
    bool no_bias;      // linear layers without bias
    bool gated;        // feed-forward: activation(a x) * (b x); else activation(a x)
    enum espi_positions positions;
    size_t position_offset; // rows of the position table before that of the first token
    float position_theta;   // ROTARY
    size_t window;          // tokens that attention sees on either side; 0: all
    size_t shared_layers;   // neighbouring layers that have the weights of one; 0: each has its own
    size_t embedding;       // width of the embeddings, which a linear layer brings to that of the layers; 0: it is that
    size_t buckets;         // of distances (espi_config_bucket), each with a bias of the scores by head; 0: none
};

/* Which rows of the last hidden states a head reads. */
enum espi_head_rows {
    ESPI_ROWS_NONE,   // no head
    ESPI_ROWS_ALL,    // every token
    ESPI_ROWS_FIRST,  // the first token of each sequence
    ESPI_ROWS_WANTED, // tokens that the caller names
};

/* What a head computes of its rows: dense layer and activation, LayerNorm, then a classifier of config.labels outputs or the
 * decoder, whose weights are the word embeddings. A bare encoder's is its pooler: a dense layer alone. */
struct espi_head_recipe {
    enum espi_head_rows rows;
    bool dense, norm, decoder;
    enum espi_activation activation; // behind the dense layer
    bool dropout_first;              // training: dropout in front of the dense layer too
};

/* How the outputs of a sequence head become the scores of an answer, where the files name the function. */
enum espi_scores { ESPI_SCORES_UNSTATED, ESPI_SCORES_SOFTMAX, ESPI_SCORES_SIGMOID, ESPI_SCORES_RAW };

/* Apart from the enums, so that a switch over one of them need not name its count. */
enum {
    ESPI_HEAD_COUNT = ESPI_HEAD_MLM + 1,
    ESPI_PROBLEM_COUNT = ESPI_REGRESSION + 1,
};

enum espi_pooling { ESPI_POOL_NONE, ESPI_POOL_CLS, ESPI_POOL_MEAN, ESPI_POOL_MAX };

/* Owner: the caller; zero-initialise, espi_config_clear releases. Immutable after reading. */
struct espi_config {
    const struct espi_arch *arch; // of a checkpoint; NULL: of a compiled file, which need not know its family
    const char *family;           // its name
    enum espi_head head;
    size_t vocab_size, hidden, layers, heads;
    size_t intermediate;   // of the widest layer
    const uint32_t *inner; // (layers) of each; NULL: all are that wide
    size_t max_positions;  // tokens of the longest sequence
    struct espi_block block;
    size_t type_vocab;            // 0: the family has no token types
    const uint8_t *removed_heads; // (layers, heads) 1: pruned away (pruned_heads), not in the weights; NULL: none
    enum espi_activation activation;
    float layer_norm_eps;
    float initializer_range;
    float hidden_dropout, attention_dropout, classifier_dropout; // training only
    int32_t pad_token_id;
    struct espi_head_recipe recipe; // of a bare encoder: of the pooler, when its checkpoint has it

    size_t labels;            // outputs of the head: 2 for QA, n for classification, 0 otherwise
    const char **label_names; // (labels), NULL without labels; "LABEL_0" … when the file names none
    enum espi_problem problem;
    bool problem_told; // from the number of labels: the file does not state it
    enum espi_scores scores;

    enum espi_pooling pooling; // sentence embedding of a bare encoder; ESPI_POOL_NONE: not stated
    bool normalize;            // the embedding is scaled to length 1
    size_t embedding;          // numbers of an embedding that answers have: hidden, or fewer
    const char *prompt;        // goes in front of each text to embed; NULL: nothing does
    bool lowercase;            // texts to embed are lowered first, whatever the tokenizer does
    size_t max_sequence;       // tokens a sequence may have: min(max_positions, max_seq_length where stated)
    bool sequence_stated;      // by max_seq_length, which wins over the tokenizer's model_max_length

    json_t *json; // the config.json this came from: fields nothing here reads are kept when it is written again
    struct espi_arena arena;
};

/* Reads DIR/config.json and, where they are, the files of sentence-transformers (docs/files.md).
 * Every value is checked; what is not supported (model type, activation, position embedding, …) is refused by name
 * (ESP_ERR_UNSUPPORTED). The first name in `architectures` decides the head; none there: a bare encoder. A
 * ...ForPreTraining model is read for its masked-LM head; a masked-LM model with a modules.json is a sentence encoder,
 * as sentence-transformers takes it. */
int espi_config_read(esp_context *ctx, const char *directory, struct espi_config *out) ESPI_NODISCARD;
/* ESP_OK when a directory is there, which reading begins with; else an error that says what was found: nothing, a
 * compiled file, another file. */
int espi_config_expect(esp_context *ctx, const char *directory) ESPI_NODISCARD;
/* The same from one config.json file alone (espalier init). */
int espi_config_read_file(esp_context *ctx, const char *path, struct espi_config *out) ESPI_NODISCARD;
/* The same from text that has been read before (nothing is warned about); `source` names it in messages. */
int espi_config_parse(esp_context *ctx, const char *source, const char *text, size_t bytes,
                      struct espi_config *out) ESPI_NODISCARD;
void espi_config_clear(struct espi_config *config);

/* Features of an attention head. */
static inline size_t espi_config_head_size(const struct espi_config *config)
{
    return config->hidden / config->heads;
}
/* Whether there is a dense + tanh layer over the first token, as ESPI_RESULT_POOLED wants it. */
static inline bool espi_config_has_pooler(const struct espi_config *config)
{
    const struct espi_head_recipe *recipe = &config->recipe;
    return recipe->rows == ESPI_ROWS_FIRST && recipe->dense && recipe->activation == ESPI_TANH;
}
/* Rows of the position table for the tokens [first, first + count) of a sequence.
 * ids: of the whole sequence; rows: (count) */
void espi_config_positions(const struct espi_config *config, const int32_t *ids, size_t first, size_t count,
                           uint32_t *rows);
/* Columns of the embedding tables. */
static inline size_t espi_config_word_width(const struct espi_config *config)
{
    return config->block.embedding ? config->block.embedding : config->hidden;
}
/* What the head's dense layer gives: a decoder reads what the word embeddings are as wide as. */
static inline size_t espi_config_head_width(const struct espi_config *config)
{
    return config->recipe.decoder ? espi_config_word_width(config) : config->hidden;
}
/* The number a layer's weights have, and how many of them there are. */
static inline size_t espi_config_sharing(const struct espi_config *config) // layers that have the same
{
    return config->block.shared_layers ? config->block.shared_layers : 1;
}
static inline size_t espi_config_stored(const struct espi_config *config, size_t layer)
{
    return layer / espi_config_sharing(config);
}
static inline size_t espi_config_stored_layers(const struct espi_config *config)
{
    return config->layers / espi_config_sharing(config);
}
/* The bucket of a key that stands `distance` tokens behind its query (before it where that is negative): T5's, one for each
 * distance below a quarter of them on either side, then wider and wider up to ESPI_BUCKET_DISTANCE. */
enum { ESPI_BUCKET_DISTANCE = 128, ESPI_MAX_BUCKETS = 256 };
size_t espi_config_bucket(const struct espi_config *config, ptrdiff_t distance);
/* Those of all distances, from the smallest on: (2 max_positions - 1), free(). */
int espi_config_buckets(esp_context *ctx, const struct espi_config *config, uint8_t **out) ESPI_NODISCARD;
/* ESP_ERR_UNSUPPORTED that names the part of the block that nothing here computes. */
int espi_block_check(esp_context *ctx, const char *source, const struct espi_block *block) ESPI_NODISCARD;
static inline size_t espi_config_inner(const struct espi_config *config, size_t layer)
{
    return config->inner ? config->inner[layer] : config->intermediate;
}
/* Heads a layer has: those that have not been removed, 1 or more. */
size_t espi_config_layer_heads(const struct espi_config *config, size_t layer);
/* The number that a layer's head has in the whole model. */
size_t espi_config_head_number(const struct espi_config *config, size_t layer, size_t head);
/* Columns of a layer's query, key, value and context: its heads side by side, in their old order. */
size_t espi_config_context(const struct espi_config *config, size_t layer);
/* Sets removed_heads to a copy (NULL: none). removed: (layers, heads) */
int espi_config_remove_heads(esp_context *ctx, struct espi_config *config, const uint8_t *removed) ESPI_NODISCARD;

/* Whether its file names a class in `architectures`. */
bool espi_config_names_head(const struct espi_config *config);
/* Gives the config this head unless its file names one, or it is a sentence encoder's. */
int espi_config_assume_head(esp_context *ctx, struct espi_config *config, enum espi_head head) ESPI_NODISCARD;

/* Label index of a name, or -1. */
int espi_config_label(const struct espi_config *config, const char *name);

/* ---- new configs -------------------------------------------------------------------------------------------------- */

struct espi_head_options {
    enum espi_head head;
    size_t labels;                  // sequence and token heads: 1 or more
    const char *const *label_names; // (labels), or NULL: LABEL_0 …
    enum espi_problem problem;      // sequence heads; one label is ESPI_REGRESSION, here or told
};

/* What a copy of a config changes. */
struct espi_config_changes {
    const struct espi_head_options *head; // NULL: the same head
    size_t vocab_size;                    // 0: the same
};

/* A deep copy, with changes (NULL: none). */
int espi_config_copy(esp_context *ctx, const struct espi_config *from, const struct espi_config_changes *changes,
                     struct espi_config *out) ESPI_NODISCARD;

/* The config.json of a config in the family's own spelling, with every field of the file it was read from that nothing
 * here reads. A new reference (json_decref). */
int espi_config_json(esp_context *ctx, const struct espi_config *config, json_t **out) ESPI_NODISCARD;

/* One of the named configs (init_configs.inc: "distilbert-base", "minilm-l6", …), a bare encoder unless changed; or the
 * path of a config.json. ESP_ERR_NOT_FOUND lists the names. */
int espi_config_named(esp_context *ctx, const char *name, const struct espi_config_changes *changes,
                      struct espi_config *out) ESPI_NODISCARD;
/* Name and description ("6 layers x 768, 12 heads") of the named configs by number; false behind the last. */
bool espi_config_list(size_t index, const char **name, char description[80]);

#endif
