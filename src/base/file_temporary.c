/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file_temporary.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK    ".tmp-espalier-"
#define PATTERN "XXXXXX"

enum { TRIES = 100, MARKED = sizeof MARK - 1 + sizeof PATTERN - 1, LONGEST = NAME_MAX - MARKED };

/* Takes the lock of an open file that still has its name. Where the file system knows no locks, nobody can tell the dead
 * from the living: a writer goes on, a sweeper leaves everything. */
static bool take(int fd, const char *path, bool writer)
{
    struct stat named, opened;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return writer && errno != EWOULDBLOCK;
    return fstat(fd, &opened) == 0 && lstat(path, &named) == 0 && opened.st_dev == named.st_dev &&
           opened.st_ino == named.st_ino && (writer || opened.st_uid == geteuid());
}

static void remove_abandoned(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    if (take(fd, path, false))
        (void)!espi_remove_tree(NULL, path);
    close(fd);
}

void espi_temporary_sweep(const char *directory, const char *name)
{
    char prefix[NAME_MAX + 1], path[ESPI_PATH_BYTES];
    int length = snprintf(prefix, sizeof prefix, "%.*s" MARK, LONGEST, name);
    DIR *stream = opendir(directory);
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        if (strncmp(entry->d_name, prefix, (size_t)length) == 0 &&
            strlen(entry->d_name + length) == sizeof PATTERN - 1 &&
            !espi_path_join(NULL, path, directory, entry->d_name))
            remove_abandoned(path);
    if (stream)
        closedir(stream);
}

static int make_file(char *path)
{
    return mkostemp(path, O_CLOEXEC);
}

static int make_directory(char *path)
{
    if (!mkdtemp(path))
        return -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), reason = errno;
    if (fd < 0)
        rmdir(path);
    errno = reason;
    return fd;
}

static int create(esp_context *ctx, const char *directory, const char *name, int (*make)(char *path),
                  struct espi_temporary *out)
{
    char file[NAME_MAX + 1];
    snprintf(file, sizeof file, "%.*s" MARK PATTERN, LONGEST, name);
    espi_temporary_sweep(directory, name);
    for (int i = 0; i < TRIES; i++) {
        int status = espi_path_join(ctx, out->path, directory, file);
        if (status)
            return status;
        out->fd = make(out->path);
        if (out->fd < 0)
            return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s/%s: cannot create", directory, name);
        if (take(out->fd, out->path, true))
            return ESP_OK;
        close(out->fd); // another process took it for abandoned before it was locked, and removes it
    }
    return espi_fail(ctx, ESP_ERR_IO, "%s/%s: cannot create: the temporary files beside it cannot be locked", directory,
                     name);
}

int espi_temporary_file(esp_context *ctx, const char *directory, const char *name, struct espi_temporary *out)
{
    return create(ctx, directory, name, make_file, out);
}

int espi_temporary_directory(esp_context *ctx, const char *directory, const char *name, struct espi_temporary *out)
{
    return create(ctx, directory, name, make_directory, out);
}
