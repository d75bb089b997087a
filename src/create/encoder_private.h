/* SPDX-License-Identifier: Apache-2.0
 * What the encoder and its heads share. */
#ifndef ESPI_CREATE_ENCODER_PRIVATE_H
#define ESPI_CREATE_ENCODER_PRIVATE_H

#include "create/encoder.h"
#include "create/layers/layers.h"

struct espi_encoder_layer {
    struct espi_linear qkv, attention_out, ffn_in, ffn_out;
};

/* Part of one sequence's queries: the unit of work in attention, for each head. */
struct espi_query_block {
    uint32_t sequence, first; // first: row within the sequence
};

/* Activations, for the largest batch so far. `room` is that many tokens by espi_linear_room. */
struct espi_workspace {
    size_t room, wide;                // rows; columns of `widest`
    size_t blocks;                    // capacity of `queries`
    float *slab;                      // owns the four below
    float *hidden;                    // (room, hidden) the residual stream
    float *product;                   // (room, hidden)
    float *context;                   // (room, hidden); of a layer (tokens, context)
    float *widest;                    // (room, wide) queries, keys and values; inside of the feed-forward; logits
    struct espi_query_block *queries; // (blocks)
};

struct espi_encoder_heads {
    struct espi_linear dense, classifier, decoder;
    float *vocab_logits; // (ESPI_TILE_ROWS, vocab_size), masked-LM head only
};

struct espi_encoder {
    struct espi_engine engine; // first: the engine is the encoder
    const struct espi_params *params;
    struct espi_products *products;
    struct espi_encoder_layer *layers; // (config->layers)
    struct espi_encoder_heads heads;
    struct espi_workspace workspace;
    espi_tap_fn *tap; // or NULL
    void *tap_argument;
    float *scores; // (threads, ESPI_ATTENTION_ROWS, max_positions)
};

/* A linear layer on two tensors of the parameters. */
int espi_encoder_linear(esp_context *ctx, struct espi_encoder *encoder, enum espi_role weight, enum espi_role bias,
                        size_t layer, struct espi_linear *out) ESPI_NODISCARD;
/* out = LayerNorm(x + residual), shared by the team.
 * x, residual (NULL: none), out: (rows, hidden) */
int espi_encoder_norm(esp_context *ctx, struct espi_encoder *encoder, enum espi_role weight, enum espi_role bias,
                      size_t layer, size_t rows, const float *x, const float *residual, float *out) ESPI_NODISCARD;

/* Packs what the model's head has. */
int espi_heads_init(esp_context *ctx, struct espi_encoder *encoder) ESPI_NODISCARD;
void espi_heads_clear(struct espi_encoder *encoder);
/* Fills wanted->out from workspace.hidden; overwrites the rest of the workspace. */
int espi_heads_run(esp_context *ctx, struct espi_encoder *encoder, const struct espi_batch *batch,
                   const struct espi_wanted *wanted) ESPI_NODISCARD;

#endif
