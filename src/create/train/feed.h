/* SPDX-License-Identifier: Apache-2.0
 * Feeds a trainer: all windows of a data set, tokenized once and kept compactly; each epoch in an order drawn from the
 * seed; steps of a fixed number of windows; each step cut into ragged micro-batches of windows of similar length.
 *
 * What a step contains depends on seed and step alone, not on the number of ranks, threads or micro-batches. For mlm
 * the paragraphs are packed into windows of full length and masked anew in every epoch. */
#ifndef ESPI_CREATE_FEED_H
#define ESPI_CREATE_FEED_H

#include "tasks/dataset.h"

struct espi_feed_options {
    size_t batch_size;   // windows (mlm, qa) or examples (classify, tag, embed) of a step, over all ranks
    size_t batch_tokens; // most tokens of a micro-batch
    size_t rank, ranks;  // which part of every step this process takes
    uint64_t seed;
    size_t max_examples; // 0: all
    bool keep_order;     // no shuffling (evaluation, caches)
};

/* Owner: the caller. Thread rule: one thread at a time. */
struct espi_feed;

/* Reads the whole data set. ESP_ERR_FORMAT names file and line of an example that cannot be used, or an empty set. */
int espi_feed_open(esp_context *ctx, const struct espi_job *job, const char *path,
                   const struct espi_feed_options *options, struct espi_feed **out) ESPI_NODISCARD;
void espi_feed_close(struct espi_feed *feed);

size_t espi_feed_windows(const struct espi_feed *feed);         // of an epoch
size_t espi_feed_steps_per_epoch(const struct espi_feed *feed); // the last may be smaller

/* A micro-batch, a borrowed view until the next call. */
struct espi_train_batch {
    struct espi_batch batch;
    const uint32_t *positions; // (position_count) mlm: masked tokens of the batch
    size_t position_count;
    const int32_t *targets;  // qa (sequences, 2) tokens within the window · classify (sequences) · tag (tokens) ·
                             // mlm (positions); ESPI_IGNORED takes no part
    const float *values;     // classify: multi-label (sequences, labels), regression (sequences) · embed (pairs):
                             // sequences 2 i and 2 i + 1 are text and pair
    const uint64_t *streams; // (sequences) number within the step
    const uint64_t *windows; // (sequences) number within the data set, from 0 in file order
};

/* Prepares step `step` (from 0, counted over all epochs). micro_batches: of this rank; units: what the step's mean loss
 * is taken over, over all ranks: qa, classify and embed windows, examples or pairs; tag labelled tokens; mlm masked
 * positions. tokens: over all ranks. */
struct espi_step_info {
    size_t micro_batches, units, tokens;
};
int espi_feed_step(esp_context *ctx, struct espi_feed *feed, uint64_t step, struct espi_step_info *info) ESPI_NODISCARD;
int espi_feed_micro_batch(esp_context *ctx, struct espi_feed *feed, size_t index,
                          struct espi_train_batch *out) ESPI_NODISCARD;

#endif
