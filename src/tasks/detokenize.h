/* SPDX-License-Identifier: Apache-2.0
 * From word pieces back to text, as the WordPiece decoder of Hugging Face tokenizers does it. */
#ifndef ESPI_TASKS_DETOKENIZE_H
#define ESPI_TASKS_DETOKENIZE_H

#include "tasks/pytext.h"

/* Appends one more token to a text that is being joined (`first`: it is the first): "##" continues the word before,
 * anything else follows a space, and the space before ".", "?", "!", "," and before 'm, 's, 've, 're, n't goes. */
int espi_detokenize_add(esp_context *ctx, const char *token, size_t bytes, bool first,
                        struct espi_string *out) ESPI_NODISCARD;

/* The same clean-up over a whole text, in place (clean_up_tokenization of transformers): also " ' " becomes "'". */
void espi_detokenize_clean(char *text);

#endif
