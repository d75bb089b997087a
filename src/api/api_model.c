/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_private.h"

#include "base/floats.h"
#include "model/vocabulary.h"

#include <stdlib.h>
#include <string.h>

/* ---- tasks ----------------------------------------------------------------------------------------------------------- */

const char *esp_task_name(esp_task task)
{
    switch (task) {
    case ESP_TASK_QA:
        return "qa";
    case ESP_TASK_CLASSIFY:
        return "classify";
    case ESP_TASK_TAG:
        return "tag";
    case ESP_TASK_EMBED:
        return "embed";
    case ESP_TASK_MLM:
        return "mlm";
    case ESP_TASK_DEFAULT:
        break;
    }
    return "default";
}

static esp_task number_of(const struct espi_task *task)
{
    for (esp_task number = ESP_TASK_QA; number <= ESP_TASK_MLM; number++)
        if (strcmp(esp_task_name(number), task->name) == 0)
            return number;
    return ESP_TASK_DEFAULT;
}

const struct espi_task *espi_api_task(const struct esp_model *model, esp_task task)
{
    return espi_task_find(esp_task_name(task == ESP_TASK_DEFAULT ? model->facts.task : task));
}

_Static_assert((int)ESP_MODEL_ALIGN == (int)ESPI_ESP_ALIGN, "what espalier.h asks for is what the sections need");

/* ---- models ---------------------------------------------------------------------------------------------------------- */

static struct esp_model_facts facts_of(const struct esp_model *model)
{
    const struct espi_config *config = &model->file.config;
    return (struct esp_model_facts){.task = number_of(espi_task_for_head(config->head)),
                                    .layers = config->layers,
                                    .hidden = config->hidden,
                                    .heads = config->heads,
                                    .intermediate = config->intermediate,
                                    .vocabulary = config->vocab_size,
                                    .token_types = config->type_vocab,
                                    .max_length = config->max_positions,
                                    .labels = config->labels,
                                    .label_names = config->label_names,
                                    .has_pooler = espi_config_has_pooler(config),
                                    .embedding = config->embedding,
                                    .normalized = config->normalize,
                                    .has_tokenizer = model->tokenizer != NULL,
                                    .file_bytes = model->file.file.bytes};
}

/* Where a compiled file is. */
struct place {
    const char *path; // for messages, too
    const void *data; // (bytes), or NULL: a file
    size_t bytes;
};

static int load(esp_context *ctx, const struct place *place, const esp_model_options *options, struct esp_model *model)
{
    const struct espi_esp_opening how = {.skip_checksums = options->skip_checksums, .copy = options->copy};
    model->path = strdup(place->path);
    if (!model->path)
        return espi_fail_memory(ctx, strlen(place->path) + 1);
    int status = place->data ? espi_esp_model_load(ctx, model->path, place->data, place->bytes, &how, &model->file)
                             : espi_esp_model_open_as(ctx, model->path, &how, &model->file);
    if (!status && model->file.tokenizer)
        status = espi_esp_model_tokenizer(ctx, &model->file, &model->tokenizer);
    if (!status && model->tokenizer)
        espi_vocabulary_check(ctx, model->path, &model->file.config, model->tokenizer);
    if (!status)
        status = espi_plan_make(ctx, &model->file, &model->plan);
    if (!status)
        model->facts = facts_of(model);
    return status;
}

static int new_model(esp_context *ctx, const struct place *place, const esp_model_options *options, esp_model **out)
{
    static const esp_model_options defaults = {0};
    options = options ? options : &defaults;
    int status = ESPI_RESERVED_CHECK(ctx, "esp_model_options", options, reserved_flags);
    if (status)
        return status;
    if (place->data && !options->copy && (uintptr_t)place->data % ESP_MODEL_ALIGN)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "%s: expected the address of data to be a multiple of %d, or options.copy, found %p",
                         place->path, ESP_MODEL_ALIGN, place->data);
    struct esp_model *model = espi_calloc(ctx, 1, sizeof *model);
    if (!model)
        return ESP_ERR_MEMORY;
    fenv_t caller;
    espi_floats_enter(&caller);
    status = load(ctx, place, options, model);
    espi_floats_leave(&caller);
    if (status)
        esp_model_free(model);
    else
        *out = model;
    return status;
}

int esp_model_load(esp_context *ctx, const char *path, const esp_model_options *options, esp_model **out)
{
    if (!out)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_model_load: out is NULL");
    *out = NULL;
    if (!path)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_model_load: the path is NULL");
    return new_model(ctx, &(struct place){.path = path}, options, out);
}

int esp_model_load_memory(esp_context *ctx, const void *data, size_t bytes, const esp_model_options *options,
                          esp_model **out)
{
    if (!out)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_model_load_memory: out is NULL");
    *out = NULL;
    if (!data)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_model_load_memory: the data is NULL");
    return new_model(ctx, &(struct place){.path = "memory", .data = data, .bytes = bytes}, options, out);
}

void esp_model_free(esp_model *model)
{
    if (!model)
        return;
    espi_plan_clear(&model->plan);
    esp_tokenizer_free(model->tokenizer);
    espi_esp_model_close(&model->file);
    free(model->path);
    free(model);
}

const esp_model_facts *esp_model_get_facts(const esp_model *model)
{
    return model ? &model->facts : NULL;
}

const esp_tokenizer *esp_model_get_tokenizer(const esp_model *model)
{
    return model ? model->tokenizer : NULL;
}
