/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/file_target.h"
#include "base/file_temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int sync_file(int fd)
{
    int status;
    while ((status = fsync(fd)) != 0 && errno == EINTR)
        continue;
    return status;
}

int espi_sync_path(esp_context *ctx, const char *path)
{
    int fd, failed = 0;
    while ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0 && errno == EINTR)
        continue;
    if (fd < 0 && errno == EACCES) // a directory that may be written to, not read: the system syncs it in its own time
        return ESP_OK;
    if (fd < 0 || (sync_file(fd) != 0 && errno != EINVAL)) // EINVAL: nothing that could be synced
        failed = errno;
    if (fd >= 0)
        close(fd);
    return failed ? espi_fail_errno(ctx, ESP_ERR_IO, failed, "%s: cannot sync", path) : ESP_OK;
}

int espi_sync_parent(esp_context *ctx, const char *path)
{
    char directory[ESPI_PATH_BYTES];
    const char *name;
    espi_path_split(path, directory, &name);
    int status = espi_sync_path(ctx, directory);
    return status ? espi_fail_prefix(ctx, status, "%s: its directory", path) : ESP_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* Devices and pipes take what is written at once; a descriptor of this process keeps its place in the file. */
static int open_in_place(const struct espi_target *target)
{
    return target->descriptor >= 0 ? fcntl(target->descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)
                                   : open(target->path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
}

static int open_beside(esp_context *ctx, const struct espi_target *target, struct espi_temporary *temporary)
{
    char directory[ESPI_PATH_BYTES];
    const char *name;
    espi_path_split(target->path, directory, &name);
    return espi_temporary_file(ctx, directory, name, temporary);
}

int espi_output_create(esp_context *ctx, struct espi_output *output, const char *path)
{
    struct espi_target target;
    struct espi_temporary temporary = {.path = ""};
    *output = (struct espi_output){0};
    int status = espi_target_file(ctx, path, &target);
    if (!status && target.kind == ESPI_TARGET_IN_PLACE)
        temporary.fd = open_in_place(&target);
    else if (!status)
        status = open_beside(ctx, &target, &temporary);
    if (status)
        return status;
    output->stream = temporary.fd < 0 ? NULL : fdopen(temporary.fd, "wb");
    if (!output->stream) {
        int reason = errno;
        if (temporary.fd >= 0)
            close(temporary.fd);
        if (temporary.path[0])
            unlink(temporary.path);
        return espi_fail_errno(ctx, reason == EINTR ? ESP_ERR_CANCELLED : ESP_ERR_IO, reason, "%s: cannot write", path);
    }
    memcpy(output->temporary, temporary.path, sizeof temporary.path);
    memcpy(output->path, target.path, sizeof target.path);
    return ESP_OK;
}

int espi_output_check(esp_context *ctx, const char *path)
{
    struct espi_target target;
    struct espi_temporary temporary;
    int status = espi_target_file(ctx, path, &target);
    if (status || target.kind == ESPI_TARGET_IN_PLACE) // whoever reads a FIFO would take its closing for the end
        return status;
    status = open_beside(ctx, &target, &temporary);
    if (status)
        return status;
    unlink(temporary.path);
    close(temporary.fd);
    return ESP_OK;
}

/* Whether everything that was written has arrived; else errno has the reason. Of an earlier failure stdio does not keep
 * it: one byte more fails in the same way. */
static bool flush_all(const struct espi_output *output)
{
    FILE *stream = output->stream;
    if (!ferror(stream))
        return fflush(stream) == 0 && (!output->temporary[0] || sync_file(fileno(stream)) == 0);
    clearerr(stream);
    errno = 0;
    if (fputc(0, stream) != EOF)
        fflush(stream);
    return false;
}

/* Under its name, with the owner and mode of what it replaces. The stream is still open: closing gives up its lock. */
static int move_into_place(esp_context *ctx, struct espi_output *output)
{
    struct stat there;
    int fd = fileno(output->stream);
    if (lstat(output->path, &there) == 0) {
        int status = espi_input_refuse(ctx, output->path, &there); // one that was opened since
        if (status)
            return status;
        espi_keep_owner(fd, &there);
    } else {
        (void)!fchmod(fd, espi_creation_mode(0666)); // a file system without modes has its own
    }
    if (rename(output->temporary, output->path) != 0)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot rename into place", output->path);
    output->temporary[0] = 0;
    return espi_sync_parent(ctx, output->path);
}

int espi_output_commit(esp_context *ctx, struct espi_output *output)
{
    int status = ESP_OK;
    if (!flush_all(output))
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno ? errno : EIO, "%s: cannot write", output->path);
    else if (output->temporary[0])
        status = move_into_place(ctx, output);
    espi_output_abort(output);
    return status;
}

void espi_output_abort(struct espi_output *output)
{
    if (output->temporary[0])
        unlink(output->temporary);
    if (output->stream)
        fclose(output->stream);
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
