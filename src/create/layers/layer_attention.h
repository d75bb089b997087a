/* SPDX-License-Identifier: Apache-2.0
 * Attention of a batch for training, forward and backward: for every sequence and head
 *   out = dropout(softmax(q k' / sqrt(width) + bias)) v
 * (Vaswani et al., "Attention is all you need", 2017, equation 1). Forward keeps the logarithm of each row's sum of
 * exponentials, backward computes the probabilities anew, as in Dao et al., "FlashAttention", 2022: of the
 * probabilities only those of one block of queries of one head are there at a time. In bf16 the operands of the
 * products are rounded; sums and everything else are fp32.
 *
 * Each result depends on its own sequence only, and not on the number of threads. */
#ifndef ESPI_CREATE_LAYER_ATTENTION_H
#define ESPI_CREATE_LAYER_ATTENTION_H

#include "create/layers/matmul.h"
#include "model/batch.h"

/* What is added to the scores by the distance of key and query. */
struct espi_distance_bias {
    const struct espi_config *config;
    size_t layer;
    const uint8_t *buckets; // of the distance 0: buckets[key - query]
    const float *bias;      // (block.buckets, heads of the model)
};

struct espi_attention_pass {
    size_t heads, width; // hidden = heads * width
    const struct espi_batch *batch;
    float dropout; // of the probabilities; 0: none
    uint64_t seed;
    const uint64_t *streams;                   // (sequences) of the dropout masks; NULL when dropout is 0
    const float *qkv;                          // (tokens, 3 hidden): queries, keys, values
    float *lse;                                // (heads, tokens) forward: written, backward: read
    float *out;                                // (tokens, hidden) forward: written, backward: read
    const float *d_out;                        // (tokens, hidden) backward
    float *d_qkv;                              // (tokens, 3 hidden) backward: written
    const struct espi_distance_bias *distance; // NULL: nothing is added
    float *
        d_distance; // (sequences, heads, block.buckets) backward: added to: the gradient of bias, apart for each sequence
};

int espi_layer_attention_forward(esp_context *ctx, struct espi_matmuls *matmuls,
                                 const struct espi_attention_pass *pass) ESPI_NODISCARD;
/* Of the pass that forward was called with: the same dropout, seed, streams, qkv, lse and out. */
int espi_layer_attention_backward(esp_context *ctx, struct espi_matmuls *matmuls,
                                  const struct espi_attention_pass *pass) ESPI_NODISCARD;

#endif
