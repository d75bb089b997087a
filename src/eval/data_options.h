/* SPDX-License-Identifier: Apache-2.0
 * How espalier_create.h says that a data set is read. */
#ifndef ESPI_EVAL_DATA_OPTIONS_H
#define ESPI_EVAL_DATA_OPTIONS_H

#include "espalier_create.h"
#include "tasks/task.h"

/* Texts are borrowed. `evaluate` is set. */
struct espi_task_options espi_data_task_options(const esp_data_options *options);
/* NULL: the one of the model's head. */
const struct espi_task *espi_data_task(const esp_data_options *options);
int espi_data_options_check(esp_context *ctx, const esp_data_options *options) ESPI_NODISCARD;

#endif
