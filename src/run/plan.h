/* SPDX-License-Identifier: Apache-2.0
 * A plan: the flat list of ops an encoder takes, made once from a compiled model. */
#ifndef ESPI_RUN_PLAN_H
#define ESPI_RUN_PLAN_H

#include "kernels/attention.h"
#include "model/esp_model.h"

/* Where activations stand. The first four hold the whole batch in panels one after another, the others one panel. */
enum espi_buffer {
    ESPI_BUFFER_STREAM,        // float (hidden): the residual stream
    ESPI_BUFFER_QKV,           // u8 or float (3 hidden)
    ESPI_BUFFER_CONTEXT,       // u8 (hidden): what attention gives, or
    ESPI_BUFFER_CONTEXT_FLOAT, // float (hidden), with a scale per token or a linear layer of floats behind it
    ESPI_BUFFER_BYTES,         // u8 (hidden): input of a linear layer
    ESPI_BUFFER_INNER,         // u8 (intermediate)
    ESPI_BUFFER_INNER_FLOAT,   // float (intermediate), where no epilogue makes bytes of it
    ESPI_BUFFER_EMBEDDED,      // float (word width), where the embeddings are projected
    ESPI_BUFFER_COUNT,
};

enum espi_plan_op_kind {
    ESPI_PLAN_EMBED,     // ids to `out`
    ESPI_PLAN_NORM,      // LayerNorm of `in` in place, its bytes to `out` where `quantize` has a scale
    ESPI_PLAN_LINEAR,    // `in` to `out` by `linear`
    ESPI_PLAN_ACTIVATE,  // INNER_FLOAT in place
    ESPI_PLAN_QUANTIZE,  // `in` to bytes in `out`
    ESPI_PLAN_ATTENTION, // QKV to `out`, over whole sequences; the ops between two of these go panel by panel
};

struct espi_plan_op {
    enum espi_plan_op_kind kind;
    size_t layer;
    enum espi_buffer in, out;
    const struct espi_esp_linear *linear;
    struct espi_quads quads;       // LINEAR: of an int8 layer
    struct espi_epilogue epilogue; // LINEAR: but for `out` and `token_scale`
    struct espi_layer_norm norm;
    struct espi_quantize quantize;   // NORM, QUANTIZE: but for `out` and `token_scale`
    struct espi_attention attention; // ATTENTION: of models with static scales, but for span, row and out
    size_t rows;                     // QUANTIZE: of the input
    size_t heads;                    // ATTENTION: of the layer
    float score_unit; // ATTENTION: exponent of a unit of the scores, of models with static scales and biases
};

/* Owner: the caller; zero-initialise, espi_plan_clear releases; the model outlives it. Thread rule: immutable after
 * making; any number of sessions may share it. */
struct espi_plan {
    const struct espi_esp_model *model;
    struct espi_kernel_set kernels;
    struct espi_plan_op *ops; // (length)
    size_t length;
    size_t rows[ESPI_BUFFER_COUNT];  // of each buffer
    size_t bytes[ESPI_BUFFER_COUNT]; // of one value; 0: the model does not need the buffer
    size_t interleaved;              // bytes of the widest interleaved input of a dense product
    uint8_t *buckets;                // (2 max_positions - 1) of distances, from the smallest on; NULL: none
    struct espi_arena arena;
};

/* Chooses the kernels for this CPU under ESPALIER_ISA. ESP_ERR_LIMIT: an encoder the kernels cannot run (heads whose
 * size is not a multiple of 4, more than 65536 positions). */
int espi_plan_make(esp_context *ctx, const struct espi_esp_model *model, struct espi_plan *out) ESPI_NODISCARD;
void espi_plan_clear(struct espi_plan *plan);

static inline bool espi_buffer_is_batch(enum espi_buffer buffer)
{
    return buffer <= ESPI_BUFFER_CONTEXT_FLOAT;
}

#endif
