/* SPDX-License-Identifier: Apache-2.0 */
#include "create/distill/teacher_cache.h"

#include "base/crc32c.h"
#include "base/file_target.h"
#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_TOKENS = 4096, BLOCK_WINDOWS = 512 }; // most of a block; one window may be larger

static const char magic[8] = {'E', 'S', 'P', 'T', 'E', 'A', 'C', '1'};

struct head {
    char magic[8];
    uint64_t windows, floats;
    uint32_t teacher, data, compute, width;
    uint32_t whole;
    uint32_t crc; // of all before
};

struct block {
    uint64_t first, floats;
    uint32_t windows;
    uint32_t crc; // of the three before and the floats
};

_Static_assert(sizeof(struct head) == 48 && sizeof(struct block) == 24, "on-disk sizes");

/* One cache, read or filled. */
struct cache {
    const char *path;
    const struct espi_teacher_key *key;
    const struct espi_feed *feed;
    size_t windows;
};

static size_t window_floats(const struct cache *c, size_t window)
{
    return c->key->width * (c->key->whole ? 1 : espi_feed_window(c->feed, window).tokens);
}

static struct head head_of(const struct cache *c)
{
    struct head head = {.windows = c->windows,
                        .teacher = c->key->teacher,
                        .data = c->key->data,
                        .compute = c->key->compute,
                        .width = c->key->width,
                        .whole = c->key->whole};
    memcpy(head.magic, magic, sizeof magic);
    for (size_t w = 0; w < c->windows; w++)
        head.floats += window_floats(c, w);
    head.crc = espi_crc32c(0, &head, offsetof(struct head, crc));
    return head;
}

static uint32_t block_crc(const struct block *block, const float *values)
{
    return espi_crc32c(espi_crc32c(0, block, offsetof(struct block, crc)), values, block->floats * sizeof *values);
}

/* ---- reading ----------------------------------------------------------------------------------------------------------- */

static int check_head(esp_context *ctx, const struct cache *c, const char *path, const struct espi_map *map)
{
    struct head expected = head_of(c), found;
    if (map->bytes < sizeof found || memcmp(map->data, magic, sizeof magic) != 0)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: holds no outputs of a teacher", path);
    memcpy(&found, map->data, sizeof found);
    if (found.crc != espi_crc32c(0, &found, offsetof(struct head, crc)))
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: damaged: the checksum of its head is wrong", path);
    if (found.teacher != expected.teacher || found.width != expected.width || found.whole != expected.whole)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "%s: is of another teacher (checksum %08" PRIx32 ", expected %08" PRIx32
                         "): remove it or name another file",
                         path, found.teacher, expected.teacher);
    if (found.windows != expected.windows || found.data != expected.data || found.floats != expected.floats)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "%s: is of other data (%" PRIu64 " windows, checksum %08" PRIx32 ", expected %zu, %08" PRIx32
                         "): remove it or name another file",
                         path, found.windows, found.data, c->windows, expected.data);
    if (found.compute != expected.compute)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s: was computed in %s, expected %s: remove it or name another file",
                         path, found.compute ? "bf16" : "fp32", expected.compute ? "bf16" : "fp32");
    return ESP_OK;
}

/* Whether a whole block of the right windows stands at `at`. */
static bool check_block(const struct cache *c, const struct espi_map *map, size_t at, size_t first, struct block *block)
{
    size_t left = map->bytes - at, floats = 0;
    if (left < sizeof *block)
        return false;
    memcpy(block, map->data + at, sizeof *block);
    if (block->first != first || !block->windows || block->windows > c->windows - first ||
        block->floats > (left - sizeof *block) / sizeof(float))
        return false;
    for (size_t w = 0; w < block->windows; w++)
        floats += window_floats(c, first + w);
    const float *values = (const float *)(const void *)(map->data + at + sizeof *block);
    return floats == block->floats && block_crc(block, values) == block->crc;
}

/* Goes through the blocks up to the first that is not whole: *bytes gets where that stands; windows (NULL: none wanted)
 * where each window's values are. Returns the windows there are. */
static size_t read_blocks(const struct cache *c, const struct espi_map *map, const float **windows, size_t *bytes)
{
    size_t first = 0;
    struct block block;
    *bytes = sizeof(struct head);
    while (first < c->windows && check_block(c, map, *bytes, first, &block)) {
        const float *values = (const float *)(const void *)(map->data + *bytes + sizeof block);
        for (size_t w = 0; w < block.windows; w++) {
            if (windows)
                windows[first + w] = values;
            values += window_floats(c, first + w);
        }
        first += block.windows;
        *bytes += sizeof block + block.floats * sizeof(float);
    }
    return first;
}

static int open_complete(esp_context *ctx, const struct cache *c, struct espi_teacher_cache *out)
{
    size_t bytes, found;
    int status = espi_map_open(ctx, c->path, &out->map);
    if (status)
        return status;
    status = check_head(ctx, c, c->path, &out->map);
    if (status)
        return status;
    out->windows = espi_calloc(ctx, c->windows, sizeof *out->windows);
    if (!out->windows)
        return ESP_ERR_MEMORY;
    out->count = c->windows;
    found = read_blocks(c, &out->map, out->windows, &bytes);
    if (found < c->windows || bytes != out->map.bytes)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: damaged or cut short behind window %zu of %zu: remove it", c->path,
                         found, c->windows);
    return ESP_OK;
}

/* ---- filling ----------------------------------------------------------------------------------------------------------- */

/* A file that grows. */
struct filling {
    const struct cache *cache;
    char path[ESPI_PATH_BYTES]; // of the partial file
    FILE *stream;
    size_t done; // windows
    espi_teacher_fn *teacher;
    void *argument;
    int32_t *ids;   // of a block
    uint8_t *types; //
    uint32_t *starts;
    float *values;
    size_t id_room, type_room, start_room, value_room;
};

/* What an earlier run has left and is of use: its bytes and windows. */
static int find_partial(esp_context *ctx, struct filling *f, size_t *bytes)
{
    struct espi_map map;
    *bytes = 0;
    if (!espi_path_exists(f->path))
        return ESP_OK;
    int status = espi_map_open(ctx, f->path, &map);
    if (status)
        return status;
    if (memcmp(map.data, magic, espi_size_min(map.bytes, sizeof magic)) != 0)
        status = espi_fail(ctx, ESP_ERR_ARGUMENT,
                           "%s: is written while the cache is filled: expected nothing there, or what a run has left, "
                           "found another file; name another cache",
                           f->path);
    else if (map.bytes && check_head(ctx, f->cache, f->path, &map) == ESP_OK)
        f->done = read_blocks(f->cache, &map, NULL, bytes);
    else if (map.bytes)
        espi_log(ctx, ESP_LOG_WARNING, "%s; it is written anew", esp_last_error(ctx));
    espi_map_close(&map);
    return status;
}

static int fail_writing(esp_context *ctx, const struct filling *f)
{
    return espi_fail_errno(ctx, ESP_ERR_IO, errno ? errno : EIO, "%s: cannot write", f->path);
}

/* Whether the open file is this process's alone and still has its name: another may just have completed it. */
static bool is_own(const struct filling *f)
{
    struct stat named, opened;
    int fd = fileno(f->stream);
    return flock(fd, LOCK_EX | LOCK_NB) == 0 && stat(f->path, &named) == 0 && fstat(fd, &opened) == 0 &&
           named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

/* Opens the partial file, without what is of no use in it. */
static int open_partial(esp_context *ctx, struct filling *f)
{
    struct head head = head_of(f->cache);
    size_t bytes;
    if (snprintf(f->path, sizeof f->path, "%s.partial", f->cache->path) >= (int)sizeof f->path)
        return espi_fail(ctx, ESP_ERR_LIMIT, "%.100s…: path longer than %d bytes", f->cache->path, ESPI_PATH_BYTES - 9);
    int fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot create", f->path);
    f->stream = fdopen(fd, "r+b");
    if (!f->stream) {
        close(fd);
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot create", f->path);
    }
    if (!is_own(f))
        return espi_fail(ctx, ESP_ERR_IO, "%s: is being filled by another process", f->path);
    int status = find_partial(ctx, f, &bytes);
    if (status)
        return status;
    errno = 0;
    if (ftruncate(fd, (off_t)bytes) != 0 || fseeko(f->stream, 0, SEEK_END) != 0)
        return fail_writing(ctx, f);
    if (!bytes && fwrite(&head, sizeof head, 1, f->stream) != 1)
        return fail_writing(ctx, f);
    return ESP_OK;
}

/* Collects windows of a block from `done` on; *floats: of their outputs. */
static int take_block(esp_context *ctx, struct filling *f, struct espi_batch *batch, size_t *floats)
{
    const struct cache *c = f->cache;
    *batch = (struct espi_batch){0};
    *floats = 0;
    int status = espi_grow(ctx, &f->starts, &f->start_room, BLOCK_WINDOWS + 1, sizeof *f->starts);
    for (size_t w = f->done; !status && w < c->windows && batch->sequences < BLOCK_WINDOWS; w++) {
        struct espi_window window = espi_feed_window(c->feed, w);
        size_t tokens = batch->tokens + window.tokens;
        if (batch->sequences && tokens > BLOCK_TOKENS)
            break;
        status = espi_grow(ctx, &f->ids, &f->id_room, tokens, sizeof *f->ids);
        if (!status)
            status = espi_grow(ctx, &f->types, &f->type_room, tokens, sizeof *f->types);
        if (status)
            return status;
        memcpy(f->ids + batch->tokens, window.ids, window.tokens * sizeof *f->ids);
        memcpy(f->types + batch->tokens, window.types, window.tokens);
        f->starts[batch->sequences++] = (uint32_t)batch->tokens;
        f->starts[batch->sequences] = (uint32_t)tokens;
        batch->tokens = tokens;
        *floats += window_floats(c, w);
    }
    batch->starts = f->starts;
    batch->ids = f->ids;
    batch->types = f->types;
    return status;
}

static int fill_block(esp_context *ctx, struct filling *f)
{
    struct espi_batch batch;
    size_t floats;
    int status = take_block(ctx, f, &batch, &floats);
    if (!status)
        status = espi_grow(ctx, &f->values, &f->value_room, floats, sizeof *f->values);
    if (!status)
        status = f->teacher(f->argument, ctx, &batch, f->values);
    if (status)
        return status;
    struct block block = {.first = f->done, .floats = floats, .windows = (uint32_t)batch.sequences};
    block.crc = block_crc(&block, f->values);
    errno = 0;
    if (fwrite(&block, sizeof block, 1, f->stream) != 1 ||
        fwrite(f->values, sizeof *f->values, floats, f->stream) != floats)
        return fail_writing(ctx, f);
    f->done += batch.sequences;
    return ESP_OK;
}

static int fill_blocks(esp_context *ctx, struct filling *f, const struct espi_watch *watch)
{
    size_t windows = f->cache->windows;
    struct espi_progress progress = {.watch = *watch, .label = "teacher", .unit = "windows", .total = windows};
    int status = ESP_OK;
    while (!status && f->done < windows) {
        if (espi_watch_stops(watch))
            status = espi_fail(ctx, ESP_ERR_CANCELLED, "stopped: %zu of %zu windows of the teacher are in %s", f->done,
                               windows, f->path);
        else
            status = fill_block(ctx, f);
        espi_progress_update(&progress, f->done, NULL);
    }
    espi_progress_end(&progress, NULL);
    return status;
}

/* Everything is on the disk before the file gets its name. */
static int finish(esp_context *ctx, struct filling *f)
{
    errno = 0;
    if (fflush(f->stream) != 0 || fsync(fileno(f->stream)) != 0)
        return fail_writing(ctx, f);
    if (rename(f->path, f->cache->path) != 0)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot rename into place", f->cache->path);
    return ESP_OK;
}

static int fill(esp_context *ctx, const struct cache *c, espi_teacher_fn *teacher, void *argument,
                const struct espi_watch *watch)
{
    struct filling f = {.cache = c, .teacher = teacher, .argument = argument};
    int status = open_partial(ctx, &f);
    if (!status)
        status = fill_blocks(ctx, &f, watch);
    if (!status)
        status = finish(ctx, &f);
    if (f.stream)
        fclose(f.stream);
    free(f.ids);
    free(f.types);
    free(f.starts);
    free(f.values);
    return status;
}

int espi_teacher_cache_open(esp_context *ctx, const char *path, const struct espi_teacher_key *key,
                            const struct espi_feed *feed, espi_teacher_fn *teacher, void *argument,
                            const struct espi_watch *watch, struct espi_teacher_cache *out)
{
    struct espi_target target;
    struct cache c = {.path = target.path, .key = key, .feed = feed, .windows = espi_feed_windows(feed)};
    *out = (struct espi_teacher_cache){0};
    int status = espi_target_look(ctx, path, &target); // a link may lead to where the cache is to be
    if (!status && target.kind == ESPI_TARGET_NEW)
        status = fill(ctx, &c, teacher, argument, watch);
    if (!status)
        status = open_complete(ctx, &c, out);
    if (status)
        espi_teacher_cache_close(out);
    return status;
}

void espi_teacher_cache_close(struct espi_teacher_cache *cache)
{
    free(cache->windows);
    espi_map_close(&cache->map);
    *cache = (struct espi_teacher_cache){0};
}
