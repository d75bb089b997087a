/* SPDX-License-Identifier: Apache-2.0
 * The parts of the tagging task. */
#ifndef ESPI_TASKS_TAG_H
#define ESPI_TASKS_TAG_H

#include "tasks/task.h"

/* Answers about running text: entities as Hugging Face's TokenClassificationPipeline gives them. */
int espi_entities_consume(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                          struct espi_features *features, size_t window, const float *out) ESPI_NODISCARD;
void espi_entities_finish(struct espi_features *features);

int espi_tag_metric_new(esp_context *ctx, const struct espi_job *job, struct espi_metric **out) ESPI_NODISCARD;
int espi_tag_score(esp_context *ctx, struct espi_metric *metric, struct espi_dataset *dataset,
                   const char *predictions) ESPI_NODISCARD;

#endif
