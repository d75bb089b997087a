/* SPDX-License-Identifier: Apache-2.0
 * What there is for each task to evaluate it: its reader of data sets, its metric, and the form in which other systems hand
 * in predictions. The rows are in evaluators.inc. */
#ifndef ESPI_EVAL_EVALUATOR_H
#define ESPI_EVAL_EVALUATOR_H

#include "eval/metric.h"

typedef int espi_open_fn(esp_context *ctx, const char *path, const struct espi_task_options *options,
                         struct espi_dataset **out);
typedef int espi_metric_new_fn(esp_context *ctx, const struct espi_job *job, struct espi_metric **out);
/* Scores a file of predictions; see espi_metric_score_file. */
typedef int espi_score_fn(esp_context *ctx, struct espi_metric *metric, struct espi_dataset *dataset,
                          const char *predictions);

struct espi_evaluator {
    const struct espi_task *task;
    espi_open_fn *open;
    espi_metric_new_fn *metric_new;
    espi_score_fn *score; // NULL: it has no such form
};

/* Never NULL. */
const struct espi_evaluator *espi_evaluator_of(const struct espi_task *task);

espi_open_fn espi_squad_open, espi_table_open, espi_tag_open, espi_plain_open;
espi_metric_new_fn espi_qa_metric_new, espi_classify_metric_new, espi_tag_metric_new, espi_similarity_metric_new,
    espi_mlm_metric_new;
espi_score_fn espi_qa_score, espi_classify_score, espi_tag_score, espi_similarity_score;

/* Exact match and F1 of two answers by the rules of SQuAD: lower case, without punctuation and articles, white space
 * made single; F1 over the bags of words. With `empty_matches` (SQuAD 2) two answers without words are equal and one
 * without words matches nothing else; without it, F1 needs a common word. */
int espi_squad_compare(esp_context *ctx, const char *prediction, size_t prediction_bytes, const char *gold,
                       size_t gold_bytes, bool empty_matches, double *exact, double *f1) ESPI_NODISCARD;

#endif
