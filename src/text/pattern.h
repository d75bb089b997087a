/* SPDX-License-Identifier: Apache-2.0
 * What Replace and Split look for: a text, or a regular expression of the kind that tokenizers are published with.
 *
 * Of regular expressions: characters, escapes, classes with \s \d \w and \p{L}, groups without a repetition but "?",
 * alternatives, (?i:...) of ASCII, (?=...) and (?!...), greedy, lazy and possessive repetitions of a character or class. The first
 * alternative that matches counts, as in Oniguruma. What is not known is refused, and so is what could take more than cubic
 * time. */
#ifndef ESPI_TEXT_PATTERN_H
#define ESPI_TEXT_PATTERN_H

#include "base/memory.h"
#include "text/units.h"

/* Owner: the arena. Immutable. */
struct espi_pattern;

/* ESP_ERR_UNSUPPORTED without a message: *problem is the part of the text that is not supported. */
int espi_pattern_new(esp_context *ctx, struct espi_arena *arena, const char *text, bool regex, const char **problem,
                     struct espi_pattern **out) ESPI_NODISCARD;

/* The first match at or after `at` in units[0 .. end); never an empty one. */
bool espi_pattern_find(const struct espi_pattern *pattern, const struct espi_unit *units, size_t at, size_t end,
                       size_t *begin, size_t *stop);

#endif
