/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/memory.h"
#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
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
    *out = fd;
    *bytes = (size_t)info.st_size;
    return ESP_OK;
}

int espi_map_open(esp_context *ctx, const char *path, struct espi_map *map)
{
    int fd = -1;
    *map = (struct espi_map){.data = (const unsigned char *)""};
    int status = open_regular(ctx, path, &fd, &map->bytes);
    if (status)
        return status;
    if (map->bytes) {
        void *data = mmap(NULL, map->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot map %zu bytes", path, map->bytes);
            map->bytes = 0;
        } else {
            map->data = data;
        }
    }
    close(fd);
    return status;
}

void espi_map_close(struct espi_map *map)
{
    if (map->bytes)
        munmap((void *)(uintptr_t)map->data, map->bytes);
    *map = (struct espi_map){.data = (const unsigned char *)""};
}

bool espi_path_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool espi_path_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
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

int espi_lines_next(esp_context *ctx, struct espi_lines *lines)
{
    enum { LIMIT = 1 << 30 };
    errno = 0;
    ssize_t length = getline(&lines->text, &lines->capacity, lines->stream);
    if (length < 0) {
        if (feof(lines->stream) && !ferror(lines->stream))
            return 0;
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: line %zu", lines->name, lines->number + 1);
    }
    lines->number++;
    if (length > LIMIT)
        return espi_fail(ctx, ESP_ERR_LIMIT, "%s: line %zu: longer than 1 GiB", lines->name, lines->number);
    if (length && lines->text[length - 1] == '\n')
        length--;
    if (length && lines->text[length - 1] == '\r')
        length--;
    lines->text[length] = 0;
    lines->length = (size_t)length;
    return 1;
}

void espi_lines_clear(struct espi_lines *lines)
{
    free(lines->text);
    lines->text = NULL;
    lines->length = lines->capacity = 0;
}
