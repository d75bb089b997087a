/* SPDX-License-Identifier: Apache-2.0
 * A model that is ready to run: checkpoint or compiled file, tokenizer, threads, engine. */
#ifndef ESPI_CREATE_ANY_MODEL_H
#define ESPI_CREATE_ANY_MODEL_H

#include "base/team.h"
#include "model/checkpoint.h"
#include "model/engine.h"
#include "run/session.h"
#include "tasks/task.h"

/* Owner: the caller, zero-initialise; espi_any_model_close releases. */
struct espi_any_model {
    struct espi_checkpoint checkpoint; // of a directory
    struct espi_esp_model compiled;    // of a compiled file, and
    struct espi_plan plan;             // its plan
    esp_tokenizer *tokenizer;          // NULL when the model has none and none was required
    struct espi_team *team;
    struct espi_engine *engine;
};

/* Whether a path is a compiled file; else a checkpoint directory, another file, or nothing. */
int espi_any_model_recognize(esp_context *ctx, const char *path, bool *compiled) ESPI_NODISCARD;

/* Opens a checkpoint directory, or a compiled file (`path` outlives it). task: whose head the model has, where its
 * config.json names none; NULL: not said. threads 0: ESPALIER_THREADS, else all this process may use. */
int espi_any_model_open(esp_context *ctx, const char *path, const struct espi_task *task, size_t threads,
                        bool need_tokenizer, struct espi_any_model *out) ESPI_NODISCARD;

/* The same without team and engine. */
int espi_any_model_load(esp_context *ctx, const char *path, const struct espi_task *task, bool need_tokenizer,
                        struct espi_any_model *out) ESPI_NODISCARD;
/* A further engine on an open model; `team` (NULL: one thread) and the model outlive it. Free with engine->free. */
int espi_any_model_engine(esp_context *ctx, const struct espi_any_model *model, struct espi_team *team,
                          struct espi_engine **out) ESPI_NODISCARD;
static inline bool espi_any_model_is_compiled(const struct espi_any_model *model)
{
    return model->plan.length > 0;
}
static inline const struct espi_config *espi_any_model_config(const struct espi_any_model *model)
{
    return espi_any_model_is_compiled(model) ? &model->compiled.config : &model->checkpoint.config;
}

void espi_any_model_close(struct espi_any_model *model);

/* Only the tokenizer: of a directory, a tokenizer file or a compiled file. espi_any_model_close releases it. */
int espi_any_tokenizer_open(esp_context *ctx, const char *path, struct espi_any_model *out) ESPI_NODISCARD;

#endif
