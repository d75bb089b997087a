/* SPDX-License-Identifier: Apache-2.0
 * Data sets into windows. */
#include "base/progress.h"
#include "base/random.h"
#include "create/train/feed_private.h"

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
    if (types)
        memcpy(feed->types + feed->tokens, types, count);
    else
        memset(feed->types + feed->tokens, 0, count);
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

/* Encodes one example and keeps its windows. */
static int add_example(esp_context *ctx, struct espi_feed *feed, const struct espi_example *example,
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
    for (size_t i = 0; !status && i < espi_features_windows(features); i++) {
        struct espi_window window = espi_features_window(features, i);
        status = add_tokens(ctx, feed, window.ids, window.types, window.tokens);
        if (!status)
            status = end_window(ctx, feed);
    }
    return status;
}

/* ---- masked LM ---------------------------------------------------------------------------------------------------------- */

static int put_token(esp_context *ctx, struct espi_feed *feed, int32_t id)
{
    return add_tokens(ctx, feed, &id, NULL, 1);
}

/* A paragraph's tokens go on where the last one ended; full windows are closed. */
static int add_paragraph(esp_context *ctx, struct espi_feed *feed, const struct espi_example *example,
                         esp_encoding *encoding)
{
    const struct espi_special_ids *special = &feed->job->special;
    const esp_encode_options options = {.truncation = ESP_TRUNCATE_NONE, .no_special_tokens = true};
    int status = espi_example_encode(ctx, example, feed->job->tokenizer, &example->text, NULL, &options, encoding);
    for (size_t i = 0; !status && i <= encoding->tokens; i++) { // one more: the [SEP] behind the paragraph
        size_t length = feed->tokens - feed->starts[feed->windows];
        if (length == 0)
            status = put_token(ctx, feed, special->cls);
        if (!status && (i < encoding->tokens || length > 0))
            status = put_token(ctx, feed, i < encoding->tokens ? encoding->ids[i] : special->sep);
        length = feed->tokens - feed->starts[feed->windows];
        if (!status && length + 1 >= feed->job->options.max_length) {
            if (feed->ids[feed->tokens - 1] != special->sep)
                status = put_token(ctx, feed, special->sep);
            if (!status)
                status = end_window(ctx, feed);
        }
    }
    return status;
}

bool espi_feed_mask(const struct espi_feed *feed, uint64_t epoch, size_t window, size_t token, int32_t *id)
{
    const struct espi_job *job = feed->job;
    uint64_t chosen_below = (uint64_t)(job->options.mask_probability * 4294967296.0);
    uint32_t random[4];
    if (*id == job->special.cls || *id == job->special.sep)
        return false;
    espi_random_block(feed->options.seed ^ 0x6d61736b, epoch << 32 | window, token, random);
    if (random[0] >= chosen_below)
        return false;
    if (random[1] < UINT32_MAX / 10 * 8)
        *id = job->special.mask;
    else if (random[1] < UINT32_MAX / 10 * 9)
        *id = (int32_t)((uint64_t)random[2] * esp_tokenizer_size(job->tokenizer) >> 32);
    return true;
}

/* ---- files -------------------------------------------------------------------------------------------------------------- */

struct reader {
    struct espi_feed *feed;
    struct espi_features features;
    struct espi_progress progress;
    bool paragraphs; // mlm
};

static int read_file(esp_context *ctx, struct reader *r, const char *path)
{
    struct espi_feed *feed = r->feed;
    struct espi_dataset *dataset = NULL;
    int status = espi_dataset_open(ctx, feed->job->task, path, &feed->job->options, &dataset);
    for (size_t read = 0; !status && (!feed->options.max_examples || read < feed->options.max_examples); read++) {
        struct espi_example *example;
        if (feed->options.interrupted && feed->options.interrupted()) {
            status = espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted");
            break;
        }
        int found = espi_dataset_next(ctx, dataset, &example);
        if (found <= 0) {
            status = found;
            break;
        }
        status = r->paragraphs ? add_paragraph(ctx, feed, example, &r->features.encoding)
                               : add_example(ctx, feed, example, &r->features);
        espi_example_free(example);
        espi_progress_update(&r->progress, r->progress.done + 1, NULL);
    }
    espi_dataset_close(dataset);
    return status;
}

/* The last window of running text is as long as it is. */
static int end_paragraphs(esp_context *ctx, struct espi_feed *feed)
{
    return feed->tokens - feed->starts[feed->windows] > 2 ? end_window(ctx, feed) : ESP_OK;
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
    struct reader r = {.feed = feed, .paragraphs = feed->job->config->head == ESPI_HEAD_MLM};
    r.progress = (struct espi_progress){.stream = feed->options.progress, .label = "read", .unit = "examples"};
    set_shape(feed);
    int status = espi_grow(ctx, &feed->starts, &feed->start_room, 1, sizeof *feed->starts);
    if (status)
        return status;
    feed->starts[0] = 0;
    for (size_t i = 0; !status && i < path_count; i++)
        status = read_file(ctx, &r, paths[i]);
    if (!status && r.paragraphs)
        status = end_paragraphs(ctx, feed);
    espi_progress_end(&r.progress, NULL);
    espi_features_clear(&r.features);
    if (!status && !feed->windows)
        status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected examples, found none", path_count ? paths[0] : "train");
    if (!status && feed->job->task->result == ESPI_RESULT_EMBEDDING)
        scale_similarities(ctx, feed);
    return status;
}
