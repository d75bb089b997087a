/* SPDX-License-Identifier: Apache-2.0 */
#include "create/encoder_private.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>

/* ---- shared steps --------------------------------------------------------------------------------------------------- */

int espi_encoder_linear(esp_context *ctx, struct espi_encoder *encoder, enum espi_role weight, enum espi_role bias,
                        size_t layer, struct espi_linear *out)
{
    const struct espi_param *w = espi_params_find(encoder->params, weight, layer);
    const float *b = espi_params_data(encoder->params, bias, layer);
    if (!w || !b)
        return espi_fail(ctx, ESP_ERR_INTERNAL, "encoder: layer %zu: the parameters lack tensor %d or %d", layer,
                         (int)weight, (int)bias);
    return espi_linear_init(ctx, encoder->products, w->cols, w->rows, encoder->params->slab + w->offset, b, out);
}

enum { NORM_ROWS = 16 }; // of one call

struct norm {
    size_t rows, hidden;
    float eps;
    const float *x, *residual, *weight, *bias;
    float *out;
};

static int norm_rows(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct norm *n = argument;
    size_t first = index * NORM_ROWS, offset = first * n->hidden;
    espi_layer_norm_forward(espi_size_min(NORM_ROWS, n->rows - first), n->hidden, n->eps, n->x + offset,
                            n->residual ? n->residual + offset : NULL, n->weight, n->bias, n->out + offset);
    return ESP_OK;
}

int espi_encoder_norm(esp_context *ctx, struct espi_encoder *encoder, enum espi_role weight, enum espi_role bias,
                      size_t layer, size_t rows, const float *x, const float *residual, float *out)
{
    struct norm n = {.rows = rows,
                     .hidden = encoder->engine.config->hidden,
                     .eps = encoder->engine.config->layer_norm_eps,
                     .x = x,
                     .residual = residual,
                     .weight = espi_params_data(encoder->params, weight, layer),
                     .bias = espi_params_data(encoder->params, bias, layer),
                     .out = out};
    return espi_products_run(ctx, encoder->products, (rows + NORM_ROWS - 1) / NORM_ROWS, norm_rows, &n);
}

/* ---- workspace ------------------------------------------------------------------------------------------------------ */

static void clear_workspace(struct espi_workspace *workspace)
{
    free(workspace->slab);
    free(workspace->queries);
    *workspace = (struct espi_workspace){0};
}

/* Sizes of the activations of `tokens` tokens, in elements. */
static bool workspace_size(const struct espi_config *config, size_t room, size_t *wide, size_t *hidden, size_t *widest,
                           size_t *all)
{
    size_t three;
    if (!espi_size_mul(config->hidden, 3, &three))
        return false;
    *wide = espi_size_max(espi_size_max(three, config->intermediate), config->labels);
    return espi_size_mul(room, config->hidden, hidden) && espi_size_mul(room, *wide, widest) &&
           espi_size_mul(*hidden, 3, all) && espi_size_add(*all, *widest, all);
}

static int reserve(esp_context *ctx, struct espi_encoder *encoder, const struct espi_batch *batch)
{
    struct espi_workspace *w = &encoder->workspace;
    size_t room = espi_linear_room(batch->tokens), blocks = batch->sequences + batch->tokens / ESPI_ATTENTION_ROWS;
    if (room <= w->room && blocks <= w->blocks)
        return ESP_OK;
    struct espi_workspace next = {.room = espi_size_max(room, w->room), .blocks = espi_size_max(blocks, w->blocks)};
    clear_workspace(w); // first, so that old and new are never there at once
    size_t hidden, widest, all;
    if (!workspace_size(encoder->engine.config, next.room, &next.wide, &hidden, &widest, &all))
        return espi_fail_memory(ctx, SIZE_MAX);
    next.slab = espi_calloc_aligned(ctx, all, sizeof *next.slab);
    next.queries = espi_calloc(ctx, next.blocks, sizeof *next.queries);
    if (!next.slab || !next.queries) {
        clear_workspace(&next);
        return ESP_ERR_MEMORY;
    }
    next.hidden = next.slab;
    next.product = next.hidden + hidden;
    next.context = next.product + hidden;
    next.widest = next.context + hidden;
    *w = next;
    return ESP_OK;
}

/* ---- forward -------------------------------------------------------------------------------------------------------- */

struct forward {
    struct espi_encoder *encoder;
    const struct espi_batch *batch;
    size_t layer; // attention: the one that runs
};

static int embed_sequence(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct forward *f = argument;
    const struct espi_config *config = f->encoder->engine.config;
    const struct espi_params *params = f->encoder->params;
    size_t first = f->batch->starts[index], tokens = f->batch->starts[index + 1] - first;
    float *out = f->encoder->workspace.hidden + first * config->hidden; // (tokens, hidden)
    const uint8_t *types = f->batch->types && config->type_vocab > 1 ? f->batch->types + first : NULL;
    for (size_t t = 0; t < tokens; t++) {
        uint32_t row;
        espi_config_positions(config, f->batch->ids + first, t, 1, &row);
        espi_embedding_forward(1, config->hidden, f->batch->ids + first + t, types ? types + t : NULL, &row,
                               espi_params_data(params, ESPI_EMBED_WORD, 0),
                               espi_params_data(params, ESPI_EMBED_POSITION, 0),
                               espi_params_data(params, ESPI_EMBED_TYPE, 0), out + t * config->hidden);
    }
    espi_layer_norm_forward(tokens, config->hidden, config->layer_norm_eps, out, NULL,
                            espi_params_data(params, ESPI_EMBED_NORM_W, 0),
                            espi_params_data(params, ESPI_EMBED_NORM_B, 0), out);
    return ESP_OK;
}

/* Attention of one head for one block of queries. */
static int attend(void *argument, size_t index, size_t thread)
{
    const struct forward *f = argument;
    const struct espi_config *config = f->encoder->engine.config;
    const struct espi_workspace *w = &f->encoder->workspace;
    size_t heads = espi_config_layer_heads(config, f->layer), context = espi_config_context(config, f->layer);
    struct espi_query_block block = w->queries[index / heads];
    size_t start = f->batch->starts[block.sequence], tokens = f->batch->starts[block.sequence + 1] - start;
    struct espi_attention_shape shape = {.tokens = tokens,
                                         .heads = heads,
                                         .width = espi_config_head_size(config),
                                         .qkv = w->widest + start * 3 * context,
                                         .out = w->context + start * context};
    float *scores = f->encoder->scores + thread * ESPI_ATTENTION_ROWS * config->max_positions;
    return espi_attention_forward(&shape, index % heads, block.first,
                                  espi_size_min(ESPI_ATTENTION_ROWS, tokens - block.first), scores);
}

/* Cuts the sequences into blocks of queries; returns their number. */
static size_t cut_queries(struct espi_workspace *workspace, const struct espi_batch *batch)
{
    size_t count = 0;
    for (uint32_t s = 0; s < batch->sequences; s++)
        for (uint32_t first = 0; first < batch->starts[s + 1] - batch->starts[s]; first += ESPI_ATTENTION_ROWS)
            workspace->queries[count++] = (struct espi_query_block){.sequence = s, .first = first};
    return count;
}

static void show(const struct espi_encoder *encoder, size_t layer, enum espi_tap tap, size_t tokens, size_t columns,
                 const float *x)
{
    if (encoder->tap)
        encoder->tap(encoder->tap_argument, layer, tap, tokens, columns, x);
}

static int run_layer(esp_context *ctx, struct forward *f, size_t number, size_t query_blocks)
{
    struct espi_encoder *encoder = f->encoder;
    const struct espi_config *config = encoder->engine.config;
    const struct espi_encoder_layer *layer = &encoder->layers[number];
    struct espi_products *products = encoder->products;
    struct espi_workspace *w = &encoder->workspace;
    size_t tokens = f->batch->tokens, hidden = config->hidden, context = espi_config_context(config, number);
    f->layer = number;

    show(encoder, number, ESPI_TAP_INPUT, tokens, hidden, w->hidden);
    int status = espi_linear_forward(ctx, products, &layer->qkv, tokens, w->hidden, NULL, w->widest);
    show(encoder, number, ESPI_TAP_QKV, tokens, 3 * context, w->widest);
    if (!status)
        status = espi_products_run(ctx, products, query_blocks * espi_config_layer_heads(config, number), attend, f);
    show(encoder, number, ESPI_TAP_CONTEXT, tokens, context, w->context);
    if (!status)
        status = espi_linear_forward(ctx, products, &layer->attention_out, tokens, w->context, NULL, w->product);
    if (!status)
        status = espi_encoder_norm(ctx, encoder, ESPI_ATTENTION_NORM_W, ESPI_ATTENTION_NORM_B, number, tokens,
                                   w->product, w->hidden, w->hidden);
    show(encoder, number, ESPI_TAP_FFN_INPUT, tokens, hidden, w->hidden);
    if (!status)
        status = espi_linear_forward(ctx, products, &layer->ffn_in, tokens, w->hidden, &config->activation, w->widest);
    show(encoder, number, ESPI_TAP_INTERMEDIATE, tokens, config->intermediate, w->widest);
    if (!status)
        status = espi_linear_forward(ctx, products, &layer->ffn_out, tokens, w->widest, NULL, w->product);
    if (!status)
        status = espi_encoder_norm(ctx, encoder, ESPI_FFN_NORM_W, ESPI_FFN_NORM_B, number, tokens, w->product,
                                   w->hidden, w->hidden);
    return status;
}

/* Leaves the last hidden state in the workspace; copies every one to `states` (layers + 1, tokens, hidden) unless NULL.
 */
static int run_layers(esp_context *ctx, struct espi_encoder *encoder, const struct espi_batch *batch, float *states)
{
    const struct espi_config *config = encoder->engine.config;
    int status = reserve(ctx, encoder, batch);
    if (status)
        return status;
    struct forward f = {.encoder = encoder, .batch = batch};
    size_t blocks = cut_queries(&encoder->workspace, batch), elements = batch->tokens * config->hidden;
    status = espi_products_run(ctx, encoder->products, batch->sequences, embed_sequence, &f);
    for (size_t layer = 0; layer <= config->layers && !status; layer++) {
        if (layer > 0)
            status = run_layer(ctx, &f, layer - 1, blocks);
        if (states && !status)
            memcpy(states + layer * elements, encoder->workspace.hidden, elements * sizeof *states);
    }
    return status;
}

static int run(struct espi_engine *engine, esp_context *ctx, const struct espi_batch *batch,
               const struct espi_wanted *wanted)
{
    struct espi_encoder *encoder = (struct espi_encoder *)engine;
    int status = espi_encoder_check(ctx, engine->config, batch, wanted);
    if (!status)
        status = run_layers(ctx, encoder, batch, NULL);
    return status ? status : espi_heads_run(ctx, encoder, batch, wanted);
}

int espi_encoder_run_layers(struct espi_engine *engine, esp_context *ctx, const struct espi_batch *batch, float *out)
{
    int status = espi_batch_check(ctx, batch, engine->config);
    return status ? status : run_layers(ctx, (struct espi_encoder *)engine, batch, out);
}

void espi_encoder_set_tap(struct espi_engine *engine, espi_tap_fn *tap, void *argument)
{
    struct espi_encoder *encoder = (struct espi_encoder *)engine;
    encoder->tap = tap;
    encoder->tap_argument = argument;
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static void free_encoder(struct espi_engine *engine)
{
    if (!engine)
        return;
    struct espi_encoder *encoder = (struct espi_encoder *)engine;
    for (size_t i = 0; encoder->layers && i < engine->config->layers; i++) {
        struct espi_encoder_layer *layer = &encoder->layers[i];
        espi_linear_clear(&layer->qkv);
        espi_linear_clear(&layer->attention_out);
        espi_linear_clear(&layer->ffn_in);
        espi_linear_clear(&layer->ffn_out);
    }
    free(encoder->layers);
    espi_heads_clear(encoder);
    clear_workspace(&encoder->workspace);
    free(encoder->scores);
    espi_products_free(encoder->products);
    free(encoder);
}

/* Query, key and value stand one after another in the slab: one matrix (3 context, hidden). */
static int init_layer(esp_context *ctx, struct espi_encoder *encoder, size_t number)
{
    const struct espi_config *config = encoder->engine.config;
    struct espi_encoder_layer *layer = &encoder->layers[number];
    int status = espi_linear_init(ctx, encoder->products, config->hidden, 3 * espi_config_context(config, number),
                                  espi_params_data(encoder->params, ESPI_QUERY_W, number),
                                  espi_params_data(encoder->params, ESPI_QUERY_B, number), &layer->qkv);
    if (!status)
        status = espi_encoder_linear(ctx, encoder, ESPI_ATTENTION_OUT_W, ESPI_ATTENTION_OUT_B, number,
                                     &layer->attention_out);
    if (!status)
        status = espi_encoder_linear(ctx, encoder, ESPI_FFN_IN_W, ESPI_FFN_IN_B, number, &layer->ffn_in);
    if (!status)
        status = espi_encoder_linear(ctx, encoder, ESPI_FFN_OUT_W, ESPI_FFN_OUT_B, number, &layer->ffn_out);
    return status;
}

static int allocate_scores(esp_context *ctx, struct espi_encoder *encoder, size_t threads)
{
    size_t count;
    if (!espi_size_mul(encoder->engine.config->max_positions, ESPI_ATTENTION_ROWS, &count) ||
        !espi_size_mul(count, threads, &count))
        return espi_fail_memory(ctx, SIZE_MAX);
    encoder->scores = espi_calloc_aligned(ctx, count, sizeof *encoder->scores);
    return encoder->scores ? ESP_OK : ESP_ERR_MEMORY;
}

int espi_encoder_new(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                     struct espi_team *team, struct espi_engine **out)
{
    *out = NULL;
    struct espi_encoder *encoder = espi_calloc(ctx, 1, sizeof *encoder);
    if (!encoder)
        return ESP_ERR_MEMORY;
    encoder->engine = (struct espi_engine){.config = config, .run = run, .free = free_encoder};
    encoder->params = params;
    int status = ESP_ERR_MEMORY;
    encoder->layers = espi_calloc(ctx, config->layers, sizeof *encoder->layers);
    if (!encoder->layers || (status = espi_products_new(ctx, team, false, &encoder->products)) ||
        (status = allocate_scores(ctx, encoder, espi_team_size(team))))
        goto fail;
    for (size_t i = 0; i < config->layers; i++)
        if ((status = init_layer(ctx, encoder, i)))
            goto fail;
    if ((status = espi_heads_init(ctx, encoder)))
        goto fail;
    *out = &encoder->engine;
    return ESP_OK;

fail:
    free_encoder(&encoder->engine);
    return status;
}
