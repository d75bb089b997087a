/* SPDX-License-Identifier: Apache-2.0
 * WordPiece, the model of BERT's tokenizers: of each word the longest token first, then the longest that continues it. */
#ifndef ESPI_TEXT_WORDPIECE_H
#define ESPI_TEXT_WORDPIECE_H

#include "text/stage.h"

/* What tokens that continue a word begin with. */
#define ESPI_WORDPIECE_PREFIX "##"

extern const struct espi_stage_form espi_wordpiece, espi_wordpiece_decoder;

/* Another unknown token than [UNK], before the tokens are there. */
int espi_wordpiece_set_unknown(esp_context *ctx, esp_tokenizer *tokenizer, const char *text,
                               size_t bytes) ESPI_NODISCARD;

#endif
