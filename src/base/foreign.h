/* SPDX-License-Identifier: Apache-2.0
 * Files that are something else than expected, told by their first bytes. */
#ifndef ESPI_BASE_FOREIGN_H
#define ESPI_BASE_FOREIGN_H

#include "base/status.h"

/* ESP_ERR_FORMAT "path: expected `expected`, found a Git LFS pointer: fetch the file itself" when the bytes begin a file
 * of a kind that nothing here reads; `advice` is what to do with other formats of data. */
int espi_foreign_check(esp_context *ctx, const char *path, const char *expected, const char *advice, const void *data,
                       size_t bytes) ESPI_NODISCARD;

#endif
