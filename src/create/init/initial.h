/* SPDX-License-Identifier: Apache-2.0
 * Checkpoints that nothing has been trained of. */
#ifndef ESPI_CREATE_INITIAL_H
#define ESPI_CREATE_INITIAL_H

#include "base/progress.h"
#include "model/config.h"

/* Texts are borrowed. */
struct espi_initial {
    const char *config;                   // a config.json, or a name of espi_config_list
    const struct espi_head_options *head; // NULL: as the config says
    const char *tokenizer; // its directory, or a file such as vocab.txt; NULL: one of the config's size is made up
    uint64_t seed;
    bool mimetic;            // create/init/mimetic.h; sets initializer_range
    struct espi_watch watch; // asked before anything is written
};

/* Writes random weights and the tokenizer's files into a new or empty directory. */
int espi_initial_write(esp_context *ctx, const struct espi_initial *initial, const char *directory) ESPI_NODISCARD;

#endif
