/* SPDX-License-Identifier: Apache-2.0
 * eval --save: writes a model's answers in the form eval --predictions reads. */
#ifndef ESPI_CLI_PREDICTIONS_H
#define ESPI_CLI_PREDICTIONS_H

#include "base/file.h"
#include "tasks/task.h"

/* Zero-initialise; the file appears when committed. */
struct cli_predictions {
    const struct espi_task *task;
    json_t *answers; // qa: {"id": "answer"}
    struct espi_output output;
};

/* ESP_ERR_ARGUMENT when the task's answers have no such form (mlm). */
int cli_predictions_create(esp_context *ctx, struct cli_predictions *predictions, const struct espi_task *task,
                           const char *path);
/* The answer of a job with options.evaluate; NULL: none (an empty line). */
int cli_predictions_add(esp_context *ctx, struct cli_predictions *predictions, const struct espi_example *example,
                        const struct espi_found *found);
int cli_predictions_commit(esp_context *ctx, struct cli_predictions *predictions);
void cli_predictions_abort(struct cli_predictions *predictions);

#endif
