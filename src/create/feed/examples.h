/* SPDX-License-Identifier: Apache-2.0
 * Windows of a data set's first examples as batches: what calibration and the search for precisions run. */
#ifndef ESPI_CREATE_EXAMPLES_H
#define ESPI_CREATE_EXAMPLES_H

#include "eval/dataset.h"

/* Owner: the caller; zero-initialise, espi_examples_clear releases. */
struct espi_examples {
    struct espi_batch *batches; // (count), of a few thousand tokens each
    size_t count;
    int32_t *ids; // private from here on
    uint8_t *types;
    uint32_t *starts, *batch_starts;
    size_t tokens, windows, id_room, type_room, start_room;
};

/* The windows of the first `limit` examples (masked LM: the first `limit` windows); examples that cannot be encoded are
 * passed over. ESP_ERR_FORMAT when there are none. */
int espi_examples_read(esp_context *ctx, const struct espi_job *job, const char *path, size_t limit,
                       struct espi_examples *out) ESPI_NODISCARD;
void espi_examples_clear(struct espi_examples *examples);

#endif
