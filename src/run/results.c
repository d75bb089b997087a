/* SPDX-License-Identifier: Apache-2.0
 * From the last hidden state to what was asked for: heads in fp32, ESPI_HEAD_LANES tokens or sequences side by side. */
#include "base/size.h"
#include "run/session_private.h"

#include <math.h>
#include <string.h>

_Static_assert((int)ESPI_HEAD_LANES == (int)ESPI_VECTOR_TOKENS, "a block of lanes is a vector");

/* ---- products over lanes ------------------------------------------------------------------------------------------------ */

static void product(const struct espi_session *session, const struct espi_lanes *lanes)
{
    session->plan->kernels.gemm_lanes(lanes, 0, lanes->rows);
}

/* What stands before the classifier or decoder, by the model's recipe: from lanes[0] of the thread's scratch; returns where the
 * result is. */
static float *head_layers(const struct espi_session *session, const struct espi_scratch *scratch)
{
    const struct espi_esp_model *model = session->plan->model;
    const struct espi_head_recipe *recipe = &model->config.recipe;
    size_t hidden = model->config.hidden, width = espi_config_head_width(&model->config);
    float *x = scratch->lanes[0];
    if (recipe->dense) {
        product(session, &(struct espi_lanes){.weights = espi_esp_head(model, ESPI_ESP_HEAD_DENSE_W),
                                              .bias = espi_esp_head(model, ESPI_ESP_HEAD_DENSE_B),
                                              .rows = width,
                                              .columns = hidden,
                                              .x = x,
                                              .stride = ESPI_HEAD_LANES,
                                              .lanes = ESPI_HEAD_LANES,
                                              .out = scratch->lanes[1],
                                              .out_row = ESPI_HEAD_LANES,
                                              .out_lane = 1});
        x = scratch->lanes[1];
        session->plan->kernels.activate(recipe->activation, x, width * ESPI_HEAD_LANES);
    }
    const float *norm = espi_esp_head(model, ESPI_ESP_HEAD_NORM);
    if (recipe->norm)
        session->plan->kernels.layer_norm(
            x, width, ESPI_HEAD_LANES,
            &(struct espi_layer_norm){.gain = norm, .bias = norm + width, .epsilon = model->config.layer_norm_eps}, x,
            NULL);
    return x;
}

/* ---- tokens of the stream -------------------------------------------------------------------------------------------------- */

/* Where a token of the part stands: its value of row 0, rows are `*width` apart. */
static const float *stream_at(const struct espi_session *session, const struct espi_batch_part *part, size_t token,
                              size_t *width)
{
    struct espi_span span = {.rows = session->plan->rows[ESPI_BUFFER_STREAM], .tokens = part->tokens, .count = 1};
    return (const float *)session->buffers[ESPI_BUFFER_STREAM] + espi_span_at(&span, token, width);
}

/* Lane `lane` of a block from a token; lanes that get none keep what they have. */
static void gather(const struct espi_session *session, const struct espi_batch_part *part, size_t token, float *block,
                   size_t lane)
{
    size_t width, hidden = session->engine.config->hidden;
    const float *x = stream_at(session, part, token, &width);
    for (size_t i = 0; i < hidden; i++)
        block[i * ESPI_HEAD_LANES + lane] = x[i * width];
}

/* ---- results by panel, by block of sequences, by sequence -------------------------------------------------------------------- */

struct finish {
    struct espi_session *session;
    const struct espi_batch_part *part;
    const struct espi_wanted *wanted;
};

static void hidden_panel(void *argument, size_t panel, size_t thread)
{
    (void)thread;
    const struct finish *f = argument;
    size_t hidden = f->session->engine.config->hidden, tokens = espi_panel_tokens(f->part, panel);
    const float *x = espi_session_panel(f->session, NULL, ESPI_BUFFER_STREAM, panel);
    f->session->plan->kernels.panel_to_rows(x, hidden, espi_panel_width(tokens), 0, tokens,
                                            f->wanted->out + (f->part->token + panel * ESPI_PANEL_TOKENS) * hidden,
                                            hidden);
}

/* out: (lanes, labels) */
static void classify(const struct finish *f, const float *x, size_t stride, size_t lanes, float *out)
{
    const struct espi_esp_model *model = f->session->plan->model;
    product(f->session, &(struct espi_lanes){.weights = espi_esp_head(model, ESPI_ESP_CLASSIFIER_W),
                                             .bias = espi_esp_head(model, ESPI_ESP_CLASSIFIER_B),
                                             .rows = model->config.labels,
                                             .columns = model->config.hidden,
                                             .x = x,
                                             .stride = stride,
                                             .lanes = lanes,
                                             .out = out,
                                             .out_row = 1,
                                             .out_lane = model->config.labels});
}

static void token_logits_panel(void *argument, size_t panel, size_t thread)
{
    (void)thread;
    const struct finish *f = argument;
    size_t tokens = espi_panel_tokens(f->part, panel), width = espi_panel_width(tokens);
    size_t labels = f->session->engine.config->labels;
    const float *x = espi_session_panel(f->session, NULL, ESPI_BUFFER_STREAM, panel);
    float *out = f->wanted->out + (f->part->token + panel * ESPI_PANEL_TOKENS) * labels;
    for (size_t lane = 0; lane < tokens; lane += ESPI_HEAD_LANES)
        classify(f, x + lane, width, espi_size_min(tokens - lane, ESPI_HEAD_LANES), out + lane * labels);
}

/* A block of first tokens through the head's layers; returns its lanes. */
static size_t first_block(const struct finish *f, size_t block, const struct espi_scratch *scratch, float **x)
{
    size_t first = block * ESPI_HEAD_LANES, lanes = espi_size_min(f->part->sequences - first, ESPI_HEAD_LANES);
    for (size_t i = 0; i < lanes; i++) {
        size_t token = f->part->batch->starts[f->part->sequence + first + i] - f->part->token;
        gather(f->session, f->part, token, scratch->lanes[0], i);
    }
    *x = head_layers(f->session, scratch);
    return lanes;
}

static void pooled_block(void *argument, size_t block, size_t thread)
{
    const struct finish *f = argument;
    float *x;
    size_t hidden = f->session->engine.config->hidden, lanes = first_block(f, block, &f->session->scratch[thread], &x);
    float *out = f->wanted->out + (f->part->sequence + block * ESPI_HEAD_LANES) * hidden;
    f->session->plan->kernels.panel_to_rows(x, hidden, ESPI_HEAD_LANES, 0, lanes, out, hidden);
}

static void sequence_logits_block(void *argument, size_t block, size_t thread)
{
    const struct finish *f = argument;
    float *x;
    size_t lanes = first_block(f, block, &f->session->scratch[thread], &x);
    size_t labels = f->session->engine.config->labels;
    classify(f, x, ESPI_HEAD_LANES, lanes, f->wanted->out + (f->part->sequence + block * ESPI_HEAD_LANES) * labels);
}

static void scale_to_one(size_t hidden, float *x)
{
    float squares = 0;
    for (size_t i = 0; i < hidden; i++)
        squares += x[i] * x[i];
    float length = sqrtf(squares);
    for (size_t i = 0; i < hidden && length > 0; i++)
        x[i] /= length;
}

/* The first token, the mean or the largest of a sequence's tokens. */
static void embedding_of(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct finish *f = argument;
    const struct espi_config *config = f->session->engine.config;
    const uint32_t *starts = f->part->batch->starts + f->part->sequence + index;
    size_t tokens = config->pooling == ESPI_POOL_CLS ? 1 : starts[1] - starts[0];
    float *out = f->wanted->out + (f->part->sequence + index) * config->hidden;
    for (size_t t = 0; t < tokens; t++) {
        size_t width;
        const float *x = stream_at(f->session, f->part, starts[0] - f->part->token + t, &width);
        for (size_t i = 0; i < config->hidden; i++) {
            float value = x[i * width];
            if (t == 0)
                out[i] = value;
            else if (config->pooling == ESPI_POOL_MAX)
                out[i] = value > out[i] ? value : out[i];
            else
                out[i] += value;
        }
    }
    if (config->pooling == ESPI_POOL_MEAN || config->pooling == ESPI_POOL_NONE)
        for (size_t i = 0; i < config->hidden; i++)
            out[i] /= (float)tokens;
    if (config->normalize)
        scale_to_one(config->hidden, out);
}

/* ---- masked LM -------------------------------------------------------------------------------------------------------------- */

enum { VOCAB_ROWS = 512 }; // of the decoder that a thread takes at a time

struct decode {
    espi_gemm_lanes_fn *function;
    struct espi_lanes lanes;
};

static void decode_rows(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct decode *d = argument;
    d->function(&d->lanes, index * VOCAB_ROWS, espi_size_min((index + 1) * VOCAB_ROWS, d->lanes.rows));
}

/* `lanes` wanted positions from number `first` of the caller's list on. */
static void decode_block(const struct finish *f, size_t first, size_t lanes)
{
    const struct espi_esp_model *model = f->session->plan->model;
    const struct espi_config *config = &model->config;
    const struct espi_scratch *scratch = &f->session->scratch[0];
    for (size_t i = 0; i < lanes; i++)
        gather(f->session, f->part, f->wanted->positions[first + i] - f->part->token, scratch->lanes[0], i);
    struct decode decoder = {f->session->plan->kernels.gemm_lanes,
                             {.bf16 = model->word,
                              .bias = espi_esp_head(model, ESPI_ESP_DECODER_B),
                              .rows = config->vocab_size,
                              .columns = espi_config_word_width(config),
                              .x = head_layers(f->session, scratch),
                              .stride = ESPI_HEAD_LANES,
                              .lanes = lanes,
                              .out = f->wanted->out + first * config->vocab_size,
                              .out_row = 1,
                              .out_lane = config->vocab_size}};
    espi_team_run(f->session->team, (config->vocab_size + VOCAB_ROWS - 1) / VOCAB_ROWS, decode_rows, &decoder);
}

static bool in_part(const struct espi_batch_part *part, uint32_t position)
{
    return position >= part->token && position - part->token < part->tokens;
}

/* The wanted positions of this part, neighbours in the list together. */
static void decode(const struct finish *f)
{
    const struct espi_wanted *wanted = f->wanted;
    for (size_t first = 0, end; first < wanted->position_count; first = end) {
        end = first;
        while (end < wanted->position_count && end - first < ESPI_HEAD_LANES &&
               in_part(f->part, wanted->positions[end]))
            end++;
        if (end > first)
            decode_block(f, first, end - first);
        else
            end++;
    }
}

/* ---- entry points -------------------------------------------------------------------------------------------------------- */

/* What the model lacks for a result, or NULL. */
static const char *missing(const struct espi_esp_model *model, enum espi_result result)
{
    enum espi_head head = model->config.head;
    switch (result) {
    case ESPI_RESULT_HIDDEN:
    case ESPI_RESULT_EMBEDDING:
        return NULL;
    case ESPI_RESULT_POOLED:
        return espi_config_has_pooler(&model->config) ? NULL : "pooler";
    case ESPI_RESULT_TOKEN_LOGITS:
        return head == ESPI_HEAD_QA || head == ESPI_HEAD_TOKEN ? NULL
                                                               : "question-answering or token classification head";
    case ESPI_RESULT_SEQUENCE_LOGITS:
        return head == ESPI_HEAD_SEQUENCE ? NULL : "sequence classification head";
    case ESPI_RESULT_VOCAB_LOGITS:
        return head == ESPI_HEAD_MLM ? NULL : "masked-LM head";
    }
    return "such head";
}

int espi_session_check_wanted(esp_context *ctx, const struct espi_session *session, const struct espi_batch *batch,
                              const struct espi_wanted *wanted)
{
    const struct espi_esp_model *model = session->plan->model;
    const char *what = missing(model, wanted->result);
    if (what)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "%s: the model has no %s", model->file.source, what);
    for (size_t i = 0; wanted->result == ESPI_RESULT_VOCAB_LOGITS && i < wanted->position_count; i++)
        if (wanted->positions[i] >= batch->tokens)
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s: position %zu: expected a token below %zu, found %u",
                             model->file.source, i, batch->tokens, (unsigned)wanted->positions[i]);
    return ESP_OK;
}

void espi_session_finish(struct espi_session *session, const struct espi_batch_part *part,
                         const struct espi_wanted *wanted)
{
    struct finish f = {.session = session, .part = part, .wanted = wanted};
    size_t panels = espi_panels(part->tokens), blocks = (part->sequences + ESPI_HEAD_LANES - 1) / ESPI_HEAD_LANES;
    switch (wanted->result) {
    case ESPI_RESULT_HIDDEN:
        espi_team_run(session->team, panels, hidden_panel, &f);
        break;
    case ESPI_RESULT_POOLED:
        espi_team_run(session->team, blocks, pooled_block, &f);
        break;
    case ESPI_RESULT_EMBEDDING:
        espi_team_run(session->team, part->sequences, embedding_of, &f);
        break;
    case ESPI_RESULT_TOKEN_LOGITS:
        espi_team_run(session->team, panels, token_logits_panel, &f);
        break;
    case ESPI_RESULT_SEQUENCE_LOGITS:
        espi_team_run(session->team, blocks, sequence_logits_block, &f);
        break;
    case ESPI_RESULT_VOCAB_LOGITS:
        decode(&f);
        break;
    }
}
