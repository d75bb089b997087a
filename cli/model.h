/* SPDX-License-Identifier: Apache-2.0
 * A model that is ready to run: checkpoint or compiled file, tokenizer, threads, engine. */
#ifndef ESPI_CLI_MODEL_H
#define ESPI_CLI_MODEL_H

#include "base/team.h"
#include "model/checkpoint.h"
#include "model/engine.h"
#include "run/session.h"

/* Owner: the caller, zero-initialise; cli_model_close releases. */
struct cli_model {
    struct espi_checkpoint checkpoint; // of a directory
    struct espi_esp_model compiled;    // of a compiled file, and
    struct espi_plan plan;             // its plan
    esp_tokenizer *tokenizer;          // NULL when the model has none and none was required
    struct espi_team *team;
    struct espi_engine *engine;
};

/* Opens a checkpoint directory, or a compiled file (`path` outlives it). threads 0: ESPALIER_THREADS, else all this process may use. */
int cli_model_open(esp_context *ctx, const char *path, size_t threads, bool need_tokenizer, struct cli_model *out);
void cli_model_close(struct cli_model *model);

/* Only the tokenizer: of a directory, a tokenizer file or a compiled file. cli_model_close releases it. */
int cli_tokenizer_open(esp_context *ctx, const char *path, struct cli_model *out);

#endif
