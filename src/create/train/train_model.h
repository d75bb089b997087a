/* SPDX-License-Identifier: Apache-2.0
 * The model a training stage starts from, with its tokenizer and task. */
#ifndef ESPI_CREATE_TRAIN_MODEL_H
#define ESPI_CREATE_TRAIN_MODEL_H

#include "create/train/train_options.h"
#include "model/checkpoint.h"
#include "tasks/task.h"

/* Owner: the caller; zero-initialise, clear releases. */
struct espi_train_model {
    struct espi_checkpoint checkpoint;
    esp_tokenizer *tokenizer;
    const char *tokenizer_from; // directory of the tokenizer's files, or a vocabulary file; borrowed
    struct espi_job job;        // options.evaluate is set
};

/* Opens what the options name: a checkpoint (another head is initialised from the seed), random weights of a config, or
 * some layers of a checkpoint; remove_heads and remove_neurons then take those of the least magnitude. `resumed` (may be
 * NULL): a checkpoint of the same run, taken as it is, with its tokenizer; nothing else that the model and the tokenizer
 * came from is read. The labels of a new head are those of the first file of training data. */
int espi_train_model_open(esp_context *ctx, const struct espi_train_options *options, const char *resumed,
                          struct espi_train_model *out) ESPI_NODISCARD;
void espi_train_model_clear(struct espi_train_model *model);

#endif
