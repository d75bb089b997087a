/* SPDX-License-Identifier: Apache-2.0
 * Checkpoints that nothing has been trained of. */
#ifndef ESPI_CREATE_INITIAL_H
#define ESPI_CREATE_INITIAL_H

#include "base/progress.h"
#include "model/config.h"

#include <stdint.h>

/* The number of ids of a tokenizer: a directory, or a file such as vocab.txt. */
int espi_initial_vocab_size(esp_context *ctx, const char *tokenizer, size_t *out) ESPI_NODISCARD;

struct espi_initial {
    uint64_t seed;
    bool mimetic;            // create/init/mimetic.h; sets config.initializer_range
    struct espi_watch watch; // asked before anything is written
};

/* Writes random weights of a config, with the files of the tokenizer in a directory, into a new or empty directory. */
int espi_initial_write(esp_context *ctx, struct espi_config *config, const char *tokenizer,
                       const struct espi_initial *initial, const char *directory) ESPI_NODISCARD;

#endif
