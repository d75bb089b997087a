/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/memory.h"
#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_regular(esp_context *ctx, const char *path, int *out, size_t *bytes)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not hang us; fstat then refuses it
    if (fd < 0)
        return espi_fail_errno(ctx, errno == ENOENT ? ESP_ERR_NOT_FOUND : ESP_ERR_IO, errno, "%s", path);
    if (fstat(fd, &info) != 0) {
        int status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s", path);
        close(fd);
        return status;
    }
    if (!S_ISREG(info.st_mode)) {
        close(fd);
        return espi_fail(ctx, ESP_ERR_IO, "%s: expected a regular file, found %s", path,
                         S_ISDIR(info.st_mode) ? "a directory" : "a device, pipe or socket");
    }
    int status = espi_input_note(ctx, path, &info);
    if (status) {
        close(fd);
        return status;
    }
    *out = fd;
    *bytes = (size_t)info.st_size;
    return ESP_OK;
}

static int read_all(esp_context *ctx, const char *path, int fd, unsigned char *to, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = read(fd, to + done, bytes - done);
        if (got < 0 && errno != EINTR)
            return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s", path);
        if (got == 0)
            return espi_fail(ctx, ESP_ERR_IO, "%s: became shorter while it was read: %zu of %zu bytes were there", path,
                             done, bytes);
        done += got > 0 ? (size_t)got : 0;
    }
    return ESP_OK;
}

/* Maps `fd`, or with -1 pages of this process's own. `bytes` may be 0. */
static int map_pages(esp_context *ctx, const char *name, int fd, size_t bytes, struct espi_map *map)
{
    if (!bytes)
        return ESP_OK;
    void *data = fd < 0 ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                        : mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot map %zu bytes", name, bytes);
    /* What has to come from the disk goes into the page cache by large pages, which all who map it then take at once: 95 MB
     * are a few hundred page faults instead of 1,500, which take 4 ms. Where the kernel cannot, nothing is lost. */
    madvise(data, bytes, MADV_HUGEPAGE);
    *map = (struct espi_map){.data = data, .bytes = bytes};
    return ESP_OK;
}

static int open_pages(esp_context *ctx, const char *path, bool copy, struct espi_map *map)
{
    int fd = -1;
    size_t bytes = 0;
    *map = (struct espi_map){.data = (const unsigned char *)""};
    int status = open_regular(ctx, path, &fd, &bytes);
    if (status)
        return status;
    status = map_pages(ctx, path, copy ? -1 : fd, bytes, map);
    if (!status && copy)
        status = read_all(ctx, path, fd, (unsigned char *)(uintptr_t)map->data, bytes);
    close(fd);
    if (status)
        espi_map_close(map);
    return status;
}

int espi_map_open(esp_context *ctx, const char *path, struct espi_map *map)
{
    return open_pages(ctx, path, false, map);
}

int espi_map_copy(esp_context *ctx, const char *path, struct espi_map *map)
{
    return open_pages(ctx, path, true, map);
}

int espi_map_copy_memory(esp_context *ctx, const char *name, const void *data, size_t bytes, struct espi_map *map)
{
    *map = (struct espi_map){.data = (const unsigned char *)""};
    int status = map_pages(ctx, name, -1, bytes, map);
    if (!status && bytes)
        memcpy((void *)(uintptr_t)map->data, data, bytes);
    return status;
}

void espi_map_close(struct espi_map *map)
{
    if (map->bytes)
        munmap((void *)(uintptr_t)map->data, map->bytes);
    *map = (struct espi_map){.data = (const unsigned char *)""};
}

int espi_path_look(esp_context *ctx, const char *path, enum espi_path_kind *kind)
{
    struct stat info;
    *kind = ESPI_PATH_NOTHING;
    if (stat(path, &info) == 0)
        *kind = S_ISDIR(info.st_mode) ? ESPI_PATH_DIRECTORY : ESPI_PATH_FILE;
    else if (errno != ENOENT && errno != ENOTDIR)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s", path);
    return ESP_OK;
}

int espi_path_find(esp_context *ctx, const char *path)
{
    enum espi_path_kind kind;
    int status = espi_path_look(ctx, path, &kind);
    return status ? status : kind != ESPI_PATH_NOTHING;
}

bool espi_path_exists(const char *path)
{
    return espi_path_find(NULL, path) != 0;
}

bool espi_path_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool espi_path_same(const char *a, const char *b)
{
    struct stat first, second;
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

int espi_path_join(esp_context *ctx, char path[ESPI_PATH_BYTES], const char *directory, const char *name)
{
    size_t length = strlen(directory);
    bool slash = length && directory[length - 1] == '/';
    int written = snprintf(path, ESPI_PATH_BYTES, "%s%s%s", directory, slash ? "" : "/", name);
    if (written < 0 || written >= ESPI_PATH_BYTES)
        return espi_fail(ctx, ESP_ERR_LIMIT, "%.60s…/%.60s: path longer than %d bytes", directory, name,
                         ESPI_PATH_BYTES - 1);
    return ESP_OK;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

enum { READ_BYTES = 64 << 10, LONGEST_LINE = 1 << 30, KEPT_BYTES = 1 << 20 };

int espi_lines_open(esp_context *ctx, const char *path, struct espi_lines *lines)
{
    bool standard = !path || strcmp(path, "-") == 0;
    *lines = (struct espi_lines){.name = standard ? "stdin" : path};
    if (!standard && espi_path_is_directory(path)) {
        lines->fd = -1;
        return espi_fail(ctx, ESP_ERR_IO, "%s: expected a file, found a directory", path);
    }
    lines->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (lines->fd < 0)
        return espi_fail_errno(ctx, errno == ENOENT ? ESP_ERR_NOT_FOUND : ESP_ERR_IO, errno, "%s", path);
    int status = espi_input_add(ctx, standard ? "/dev/stdin" : path);
    if (status)
        espi_lines_close(lines);
    return status;
}

static size_t longest(const struct espi_lines *lines)
{
    return lines->longest ? lines->longest : LONGEST_LINE;
}

static int fail_longer(esp_context *ctx, const struct espi_lines *lines, size_t most)
{
    return espi_fail(ctx, ESP_ERR_LIMIT, "%s: line %zu: expected at most %zu bytes, found more", lines->name,
                     lines->number + 1, most);
}

/* Gives back what a long line has taken. */
static void shrink(struct espi_lines *lines)
{
    size_t capacity = lines->end + READ_BYTES + 1;
    char *smaller =
        lines->capacity > KEPT_BYTES && lines->capacity > 4 * capacity ? realloc(lines->buffer, capacity) : NULL;
    if (smaller) {
        lines->buffer = smaller;
        lines->capacity = capacity;
    }
}

/* Reads what is there, at least one byte, behind the bytes still in the buffer; 0 at the end. */
static int fill(esp_context *ctx, struct espi_lines *lines)
{
    if (lines->begin) {
        memmove(lines->buffer, lines->buffer + lines->begin, lines->end - lines->begin);
        lines->end -= lines->begin;
        lines->begin = 0;
        shrink(lines);
    }
    if (lines->end > LONGEST_LINE)
        return fail_longer(ctx, lines, LONGEST_LINE);
    /* one more byte than is read: the last line may need its zero there */
    int status = espi_grow(ctx, &lines->buffer, &lines->capacity, lines->end + READ_BYTES + 1, 1);
    if (status)
        return status;
    ssize_t got = read(lines->fd, lines->buffer + lines->end, lines->capacity - lines->end - 1);
    if (got < 0)
        return espi_fail_errno(ctx, errno == EINTR ? ESP_ERR_CANCELLED : ESP_ERR_IO, errno, "%s: line %zu", lines->name,
                               lines->number + 1);
    lines->end += (size_t)got;
    return got > 0;
}

/* The byte order mark of a file. */
static void skip_mark(struct espi_lines *lines)
{
    if (!lines->begun && lines->end - lines->begin >= 3 && !memcmp(lines->buffer + lines->begin, "\xef\xbb\xbf", 3))
        lines->begin += 3;
    lines->begun = true;
}

int espi_lines_peek(esp_context *ctx, struct espi_lines *lines, size_t wanted, const char **data, size_t *bytes)
{
    while (!lines->ended && lines->end - lines->begin < wanted) {
        int status = fill(ctx, lines);
        if (status < 0)
            return status;
        lines->ended = status == 0;
    }
    skip_mark(lines);
    *data = lines->end > lines->begin ? lines->buffer + lines->begin : "";
    *bytes = lines->end - lines->begin;
    return ESP_OK;
}

/* The end of the line that comes next, in the buffer: 1, 0 at the end of the file, or negative. */
static int find_end(esp_context *ctx, struct espi_lines *lines, const char **end)
{
    for (size_t searched = 0;;) {
        size_t there = lines->end - lines->begin;
        *end = there > searched ? memchr(lines->buffer + lines->begin + searched, '\n', there - searched) : NULL;
        if (*end)
            return 1;
        if (there > longest(lines))
            return fail_longer(ctx, lines, longest(lines));
        searched = there;
        int status = lines->ended ? 0 : fill(ctx, lines);
        if (status < 0)
            return status;
        if (status == 0) {
            lines->ended = true;
            *end = lines->buffer + lines->end;
            return there > 0;
        }
    }
}

/* Passes over the rest of a line that is not held. The context keeps its text of why. */
static int skip_line(esp_context *ctx, struct espi_lines *lines)
{
    if (!lines->buffer)
        return ESP_ERR_MEMORY;
    const char *newline = NULL;
    lines->begin = lines->end = 0;
    shrink(lines);
    while (!newline && !lines->ended) {
        ssize_t got = read(lines->fd, lines->buffer, lines->capacity - 1);
        if (got < 0)
            return espi_fail_errno(ctx, errno == EINTR ? ESP_ERR_CANCELLED : ESP_ERR_IO, errno, "%s: line %zu",
                                   lines->name, lines->number + 1);
        lines->ended = got == 0;
        lines->end = (size_t)got;
        newline = memchr(lines->buffer, '\n', lines->end);
    }
    lines->begin = newline ? (size_t)(newline + 1 - lines->buffer) : lines->end;
    lines->number++;
    return ESP_OK;
}

int espi_lines_next(esp_context *ctx, struct espi_lines *lines)
{
    const char *end;
    int status = find_end(ctx, lines, &end);
    if (status == ESP_ERR_LIMIT || status == ESP_ERR_MEMORY) {
        int skipped = skip_line(ctx, lines);
        return skipped ? skipped : status;
    }
    if (status <= 0)
        return status;
    skip_mark(lines);
    lines->text = lines->buffer + lines->begin;
    lines->length = (size_t)(end - lines->text);
    lines->begin += espi_size_min(lines->length + 1, lines->end - lines->begin);
    if (lines->length > longest(lines)) {
        status = fail_longer(ctx, lines, longest(lines));
        lines->number++;
        return status;
    }
    lines->number++;
    if (lines->length && lines->text[lines->length - 1] == '\r')
        lines->length--;
    lines->text[lines->length] = 0;
    return 1;
}

/* Whether a complete line with something in it is in the buffer. */
static bool has_line(const struct espi_lines *lines)
{
    size_t at = lines->begin;
    while (at < lines->end && memchr(" \t\r\n", lines->buffer[at], 4))
        at++;
    return at < lines->end && memchr(lines->buffer + at, '\n', lines->end - at);
}

bool espi_lines_would_wait(const struct espi_lines *lines)
{
    if (lines->ended || has_line(lines))
        return false;
    struct pollfd input = {.fd = lines->fd, .events = POLLIN};
    return poll(&input, 1, 0) == 0;
}

void espi_lines_close(struct espi_lines *lines)
{
    if (lines->name && lines->fd > STDIN_FILENO)
        close(lines->fd);
    free(lines->buffer);
    *lines = (struct espi_lines){0};
}
