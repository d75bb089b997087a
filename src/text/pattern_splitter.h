/* SPDX-License-Identifier: Apache-2.0
 * The pre-tokenizer Split: words end at matches of a pattern. */
#ifndef ESPI_TEXT_PATTERN_SPLITTER_H
#define ESPI_TEXT_PATTERN_SPLITTER_H

#include "text/stage.h"

extern const struct espi_stage_form espi_split_pre_tokenizer;

/* The member "behavior" of a pre-tokenizer, when it is there. */
int espi_behavior_read(esp_context *ctx, const struct espi_json *json, enum espi_behavior *out) ESPI_NODISCARD;
void espi_behavior_write(struct espi_json_writer *w, enum espi_behavior behavior);
/* A number of a compiled file that is one. */
int espi_behavior_take(const struct espi_tables_reader *reader, uint32_t number,
                       enum espi_behavior *out) ESPI_NODISCARD;

#endif
