/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file_target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { MOST_LINKS = 40, ROOM = 256 }; // as the system allows; for the names of what is written beside or within a path

void espi_path_split(const char *path, char directory[ESPI_PATH_BYTES], const char **name)
{
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!slash)
        snprintf(directory, ESPI_PATH_BYTES, ".");
    else
        snprintf(directory, ESPI_PATH_BYTES, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static void strip_slashes(char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = 0;
}

/* ---- links ------------------------------------------------------------------------------------------------------- */

/* The text of a link of the proc file system need not be a path that could be followed. */
static bool is_magic(const char *directory)
{
    struct statfs system;
    return statfs(directory, &system) == 0 && system.f_type == PROC_SUPER_MAGIC;
}

/* The descriptor that such a link in /proc/PID/fd of this process stands for; -1: none. */
static int descriptor_of(const char *directory, const char *name)
{
    char own[64], real[PATH_MAX], *end;
    if (*name < '0' || *name > '9')
        return -1;
    long number = strtol(name, &end, 10);
    snprintf(own, sizeof own, "/proc/%ld/fd", (long)getpid());
    bool is_own = realpath(directory, real) && strcmp(real, own) == 0 && !*end && number <= INT_MAX;
    return is_own ? (int)number : -1;
}

static enum espi_target_kind kind_of(mode_t mode)
{
    return S_ISREG(mode)    ? ESPI_TARGET_FILE
           : S_ISDIR(mode)  ? ESPI_TARGET_DIRECTORY
           : S_ISSOCK(mode) ? ESPI_TARGET_SOCKET
                            : ESPI_TARGET_IN_PLACE;
}

/* Replaces a link by what it leads to; its kind is found where there is nothing to follow. */
static int follow(esp_context *ctx, struct espi_target *target)
{
    char directory[ESPI_PATH_BYTES], text[ESPI_PATH_BYTES];
    const char *name;
    espi_path_split(target->path, directory, &name);
    bool magic = is_magic(directory) && stat(target->path, &target->info) == 0;
    target->descriptor = magic ? descriptor_of(directory, name) : -1;
    if (target->descriptor >= 0 || (magic && kind_of(target->info.st_mode) == ESPI_TARGET_IN_PLACE)) {
        target->kind = ESPI_TARGET_IN_PLACE;
        return ESP_OK;
    }
    ssize_t length = readlink(target->path, text, sizeof text - 1);
    if (length < 0)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot read this link", target->path);
    text[length] = 0;
    int status = espi_path_join(ctx, target->path, text[0] == '/' ? "" : directory, text + (text[0] == '/'));
    strip_slashes(target->path);
    return status;
}

int espi_target_look(esp_context *ctx, const char *path, struct espi_target *out)
{
    *out = (struct espi_target){.descriptor = -1};
    size_t length = strlen(path);
    if (!length || length + ROOM > ESPI_PATH_BYTES)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "output: \"%.60s\": expected a path of 1 to %d bytes, found %zu", path,
                         ESPI_PATH_BYTES - ROOM, length);
    memcpy(out->path, path, length + 1);
    strip_slashes(out->path);
    for (int links = 0; links <= MOST_LINKS; links++) {
        if (lstat(out->path, &out->info) != 0)
            return errno == ENOENT ? ESP_OK : espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot create", path);
        if (!S_ISLNK(out->info.st_mode)) {
            out->kind = kind_of(out->info.st_mode);
            return ESP_OK;
        }
        int status = follow(ctx, out);
        if (status || out->kind == ESPI_TARGET_IN_PLACE)
            return status;
    }
    return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s: expected a file name, found links that lead in a circle", path);
}

/* ---- what a rename needs --------------------------------------------------------------------------------------------- */

static bool has_attribute(const char *path, uint64_t attributes)
{
    struct statx info;
    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &info) == 0 &&
           (info.stx_attributes & attributes);
}

bool espi_path_is_mount_point(const char *path)
{
    return has_attribute(path, STATX_ATTR_MOUNT_ROOT);
}

static int check_replaceable(esp_context *ctx, const struct espi_target *target)
{
    char directory[ESPI_PATH_BYTES];
    const char *name;
    struct stat parent;
    espi_path_split(target->path, directory, &name);
    if (espi_path_is_mount_point(target->path))
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "%s: cannot be replaced: it is a mount point; name a file in a directory", target->path);
    if (has_attribute(target->path, STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND) ||
        has_attribute(directory, STATX_ATTR_APPEND))
        return espi_fail(ctx, ESP_ERR_IO, "%s: cannot be replaced: it is marked immutable or append-only",
                         target->path);
    uid_t user = geteuid();
    if (user != 0 && user != target->info.st_uid && stat(directory, &parent) == 0 && parent.st_mode & S_ISVTX &&
        user != parent.st_uid)
        return espi_fail(ctx, ESP_ERR_IO, "%s: cannot be replaced: another user's file in a sticky directory",
                         target->path);
    return ESP_OK;
}

static int check_in_place(esp_context *ctx, const char *path, const struct espi_target *target)
{
    int flags = target->descriptor >= 0 ? fcntl(target->descriptor, F_GETFL) : 0;
    if (target->descriptor >= 0 && (S_ISDIR(target->info.st_mode) || (flags & O_ACCMODE) == O_RDONLY))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s: expected a descriptor open for writing", path);
    if (target->descriptor < 0 && eaccess(target->path, W_OK) != 0)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot write", path);
    return ESP_OK;
}

int espi_target_file(esp_context *ctx, const char *path, struct espi_target *out)
{
    if (!*path)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "output: expected a file name, found an empty one");
    int status = espi_target_look(ctx, path, out);
    if (status)
        return status;
    size_t length = strlen(path);
    if (out->kind == ESPI_TARGET_DIRECTORY || (length && path[length - 1] == '/'))
        return espi_fail(ctx, ESP_ERR_IO, "%s: expected a file name, found a directory", path);
    if (out->kind == ESPI_TARGET_SOCKET)
        return espi_fail(ctx, ESP_ERR_IO, "%s: expected a file, pipe or device to write, found a socket", path);
    if (out->kind == ESPI_TARGET_NEW)
        return ESP_OK;
    status = espi_input_refuse(ctx, path, &out->info);
    if (status)
        return status;
    return out->kind == ESPI_TARGET_FILE ? check_replaceable(ctx, out) : check_in_place(ctx, path, out);
}

/* ---- owner and mode ------------------------------------------------------------------------------------------------- */

void espi_keep_owner(int fd, const struct stat *replaced)
{
    mode_t mode = replaced->st_mode & 07777;
    bool owner = fchown(fd, replaced->st_uid, replaced->st_gid) == 0;
    bool group = owner || fchown(fd, (uid_t)-1, replaced->st_gid) == 0;
    if (!owner)
        mode &= 01777;
    if (!group) // the bits of one group are not another's: what everybody may, that one may too
        mode &= 01707 | (mode & 07) << 3;
    (void)!fchmod(fd, mode); // a file system without modes has none to keep
}

mode_t espi_creation_mode(mode_t full)
{
    mode_t mask = umask(0);
    umask(mask);
    return full & ~mask;
}
