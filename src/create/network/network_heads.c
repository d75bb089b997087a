/* SPDX-License-Identifier: Apache-2.0
 * The head, forward and backward, as the model's recipe (struct espi_head_recipe) says: rows of the last hidden states,
 * dropout, dense layer and activation, LayerNorm, dropout, classifier or decoder. */
#include "base/size.h"
#include "create/network/network_private.h"

#include <string.h>

/* ---- weights -------------------------------------------------------------------------------------------------------- */

/* The linear layers of the heads, with the tensor of their weights. */
struct head_layer {
    struct espi_dense *dense;
    enum espi_role weight;
};

enum { HEAD_LAYERS = 3 };

static void list_layers(struct espi_network *network, struct head_layer list[HEAD_LAYERS])
{
    struct espi_network_heads *heads = &network->heads;
    list[0] = (struct head_layer){&heads->dense, ESPI_HEAD_DENSE_W};
    list[1] = (struct head_layer){&heads->classifier, ESPI_CLASSIFIER_W};
    list[2] = (struct head_layer){&heads->decoder, ESPI_EMBED_WORD};
}

static const struct espi_param *weight_of(const struct espi_network *network, const struct head_layer *layer)
{
    if (layer->weight == ESPI_EMBED_WORD && !network->config->recipe.decoder)
        return NULL;
    return espi_params_find(network->params, layer->weight, 0);
}

int espi_network_init_heads(esp_context *ctx, struct espi_network *network)
{
    struct head_layer list[HEAD_LAYERS];
    list_layers(network, list);
    int status = ESP_OK;
    for (size_t i = 0; !status && i < HEAD_LAYERS; i++) {
        const struct espi_param *weight = weight_of(network, &list[i]);
        if (weight)
            status = espi_network_init_dense(ctx, network, weight->cols, weight->rows, list[i].dense);
    }
    return status;
}

int espi_network_refresh_heads(esp_context *ctx, struct espi_network *network)
{
    struct head_layer list[HEAD_LAYERS];
    list_layers(network, list);
    int status = ESP_OK;
    for (size_t i = 0; !status && i < HEAD_LAYERS; i++) {
        const struct espi_param *weight = weight_of(network, &list[i]);
        if (weight)
            status = espi_dense_pack(ctx, network->matmuls, list[i].dense, network->params->slab + weight->offset);
    }
    return status;
}

void espi_network_clear_heads(struct espi_network *network)
{
    struct head_layer list[HEAD_LAYERS];
    list_layers(network, list);
    for (size_t i = 0; i < HEAD_LAYERS; i++)
        espi_dense_clear(list[i].dense);
}

/* ---- checking ------------------------------------------------------------------------------------------------------- */

/* What the model lacks for a result, or NULL. */
static const char *missing(const struct espi_config *config, enum espi_result result)
{
    switch (result) {
    case ESPI_RESULT_HIDDEN:
    case ESPI_RESULT_EMBEDDING:
        return NULL;
    case ESPI_RESULT_POOLED:
        return espi_config_has_pooler(config) ? NULL : "pooler";
    case ESPI_RESULT_TOKEN_LOGITS:
        return config->head == ESPI_HEAD_QA || config->head == ESPI_HEAD_TOKEN
                   ? NULL
                   : "question-answering or token classification head";
    case ESPI_RESULT_SEQUENCE_LOGITS:
        return config->head == ESPI_HEAD_SEQUENCE ? NULL : "sequence classification head";
    case ESPI_RESULT_VOCAB_LOGITS:
        return config->head == ESPI_HEAD_MLM ? NULL : "masked-LM head";
    }
    return "such head";
}

int espi_network_check(esp_context *ctx, const struct espi_config *config, const struct espi_batch *batch,
                       const struct espi_wanted *wanted)
{
    int status = espi_batch_check(ctx, batch, config);
    if (status)
        return status;
    const char *what = missing(config, wanted->result);
    if (what)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "the model has no %s", what);
    for (size_t i = 0; wanted->result == ESPI_RESULT_VOCAB_LOGITS && i < wanted->position_count; i++)
        if (wanted->positions[i] >= batch->tokens)
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "position %zu: expected a token below %zu, found %u", i,
                             batch->tokens, (unsigned)wanted->positions[i]);
    return ESP_OK;
}

/* ---- shared steps --------------------------------------------------------------------------------------------------- */

static const float *last_hidden(const struct espi_network *network)
{
    return network->memory.hidden[network->config->layers];
}

static const float *bias_of(const struct espi_network *network, enum espi_role role)
{
    return espi_params_data(network->params, role, 0);
}

static size_t head_rows(const struct espi_network *network)
{
    const struct espi_network_pass *pass = &network->pass;
    switch (network->config->recipe.rows) {
    case ESPI_ROWS_ALL:
        return pass->batch.tokens;
    case ESPI_ROWS_FIRST:
        return pass->batch.sequences;
    case ESPI_ROWS_WANTED:
        return pass->wanted.position_count;
    case ESPI_ROWS_NONE:
        break;
    }
    return 0;
}

/* The token that a row of the head is made of. */
static size_t token_of(const struct espi_network *network, size_t row)
{
    switch (network->config->recipe.rows) {
    case ESPI_ROWS_FIRST:
        return network->pass.starts[row];
    case ESPI_ROWS_WANTED:
        return network->pass.positions[row];
    default:
        return row;
    }
}

/* memory.carry: the gradient of head.states at the rows' tokens, 0 elsewhere. */
static void spread(struct espi_network *network, size_t rows)
{
    size_t hidden = network->config->hidden;
    memset(network->memory.carry, 0, network->pass.batch.tokens * hidden * sizeof(float));
    for (size_t row = 0; row < rows; row++) {
        float *to = network->memory.carry + token_of(network, row) * hidden;
        const float *from = network->head.states + row * hidden;
        for (size_t i = 0; i < hidden; i++)
            to[i] += from[i];
    }
}

/* The result's product. Whole blocks of rows go to `out` at once, which has no room for more than the rows. */
static int result_product(esp_context *ctx, struct espi_network *network, const struct espi_dense *dense, size_t rows,
                          const void *x, enum espi_role bias, float *out)
{
    struct espi_head_memory *head = &network->head;
    size_t whole = rows - rows % ESPI_MATMUL_ROWS, size = espi_operand_size(network->compute);
    int status = ESP_OK;
    if (whole)
        status = espi_dense_forward(ctx, network->matmuls, dense, whole, x, bias_of(network, bias), out);
    if (status || whole == rows)
        return status;
    status = espi_dense_forward(ctx, network->matmuls, dense, rows - whole,
                                (const char *)x + whole * dense->inputs * size, bias_of(network, bias), head->result);
    if (!status)
        memcpy(out + whole * dense->outputs, head->result, (rows - whole) * dense->outputs * sizeof *out);
    return status;
}

/* Both gradients of a linear layer of a head. dx: (room, inputs) */
static int linear(esp_context *ctx, struct espi_network *network, const struct espi_dense *dense, enum espi_role weight,
                  enum espi_role bias, size_t rows, const void *x, const void *dy, float *gradients, float *dx)
{
    const struct espi_param *w = espi_params_find(network->params, weight, 0);
    const struct espi_param *b = espi_params_find(network->params, bias, 0);
    int status = espi_dense_backward_weight(ctx, network->matmuls, dense, rows, x, dy, gradients + w->offset,
                                            gradients + b->offset);
    return status ? status : espi_dense_backward_input(ctx, network->matmuls, dense, rows, dy, dx);
}

/* ---- rows of the head ----------------------------------------------------------------------------------------------- */

struct row_pass {
    const struct espi_network *network;
    struct espi_drop drop;
    float *x; // (rows, hidden)
};

static void take_row(void *argument, size_t row, size_t thread)
{
    const struct row_pass *p = argument;
    const struct espi_network *network = p->network;
    size_t hidden = network->config->hidden, token = token_of(network, row);
    const float *x = last_hidden(network) + token * hidden;
    if (p->drop.rate > 0.0f) {
        float *scratch = espi_network_row(network, thread);
        memcpy(scratch, x, hidden * sizeof *scratch);
        espi_network_drop_row(network, p->drop, network->pass.places[token], hidden, scratch);
        x = scratch;
    }
    espi_network_operand_row(network, row, hidden, x, network->head.input);
}

static void drop_row(void *argument, size_t row, size_t thread)
{
    (void)thread;
    const struct row_pass *p = argument;
    size_t hidden = p->network->config->hidden;
    espi_network_drop_row(p->network, p->drop, p->network->pass.places[token_of(p->network, row)], hidden,
                          p->x + row * hidden);
}

static void drop_rows(struct espi_network *network, struct espi_drop drop, size_t rows, float *x)
{
    struct row_pass pass = {.network = network, .drop = drop, .x = x};
    if (drop.rate > 0.0f)
        espi_team_run(network->team, rows, drop_row, &pass);
}

/* Dropout of what the head reads, and of what its classifier reads. */
struct head_drops {
    struct espi_drop first, last;
};

static struct head_drops head_drops(const struct espi_network *network)
{
    const struct espi_head_recipe *recipe = &network->config->recipe;
    struct head_drops drops = {{0}, {0}};
    if (network->pass.wanted.result == ESPI_RESULT_POOLED || recipe->decoder)
        return drops;
    if (!recipe->dense || recipe->dropout_first)
        drops.first = espi_network_drop(network, ESPI_PLACE_HEAD, 0);
    if (recipe->dense)
        drops.last = espi_network_drop(network, ESPI_PLACE_HEAD, recipe->dropout_first);
    return drops;
}

/* ---- forward -------------------------------------------------------------------------------------------------------- */

/* Dense layer, activation and LayerNorm, where the recipe has them: from head.input to head.states. */
static int inner_forward(esp_context *ctx, struct espi_network *network, size_t rows)
{
    const struct espi_head_recipe *recipe = &network->config->recipe;
    struct espi_head_memory *head = &network->head;
    int status = espi_dense_forward(ctx, network->matmuls, &network->heads.dense, rows, head->input,
                                    bias_of(network, ESPI_HEAD_DENSE_B), head->inner);
    if (status)
        return status;
    size_t width = espi_config_head_width(network->config);
    espi_network_activate(network, recipe->activation, rows, width, head->inner,
                          recipe->norm ? head->normed.sum : head->states, NULL);
    if (recipe->norm) {
        struct espi_norm_forward norm = {.network = network,
                                         .rows = rows,
                                         .width = width,
                                         .tensors =
                                             espi_network_norm(network, ESPI_HEAD_NORM_W, ESPI_HEAD_NORM_B, 0, NULL),
                                         .normed = head->normed,
                                         .out = head->states};
        espi_network_norm_forward(&norm);
    }
    return ESP_OK;
}

static int rows_forward(esp_context *ctx, struct espi_network *network, float *out)
{
    const struct espi_head_recipe *recipe = &network->config->recipe;
    struct espi_head_memory *head = &network->head;
    size_t rows = head_rows(network), hidden = network->config->hidden;
    struct head_drops drops = head_drops(network);
    espi_team_run(network->team, rows, take_row, &(struct row_pass){.network = network, .drop = drops.first});
    espi_network_zero_tail(network, rows, hidden, head->input);
    int status = recipe->dense ? inner_forward(ctx, network, rows) : ESP_OK;
    if (!status && network->pass.wanted.result == ESPI_RESULT_POOLED) {
        memcpy(out, head->states, rows * hidden * sizeof *out);
        return ESP_OK;
    }
    if (!status && recipe->dense) {
        drop_rows(network, drops.last, rows, head->states);
        status = espi_operand_from_float(ctx, network->matmuls, rows, espi_config_head_width(network->config),
                                         head->states, head->last);
    }
    if (status)
        return status;
    const struct espi_dense *output = recipe->decoder ? &network->heads.decoder : &network->heads.classifier;
    return result_product(ctx, network, output, rows, recipe->dense ? head->last : head->input,
                          recipe->decoder ? ESPI_DECODER_B : ESPI_CLASSIFIER_B, out);
}

/* ---- backward ------------------------------------------------------------------------------------------------------- */

/* The gradient of what the classifier or decoder reads, behind its dropout. */
static int output_backward(esp_context *ctx, struct espi_network *network, size_t rows, const float *d_result,
                           float *gradients, float *dx)
{
    const struct espi_head_recipe *recipe = &network->config->recipe;
    struct espi_head_memory *head = &network->head;
    const struct espi_dense *output = recipe->decoder ? &network->heads.decoder : &network->heads.classifier;
    int status = espi_operand_from_float(ctx, network->matmuls, rows, output->outputs, d_result, head->d_result);
    return status ? status
                  : linear(ctx, network, output, recipe->decoder ? ESPI_EMBED_WORD : ESPI_CLASSIFIER_W,
                           recipe->decoder ? ESPI_DECODER_B : ESPI_CLASSIFIER_B, rows,
                           recipe->dense ? head->last : head->input, head->d_result, gradients, dx);
}

/* From the gradient of what inner_forward made to that of its input, both in head.states. */
static int inner_backward(esp_context *ctx, struct espi_network *network, size_t rows, float *gradients)
{
    const struct espi_head_recipe *recipe = &network->config->recipe;
    struct espi_head_memory *head = &network->head;
    size_t hidden = network->config->hidden, width = espi_config_head_width(network->config);
    if (recipe->norm) {
        struct espi_norm_backward norm = {
            .network = network,
            .rows = rows,
            .width = width,
            .tensors = espi_network_norm(network, ESPI_HEAD_NORM_W, ESPI_HEAD_NORM_B, 0, gradients),
            .normed = head->normed,
            .carry = head->states,
            .partial = head->partial};
        espi_network_norm_backward(&norm);
    }
    const void *dy =
        espi_network_activate_backward(network, recipe->activation, rows, width, head->inner, head->states, head->last);
    /* In fp32 dy is head.states, which dx may not overwrite: its room is head.inner, of no more use. */
    int status = linear(ctx, network, &network->heads.dense, ESPI_HEAD_DENSE_W, ESPI_HEAD_DENSE_B, rows, head->input,
                        dy, gradients, head->inner);
    if (!status)
        memcpy(head->states, head->inner, rows * hidden * sizeof *head->states);
    return status;
}

static int rows_backward(esp_context *ctx, struct espi_network *network, const float *d_result, float *gradients)
{
    const struct espi_head_recipe *recipe = &network->config->recipe;
    struct espi_head_memory *head = &network->head;
    size_t rows = head_rows(network), hidden = network->config->hidden;
    struct head_drops drops = head_drops(network);
    bool direct = recipe->rows == ESPI_ROWS_ALL && !recipe->dense; // every token's gradient goes where it belongs
    float *dx = direct ? network->memory.carry : head->states;
    int status = ESP_OK;
    if (network->pass.wanted.result == ESPI_RESULT_POOLED)
        memcpy(dx, d_result, rows * hidden * sizeof *d_result);
    else
        status = output_backward(ctx, network, rows, d_result, gradients, dx);
    if (!status && recipe->dense) {
        drop_rows(network, drops.last, rows, dx);
        status = inner_backward(ctx, network, rows, gradients);
    }
    if (status)
        return status;
    drop_rows(network, drops.first, rows, dx);
    if (!direct)
        spread(network, rows);
    return ESP_OK;
}

/* ---- sentence embedding --------------------------------------------------------------------------------------------- */

struct pooling {
    const struct espi_network *network;
    float *out;        // (sequences, hidden) forward
    const float *dout; // (sequences, hidden) backward
};

static void pool_forward(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct pooling *p = argument;
    const struct espi_config *config = p->network->config;
    const uint32_t *starts = p->network->pass.starts + index;
    espi_pooling_forward(config->pooling, config->normalize, starts[1] - starts[0], config->hidden,
                         last_hidden(p->network) + starts[0] * config->hidden, p->out + index * config->hidden);
}

static void pool_backward(void *argument, size_t index, size_t thread)
{
    const struct pooling *p = argument;
    const struct espi_config *config = p->network->config;
    const uint32_t *starts = p->network->pass.starts + index;
    espi_pooling_backward(config->pooling, config->normalize, starts[1] - starts[0], config->hidden,
                          last_hidden(p->network) + starts[0] * config->hidden, p->dout + index * config->hidden,
                          espi_network_row(p->network, thread), p->network->memory.carry + starts[0] * config->hidden);
}

/* ---- any ------------------------------------------------------------------------------------------------------------ */

static int reserve(esp_context *ctx, struct espi_network *network)
{
    const struct espi_config *config = network->config;
    switch (network->pass.wanted.result) {
    case ESPI_RESULT_HIDDEN:
    case ESPI_RESULT_EMBEDDING:
        return ESP_OK;
    case ESPI_RESULT_POOLED:
    case ESPI_RESULT_SEQUENCE_LOGITS:
    case ESPI_RESULT_TOKEN_LOGITS:
    case ESPI_RESULT_VOCAB_LOGITS:
        return espi_network_reserve_head(ctx, network, head_rows(network),
                                         config->recipe.decoder ? config->vocab_size : config->labels);
    }
    return espi_fail(ctx, ESP_ERR_INTERNAL, "network: unknown result %d", (int)network->pass.wanted.result);
}

int espi_network_head_forward(esp_context *ctx, struct espi_network *network, float *out)
{
    struct pooling pooling = {.network = network, .out = out};
    const struct espi_batch *batch = &network->pass.batch;
    int status = reserve(ctx, network);
    if (status)
        return status;
    switch (network->pass.wanted.result) {
    case ESPI_RESULT_HIDDEN:
        memcpy(out, last_hidden(network), batch->tokens * network->config->hidden * sizeof *out);
        return ESP_OK;
    case ESPI_RESULT_EMBEDDING:
        espi_team_run(network->team, batch->sequences, pool_forward, &pooling);
        return ESP_OK;
    case ESPI_RESULT_POOLED:
    case ESPI_RESULT_SEQUENCE_LOGITS:
    case ESPI_RESULT_TOKEN_LOGITS:
    case ESPI_RESULT_VOCAB_LOGITS:
        return rows_forward(ctx, network, out);
    }
    return ESP_OK;
}

int espi_network_head_backward(esp_context *ctx, struct espi_network *network, const float *d_result, float *gradients)
{
    struct pooling pooling = {.network = network, .dout = d_result};
    const struct espi_batch *batch = &network->pass.batch;
    size_t bytes = batch->tokens * network->config->hidden * sizeof(float);
    if (!d_result) {
        memset(network->memory.carry, 0, bytes);
        return ESP_OK;
    }
    switch (network->pass.wanted.result) {
    case ESPI_RESULT_HIDDEN:
        memcpy(network->memory.carry, d_result, bytes);
        return ESP_OK;
    case ESPI_RESULT_EMBEDDING:
        memset(network->memory.carry, 0, bytes);
        espi_team_run(network->team, batch->sequences, pool_backward, &pooling);
        return ESP_OK;
    case ESPI_RESULT_POOLED:
    case ESPI_RESULT_SEQUENCE_LOGITS:
    case ESPI_RESULT_TOKEN_LOGITS:
    case ESPI_RESULT_VOCAB_LOGITS:
        return rows_backward(ctx, network, d_result, gradients);
    }
    return ESP_OK;
}
