/* SPDX-License-Identifier: Apache-2.0
 * The heads, forward and backward. Token logits: dropout, classifier. Sequence logits: the first token through BERT's
 * pooler (tanh) or DistilBERT's pre_classifier (ReLU), dropout, classifier. Masked LM: the wanted positions through
 * dense, activation, LayerNorm and the word embeddings. */
#include "base/size.h"
#include "create/train/network_private.h"

#include <string.h>

/* ---- weights -------------------------------------------------------------------------------------------------------- */

/* The linear layers of the heads, with the tensor of their weights. */
struct head_layer {
    struct espi_dense *dense;
    enum espi_role weight;
};

enum { HEAD_LAYERS = 5 };

static void list_layers(struct espi_network *network, struct head_layer list[HEAD_LAYERS])
{
    struct espi_network_heads *heads = &network->heads;
    list[0] = (struct head_layer){&heads->pooler, ESPI_POOLER_W};
    list[1] = (struct head_layer){&heads->pre_classifier, ESPI_PRE_CLASSIFIER_W};
    list[2] = (struct head_layer){&heads->classifier, ESPI_CLASSIFIER_W};
    list[3] = (struct head_layer){&heads->mlm_dense, ESPI_MLM_DENSE_W};
    list[4] = (struct head_layer){&heads->mlm_decoder, ESPI_EMBED_WORD};
}

static const struct espi_param *weight_of(const struct espi_network *network, const struct head_layer *layer)
{
    if (layer->weight == ESPI_EMBED_WORD && network->config->head != ESPI_HEAD_MLM)
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
            status = espi_dense_init(ctx, network->matmuls, weight->cols, weight->rows, list[i].dense);
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

/* ---- shared steps --------------------------------------------------------------------------------------------------- */

static const float *last_hidden(const struct espi_network *network)
{
    return network->memory.hidden[network->config->layers];
}

static const float *bias_of(const struct espi_network *network, enum espi_role role)
{
    return espi_params_data(network->params, role, 0);
}

/* The token that a row of a sequence or masked-LM head is made of. */
static size_t token_of(const struct espi_network *network, size_t row)
{
    bool masked = network->pass.wanted.result == ESPI_RESULT_VOCAB_LOGITS;
    return masked ? network->pass.positions[row] : network->pass.starts[row];
}

/* head.input: the rows' tokens. */
static void gather(struct espi_network *network, size_t rows)
{
    size_t hidden = network->config->hidden;
    for (size_t row = 0; row < rows; row++)
        espi_network_operand_row(network, row, hidden, last_hidden(network) + token_of(network, row) * hidden,
                                 network->head.input);
    espi_network_zero_tail(network, rows, hidden, network->head.input);
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

/* ---- token logits --------------------------------------------------------------------------------------------------- */

struct token_pass {
    const struct espi_network *network;
    struct espi_drop drop;
};

static void token_input(void *argument, size_t row, size_t thread)
{
    const struct token_pass *t = argument;
    size_t hidden = t->network->config->hidden;
    float *scratch = espi_network_row(t->network, thread);
    memcpy(scratch, last_hidden(t->network) + row * hidden, hidden * sizeof *scratch);
    espi_network_drop_row(t->network, t->drop, t->network->pass.places[row], hidden, scratch);
    espi_network_operand_row(t->network, row, hidden, scratch, t->network->head.input);
}

static void token_gradient(void *argument, size_t row, size_t thread)
{
    (void)thread;
    const struct token_pass *t = argument;
    size_t hidden = t->network->config->hidden;
    espi_network_drop_row(t->network, t->drop, t->network->pass.places[row], hidden,
                          t->network->memory.carry + row * hidden);
}

static int token_forward(esp_context *ctx, struct espi_network *network, float *out)
{
    size_t rows = network->pass.batch.tokens;
    struct token_pass t = {network, espi_network_drop(network, ESPI_PLACE_HEAD, 0)};
    espi_team_run(network->team, rows, token_input, &t);
    espi_network_zero_tail(network, rows, network->config->hidden, network->head.input);
    return result_product(ctx, network, &network->heads.classifier, rows, network->head.input, ESPI_CLASSIFIER_B, out);
}

static int token_backward(esp_context *ctx, struct espi_network *network, const float *d_result, float *gradients)
{
    struct espi_head_memory *head = &network->head;
    size_t rows = network->pass.batch.tokens;
    struct token_pass t = {network, espi_network_drop(network, ESPI_PLACE_HEAD, 0)};
    int status =
        espi_operand_from_float(ctx, network->matmuls, rows, network->config->labels, d_result, head->d_result);
    if (!status)
        status = linear(ctx, network, &network->heads.classifier, ESPI_CLASSIFIER_W, ESPI_CLASSIFIER_B, rows,
                        head->input, head->d_result, gradients, network->memory.carry);
    if (!status && t.drop.rate > 0.0f)
        espi_team_run(network->team, rows, token_gradient, &t);
    return status;
}

/* ---- sequence logits and the pooler --------------------------------------------------------------------------------- */

/* What stands before the classifier; the pooler alone when its output is the result. */
struct first_layer {
    const struct espi_dense *dense;
    enum espi_role weight, bias;
    enum espi_activation activation;
    struct espi_drop drop;
};

static struct first_layer first_layer(const struct espi_network *network)
{
    bool logits = network->pass.wanted.result == ESPI_RESULT_SEQUENCE_LOGITS;
    struct espi_drop drop = {0};
    if (logits)
        drop = espi_network_drop(network, ESPI_PLACE_HEAD, 0);
    if (logits && network->heads.pre_classifier.outputs)
        return (struct first_layer){&network->heads.pre_classifier, ESPI_PRE_CLASSIFIER_W, ESPI_PRE_CLASSIFIER_B,
                                    ESPI_RELU, drop};
    return (struct first_layer){&network->heads.pooler, ESPI_POOLER_W, ESPI_POOLER_B, ESPI_TANH, drop};
}

static void drop_sequences(struct espi_network *network, struct espi_drop drop, float *x)
{
    size_t hidden = network->config->hidden;
    for (uint32_t s = 0; s < network->pass.batch.sequences; s++)
        espi_network_drop_row(network, drop, (struct espi_token_place){.sequence = s}, hidden, x + s * hidden);
}

static int sequence_forward(esp_context *ctx, struct espi_network *network, float *out)
{
    struct espi_head_memory *head = &network->head;
    size_t rows = network->pass.batch.sequences, hidden = network->config->hidden;
    struct first_layer first = first_layer(network);
    gather(network, rows);
    int status = espi_dense_forward(ctx, network->matmuls, first.dense, rows, head->input, bias_of(network, first.bias),
                                    head->inner);
    if (status)
        return status;
    espi_network_activate(network, first.activation, rows, hidden, head->inner, head->states, NULL);
    if (network->pass.wanted.result == ESPI_RESULT_POOLED) {
        memcpy(out, head->states, rows * hidden * sizeof *out);
        return ESP_OK;
    }
    drop_sequences(network, first.drop, head->states);
    status = espi_operand_from_float(ctx, network->matmuls, rows, hidden, head->states, head->last);
    return status ? status
                  : result_product(ctx, network, &network->heads.classifier, rows, head->last, ESPI_CLASSIFIER_B, out);
}

static int sequence_backward(esp_context *ctx, struct espi_network *network, const float *d_result, float *gradients)
{
    struct espi_head_memory *head = &network->head;
    size_t rows = network->pass.batch.sequences, hidden = network->config->hidden;
    struct first_layer first = first_layer(network);
    int status = ESP_OK;
    if (network->pass.wanted.result == ESPI_RESULT_POOLED) {
        memcpy(head->states, d_result, rows * hidden * sizeof *d_result);
    } else {
        status =
            espi_operand_from_float(ctx, network->matmuls, rows, network->config->labels, d_result, head->d_result);
        if (!status)
            status = linear(ctx, network, &network->heads.classifier, ESPI_CLASSIFIER_W, ESPI_CLASSIFIER_B, rows,
                            head->last, head->d_result, gradients, head->states);
        drop_sequences(network, first.drop, head->states);
    }
    if (status)
        return status;
    const void *dy =
        espi_network_activate_backward(network, first.activation, rows, hidden, head->inner, head->states, head->last);
    /* In fp32 dy is head.states, which dx may not overwrite: its room is head.inner, of no more use. */
    status = linear(ctx, network, first.dense, first.weight, first.bias, rows, head->input, dy, gradients, head->inner);
    if (!status) {
        memcpy(head->states, head->inner, rows * hidden * sizeof *head->states);
        spread(network, rows);
    }
    return status;
}

/* ---- masked LM ------------------------------------------------------------------------------------------------------ */

static int masked_forward(esp_context *ctx, struct espi_network *network, float *out)
{
    struct espi_head_memory *head = &network->head;
    size_t rows = network->pass.wanted.position_count, hidden = network->config->hidden;
    bool copies = network->compute == ESPI_COMPUTE_BF16;
    gather(network, rows);
    int status = espi_dense_forward(ctx, network->matmuls, &network->heads.mlm_dense, rows, head->input,
                                    bias_of(network, ESPI_MLM_DENSE_B), head->inner);
    if (status)
        return status;
    espi_network_activate(network, network->config->activation, rows, hidden, head->inner, head->normed.sum, NULL);
    struct espi_norm_forward norm = {.network = network,
                                     .rows = rows,
                                     .tensors = espi_network_norm(network, ESPI_MLM_NORM_W, ESPI_MLM_NORM_B, 0, NULL),
                                     .normed = head->normed,
                                     .out = copies ? head->states : head->last,
                                     .operand = copies ? head->last : NULL};
    espi_network_norm_forward(&norm);
    return result_product(ctx, network, &network->heads.mlm_decoder, rows, head->last, ESPI_MLM_BIAS, out);
}

static int masked_backward(esp_context *ctx, struct espi_network *network, const float *d_result, float *gradients)
{
    struct espi_head_memory *head = &network->head;
    size_t rows = network->pass.wanted.position_count, hidden = network->config->hidden;
    int status =
        espi_operand_from_float(ctx, network->matmuls, rows, network->config->vocab_size, d_result, head->d_result);
    if (!status)
        status = linear(ctx, network, &network->heads.mlm_decoder, ESPI_EMBED_WORD, ESPI_MLM_BIAS, rows, head->last,
                        head->d_result, gradients, head->states);
    if (status)
        return status;
    struct espi_norm_backward norm = {.network = network,
                                      .rows = rows,
                                      .tensors =
                                          espi_network_norm(network, ESPI_MLM_NORM_W, ESPI_MLM_NORM_B, 0, gradients),
                                      .normed = head->normed,
                                      .carry = head->states,
                                      .partial = head->partial};
    espi_network_norm_backward(&norm);
    const void *dy = espi_network_activate_backward(network, network->config->activation, rows, hidden, head->inner,
                                                    head->states, head->last);
    status = linear(ctx, network, &network->heads.mlm_dense, ESPI_MLM_DENSE_W, ESPI_MLM_DENSE_B, rows, head->input, dy,
                    gradients, head->inner);
    if (!status) {
        memcpy(head->states, head->inner, rows * hidden * sizeof *head->states);
        spread(network, rows);
    }
    return status;
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
    const struct espi_network_pass *pass = &network->pass;
    switch (pass->wanted.result) {
    case ESPI_RESULT_HIDDEN:
    case ESPI_RESULT_EMBEDDING:
        return ESP_OK;
    case ESPI_RESULT_POOLED:
    case ESPI_RESULT_SEQUENCE_LOGITS:
        return espi_network_reserve_head(ctx, network, pass->batch.sequences, config->labels);
    case ESPI_RESULT_TOKEN_LOGITS:
        return espi_network_reserve_head(ctx, network, pass->batch.tokens, config->labels);
    case ESPI_RESULT_VOCAB_LOGITS:
        return espi_network_reserve_head(ctx, network, pass->wanted.position_count, config->vocab_size);
    }
    return espi_fail(ctx, ESP_ERR_INTERNAL, "network: unknown result %d", (int)pass->wanted.result);
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
        return sequence_forward(ctx, network, out);
    case ESPI_RESULT_TOKEN_LOGITS:
        return token_forward(ctx, network, out);
    case ESPI_RESULT_VOCAB_LOGITS:
        return masked_forward(ctx, network, out);
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
        return sequence_backward(ctx, network, d_result, gradients);
    case ESPI_RESULT_TOKEN_LOGITS:
        return token_backward(ctx, network, d_result, gradients);
    case ESPI_RESULT_VOCAB_LOGITS:
        return masked_backward(ctx, network, d_result, gradients);
    }
    return ESP_OK;
}
