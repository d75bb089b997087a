/* SPDX-License-Identifier: Apache-2.0
 * What the files of the network share: network.c (life, forward), network_backward.c, network_heads.c (both ways),
 * network_passes.c (what is done row by row), network_memory.c. */
#ifndef ESPI_CREATE_NETWORK_PRIVATE_H
#define ESPI_CREATE_NETWORK_PRIVATE_H

#include "create/layers/layer_attention.h"
#include "create/layers/layers.h"
#include "create/network/network.h"

/* Where dropout stands: each place of each layer has a key of its own. */
enum espi_place {
    ESPI_PLACE_EMBEDDING,
    ESPI_PLACE_ATTENTION,
    ESPI_PLACE_ATTENTION_OUT,
    ESPI_PLACE_FFN_OUT,
    ESPI_PLACE_HEAD
};

struct espi_drop {
    uint64_t key;
    float rate; // 0: none
};

/* The weights of a layer as the products want them. */
struct espi_network_layer {
    struct espi_dense qkv, attention_out, ffn_in, ffn_out;
};

struct espi_network_heads {
    struct espi_dense dense, classifier, decoder; // outputs 0: there is none
};

/* A sum that was normalised, and its rows' mean and 1 / deviation. */
struct espi_normed {
    float *sum;        // (room, hidden)
    float *statistics; // (room, 2)
};

/* What forward leaves of a layer. In fp32 without activation filter an operand is the float buffer itself. */
struct espi_activations {
    void *input;    // operand (room, hidden)
    float *qkv;     // (room, 3 context): see espi_config_context; up to 3 hidden
    float *lse;     // (heads, tokens)
    float *context; // (room, context)
    void *attended; // operand of context
    struct espi_normed attention;
    float *middle;   // (room, hidden) between attention and feed-forward
    void *ffn_input; // operand of middle
    float *inner;    // (room, intermediate) before the activation
    void *activated; // operand (room, intermediate)
    struct espi_normed ffn;
};

enum espi_keeping { ESPI_KEEP_NONE, ESPI_KEEP_STATES, ESPI_KEEP_ALL }; // of the layers; ALL: what backward needs

/* One block for the largest batch so far. */
struct espi_network_memory {
    size_t room;
    enum espi_keeping keeping;
    bool copies; // operands are apart from the float buffers
    char *slab;
    float **hidden;                  // (layers + 1) each (room, hidden)
    struct espi_activations *layers; // (layers)
    struct espi_normed embedding;    // as wide as the embeddings
    float *embedded;                 // (room, word width) behind it, where it is projected to hidden[0]
    void *projected;                 // operand of embedded
    float *wide;                     // (room, widest) for filters and backward
    void *operand;                   // (room, widest) backward
    float *carry;                    // (room, hidden) backward: the gradient of the residual stream
    float *branch;                   // (room, hidden) backward: that of the layer beside it
    float *partial; // (room / ESPI_ROW_BLOCK, 2, hidden or word width) backward: sums of blocks of rows
};

/* The same for a head: `rows` are tokens, sequences or wanted positions; width: the wider of hidden and
 * espi_config_head_width. */
struct espi_head_memory {
    size_t room, outputs;
    bool train;
    char *slab;
    void *input;               // operand (room, hidden)
    float *inner;              // (room, width) before the activation
    struct espi_normed normed; // masked LM: behind the activation
    void *last;                // operand (room, width) of the classifier or decoder; backward: also of the first layer
    float *states;             // (room, width) forward: normalised; backward: gradients
    float *result;             // (ESPI_MATMUL_ROWS, outputs) the last rows of the result
    void *d_result;            // operand (room, outputs) backward
    float *partial;            // (room / ESPI_ROW_BLOCK, 2, width) backward
};

/* A token's sequence and place in it; a row of a sequence head is at place 0. */
struct espi_token_place {
    uint32_t sequence, place;
};

/* A copy of the pass that lasts until backward. */
struct espi_network_pass {
    struct espi_batch batch;
    struct espi_wanted wanted; // without `out`
    bool done, train;          // forward has come to its end; it was a train pass
    uint64_t seed;
    uint32_t *starts;
    int32_t *ids;
    uint8_t *types;
    uint32_t *positions;
    uint64_t *streams;
    struct espi_token_place *places; // (tokens)
    uint32_t *position_rows;         // (tokens) of the position table
    size_t starts_capacity, ids_capacity, types_capacity, positions_capacity, streams_capacity, places_capacity,
        position_rows_capacity;
};

struct espi_network {
    const struct espi_config *config;
    const struct espi_params *params;
    enum espi_compute compute;
    struct espi_team *team;
    struct espi_matmuls *matmuls;
    struct espi_network_layer *layers; // (stored layers): see espi_network_layer_at
    struct espi_network_heads heads;
    struct espi_dense project; // of the embeddings; outputs 0: there is none
    uint8_t *buckets;          // (2 max_positions - 1) of distances, from the smallest on; NULL: none
    float *distance_sums;      // backward: see espi_attention_pass
    size_t distance_capacity;
    espi_weight_filter_fn *weight_filter;
    void *weight_argument;
    float *weight_scratch; // (largest linear layer), when there is a filter
    struct espi_activation_filter filter;
    bool forward_only, filtered, keep, packed;
    struct espi_network_memory memory;
    struct espi_head_memory head;
    struct espi_network_pass pass;
    float *rows; // (threads, widest row)
    size_t row_width;
};

static inline struct espi_network_layer *espi_network_layer_at(const struct espi_network *network, size_t layer)
{
    return &network->layers[espi_config_stored(network->config, layer)];
}

enum { ESPI_ROW_BLOCK = 32 }; // rows of one call in passes over rows, whatever the team

/* ---- memory --------------------------------------------------------------------------------------------------------- */

/* Room for the activations of a batch of `tokens`. */
int espi_network_reserve(esp_context *ctx, struct espi_network *network, size_t tokens,
                         enum espi_keeping keeping) ESPI_NODISCARD;
int espi_network_reserve_head(esp_context *ctx, struct espi_network *network, size_t rows,
                              size_t outputs) ESPI_NODISCARD;
void espi_network_clear_memory(struct espi_network *network);
int espi_network_take_pass(esp_context *ctx, struct espi_network *network, const struct espi_pass *pass) ESPI_NODISCARD;

/* ---- passes over rows ----------------------------------------------------------------------------------------------- */

struct espi_drop espi_network_drop(const struct espi_network *network, enum espi_place place, size_t layer);
/* Dropout of one row that belongs to a token. */
void espi_network_drop_row(const struct espi_network *network, struct espi_drop drop, struct espi_token_place place,
                           size_t columns, float *x);
/* The thread's own row. */
float *espi_network_row(const struct espi_network *network, size_t thread);

struct espi_norm_tensors {
    const float *weight, *bias;
    float *dweight, *dbias; // backward
};
struct espi_norm_tensors espi_network_norm(const struct espi_network *network, enum espi_role weight,
                                           enum espi_role bias, size_t layer, float *gradients);

/* sum = dropout(sum) + residual (NULL: none), or the embeddings; out = dropout(LayerNorm(sum)), then to operand (NULL:
 * not). Rows up to the room become zero in out and operand. */
struct espi_norm_forward {
    const struct espi_network *network;
    size_t rows, width;
    struct espi_norm_tensors tensors;
    struct espi_drop before, after; // dropout of sum and of out
    const float *residual;          // (rows, width)
    bool embed;
    struct espi_normed normed;
    float *out;    // (room, width)
    void *operand; // (room, width)
};
void espi_network_norm_forward(struct espi_norm_forward *pass);

/* carry + branch + extra (NULL: none) is the gradient of out; carry becomes that of sum behind its dropout, operand (NULL:
 * not) that before it. Rows up to the room become zero in both. */
struct espi_norm_backward {
    const struct espi_network *network;
    size_t rows, width;
    struct espi_norm_tensors tensors;
    struct espi_drop before, after;
    struct espi_normed normed;
    float *carry;        // (room, width)
    const float *branch; // (rows, width)
    const float *extra;  // (rows, width)
    void *operand;       // (room, width)
    float *partial;      // (blocks, 2, width)
};
void espi_network_norm_backward(struct espi_norm_backward *pass);

/* activation(inner), as an operand and, where `floats` is given, as floats.
 * inner, floats: (rows, columns); operand: (room, columns) or NULL */
void espi_network_activate(struct espi_network *network, enum espi_activation kind, size_t rows, size_t columns,
                           const float *inner, float *floats, void *operand);
/* d activation'(inner) as an operand: `operand`, or in fp32 d itself. d is overwritten.
 * inner: (rows, columns); d, operand: (room, columns) */
void *espi_network_activate_backward(struct espi_network *network, enum espi_activation kind, size_t rows,
                                     size_t columns, const float *inner, float *d, void *operand);
/* In fp32, the linear layer in front of an activation with it, tile by tile while the result is in the cache: out =
 * activation(x W' + bias), an operand; `inner` is what is before the activation (NULL: it is not kept).
 * x: (room, inputs); inner: (rows, outputs); out: (room, outputs) */
int espi_network_dense_activate(esp_context *ctx, struct espi_network *network, const struct espi_dense *dense,
                                enum espi_activation kind, size_t rows, const void *x, const float *bias, float *inner,
                                float *out) ESPI_NODISCARD;
/* The input gradient of the linear layer behind an activation, likewise: d = dy W activation'(inner), an operand.
 * dy: (room, outputs), apart from d; inner: (rows, inputs); d: (room, inputs) */
int espi_network_dense_activate_backward(esp_context *ctx, struct espi_network *network, const struct espi_dense *dense,
                                         enum espi_activation kind, size_t rows, const void *dy, const float *inner,
                                         float *d) ESPI_NODISCARD;
/* One row to an operand; rows from `rows` up to the room become zero in the other, where there will be sums over them: not
 * in a network for forward passes alone.
 * x: (columns); operand: (room, columns) */
void espi_network_operand_row(const struct espi_network *network, size_t row, size_t columns, const float *x,
                              void *operand);
void espi_network_zero_tail(const struct espi_network *network, size_t rows, size_t columns, void *operand);
/* x as an operand: `operand` filled, or in fp32 x itself.
 * x, operand: (room, columns) */
int espi_network_operand(esp_context *ctx, struct espi_network *network, size_t rows, size_t columns, float *x,
                         void *operand, void **out) ESPI_NODISCARD;

/* x += y, shared by the team.
 * y, x: (rows, columns) */
void espi_network_add(struct espi_network *network, size_t rows, size_t columns, const float *y, float *x);

/* A linear layer of the network, for what the network is for. */
int espi_network_init_dense(esp_context *ctx, struct espi_network *network, size_t inputs, size_t outputs,
                            struct espi_dense *out) ESPI_NODISCARD;

struct espi_distance_bias espi_network_distance(const struct espi_network *network, size_t layer);

/* ---- heads ---------------------------------------------------------------------------------------------------------- */

int espi_network_init_heads(esp_context *ctx, struct espi_network *network) ESPI_NODISCARD;
int espi_network_refresh_heads(esp_context *ctx, struct espi_network *network) ESPI_NODISCARD;
void espi_network_clear_heads(struct espi_network *network);
int espi_network_head_forward(esp_context *ctx, struct espi_network *network, float *out) ESPI_NODISCARD;
/* Sets memory.carry to the gradient of the last hidden state. */
int espi_network_head_backward(esp_context *ctx, struct espi_network *network, const float *d_result,
                               float *gradients) ESPI_NODISCARD;

#endif
