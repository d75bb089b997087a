/* SPDX-License-Identifier: Apache-2.0
 * The parameters of an encoder and its head: what tensors there are, in which order, of which shape. */
#ifndef ESPI_MODEL_PARAMS_H
#define ESPI_MODEL_PARAMS_H

#include "model/config.h"
#include "model/esp_format.h"

/* Every tensor a supported model can have: see tensors.inc. Linear weights are (outputs, inputs) as in PyTorch. */
enum espi_role {
#define TENSOR(role, ...) ESPI_##role,
#define SECTION(...)
#include "model/tensors.inc"
#undef TENSOR
#undef SECTION
    ESPI_ROLE_COUNT
};

enum espi_scope { ESPI_SCOPE_EMBEDDING, ESPI_SCOPE_LAYER, ESPI_SCOPE_HEAD };

/* Rows or columns of a tensor; 0 where the model does not have it. */
enum espi_extent {
    ESPI_EXTENT_ONE, // columns of a vector
    ESPI_EXTENT_HIDDEN,
    ESPI_EXTENT_WORD,      // see espi_config_word_width
    ESPI_EXTENT_PROJECTED, // hidden, where the embeddings are projected
    ESPI_EXTENT_BUCKETS,
    ESPI_EXTENT_HEADS,
    ESPI_EXTENT_CONTEXT, // see espi_config_context
    ESPI_EXTENT_INTERMEDIATE,
    ESPI_EXTENT_VOCAB,
    ESPI_EXTENT_POSITIONS,
    ESPI_EXTENT_TYPES,
    ESPI_EXTENT_HEAD_DENSE, // of the head recipe, as the following
    ESPI_EXTENT_HEAD_NORM,
    ESPI_EXTENT_LABELS,
    ESPI_EXTENT_DECODER,
};

/* What a tensor is in a compiled file. */
enum espi_form {
    ESPI_FORM_TABLE,  // rows looked up by id
    ESPI_FORM_WEIGHT, // of a linear layer of the encoder, together with the others of its section
    ESPI_FORM_BIAS,   // of that layer, in the section that follows the weights
    ESPI_FORM_SCALE,  // of a LayerNorm
    ESPI_FORM_SHIFT,  // of it, in the same section
    ESPI_FORM_FLOATS, // as it is
};

/* A row of tensors.inc. */
struct espi_role_row {
    enum espi_role module; // whose name this one's is made of
    const char *leaf;      // "weight" or "bias"
    uint32_t stream;
    enum espi_scope scope;
    enum espi_extent rows, columns;
    uint32_t section; // enum espi_esp_kind
    enum espi_form form;
};
const struct espi_role_row *espi_role_row(enum espi_role role);

enum { ESPI_TENSOR_NAME_BYTES = 128 };

struct espi_param {
    enum espi_role role;
    size_t layer;                      // see espi_config_stored; 0 for tensors outside the layers
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
    size_t layers;
    size_t shared; // layers that have the weights of one
    uint32_t *at;  // private: (stored layers, ESPI_ROLE_COUNT) 1 + index in `list`; 0: none
};

/* Lists the tensors of a config and sizes the slab (allocated, zero, when `allocate`). */
int espi_params_init(esp_context *ctx, const struct espi_config *config, bool allocate,
                     struct espi_params *out) ESPI_NODISCARD;
/* The slab of a list that was made without one. */
int espi_params_allocate(esp_context *ctx, struct espi_params *params) ESPI_NODISCARD;
void espi_params_clear(struct espi_params *params);

/* NULL when the model has no such tensor. Layers that share their weights have the same. */
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
