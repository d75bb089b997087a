/* SPDX-License-Identifier: Apache-2.0
 * A model's figures over a data set: reads the examples, runs them through the pipeline, adds the answers to the metric. */
#ifndef ESPI_EVAL_EVALUATE_H
#define ESPI_EVAL_EVALUATE_H

#include "base/progress.h"
#include "eval/metric.h"
#include "tasks/pipeline.h"

/* Zero-initialise what is not used. */
struct espi_evaluation {
    const struct espi_job *job; // with options.evaluate
    struct espi_engine *engine;
    const char *path;        // the data set
    size_t limit;            // examples; 0: all
    size_t batch_tokens;     // 0: the pipeline's default
    struct espi_watch watch; // asked between examples
    espi_answer_fn *see;     // shown every answer; may be NULL
    void *cookie;            // for `see`
};

/* The metric's report with "task", "failed" (examples without an answer: they are warned about and count as wrong),
 * "seconds" and "examples_per_s". The caller owns it. ESP_ERR_FORMAT: no examples, or none that could be used. */
int espi_evaluate(esp_context *ctx, const struct espi_evaluation *evaluation, json_t **report) ESPI_NODISCARD;

/* The figure to compare models by. */
double espi_report_main(const json_t *report);

#endif
