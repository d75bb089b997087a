/* SPDX-License-Identifier: Apache-2.0
 * Heap blocks with checked sizes, growing arrays, and the arena.
 *
 * Sizes are (count, element size) so that no caller multiplies unchecked. All of these fail with ESP_ERR_MEMORY and the
 * size in the context. */
#ifndef ESPI_BASE_MEMORY_H
#define ESPI_BASE_MEMORY_H

#include "base/status.h"

/* Zeroed; NULL on failure. count 0 gives a valid block. Release with free(). */
void *espi_calloc(esp_context *ctx, size_t count, size_t size) ESPI_NODISCARD;

/* 64-byte aligned, zeroed; NULL on failure. Release with free(). */
void *espi_calloc_aligned(esp_context *ctx, size_t count, size_t size) ESPI_NODISCARD;

/* Zeroed pages, which take memory only once they are touched. The block ends where a page begins that nobody may touch:
 * running over it is seen. Owner: the caller; zero-initialise, espi_pages_close releases. Thread rule: one thread at a
 * time opens, drops and closes. */
struct espi_pages {
    void *data; // (bytes), 64-byte aligned
    size_t bytes;
    size_t mapped; // bytes in front of the page at the end
};

/* `bytes` is rounded up to a multiple of 64. */
int espi_pages_open(esp_context *ctx, size_t bytes, struct espi_pages *out) ESPI_NODISCARD;
/* Gives the memory back and keeps the block, which is zeroed again. */
void espi_pages_drop(struct espi_pages *pages);
void espi_pages_close(struct espi_pages *pages);

/* Makes room for at least `needed` elements in the array at *array (a pointer to a pointer), at least doubling.
 * *capacity is in elements. The array is there afterwards even where nothing is needed, so that a place in it can be
 * named. On failure the old array stays as it was. */
int espi_grow(esp_context *ctx, void *array, size_t *capacity, size_t needed, size_t size) ESPI_NODISCARD;

/* A growing text. Zero-initialise; free(data). */
struct espi_string {
    char *data; // (length), zero-terminated once anything was added
    size_t length, capacity;
};

int espi_string_add(esp_context *ctx, struct espi_string *string, const char *data, size_t bytes) ESPI_NODISCARD;

/* Gives what the heap keeps of freed blocks back to the system, where the C library can: the whole process's. */
void espi_heap_trim(void);

/* A bump allocator for things that live and die together. Owner: the caller, zero-initialised; espi_arena_clear
 * releases everything. Thread rule: one thread at a time. */
struct espi_arena {
    struct espi_arena_block *blocks;
};

/* Zeroed, 16-byte aligned; NULL on failure. */
void *espi_arena_alloc(esp_context *ctx, struct espi_arena *arena, size_t count, size_t size) ESPI_NODISCARD;
/* A zero-terminated copy of length bytes. */
char *espi_arena_copy(esp_context *ctx, struct espi_arena *arena, const char *text, size_t length) ESPI_NODISCARD;
char *espi_arena_format(esp_context *ctx, struct espi_arena *arena, const char *format, ...) ESPI_PRINTF(3, 4);
void espi_arena_clear(struct espi_arena *arena);

#endif
