/* SPDX-License-Identifier: Apache-2.0 */
#include "create/train/optimizer.h"

#include "base/simd.h"
#include "base/size.h"

#include <math.h>
#include <stdlib.h>

/* Weights that one thread takes at a time; also what is summed before the partial sums of the norm are added. */
enum { BLOCK = 16384 };

struct block {
    size_t first, count; // of the slab
    float decay;         // 1: the weights decay
    float rate;          // of the layer
};

struct espi_optimizer {
    struct espi_optimizer_options options;
    const struct espi_params *params;
    struct espi_team *team;
    struct block *blocks; // (block_count)
    size_t block_count;
    double *sums;                   // (block_count) of squares
    float *moments;                 // (2, params->elements) first and second
    float *average;                 // (params->elements), or NULL
    float *extra, *extra_gradients; // (extra_count) borrowed
    float *extra_moments;           // (2, extra_count)
    size_t extra_count;
    uint64_t steps;
};

/* ---- blocks ------------------------------------------------------------------------------------------------------------ */

/* Rate of a tensor: 1 for the head, for each layer below times layer_decay, embeddings last. */
static double layer_rate(const struct espi_config *config, const struct espi_param *param, double decay)
{
    if (decay <= 0 || decay == 1)
        return 1;
    if (espi_role_row(param->role)->scope == ESPI_SCOPE_EMBEDDING)
        return pow(decay, (double)espi_config_stored_layers(config) + 1);
    if (param->role <= ESPI_FFN_NORM_B)
        return pow(decay, (double)(espi_config_stored_layers(config) - param->layer));
    return 1;
}

static void cut_blocks(struct espi_optimizer *optimizer, const struct espi_config *config)
{
    size_t count = 0;
    for (size_t i = 0; i < optimizer->params->length; i++) {
        const struct espi_param *param = &optimizer->params->list[i];
        float rate = (float)layer_rate(config, param, optimizer->options.layer_decay);
        for (size_t at = 0; at < param->count; at += BLOCK, count++)
            if (optimizer->blocks)
                optimizer->blocks[count] = (struct block){.first = param->offset + at,
                                                          .count = espi_size_min(BLOCK, param->count - at),
                                                          .decay = param->cols > 0,
                                                          .rate = rate};
    }
    optimizer->block_count = count;
}

/* ---- norm -------------------------------------------------------------------------------------------------------------- */

ESPI_SIMD static double gradient_squares(const float *g, size_t count)
{
    double lanes[ESPI_LANES] = {0}, sum = 0;
    size_t whole = count - count % ESPI_LANES;
    for (size_t i = 0; i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++)
            lanes[l] += (double)g[i + l] * (double)g[i + l];
    for (size_t i = whole; i < count; i++)
        lanes[i - whole] += (double)g[i] * (double)g[i];
    for (size_t l = 0; l < ESPI_LANES; l++)
        sum += lanes[l];
    return sum;
}

struct norm {
    const struct espi_optimizer *optimizer;
    const float *gradients;
};

static void norm_block(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct norm *n = argument;
    const struct block *block = &n->optimizer->blocks[index];
    n->optimizer->sums[index] = gradient_squares(n->gradients + block->first, block->count);
}

double espi_optimizer_norm(struct espi_optimizer *optimizer, const float *gradients)
{
    struct norm n = {.optimizer = optimizer, .gradients = gradients};
    espi_team_run(optimizer->team, optimizer->block_count, norm_block, &n);
    double sum = optimizer->extra ? gradient_squares(optimizer->extra_gradients, optimizer->extra_count) : 0;
    for (size_t i = 0; i < optimizer->block_count; i++)
        sum += optimizer->sums[i];
    return sqrt(sum);
}

/* ---- update ------------------------------------------------------------------------------------------------------------ */

/* The numbers of one step, of one block. */
struct update {
    float shrink; // what the weights are multiplied by: 1 - rate * decay
    float clip;   // what the gradients are multiplied by
    float beta1, beta2;
    float rate; // by the first moment's bias correction
    float root; // 1 / sqrt(the second moment's bias correction)
    float epsilon;
};

ESPI_SIMD static void adamw(const struct update *u, size_t count, float *restrict w, float *restrict m,
                            float *restrict v, float *restrict g)
{
    const struct update k = *u;
    for (size_t i = 0; i < count; i++) {
        float gradient = g[i] * k.clip;
        m[i] = k.beta1 * m[i] + (1.0f - k.beta1) * gradient;
        v[i] = k.beta2 * v[i] + (1.0f - k.beta2) * gradient * gradient;
        w[i] = w[i] * k.shrink - k.rate * m[i] / (sqrtf(v[i]) * k.root + k.epsilon);
        g[i] = 0.0f;
    }
}

ESPI_SIMD static void adamw_frozen(const struct update *u, size_t count, const uint8_t *restrict frozen,
                                   float *restrict w, float *restrict m, float *restrict v, float *restrict g)
{
    const struct update k = *u;
    for (size_t i = 0; i < count; i++) {
        float gradient = g[i] * k.clip;
        float first = k.beta1 * m[i] + (1.0f - k.beta1) * gradient;
        float second = k.beta2 * v[i] + (1.0f - k.beta2) * gradient * gradient;
        float weight = w[i] * k.shrink - k.rate * first / (sqrtf(second) * k.root + k.epsilon);
        m[i] = frozen[i] ? m[i] : first;
        v[i] = frozen[i] ? v[i] : second;
        w[i] = frozen[i] ? w[i] : weight;
        g[i] = 0.0f;
    }
}

ESPI_SIMD static void follow(size_t count, float keep, const float *restrict w, float *restrict average)
{
    for (size_t i = 0; i < count; i++)
        average[i] = keep * average[i] + (1.0f - keep) * w[i];
}

struct step {
    struct espi_optimizer *optimizer;
    float *gradients;
    const uint8_t *frozen;
    double rate, clip;
};

static struct update update_of(const struct step *step, float decay, float layer_rate_factor)
{
    const struct espi_optimizer_options *o = &step->optimizer->options;
    double rate = step->rate * (double)layer_rate_factor, count = (double)step->optimizer->steps;
    return (struct update){.shrink = (float)(1 - rate * o->weight_decay * (double)decay),
                           .clip = (float)step->clip,
                           .beta1 = (float)o->beta1,
                           .beta2 = (float)o->beta2,
                           .rate = (float)(rate / (1 - pow(o->beta1, count))),
                           .root = (float)(1 / sqrt(1 - pow(o->beta2, count))),
                           .epsilon = (float)o->epsilon};
}

static void step_block(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct step *step = argument;
    struct espi_optimizer *optimizer = step->optimizer;
    const struct block *block = &optimizer->blocks[index];
    struct update u = update_of(step, block->decay, block->rate);
    float *w = optimizer->params->slab + block->first, *m = optimizer->moments + block->first;
    float *v = m + optimizer->params->elements, *g = step->gradients + block->first;
    if (step->frozen)
        adamw_frozen(&u, block->count, step->frozen + block->first, w, m, v, g);
    else
        adamw(&u, block->count, w, m, v, g);
    if (optimizer->average)
        follow(block->count, (float)optimizer->options.ema_decay, w, optimizer->average + block->first);
}

void espi_optimizer_step(struct espi_optimizer *optimizer, float *gradients, double norm, double factor,
                         const uint8_t *frozen)
{
    const struct espi_optimizer_options *o = &optimizer->options;
    struct step step = {.optimizer = optimizer,
                        .gradients = gradients,
                        .frozen = frozen,
                        .rate = o->learning_rate * factor,
                        .clip = o->max_norm > 0 ? fmin(o->max_norm / (norm + 1e-6), 1) : 1};
    optimizer->steps++;
    espi_team_run(optimizer->team, optimizer->block_count, step_block, &step);
    if (optimizer->extra) {
        struct update u = update_of(&step, 1, 1);
        adamw(&u, optimizer->extra_count, optimizer->extra, optimizer->extra_moments,
              optimizer->extra_moments + optimizer->extra_count, optimizer->extra_gradients);
    }
}

bool espi_optimizer_swap_average(struct espi_optimizer *optimizer)
{
    float *average = optimizer->average, *slab = optimizer->params->slab;
    for (size_t i = 0; average && i < optimizer->params->elements; i++) {
        float weight = slab[i];
        slab[i] = average[i];
        average[i] = weight;
    }
    return average != NULL;
}

/* ---- life -------------------------------------------------------------------------------------------------------------- */

int espi_optimizer_new(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                       const struct espi_optimizer_options *options, struct espi_team *team,
                       struct espi_optimizer **out)
{
    *out = NULL;
    struct espi_optimizer *optimizer = espi_calloc(ctx, 1, sizeof *optimizer);
    if (!optimizer)
        return ESP_ERR_MEMORY;
    *optimizer = (struct espi_optimizer){.options = *options, .params = params, .team = team};
    cut_blocks(optimizer, config);
    optimizer->blocks = espi_calloc(ctx, optimizer->block_count, sizeof *optimizer->blocks);
    optimizer->sums = espi_calloc(ctx, optimizer->block_count, sizeof *optimizer->sums);
    optimizer->moments = espi_calloc_aligned(ctx, params->elements, 2 * sizeof *optimizer->moments);
    if (options->ema_decay > 0)
        optimizer->average = espi_calloc_aligned(ctx, params->elements, sizeof *optimizer->average);
    if (!optimizer->blocks || !optimizer->sums || !optimizer->moments ||
        (options->ema_decay > 0 && !optimizer->average)) {
        espi_optimizer_free(optimizer);
        return ESP_ERR_MEMORY;
    }
    cut_blocks(optimizer, config);
    if (optimizer->average)
        memcpy(optimizer->average, params->slab, params->elements * sizeof *optimizer->average);
    *out = optimizer;
    return ESP_OK;
}

void espi_optimizer_free(struct espi_optimizer *optimizer)
{
    if (!optimizer)
        return;
    free(optimizer->blocks);
    free(optimizer->sums);
    free(optimizer->moments);
    free(optimizer->average);
    free(optimizer->extra_moments);
    free(optimizer);
}

int espi_optimizer_add(esp_context *ctx, struct espi_optimizer *optimizer, float *weights, float *gradients,
                       size_t count)
{
    float *moments = espi_calloc_aligned(ctx, count, 2 * sizeof *moments);
    if (!moments)
        return ESP_ERR_MEMORY;
    optimizer->extra = weights;
    optimizer->extra_gradients = gradients;
    optimizer->extra_moments = moments;
    optimizer->extra_count = count;
    return ESP_OK;
}

int espi_optimizer_register(esp_context *ctx, struct espi_optimizer *optimizer, struct espi_state *state)
{
    size_t elements = optimizer->params->elements;
    int status = espi_state_add(ctx, state, "optimizer.steps", &optimizer->steps, sizeof optimizer->steps);
    if (!status)
        status = espi_state_add(ctx, state, "optimizer.moments", optimizer->moments, 2 * elements * sizeof(float));
    if (!status && optimizer->average)
        status = espi_state_add(ctx, state, "optimizer.average", optimizer->average, elements * sizeof(float));
    if (!status && optimizer->extra)
        status = espi_state_add(ctx, state, "optimizer.extra", optimizer->extra_moments,
                                2 * optimizer->extra_count * sizeof(float));
    return status;
}
