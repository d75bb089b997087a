/* SPDX-License-Identifier: Apache-2.0 */
#include "create/prune/pruner.h"

#include "base/size.h"
#include "create/prune/pruner_private.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

bool espi_prunable(const struct espi_param *param)
{
    switch (param->role) {
    case ESPI_QUERY_W:
    case ESPI_KEY_W:
    case ESPI_VALUE_W:
    case ESPI_ATTENTION_OUT_W:
    case ESPI_FFN_IN_W:
    case ESPI_FFN_OUT_W:
        return true;
    default:
        return false;
    }
}

double espi_pruner_schedule(const struct espi_pruner_options *options, uint64_t step)
{
    if (step < options->begin_step)
        return 0;
    if (step >= options->end_step)
        return options->sparsity;
    double t = (double)(step - options->begin_step) / (double)(options->end_step - options->begin_step);
    return options->sparsity_start + (options->sparsity - options->sparsity_start) * (1 - pow(1 - t, 3));
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

static int check_options(esp_context *ctx, const struct espi_pruner_options *o)
{
    if (!(o->sparsity >= 0 && o->sparsity < 1) || !(o->sparsity_start >= 0 && o->sparsity_start <= o->sparsity))
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "sparsity: expected a share from 0 to below 1, the first at most the last, found %g to %g",
                         o->sparsity_start, o->sparsity);
    if (o->pattern == ESPI_PATTERN_2_4 && o->sparsity != 0.5 && !o->keep_mask)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "sparsity: pattern 2:4 has 0.5, found %g", o->sparsity);
    if (!o->uniform && o->layer_max > 0 && o->layer_max < o->sparsity)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--layer-max: expected at least the sparsity %g of all, found %g",
                         o->sparsity, o->layer_max);
    if (o->begin_step > o->end_step)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "expected pruning to begin before it ends, found step %" PRIu64 " and step %" PRIu64,
                         o->begin_step, o->end_step);
    return ESP_OK;
}

static int check_shape(esp_context *ctx, enum espi_pattern pattern, const struct espi_param *param)
{
    bool by_rows = pattern == ESPI_PATTERN_4X1;
    size_t size = by_rows ? param->rows : param->cols;
    if (size % 4 == 0)
        return ESP_OK;
    return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s: expected a multiple of 4 %s for this pattern, found %zu", param->name,
                     by_rows ? "outputs" : "inputs", size);
}

/* Lists the matrices (counts them when there is no list yet). */
static int list_matrices(esp_context *ctx, struct espi_pruner *p)
{
    int status = ESP_OK;
    p->matrix_count = p->units = p->weights = p->groups = 0;
    for (size_t i = 0; !status && i < p->params->length; i++) {
        const struct espi_param *param = &p->params->list[i];
        if (!espi_prunable(param))
            continue;
        status = p->options.keep_mask ? ESP_OK : check_shape(ctx, p->options.pattern, param);
        size_t units = p->options.pattern == ESPI_PATTERN_UNSTRUCTURED ? param->count : param->count / 4;
        if (p->matrices)
            p->matrices[p->matrix_count] = (struct espi_prune_matrix){
                .param = param, .units = units, .first_unit = p->units, .first_group = p->groups};
        p->matrix_count++;
        p->units += units;
        p->weights += param->count;
        p->groups += param->count / 4;
    }
    return status;
}

static void count_masked(struct espi_pruner *p)
{
    p->masked = 0;
    for (size_t m = 0; m < p->matrix_count; m++) {
        const struct espi_param *param = p->matrices[m].param;
        for (size_t i = param->offset; i < param->offset + param->count; i++)
            p->masked += p->frozen[i];
    }
}

/* keep_mask: what is zero now. */
static int take_zeros(esp_context *ctx, struct espi_pruner *p)
{
    for (size_t m = 0; m < p->matrix_count; m++) {
        const struct espi_param *param = p->matrices[m].param;
        for (size_t i = param->offset; i < param->offset + param->count; i++)
            p->frozen[i] = p->params->slab[i] == 0;
    }
    count_masked(p);
    if (espi_pruner_sparsity(p) < 0.01)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "keep-mask: expected a sparse checkpoint, found %.2f %% zeros",
                         100 * espi_pruner_sparsity(p));
    return ESP_OK;
}

/* Units whose weights are all zero are gone from the start. */
static void find_gone(struct espi_pruner *p)
{
    enum espi_pattern pattern = p->options.pattern;
    for (size_t m = 0; m < p->matrix_count; m++) {
        const struct espi_prune_matrix *matrix = &p->matrices[m];
        const float *w = p->params->slab + matrix->param->offset;
        for (size_t unit = 0; unit < matrix->units; unit++) {
            size_t zeros = 0, needed = pattern == ESPI_PATTERN_2_4 ? 2 : p->unit_weights;
            for (size_t i = 0; i < 4 && pattern != ESPI_PATTERN_UNSTRUCTURED; i++)
                zeros += w[espi_group_weight(pattern, matrix->param, unit, i)] == 0;
            if (pattern == ESPI_PATTERN_UNSTRUCTURED)
                zeros = w[unit] == 0;
            p->gone[matrix->first_unit + unit] = zeros >= needed;
        }
    }
}

static int allocate(esp_context *ctx, struct espi_pruner *p)
{
    bool scores = p->options.score == ESPI_SCORE_SNIP_MOMENTUM || p->options.score == ESPI_SCORE_MOVEMENT;
    bool fisher = p->options.score == ESPI_SCORE_OBERT;
    p->frozen = espi_calloc(ctx, p->params->elements, 1);
    if (p->options.keep_mask)
        return p->frozen ? ESP_OK : ESP_ERR_MEMORY;
    p->gone = espi_calloc(ctx, p->units, 1);
    p->ranking = espi_calloc(ctx, p->units, sizeof *p->ranking);
    p->score_count = !scores ? 0 : espi_prune_by_weight(p->options.pattern) ? p->weights : p->units;
    p->scores = espi_calloc(ctx, p->score_count, sizeof *p->scores);
    p->fisher = espi_calloc(ctx, fisher ? p->groups : 0, ESPI_FISHER * sizeof *p->fisher);
    return p->frozen && p->gone && p->ranking && p->scores && p->fisher ? ESP_OK : ESP_ERR_MEMORY;
}

int espi_pruner_new(esp_context *ctx, const struct espi_params *params, const struct espi_pruner_options *options,
                    struct espi_team *team, struct espi_pruner **out)
{
    *out = NULL;
    int status = check_options(ctx, options);
    struct espi_pruner *p = status ? NULL : espi_calloc(ctx, 1, sizeof *p);
    if (!p)
        return status ? status : ESP_ERR_MEMORY;
    *p = (struct espi_pruner){.options = *options, .params = params, .team = team};
    p->options.every = espi_size_max(options->every, 1);
    if (!(options->momentum > 0))
        p->options.momentum = options->score == ESPI_SCORE_OBERT ? 0.99 : 0.9;
    p->options.damping = options->damping > 0 ? options->damping : 1e-7;
    p->unit_weights = options->pattern == ESPI_PATTERN_UNSTRUCTURED ? 1 : options->pattern == ESPI_PATTERN_2_4 ? 2 : 4;
    status = list_matrices(ctx, p);
    if (!status) {
        p->matrices = espi_calloc(ctx, p->matrix_count, sizeof *p->matrices);
        status = p->matrices ? list_matrices(ctx, p) : ESP_ERR_MEMORY;
    }
    if (!status)
        status = allocate(ctx, p);
    if (!status && options->keep_mask)
        status = take_zeros(ctx, p);
    if (status) {
        espi_pruner_free(p);
        return status;
    }
    if (!options->keep_mask)
        find_gone(p);
    *out = p;
    return ESP_OK;
}

void espi_pruner_free(struct espi_pruner *pruner)
{
    if (!pruner)
        return;
    free(pruner->matrices);
    free(pruner->frozen);
    free(pruner->gone);
    free(pruner->scores);
    free(pruner->fisher);
    free(pruner->ranking);
    free(pruner);
}

int espi_pruner_register(esp_context *ctx, struct espi_pruner *pruner, struct espi_state *state)
{
    int status = espi_state_add(ctx, state, "pruner.frozen", pruner->frozen, pruner->params->elements);
    if (!status)
        status = espi_state_add(ctx, state, "pruner.masked", &pruner->masked, sizeof pruner->masked);
    if (!status && pruner->gone)
        status = espi_state_add(ctx, state, "pruner.gone", pruner->gone, pruner->units);
    if (!status && pruner->score_count)
        status =
            espi_state_add(ctx, state, "pruner.scores", pruner->scores, pruner->score_count * sizeof *pruner->scores);
    if (!status && pruner->options.score == ESPI_SCORE_OBERT && !pruner->options.keep_mask)
        status = espi_state_add(ctx, state, "pruner.fisher", pruner->fisher,
                                pruner->groups * ESPI_FISHER * sizeof *pruner->fisher);
    if (!status)
        status =
            espi_state_add(ctx, state, "pruner.fisher_weight", &pruner->fisher_weight, sizeof pruner->fisher_weight);
    return status;
}

/* ---- the mask ----------------------------------------------------------------------------------------------------------- */

/* Freezes the weights of units that are gone. In 2:4 a group keeps the two it lost first. */
static void freeze(struct espi_pruner *p)
{
    enum espi_pattern pattern = p->options.pattern;
    for (size_t m = 0; m < p->matrix_count; m++) {
        const struct espi_prune_matrix *matrix = &p->matrices[m];
        uint8_t *frozen = p->frozen + matrix->param->offset;
        const uint8_t *gone = p->gone + matrix->first_unit;
        for (size_t unit = 0; unit < matrix->units; unit++) {
            if (!gone[unit])
                continue;
            if (pattern == ESPI_PATTERN_UNSTRUCTURED) {
                frozen[unit] = 1;
                continue;
            }
            size_t already = 0;
            for (size_t i = 0; i < 4; i++)
                already += frozen[4 * unit + i];
            unsigned which = pattern != ESPI_PATTERN_2_4 ? 15 : already ? 0 : espi_prune_least_two(p, matrix, unit);
            for (size_t i = 0; i < 4; i++)
                if (which >> i & 1)
                    frozen[espi_group_weight(pattern, matrix->param, unit, i)] = 1;
        }
    }
}

void espi_pruner_apply(const struct espi_pruner *pruner)
{
    for (size_t m = 0; m < pruner->matrix_count; m++) {
        const struct espi_param *param = pruner->matrices[m].param;
        for (size_t i = param->offset; i < param->offset + param->count; i++)
            if (pruner->frozen[i])
                pruner->params->slab[i] = 0;
    }
}

int espi_pruner_prune(esp_context *ctx, struct espi_pruner *pruner, double sparsity)
{
    int status = espi_prune_select(ctx, pruner, sparsity);
    if (status)
        return status;
    freeze(pruner);
    count_masked(pruner);
    espi_pruner_apply(pruner);
    return ESP_OK;
}

int espi_pruner_step(esp_context *ctx, struct espi_pruner *pruner, uint64_t step)
{
    const struct espi_pruner_options *o = &pruner->options;
    bool due =
        step >= o->begin_step && step <= o->end_step && ((step - o->begin_step) % o->every == 0 || step == o->end_step);
    if (o->keep_mask || !due)
        return ESP_OK;
    return espi_pruner_prune(ctx, pruner, espi_pruner_schedule(o, step));
}

bool espi_pruner_done(const struct espi_pruner *pruner, uint64_t steps)
{
    return pruner->options.keep_mask || steps > pruner->options.end_step;
}

const uint8_t *espi_pruner_frozen(const struct espi_pruner *pruner)
{
    return pruner->frozen;
}

double espi_pruner_sparsity(const struct espi_pruner *pruner)
{
    return (double)pruner->masked / (double)pruner->weights;
}
