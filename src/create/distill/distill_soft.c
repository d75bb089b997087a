/* SPDX-License-Identifier: Apache-2.0 */
#include "create/distill/distill_private.h"

#include "create/layers/loss.h"

/* Soft-target losses of a micro-batch, row by row. */
struct rows {
    const struct espi_distill_step *step;
    const float *teacher; // of the result's shape
    double temperature, scale;
    double *losses; // (rows)
};

/* Start and end among the tokens of a window. */
static double window_loss(const struct rows *r, size_t sequence)
{
    const struct espi_batch *batch = &r->step->batch->batch;
    size_t first = batch->starts[sequence], tokens = batch->starts[sequence + 1] - first;
    double loss = 0;
    for (size_t at = 2 * first; at < 2 * first + 2; at++) {
        struct espi_choice choice = {r->step->result + at, r->step->d_result + at, tokens, 2};
        loss += espi_loss_soft(&choice, r->teacher + at, r->temperature, r->scale / 2);
    }
    return loss;
}

static double sequence_loss(const struct rows *r, const struct espi_choice *choice, const float *teacher)
{
    switch (r->step->distill->job->config->problem) {
    case ESPI_SINGLE_LABEL:
        return espi_loss_soft(choice, teacher, r->temperature, r->scale);
    case ESPI_MULTI_LABEL:
        return espi_loss_soft_binary(choice, teacher, r->temperature, r->scale);
    case ESPI_REGRESSION:
        return espi_loss_mse(choice->count, choice->logits, teacher, r->scale, choice->d);
    }
    return 0;
}

static void row_loss(void *argument, size_t row, size_t thread)
{
    (void)thread;
    const struct rows *r = argument;
    const struct espi_config *config = r->step->distill->job->config;
    size_t columns = config->head == ESPI_HEAD_MLM ? config->vocab_size : config->labels, at = row * columns;
    struct espi_choice choice = {r->step->result + at, r->step->d_result + at, columns, 1};
    double loss = 0;
    if (config->head == ESPI_HEAD_QA)
        loss = window_loss(r, row);
    else if (config->head == ESPI_HEAD_SEQUENCE)
        loss = sequence_loss(r, &choice, r->teacher + at);
    else if (config->head == ESPI_HEAD_MLM || r->step->batch->targets[row] != ESPI_IGNORED)
        loss = espi_loss_soft(&choice, r->teacher + at, r->temperature, r->scale);
    r->losses[row] = loss;
}

static size_t row_count(const struct espi_config *config, const struct espi_train_batch *batch)
{
    switch (config->head) {
    case ESPI_HEAD_TOKEN:
        return batch->batch.tokens;
    case ESPI_HEAD_MLM:
        return batch->position_count;
    default:
        return batch->batch.sequences;
    }
}

int espi_distill_soft(esp_context *ctx, const struct espi_distill_step *step, double weight, double *loss)
{
    struct espi_distill *distill = step->distill;
    const float *teacher = distill->outputs.data;
    double scale = weight * step->scale;
    if (distill->job->task->result == ESPI_RESULT_EMBEDDING)
        return espi_distill_states(ctx, distill, &distill->embedding, ESPI_HIDDEN_COSINE, step->batch->batch.sequences,
                                   step->result, teacher, scale / 2, step->d_result, loss);
    size_t rows = row_count(distill->job->config, step->batch);
    int status = espi_distill_reserve(ctx, &distill->losses, rows, sizeof(double));
    if (status)
        return status;
    struct rows r = {step, teacher, distill->options.temperature, scale, distill->losses.data};
    espi_team_run(distill->team, rows, row_loss, &r);
    for (size_t i = 0; i < rows; i++)
        *loss += r.losses[i];
    return ESP_OK;
}
