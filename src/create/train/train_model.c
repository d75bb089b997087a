/* SPDX-License-Identifier: Apache-2.0 */
#include "create/train/train_model.h"

#include "create/distill/distill.h"
#include "create/prune/structure.h"
#include "eval/dataset.h"
#include "model/vocabulary.h"

#include <string.h>

static struct espi_task_options task_options(const struct espi_train_options *options)
{
    return (struct espi_task_options){.evaluate = true,
                                      .max_length = options->max_length,
                                      .length_strict = options->length_strict,
                                      .stride = options->stride,
                                      .text_column = options->text_column,
                                      .pair_column = options->pair_column,
                                      .label_column = options->label_column,
                                      .pack = (enum espi_pack)options->pack,
                                      .mask_probability = options->mask_probability,
                                      .seed = options->seed};
}

/* ---- the head ----------------------------------------------------------------------------------------------------------- */

static int read_labels(esp_context *ctx, const struct espi_train_options *options, const struct espi_task *task,
                       struct espi_arena *arena, struct espi_head_options *head)
{
    struct espi_task_options how = task_options(options);
    const char **names = NULL;
    int status = espi_dataset_labels(ctx, task, options->train.items[0], &how, arena, &names, &head->labels);
    head->label_names = names;
    if (!status && head->labels == 0)
        status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected labels, found none", options->train.items[0]);
    return status;
}

/* A new head for the task. */
static int make_head(esp_context *ctx, const struct espi_train_options *options, const struct espi_task *task,
                     struct espi_arena *arena, struct espi_head_options *head)
{
    *head = (struct espi_head_options){.head = task->head};
    switch (task->head) {
    case ESPI_HEAD_QA:
        head->labels = 2;
        return ESP_OK;
    case ESPI_HEAD_SEQUENCE:
        head->problem = (enum espi_problem)options->problem;
        head->labels = 1;
        return head->problem == ESPI_REGRESSION ? ESP_OK : read_labels(ctx, options, task, arena, head);
    case ESPI_HEAD_TOKEN:
        return read_labels(ctx, options, task, arena, head);
    case ESPI_HEAD_MLM:
    case ESPI_HEAD_NONE:
        break;
    }
    return ESP_OK;
}

/* ---- sources ------------------------------------------------------------------------------------------------------------ */

static int from_checkpoint(esp_context *ctx, const struct espi_train_options *options, const char *directory,
                           const struct espi_task *task, struct espi_checkpoint *out)
{
    struct espi_config config = {0};
    struct espi_arena arena = {0};
    struct espi_head_options head;
    struct espi_config_changes changes = {.head = &head};
    int status = espi_config_read(ctx, directory, &config);
    bool fits = config.head == task->head;
    if (!status && !fits)
        status = make_head(ctx, options, task, &arena, &head);
    if (!status)
        status = fits ? espi_checkpoint_read(ctx, directory, out)
                      : espi_checkpoint_read_as(ctx, directory, &changes, options->seed, out);
    espi_config_clear(&config);
    espi_arena_clear(&arena);
    return status;
}

static int from_layers(esp_context *ctx, const struct espi_train_options *options, const struct espi_task *task,
                       struct espi_checkpoint *out)
{
    enum { MOST = 256 };
    size_t layers[MOST], count;
    struct espi_checkpoint whole = {0};
    int status = espi_train_numbers(ctx, "layers", options->layers, 1, layers, MOST, &count);
    if (!status)
        status = from_checkpoint(ctx, options, options->init_from, task, &whole);
    if (!status)
        status = espi_student_from_layers(ctx, &whole, layers, count, out);
    espi_checkpoint_clear(&whole);
    return status;
}

static int from_config(esp_context *ctx, const struct espi_train_options *options, const struct espi_task *task,
                       const esp_tokenizer *tokenizer, struct espi_checkpoint *out)
{
    struct espi_arena arena = {0};
    struct espi_head_options head;
    struct espi_config_changes changes = {.head = &head, .vocab_size = esp_tokenizer_size(tokenizer)};
    int status = make_head(ctx, options, task, &arena, &head);
    if (!status)
        status = espi_config_named(ctx, options->init, &changes, &out->config);
    if (!status)
        status = espi_params_init(ctx, &out->config, true, &out->params);
    if (!status) {
        espi_params_randomize(&out->params, &out->config, options->seed);
        snprintf(out->directory, sizeof out->directory, "%s", options->init);
    }
    espi_arena_clear(&arena);
    return status;
}

static int open_model(esp_context *ctx, const struct espi_train_options *options, const char *resumed,
                      const struct espi_task *task, struct espi_train_model *out)
{
    if (resumed)
        return espi_checkpoint_read(ctx, resumed, &out->checkpoint);
    if (options->init)
        return from_config(ctx, options, task, out->tokenizer, &out->checkpoint);
    if (options->init_from)
        return from_layers(ctx, options, task, &out->checkpoint);
    return from_checkpoint(ctx, options, options->model, task, &out->checkpoint);
}

/* A stage may start from a smaller model. */
static int remove_structure(esp_context *ctx, const struct espi_train_options *options,
                            struct espi_checkpoint *checkpoint)
{
    const struct espi_structure_options how = {
        .heads = options->remove_heads, .neurons = options->remove_neurons, .uniform = options->prune_scope == 1};
    if (!(how.heads > 0) && !(how.neurons > 0))
        return ESP_OK;
    struct espi_importance importance = {0};
    struct espi_checkpoint smaller;
    int status = espi_importance_new(ctx, &checkpoint->config, &importance);
    if (status)
        return status;
    espi_importance_magnitude(checkpoint, &importance);
    status = espi_structure_remove(ctx, checkpoint, &importance, &how, &smaller);
    espi_importance_clear(&importance);
    if (status)
        return status;
    espi_checkpoint_clear(checkpoint);
    *checkpoint = smaller;
    return ESP_OK;
}

int espi_train_model_open(esp_context *ctx, const struct espi_train_options *options, const char *resumed,
                          struct espi_train_model *out)
{
    const struct espi_task *task = espi_task_find(options->task);
    *out = (struct espi_train_model){0};
    if (!task)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--task: expected qa, classify, tag, embed or mlm, found \"%s\"",
                         options->task);
    out->tokenizer_from = resumed              ? resumed
                          : options->init      ? options->tokenizer
                          : options->init_from ? options->init_from
                                               : options->model;
    int status = !resumed && options->init ? ESP_OK : espi_config_expect(ctx, out->tokenizer_from);
    if (!status)
        status = esp_tokenizer_open(ctx, out->tokenizer_from, &out->tokenizer);
    if (!status)
        status = open_model(ctx, options, resumed, task, out);
    if (!status)
        espi_vocabulary_check(ctx, out->tokenizer_from, &out->checkpoint.config, out->tokenizer);
    if (!status && !resumed)
        status = remove_structure(ctx, options, &out->checkpoint);
    if (!status && options->dropout >= 0)
        out->checkpoint.config.hidden_dropout = out->checkpoint.config.attention_dropout = (float)options->dropout;
    if (!status) {
        struct espi_task_options how = task_options(options);
        status = espi_job_init(ctx, &out->job, task, out->tokenizer, &out->checkpoint.config, &how);
    }
    if (status)
        espi_train_model_clear(out);
    return status;
}

void espi_train_model_clear(struct espi_train_model *model)
{
    esp_tokenizer_free(model->tokenizer);
    espi_checkpoint_clear(&model->checkpoint);
    *model = (struct espi_train_model){0};
}
