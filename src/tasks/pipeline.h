/* SPDX-License-Identifier: Apache-2.0
 * The pipeline: examples in, answers out, in the same order, with full batches in between.
 *
 * The windows of the examples pushed stand one after another in a queue; whenever they fill a batch it is run, and the
 * answers of the examples whose windows are all done are delivered. An example of many windows is spread over as many
 * batches as it takes. Memory is bounded by one batch of engine results and the features of the examples in the queue,
 * whatever the length of the input. Windows are not sorted by length: a ragged batch has no padding to save.
 */
#ifndef ESPI_TASKS_PIPELINE_H
#define ESPI_TASKS_PIPELINE_H

#include "tasks/task.h"

/* One delivered answer; all pointers are valid during the call only. */
struct espi_answer {
    const struct espi_example *example; // NULL for one that was pushed as an error
    void *cookie;                       // as pushed
    int status;                         // ESP_OK, or why this example has no answer
    const char *error;                  // its text; "" when there is none
    const struct espi_found *found;     // NULL when status is not ESP_OK
};

/* A negative status stops the pipeline: push or flush returns it. Must not push. */
typedef int espi_answer_fn(void *cookie, esp_context *ctx, const struct espi_answer *answer);

/* Owner: the caller. Thread rule: one thread at a time. */
struct espi_pipeline;

/* `job` and `engine` outlive the pipeline. batch_tokens: most tokens of a batch, 0 for the default of 4,096; a batch of
 * one window may be larger. */
int espi_pipeline_new(esp_context *ctx, const struct espi_job *job, struct espi_engine *engine, size_t batch_tokens,
                      espi_answer_fn *deliver, void *deliver_cookie, struct espi_pipeline **out) ESPI_NODISCARD;
/* Takes the example over, also on failure. An example that cannot be encoded or decoded gets an answer with its error;
 * only what hits all (out of memory, the engine, the callback) is returned, after which the pipeline can only be
 * freed. */
int espi_pipeline_push(struct espi_pipeline *pipeline, esp_context *ctx, struct espi_example *example,
                       void *cookie) ESPI_NODISCARD;
/* Puts an answer that is an error in its place in the order: a line that is no example. */
int espi_pipeline_push_error(struct espi_pipeline *pipeline, esp_context *ctx, int status, const char *error,
                             void *cookie) ESPI_NODISCARD;
/* Runs what is queued and delivers all answers. */
int espi_pipeline_flush(struct espi_pipeline *pipeline, esp_context *ctx) ESPI_NODISCARD;
void espi_pipeline_free(struct espi_pipeline *pipeline);

#endif
