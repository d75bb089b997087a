/* SPDX-License-Identifier: Apache-2.0
 * TSV, CSV and JSON Lines from anyone. The first byte picks format and columns; the rest is the file, which is also
 * scored against itself. */
#include "eval/metric.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char path[64];
    int fd = memfd_create("table", 0);
    if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const struct espi_task_options options = {
        .format = ESPI_FORMAT_TSV + (enum espi_format)(data[0] % 3),
        .text_column = data[0] & 8    ? "2"
                       : data[0] & 16 ? "sentence"
                                      : NULL,
        .label_column = data[0] & 32   ? "1"
                        : data[0] & 64 ? "label"
                                       : NULL,
    };
    esp_context *ctx = esp_context_new();
    json_t *report = NULL;
    const struct espi_task *task = espi_task_find(data[0] & 128 ? "embed" : "classify");
    if (!espi_metric_score_file(ctx, task, path, path, &options, NULL, &report))
        json_decref(report);
    struct espi_arena arena = {0};
    const char **labels;
    size_t count;
    if (espi_dataset_labels(ctx, task, path, &options, &arena, &labels, &count) == ESP_OK && count == 0)
        abort();
    espi_arena_clear(&arena);
    esp_context_free(ctx);
    close(fd);
    return 0;
}
