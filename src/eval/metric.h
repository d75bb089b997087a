/* SPDX-License-Identifier: Apache-2.0
 * Metrics: the official figures of a task over a data set. */
#ifndef ESPI_EVAL_METRIC_H
#define ESPI_EVAL_METRIC_H

#include "eval/dataset.h"

/* Owner: the caller. Thread rule: one thread at a time. Metrics embed this struct as their first member. */
struct espi_metric {
    const struct espi_task *task;
    const struct espi_job *job; // NULL when no model is at hand; outlives the metric
    size_t examples;            // added so far
    size_t missing;             // of these, without a prediction: they count as wrong
    const char *main;           // the figure to compare models by; may be chosen as late as in finish
    int (*add)(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example,
               const struct espi_found *prediction);
    int (*finish)(esp_context *ctx, struct espi_metric *metric, struct espi_json_writer *report);
    void (*free)(struct espi_metric *metric);
};

/* `job` may be NULL: labels are then compared as they are written. */
int espi_metric_new(esp_context *ctx, const struct espi_task *task, const struct espi_job *job,
                    struct espi_metric **out) ESPI_NODISCARD;
/* Adds an example and its answer, of a job with options.evaluate; NULL: there is none (it counts as wrong, where the
 * metric has such a notion, and is reported as missing). */
int espi_metric_add(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example,
                    const struct espi_found *prediction) ESPI_NODISCARD;
/* The report: {"examples", "missing", "metric", figures…}. The caller owns it. "metric" names the figure to compare
 * models by. Units are those of the official script: percent for qa and tag, fractions for the rest. */
int espi_metric_finish(esp_context *ctx, struct espi_metric *metric, json_t **report) ESPI_NODISCARD;
/* Its members, into an object that has been begun. */
int espi_metric_put(esp_context *ctx, struct espi_metric *metric, struct espi_json_writer *report) ESPI_NODISCARD;
void espi_metric_free(struct espi_metric *metric);

/* Lines of a file of predictions, for the tasks' `score`: calls `add` for each example of the data set with the text of
 * its line. ESP_ERR_FORMAT when there are not as many of one as of the other. */
typedef int espi_line_fn(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example,
                         const char *text, size_t bytes);
int espi_metric_score_lines(esp_context *ctx, struct espi_metric *metric, struct espi_dataset *dataset,
                            const char *predictions, espi_line_fn *add) ESPI_NODISCARD;

/* Scores a file of predictions against a data set. No model is run; a job (it may be NULL) tells what its labels mean:
 * their numbers and names are the same label then, and multi-label and regression models are told apart.
 *   qa        one JSON object {"question id": "answer text", …}, as the official scripts take it
 *   classify  one label (or number, or several labels joined by commas) a line, in the order of the data set; an empty
 *             line: none; an optional header line "label", "prediction" or "index<TAB>prediction" (the GLUE submission
 *             form) is skipped
 *   embed     one similarity a line; an empty line: none
 *   tag       one tag a line in the last column, sentences separated by blank lines, as conlleval takes it
 * ESP_ERR_UNSUPPORTED for mlm. */
int espi_metric_score_file(esp_context *ctx, const struct espi_task *task, const char *data, const char *predictions,
                           const struct espi_task_options *options, const struct espi_job *job,
                           json_t **report) ESPI_NODISCARD;

#endif
