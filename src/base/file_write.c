/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "path.tmp-XXXXXX" beside the final path, so that the rename stays within one file system. */
static int temporary_name(esp_context *ctx, char temporary[ESPI_PATH_BYTES], const char *path)
{
    int written = snprintf(temporary, ESPI_PATH_BYTES, "%s.tmp-XXXXXX", path);
    if (written < 0 || written >= ESPI_PATH_BYTES)
        return espi_fail(ctx, ESP_ERR_LIMIT, "%.100s…: path longer than %d bytes", path, ESPI_PATH_BYTES - 12);
    return ESP_OK;
}

static int sync_path(esp_context *ctx, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        int status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot sync", path);
        if (fd >= 0)
            close(fd);
        return status;
    }
    close(fd);
    return ESP_OK;
}

int espi_sync_parent(esp_context *ctx, const char *path)
{
    char copy[ESPI_PATH_BYTES];
    snprintf(copy, sizeof copy, "%s", path);
    return sync_path(ctx, dirname(copy));
}

static mode_t creation_mode(mode_t full)
{
    mode_t mask = umask(0);
    umask(mask);
    return full & ~mask;
}

int espi_output_create(esp_context *ctx, struct espi_output *output, const char *path)
{
    *output = (struct espi_output){0};
    if (!*path)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "output: expected a file name, found an empty one");
    if (espi_path_is_directory(path))
        return espi_fail(ctx, ESP_ERR_IO, "%s: expected a file name, found a directory", path);
    char temporary[ESPI_PATH_BYTES];
    int status = temporary_name(ctx, temporary, path);
    if (status)
        return status;
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot create", path);
    output->stream = fdopen(fd, "wb");
    if (!output->stream || fchmod(fd, creation_mode(0666)) != 0) {
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot create", path);
        if (output->stream)
            fclose(output->stream);
        else
            close(fd);
        output->stream = NULL;
        unlink(temporary);
        return status;
    }
    memcpy(output->temporary, temporary, sizeof temporary);
    snprintf(output->path, sizeof output->path, "%s", path);
    return ESP_OK;
}

/* Whether everything that was written has arrived; else errno has the reason. Of an earlier failure stdio does not keep
 * it: one byte more fails in the same way. */
static bool flush_all(FILE *stream)
{
    if (!ferror(stream))
        return fflush(stream) == 0 && fsync(fileno(stream)) == 0;
    clearerr(stream);
    errno = 0;
    if (fputc(0, stream) != EOF)
        fflush(stream);
    return false;
}

int espi_output_commit(esp_context *ctx, struct espi_output *output)
{
    int status = ESP_OK;
    bool failed = !flush_all(output->stream);
    int reason = errno;
    if (fclose(output->stream) != 0 && !failed) {
        failed = true;
        reason = errno;
    }
    output->stream = NULL;
    if (failed)
        status = espi_fail_errno(ctx, ESP_ERR_IO, reason ? reason : EIO, "%s: cannot write", output->path);
    else if (rename(output->temporary, output->path) != 0)
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot rename into place", output->path);
    if (status) {
        espi_output_abort(output);
        return status;
    }
    output->temporary[0] = 0;
    return espi_sync_parent(ctx, output->path);
}

void espi_output_abort(struct espi_output *output)
{
    if (output->stream)
        fclose(output->stream);
    if (output->temporary[0])
        unlink(output->temporary);
    *output = (struct espi_output){0};
}

int espi_output_write_file(esp_context *ctx, const char *path, const void *data, size_t bytes)
{
    struct espi_output output;
    int status = espi_output_create(ctx, &output, path);
    if (status)
        return status;
    if (bytes)
        fwrite(data, 1, bytes, output.stream); // commit reports the stream's error
    return espi_output_commit(ctx, &output);
}

static bool directory_is_empty(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory)
        return false;
    size_t entries = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        entries += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(directory);
    return entries == 0;
}

int espi_output_dir_create(esp_context *ctx, struct espi_output_dir *dir, const char *path)
{
    *dir = (struct espi_output_dir){0};
    char plain[ESPI_PATH_BYTES], temporary[ESPI_PATH_BYTES];
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length == 0 || length >= sizeof plain)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "output directory: expected a path of 1 to %d bytes, found %zu",
                         ESPI_PATH_BYTES - 12, length);
    memcpy(plain, path, length);
    plain[length] = 0;
    if (espi_path_exists(plain) && !directory_is_empty(plain))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s: expected a new or empty directory, found %s", plain,
                         espi_path_is_directory(plain) ? "one with files in it" : "a file");
    int status = temporary_name(ctx, temporary, plain);
    if (status)
        return status;
    if (!mkdtemp(temporary))
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot create", plain);
    if (chmod(temporary, creation_mode(0777)) != 0) {
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot create", plain);
        rmdir(temporary);
        return status;
    }
    memcpy(dir->path, plain, sizeof plain);
    memcpy(dir->temporary, temporary, sizeof temporary);
    return ESP_OK;
}

int espi_output_dir_check(esp_context *ctx, const char *path)
{
    struct espi_output_dir dir;
    int status = espi_output_dir_create(ctx, &dir, path);
    espi_output_dir_abort(&dir);
    return status;
}

int espi_output_dir_commit(esp_context *ctx, struct espi_output_dir *dir)
{
    int status = sync_path(ctx, dir->temporary);
    if (!status && rename(dir->temporary, dir->path) != 0)
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot rename into place", dir->path);
    if (status) {
        espi_output_dir_abort(dir);
        return status;
    }
    dir->temporary[0] = 0;
    return espi_sync_parent(ctx, dir->path);
}

void espi_output_dir_abort(struct espi_output_dir *dir)
{
    if (dir->temporary[0])
        (void)!espi_remove_tree(NULL, dir->temporary); // best effort: the failure that led here is the one to report
    *dir = (struct espi_output_dir){0};
}

static int remove_children(esp_context *ctx, const char *path)
{
    DIR *directory = opendir(path);
    if (!directory)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot remove", path);
    int status = ESP_OK;
    for (struct dirent *entry; !status && (entry = readdir(directory));) {
        char child[ESPI_PATH_BYTES];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        status = espi_path_join(ctx, child, path, entry->d_name);
        if (!status)
            status = espi_remove_tree(ctx, child);
    }
    closedir(directory);
    return status;
}

int espi_remove_tree(esp_context *ctx, const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0)
        return errno == ENOENT ? ESP_OK : espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s", path);
    if (S_ISDIR(info.st_mode)) {
        int status = remove_children(ctx, path);
        if (status)
            return status;
    }
    if (remove(path) != 0)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot remove", path);
    return ESP_OK;
}
