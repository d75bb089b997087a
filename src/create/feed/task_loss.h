/* SPDX-License-Identifier: Apache-2.0
 * The loss of a task on a micro-batch (what Hugging Face's models and sentence-transformers compute):
 * qa the mean of the cross entropies of start and end over the tokens of the window; classify cross entropy, binary
 * cross entropy (multi-label) or squared error (regression); tag and mlm cross entropy of the targets; embed squared
 * error of the cosine, or contrastive within the micro-batch. */
#ifndef ESPI_CREATE_TASK_LOSS_H
#define ESPI_CREATE_TASK_LOSS_H

#include "base/team.h"
#include "create/feed/feed.h"

struct espi_task_loss_options {
    double label_smoothing; // qa, classify, tag, mlm
    bool contrastive;       // embed
    double temperature;     // contrastive; 0: 0.05
};

/* The result the task wants of a network for a micro-batch; `out` is left to the caller. */
struct espi_wanted espi_task_wanted(const struct espi_job *job, const struct espi_train_batch *batch);

/* result, d_result: of the wanted shape; adds to *loss and d_result. scale: 1 / units of the step for a mean. The team
 * (may be NULL) shares the rows; the bits do not depend on its size. */
int espi_task_loss(esp_context *ctx, const struct espi_job *job, const struct espi_task_loss_options *options,
                   const struct espi_train_batch *batch, const float *result, double scale, struct espi_team *team,
                   float *d_result, double *loss) ESPI_NODISCARD;

#endif
