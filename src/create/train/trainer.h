/* SPDX-License-Identifier: Apache-2.0
 * Runs one stage of training: steps, evaluation, checkpoints, log.
 *
 * The same options, seed and data give the same weights, bit for bit, with any number of threads, and whether or not the
 * run was stopped and resumed on the way. (bf16 and fp32 products differ, and so do CPUs on which oneDNN has other
 * kernels, and numbers of MPI ranks.) */
#ifndef ESPI_CREATE_TRAINER_H
#define ESPI_CREATE_TRAINER_H

#include "base/progress.h"
#include "create/train/parallel.h"
#include "create/train/train_options.h"

struct espi_train_run {
    const char *directory; // of the result; see train_record.h for what stands there meanwhile
    bool resume;
    bool
        keep; // a run that is stopped, or fails, leaves what resuming needs; else whoever asked for it removes the files
    struct espi_parallel *parallel; // NULL: one process
    struct espi_watch watch;        // asked between steps: a run that is stopped writes a checkpoint
};

/* ESP_ERR_LIMIT: the loss or a gradient is not finite; the message has the step, the last checkpoint is kept. Other
 * errors as those of the parts. */
int espi_train(esp_context *ctx, const struct espi_train_options *options, const struct espi_train_run *run,
               esp_train_report *report) ESPI_NODISCARD;

#endif
