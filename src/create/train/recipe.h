/* SPDX-License-Identifier: Apache-2.0
 * A training run of several stages from a JSON file (docs/training.md has the schema):
 *
 *   {"description": "…", "task": "qa", "train": "train.json",          options of every stage
 *    "stages": [{"name": "finetune", "epochs": 2, …},
 *               {"name": "prune", "teacher": "stage:finetune", "sparsity": 0.8, …}]}
 *
 * A stage starts from the result of the one before, unless it says what to start from. Keys are the names of
 * train_options.inc. */
#ifndef ESPI_CREATE_RECIPE_H
#define ESPI_CREATE_RECIPE_H

#include "create/train/trainer.h"

/* Owner: the caller; zero-initialise, clear releases. Options borrow their texts from it. */
struct espi_recipe {
    struct espi_stage {
        const char *name;
        struct espi_train_options options;
    } * stages; // (count)
    size_t count;
    struct espi_arena arena;
    struct espi_json document;
};

/* Reads and checks the file: unknown keys, types, ranges, names. `override` (may be NULL) is called for every stage's
 * options behind the file's own (the command line). directory: where the results go; texts that name a stage
 * ("stage:NAME") become paths there. model (may be NULL): what the first stage starts from, before the file's own. */
typedef int espi_recipe_override_fn(void *argument, esp_context *ctx, struct espi_train_options *options);
int espi_recipe_read(esp_context *ctx, const char *path, const char *directory, const char *model,
                     espi_recipe_override_fn *override, void *argument, struct espi_recipe *out) ESPI_NODISCARD;
void espi_recipe_clear(struct espi_recipe *recipe);

/* Runs the stages one after another; the result of stage NAME is DIR/NAME. Stages that are done are passed over with
 * run->resume. `report` is the last stage's. */
int espi_recipe_run(esp_context *ctx, const struct espi_recipe *recipe, const struct espi_train_run *run,
                    esp_train_report *report) ESPI_NODISCARD;

#endif
