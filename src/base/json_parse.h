/* SPDX-License-Identifier: Apache-2.0
 * The text of a JSON document: the whole grammar (RFC 8259, UTF-8), numbers of any size, as values of jansson. jansson's own
 * parser is not used: it refuses large numbers, and drops characters where memory fails. */
#ifndef ESPI_BASE_JSON_PARSE_H
#define ESPI_BASE_JSON_PARSE_H

#include "base/status.h"

#include <jansson.h>

/* Most arrays and objects within one another: far more than any file has, and safe on the smallest of stacks. */
enum { ESPI_JSON_DEPTH = 128 };

/* An integer beyond 64 bits is a real, and what is 1e308 or more is that. Zero characters stand in strings, not in keys.
 * ESP_ERR_FORMAT with line and column, ESP_ERR_MEMORY. Owner of *out: the caller. */
int espi_json_parse(esp_context *ctx, const char *source, const char *text, size_t bytes, json_t **out) ESPI_NODISCARD;

/* A member's value as it is written in a text that is known to be a JSON object: NULL when there is no such key
 * (ASCII; escapes in the text are seen through). */
const char *espi_json_member_text(const char *text, size_t bytes, const char *key, size_t *length);

#endif
