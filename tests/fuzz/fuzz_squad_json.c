/* SPDX-License-Identifier: Apache-2.0
 * SQuAD JSON from anyone: read, and score every accepted answer against its own question. */
#include "eval/metric.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void score(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example)
{
    esp_item item = {0};
    const struct espi_found prediction = {.items = &item, .count = 1};
    if (example->answer_count > 0) {
        item.text = example->answers[0].text.data;
        item.text_bytes = example->answers[0].text.bytes;
    }
    if (espi_metric_add(ctx, metric, example, item.text ? &prediction : NULL))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("squad", 0);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    esp_context *ctx = esp_context_new();
    struct espi_dataset *dataset = NULL;
    struct espi_metric *metric = NULL;
    struct espi_example *example = NULL;
    json_t *report = NULL;
    if (espi_metric_new(ctx, espi_task_find("qa"), NULL, &metric))
        abort();
    if (!espi_dataset_open(ctx, espi_task_find("qa"), path, NULL, &dataset)) {
        while (espi_dataset_next(ctx, dataset, &example) > 0) {
            score(ctx, metric, example);
            espi_example_free(example);
        }
    }
    if (!espi_metric_finish(ctx, metric, &report))
        json_decref(report);
    espi_metric_free(metric);
    espi_dataset_close(dataset);
    esp_context_free(ctx);
    close(fd);
    return 0;
}
