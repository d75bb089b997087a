/* SPDX-License-Identifier: Apache-2.0
 * The parts of the classification task. */
#ifndef ESPI_TASKS_CLASSIFY_H
#define ESPI_TASKS_CLASSIFY_H

#include "tasks/task.h"

/* The labels an example of a multi-label data set has: wanted[i] is 1 or 0 for each label of the model. A label may
 * join several by commas, as tables do. */
int espi_classify_wanted(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                         float *wanted) ESPI_NODISCARD;

/* Labels joined by commas, or one whose name has a comma: wanted[i] = 1 for each. ESP_ERR_FORMAT names the label. */
int espi_classify_parse_labels(esp_context *ctx, const struct espi_job *job, const char *joined,
                               float *wanted) ESPI_NODISCARD;
/* Adds the labels with chosen[i] > 0. */
int espi_classify_labels(esp_context *ctx, const struct espi_job *job, const float *chosen,
                         struct espi_found *found) ESPI_NODISCARD;

/* The number a label states. ESP_ERR_FORMAT names the example. */
int espi_example_number(esp_context *ctx, const struct espi_example *example, double *out) ESPI_NODISCARD;

#endif
