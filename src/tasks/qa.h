/* SPDX-License-Identifier: Apache-2.0
 * The parts of the question-answering task. */
#ifndef ESPI_TASKS_QA_H
#define ESPI_TASKS_QA_H

#include "tasks/task.h"

int espi_qa_consume(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                    struct espi_features *features, size_t window, const float *out) ESPI_NODISCARD;
int espi_qa_finish(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                   struct espi_features *features) ESPI_NODISCARD;

#endif
