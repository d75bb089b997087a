/* SPDX-License-Identifier: Apache-2.0
 * An encoder with its head, in floats, to be run or trained: forward of a `train` pass keeps what backward needs, backward
 * gives the gradient of every parameter. Straight line over the layers of create/layers; matrix products in fp32 or bf16.
 *
 * Attention is computed for a block of queries of one head at a time, forward and backward: no tokens × tokens matrix
 * of a layer is stored; backward recomputes the probabilities. Dropout masks are drawn by counter from (seed, the
 * sequence's stream, layer, place): they do not depend on batch neighbours, threads or ranks. */
#ifndef ESPI_CREATE_NETWORK_H
#define ESPI_CREATE_NETWORK_H

#include "create/layers/matmul.h"
#include "model/engine.h"
#include "model/params.h"

/* As espi_batch_check, and ESP_ERR_UNSUPPORTED when the model has no such result, ESP_ERR_ARGUMENT for a position outside
 * of the batch. */
int espi_network_check(esp_context *ctx, const struct espi_config *config, const struct espi_batch *batch,
                       const struct espi_wanted *wanted) ESPI_NODISCARD;

/* The activations a quantized encoder rounds. */
enum espi_tap {
    ESPI_TAP_INPUT,        // (tokens, hidden) what query, key and value are made of
    ESPI_TAP_QKV,          // (tokens, 3 context) query, key, value
    ESPI_TAP_CONTEXT,      // (tokens, context) what the attention's output layer reads
    ESPI_TAP_FFN_INPUT,    // (tokens, hidden)
    ESPI_TAP_INTERMEDIATE, // (tokens, intermediate) behind the activation function
};

/* Owner: the caller. Thread rule: one call at a time. */
struct espi_network;

/* `config` and `params` outlive the network; params' slab is read at espi_network_refresh (linear weights) and in every
 * pass (biases, LayerNorms, embeddings). team may be NULL. */
int espi_network_new(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                     enum espi_compute compute, struct espi_team *team, struct espi_network **out) ESPI_NODISCARD;
/* The same for passes that are not `train`, ready to run, in less memory. It uses the weights where they stand in params
 * too. In fp32 the result of a sequence has the same bits in any batch and on any number of threads. */
int espi_network_new_forward(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                             enum espi_compute compute, struct espi_team *team,
                             struct espi_network **out) ESPI_NODISCARD;
void espi_network_free(struct espi_network *network);

/* What stands between the stored weights and those of the products (a mask, fake quantization). Called for the
 * encoder's linear weights (query, key, value, attention output, ffn in and out), from one thread at a time. Returns
 * `weight` itself or `scratch` (param->count) filled. */
typedef const float *espi_weight_filter_fn(void *argument, const struct espi_param *param, const float *weight,
                                           float *scratch);
void espi_network_set_weight_filter(struct espi_network *network, espi_weight_filter_fn *filter, void *argument);

/* Packs the linear weights anew: once before the first pass and after every update. */
int espi_network_refresh(esp_context *ctx, struct espi_network *network) ESPI_NODISCARD;

/* Sees activations where the runtime quantizes them, and may change them: calibration looks, quantization-aware training
 * rounds. `forward` changes x in place; `backward` changes the gradient at the same point, layers and points in the opposite order, of the same pass.
 * Both are called on the calling thread with all tokens of the batch.
 * x, dx: (tokens, columns); columns as enum espi_tap says. `before`: INTERMEDIATE: what the activation function made x
 * of, (tokens, columns); else NULL */
struct espi_activation_filter {
    void *argument;
    int (*forward)(void *argument, esp_context *ctx, size_t layer, enum espi_tap tap, const struct espi_batch *batch,
                   size_t columns, bool train, const float *before, float *x);
    int (*backward)(void *argument, esp_context *ctx, size_t layer, enum espi_tap tap, size_t tokens, size_t columns,
                    float *dx);
};
void espi_network_set_activation_filter(struct espi_network *network, const struct espi_activation_filter *filter);

struct espi_pass {
    const struct espi_batch *batch;
    struct espi_wanted wanted; // see model/engine.h; `out` is filled
    bool train;                // dropout as the config says, and what backward needs is kept
    uint64_t seed;             // of the dropout masks: differs from step to step
    const uint64_t *streams;   // (sequences) numbers of the sequences within the step; NULL: 0, 1, …
};
int espi_network_forward(esp_context *ctx, struct espi_network *network, const struct espi_pass *pass) ESPI_NODISCARD;

/* After a forward: the hidden state behind the embeddings (layer 0) or behind layer `layer` - 1.
 * (tokens, hidden); valid until the next pass. Kept for every layer in a `train` pass and after
 * espi_network_keep_layers(network, true). */
const float *espi_network_hidden(const struct espi_network *network, size_t layer);
/* Query, key and value of a layer, behind the activation filter: out (tokens, 3 context), see espi_config_context. Kept as the hidden states. */
void espi_network_copy_qkv(const struct espi_network *network, size_t layer, float *out);
void espi_network_keep_layers(struct espi_network *network, bool keep);

/* Gradients that enter beside that of the result (distillation of inner layers). Members may be NULL. */
struct espi_layer_gradients {
    const float *const *hidden; // (layers + 1) each NULL or (tokens, hidden)
    const float *const *qkv;    // (layers) each NULL or (tokens, 3 context)
};

/* The gradients of slab elements [first, first + count) are complete: called on the calling thread, from the head to the
 * embeddings; together the ranges cover the slab once. */
typedef int espi_ready_fn(void *argument, esp_context *ctx, size_t first, size_t count);

struct espi_backward {
    const float *d_result;                     // of the pass's wanted->out; NULL: zero
    const struct espi_layer_gradients *layers; // NULL: none
    float *gradients;                          // laid out as params' slab; added to
    espi_ready_fn *ready;                      // NULL: none
    void *ready_argument;
};
/* Of the last forward, which must have been a `train` pass. */
int espi_network_backward(esp_context *ctx, struct espi_network *network,
                          const struct espi_backward *backward) ESPI_NODISCARD;

/* The network as an engine for evaluation with the weights (and filters) it has now: no dropout. Free with
 * engine->free, before the network. */
int espi_network_engine(esp_context *ctx, struct espi_network *network, struct espi_engine **out) ESPI_NODISCARD;

/* An engine on a checkpoint's config and parameters, which must outlive it: an fp32 network for forward passes, which goes
 * with the engine. team may be NULL (one thread). */
int espi_network_engine_new(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                            struct espi_team *team, struct espi_engine **out) ESPI_NODISCARD;
/* The network of an engine that one of these two made. */
struct espi_network *espi_network_of(struct espi_engine *engine);

#endif
