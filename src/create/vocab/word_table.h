/* SPDX-License-Identifier: Apache-2.0
 * Texts and a number for each, in the order they came: words with their counts, tokens, substrings. */
#ifndef ESPI_CREATE_WORD_TABLE_H
#define ESPI_CREATE_WORD_TABLE_H

#include "base/memory.h"

struct espi_word_entry {
    const char *text; // zero-terminated, in the arena
    size_t bytes;
    uint64_t count;
};

/* Owner: the caller, zero-initialised; espi_word_table_clear, and the arena. */
struct espi_word_table {
    struct espi_word_entry *entries; // (count)
    size_t count, capacity;
    uint32_t *slots; // (slot_count) entry number + 1, 0 where empty; a power of two
    size_t slot_count;
};

/* The number of a text's entry, or SIZE_MAX. */
size_t espi_word_table_find(const struct espi_word_table *table, const char *text, size_t bytes);
/* The same; one that is new has count 0. */
int espi_word_table_get(esp_context *ctx, struct espi_arena *arena, struct espi_word_table *table, const char *text,
                        size_t bytes, size_t *number) ESPI_NODISCARD;
void espi_word_table_clear(struct espi_word_table *table);

#endif
