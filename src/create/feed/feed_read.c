/* SPDX-License-Identifier: Apache-2.0
 * Data sets into windows. */
#include "base/size.h"
#include "create/feed/feed_private.h"
#include "tasks/mlm.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static int add_tokens(esp_context *ctx, struct espi_feed *feed, const int32_t *ids, const uint8_t *types, size_t count)
{
    int status = espi_grow(ctx, &feed->ids, &feed->id_room, feed->tokens + count, sizeof *feed->ids);
    if (!status)
        status = espi_grow(ctx, &feed->types, &feed->type_room, feed->tokens + count, sizeof *feed->types);
    if (status)
        return status;
    memcpy(feed->ids + feed->tokens, ids, count * sizeof *ids);
    memcpy(feed->types + feed->tokens, types, count);
    feed->tokens += count;
    return ESP_OK;
}

/* The tokens since the last end become a window. */
static int end_window(esp_context *ctx, struct espi_feed *feed)
{
    int status = espi_grow(ctx, &feed->starts, &feed->start_room, feed->windows + 2, sizeof *feed->starts);
    if (status)
        return status;
    if (feed->windows >= UINT32_MAX - 1)
        return espi_fail(ctx, ESP_ERR_LIMIT, "training data: more than %" PRIu32 " windows", UINT32_MAX);
    feed->starts[++feed->windows] = feed->tokens;
    return ESP_OK;
}

/* ---- examples ----------------------------------------------------------------------------------------------------------- */

static int add_labels(esp_context *ctx, struct espi_feed *feed, const struct espi_features *features, size_t before)
{
    size_t count = features->target_count;
    int status = espi_grow(ctx, &feed->labels, &feed->label_room, before + count, sizeof *feed->labels);
    if (!status && count)
        memcpy(feed->labels + before, features->targets, count * sizeof *feed->labels);
    return status;
}

static int add_values(esp_context *ctx, struct espi_feed *feed, const struct espi_features *features)
{
    size_t count = features->value_count, before = feed->windows / feed->windows_per_item * feed->values_per_item;
    if (!feed->values_per_item)
        return ESP_OK;
    int status = espi_grow(ctx, &feed->values, &feed->value_room, before + count, sizeof *feed->values);
    if (!status)
        memcpy(feed->values + before, features->values, count * sizeof *feed->values);
    return status;
}

/* Windows and targets. */
static int add_targets(esp_context *ctx, struct espi_feed *feed, const struct espi_example *example,
                       struct espi_features *features)
{
    int status = espi_features_encode(ctx, feed->job, example, features);
    if (!status)
        status = espi_features_targets(ctx, feed->job, example, features);
    if (!status)
        status = add_values(ctx, feed, features);
    if (!status)
        status = add_labels(ctx, feed, features,
                            feed->targets_per_window ? feed->windows * feed->targets_per_window : feed->tokens);
    return status;
}

/* Encodes one example and keeps its windows, of running text no more than `most`. Masked LM: targets are drawn step by
 * step. */
static int add_example(esp_context *ctx, struct espi_feed *feed, const struct espi_example *example, size_t most,
                       struct espi_features *features)
{
    bool text = feed->job->config->head == ESPI_HEAD_MLM;
    int status = text ? espi_mlm_encode(ctx, feed->job, example, &features->encoding)
                      : add_targets(ctx, feed, example, features);
    size_t windows = status ? 0 : espi_features_windows(features);
    for (size_t i = 0; !status && i < (text ? espi_size_min(windows, most) : windows); i++) {
        struct espi_window window = espi_features_window(features, i);
        status = add_tokens(ctx, feed, window.ids, window.types, window.tokens);
        if (!status)
            status = end_window(ctx, feed);
    }
    return status;
}

/* ---- files -------------------------------------------------------------------------------------------------------------- */

struct reader {
    struct espi_feed *feed;
    struct espi_features features;
    struct espi_progress progress;
    bool cut_said;
};

static int read_file(esp_context *ctx, struct reader *r, const char *path)
{
    struct espi_feed *feed = r->feed;
    struct espi_dataset *dataset = NULL;
    int status = espi_dataset_open(ctx, feed->job->task, path, &feed->job->options, &dataset);
    bool text = feed->job->config->head == ESPI_HEAD_MLM; // where a window is what others call an example
    size_t most = feed->options.max_examples ? feed->options.max_examples : SIZE_MAX, before = feed->windows;
    for (size_t read = 0; !status && read < most; read = text ? feed->windows - before : read + 1) {
        struct espi_example *example;
        if (espi_watch_stops(&feed->options.watch)) {
            status = espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted");
            break;
        }
        int found = espi_dataset_next(ctx, dataset, &example);
        if (found <= 0) {
            status = found;
            break;
        }
        status = add_example(ctx, feed, example, most - read, &r->features);
        if (!status)
            espi_features_say_cut(ctx, feed->job, example, &r->features, &r->cut_said);
        espi_example_free(example);
        espi_progress_update(&r->progress, r->progress.done + 1, NULL);
    }
    espi_dataset_close(dataset);
    return status;
}

/* Similarities that people gave on another scale (0 to 5) are brought to at most 1. */
static void scale_similarities(esp_context *ctx, struct espi_feed *feed)
{
    size_t count = feed->windows / feed->windows_per_item;
    float most = 1;
    for (size_t i = 0; i < count; i++)
        most = fmaxf(most, fabsf(feed->values[i]));
    for (size_t i = 0; most > 1 && i < count; i++)
        feed->values[i] /= most;
    if (most > 1)
        espi_log(ctx, ESP_LOG_INFO, "similarities are divided by %g, the largest", (double)most);
}

static void set_shape(struct espi_feed *feed)
{
    const struct espi_config *config = feed->job->config;
    const struct espi_task *task = feed->job->task;
    feed->windows_per_item = task->result == ESPI_RESULT_EMBEDDING ? 2 : 1;
    feed->targets_per_window = config->head == ESPI_HEAD_QA ? 2 : config->head == ESPI_HEAD_SEQUENCE ? 1 : 0;
    if (task->result == ESPI_RESULT_EMBEDDING)
        feed->values_per_item = 1;
    else if (config->head == ESPI_HEAD_SEQUENCE && config->problem != ESPI_SINGLE_LABEL)
        feed->values_per_item = config->labels;
    if (feed->values_per_item)
        feed->targets_per_window = 0;
}

int espi_feed_read(esp_context *ctx, struct espi_feed *feed, const char *const *paths, size_t path_count)
{
    struct reader r = {.feed = feed};
    r.progress = (struct espi_progress){.watch = feed->options.watch, .label = "read", .unit = "examples"};
    set_shape(feed);
    int status = espi_grow(ctx, &feed->starts, &feed->start_room, 1, sizeof *feed->starts);
    if (status)
        return status;
    feed->starts[0] = 0;
    for (size_t i = 0; !status && i < path_count; i++)
        status = read_file(ctx, &r, paths[i]);
    espi_progress_end(&r.progress, NULL);
    espi_features_clear(&r.features);
    if (!status && !feed->windows)
        status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected examples, found none", path_count ? paths[0] : "train");
    if (!status && feed->job->task->result == ESPI_RESULT_EMBEDDING)
        scale_similarities(ctx, feed);
    return status;
}
