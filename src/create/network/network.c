/* SPDX-License-Identifier: Apache-2.0 */
#include "base/size.h"
#include "create/network/network_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- weights -------------------------------------------------------------------------------------------------------- */

/* Packs the weights of `count` tensors that follow each other as one matrix, behind the filter. */
static int pack(esp_context *ctx, struct espi_network *network, enum espi_role first, size_t count, size_t layer,
                struct espi_dense *dense)
{
    const float *weight = espi_params_data(network->params, first, layer);
    for (size_t i = 0; network->weight_filter && i < count; i++) {
        const struct espi_param *param = espi_params_find(network->params, (enum espi_role)(first + i), layer);
        float *scratch = network->weight_scratch + i * param->count;
        const float *plain = network->params->slab + param->offset;
        const float *filtered = network->weight_filter(network->weight_argument, param, plain, scratch);
        if (count > 1 && filtered != scratch)
            memcpy(scratch, filtered, param->count * sizeof *scratch);
        weight = count > 1 ? network->weight_scratch : filtered;
    }
    return espi_dense_pack(ctx, network->matmuls, dense, weight);
}

int espi_network_refresh(esp_context *ctx, struct espi_network *network)
{
    const struct espi_config *config = network->config;
    if (network->weight_filter && !network->weight_scratch) {
        size_t most = espi_size_max(3 * config->hidden, config->intermediate) * config->hidden;
        network->weight_scratch = espi_calloc_aligned(ctx, most, sizeof *network->weight_scratch);
        if (!network->weight_scratch)
            return ESP_ERR_MEMORY;
    }
    int status = ESP_OK;
    for (size_t l = 0; !status && l < config->layers; l += espi_config_sharing(config)) {
        struct espi_network_layer *layer = espi_network_layer_at(network, l);
        if ((status = pack(ctx, network, ESPI_QUERY_W, 3, l, &layer->qkv)) ||
            (status = pack(ctx, network, ESPI_ATTENTION_OUT_W, 1, l, &layer->attention_out)) ||
            (status = pack(ctx, network, ESPI_FFN_IN_W, 1, l, &layer->ffn_in)))
            return status;
        status = pack(ctx, network, ESPI_FFN_OUT_W, 1, l, &layer->ffn_out);
    }
    if (!status && network->project.outputs)
        status = espi_dense_pack(ctx, network->matmuls, &network->project,
                                 espi_params_data(network->params, ESPI_EMBED_PROJECT_W, 0));
    if (!status)
        status = espi_network_refresh_heads(ctx, network);
    network->packed = !status;
    return status;
}

void espi_network_set_weight_filter(struct espi_network *network, espi_weight_filter_fn *filter, void *argument)
{
    assert(!network->forward_only); // it uses the stored weights too
    network->weight_filter = filter;
    network->weight_argument = argument;
    network->packed = false;
}

void espi_network_set_activation_filter(struct espi_network *network, const struct espi_activation_filter *filter)
{
    network->filtered = filter != NULL;
    network->filter = filter ? *filter : (struct espi_activation_filter){0};
    network->pass.done = false;
}

/* ---- forward -------------------------------------------------------------------------------------------------------- */

/* The operand of x behind the activation filter; `filtered` is room for it in floats. Without a filter the operand is
 * there already. */
static int take_filtered(esp_context *ctx, struct espi_network *network, size_t layer, enum espi_tap tap,
                         size_t columns, const float *x, void *operand)
{
    size_t rows = network->pass.batch.tokens;
    float *floats = network->memory.wide;
    const float *before = tap == ESPI_TAP_INTERMEDIATE ? network->memory.layers[layer].inner : NULL;
    if (x != floats)
        memcpy(floats, x, rows * columns * sizeof *floats);
    int status = network->filter.forward(network->filter.argument, ctx, layer, tap, &network->pass.batch, columns,
                                         network->pass.train, before, floats);
    return status ? status : espi_operand_from_float(ctx, network->matmuls, rows, columns, floats, operand);
}

struct espi_distance_bias espi_network_distance(const struct espi_network *network, size_t layer)
{
    const struct espi_config *config = network->config;
    return (struct espi_distance_bias){.config = config,
                                       .layer = layer,
                                       .buckets = network->buckets + (network->buckets ? config->max_positions - 1 : 0),
                                       .bias = espi_params_data(network->params, ESPI_DISTANCE_BIAS, 0)};
}

static int attend(esp_context *ctx, struct espi_network *network, size_t number)
{
    const struct espi_config *config = network->config;
    struct espi_activations *layer = &network->memory.layers[number];
    struct espi_drop drop = espi_network_drop(network, ESPI_PLACE_ATTENTION, number);
    struct espi_attention_pass pass = {.heads = espi_config_layer_heads(config, number),
                                       .width = espi_config_head_size(config),
                                       .batch = &network->pass.batch,
                                       .dropout = drop.rate,
                                       .seed = drop.key,
                                       .streams = network->pass.streams,
                                       .qkv = layer->qkv,
                                       .lse = layer->lse,
                                       .out = layer->context};
    struct espi_distance_bias distance = espi_network_distance(network, number);
    if (network->buckets)
        pass.distance = &distance;
    int status = espi_layer_attention_forward(ctx, network->matmuls, &pass);
    if (status)
        return status;
    size_t tokens = network->pass.batch.tokens, context = espi_config_context(config, number);
    if (network->filtered)
        return take_filtered(ctx, network, number, ESPI_TAP_CONTEXT, context, layer->context, layer->attended);
    void *operand;
    return espi_network_operand(ctx, network, tokens, context, layer->context, layer->attended, &operand);
}

/* Query, key, value, attention and its output layer: from hidden[number] to middle. */
static int forward_attention(esp_context *ctx, struct espi_network *network, size_t number)
{
    struct espi_activations *layer = &network->memory.layers[number];
    const float *hidden = network->memory.hidden[number];
    size_t tokens = network->pass.batch.tokens, columns = network->config->hidden;
    int status = ESP_OK;
    if (network->filtered)
        status = take_filtered(ctx, network, number, ESPI_TAP_INPUT, columns, hidden, layer->input);
    if (!status)
        status = espi_dense_forward(ctx, network->matmuls, &espi_network_layer_at(network, number)->qkv, tokens,
                                    layer->input, espi_params_data(network->params, ESPI_QUERY_B, number), layer->qkv);
    if (!status && network->filtered)
        status = network->filter.forward(network->filter.argument, ctx, number, ESPI_TAP_QKV, &network->pass.batch,
                                         3 * espi_config_context(network->config, number), network->pass.train, NULL,
                                         layer->qkv);
    if (!status)
        status = attend(ctx, network, number);
    if (!status)
        status = espi_dense_forward(
            ctx, network->matmuls, &espi_network_layer_at(network, number)->attention_out, tokens, layer->attended,
            espi_params_data(network->params, ESPI_ATTENTION_OUT_B, number), layer->attention.sum);
    if (status)
        return status;
    struct espi_norm_forward norm = {
        .network = network,
        .rows = tokens,
        .width = columns,
        .tensors = espi_network_norm(network, ESPI_ATTENTION_NORM_W, ESPI_ATTENTION_NORM_B, number, NULL),
        .before = espi_network_drop(network, ESPI_PLACE_ATTENTION_OUT, number),
        .residual = hidden,
        .normed = layer->attention,
        .out = layer->middle,
        .operand = network->memory.copies && !network->filtered ? layer->ffn_input : NULL};
    espi_network_norm_forward(&norm);
    return ESP_OK;
}

/* The first layer of the feed-forward with its activation; a filter wants to see all of it at once. */
static int forward_inner(esp_context *ctx, struct espi_network *network, size_t number)
{
    struct espi_activations *layer = &network->memory.layers[number];
    const struct espi_dense *dense = &espi_network_layer_at(network, number)->ffn_in;
    const float *bias = espi_params_data(network->params, ESPI_FFN_IN_B, number);
    enum espi_activation kind = network->config->activation;
    size_t tokens = network->pass.batch.tokens, columns = network->config->intermediate;
    float *floats = network->filtered ? network->memory.wide : NULL;
    if (network->compute == ESPI_COMPUTE_F32 && !floats)
        return espi_network_dense_activate(ctx, network, dense, kind, tokens, layer->ffn_input, bias,
                                           network->pass.train ? layer->inner : NULL, layer->activated);
    int status = espi_dense_forward(ctx, network->matmuls, dense, tokens, layer->ffn_input, bias, layer->inner);
    if (status)
        return status;
    espi_network_activate(network, kind, tokens, columns, layer->inner, floats, floats ? NULL : layer->activated);
    return floats ? take_filtered(ctx, network, number, ESPI_TAP_INTERMEDIATE, columns, floats, layer->activated)
                  : ESP_OK;
}

/* From middle to hidden[number + 1]. */
static int forward_ffn(esp_context *ctx, struct espi_network *network, size_t number)
{
    struct espi_activations *layer = &network->memory.layers[number];
    size_t tokens = network->pass.batch.tokens, columns = network->config->hidden;
    int status = ESP_OK;
    if (network->filtered)
        status = take_filtered(ctx, network, number, ESPI_TAP_FFN_INPUT, columns, layer->middle, layer->ffn_input);
    if (!status)
        status = forward_inner(ctx, network, number);
    if (!status)
        status = espi_dense_forward(ctx, network->matmuls, &espi_network_layer_at(network, number)->ffn_out, tokens,
                                    layer->activated, espi_params_data(network->params, ESPI_FFN_OUT_B, number),
                                    layer->ffn.sum);
    if (status)
        return status;
    bool last = number + 1 == network->config->layers;
    struct espi_norm_forward norm = {
        .network = network,
        .rows = tokens,
        .width = columns,
        .tensors = espi_network_norm(network, ESPI_FFN_NORM_W, ESPI_FFN_NORM_B, number, NULL),
        .before = espi_network_drop(network, ESPI_PLACE_FFN_OUT, number),
        .residual = layer->middle,
        .normed = layer->ffn,
        .out = network->memory.hidden[number + 1],
        .operand =
            network->memory.copies && !network->filtered && !last ? network->memory.layers[number + 1].input : NULL};
    espi_network_norm_forward(&norm);
    return ESP_OK;
}

/* From ids to hidden[0]. */
static int embed(esp_context *ctx, struct espi_network *network)
{
    const struct espi_network_memory *memory = &network->memory;
    size_t tokens = network->pass.batch.tokens, hidden = network->config->hidden;
    bool projected = network->project.outputs > 0, operand = memory->copies && !network->filtered;
    struct espi_norm_forward norm = {.network = network,
                                     .rows = tokens,
                                     .width = espi_config_word_width(network->config),
                                     .tensors =
                                         espi_network_norm(network, ESPI_EMBED_NORM_W, ESPI_EMBED_NORM_B, 0, NULL),
                                     .after = espi_network_drop(network, ESPI_PLACE_EMBEDDING, 0),
                                     .embed = true,
                                     .normed = memory->embedding,
                                     .out = projected ? memory->embedded : memory->hidden[0],
                                     .operand = projected ? memory->projected
                                                : operand ? memory->layers[0].input
                                                          : NULL};
    espi_network_norm_forward(&norm);
    if (!projected)
        return ESP_OK;
    int status = espi_dense_forward(ctx, network->matmuls, &network->project, tokens, memory->projected,
                                    espi_params_data(network->params, ESPI_EMBED_PROJECT_B, 0), memory->hidden[0]);
    void *input;
    return status || network->filtered
               ? status
               : espi_network_operand(ctx, network, tokens, hidden, memory->hidden[0], memory->layers[0].input, &input);
}

int espi_network_forward(esp_context *ctx, struct espi_network *network, const struct espi_pass *pass)
{
    if (!network->packed)
        return espi_fail(ctx, ESP_ERR_INTERNAL, "network: its weights have not been packed");
    if (pass->train && network->forward_only)
        return espi_fail(ctx, ESP_ERR_INTERNAL, "network: it was made for forward passes alone");
    network->pass.done = false;
    enum espi_keeping keeping = pass->train ? ESPI_KEEP_ALL : network->keep ? ESPI_KEEP_STATES : ESPI_KEEP_NONE;
    int status = espi_network_check(ctx, network->config, pass->batch, &pass->wanted);
    if (!status)
        status = espi_network_take_pass(ctx, network, pass);
    if (!status)
        status = espi_network_reserve(ctx, network, pass->batch->tokens, keeping);
    if (!status)
        status = embed(ctx, network);
    for (size_t l = 0; !status && l < network->config->layers; l++) {
        status = forward_attention(ctx, network, l);
        if (!status)
            status = forward_ffn(ctx, network, l);
    }
    if (!status)
        status = espi_network_head_forward(ctx, network, pass->wanted.out);
    network->pass.done = !status;
    return status;
}

const float *espi_network_hidden(const struct espi_network *network, size_t layer)
{
    return network->memory.hidden[layer];
}

void espi_network_copy_qkv(const struct espi_network *network, size_t layer, float *out)
{
    memcpy(out, network->memory.layers[layer].qkv,
           network->pass.batch.tokens * 3 * espi_config_context(network->config, layer) * sizeof *out);
}

void espi_network_keep_layers(struct espi_network *network, bool keep)
{
    network->keep = keep;
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

void espi_network_free(struct espi_network *network)
{
    if (!network)
        return;
    for (size_t l = 0; network->layers && l < espi_config_stored_layers(network->config); l++) {
        struct espi_network_layer *layer = &network->layers[l];
        espi_dense_clear(&layer->qkv);
        espi_dense_clear(&layer->attention_out);
        espi_dense_clear(&layer->ffn_in);
        espi_dense_clear(&layer->ffn_out);
    }
    free(network->layers);
    free(network->buckets);
    free(network->distance_sums);
    espi_dense_clear(&network->project);
    espi_network_clear_heads(network);
    espi_network_clear_memory(network);
    free(network->weight_scratch);
    free(network->rows);
    espi_matmuls_free(network->matmuls);
    free(network);
}

int espi_network_init_dense(esp_context *ctx, struct espi_network *network, size_t inputs, size_t outputs,
                            struct espi_dense *out)
{
    return network->forward_only ? espi_dense_init_forward(ctx, network->matmuls, inputs, outputs, out)
                                 : espi_dense_init(ctx, network->matmuls, inputs, outputs, out);
}

static int init_layer(esp_context *ctx, struct espi_network *network, size_t number)
{
    struct espi_network_layer *layer = espi_network_layer_at(network, number);
    size_t hidden = network->config->hidden, intermediate = network->config->intermediate;
    size_t context = espi_config_context(network->config, number);
    int status = espi_network_init_dense(ctx, network, hidden, 3 * context, &layer->qkv);
    if (!status)
        status = espi_network_init_dense(ctx, network, context, hidden, &layer->attention_out);
    if (!status)
        status = espi_network_init_dense(ctx, network, hidden, intermediate, &layer->ffn_in);
    if (!status)
        status = espi_network_init_dense(ctx, network, intermediate, hidden, &layer->ffn_out);
    return status;
}

/* What stands in front of the layers, and what they have in common. */
static int init_embedding(esp_context *ctx, struct espi_network *network)
{
    const struct espi_config *config = network->config;
    int status = config->block.buckets ? espi_config_buckets(ctx, config, &network->buckets) : ESP_OK;
    if (!status && config->block.embedding)
        status = espi_network_init_dense(ctx, network, config->block.embedding, config->hidden, &network->project);
    return status;
}

static int new_network(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                       enum espi_compute compute, bool forward_only, struct espi_team *team, struct espi_network **out)
{
    *out = NULL;
    struct espi_network *network = espi_calloc(ctx, 1, sizeof *network);
    if (!network)
        return ESP_ERR_MEMORY;
    network->config = config;
    network->params = params;
    network->compute = compute;
    network->forward_only = forward_only;
    network->team = team;
    /* Whole cache lines apart, so that threads do not write to the same one. */
    network->row_width = espi_size_max(config->hidden, espi_config_word_width(config));
    network->row_width = espi_round_up(espi_size_max(network->row_width, config->intermediate), 16);
    int status = ESP_ERR_MEMORY;
    network->layers = espi_calloc(ctx, espi_config_stored_layers(config), sizeof *network->layers);
    network->rows = espi_calloc_aligned(ctx, espi_team_size(team), network->row_width * sizeof *network->rows);
    if (!network->layers || !network->rows || (status = espi_matmuls_new(ctx, compute, team, &network->matmuls)))
        goto fail;
    for (size_t l = 0; l < config->layers; l += espi_config_sharing(config))
        if ((status = init_layer(ctx, network, l)))
            goto fail;
    if ((status = init_embedding(ctx, network)) || (status = espi_network_init_heads(ctx, network)))
        goto fail;
    *out = network;
    return ESP_OK;

fail:
    espi_network_free(network);
    return status;
}

int espi_network_new(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                     enum espi_compute compute, struct espi_team *team, struct espi_network **out)
{
    return new_network(ctx, config, params, compute, false, team, out);
}

int espi_network_new_forward(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                             enum espi_compute compute, struct espi_team *team, struct espi_network **out)
{
    int status = new_network(ctx, config, params, compute, true, team, out);
    if (!status && (status = espi_network_refresh(ctx, *out))) {
        espi_network_free(*out);
        *out = NULL;
    }
    return status;
}

/* ---- engine --------------------------------------------------------------------------------------------------------- */

struct network_engine {
    struct espi_engine engine; // first
    struct espi_network *network;
    bool owner;
};

struct espi_network *espi_network_of(struct espi_engine *engine)
{
    return ((struct network_engine *)engine)->network;
}

static int run_engine(struct espi_engine *engine, esp_context *ctx, const struct espi_batch *batch,
                      const struct espi_wanted *wanted)
{
    struct espi_pass pass = {.batch = batch, .wanted = *wanted};
    return espi_network_forward(ctx, espi_network_of(engine), &pass);
}

static void free_engine(struct espi_engine *engine)
{
    if (engine && ((struct network_engine *)engine)->owner)
        espi_network_free(espi_network_of(engine));
    free(engine);
}

int espi_network_engine(esp_context *ctx, struct espi_network *network, struct espi_engine **out)
{
    *out = NULL;
    struct network_engine *engine = espi_calloc(ctx, 1, sizeof *engine);
    if (!engine)
        return ESP_ERR_MEMORY;
    engine->engine = (struct espi_engine){.config = network->config, .run = run_engine, .free = free_engine};
    engine->network = network;
    *out = &engine->engine;
    return ESP_OK;
}

int espi_network_engine_new(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                            struct espi_team *team, struct espi_engine **out)
{
    *out = NULL;
    struct espi_network *network;
    int status = espi_network_new_forward(ctx, config, params, ESPI_COMPUTE_F32, team, &network);
    if (status)
        return status;
    if ((status = espi_network_engine(ctx, network, out)))
        espi_network_free(network);
    else
        ((struct network_engine *)*out)->owner = true;
    return status;
}
