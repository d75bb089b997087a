/* SPDX-License-Identifier: Apache-2.0
 * The pattern of a Replace or a Split: read, written, taken from tables. Private to src/text. */
#ifndef ESPI_TEXT_PATTERN_STAGE_H
#define ESPI_TEXT_PATTERN_STAGE_H

#include "text/pattern.h"
#include "text/stage.h"

struct espi_stage_pattern {
    const char *text;
    bool regex;
    struct espi_pattern *pattern;
};

/* {"String": text} or {"Regex": text}, the member "pattern". */
int espi_stage_pattern_read(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json,
                            struct espi_stage_pattern *out) ESPI_NODISCARD;
void espi_stage_pattern_write(struct espi_json_writer *w, const struct espi_stage_pattern *pattern);
/* `regex` is set; `at` is its text's place. */
int espi_stage_pattern_take(const struct espi_tables_reader *reader, uint32_t at,
                            struct espi_stage_pattern *out) ESPI_NODISCARD;

#endif
