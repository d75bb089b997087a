/* SPDX-License-Identifier: Apache-2.0
 * eval --save: writes a model's answers in the form eval --predictions reads. */
#ifndef ESPI_EVAL_PREDICTIONS_H
#define ESPI_EVAL_PREDICTIONS_H

#include "base/file.h"
#include "tasks/task.h"

/* Zero-initialise; the file appears when committed. */
struct espi_predictions {
    const struct espi_task *task;
    json_t *answers; // qa: {"id": "answer"}
    struct espi_output output;
};

/* ESP_ERR_ARGUMENT when the task's answers have no such form (mlm). */
int espi_predictions_create(esp_context *ctx, struct espi_predictions *predictions, const struct espi_task *task,
                            const char *path) ESPI_NODISCARD;
/* The answer of a job with options.evaluate; NULL: none (an empty line). */
int espi_predictions_add(esp_context *ctx, struct espi_predictions *predictions, const struct espi_example *example,
                         const struct espi_found *found) ESPI_NODISCARD;
int espi_predictions_commit(esp_context *ctx, struct espi_predictions *predictions) ESPI_NODISCARD;
void espi_predictions_abort(struct espi_predictions *predictions);

#endif
