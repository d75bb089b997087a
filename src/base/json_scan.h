/* SPDX-License-Identifier: Apache-2.0
 * The text of a JSON document, before and beside jansson: the whole grammar is checked here, so that what jansson still
 * refuses is a duplicate key or a lack of memory, and numbers of any size are made such that jansson reads them. */
#ifndef ESPI_BASE_JSON_SCAN_H
#define ESPI_BASE_JSON_SCAN_H

#include "base/status.h"

/* Most arrays and objects within one another: far more than any file has, and safe on the smallest of stacks. */
enum { ESPI_JSON_DEPTH = 128 };

/* Checks a text (RFC 8259, UTF-8). *copy is NULL when jansson can read the text itself; else a copy of the same length,
 * to be freed, in which integers beyond 64 bits are reals of the same value, and numbers of 1e308 or more are 1e308.
 * ESP_ERR_FORMAT with line and column, ESP_ERR_MEMORY. */
int espi_json_scan(esp_context *ctx, const char *source, const char *text, size_t bytes, char **copy) ESPI_NODISCARD;

/* A member's value as it is written in a text that is known to be a JSON object: NULL when there is no such key
 * (ASCII; escapes in the text are seen through). */
const char *espi_json_member_text(const char *text, size_t bytes, const char *key, size_t *length);

#endif
