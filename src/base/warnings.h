/* SPDX-License-Identifier: Apache-2.0
 * Warnings that are kept beside being logged: those a checkpoint gives when it is compiled stay in the compiled file. */
#ifndef ESPI_BASE_WARNINGS_H
#define ESPI_BASE_WARNINGS_H

#include "base/memory.h"

/* Owner: the caller; zero-initialise, espi_warnings_clear releases. */
struct espi_warnings {
    const char **texts; // (count)
    size_t count, capacity;
    struct espi_arena arena;
    bool incomplete; // a warning could not be kept: out of memory
};

/* Keeps every warning logged in this context from now on, until espi_warnings_stop. `directory` (NULL: none) is left out
 * of the texts, so that they do not depend on where a checkpoint stands; both outlive the keeping. */
void espi_warnings_keep(esp_context *ctx, const char *directory, struct espi_warnings *out);
/* ESP_ERR_MEMORY when one is missing. */
int espi_warnings_stop(esp_context *ctx) ESPI_NODISCARD;

/* What espi_log calls. */
void espi_warnings_note(esp_context *ctx, const char *text);

int espi_warnings_add(esp_context *ctx, struct espi_warnings *warnings, const char *text) ESPI_NODISCARD;
void espi_warnings_clear(struct espi_warnings *warnings);

#endif
