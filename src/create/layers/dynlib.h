/* SPDX-License-Identifier: Apache-2.0
 * Shared libraries that are loaded when they are first needed. A program that answers questions needs none of what creating
 * models needs: oneDNN and Open MPI, with the twelve libraries behind them, would be 3 ms of each start. */
#ifndef ESPI_CREATE_DYNLIB_H
#define ESPI_CREATE_DYNLIB_H

#include "base/status.h"

struct espi_dynlib_symbol {
    const char *name;
    void *place; // of the pointer that becomes the symbol's address
};

/* Loads a library by its soname for the rest of the process and looks the symbols up, its own and those of the libraries it
 * needs. `for_all`: libraries that come later see its symbols too.
 * ESP_ERR_UNSUPPORTED names the library or the symbol that is missing. */
int espi_dynlib_load(esp_context *ctx, const char *library, bool for_all, const struct espi_dynlib_symbol *symbols,
                     size_t count) ESPI_NODISCARD;

#endif
