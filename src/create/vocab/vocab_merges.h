/* SPDX-License-Identifier: Apache-2.0
 * Byte-pair merges with incremental counts: the engine of the vocabulary trainer. Symbols are numbers; what they stand
 * for is the caller's. */
#ifndef ESPI_CREATE_VOCAB_MERGES_H
#define ESPI_CREATE_VOCAB_MERGES_H

#include "base/status.h"

/* Owner: the caller. Thread rule: one thread at a time. */
struct espi_merges;

int espi_merges_new(esp_context *ctx, struct espi_merges **out) ESPI_NODISCARD;
void espi_merges_free(struct espi_merges *merges);

/* Adds a word of `length` symbols that occurs `count` times. */
int espi_merges_add_word(esp_context *ctx, struct espi_merges *merges, const uint32_t *symbols, size_t length,
                         uint64_t count) ESPI_NODISCARD;

struct espi_merge {
    uint32_t left, right;
    uint64_t count; // how often the pair stands in the words
};

/* The most frequent pair (of those equally frequent the smallest by left, then right); false when none is left. All
 * words must have been added. Not merging it afterwards is fine only when no further one is asked for. */
int espi_merges_next(esp_context *ctx, struct espi_merges *merges, struct espi_merge *merge,
                     bool *found) ESPI_NODISCARD;
/* Replaces the pair by `symbol` in all words, from left to right. */
int espi_merges_apply(esp_context *ctx, struct espi_merges *merges, const struct espi_merge *merge,
                      uint32_t symbol) ESPI_NODISCARD;

#endif
