/* SPDX-License-Identifier: Apache-2.0 */
#include "create/open/any_model.h"

#include "base/file.h"
#include "create/network/network.h"
#include "model/vocabulary.h"

static int open_checkpoint(esp_context *ctx, const char *path, const struct espi_task *task, bool need_tokenizer,
                           struct espi_any_model *out)
{
    int status = espi_checkpoint_read_for(ctx, path, task ? task->head : ESPI_HEAD_NONE, &out->checkpoint);
    if (!status && need_tokenizer)
        status = esp_tokenizer_open(ctx, path, &out->tokenizer);
    if (!status && need_tokenizer)
        espi_vocabulary_check(ctx, path, &out->checkpoint.config, out->tokenizer);
    return status;
}

static int open_compiled(esp_context *ctx, const char *path, bool need_tokenizer, struct espi_any_model *out)
{
    int status = espi_esp_model_open(ctx, path, &out->compiled);
    if (!status && need_tokenizer)
        status = espi_esp_model_tokenizer(ctx, &out->compiled, &out->tokenizer);
    if (!status && need_tokenizer)
        espi_vocabulary_check(ctx, path, &out->compiled.config, out->tokenizer);
    return status ? status : espi_plan_make(ctx, &out->compiled, &out->plan);
}

static int recognize(esp_context *ctx, const char *path, enum espi_path_kind *kind, bool *compiled)
{
    *compiled = false;
    int status = espi_path_look(ctx, path, kind);
    return status || *kind != ESPI_PATH_FILE ? status : espi_esp_recognize(ctx, path, compiled);
}

int espi_any_model_recognize(esp_context *ctx, const char *path, bool *compiled)
{
    enum espi_path_kind kind;
    return recognize(ctx, path, &kind, compiled);
}

int espi_any_model_load(esp_context *ctx, const char *path, const struct espi_task *task, bool need_tokenizer,
                        struct espi_any_model *out)
{
    *out = (struct espi_any_model){0};
    enum espi_path_kind kind;
    bool compiled;
    int status = recognize(ctx, path, &kind, &compiled);
    if (status)
        return status;
    if (kind == ESPI_PATH_FILE && !compiled)
        return espi_fail(
            ctx, ESP_ERR_FORMAT,
            "%s: expected a checkpoint directory (config.json, model.safetensors) or a compiled file, found "
            "another file",
            path);
    status = compiled ? open_compiled(ctx, path, need_tokenizer, out)
                      : open_checkpoint(ctx, path, task, need_tokenizer, out);
    if (status)
        espi_any_model_close(out);
    return status;
}

int espi_any_model_engine(esp_context *ctx, const struct espi_any_model *model, struct espi_team *team,
                          struct espi_engine **out)
{
    if (espi_any_model_is_compiled(model))
        return espi_session_new(ctx, &model->plan, team, ESPI_SESSION_CAPACITY, out);
    return espi_network_engine_new(ctx, &model->checkpoint.config, &model->checkpoint.params, team, out);
}

int espi_any_model_open(esp_context *ctx, const char *path, const struct espi_task *task, size_t threads,
                        bool need_tokenizer, struct espi_any_model *out)
{
    int status = espi_any_model_load(ctx, path, task, need_tokenizer, out);
    if (!status)
        status = espi_team_new(ctx, threads, &out->team);
    if (!status)
        status = espi_any_model_engine(ctx, out, out->team, &out->engine);
    if (status)
        espi_any_model_close(out);
    return status;
}

int espi_any_tokenizer_open(esp_context *ctx, const char *path, struct espi_any_model *out)
{
    *out = (struct espi_any_model){0};
    bool compiled;
    int status = espi_any_model_recognize(ctx, path, &compiled);
    if (status || !compiled)
        return status ? status : esp_tokenizer_open(ctx, path, &out->tokenizer);
    status = espi_esp_model_open(ctx, path, &out->compiled);
    return status ? status : espi_esp_model_tokenizer(ctx, &out->compiled, &out->tokenizer);
}

void espi_any_model_close(struct espi_any_model *model)
{
    if (model->engine)
        model->engine->free(model->engine);
    espi_team_free(model->team);
    esp_tokenizer_free(model->tokenizer);
    espi_plan_clear(&model->plan);
    espi_esp_model_close(&model->compiled);
    espi_checkpoint_clear(&model->checkpoint);
    *model = (struct espi_any_model){0};
}
