/* SPDX-License-Identifier: Apache-2.0
 * One step of training. */
#include "base/size.h"
#include "create/train/trainer_private.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

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

static int run_micro_batch(esp_context *ctx, struct espi_trainer *t, size_t index, const struct espi_step_info *info)
{
    struct espi_train_batch batch;
    struct espi_layer_gradients layers = {0};
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
    if (!status)
        status = find_losses(ctx, t, &batch, info, &layers);
    struct espi_backward backward = {.d_result = t->d_result, .layers = &layers, .gradients = t->gradients};
    return status ? status : espi_network_backward(ctx, t->network, &backward);
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
    return espi_fail(ctx, ESP_ERR_LIMIT,
                     "step %" PRIu64 ": the loss is %g and the gradient's norm %g: training has diverged (a lower "
                     "--learning-rate or longer --warmup may help)",
                     t->counters.step + 1, loss, t->norm);
}

int espi_trainer_step(esp_context *ctx, struct espi_trainer *t)
{
    struct espi_step_info info;
    uint64_t step = t->counters.step;
    int status = espi_feed_step(ctx, t->feed, step, &info);
    memset(t->losses, 0, sizeof t->losses);
    for (size_t i = 0; !status && i < info.micro_batches; i++)
        status = run_micro_batch(ctx, t, i, &info);
    if (status)
        return status;
    t->tokens = info.tokens;
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
    return status ? status : espi_network_refresh(ctx, t->network);
}
