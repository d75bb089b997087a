/* SPDX-License-Identifier: Apache-2.0 */
#include "create/feed/examples.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_TOKENS = 4096 };

void espi_examples_clear(struct espi_examples *examples)
{
    free(examples->batches);
    free(examples->ids);
    free(examples->types);
    free(examples->starts);
    free(examples->batch_starts);
    *examples = (struct espi_examples){0};
}

/* The first `most` windows. */
static int add_windows(esp_context *ctx, const struct espi_features *features, size_t most, struct espi_examples *to)
{
    int status = ESP_OK;
    for (size_t i = 0; !status && i < espi_size_min(espi_features_windows(features), most); i++) {
        struct espi_window window = espi_features_window(features, i);
        if ((status = espi_grow(ctx, &to->ids, &to->id_room, to->tokens + window.tokens, sizeof *to->ids)) ||
            (status = espi_grow(ctx, &to->types, &to->type_room, to->tokens + window.tokens, sizeof *to->types)) ||
            (status = espi_grow(ctx, &to->starts, &to->start_room, to->windows + 2, sizeof *to->starts)))
            break;
        memcpy(to->ids + to->tokens, window.ids, window.tokens * sizeof *to->ids);
        memcpy(to->types + to->tokens, window.types, window.tokens * sizeof *to->types);
        to->starts[to->windows++] = (uint32_t)to->tokens;
        to->tokens += window.tokens;
        to->starts[to->windows] = (uint32_t)to->tokens;
    }
    return status;
}

static int read_windows(esp_context *ctx, const struct espi_job *job, const char *path, size_t limit,
                        struct espi_examples *to)
{
    struct espi_dataset *dataset = NULL;
    struct espi_features features = {0};
    bool documents = job->config->head == ESPI_HEAD_MLM; // of many windows each: it is the windows that count
    size_t used = 0;
    int status = espi_dataset_open(ctx, job->task, path, &job->options, &dataset);
    while (!status && used < limit && to->tokens < UINT32_MAX / 2) {
        struct espi_example *example;
        int found = espi_dataset_next(ctx, dataset, &example);
        if (found <= 0) {
            status = found;
            break;
        }
        status = espi_features_encode(ctx, job, example, &features);
        if (!status)
            status = add_windows(ctx, &features, documents ? limit - used : SIZE_MAX, to);
        else if (status == ESP_ERR_ARGUMENT) // an example that cannot be encoded
            status = ESP_OK;
        espi_example_free(example);
        used = documents ? to->windows : used + 1;
    }
    espi_features_clear(&features);
    espi_dataset_close(dataset);
    if (!status && !to->windows)
        status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected examples, found none", path);
    return status;
}

static int cut_batches(esp_context *ctx, struct espi_examples *e)
{
    e->batches = espi_calloc(ctx, e->windows, sizeof *e->batches);
    e->batch_starts = espi_calloc(ctx, 2 * e->windows, sizeof *e->batch_starts); // a batch has one more than windows
    if (!e->batches || !e->batch_starts)
        return ESP_ERR_MEMORY;
    uint32_t *next = e->batch_starts;
    for (size_t first = 0, end; first < e->windows; first = end) {
        uint32_t begin = e->starts[first];
        struct espi_batch *batch = &e->batches[e->count++];
        for (end = first + 1; end < e->windows && e->starts[end + 1] - begin <= BATCH_TOKENS; end++)
            continue;
        *batch = (struct espi_batch){.sequences = end - first,
                                     .tokens = e->starts[end] - begin,
                                     .starts = next,
                                     .ids = e->ids + begin,
                                     .types = e->types + begin};
        for (size_t i = first; i <= end; i++)
            *next++ = e->starts[i] - begin;
    }
    return ESP_OK;
}

int espi_examples_read(esp_context *ctx, const struct espi_job *job, const char *path, size_t limit,
                       struct espi_examples *out)
{
    *out = (struct espi_examples){0};
    int status = read_windows(ctx, job, path, limit, out);
    if (!status)
        status = cut_batches(ctx, out);
    if (status)
        espi_examples_clear(out);
    return status;
}
