/* SPDX-License-Identifier: Apache-2.0
 * Whether a tokenizer and a model fit together. */
#ifndef ESPI_MODEL_VOCABULARY_H
#define ESPI_MODEL_VOCABULARY_H

#include "model/config.h"
#include "text/tokenizer.h"

/* Warns when the tokenizer has ids that the model has no embeddings for; `source` is the model's path. */
void espi_vocabulary_check(esp_context *ctx, const char *source, const struct espi_config *config,
                           const esp_tokenizer *tokenizer);

#endif
