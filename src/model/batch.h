/* SPDX-License-Identifier: Apache-2.0
 * A ragged batch: the tokens of all sequences one after another, no padding. */
#ifndef ESPI_MODEL_BATCH_H
#define ESPI_MODEL_BATCH_H

#include "model/config.h"

/* A borrowed view. Sequence s holds tokens starts[s] .. starts[s + 1] - 1, at positions 0, 1, …; none is empty. */
struct espi_batch {
    size_t sequences;
    size_t tokens;          // == starts[sequences]
    const uint32_t *starts; // (sequences + 1)
    const int32_t *ids;     // (tokens)
    const uint8_t *types;   // (tokens), or NULL: all 0; ignored by models with one type or none
};

/* ESP_ERR_ARGUMENT that names the sequence and the value when an id or type is outside the config's range, or a
 * sequence is empty or longer than max_positions. */
int espi_batch_check(esp_context *ctx, const struct espi_batch *batch, const struct espi_config *config) ESPI_NODISCARD;

#endif
