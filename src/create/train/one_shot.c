/* SPDX-License-Identifier: Apache-2.0 */
#include "create/train/one_shot.h"

#include "create/prune/structure.h"
#include "create/train/trainer_private.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- the model ---------------------------------------------------------------------------------------------------------- */

static bool removes(const struct espi_train_options *o)
{
    return o->remove_heads > 0 || o->remove_neurons > 0;
}

static int check_options(esp_context *ctx, const struct espi_train_options *o)
{
    if (!(o->sparsity > 0 && o->sparsity < 1) && (o->sparsity != 0 || !removes(o)))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--sparsity: expected a share above 0 and below 1, found %g",
                         o->sparsity);
    if (o->sparsity > 0 && o->pattern == ESPI_PATTERN_2_4 && o->sparsity != 0.5)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--sparsity: expected 0.5, which pattern 2:4 has, found %g",
                         o->sparsity);
    if (o->score != ESPI_SCORE_MAGNITUDE && !o->train.count)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "--score %s needs gradients: expected --calibrate with data of the task",
                         espi_score_words[o->score]);
    return ESP_OK;
}

/* Gradients mean something only behind the head the model was trained with. */
static int choose_task(esp_context *ctx, struct espi_train_options *o)
{
    struct espi_config config;
    int status = espi_config_read(ctx, o->model, &config);
    if (status)
        return status;
    const struct espi_task *task = o->task ? espi_task_find(o->task) : espi_task_for_head(config.head);
    if (!task)
        status =
            espi_fail(ctx, ESP_ERR_ARGUMENT, "--task: expected qa, classify, tag, embed or mlm, found \"%s\"", o->task);
    else if (task->head != config.head)
        status = espi_fail(ctx, ESP_ERR_ARGUMENT, "--task: %s has the head of task %s, expected that, found %s",
                           o->model, espi_task_for_head(config.head)->name, task->name);
    else
        o->task = task->name;
    espi_config_clear(&config);
    return status;
}

static int open_model(esp_context *ctx, struct espi_trainer *t, struct espi_train_options *o)
{
    bool data = o->train.count > 0;
    int status = data ? choose_task(ctx, o) : ESP_OK;
    if (!status)
        status = espi_team_new(ctx, o->threads, &t->team);
    if (status)
        return status;
    struct espi_train_options whole = *o; // heads and neurons go when they have been scored
    whole.remove_heads = whole.remove_neurons = 0;
    return data ? espi_train_model_open(ctx, &whole, NULL, &t->model)
                : espi_checkpoint_read(ctx, o->model, &t->model.checkpoint);
}

/* ---- gradients ---------------------------------------------------------------------------------------------------------- */

typedef void observe_fn(void *argument, const float *gradients);

/* A product with zero is zero unless something is not finite. */
static bool all_finite(const float *x, size_t count)
{
    float sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[i] * 0.0f;
    return sum == 0;
}

static int observe_step(esp_context *ctx, struct espi_trainer *t, observe_fn *observe, void *argument)
{
    size_t elements = t->model.checkpoint.params.elements;
    memset(t->gradients, 0, elements * sizeof *t->gradients);
    int status = espi_trainer_gradients(ctx, t);
    if (status)
        return status;
    if (!isfinite(espi_trainer_loss(t)) || !all_finite(t->gradients, elements))
        return espi_fail(ctx, ESP_ERR_LIMIT, "calibration: the loss or a gradient of batch %" PRIu64 " is not finite",
                         t->counters.step + 1);
    observe(argument, t->gradients);
    t->counters.step++;
    return ESP_OK;
}

/* One pass over the data. */
static int observe_steps(esp_context *ctx, struct espi_trainer *t, observe_fn *observe, void *argument)
{
    int status = t->feed ? ESP_OK : espi_trainer_open_feed(ctx, t);
    t->counters.step = 0;
    if (!status)
        status = espi_trainer_open_network(ctx, t);
    if (!status)
        status = espi_network_refresh(ctx, t->network);
    uint64_t steps = status ? 0 : espi_feed_steps_per_epoch(t->feed);
    struct espi_progress progress = {
        .watch = t->watch, .label = "calibrate", .unit = "batches", .total = (size_t)steps};
    for (uint64_t step = 0; !status && step < steps; step++) {
        if (espi_watch_stops(&t->watch))
            status = espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted");
        else
            status = observe_step(ctx, t, observe, argument);
        espi_progress_update(&progress, (size_t)step + 1, NULL);
    }
    espi_progress_end(&progress, NULL);
    espi_trainer_close_network(t);
    return status;
}

/* The same without dropout. */
static int observe_data(esp_context *ctx, struct espi_trainer *t, observe_fn *observe, void *argument)
{
    struct espi_config *config = &t->model.checkpoint.config;
    const float hidden = config->hidden_dropout, attention = config->attention_dropout,
                classifier = config->classifier_dropout;
    config->hidden_dropout = config->attention_dropout = config->classifier_dropout = 0;
    int status = observe_steps(ctx, t, observe, argument);
    config->hidden_dropout = hidden;
    config->attention_dropout = attention;
    config->classifier_dropout = classifier;
    return status;
}

/* ---- heads and neurons -------------------------------------------------------------------------------------------------- */

struct scoring {
    const struct espi_checkpoint *checkpoint;
    struct espi_importance importance;
};

static void observe_structure(void *argument, const float *gradients)
{
    struct scoring *scoring = argument;
    espi_importance_observe(scoring->checkpoint, gradients, &scoring->importance);
}

static int remove_structure(esp_context *ctx, struct espi_trainer *t)
{
    const struct espi_train_options *o = t->options;
    struct espi_checkpoint *checkpoint = &t->model.checkpoint, smaller;
    const struct espi_structure_options how = {
        .heads = o->remove_heads, .neurons = o->remove_neurons, .uniform = o->prune_scope == 1};
    struct scoring scoring = {.checkpoint = checkpoint};
    int status = espi_importance_new(ctx, &checkpoint->config, &scoring.importance);
    if (status)
        return status;
    if (o->score == ESPI_SCORE_MAGNITUDE)
        espi_importance_magnitude(checkpoint, &scoring.importance);
    else
        status = observe_data(ctx, t, observe_structure, &scoring);
    if (!status)
        status = espi_structure_remove(ctx, checkpoint, &scoring.importance, &how, &smaller);
    espi_importance_clear(&scoring.importance);
    if (status)
        return status;
    espi_checkpoint_clear(checkpoint);
    *checkpoint = smaller;
    return ESP_OK;
}

/* ---- weights ------------------------------------------------------------------------------------------------------------ */

static void observe_weights(void *argument, const float *gradients)
{
    espi_pruner_observe(argument, gradients);
}

static int prune_weights(esp_context *ctx, struct espi_trainer *t)
{
    const struct espi_train_options *o = t->options;
    struct espi_pruner_options how = {.pattern = (enum espi_pattern)o->pattern,
                                      .score = (enum espi_score)o->score,
                                      .sparsity = o->sparsity,
                                      .uniform = o->prune_scope == 1,
                                      .layer_max = o->layer_max,
                                      .momentum = 1};
    int status = espi_pruner_new(ctx, &t->model.checkpoint.params, &how, t->team, &t->pruner);
    if (!status && o->score != ESPI_SCORE_MAGNITUDE)
        status = observe_data(ctx, t, observe_weights, t->pruner);
    return status ? status : espi_pruner_prune(ctx, t->pruner, o->sparsity);
}

void espi_prune_options_default(struct espi_train_options *options)
{
    espi_train_options_default(options);
    options->score = ESPI_SCORE_MAGNITUDE;
    options->max_examples = 512;
    options->batch_size = 8;
    options->compute = 1; // fp32
}

int espi_prune_one_shot(esp_context *ctx, struct espi_train_options *options, const struct espi_watch *watch,
                        const char *directory, struct espi_checkpoint *out)
{
    const struct espi_train_run alone = {.watch = *watch};
    struct espi_trainer t = {.options = options, .run = &alone, .watch = *watch};
    *out = (struct espi_checkpoint){0};
    int status = espi_output_dir_check(ctx, directory);
    if (!status)
        status = check_options(ctx, options);
    if (!status)
        status = open_model(ctx, &t, options);
    if (!status && removes(options))
        status = remove_structure(ctx, &t);
    if (!status && options->sparsity > 0)
        status = prune_weights(ctx, &t);
    if (!status && espi_watch_stops(watch))
        status = espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted; nothing was written");
    if (!status)
        status = espi_checkpoint_write(ctx, &t.model.checkpoint.config, &t.model.checkpoint.params, options->model,
                                       directory);
    if (!status) {
        *out = t.model.checkpoint;
        t.model.checkpoint = (struct espi_checkpoint){0};
    }
    espi_trainer_close(&t);
    return status;
}
