/* SPDX-License-Identifier: Apache-2.0
 * What stands where an output is to go: looked at before anything is written. */
#ifndef ESPI_BASE_FILE_TARGET_H
#define ESPI_BASE_FILE_TARGET_H

#include "base/file.h"

#include <sys/stat.h>

enum espi_target_kind {
    ESPI_TARGET_NEW,
    ESPI_TARGET_FILE, // a regular file, to be replaced
    ESPI_TARGET_DIRECTORY,
    ESPI_TARGET_IN_PLACE, // a device, a FIFO or a descriptor of this process: written to, never replaced
    ESPI_TARGET_SOCKET,
};

struct espi_target {
    enum espi_target_kind kind;
    char path[ESPI_PATH_BYTES]; // links followed: where the file itself stands or will stand
    int descriptor;             // of this process, that /dev/stdout, /dev/fd/N and the like name; -1: none
    struct stat info;           // unless NEW
};

/* Follows links, also those that lead to nothing yet. ESP_ERR_ARGUMENT: an empty path, links in a circle. */
int espi_target_look(esp_context *ctx, const char *path, struct espi_target *out) ESPI_NODISCARD;

/* A target for an output file. Refuses directories, sockets, inputs of the context, and files that a rename could not
 * replace (mount points, another's file in a sticky directory, immutable files). */
int espi_target_file(esp_context *ctx, const char *path, struct espi_target *out) ESPI_NODISCARD;

/* True where something is mounted: nothing can be renamed there. */
bool espi_path_is_mount_point(const char *path);

/* Gives an open file or directory owner and mode of the one it replaces, as far as the user may. */
void espi_keep_owner(int fd, const struct stat *replaced);

/* The mode of what is created anew: `full` without the bits of the umask. */
mode_t espi_creation_mode(mode_t full);

/* "a/b/c" into "a/b" and "c"; "c" into "." and "c". The path does not end in a slash. */
void espi_path_split(const char *path, char directory[ESPI_PATH_BYTES], const char **name);

#endif
