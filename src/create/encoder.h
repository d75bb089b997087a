/* SPDX-License-Identifier: Apache-2.0
 * The fp32 encoder over oneDNN: runs a checkpoint as it is. */
#ifndef ESPI_CREATE_ENCODER_H
#define ESPI_CREATE_ENCODER_H

#include "base/team.h"
#include "model/engine.h"
#include "model/params.h"

/* Makes an engine on a checkpoint's config and parameters, which must outlive it. `team` may be NULL (one thread) and
 * stays the caller's. Free with engine->free. */
int espi_encoder_new(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                     struct espi_team *team, struct espi_engine **out) ESPI_NODISCARD;

/* As espi_batch_check, and ESP_ERR_UNSUPPORTED when the model has no such result, ESP_ERR_ARGUMENT for a position outside
 * of the batch. */
int espi_encoder_check(esp_context *ctx, const struct espi_config *config, const struct espi_batch *batch,
                       const struct espi_wanted *wanted) ESPI_NODISCARD;

/* The hidden state after the embeddings (layer 0) and after each layer, for tests and distillation:
 * out is (layers + 1, tokens, hidden). */
int espi_encoder_run_layers(struct espi_engine *encoder, esp_context *ctx, const struct espi_batch *batch,
                            float *out) ESPI_NODISCARD;

/* The activations a quantized encoder rounds. */
enum espi_tap {
    ESPI_TAP_INPUT,        // (tokens, hidden) what query, key and value are made of
    ESPI_TAP_QKV,          // (tokens, 3 context) query, key, value
    ESPI_TAP_CONTEXT,      // (tokens, context) what the attention's output layer reads
    ESPI_TAP_FFN_INPUT,    // (tokens, hidden)
    ESPI_TAP_INTERMEDIATE, // (tokens, intermediate) behind the activation function
};

typedef void espi_tap_fn(void *argument, size_t layer, enum espi_tap tap, size_t tokens, size_t columns,
                         const float *x); // (tokens, columns), valid during the call

/* Shows every run's activations to `tap` from now on, layer by layer, on the calling thread; NULL: no more. */
void espi_encoder_set_tap(struct espi_engine *encoder, espi_tap_fn *tap, void *argument);

#endif
