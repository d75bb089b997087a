/* SPDX-License-Identifier: Apache-2.0
 * The parameters of an encoder and its head: what tensors there are, in which order, of which shape. */
#ifndef ESPI_MODEL_PARAMS_H
#define ESPI_MODEL_PARAMS_H

#include "model/config.h"

/* Every tensor a supported model can have. Linear weights are (outputs, inputs) as in PyTorch. */
enum espi_role {
    ESPI_EMBED_WORD,     // (vocab_size, hidden)
    ESPI_EMBED_POSITION, // (max_positions, hidden)
    ESPI_EMBED_TYPE,     // (type_vocab, hidden)
    ESPI_EMBED_NORM_W,   // (hidden)
    ESPI_EMBED_NORM_B,

    ESPI_QUERY_W, // per layer; (context, hidden): see espi_config_context; query, key, value follow each other so that
                  // (3 context, hidden) is one matrix
    ESPI_KEY_W,
    ESPI_VALUE_W,
    ESPI_QUERY_B, // and (3 context) one vector
    ESPI_KEY_B,
    ESPI_VALUE_B,
    ESPI_ATTENTION_OUT_W, // (hidden, context)
    ESPI_ATTENTION_OUT_B,
    ESPI_ATTENTION_NORM_W,
    ESPI_ATTENTION_NORM_B,
    ESPI_FFN_IN_W, // (intermediate, hidden)
    ESPI_FFN_IN_B,
    ESPI_FFN_OUT_W, // (hidden, intermediate)
    ESPI_FFN_OUT_B,
    ESPI_FFN_NORM_W,
    ESPI_FFN_NORM_B,

    ESPI_POOLER_W, // (hidden, hidden), bert
    ESPI_POOLER_B,
    ESPI_PRE_CLASSIFIER_W, // (hidden, hidden), distilbert sequence head
    ESPI_PRE_CLASSIFIER_B,
    ESPI_CLASSIFIER_W, // (labels, hidden): QA, sequence or token head
    ESPI_CLASSIFIER_B,
    ESPI_MLM_DENSE_W, // (hidden, hidden)
    ESPI_MLM_DENSE_B,
    ESPI_MLM_NORM_W,
    ESPI_MLM_NORM_B,
    ESPI_MLM_BIAS, // (vocab_size); the decoder's weight is ESPI_EMBED_WORD

    ESPI_ROLE_COUNT
};

enum { ESPI_TENSOR_NAME_BYTES = 128 };

struct espi_param {
    enum espi_role role;
    size_t layer;                      // 0 for tensors outside the layers
    size_t rows, cols;                 // a vector has cols == 0 and rows elements
    size_t offset;                     // of the first element in the slab, in elements
    size_t count;                      // elements
    char name[ESPI_TENSOR_NAME_BYTES]; // in the checkpoint, as this family and head write it
};

/* All parameters in one slab, in file order of `list`. Owner: the caller, zero-initialise; clear releases. */
struct espi_params {
    struct espi_param *list; // (length)
    size_t length;
    size_t elements; // of the slab; parameters start at multiples of 16 elements, the gaps are zero, and the three
                     // query/key/value tensors of a layer follow each other without a gap
    float *slab;     // (elements), 64-byte aligned; NULL when only the list was made
    uint32_t first[ESPI_ROLE_COUNT]; // private: 1 + index in `list` of the role's (first) tensor; 0: none
};

/* Lists the tensors of a config and sizes the slab (allocated, zero, when `allocate`). */
int espi_params_init(esp_context *ctx, const struct espi_config *config, bool allocate,
                     struct espi_params *out) ESPI_NODISCARD;
/* The slab of a list that was made without one. */
int espi_params_allocate(esp_context *ctx, struct espi_params *params) ESPI_NODISCARD;
void espi_params_clear(struct espi_params *params);

/* NULL when the model has no such tensor. */
const struct espi_param *espi_params_find(const struct espi_params *params, enum espi_role role, size_t layer);
/* Its elements in the slab; NULL when there is none. */
float *espi_params_data(const struct espi_params *params, enum espi_role role, size_t layer);

/* Random weights as Hugging Face initialises them: linear and embedding weights normal(0, initializer_range), biases 0,
 * LayerNorm 1/0, the padding id's embedding 0. Reproducible: the values of a tensor depend on the seed, its role and its
 * layer only, not on what else the model has. */
void espi_params_randomize(struct espi_params *params, const struct espi_config *config, uint64_t seed);
/* The same for one tensor of the list. */
void espi_params_randomize_one(struct espi_params *params, const struct espi_param *param,
                               const struct espi_config *config, uint64_t seed);

#endif
