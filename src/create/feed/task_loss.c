/* SPDX-License-Identifier: Apache-2.0 */
#include "create/feed/task_loss.h"

#include "create/layers/loss.h"

#include <stdlib.h>

struct espi_wanted espi_task_wanted(const struct espi_job *job, const struct espi_train_batch *batch)
{
    return (struct espi_wanted){
        .result = job->task->result, .positions = batch->positions, .position_count = batch->position_count};
}

/* Losses of a micro-batch, row by row. */
struct rows {
    const struct espi_job *job;
    const struct espi_task_loss_options *options;
    const struct espi_train_batch *batch;
    const float *result;
    double scale;
    float *d_result;
    double *losses; // (count)
    size_t count;
};

static double choose(const struct rows *r, const float *logits, float *d, size_t count, size_t stride, int32_t target)
{
    struct espi_choice choice = {.logits = logits, .d = d, .count = count, .stride = stride};
    if (target == ESPI_IGNORED)
        return 0;
    return espi_loss_cross_entropy(&choice, (size_t)target, r->options->label_smoothing, r->scale);
}

/* Start and end among the tokens of a window. */
static double window_loss(const struct rows *r, size_t sequence)
{
    size_t first = r->batch->batch.starts[sequence], tokens = r->batch->batch.starts[sequence + 1] - first;
    const int32_t *span = r->batch->targets + 2 * sequence;
    const float *logits = r->result + 2 * first; // (tokens, 2)
    float *d = r->d_result + 2 * first;
    double half = 0;
    struct rows halved = *r;
    halved.scale = r->scale / 2;
    for (size_t end = 0; end < 2; end++)
        half += choose(&halved, logits + end, d + end, tokens, 2, span[end]);
    return half;
}

static double sequence_loss(const struct rows *r, size_t row)
{
    const struct espi_config *config = r->job->config;
    size_t labels = config->labels;
    const float *logits = r->result + row * labels;
    float *d = r->d_result + row * labels;
    struct espi_choice choice = {.logits = logits, .d = d, .count = labels, .stride = 1};
    switch (config->problem) {
    case ESPI_SINGLE_LABEL:
        return choose(r, logits, d, labels, 1, r->batch->targets[row]);
    case ESPI_MULTI_LABEL:
        return espi_loss_binary(&choice, r->batch->values + row * labels, r->scale);
    case ESPI_REGRESSION:
        return espi_loss_mse(labels, logits, r->batch->values + row * labels, r->scale, d);
    }
    return 0;
}

static void row_loss(void *argument, size_t row, size_t thread)
{
    (void)thread;
    const struct rows *r = argument;
    const struct espi_config *config = r->job->config;
    size_t columns = config->head == ESPI_HEAD_MLM ? config->vocab_size : config->labels;
    switch (config->head) {
    case ESPI_HEAD_QA:
        r->losses[row] = window_loss(r, row);
        break;
    case ESPI_HEAD_SEQUENCE:
        r->losses[row] = sequence_loss(r, row);
        break;
    case ESPI_HEAD_TOKEN:
    case ESPI_HEAD_MLM:
        r->losses[row] =
            choose(r, r->result + row * columns, r->d_result + row * columns, columns, 1, r->batch->targets[row]);
        break;
    case ESPI_HEAD_NONE:
        break;
    }
}

static size_t row_count(const struct espi_job *job, const struct espi_train_batch *batch)
{
    switch (job->config->head) {
    case ESPI_HEAD_QA:
    case ESPI_HEAD_SEQUENCE:
        return batch->batch.sequences;
    case ESPI_HEAD_TOKEN:
        return batch->batch.tokens;
    case ESPI_HEAD_MLM:
        return batch->position_count;
    case ESPI_HEAD_NONE:
        break;
    }
    return 0;
}

static int pair_losses(esp_context *ctx, const struct rows *r, double *loss)
{
    size_t pairs = r->batch->batch.sequences / 2, hidden = r->job->config->hidden;
    double temperature = r->options->temperature > 0 ? r->options->temperature : 0.05;
    if (r->options->contrastive)
        return espi_loss_contrastive(ctx, pairs, hidden, r->result, temperature, r->scale, r->d_result, loss);
    for (size_t i = 0; i < pairs; i++) {
        const float *a = r->result + 2 * i * hidden; // (2, hidden)
        float *d = r->d_result + 2 * i * hidden;
        *loss += espi_loss_similarity(hidden, a, a + hidden, r->batch->values[i], r->scale, d, d + hidden);
    }
    return ESP_OK;
}

int espi_task_loss(esp_context *ctx, const struct espi_job *job, const struct espi_task_loss_options *options,
                   const struct espi_train_batch *batch, const float *result, double scale, struct espi_team *team,
                   float *d_result, double *loss)
{
    struct rows r = {.job = job,
                     .options = options,
                     .batch = batch,
                     .result = result,
                     .scale = scale,
                     .d_result = d_result,
                     .count = row_count(job, batch)};
    if (job->task->result == ESPI_RESULT_EMBEDDING)
        return pair_losses(ctx, &r, loss);
    r.losses = espi_calloc(ctx, r.count, sizeof *r.losses);
    if (!r.losses)
        return ESP_ERR_MEMORY;
    espi_team_run(team, r.count, row_loss, &r);
    for (size_t i = 0; i < r.count; i++)
        *loss += r.losses[i];
    free(r.losses);
    return ESP_OK;
}
