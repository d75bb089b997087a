/* SPDX-License-Identifier: Apache-2.0
 * The parts of the question-answering task. */
#ifndef ESPI_TASKS_QA_H
#define ESPI_TASKS_QA_H

#include "tasks/task.h"

int espi_qa_consume(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                    struct espi_features *features, size_t window, const float *out) ESPI_NODISCARD;
int espi_qa_finish(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                   struct espi_features *features) ESPI_NODISCARD;

int espi_qa_metric_new(esp_context *ctx, const struct espi_job *job, struct espi_metric **out) ESPI_NODISCARD;
int espi_qa_score(esp_context *ctx, struct espi_metric *metric, struct espi_dataset *dataset,
                  const char *predictions) ESPI_NODISCARD;

/* Exact match and F1 of two answers by the rules of SQuAD: lower case, without punctuation and articles, white space
 * made single; F1 over the bags of words. With `empty_matches` (SQuAD 2) two answers without words are equal and one
 * without words matches nothing else; without it, F1 needs a common word. */
int espi_squad_compare(esp_context *ctx, const char *prediction, size_t prediction_bytes, const char *gold,
                       size_t gold_bytes, bool empty_matches, double *exact, double *f1) ESPI_NODISCARD;

#endif
