/* SPDX-License-Identifier: Apache-2.0
 * Tagged words from anyone, in columns or JSON: words must lie in their text, and every file that can be read agrees with itself. */
#include "eval/metric.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct espi_example *example)
{
    if (example->word_count == 0 || (example->tags && strlen(example->tags[0]) == 0))
        abort();
    for (size_t i = 0; i < example->word_count; i++) {
        size_t end = i + 1 < example->word_count ? example->word_begin[i + 1] : example->text.bytes + 1;
        if (example->word_begin[i] + 1 > end || end > example->text.bytes + 1)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("conll", 0);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    esp_context *ctx = esp_context_new();
    struct espi_dataset *dataset = NULL;
    struct espi_example *example = NULL;
    const struct espi_task *tag = espi_task_find("tag");
    json_t *report = NULL;
    int status = espi_dataset_open(ctx, tag, path, NULL, &dataset);
    while (!status && espi_dataset_next(ctx, dataset, &example) > 0) {
        check(example);
        espi_example_free(example);
    }
    espi_dataset_close(dataset);
    if (!espi_metric_score_file(ctx, tag, path, path, NULL, NULL, &report)) {
        if (json_number_value(json_object_get(report, "accuracy")) < 100)
            abort();
        json_decref(report);
    }
    esp_context_free(ctx);
    close(fd);
    return 0;
}
