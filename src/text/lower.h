/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ESPI_TEXT_LOWER_H
#define ESPI_TEXT_LOWER_H

#include "base/status.h"

/* A UTF-8 text in lower case, each code point by itself, as the Lowercase normalizer of Hugging Face tokenizers makes it.
 * *out is zero-terminated: free() it. NULL on failure. */
int espi_text_lower(esp_context *ctx, const char *text, size_t bytes, char **out, size_t *out_bytes) ESPI_NODISCARD;

#endif
