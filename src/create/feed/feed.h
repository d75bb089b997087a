/* SPDX-License-Identifier: Apache-2.0
 * Feeds a trainer: all windows of a data set, tokenized once and kept in memory; each epoch in an order drawn from the
 * seed; steps of a fixed number of items; each step dealt to the ranks and cut into ragged micro-batches of windows of
 * similar length.
 *
 * An item is a window (qa, mlm), an example (classify, tag) or a pair of windows (embed). What a step contains depends
 * on seed and step alone, not on the number of ranks or micro-batches. For mlm, masks are drawn anew in every epoch. */
#ifndef ESPI_CREATE_FEED_H
#define ESPI_CREATE_FEED_H

#include "base/progress.h"
#include "eval/dataset.h"

struct espi_feed_options {
    size_t batch_size;   // items of a step, over all ranks
    size_t batch_tokens; // most tokens of a micro-batch (one item may be larger); 0: 8192
    size_t rank, ranks;  // which part of every step this process takes; ranks 0: 1
    uint64_t seed;
    size_t max_examples;     // of each file (mlm: windows); 0: all
    bool keep_order;         // no shuffling
    struct espi_watch watch; // of reading
};

/* Owner: the caller. Thread rule: one thread at a time. */
struct espi_feed;

/* Reads the data sets one behind the other. job->options.evaluate is set; the job outlives the feed.
 * ESP_ERR_FORMAT names file and line of an example that cannot be used, or the files when they hold none. */
int espi_feed_open(esp_context *ctx, const struct espi_job *job, const char *const *paths, size_t path_count,
                   const struct espi_feed_options *options, struct espi_feed **out) ESPI_NODISCARD;
void espi_feed_close(struct espi_feed *feed);

size_t espi_feed_windows(const struct espi_feed *feed);         // of an epoch
size_t espi_feed_steps_per_epoch(const struct espi_feed *feed); // the last may be smaller
/* Of tokens, windows and targets: two feeds that read the same have the same. */
uint32_t espi_feed_crc(const struct espi_feed *feed);

/* A window by its number within the data, unmasked: a borrowed view of ids, types and tokens. */
struct espi_window espi_feed_window(const struct espi_feed *feed, size_t window);

/* A micro-batch, a borrowed view until the next call. */
struct espi_train_batch {
    struct espi_batch batch;
    const uint32_t *positions; // (position_count) mlm: masked tokens of the batch
    size_t position_count;
    const int32_t *targets; // qa (sequences, 2) tokens within the window · classify (sequences) · tag (tokens) ·
                            // mlm (positions); ESPI_IGNORED takes no part
    const float *values;    // classify: multi-label (sequences, labels), regression (sequences) · embed (pairs), 1 the
                            // most alike: sequences 2 i and 2 i + 1 are text and pair
    const uint64_t *streams; // (sequences) number within the step
    const uint64_t *windows; // (sequences) number within the data, from 0 in file order
};

/* Prepares step `step` (from 0, counted over all epochs). */
struct espi_step_info {
    size_t micro_batches; // of this rank
    size_t
        units; // what the step's mean loss is taken over, over all ranks: qa windows, classify examples, embed pairs,
               // tag labelled tokens, mlm masked positions
    size_t tokens; // over all ranks
};
int espi_feed_step(esp_context *ctx, struct espi_feed *feed, uint64_t step, struct espi_step_info *info) ESPI_NODISCARD;
int espi_feed_micro_batch(esp_context *ctx, struct espi_feed *feed, size_t index,
                          struct espi_train_batch *out) ESPI_NODISCARD;

#endif
