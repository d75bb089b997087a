/* SPDX-License-Identifier: Apache-2.0 */
#include "create/encoder_private.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>

static bool has(const struct espi_encoder *encoder, enum espi_role role)
{
    return espi_params_find(encoder->params, role, 0) != NULL;
}

/* The decoder's weight is the word embeddings', its logits are made for ESPI_TILE_ROWS positions at a time. */
static int init_mlm(esp_context *ctx, struct espi_encoder *encoder)
{
    const struct espi_config *config = encoder->engine.config;
    struct espi_encoder_heads *heads = &encoder->heads;
    int status = espi_encoder_linear(ctx, encoder, ESPI_EMBED_WORD, ESPI_DECODER_B, 0, &heads->decoder);
    size_t count;
    if (status)
        return status;
    if (!espi_size_mul(config->vocab_size, ESPI_TILE_ROWS, &count))
        return espi_fail_memory(ctx, SIZE_MAX);
    heads->vocab_logits = espi_calloc_aligned(ctx, count, sizeof *heads->vocab_logits);
    return heads->vocab_logits ? ESP_OK : ESP_ERR_MEMORY;
}

int espi_heads_init(esp_context *ctx, struct espi_encoder *encoder)
{
    struct espi_encoder_heads *heads = &encoder->heads;
    int status = ESP_OK;
    if (has(encoder, ESPI_HEAD_DENSE_W))
        status = espi_encoder_linear(ctx, encoder, ESPI_HEAD_DENSE_W, ESPI_HEAD_DENSE_B, 0, &heads->dense);
    if (!status && has(encoder, ESPI_CLASSIFIER_W))
        status = espi_encoder_linear(ctx, encoder, ESPI_CLASSIFIER_W, ESPI_CLASSIFIER_B, 0, &heads->classifier);
    if (!status && has(encoder, ESPI_DECODER_B))
        status = init_mlm(ctx, encoder);
    return status;
}

void espi_heads_clear(struct espi_encoder *encoder)
{
    struct espi_encoder_heads *heads = &encoder->heads;
    espi_linear_clear(&heads->dense);
    espi_linear_clear(&heads->classifier);
    espi_linear_clear(&heads->decoder);
    free(heads->vocab_logits);
    heads->vocab_logits = NULL;
}

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

int espi_encoder_check(esp_context *ctx, const struct espi_config *config, const struct espi_batch *batch,
                       const struct espi_wanted *wanted)
{
    int status = espi_batch_check(ctx, batch, config);
    if (status)
        return status;
    const char *what = missing(config, wanted->result);
    if (what)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "encoder: the model has no %s", what);
    for (size_t i = 0; wanted->result == ESPI_RESULT_VOCAB_LOGITS && i < wanted->position_count; i++)
        if (wanted->positions[i] >= batch->tokens)
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "encoder: position %zu: expected a token below %zu, found %u", i,
                             batch->tokens, (unsigned)wanted->positions[i]);
    return ESP_OK;
}

/* ---- token and sequence heads --------------------------------------------------------------------------------------- */

static int token_logits(esp_context *ctx, struct espi_encoder *encoder, const struct espi_batch *batch, float *out)
{
    struct espi_workspace *w = &encoder->workspace;
    int status = espi_linear_forward(ctx, encoder->products, &encoder->heads.classifier, batch->tokens, w->hidden, NULL,
                                     w->widest);
    if (!status)
        memcpy(out, w->widest, batch->tokens * encoder->engine.config->labels * sizeof *out);
    return status;
}

/* activation(dense(first tokens)) into workspace.context (sequences, hidden). */
static int first_tokens(esp_context *ctx, struct espi_encoder *encoder, const struct espi_batch *batch)
{
    struct espi_workspace *w = &encoder->workspace;
    size_t hidden = encoder->engine.config->hidden;
    for (size_t s = 0; s < batch->sequences; s++)
        memcpy(w->product + s * hidden, w->hidden + batch->starts[s] * hidden, hidden * sizeof *w->product);
    return espi_linear_forward(ctx, encoder->products, &encoder->heads.dense, batch->sequences, w->product,
                               &encoder->engine.config->recipe.activation, w->context);
}

static int pooled(esp_context *ctx, struct espi_encoder *encoder, const struct espi_batch *batch, float *out)
{
    int status = first_tokens(ctx, encoder, batch);
    if (!status)
        memcpy(out, encoder->workspace.context, batch->sequences * encoder->engine.config->hidden * sizeof *out);
    return status;
}

static int sequence_logits(esp_context *ctx, struct espi_encoder *encoder, const struct espi_batch *batch, float *out)
{
    struct espi_workspace *w = &encoder->workspace;
    int status = first_tokens(ctx, encoder, batch);
    if (!status)
        status = espi_linear_forward(ctx, encoder->products, &encoder->heads.classifier, batch->sequences, w->context,
                                     NULL, w->widest);
    if (!status)
        memcpy(out, w->widest, batch->sequences * encoder->engine.config->labels * sizeof *out);
    return status;
}

/* ---- sentence embedding --------------------------------------------------------------------------------------------- */

struct embedding {
    const struct espi_encoder *encoder;
    const struct espi_batch *batch;
    float *out; // (sequences, hidden)
};

static int embed(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct embedding *e = argument;
    const struct espi_config *config = e->encoder->engine.config;
    size_t first = e->batch->starts[index];
    espi_pooling_forward(config->pooling, config->normalize, e->batch->starts[index + 1] - first, config->hidden,
                         e->encoder->workspace.hidden + first * config->hidden, e->out + index * config->hidden);
    return ESP_OK;
}

/* ---- masked LM ------------------------------------------------------------------------------------------------------ */

static int vocab_logits(esp_context *ctx, struct espi_encoder *encoder, const struct espi_wanted *wanted)
{
    const struct espi_config *config = encoder->engine.config;
    struct espi_encoder_heads *heads = &encoder->heads;
    struct espi_workspace *w = &encoder->workspace;
    size_t hidden = config->hidden;
    int status = ESP_OK;
    for (size_t first = 0; first < wanted->position_count && !status; first += ESPI_TILE_ROWS) {
        size_t rows = espi_size_min(ESPI_TILE_ROWS, wanted->position_count - first);
        for (size_t i = 0; i < rows; i++)
            memcpy(w->product + i * hidden, w->hidden + wanted->positions[first + i] * hidden, hidden * sizeof(float));
        status = espi_linear_forward(ctx, encoder->products, &heads->dense, rows, w->product,
                                     &config->recipe.activation, w->context);
        if (!status)
            status = espi_encoder_norm(ctx, encoder, ESPI_HEAD_NORM_W, ESPI_HEAD_NORM_B, 0, rows, w->context, NULL,
                                       w->context);
        if (!status)
            status = espi_linear_forward(ctx, encoder->products, &heads->decoder, rows, w->context, NULL,
                                         heads->vocab_logits);
        if (!status)
            memcpy(wanted->out + first * config->vocab_size, heads->vocab_logits,
                   rows * config->vocab_size * sizeof(float));
    }
    return status;
}

int espi_heads_run(esp_context *ctx, struct espi_encoder *encoder, const struct espi_batch *batch,
                   const struct espi_wanted *wanted)
{
    struct embedding embedding = {.encoder = encoder, .batch = batch, .out = wanted->out};
    switch (wanted->result) {
    case ESPI_RESULT_HIDDEN:
        memcpy(wanted->out, encoder->workspace.hidden,
               batch->tokens * encoder->engine.config->hidden * sizeof *wanted->out);
        return ESP_OK;
    case ESPI_RESULT_POOLED:
        return pooled(ctx, encoder, batch, wanted->out);
    case ESPI_RESULT_EMBEDDING:
        return espi_products_run(ctx, encoder->products, batch->sequences, embed, &embedding);
    case ESPI_RESULT_TOKEN_LOGITS:
        return token_logits(ctx, encoder, batch, wanted->out);
    case ESPI_RESULT_SEQUENCE_LOGITS:
        return sequence_logits(ctx, encoder, batch, wanted->out);
    case ESPI_RESULT_VOCAB_LOGITS:
        return vocab_logits(ctx, encoder, wanted);
    }
    return espi_fail(ctx, ESP_ERR_INTERNAL, "encoder: unknown result %d", (int)wanted->result);
}
