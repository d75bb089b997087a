/* SPDX-License-Identifier: Apache-2.0
 * What a run needs beside the weights to go on from a checkpoint with the same bits: named blocks of memory that the
 * parts of the trainer register once; saved to one file (atomically, CRC32C each) and read back into the same places. */
#ifndef ESPI_CREATE_STATE_H
#define ESPI_CREATE_STATE_H

#include "base/memory.h"

/* Owner: the caller, zero-initialise; clear releases the list, not the blocks. */
struct espi_state {
    struct espi_state_item {
        char name[64];
        void *data; // (bytes)
        size_t bytes;
    } * items; // (count)
    size_t count, capacity;
};

/* `data` stays in its place as long as the state is used. Names are unique. */
int espi_state_add(esp_context *ctx, struct espi_state *state, const char *name, void *data,
                   size_t bytes) ESPI_NODISCARD;
int espi_state_save(esp_context *ctx, const struct espi_state *state, const char *path) ESPI_NODISCARD;
/* ESP_ERR_FORMAT when the file is damaged, or has other blocks or sizes; then nothing has been changed. */
int espi_state_load(esp_context *ctx, const struct espi_state *state, const char *path) ESPI_NODISCARD;
/* The block that was added first, alone: what must be known before the others can be registered. Its checksum is checked. */
int espi_state_read_first(esp_context *ctx, const char *path, const char *name, void *data,
                          size_t bytes) ESPI_NODISCARD;
void espi_state_clear(struct espi_state *state);

#endif
