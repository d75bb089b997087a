/* SPDX-License-Identifier: Apache-2.0
 * From a text to the words its model sees: the normalizers and pre-tokenizers of a tokenizer, through their table where
 * they have one. */
#ifndef ESPI_TEXT_SPLIT_H
#define ESPI_TEXT_SPLIT_H

#include "text/stage.h"

/* A word, or an added token found in the normalized text; valid during the call. Not zero returned: splitting stops with
 * it. */
typedef int espi_word_fn(void *cookie, const struct espi_word *word);

/* Buffers kept from text to text. Owner: the caller, zero-initialised; espi_splitter_clear. */
struct espi_splitter {
    struct espi_parts parts;
    unsigned char *word;    // (word_capacity) bytes of the current word
    struct espi_unit *from; // (word_capacity) where each of them came from
    size_t word_capacity;
};

void espi_splitter_clear(struct espi_splitter *splitter);

/* Splits text[begin .. end), in which no added token is looked for as it stands. *shift is bytes minus code points of what
 * lies before `begin`, and of what lies before `end` afterwards (when it was not stopped). */
int espi_split(esp_context *ctx, const esp_tokenizer *tokenizer, const unsigned char *text, size_t begin, size_t end,
               size_t *shift, struct espi_splitter *splitter, espi_word_fn *function, void *cookie) ESPI_NODISCARD;

/* The same by the stages one after another, whether there is a table or not. */
int espi_split_by_stages(esp_context *ctx, const esp_tokenizer *tokenizer, const unsigned char *text, size_t begin,
                         size_t end, size_t *shift, struct espi_splitter *splitter, espi_word_fn *function,
                         void *cookie) ESPI_NODISCARD;

/* Normalizes text[begin .. end), whose first code point has number `index`. The units replace what was there. */
int espi_normalize(esp_context *ctx, const esp_tokenizer *tokenizer, const unsigned char *text, size_t begin,
                   size_t end, uint32_t index, struct espi_units *units) ESPI_NODISCARD;

#endif
