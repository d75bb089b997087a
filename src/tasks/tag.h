/* SPDX-License-Identifier: Apache-2.0
 * The parts of the tagging task. */
#ifndef ESPI_TASKS_TAG_H
#define ESPI_TASKS_TAG_H

#include "tasks/task.h"

/* Answers about running text: entities as Hugging Face's TokenClassificationPipeline gives them. */
int espi_entities_consume(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                          struct espi_features *features, size_t window, const float *out) ESPI_NODISCARD;
void espi_entities_finish(struct espi_features *features);

#endif
