/* SPDX-License-Identifier: Apache-2.0
 * The tensors of a checkpoint directory (or its encoder's folder): model.safetensors, or the shards model.safetensors.index.json names. */
#ifndef ESPI_MODEL_WEIGHTS_H
#define ESPI_MODEL_WEIGHTS_H

#include "model/safetensors.h"

/* Owner: the caller; zero-initialise, espi_weights_clear releases. */
struct espi_weights {
    struct espi_safetensors *files; // (length)
    size_t length;
    struct espi_arena arena;
};

/* ESP_ERR_NOT_FOUND when there are none; ESP_ERR_UNSUPPORTED when there is only a format that is not read. */
int espi_weights_open(esp_context *ctx, const char *model, struct espi_weights *out) ESPI_NODISCARD;
void espi_weights_clear(struct espi_weights *weights);

/* NULL: none. *file (may be NULL) receives the file it is in. */
struct espi_tensor *espi_weights_find(const struct espi_weights *weights, const char *name,
                                      const struct espi_safetensors **file);

#endif
