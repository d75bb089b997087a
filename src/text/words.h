/* SPDX-License-Identifier: Apache-2.0
 * The normalized words of a text, as the pre-tokenizer hands them to the model. Added tokens are not looked for. */
#ifndef ESPI_TEXT_WORDS_H
#define ESPI_TEXT_WORDS_H

#include "text/normalizer.h"

/* A word and its length in bytes and code points; valid during the call. Not zero returned: splitting stops with it. */
typedef int espi_word_fn(void *cookie, const char *word, size_t bytes, size_t code_points);

/* Buffers kept from text to text. Owner: the caller, zero-initialised; espi_splitter_clear. */
struct espi_splitter {
    struct espi_units units;
    unsigned char *word;
    size_t bytes, code_points, capacity;
};

int espi_split_words(esp_context *ctx, const struct espi_normalizer *normalizer, struct espi_splitter *splitter,
                     const char *text, size_t bytes, espi_word_fn *function, void *cookie) ESPI_NODISCARD;
void espi_splitter_clear(struct espi_splitter *splitter);

#endif
