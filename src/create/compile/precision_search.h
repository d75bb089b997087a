/* SPDX-License-Identifier: Apache-2.0
 * Which linear layers have to stay in higher precision so that a compiled model loses no more than it may: the fewest
 * that an ordered search finds.
 *
 *   1. int8 throughout: when its metric is good enough, that is the answer.
 *   2. Sensitivity of each layer: how much closer the model's result comes to that of fp32 when this layer alone falls
 *      back (a few examples; no metric).
 *   3. The most sensitive layers fall back, 1, 2, 4, … of them, then by bisection, until the metric is good enough.
 *   4. Each of these, the least sensitive first, returns to int8 where the metric allows it. */
#ifndef ESPI_CREATE_PRECISION_SEARCH_H
#define ESPI_CREATE_PRECISION_SEARCH_H

#include "model/esp_model.h"

/* What the search asks its caller for. `precisions`: one a linear layer, in the file's order. */
struct espi_search_trials {
    void *argument;
    int (*error)(void *argument, esp_context *ctx, const enum espi_precision *precisions,
                 double *error); // mean squared difference from fp32's results
    int (*metric)(void *argument, esp_context *ctx, const enum espi_precision *precisions,
                  double *metric); // higher is better
};

struct espi_search_options {
    double reference;             // the metric of fp32
    double max_drop;              // of it, relative: 0.01
    enum espi_precision fallback; // BF16 or FP32
    double seconds;               // no new trial after that long; 0: no limit
};

/* What was found. */
struct espi_search_report {
    double reference; // the metric of fp32
    double metric;
    bool met;               // the metric is good enough
    bool out_of_time;       // fewer layers or a better metric might have been found
    size_t fallen;          // layers that fell back
    size_t metrics, errors; // trials
    double seconds;
    double *gains; // (linears) share of int8's error that goes when the layer falls back; free(); NULL: not needed
};

/* precisions: (linears) out. What is best when time is up or nothing is good enough: the highest metric, at the fewest
 * layers. Says in the log what it does. Errors are those of the trials. */
int espi_precision_search(esp_context *ctx, const struct espi_search_options *options,
                          const struct espi_search_trials *trials, size_t linears, enum espi_precision *precisions,
                          struct espi_search_report *report) ESPI_NODISCARD;

#endif
