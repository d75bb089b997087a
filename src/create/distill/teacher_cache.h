/* SPDX-License-Identifier: Apache-2.0
 * A teacher's outputs for every window of a data set in a file, by the number of the window; fp32, so that training with
 * the file has the same bits as without.
 *
 * The file, little-endian: a head (struct in teacher_cache.c) that says which teacher and data it is of, then blocks of
 * consecutive windows from 0 on, each with its checksum. While it is filled it is "PATH.partial", whose complete blocks
 * are kept when filling goes on another time. */
#ifndef ESPI_CREATE_TEACHER_CACHE_H
#define ESPI_CREATE_TEACHER_CACHE_H

#include "base/file.h"
#include "create/feed/feed.h"

/* What a file is of. */
struct espi_teacher_key {
    uint32_t teacher; // checksum of its parameters and of what else its outputs depend on
    uint32_t data;    // espi_feed_crc
    uint32_t compute; // enum espi_compute
    uint32_t width;   // floats of a token, or of a window when `whole`
    bool whole;
};

/* Owner: the caller, zero-initialise; close releases. */
struct espi_teacher_cache {
    struct espi_map map;
    const float **windows; // (count) in the map; NULL: not open
    size_t count;
};

/* Writes the outputs of a batch's windows. out: as the key says, window behind window */
typedef int espi_teacher_fn(void *argument, esp_context *ctx, const struct espi_batch *batch, float *out);

/* Opens `path`, filled first when it is not there; see espi_distill_fill_cache. */
int espi_teacher_cache_open(esp_context *ctx, const char *path, const struct espi_teacher_key *key,
                            const struct espi_feed *feed, espi_teacher_fn *teacher, void *argument,
                            const struct espi_watch *watch, struct espi_teacher_cache *out) ESPI_NODISCARD;
void espi_teacher_cache_close(struct espi_teacher_cache *cache);

#endif
