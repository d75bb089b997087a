/* SPDX-License-Identifier: Apache-2.0
 * What reading and dealing share: the windows in memory. */
#ifndef ESPI_CREATE_FEED_PRIVATE_H
#define ESPI_CREATE_FEED_PRIVATE_H

#include "create/feed/feed.h"

struct espi_feed {
    const struct espi_job *job;
    struct espi_feed_options options;

    /* windows, one behind the other */
    int32_t *ids;    // (tokens)
    uint8_t *types;  // (tokens)
    size_t *starts;  // (windows + 1)
    int32_t *labels; // tag: (tokens), else targets_per_window each
    float *values;   // (windows / windows_per_item, values_per_item)
    size_t tokens, windows;
    size_t windows_per_item, targets_per_window, values_per_item;
    size_t id_room, type_room, start_room, label_room, value_room;

    /* the order of an epoch */
    uint32_t *order; // (items)
    uint64_t epoch;  // that it is of; UINT64_MAX: none yet

    /* a step */
    struct espi_feed_place {
        uint32_t item, number; // number: within the step
        size_t tokens;
    } * places; // (place_count) of this rank, sorted by length
    size_t place_count;
    size_t *cuts; // (micro_batches + 1) in places
    size_t micro_batches;

    /* a micro-batch */
    int32_t *batch_ids, *batch_targets;
    uint8_t *batch_types;
    uint32_t *batch_starts, *batch_positions;
    float *batch_values;
    uint64_t *batch_streams, *batch_windows;
    size_t room_ids, room_targets, room_types, room_starts, room_positions, room_values, room_streams, room_windows;
};

static inline size_t espi_feed_item_tokens(const struct espi_feed *feed, size_t item)
{
    return feed->starts[(item + 1) * feed->windows_per_item] - feed->starts[item * feed->windows_per_item];
}

/* Reads all files into the feed, whose job and options are set. */
int espi_feed_read(esp_context *ctx, struct espi_feed *feed, const char *const *paths,
                   size_t path_count) ESPI_NODISCARD;

#endif
