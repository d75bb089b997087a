/* SPDX-License-Identifier: Apache-2.0
 * Metaspace: spaces become a character of their own, with which words begin. Pre-tokenizer and decoder. */
#ifndef ESPI_TEXT_METASPACE_H
#define ESPI_TEXT_METASPACE_H

#include "text/stage.h"

extern const struct espi_stage_form espi_metaspace, espi_metaspace_decoder;

/* The stage of tokenizer.json as SentencePiece's models have it. */
void espi_metaspace_put(struct espi_json_writer *w, const char *key);

#endif
