/* SPDX-License-Identifier: Apache-2.0 */
#include "create/vocab/word_table.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>

static size_t hash_text(const char *text, size_t bytes)
{
    uint64_t hash = 0xcbf29ce484222325u; // FNV-1a
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return (size_t)(hash ^ hash >> 32);
}

static size_t find_slot(const struct espi_word_table *table, const char *text, size_t bytes)
{
    size_t mask = table->slot_count - 1, slot = hash_text(text, bytes) & mask;
    for (; table->slots[slot]; slot = (slot + 1) & mask) {
        const struct espi_word_entry *entry = &table->entries[table->slots[slot] - 1];
        if (entry->bytes == bytes && memcmp(entry->text, text, bytes) == 0)
            break;
    }
    return slot;
}

static int grow(esp_context *ctx, struct espi_word_table *table)
{
    if (2 * (table->count + 1) <= table->slot_count)
        return ESP_OK;
    if (table->count >= UINT32_MAX / 4)
        return espi_fail(ctx, ESP_ERR_LIMIT, "too many different words");
    size_t count = espi_size_max(1 << 12, 2 * table->slot_count);
    uint32_t *slots = espi_calloc(ctx, count, sizeof *slots);
    if (!slots)
        return ESP_ERR_MEMORY;
    free(table->slots);
    table->slots = slots;
    table->slot_count = count;
    for (size_t i = 0; i < table->count; i++)
        slots[find_slot(table, table->entries[i].text, table->entries[i].bytes)] = (uint32_t)i + 1;
    return ESP_OK;
}

size_t espi_word_table_find(const struct espi_word_table *table, const char *text, size_t bytes)
{
    uint32_t found = table->slot_count ? table->slots[find_slot(table, text, bytes)] : 0;
    return found ? found - 1 : SIZE_MAX;
}

int espi_word_table_get(esp_context *ctx, struct espi_arena *arena, struct espi_word_table *table, const char *text,
                        size_t bytes, size_t *number)
{
    int status = grow(ctx, table);
    if (status)
        return status;
    size_t slot = find_slot(table, text, bytes);
    if (!table->slots[slot]) {
        status = espi_grow(ctx, &table->entries, &table->capacity, table->count + 1, sizeof *table->entries);
        const char *copy = status ? NULL : espi_arena_copy(ctx, arena, text, bytes);
        if (!copy)
            return status ? status : ESP_ERR_MEMORY;
        table->entries[table->count++] = (struct espi_word_entry){copy, bytes, 0};
        table->slots[slot] = (uint32_t)table->count;
    }
    *number = table->slots[slot] - 1;
    return ESP_OK;
}

void espi_word_table_clear(struct espi_word_table *table)
{
    free(table->entries);
    free(table->slots);
}
