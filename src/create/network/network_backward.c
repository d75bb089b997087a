/* SPDX-License-Identifier: Apache-2.0
 * Backward: the forward pass of network.c from its end to its beginning. Of a layer's gradient, `carry` is the part
 * that came past it on the residual stream, `branch` what came through it. */
#include "base/size.h"
#include "create/network/network_private.h"

#include <string.h>

struct backward {
    struct espi_network *network;
    const struct espi_backward *wanted;
    const float *branch; // NULL: all of it is in carry
};

static float *gradient_of(const struct backward *b, enum espi_role role, size_t layer)
{
    return b->wanted->gradients + espi_params_find(b->network->params, role, layer)->offset;
}

static const float *injected_hidden(const struct backward *b, size_t layer)
{
    const struct espi_layer_gradients *layers = b->wanted->layers;
    return layers && layers->hidden ? layers->hidden[layer] : NULL;
}

static int filter(esp_context *ctx, const struct backward *b, size_t layer, enum espi_tap tap, size_t columns,
                  float *dx)
{
    const struct espi_activation_filter *f = &b->network->filter;
    return b->network->filtered ? f->backward(f->argument, ctx, layer, tap, b->network->pass.batch.tokens, columns, dx)
                                : ESP_OK;
}

/* Both gradients of a linear layer of the encoder. dx: (room, inputs) */
static int linear(esp_context *ctx, const struct backward *b, const struct espi_dense *dense, enum espi_role weight,
                  enum espi_role bias, size_t layer, const void *x, const void *dy, float *dx)
{
    struct espi_matmuls *matmuls = b->network->matmuls;
    size_t tokens = b->network->pass.batch.tokens;
    int status = espi_dense_backward_weight(ctx, matmuls, dense, tokens, x, dy, gradient_of(b, weight, layer),
                                            gradient_of(b, bias, layer));
    return status ? status : espi_dense_backward_input(ctx, matmuls, dense, tokens, dy, dx);
}

/* LayerNorm behind a part of a layer; returns the operand of that part's output layer. */
static const void *norm(const struct backward *b, struct espi_norm_backward *pass)
{
    struct espi_network *network = b->network;
    struct espi_network_memory *memory = &network->memory;
    bool same = network->compute == ESPI_COMPUTE_F32 && pass->before.rate == 0.0f;
    pass->network = network;
    pass->rows = network->pass.batch.tokens;
    pass->width = network->config->hidden;
    pass->carry = memory->carry;
    pass->branch = b->branch;
    pass->operand = same ? NULL : memory->operand;
    pass->partial = memory->partial;
    espi_network_norm_backward(pass);
    return same ? (const void *)memory->carry : memory->operand;
}

/* The second layer of the feed-forward with the activation in front of it; *dy becomes the operand for the first one. In
 * bf16 both operands are in the same memory, and a filter wants to see all of the gradient at once. */
static int backward_inner(esp_context *ctx, const struct backward *b, size_t number, const void **dy)
{
    struct espi_network *network = b->network;
    struct espi_network_memory *memory = &network->memory;
    const struct espi_activations *layer = &memory->layers[number];
    const struct espi_dense *dense = &espi_network_layer_at(network, number)->ffn_out;
    enum espi_activation kind = network->config->activation;
    size_t tokens = network->pass.batch.tokens, columns = network->config->intermediate;
    int status;
    if (network->compute == ESPI_COMPUTE_F32 && !network->filtered) {
        status =
            espi_dense_backward_weight(ctx, network->matmuls, dense, tokens, layer->activated, *dy,
                                       gradient_of(b, ESPI_FFN_OUT_W, number), gradient_of(b, ESPI_FFN_OUT_B, number));
        if (!status)
            status = espi_network_dense_activate_backward(ctx, network, dense, kind, tokens, *dy, layer->inner,
                                                          memory->wide);
        *dy = memory->wide;
        return status;
    }
    status = linear(ctx, b, dense, ESPI_FFN_OUT_W, ESPI_FFN_OUT_B, number, layer->activated, *dy, memory->wide);
    if (!status)
        status = filter(ctx, b, number, ESPI_TAP_INTERMEDIATE, columns, memory->wide);
    *dy = espi_network_activate_backward(network, kind, tokens, columns, layer->inner, memory->wide, memory->operand);
    return status;
}

static int backward_ffn(esp_context *ctx, struct backward *b, size_t number)
{
    struct espi_network *network = b->network;
    struct espi_network_memory *memory = &network->memory;
    const struct espi_activations *layer = &memory->layers[number];
    const struct espi_config *config = network->config;
    struct espi_norm_backward pass = {
        .tensors = espi_network_norm(network, ESPI_FFN_NORM_W, ESPI_FFN_NORM_B, number, b->wanted->gradients),
        .before = espi_network_drop(network, ESPI_PLACE_FFN_OUT, number),
        .normed = layer->ffn,
        .extra = injected_hidden(b, number + 1)};
    const void *dy = norm(b, &pass);
    int status = backward_inner(ctx, b, number, &dy);
    if (status)
        return status;
    b->branch = memory->branch;
    status = linear(ctx, b, &espi_network_layer_at(network, number)->ffn_in, ESPI_FFN_IN_W, ESPI_FFN_IN_B, number,
                    layer->ffn_input, dy, memory->branch);
    return status ? status : filter(ctx, b, number, ESPI_TAP_FFN_INPUT, config->hidden, memory->branch);
}

/* Room for the gradient of the bias by distance, of each sequence and head; and its sum, in their order. */
static int reserve_distance(esp_context *ctx, struct espi_network *network, size_t heads)
{
    size_t count = network->pass.batch.sequences * heads * network->config->block.buckets;
    int status = espi_grow(ctx, &network->distance_sums, &network->distance_capacity, espi_size_max(count, 1),
                           sizeof *network->distance_sums);
    if (!status)
        memset(network->distance_sums, 0, count * sizeof *network->distance_sums);
    return status;
}

static void add_distance(const struct backward *b, size_t layer, size_t heads)
{
    const struct espi_config *config = b->network->config;
    float *gradient = gradient_of(b, ESPI_DISTANCE_BIAS, 0); // (buckets, heads of the model)
    const float *sums = b->network->distance_sums;
    for (size_t i = 0; i < b->network->pass.batch.sequences * heads; i++)
        for (size_t bucket = 0; bucket < config->block.buckets; bucket++)
            gradient[bucket * config->heads + espi_config_head_number(config, layer, i % heads)] += *sums++;
}

ESPI_NODISCARD static int attend_backward(esp_context *ctx, const struct backward *b, size_t number)
{
    struct espi_network *network = b->network;
    struct espi_network_memory *memory = &network->memory;
    const struct espi_activations *layer = &memory->layers[number];
    const struct espi_config *config = network->config;
    struct espi_drop drop = espi_network_drop(network, ESPI_PLACE_ATTENTION, number);
    size_t columns = 3 * espi_config_context(config, number);
    struct espi_attention_pass pass = {.heads = espi_config_layer_heads(config, number),
                                       .width = espi_config_head_size(config),
                                       .batch = &network->pass.batch,
                                       .dropout = drop.rate,
                                       .seed = drop.key,
                                       .streams = network->pass.streams,
                                       .qkv = layer->qkv,
                                       .lse = layer->lse,
                                       .out = layer->context,
                                       .d_out = memory->branch,
                                       .d_qkv = memory->wide};
    struct espi_distance_bias distance = espi_network_distance(network, number);
    int status = network->buckets ? reserve_distance(ctx, network, pass.heads) : ESP_OK;
    if (!status && network->buckets) {
        pass.distance = &distance;
        pass.d_distance = network->distance_sums;
    }
    if (!status)
        status = espi_layer_attention_backward(ctx, network->matmuls, &pass);
    if (!status && network->buckets)
        add_distance(b, number, pass.heads);
    const struct espi_layer_gradients *layers = b->wanted->layers;
    if (!status && layers && layers->qkv && layers->qkv[number])
        espi_network_add(network, network->pass.batch.tokens, columns, layers->qkv[number], memory->wide);
    return status ? status : filter(ctx, b, number, ESPI_TAP_QKV, columns, memory->wide);
}

static int backward_attention(esp_context *ctx, struct backward *b, size_t number)
{
    struct espi_network *network = b->network;
    struct espi_network_memory *memory = &network->memory;
    const struct espi_activations *layer = &memory->layers[number];
    size_t hidden = network->config->hidden, context = espi_config_context(network->config, number);
    struct espi_norm_backward pass = {.tensors = espi_network_norm(network, ESPI_ATTENTION_NORM_W,
                                                                   ESPI_ATTENTION_NORM_B, number, b->wanted->gradients),
                                      .before = espi_network_drop(network, ESPI_PLACE_ATTENTION_OUT, number),
                                      .normed = layer->attention};
    const void *dy = norm(b, &pass);
    int status = linear(ctx, b, &espi_network_layer_at(network, number)->attention_out, ESPI_ATTENTION_OUT_W,
                        ESPI_ATTENTION_OUT_B, number, layer->attended, dy, memory->branch);
    if (!status)
        status = filter(ctx, b, number, ESPI_TAP_CONTEXT, context, memory->branch);
    if (!status)
        status = attend_backward(ctx, b, number);
    void *operand;
    if (!status)
        status = espi_network_operand(ctx, network, network->pass.batch.tokens, 3 * context, memory->wide,
                                      memory->operand, &operand);
    if (!status)
        status = linear(ctx, b, &espi_network_layer_at(network, number)->qkv, ESPI_QUERY_W, ESPI_QUERY_B, number,
                        layer->input, operand, memory->branch);
    return status ? status : filter(ctx, b, number, ESPI_TAP_INPUT, hidden, memory->branch);
}

/* ---- embeddings ----------------------------------------------------------------------------------------------------- */

enum { SCATTER_COLUMNS = 64 }; // a thread's share: all tokens, these columns

struct scatter {
    const struct espi_network *network;
    size_t width;
    const float *d; // (tokens, width)
    float *word, *position, *type;
};

static void scatter_columns(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct scatter *s = argument;
    size_t first = index * SCATTER_COLUMNS;
    espi_embedding_backward(&s->network->pass.batch, s->network->pass.position_rows, s->width, first,
                            espi_size_min(SCATTER_COLUMNS, s->width - first), s->d, s->word, s->position, s->type);
}

/* From the gradient of hidden[0] to that of what the projection reads, in `wide`. */
static int backward_projection(esp_context *ctx, const struct backward *b)
{
    struct espi_network *network = b->network;
    struct espi_network_memory *memory = &network->memory;
    size_t tokens = network->pass.batch.tokens, hidden = network->config->hidden;
    const float *extra = injected_hidden(b, 0);
    void *dy;
    if (b->branch)
        espi_network_add(network, tokens, hidden, b->branch, memory->carry);
    if (extra)
        espi_network_add(network, tokens, hidden, extra, memory->carry);
    int status = espi_network_operand(ctx, network, tokens, hidden, memory->carry, memory->operand, &dy);
    return status ? status
                  : linear(ctx, b, &network->project, ESPI_EMBED_PROJECT_W, ESPI_EMBED_PROJECT_B, 0, memory->projected,
                           dy, memory->wide);
}

static int backward_embedding(esp_context *ctx, const struct backward *b)
{
    struct espi_network *network = b->network;
    bool projected = network->project.outputs > 0;
    int status = projected ? backward_projection(ctx, b) : ESP_OK;
    if (status)
        return status;
    struct espi_norm_backward pass = {
        .network = network,
        .rows = network->pass.batch.tokens,
        .width = espi_config_word_width(network->config),
        .tensors = espi_network_norm(network, ESPI_EMBED_NORM_W, ESPI_EMBED_NORM_B, 0, b->wanted->gradients),
        .after = espi_network_drop(network, ESPI_PLACE_EMBEDDING, 0),
        .normed = network->memory.embedding,
        .carry = projected ? network->memory.wide : network->memory.carry,
        .branch = projected ? NULL : b->branch,
        .extra = projected ? NULL : injected_hidden(b, 0),
        .partial = network->memory.partial};
    espi_network_norm_backward(&pass);
    struct scatter s = {.network = network,
                        .width = pass.width,
                        .d = pass.carry,
                        .word = gradient_of(b, ESPI_EMBED_WORD, 0),
                        .position = gradient_of(b, ESPI_EMBED_POSITION, 0)};
    if (espi_params_find(network->params, ESPI_EMBED_TYPE, 0))
        s.type = gradient_of(b, ESPI_EMBED_TYPE, 0);
    espi_team_run(network->team, (s.width + SCATTER_COLUMNS - 1) / SCATTER_COLUMNS, scatter_columns, &s);
    return ESP_OK;
}

/* ---- all ------------------------------------------------------------------------------------------------------------ */

/* Where the parameters of a layer begin in the slab; of the layer behind the last: those of the head, or the end. */
static size_t layer_start(const struct espi_network *network, size_t layer)
{
    const struct espi_params *params = network->params;
    if (layer < network->config->layers)
        return espi_params_find(params, ESPI_QUERY_W, layer)->offset;
    const struct espi_param *last = espi_params_find(params, ESPI_FFN_NORM_B, network->config->layers - 1);
    return last + 1 < params->list + params->length ? last[1].offset : params->elements;
}

static int ready(esp_context *ctx, const struct backward *b, size_t first, size_t end)
{
    const struct espi_backward *wanted = b->wanted;
    return wanted->ready && end > first ? wanted->ready(wanted->ready_argument, ctx, first, end - first) : ESP_OK;
}

int espi_network_backward(esp_context *ctx, struct espi_network *network, const struct espi_backward *backward)
{
    if (!network->pass.done || !network->pass.train)
        return espi_fail(ctx, ESP_ERR_INTERNAL, "network: backward without a forward pass in training");
    struct backward b = {.network = network, .wanted = backward};
    size_t layers = network->config->layers, sharing = espi_config_sharing(network->config);
    int status = espi_network_head_backward(ctx, network, backward->d_result, backward->gradients);
    if (!status)
        status = ready(ctx, &b, layer_start(network, layers), network->params->elements);
    for (size_t l = layers; !status && l-- > 0;) {
        status = backward_ffn(ctx, &b, l);
        if (!status)
            status = backward_attention(ctx, &b, l);
        if (!status)
            status = l % sharing ? ESP_OK : ready(ctx, &b, layer_start(network, l), layer_start(network, l + sharing));
    }
    if (!status)
        status = backward_embedding(ctx, &b);
    return status ? status : ready(ctx, &b, 0, layer_start(network, 0));
}
