/* SPDX-License-Identifier: Apache-2.0
 * Text functions that give what Python's str gives: the official metrics are defined by it. */
#ifndef ESPI_TASKS_PYTEXT_H
#define ESPI_TASKS_PYTEXT_H

#include "base/memory.h"
#include "base/utf8.h"

/* str.lower() of valid UTF-8 (full mapping, final sigma included) appended to `out`. */
int espi_py_lower(esp_context *ctx, const char *text, size_t bytes, struct espi_string *out) ESPI_NODISCARD;
bool espi_py_isspace(int32_t code_point);
/* What \w matches in a str pattern of the re module. */
bool espi_py_isword(int32_t code_point);

#endif
