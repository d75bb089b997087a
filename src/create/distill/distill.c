/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"
#include "base/size.h"
#include "create/distill/distill_private.h"

#include <stdlib.h>
#include <string.h>

int espi_distill_reserve(esp_context *ctx, struct espi_distill_room *room, size_t count, size_t size)
{
    size_t bytes;
    if (!espi_size_mul(count, size, &bytes))
        return espi_fail_memory(ctx, SIZE_MAX);
    if (room->data && bytes <= room->bytes)
        return ESP_OK;
    free(room->data);
    room->bytes = 0;
    room->data = espi_calloc_aligned(ctx, espi_size_max(bytes, 1), 1);
    if (!room->data)
        return ESP_ERR_MEMORY;
    room->bytes = bytes;
    return ESP_OK;
}

/* ---- the teacher -------------------------------------------------------------------------------------------------------- */

static bool needs_layers(const struct espi_distill *distill)
{
    return distill->pair_count || distill->options.relation_weight > 0;
}

/* The teacher's network is made when it is first asked: with a complete cache it may never be. */
static int run_network(esp_context *ctx, struct espi_distill *distill, const struct espi_batch *batch,
                       const struct espi_wanted *wanted)
{
    if (!distill->network) {
        const struct espi_checkpoint *teacher = distill->teacher;
        int status = espi_network_new_forward(ctx, &teacher->config, &teacher->params, distill->options.compute,
                                              distill->team, &distill->network);
        if (status)
            return status;
        espi_network_keep_layers(distill->network, needs_layers(distill));
    }
    struct espi_pass pass = {.batch = batch, .wanted = *wanted};
    int status = espi_network_forward(ctx, distill->network, &pass);
    return status ? espi_fail_prefix(ctx, status, "teacher") : ESP_OK;
}

/* Floats of a token, or of a window when outputs are of whole windows. */
static size_t output_width(const struct espi_distill *distill, bool *whole)
{
    enum espi_result result = distill->job->task->result;
    *whole = result != ESPI_RESULT_TOKEN_LOGITS;
    return result == ESPI_RESULT_EMBEDDING ? distill->teacher->config.hidden : distill->teacher->config.labels;
}

/* The outputs of a batch from the cache. */
static int gather(esp_context *ctx, struct espi_distill *distill, const struct espi_train_batch *batch)
{
    bool whole;
    size_t width = output_width(distill, &whole), windows = batch->batch.sequences;
    int status =
        espi_distill_reserve(ctx, &distill->outputs, (whole ? windows : batch->batch.tokens) * width, sizeof(float));
    float *out = distill->outputs.data;
    for (size_t s = 0; !status && s < windows; s++) {
        size_t tokens = batch->batch.starts[s + 1] - batch->batch.starts[s], count = whole ? width : tokens * width;
        if (batch->windows[s] >= distill->cache.count)
            return espi_fail(ctx, ESP_ERR_INTERNAL, "teacher: its outputs are of other data");
        memcpy(out, distill->cache.windows[batch->windows[s]], count * sizeof *out);
        out += count;
    }
    return status;
}

/* Whatever the losses need of the teacher for a batch, and no more. */
static int ask_teacher(esp_context *ctx, struct espi_distill *distill, const struct espi_train_batch *batch)
{
    bool soft = distill->options.soft_weight > 0, cached = soft && distill->cache.windows;
    struct espi_wanted wanted = {.result = ESPI_RESULT_HIDDEN};
    struct espi_distill_room *room = &distill->states;
    int status = cached ? gather(ctx, distill, batch) : ESP_OK;
    if (status || (!needs_layers(distill) && (cached || !soft)))
        return status;
    if (soft && !cached) {
        wanted = espi_task_wanted(distill->job, batch);
        room = &distill->outputs;
    }
    status = espi_distill_reserve(ctx, room, espi_result_size(&distill->teacher->config, &batch->batch, &wanted),
                                  sizeof *wanted.out);
    wanted.out = room->data;
    return status ? status : run_network(ctx, distill, &batch->batch, &wanted);
}

/* ---- the cache ---------------------------------------------------------------------------------------------------------- */

static int run_for_cache(void *argument, esp_context *ctx, const struct espi_batch *batch, float *out)
{
    struct espi_distill *distill = argument;
    struct espi_wanted wanted = {.result = distill->job->task->result, .out = out};
    return run_network(ctx, distill, batch, &wanted);
}

uint32_t espi_distill_teacher_crc(const struct espi_checkpoint *teacher)
{
    const struct espi_config *config = &teacher->config;
    const uint64_t numbers[] = {config->head,          config->hidden,     config->layers,
                                config->heads,         config->activation, config->intermediate,
                                config->max_positions, config->pooling,    config->normalize};
    uint32_t crc = espi_crc32c(0, numbers, sizeof numbers);
    crc = espi_crc32c(crc, &config->layer_norm_eps, sizeof config->layer_norm_eps);
    return espi_crc32c(crc, teacher->params.slab, teacher->params.elements * sizeof *teacher->params.slab);
}

int espi_distill_fill_cache(esp_context *ctx, struct espi_distill *distill, const struct espi_feed *feed)
{
    if (!distill->cache_path[0] || !(distill->options.soft_weight > 0))
        return ESP_OK;
    struct espi_teacher_key key = {.teacher = espi_distill_teacher_crc(distill->teacher),
                                   .data = espi_feed_crc(feed),
                                   .compute = (uint32_t)distill->options.compute};
    key.width = (uint32_t)output_width(distill, &key.whole);
    espi_teacher_cache_close(&distill->cache);
    return espi_teacher_cache_open(ctx, distill->cache_path, &key, feed, run_for_cache, distill,
                                   &distill->options.watch, &distill->cache);
}

/* ---- losses ------------------------------------------------------------------------------------------------------------- */

int espi_distill_losses(esp_context *ctx, struct espi_distill *distill, struct espi_network *student,
                        const struct espi_train_batch *batch, const float *result, double scale, double token_scale,
                        float *d_result, struct espi_layer_gradients *layers, double loss[3])
{
    const struct espi_distill_options *o = &distill->options;
    struct espi_distill_step step = {distill, student, batch, result, d_result, scale, token_scale};
    size_t depth = distill->job->config->layers;
    memset(distill->hidden_gradients, 0, (depth + 1) * sizeof *distill->hidden_gradients);
    memset(distill->qkv_gradients, 0, depth * sizeof *distill->qkv_gradients);
    int status = ask_teacher(ctx, distill, batch);
    if (!status && o->soft_weight > 0)
        status = espi_distill_soft(ctx, &step, o->soft_weight, &loss[0]);
    if (!status && distill->pair_count)
        status = espi_distill_hidden(ctx, &step, o->hidden_weight, &loss[1]);
    if (!status && o->relation_weight > 0)
        status = espi_distill_relation(ctx, &step, o->relation_weight, &loss[2]);
    *layers = (struct espi_layer_gradients){.hidden = (const float *const *)distill->hidden_gradients,
                                            .qkv = (const float *const *)distill->qkv_gradients};
    return status;
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

struct espi_distill_weights espi_distill_projections(struct espi_distill *distill)
{
    return distill->projections;
}

int espi_distill_register(esp_context *ctx, struct espi_distill *distill, struct espi_state *state)
{
    const struct espi_distill_weights *p = &distill->projections;
    return p->count ? espi_state_add(ctx, state, "distill.projections", p->weights, p->count * sizeof *p->weights)
                    : ESP_OK;
}

void espi_distill_free(struct espi_distill *distill)
{
    if (!distill)
        return;
    for (size_t i = 0; distill->pairs && i < distill->pair_count; i++)
        espi_dense_clear(&distill->pairs[i].dense);
    espi_dense_clear(&distill->embedding.dense);
    free(distill->pairs);
    free(distill->projections.weights);
    free(distill->projections.gradients);
    struct espi_distill_room *rooms[] = {&distill->outputs,  &distill->states, &distill->losses,
                                         &distill->operands, &distill->hidden, &distill->qkv};
    for (size_t i = 0; i < ESPI_COUNT(rooms); i++)
        free(rooms[i]->data);
    free(distill->hidden_gradients);
    free(distill->qkv_gradients);
    espi_teacher_cache_close(&distill->cache);
    espi_network_free(distill->network);
    espi_matmuls_free(distill->matmuls);
    free(distill);
}

int espi_distill_new(esp_context *ctx, const struct espi_distill_options *options,
                     const struct espi_checkpoint *teacher, const struct espi_job *student_job, struct espi_team *team,
                     struct espi_distill **out)
{
    size_t depth = student_job->config->layers;
    *out = NULL;
    struct espi_distill *distill = espi_calloc(ctx, 1, sizeof *distill);
    if (!distill)
        return ESP_ERR_MEMORY;
    distill->options = *options;
    distill->options.temperature = options->temperature == 0 ? 1 : options->temperature;
    distill->teacher = teacher;
    distill->job = student_job;
    distill->team = team;
    int status = ESP_OK;
    if (options->cache && snprintf(distill->cache_path, sizeof distill->cache_path, "%s", options->cache) >=
                              (int)sizeof distill->cache_path)
        status = espi_fail(ctx, ESP_ERR_LIMIT, "%.100s…: path longer than %zu bytes", options->cache,
                           sizeof distill->cache_path - 1);
    if (!status)
        status = espi_distill_map(ctx, distill);
    if (!status)
        status = espi_distill_check(ctx, distill);
    if (!status)
        status = espi_matmuls_new(ctx, options->compute, team, &distill->matmuls);
    if (!status)
        status = espi_distill_init_projections(ctx, distill);
    if (status)
        goto fail;
    distill->options.layer_map = NULL;
    distill->options.cache = NULL;
    status = ESP_ERR_MEMORY;
    distill->hidden_gradients = espi_calloc(ctx, depth + 1, sizeof *distill->hidden_gradients);
    distill->qkv_gradients = espi_calloc(ctx, depth, sizeof *distill->qkv_gradients);
    if (!distill->hidden_gradients || !distill->qkv_gradients)
        goto fail;
    *out = distill;
    return ESP_OK;

fail:
    espi_distill_free(distill);
    return status;
}
