/* SPDX-License-Identifier: Apache-2.0
 * Files: mapped read-only, read line by line, written atomically. */
#ifndef ESPI_BASE_FILE_H
#define ESPI_BASE_FILE_H

#include "base/status.h"

#include <dirent.h>

#include <stdio.h>

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* A regular file mapped read-only. An empty file has bytes == 0 and a valid, unreadable data pointer. */
struct espi_map {
    const unsigned char *data; // (bytes)
    size_t bytes;
};

/* Errors name the path: ESP_ERR_NOT_FOUND (no such file), ESP_ERR_IO (unreadable; a directory or device). */
int espi_map_open(esp_context *ctx, const char *path, struct espi_map *map) ESPI_NODISCARD;
/* The same as pages of this process's own, read once: what becomes of the file later is not seen. */
int espi_map_copy(esp_context *ctx, const char *path, struct espi_map *map) ESPI_NODISCARD;
/* The same of bytes in memory; `name` is for messages. */
int espi_map_copy_memory(esp_context *ctx, const char *name, const void *data, size_t bytes,
                         struct espi_map *map) ESPI_NODISCARD;
void espi_map_close(struct espi_map *map);

/* What stands under a path, links followed. Nothing is there only where that is known; whatever else hinders looking is
 * ESP_ERR_IO, so that a file is never passed over because a disk or a permission fails. */
enum espi_path_kind { ESPI_PATH_NOTHING, ESPI_PATH_DIRECTORY, ESPI_PATH_FILE };
int espi_path_look(esp_context *ctx, const char *path, enum espi_path_kind *kind) ESPI_NODISCARD;
/* 1: something is there; 0: nothing; negative: that cannot be found out. */
int espi_path_find(esp_context *ctx, const char *path) ESPI_NODISCARD;
/* The same for who opens what is there and then says what is wrong: true unless nothing is known to be there. */
bool espi_path_exists(const char *path);
bool espi_path_is_directory(const char *path);
/* Both are there, and are one file. */
bool espi_path_same(const char *a, const char *b);

/* "directory/name" in the given buffer; ESP_ERR_LIMIT when it does not fit. */
enum { ESPI_PATH_BYTES = 4096 };
int espi_path_join(esp_context *ctx, char path[ESPI_PATH_BYTES], const char *directory,
                   const char *name) ESPI_NODISCARD;

/* Lines of a file, pipe or terminal, with the line end (LF or CRLF) and a byte order mark at the very beginning removed;
 * memory is bounded by the longest line. Zero bytes inside a line are kept. */
struct espi_lines {
    const char *name; // for messages: the path or "stdin"
    char *text;       // the current line, zero-terminated; valid until the next call
    size_t length;
    size_t number;  // of the current line, from 1
    size_t longest; // bytes a line may have; 0: 1 GiB. Set by the owner before the first line
    int fd;         // private from here on
    char *buffer;
    size_t capacity, begin, end; // of the bytes read but not yet handed out
    bool begun, ended;
};

/* `path` NULL or "-" is standard input; it must outlive `lines`. Errors as espi_map_open, except that pipes and devices
 * are welcome. */
int espi_lines_open(esp_context *ctx, const char *path, struct espi_lines *lines) ESPI_NODISCARD;
/* Reads ahead until `wanted` bytes of what was not handed out yet are there, or the file ends. They stay to be read; *data
 * lives until the next call. A byte order mark at the beginning is left out. */
int espi_lines_peek(esp_context *ctx, struct espi_lines *lines, size_t wanted, const char **data,
                    size_t *bytes) ESPI_NODISCARD;
/* 1: a line; 0: end; negative: ESP_ERR_IO, ESP_ERR_CANCELLED (a signal came while waiting), ESP_ERR_LIMIT (a line longer
 * than `longest`), ESP_ERR_MEMORY. The last two are of one line, which was passed over without being held: `number` is then
 * its number, and the next call goes on behind it. (With ESP_ERR_MEMORY and the old number nothing could be read.) */
int espi_lines_next(esp_context *ctx, struct espi_lines *lines) ESPI_NODISCARD;
/* True when no further line with anything but white space is there yet, so that asking for it would wait. */
bool espi_lines_would_wait(const struct espi_lines *lines);
void espi_lines_close(struct espi_lines *lines); // a zeroed struct is fine

/* ---- inputs ------------------------------------------------------------------------------------------------------ */

/* From here on the context keeps which files are read with it: what espi_map_open and espi_lines_open open, and what is
 * added by name because it will be opened later. No output of the context replaces one of them, under whatever name. */
int espi_inputs_keep(esp_context *ctx) ESPI_NODISCARD;
void espi_inputs_free(struct espi_inputs *inputs);
int espi_input_add(esp_context *ctx, const char *path) ESPI_NODISCARD; // NULL, or nothing there: nothing to keep
struct stat;
int espi_input_note(esp_context *ctx, const char *path, const struct stat *info) ESPI_NODISCARD;
/* ESP_ERR_ARGUMENT when `target`, the file at `path`, is one of them. */
int espi_input_refuse(esp_context *ctx, const char *path, const struct stat *target) ESPI_NODISCARD;

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* A file that appears under its name only when it is complete: written beside it under a temporary name, fsynced,
 * renamed. Create, write to `stream` (stdio reports errors at commit), then commit or abort; abort after commit or on a
 * zeroed struct does nothing.
 *
 * What stands there already: a file is replaced and leaves its mode and, as far as the user may, its owner; of a link,
 * what it leads to is replaced or created; devices, FIFOs and descriptors (/dev/stdout, /dev/fd/3) are written in place,
 * from the first byte on. Refused: directories, sockets, inputs of the context (below), and what a rename cannot
 * replace. What a killed process has left beside the same target is removed. */
struct espi_output {
    FILE *stream;
    char path[ESPI_PATH_BYTES];      // links followed
    char temporary[ESPI_PATH_BYTES]; // empty: in place
};

int espi_output_create(esp_context *ctx, struct espi_output *output, const char *path) ESPI_NODISCARD;
/* Whether it could be created and committed now: asked before long work, so that a bad name does not cost it. Nothing is
 * left behind. */
int espi_output_check(esp_context *ctx, const char *path) ESPI_NODISCARD;
int espi_output_commit(esp_context *ctx, struct espi_output *output) ESPI_NODISCARD;
void espi_output_abort(struct espi_output *output);
/* create + write + commit */
int espi_output_write_file(esp_context *ctx, const char *path, const void *data, size_t bytes) ESPI_NODISCARD;

/* A directory that appears only when it is complete: files are written into `temporary`, beside it, which is fsynced and
 * renamed. An empty directory that is there already stays (it may be a mount point, or another user's): `temporary` is
 * then within, and the files are renamed out of it one by one, config.json last. Links are followed. Creating fails
 * (ESP_ERR_ARGUMENT) when something else is there. Abort removes the temporary directory; after commit or on a zeroed
 * struct it does nothing. */
struct espi_output_dir {
    char path[ESPI_PATH_BYTES];
    char temporary[ESPI_PATH_BYTES];
    int lock; // private from here on
    bool exists;
};

int espi_output_dir_create(esp_context *ctx, struct espi_output_dir *dir, const char *path) ESPI_NODISCARD;
/* As espi_output_check. */
int espi_output_dir_check(esp_context *ctx, const char *path) ESPI_NODISCARD;
int espi_output_dir_commit(esp_context *ctx, struct espi_output_dir *dir) ESPI_NODISCARD;
void espi_output_dir_abort(struct espi_output_dir *dir);

/* A file or directory durable; the name of a file that was renamed. */
int espi_sync_path(esp_context *ctx, const char *path) ESPI_NODISCARD;
int espi_sync_parent(esp_context *ctx, const char *path) ESPI_NODISCARD;

/* The name of the next entry of an open directory, "." and ".." left out: 1; 0 behind the last. `path` is for messages. */
int espi_directory_next(esp_context *ctx, DIR *directory, const char *path, const char **name) ESPI_NODISCARD;
/* Removes a file, or a directory with everything in it; never follows links. Nothing there is no error. */
int espi_remove_tree(esp_context *ctx, const char *path) ESPI_NODISCARD;

#endif
