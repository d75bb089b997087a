/* SPDX-License-Identifier: Apache-2.0 */
#include "create/compile/calibrate_pass.h"

#include "base/memory.h"

#include <stdlib.h>

int espi_calibrate_run(esp_context *ctx, struct espi_engine *engine, const struct espi_batch *examples, size_t count,
                       const char *label, const struct espi_calibrate_pass *pass)
{
    struct espi_progress progress = {.watch = pass->watch, .label = label, .unit = "batches", .total = count};
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        most = examples[i].tokens > most ? examples[i].tokens : most;
    float *hidden = espi_calloc(ctx, most, engine->config->hidden * sizeof *hidden);
    int status = hidden ? ESP_OK : ESP_ERR_MEMORY;
    for (size_t i = 0; !status && i < count; i++) {
        struct espi_wanted wanted = {.result = ESPI_RESULT_HIDDEN, .out = hidden};
        espi_progress_update(&progress, i, NULL);
        status = espi_watch_stops(&pass->watch) ? espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted")
                                                : engine->run(engine, ctx, &examples[i], &wanted);
        progress.done = i + !status;
    }
    espi_progress_end(&progress, NULL);
    free(hidden);
    return status;
}
