/* SPDX-License-Identifier: Apache-2.0
 * Pruning without training: scores from the weights alone, or from the gradients of one pass over calibration data with
 * the task's loss, then one mask for all.
 *
 * The gradients are those of a training step without dropout, of options.batch_size items each; scores count every step
 * alike (pruner.h, momentum 1). */
#ifndef ESPI_CREATE_ONE_SHOT_H
#define ESPI_CREATE_ONE_SHOT_H

#include "base/progress.h"
#include "create/train/train_options.h"
#include "model/checkpoint.h"

/* Those of training, but magnitude, which needs no data; 512 examples, 8 at a time, in fp32, which is the same on every CPU. */
void espi_prune_options_default(struct espi_train_options *options);

/* Prunes the checkpoint options->model into a new or empty directory: first heads and neurons as remove_heads and remove_neurons say (structure.h; by
 * magnitude, or with any other score by first order), then, scored anew, the weights of what is left as sparsity, pattern,
 * score, prune_scope and layer_max say. Scores of gradients
 * need data: options->train; options->task (set to the task of the model's head when NULL) and the options of the data
 * say how it is read. ESP_ERR_ARGUMENT: such a score without data; a task the model's head is not for; what
 * espi_pruner_new refuses. Owner of *out: the caller. */
int espi_prune_one_shot(esp_context *ctx, struct espi_train_options *options, const struct espi_watch *watch,
                        const char *directory, struct espi_checkpoint *out) ESPI_NODISCARD;

#endif
