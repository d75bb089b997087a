/* SPDX-License-Identifier: Apache-2.0
 * Names for what is not complete yet. Its writer holds a lock on it, so that what a killed writer has left can be told
 * from what one is at work on; the next one with the same target removes it. */
#ifndef ESPI_BASE_FILE_TEMPORARY_H
#define ESPI_BASE_FILE_TEMPORARY_H

#include "base/file.h"

/* "directory/NAME.tmp-espalier-XXXXXX" (a long NAME is cut), readable by its owner only. */
struct espi_temporary {
    char path[ESPI_PATH_BYTES];
    int fd; // open for writing, or on the directory; closing it gives up the lock
};

int espi_temporary_file(esp_context *ctx, const char *directory, const char *name,
                        struct espi_temporary *out) ESPI_NODISCARD;
int espi_temporary_directory(esp_context *ctx, const char *directory, const char *name,
                             struct espi_temporary *out) ESPI_NODISCARD;

/* Removes what killed writers of the same target have left; best effort. The two above do so first. */
void espi_temporary_sweep(const char *directory, const char *name);

#endif
