/* SPDX-License-Identifier: Apache-2.0
 * What an encoder is: its shape, switches and head, from config.json (and the sentence-transformers files beside it). */
#ifndef ESPI_MODEL_CONFIG_H
#define ESPI_MODEL_CONFIG_H

#include "base/json.h"
#include "base/memory.h"

struct espi_arch; // a model family: one row of archs.inc

enum espi_activation {
    ESPI_GELU,      // exact: 0.5 x (1 + erf(x / sqrt 2))
    ESPI_GELU_TANH, // gelu_new, gelu_pytorch_tanh, gelu_fast
    ESPI_RELU,
    ESPI_SILU, // silu, swish
    ESPI_TANH,
};

enum espi_head {
    ESPI_HEAD_NONE, // bare encoder (perhaps with a pooler and sentence-transformers pooling)
    ESPI_HEAD_QA,
    ESPI_HEAD_SEQUENCE, // sequence classification or regression
    ESPI_HEAD_TOKEN,    // token classification
    ESPI_HEAD_MLM,
};

enum espi_problem { ESPI_SINGLE_LABEL, ESPI_MULTI_LABEL, ESPI_REGRESSION };

enum espi_pooling { ESPI_POOL_NONE, ESPI_POOL_CLS, ESPI_POOL_MEAN, ESPI_POOL_MAX };

/* Owner: the caller; zero-initialise, espi_config_clear releases. Immutable after reading. */
struct espi_config {
    const struct espi_arch *arch;
    enum espi_head head;
    size_t vocab_size, hidden, layers, heads, intermediate, max_positions;
    size_t type_vocab; // 0: the family has no token types
    enum espi_activation activation;
    float layer_norm_eps;
    float initializer_range;
    float hidden_dropout, attention_dropout, classifier_dropout; // training only
    int32_t pad_token_id;
    bool has_pooler; // the checkpoint carries the dense + tanh pooler

    size_t labels;            // outputs of the head: 2 for QA, n for classification, 0 otherwise
    const char **label_names; // (labels); "LABEL_0" … when the file names none
    enum espi_problem problem;

    enum espi_pooling pooling; // sentence embedding of a bare encoder; ESPI_POOL_NONE: not stated
    bool normalize;            // the embedding is scaled to length 1
    size_t max_sequence;       // tokens a sequence may have: min(max_positions, max_seq_length where stated)

    struct espi_arena arena;
};

/* Reads DIR/config.json and, where they are, modules.json, N_Pooling/config.json and sentence_bert_config.json.
 * Every value is checked; what is not supported (model type, activation, position embedding, …) is refused by name. */
int espi_config_read(esp_context *ctx, const char *directory, struct espi_config *out) ESPI_NODISCARD;
/* The same from one config.json file alone (espalier init). */
int espi_config_read_file(esp_context *ctx, const char *path, struct espi_config *out) ESPI_NODISCARD;
void espi_config_clear(struct espi_config *config);

/* Label index of a name, or -1. */
int espi_config_label(const struct espi_config *config, const char *name);

#endif
