/* SPDX-License-Identifier: Apache-2.0
 * The options of tasks, shared by run, eval and compile as argp children; those of training, by train and prune. */
#ifndef ESPI_CLI_TASK_OPTIONS_H
#define ESPI_CLI_TASK_OPTIONS_H

#include "create/train/train_options.h"
#include "espalier_create.h"
#include "tasks/task.h"

#include <argp.h>

struct cli_task_options {
    const struct espi_task *task; // NULL: by the model's head
    size_t threads;               // 0: by the environment
    size_t batch_tokens;          // 0: the pipeline's default
    struct espi_task_options task_options;
};

/* The same for a data set, as espalier_create.h has it. */
esp_data_options cli_data_options(const struct cli_task_options *options);

/* Of a model's task, and of the data sets it is evaluated on. The input of both parsers is a struct cli_task_options (set
 * state->child_inputs in ARGP_KEY_INIT). */
extern const struct argp cli_task_argp, cli_data_argp;

/* The argument of a training option as tables have it, the words it may be where there are some. Made once a row, and kept. */
const char *cli_training_argument(const struct espi_train_option *option);

#endif
