/* SPDX-License-Identifier: Apache-2.0
 * Windows into steps and micro-batches. */
#include "base/crc32c.h"
#include "base/random.h"
#include "base/size.h"
#include "create/feed/feed_private.h"
#include "tasks/mlm.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_TOKENS = 8192 };

/* Of an epoch. */
static size_t items_of(const struct espi_feed *feed)
{
    return feed->windows / feed->windows_per_item;
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

int espi_feed_open(esp_context *ctx, const struct espi_job *job, const char *const *paths, size_t path_count,
                   const struct espi_feed_options *options, struct espi_feed **out)
{
    *out = NULL;
    struct espi_feed *feed = espi_calloc(ctx, 1, sizeof *feed);
    if (!feed)
        return ESP_ERR_MEMORY;
    *feed = (struct espi_feed){.job = job, .options = *options, .epoch = UINT64_MAX};
    feed->options.ranks = espi_size_max(options->ranks, 1);
    feed->options.batch_tokens = options->batch_tokens ? options->batch_tokens : BATCH_TOKENS;
    int status = espi_feed_read(ctx, feed, paths, path_count);
    size_t items = status ? 0 : items_of(feed);
    feed->options.batch_size = espi_size_min(options->batch_size, items);
    if (!status) {
        size_t places = feed->options.batch_size;
        feed->order = espi_calloc(ctx, items, sizeof *feed->order);
        feed->places = espi_calloc(ctx, places, sizeof *feed->places);
        feed->cuts = espi_calloc(ctx, places + 1, sizeof *feed->cuts);
        status = feed->order && feed->places && feed->cuts ? ESP_OK : ESP_ERR_MEMORY;
    }
    if (status) {
        espi_feed_close(feed);
        return status;
    }
    *out = feed;
    return ESP_OK;
}

void espi_feed_close(struct espi_feed *feed)
{
    if (!feed)
        return;
    void *blocks[] = {feed->ids,          feed->types,         feed->starts,        feed->labels,
                      feed->values,       feed->order,         feed->places,        feed->cuts,
                      feed->batch_ids,    feed->batch_targets, feed->batch_types,   feed->batch_starts,
                      feed->batch_values, feed->batch_streams, feed->batch_windows, feed->batch_positions};
    for (size_t i = 0; i < ESPI_COUNT(blocks); i++)
        free(blocks[i]);
    free(feed);
}

size_t espi_feed_windows(const struct espi_feed *feed)
{
    return feed->windows;
}

size_t espi_feed_steps_per_epoch(const struct espi_feed *feed)
{
    return (items_of(feed) + feed->options.batch_size - 1) / feed->options.batch_size;
}

uint32_t espi_feed_crc(const struct espi_feed *feed)
{
    size_t labels = feed->targets_per_window ? feed->windows * feed->targets_per_window : feed->tokens;
    uint32_t crc = espi_crc32c(0, feed->ids, feed->tokens * sizeof *feed->ids);
    crc = espi_crc32c(crc, feed->types, feed->tokens);
    crc = espi_crc32c(crc, feed->starts, (feed->windows + 1) * sizeof *feed->starts);
    if (feed->values_per_item)
        return espi_crc32c(crc, feed->values, items_of(feed) * feed->values_per_item * sizeof *feed->values);
    return feed->labels ? espi_crc32c(crc, feed->labels, labels * sizeof *feed->labels) : crc;
}

/* ---- a step ------------------------------------------------------------------------------------------------------------- */

/* Draws the order of an epoch (Fisher and Yates). */
static void order_epoch(struct espi_feed *feed, uint64_t epoch)
{
    struct espi_random random = {.seed = feed->options.seed, .stream = epoch};
    size_t items = items_of(feed);
    if (feed->epoch == epoch)
        return;
    for (size_t i = 0; i < items; i++)
        feed->order[i] = (uint32_t)i;
    for (size_t i = items; i > 1 && !feed->options.keep_order; i--) {
        size_t other = espi_random_below(&random, i);
        uint32_t item = feed->order[i - 1];
        feed->order[i - 1] = feed->order[other];
        feed->order[other] = item;
    }
    feed->epoch = epoch;
}

static int longer_first(const void *a, const void *b)
{
    const struct espi_feed_place *x = a, *y = b;
    if (x->tokens != y->tokens)
        return x->tokens < y->tokens ? 1 : -1;
    return x->number < y->number ? -1 : 1;
}

/* Masked LM: espi_mlm_mask for a token of a window, anew in every epoch. */
static bool mask_token(const struct espi_feed *feed, uint64_t epoch, size_t window, size_t token, int32_t *id)
{
    return espi_mlm_mask(feed->job, feed->options.seed ^ 0x6d61736b, epoch << 32 | window, token, id);
}

/* What the mean is taken over, of one item. */
static size_t item_units(const struct espi_feed *feed, uint64_t epoch, size_t item)
{
    size_t units = 0, window = item * feed->windows_per_item;
    if (feed->targets_per_window || feed->values_per_item)
        return 1;
    for (size_t token = feed->starts[window]; token < feed->starts[window + 1]; token++) {
        int32_t id = feed->ids[token];
        if (feed->job->config->head == ESPI_HEAD_MLM)
            units += mask_token(feed, epoch, window, token - feed->starts[window], &id);
        else
            units += feed->labels[token] != ESPI_IGNORED;
    }
    return units;
}

/* Deals the step's items, sorted by length, to the ranks: 0, 1, …, 1, 0, 0, 1, …; so all get about as much. */
static void deal(struct espi_feed *feed, size_t count)
{
    size_t ranks = feed->options.ranks, kept = 0;
    qsort(feed->places, count, sizeof *feed->places, longer_first);
    for (size_t i = 0; i < count; i++) {
        size_t turn = i % (2 * ranks), rank = turn < ranks ? turn : 2 * ranks - 1 - turn;
        if (rank == feed->options.rank)
            feed->places[kept++] = feed->places[i];
    }
    feed->place_count = kept;
}

static void cut(struct espi_feed *feed)
{
    size_t tokens = 0;
    feed->micro_batches = 0;
    for (size_t i = 0; i < feed->place_count; i++) {
        if (i == 0 || tokens + feed->places[i].tokens > feed->options.batch_tokens) {
            feed->cuts[feed->micro_batches++] = i;
            tokens = 0;
        }
        tokens += feed->places[i].tokens;
    }
    feed->cuts[feed->micro_batches] = feed->place_count;
}

int espi_feed_step(esp_context *ctx, struct espi_feed *feed, uint64_t step, struct espi_step_info *info)
{
    (void)ctx;
    uint64_t per_epoch = espi_feed_steps_per_epoch(feed), epoch = step / per_epoch;
    size_t first = (size_t)(step % per_epoch) * feed->options.batch_size;
    size_t count = espi_size_min(feed->options.batch_size, items_of(feed) - first);
    *info = (struct espi_step_info){0};
    order_epoch(feed, epoch);
    for (size_t i = 0; i < count; i++) {
        uint32_t item = feed->order[first + i];
        size_t tokens = espi_feed_item_tokens(feed, item);
        feed->places[i] = (struct espi_feed_place){.item = item, .number = (uint32_t)i, .tokens = tokens};
        info->tokens += tokens;
        info->units += item_units(feed, epoch, item);
    }
    deal(feed, count);
    cut(feed);
    info->micro_batches = feed->micro_batches;
    return ESP_OK;
}

/* ---- a micro-batch ------------------------------------------------------------------------------------------------------ */

static int make_room(esp_context *ctx, struct espi_feed *feed, size_t tokens, size_t windows)
{
    size_t values = windows / feed->windows_per_item * espi_size_max(feed->values_per_item, 1);
    size_t targets = espi_size_max(tokens, 2 * windows);
    const struct {
        void *array;
        size_t *room, count, size;
    } arrays[] = {
        {&feed->batch_ids, &feed->room_ids, tokens, sizeof *feed->batch_ids},
        {&feed->batch_types, &feed->room_types, tokens, sizeof *feed->batch_types},
        {&feed->batch_targets, &feed->room_targets, targets, sizeof *feed->batch_targets},
        {&feed->batch_positions, &feed->room_positions, tokens, sizeof *feed->batch_positions},
        {&feed->batch_starts, &feed->room_starts, windows + 1, sizeof *feed->batch_starts},
        {&feed->batch_streams, &feed->room_streams, windows, sizeof *feed->batch_streams},
        {&feed->batch_windows, &feed->room_windows, windows, sizeof *feed->batch_windows},
        {&feed->batch_values, &feed->room_values, values, sizeof *feed->batch_values},
    };
    int status = ESP_OK;
    for (size_t i = 0; !status && i < ESPI_COUNT(arrays); i++)
        status = espi_grow(ctx, arrays[i].array, arrays[i].room, arrays[i].count, arrays[i].size);
    return status;
}

/* Masks a window that stands in the batch from token `at` on; returns the number of positions. */
static size_t mask_window(struct espi_feed *feed, size_t window, size_t at, size_t tokens, size_t positions)
{
    for (size_t token = 0; token < tokens; token++) {
        int32_t *id = &feed->batch_ids[at + token], before = *id;
        if (!mask_token(feed, feed->epoch, window, token, id))
            continue;
        feed->batch_targets[positions] = before;
        feed->batch_positions[positions++] = (uint32_t)(at + token);
    }
    return positions;
}

static void copy_targets(struct espi_feed *feed, size_t window, size_t sequence, size_t at, size_t tokens)
{
    size_t per_window = feed->targets_per_window;
    if (per_window)
        memcpy(feed->batch_targets + sequence * per_window, feed->labels + window * per_window,
               per_window * sizeof *feed->labels);
    else if (feed->job->config->head == ESPI_HEAD_TOKEN)
        memcpy(feed->batch_targets + at, feed->labels + feed->starts[window], tokens * sizeof *feed->labels);
}

/* Appends the windows of an item. */
static void add_item(struct espi_feed *feed, const struct espi_feed_place *place, struct espi_train_batch *out)
{
    size_t per_item = feed->windows_per_item;
    for (size_t w = place->item * per_item; w < (place->item + 1) * per_item; w++) {
        size_t sequence = out->batch.sequences, at = out->batch.tokens, from = feed->starts[w];
        size_t tokens = feed->starts[w + 1] - from;
        memcpy(feed->batch_ids + at, feed->ids + from, tokens * sizeof *feed->ids);
        memcpy(feed->batch_types + at, feed->types + from, tokens);
        copy_targets(feed, w, sequence, at, tokens);
        if (feed->job->config->head == ESPI_HEAD_MLM)
            out->position_count = mask_window(feed, w, at, tokens, out->position_count);
        feed->batch_streams[sequence] = place->number * per_item + w % per_item;
        feed->batch_windows[sequence] = w;
        feed->batch_starts[sequence + 1] = (uint32_t)(at + tokens);
        out->batch.sequences++;
        out->batch.tokens += tokens;
    }
}

struct espi_window espi_feed_window(const struct espi_feed *feed, size_t window)
{
    size_t first = feed->starts[window];
    return (struct espi_window){
        .ids = feed->ids + first, .types = feed->types + first, .tokens = feed->starts[window + 1] - first};
}

int espi_feed_micro_batch(esp_context *ctx, struct espi_feed *feed, size_t index, struct espi_train_batch *out)
{
    size_t first = feed->cuts[index], end = feed->cuts[index + 1], tokens = 0, values = feed->values_per_item;
    for (size_t i = first; i < end; i++)
        tokens += feed->places[i].tokens;
    *out = (struct espi_train_batch){0};
    int status = make_room(ctx, feed, tokens, (end - first) * feed->windows_per_item);
    if (status)
        return status;
    feed->batch_starts[0] = 0;
    for (size_t i = first; i < end; i++) {
        add_item(feed, &feed->places[i], out);
        if (values)
            memcpy(feed->batch_values + (i - first) * values, feed->values + feed->places[i].item * values,
                   values * sizeof *feed->values);
    }
    out->batch.starts = feed->batch_starts;
    out->batch.ids = feed->batch_ids;
    out->batch.types = feed->batch_types;
    out->positions = feed->batch_positions;
    out->targets = feed->batch_targets;
    out->values = feed->batch_values;
    out->streams = feed->batch_streams;
    out->windows = feed->batch_windows;
    return ESP_OK;
}
