/* SPDX-License-Identifier: Apache-2.0
 * The file, little-endian: magic (8 bytes), number of blocks (u64), then a record of each block (name in 64 bytes, size
 * u64, CRC-32C u32, 4 bytes of zeros), the CRC-32C of all that (u32, 4 bytes of zeros), then the blocks one behind the
 * other. */
#include "create/state/state.h"

#include "base/crc32c.h"
#include "base/file.h"
#include "base/size.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = {'E', 'S', 'P', 'S', 'T', 'A', 'T', '2'};
static const char without_sums[8] = {'E', 'S', 'P', 'S', 'T', 'A', 'T', '1'}; // of the files beside it

struct record {
    char name[64];
    uint64_t bytes;
    uint32_t crc, zero;
};

_Static_assert(sizeof(struct record) == 80, "on-disk size");

struct head {
    char magic[8];
    uint64_t count;
};

int espi_state_add(esp_context *ctx, struct espi_state *state, const char *name, void *data, size_t bytes)
{
    int status = espi_grow(ctx, &state->items, &state->capacity, state->count + 1, sizeof *state->items);
    if (status)
        return status;
    struct espi_state_item *item = &state->items[state->count++];
    *item = (struct espi_state_item){.data = data, .bytes = bytes};
    snprintf(item->name, sizeof item->name, "%s", name);
    return ESP_OK;
}

void espi_state_clear(struct espi_state *state)
{
    free(state->items);
    *state = (struct espi_state){0};
}

static size_t table_bytes(size_t count)
{
    return sizeof(struct head) + count * sizeof(struct record);
}

/* Head and records, with the checksum of both behind them. */
static unsigned char *make_table(esp_context *ctx, const struct espi_state *state)
{
    size_t bytes = table_bytes(state->count);
    unsigned char *table = espi_calloc(ctx, bytes + 2 * sizeof(uint32_t), 1);
    struct head head = {.count = state->count};
    if (!table)
        return NULL;
    memcpy(head.magic, magic, sizeof magic);
    memcpy(table, &head, sizeof head);
    for (size_t i = 0; i < state->count; i++) {
        const struct espi_state_item *item = &state->items[i];
        struct record record = {.bytes = item->bytes, .crc = espi_crc32c(0, item->data, item->bytes)};
        memcpy(record.name, item->name, sizeof record.name);
        memcpy(table + table_bytes(i), &record, sizeof record);
    }
    uint32_t crc = espi_crc32c(0, table, bytes);
    memcpy(table + bytes, &crc, sizeof crc);
    return table;
}

int espi_state_save(esp_context *ctx, const struct espi_state *state, const char *path)
{
    struct espi_output output = {0};
    unsigned char *table = make_table(ctx, state);
    int status = table ? espi_output_create(ctx, &output, path) : ESP_ERR_MEMORY;
    if (!status) {
        fwrite(table, 1, table_bytes(state->count) + 2 * sizeof(uint32_t), output.stream);
        for (size_t i = 0; i < state->count; i++)
            fwrite(state->items[i].data, 1, state->items[i].bytes, output.stream); // commit reports the stream's error
        status = espi_output_commit(ctx, &output);
    }
    free(table);
    return status;
}

/* ---- loading ------------------------------------------------------------------------------------------------------------ */

/* Head and records; *count gets how many there are. */
static int check_table(esp_context *ctx, const char *path, const struct espi_map *map, size_t *count)
{
    struct head head;
    uint32_t crc[2]; // and zeros
    if (map->bytes < sizeof head)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: cut short", path);
    memcpy(&head, map->data, sizeof head);
    if (memcmp(head.magic, without_sums, sizeof magic) == 0)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED,
                         "%s: is of an older version and has no checksums of the model beside it, so that damage could "
                         "not be told: remove the directory and begin the run anew, from that model if need be",
                         path);
    if (memcmp(head.magic, magic, sizeof magic) != 0)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: is no state of a training run", path);
    if (head.count > map->bytes / sizeof(struct record) || map->bytes < table_bytes(head.count) + sizeof crc)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: cut short", path);
    size_t bytes = table_bytes(head.count);
    *count = head.count;
    memcpy(crc, map->data + bytes, sizeof crc);
    if (crc[0] != espi_crc32c(0, map->data, bytes) || crc[1] != 0)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: damaged: the checksum of its table is wrong", path);
    return ESP_OK;
}

static int check_head(esp_context *ctx, const struct espi_state *state, const char *path, const struct espi_map *map)
{
    size_t count;
    int status = check_table(ctx, path, map, &count);
    if (!status && count != state->count)
        status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected %zu blocks for these options, found %zu", path,
                           state->count, count);
    return status;
}

static int fail_block(esp_context *ctx, const char *path, const char *name)
{
    return espi_fail(ctx, ESP_ERR_FORMAT, "%s: damaged: the checksum of \"%s\" is wrong", path, name);
}

/* Checks the blocks, or (copy) takes them over. */
static int go_through(esp_context *ctx, const struct espi_state *state, const char *path, const struct espi_map *map,
                      bool copy)
{
    size_t at = table_bytes(state->count) + 2 * sizeof(uint32_t);
    for (size_t i = 0; i < state->count; i++) {
        const struct espi_state_item *item = &state->items[i];
        struct record record;
        memcpy(&record, map->data + table_bytes(i), sizeof record);
        if (memcmp(record.name, item->name, sizeof record.name) != 0 || record.bytes != item->bytes)
            return espi_fail(ctx, ESP_ERR_FORMAT,
                             "%s: expected \"%s\" of %zu bytes for these options, found \"%.64s\" of %" PRIu64, path,
                             item->name, item->bytes, record.name, record.bytes);
        if (map->bytes - at < item->bytes)
            return espi_fail(ctx, ESP_ERR_FORMAT, "%s: cut short in \"%s\"", path, item->name);
        if (!copy && espi_crc32c(0, map->data + at, item->bytes) != record.crc)
            return fail_block(ctx, path, item->name);
        if (copy)
            memcpy(item->data, map->data + at, item->bytes);
        at += item->bytes;
    }
    return at == map->bytes ? ESP_OK
                            : espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected %zu bytes, found %zu", path, at, map->bytes);
}

/* The first block, which must be `item`. */
static int read_first(esp_context *ctx, const char *path, const struct espi_map *map, struct espi_state_item *item)
{
    size_t count;
    struct record record;
    int status = check_table(ctx, path, map, &count);
    if (status)
        return status;
    size_t at = table_bytes(count) + 2 * sizeof(uint32_t);
    memcpy(&record, map->data + table_bytes(0), sizeof record);
    if (!count || memcmp(record.name, item->name, sizeof record.name) != 0 || record.bytes != item->bytes)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected \"%s\" of %zu bytes as its first block", path, item->name,
                         item->bytes);
    if (map->bytes - at < item->bytes)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: cut short in \"%s\"", path, item->name);
    if (espi_crc32c(0, map->data + at, item->bytes) != record.crc)
        return fail_block(ctx, path, item->name);
    memcpy(item->data, map->data + at, item->bytes);
    return ESP_OK;
}

int espi_state_read_first(esp_context *ctx, const char *path, const char *name, void *data, size_t bytes)
{
    struct espi_state_item item = {.data = data, .bytes = bytes};
    struct espi_map map;
    snprintf(item.name, sizeof item.name, "%s", name);
    int status = espi_map_open(ctx, path, &map);
    if (status)
        return status;
    status = read_first(ctx, path, &map, &item);
    espi_map_close(&map);
    return status;
}

int espi_state_load(esp_context *ctx, const struct espi_state *state, const char *path)
{
    struct espi_map map;
    int status = espi_map_open(ctx, path, &map);
    if (status)
        return status;
    status = check_head(ctx, state, path, &map);
    if (!status)
        status = go_through(ctx, state, path, &map, false);
    if (!status)
        status = go_through(ctx, state, path, &map, true);
    espi_map_close(&map);
    return status;
}
