/* SPDX-License-Identifier: Apache-2.0
 * Output directories. */
#include "base/file.h"
#include "base/file_target.h"
#include "base/file_temporary.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Calls `see` with the path of every entry, "." and ".." left out, until one returns what is not 0. */
typedef int entry_fn(void *cookie, esp_context *ctx, const char *path, const char *name);

int espi_directory_next(esp_context *ctx, DIR *directory, const char *path, const char **name)
{
    struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(directory);
    } while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    if (!entry && errno)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot read", path);
    *name = entry ? entry->d_name : NULL;
    return entry != NULL;
}

static int for_each_entry(esp_context *ctx, const char *path, entry_fn *see, void *cookie)
{
    char child[ESPI_PATH_BYTES];
    DIR *directory = opendir(path);
    const char *name;
    int status;
    if (!directory)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot read", path);
    while ((status = espi_directory_next(ctx, directory, path, &name)) > 0) {
        status = espi_path_join(ctx, child, path, name);
        if (!status)
            status = see(cookie, ctx, child, name);
        if (status)
            break;
    }
    closedir(directory);
    return status;
}

/* ---- creating ------------------------------------------------------------------------------------------------------- */

/* `cookie`: a path that may be there, or NULL. */
static int refuse_entry(void *cookie, esp_context *ctx, const char *path, const char *name)
{
    const char *own = cookie;
    if ((own && strcmp(path, own) == 0) || strcmp(name, "lost+found") == 0) // a file system of its own has that
        return ESP_OK;
    return espi_fail(ctx, ESP_ERR_ARGUMENT, "%.*s: expected a new or empty directory, found one with files in it",
                     (int)(strlen(path) - strlen(name) - 1), path);
}

int espi_output_dir_create(esp_context *ctx, struct espi_output_dir *dir, const char *path)
{
    struct espi_target target;
    struct espi_temporary temporary;
    char parent[ESPI_PATH_BYTES];
    const char *name;
    *dir = (struct espi_output_dir){0};
    int status = espi_target_look(ctx, path, &target);
    if (status)
        return status;
    bool exists = target.kind == ESPI_TARGET_DIRECTORY;
    if (!exists && target.kind != ESPI_TARGET_NEW)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s: expected a new or empty directory, found %s", path,
                         target.kind == ESPI_TARGET_FILE ? "a file" : "a device, pipe or socket");
    espi_path_split(target.path, parent, &name);
    if (exists)
        espi_temporary_sweep(target.path, name);
    status = exists ? for_each_entry(ctx, target.path, refuse_entry, NULL) : ESP_OK;
    if (!status)
        status = espi_temporary_directory(ctx, exists ? target.path : parent, name, &temporary);
    if (status)
        return status;
    memcpy(dir->path, target.path, sizeof target.path);
    memcpy(dir->temporary, temporary.path, sizeof temporary.path);
    dir->lock = temporary.fd;
    dir->exists = exists;
    return ESP_OK;
}

int espi_output_dir_check(esp_context *ctx, const char *path)
{
    struct espi_output_dir dir;
    int status = espi_output_dir_create(ctx, &dir, path);
    espi_output_dir_abort(&dir);
    return status;
}

/* ---- completing ------------------------------------------------------------------------------------------------------ */

/* Without it a directory is no model to anybody: it comes last. */
static const char last_name[] = "config.json";

static int move_up(void *cookie, esp_context *ctx, const char *path, const char *name)
{
    const struct espi_output_dir *dir = cookie;
    char target[ESPI_PATH_BYTES];
    int status = strcmp(name, last_name) == 0 ? ESP_OK : espi_path_join(ctx, target, dir->path, name);
    if (!status && strcmp(name, last_name) != 0 && rename(path, target) != 0)
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot rename into place", target);
    return status;
}

static int move_last(esp_context *ctx, const struct espi_output_dir *dir)
{
    char from[ESPI_PATH_BYTES], to[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, from, dir->temporary, last_name);
    if (!status)
        status = espi_path_join(ctx, to, dir->path, last_name);
    if (!status && rename(from, to) != 0 && errno != ENOENT)
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot rename into place", to);
    return status;
}

/* The files, one by one, into the directory that is there: it may be a mount point, another user's, or one in a place
 * where nothing can be renamed. */
static int fill(esp_context *ctx, struct espi_output_dir *dir)
{
    int status = for_each_entry(ctx, dir->path, refuse_entry, dir->temporary); // still
    if (!status)
        status = for_each_entry(ctx, dir->temporary, move_up, dir);
    if (!status)
        status = espi_sync_path(ctx, dir->path);
    if (!status)
        status = move_last(ctx, dir);
    if (!status && rmdir(dir->temporary) != 0)
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot remove", dir->temporary);
    return status ? status : espi_sync_path(ctx, dir->path);
}

static int appear(esp_context *ctx, struct espi_output_dir *dir)
{
    (void)!fchmod(dir->lock, espi_creation_mode(0777)); // a file system without modes has its own
    if (rename(dir->temporary, dir->path) != 0)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot rename into place", dir->path);
    return espi_sync_parent(ctx, dir->path);
}

int espi_output_dir_commit(esp_context *ctx, struct espi_output_dir *dir)
{
    int status = espi_sync_path(ctx, dir->temporary);
    if (!status)
        status = dir->exists ? fill(ctx, dir) : appear(ctx, dir);
    espi_output_dir_abort(dir);
    return status;
}

void espi_output_dir_abort(struct espi_output_dir *dir)
{
    if (dir->temporary[0]) {
        (void)!espi_remove_tree(NULL, dir->temporary); // best effort: the failure that led here is the one to report
        close(dir->lock);
    }
    *dir = (struct espi_output_dir){0};
}

/* ---- removing -------------------------------------------------------------------------------------------------------- */

static int remove_entry(void *cookie, esp_context *ctx, const char *path, const char *name)
{
    (void)cookie;
    (void)name;
    return espi_remove_tree(ctx, path);
}

int espi_remove_tree(esp_context *ctx, const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0)
        return errno == ENOENT ? ESP_OK : espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s", path);
    if (S_ISDIR(info.st_mode)) {
        if (rmdir(path) == 0) // empty: what looking into it takes may not be to be had
            return ESP_OK;
        int status = for_each_entry(ctx, path, remove_entry, NULL);
        if (status)
            return status;
    }
    if (remove(path) != 0)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot remove", path);
    return ESP_OK;
}
