/* SPDX-License-Identifier: Apache-2.0
 * One step of training. */
#include "base/clock.h"
#include "base/size.h"
#include "create/train/trainer_private.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The time since *mark is that of a part; *mark becomes now. */
static void end_part(struct espi_trainer *t, size_t part, double *mark)
{
    double now = espi_clock();
    t->seconds[part] += now - *mark;
    *mark = now;
}

/* Loss and its gradient for the result of a micro-batch; *layers gets gradients that enter inside. */
static int find_losses(esp_context *ctx, struct espi_trainer *t, const struct espi_train_batch *batch,
                       const struct espi_step_info *info, struct espi_layer_gradients *layers)
{
    double units = (double)espi_size_max(info->units, 1), hard = t->options->hard_weight;
    int status = ESP_OK;
    if (hard > 0)
        status = espi_task_loss(ctx, &t->model.job, &t->loss, batch, t->result, hard / units, t->team, t->d_result,
                                &t->losses[ESPI_LOSS_HARD]);
    if (!status && t->distill)
        status = espi_distill_losses(ctx, t->distill, t->network, batch, t->result, 1 / units, 1 / (double)info->tokens,
                                     t->d_result, layers, &t->losses[ESPI_LOSS_SOFT]);
    return status;
}

/* ---- gradients of all ranks --------------------------------------------------------------------------------------------- */

enum { PIECE = 1 << 20 }; // elements of a sum

static size_t piece_size(const struct espi_trainer *t, size_t piece)
{
    return espi_size_min(PIECE, t->model.checkpoint.params.elements - piece * PIECE);
}

int espi_gradient_sums_new(esp_context *ctx, struct espi_trainer *t)
{
    if (espi_parallel_ranks(t->run->parallel) == 1)
        return ESP_OK;
    t->sums = espi_calloc(ctx, 1, sizeof *t->sums);
    if (!t->sums)
        return ESP_ERR_MEMORY;
    t->sums->pieces = (t->model.checkpoint.params.elements + PIECE - 1) / PIECE;
    t->sums->missing = espi_calloc(ctx, t->sums->pieces, sizeof *t->sums->missing);
    return t->sums->missing ? ESP_OK : ESP_ERR_MEMORY;
}

void espi_gradient_sums_free(struct espi_gradient_sums *sums)
{
    if (sums)
        free(sums->missing);
    free(sums);
}

/* Starts the sums of complete pieces, or (all) of every piece that is left. */
static int start_sums(esp_context *ctx, struct espi_trainer *t, bool all)
{
    struct espi_gradient_sums *sums = t->sums;
    int status = ESP_OK;
    while (!status && sums->next < sums->pieces) {
        size_t piece = sums->pieces - 1 - sums->next;
        if (!all && sums->missing[piece])
            break;
        sums->next++;
        status = espi_parallel_start_sum(ctx, t->run->parallel, t->gradients + piece * PIECE, piece_size(t, piece));
    }
    return status;
}

/* Backward has completed elements first … first + count - 1. */
static int ready(void *argument, esp_context *ctx, size_t first, size_t count)
{
    struct espi_trainer *t = argument;
    for (size_t at = first, end = first + count; at < end;) {
        size_t piece = at / PIECE, stop = espi_size_min(end, (piece + 1) * PIECE);
        t->sums->missing[piece] -= stop - at;
        at = stop;
    }
    return start_sums(ctx, t, false);
}

/* Losses and gradients of all ranks. */
static int sum_ranks(esp_context *ctx, struct espi_trainer *t)
{
    struct espi_distill_weights extra = {0};
    int status = start_sums(ctx, t, true);
    if (!status && t->distill)
        extra = espi_distill_projections(t->distill);
    if (!status && extra.count)
        status = espi_parallel_start_sum(ctx, t->run->parallel, extra.gradients, extra.count);
    if (!status)
        status = espi_parallel_finish(ctx, t->run->parallel);
    return status ? status : espi_parallel_sum(ctx, t->run->parallel, t->losses, ESPI_LOSS_COUNT);
}

/* ---- the step ----------------------------------------------------------------------------------------------------------- */

static int run_micro_batch(esp_context *ctx, struct espi_trainer *t, size_t index, const struct espi_step_info *info)
{
    struct espi_train_batch batch;
    struct espi_layer_gradients layers = {0};
    double mark = espi_clock();
    int status = espi_feed_micro_batch(ctx, t->feed, index, &batch);
    if (status)
        return status;
    struct espi_pass pass = {.batch = &batch.batch,
                             .wanted = espi_task_wanted(&t->model.job, &batch),
                             .train = true,
                             .seed = (uint64_t)t->options->seed << 40 | t->counters.step,
                             .streams = batch.streams};
    size_t size = espi_result_size(&t->model.checkpoint.config, &batch.batch, &pass.wanted);
    status = espi_grow(ctx, &t->result, &t->result_room, espi_size_max(size, 1), sizeof *t->result);
    if (!status)
        status = espi_grow(ctx, &t->d_result, &t->d_result_room, espi_size_max(size, 1), sizeof *t->d_result);
    if (status)
        return status;
    memset(t->d_result, 0, size * sizeof *t->d_result);
    pass.wanted.out = t->result;
    status = espi_network_forward(ctx, t->network, &pass);
    end_part(t, ESPI_PART_FORWARD, &mark);
    if (!status)
        status = find_losses(ctx, t, &batch, info, &layers);
    end_part(t, ESPI_PART_LOSS, &mark);
    bool last = index + 1 == info->micro_batches;
    struct espi_backward backward = {.d_result = t->d_result,
                                     .layers = &layers,
                                     .gradients = t->gradients,
                                     .ready = t->sums && last ? ready : NULL,
                                     .ready_argument = t};
    if (!status)
        status = espi_network_backward(ctx, t->network, &backward);
    end_part(t, ESPI_PART_BACKWARD, &mark);
    return status;
}

double espi_trainer_loss(const struct espi_trainer *trainer)
{
    double loss = 0;
    for (size_t i = 0; i < ESPI_LOSS_COUNT; i++)
        loss += trainer->losses[i];
    return loss;
}

static int check_finite(esp_context *ctx, const struct espi_trainer *t)
{
    double loss = espi_trainer_loss(t);
    if (isfinite(loss) && isfinite(t->norm))
        return ESP_OK;
    int status =
        espi_fail(ctx, ESP_ERR_LIMIT,
                  "step %" PRIu64 ": the loss is %g and the gradient's norm %g: training has diverged (a lower "
                  "--learning-rate or longer --warmup may help)",
                  t->counters.step + 1, loss, t->norm);
    return espi_parallel_agree(ctx, t->run->parallel, status); // it is the same for all of them
}

int espi_trainer_gradients(esp_context *ctx, struct espi_trainer *t)
{
    struct espi_step_info info;
    uint64_t step = t->counters.step;
    int status = espi_feed_step(ctx, t->feed, step, &info);
    if (t->quant)
        espi_fake_quant_set_step(t->quant, step);
    memset(t->losses, 0, sizeof t->losses);
    for (size_t i = 0; t->sums && i < t->sums->pieces; i++)
        t->sums->missing[i] = piece_size(t, i);
    if (t->sums)
        t->sums->next = 0;
    for (size_t i = 0; !status && i < info.micro_batches; i++)
        status = run_micro_batch(ctx, t, i, &info);
    if (!status && t->sums)
        status = sum_ranks(ctx, t);
    t->tokens = status ? 0 : info.tokens;
    return status;
}

int espi_trainer_step(esp_context *ctx, struct espi_trainer *t)
{
    uint64_t step = t->counters.step;
    int status = espi_trainer_gradients(ctx, t);
    if (status)
        return status;
    double mark = espi_clock();
    t->norm = espi_optimizer_norm(t->optimizer, t->gradients);
    status = check_finite(ctx, t);
    if (status)
        return status;
    if (t->pruner)
        espi_pruner_observe(t->pruner, t->gradients);
    espi_optimizer_step(t->optimizer, t->gradients, t->norm, espi_schedule_factor(&t->schedule, step),
                        t->pruner ? espi_pruner_frozen(t->pruner) : NULL);
    if (t->pruner)
        status = espi_pruner_step(ctx, t->pruner, step);
    t->counters.step++;
    end_part(t, ESPI_PART_UPDATE, &mark);
    if (!status)
        status = espi_network_refresh(ctx, t->network);
    end_part(t, ESPI_PART_PACK, &mark);
    return status;
}
