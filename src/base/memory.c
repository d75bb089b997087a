/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include "base/size.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The byte count, at least 1 so that a block of nothing is still a valid pointer; 0 when it does not fit. */
static size_t block_bytes(size_t count, size_t size)
{
    size_t bytes;
    if (!espi_size_mul(count, size, &bytes) || bytes > PTRDIFF_MAX - 4096)
        return 0;
    return bytes ? bytes : 1;
}

void *espi_calloc(esp_context *ctx, size_t count, size_t size)
{
    size_t bytes = block_bytes(count, size);
    void *block = bytes ? calloc(1, bytes) : NULL;
    if (!block)
        espi_fail_memory(ctx, bytes ? bytes : SIZE_MAX);
    return block;
}

void *espi_calloc_aligned(esp_context *ctx, size_t count, size_t size)
{
    size_t bytes = block_bytes(count, size);
    void *block = bytes ? aligned_alloc(64, espi_round_up(bytes, 64)) : NULL;
    if (!block) {
        espi_fail_memory(ctx, bytes ? bytes : SIZE_MAX);
        return NULL;
    }
    return memset(block, 0, espi_round_up(bytes, 64));
}

/* Where the pages of a block begin. */
static char *first_page(const struct espi_pages *pages)
{
    return (char *)pages->data + pages->bytes - pages->mapped;
}

int espi_pages_open(esp_context *ctx, size_t bytes, struct espi_pages *out)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *out = (struct espi_pages){0};
    if (bytes > PTRDIFF_MAX - 2 * page)
        return espi_fail_memory(ctx, bytes);
    bytes = espi_round_up(espi_size_max(bytes, 1), 64);
    size_t mapped = espi_round_up(bytes, page);
    char *first = mmap(NULL, mapped + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (first == MAP_FAILED)
        return espi_fail_memory(ctx, bytes);
    if (mprotect(first + mapped, page, PROT_NONE)) {
        munmap(first, mapped + page);
        return espi_fail_memory(ctx, bytes);
    }
    *out = (struct espi_pages){.data = first + mapped - bytes, .bytes = bytes, .mapped = mapped};
    return ESP_OK;
}

void espi_pages_drop(struct espi_pages *pages)
{
    if (pages->data && madvise(first_page(pages), pages->mapped, MADV_DONTNEED) != 0)
        memset(first_page(pages), 0, pages->mapped); // memory that is locked (mlockall) stays
}

void espi_pages_close(struct espi_pages *pages)
{
    if (pages->data)
        munmap(first_page(pages), pages->mapped + (size_t)sysconf(_SC_PAGESIZE));
    *pages = (struct espi_pages){0};
}

int espi_grow(esp_context *ctx, void *array, size_t *capacity, size_t needed, size_t size)
{
    if (*capacity && needed <= *capacity)
        return ESP_OK;
    void *old;
    memcpy(&old, array, sizeof old);
    size_t wanted = espi_size_max(needed, *capacity > SIZE_MAX / 2 ? needed : 2 * *capacity);
    wanted = espi_size_max(wanted, 16);
    size_t bytes = block_bytes(wanted, size);
    void *grown = bytes ? realloc(old, bytes) : NULL;
    if (!grown)
        return espi_fail_memory(ctx, bytes ? bytes : SIZE_MAX);
    memcpy(array, &grown, sizeof grown);
    *capacity = wanted;
    return ESP_OK;
}

int espi_string_add(esp_context *ctx, struct espi_string *string, const char *data, size_t bytes)
{
    size_t needed;
    if (!espi_size_add(string->length, bytes, &needed) || !espi_size_add(needed, 1, &needed))
        return espi_fail_memory(ctx, SIZE_MAX);
    int status = espi_grow(ctx, &string->data, &string->capacity, needed, 1);
    if (status)
        return status;
    if (bytes)
        memcpy(string->data + string->length, data, bytes);
    string->length += bytes;
    string->data[string->length] = '\0';
    return ESP_OK;
}

void espi_heap_trim(void)
{
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

enum { ARENA_ALIGN = 16, ARENA_BLOCK = 16 << 10 };

struct espi_arena_block {
    struct espi_arena_block *next;
    size_t used, bytes;
    _Alignas(ARENA_ALIGN) unsigned char data[];
};

void *espi_arena_alloc(esp_context *ctx, struct espi_arena *arena, size_t count, size_t size)
{
    size_t bytes = block_bytes(count, size);
    if (!bytes) {
        espi_fail_memory(ctx, SIZE_MAX);
        return NULL;
    }
    bytes = espi_round_up(bytes, ARENA_ALIGN);
    struct espi_arena_block *block = arena->blocks;
    if (!block || block->bytes - block->used < bytes) {
        size_t room = espi_size_max(bytes, ARENA_BLOCK);
        block = calloc(1, sizeof *block + room);
        if (!block) {
            espi_fail_memory(ctx, sizeof *block + room);
            return NULL;
        }
        block->bytes = room;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *result = block->data + block->used;
    block->used += bytes;
    return result;
}

char *espi_arena_copy(esp_context *ctx, struct espi_arena *arena, const char *text, size_t length)
{
    char *copy = length < SIZE_MAX ? espi_arena_alloc(ctx, arena, length + 1, 1) : NULL;
    if (copy && length)
        memcpy(copy, text, length);
    return copy;
}

char *espi_arena_format(esp_context *ctx, struct espi_arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : espi_arena_alloc(ctx, arena, (size_t)length + 1, 1);
    if (!text)
        return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

void espi_arena_clear(struct espi_arena *arena)
{
    for (struct espi_arena_block *block = arena->blocks; block;) {
        struct espi_arena_block *next = block->next;
        free(block);
        block = next;
    }
    arena->blocks = NULL;
}
