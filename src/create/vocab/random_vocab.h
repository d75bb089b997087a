/* SPDX-License-Identifier: Apache-2.0
 * A vocabulary for models whose weights are random too, where none is at hand. */
#ifndef ESPI_CREATE_RANDOM_VOCAB_H
#define ESPI_CREATE_RANDOM_VOCAB_H

#include "base/status.h"

/* The fewest tokens: the special ones and ASCII, as whole words and as continuations. */
enum { ESPI_RANDOM_VOCAB_MIN = 5 + 68 + 68 };

/* Writes vocab.txt (`size` tokens) and tokenizer_config.json (lower-casing) into an existing directory: special tokens,
 * ASCII characters and words made of syllables ("ba", "##ba", "babe", …). Always the same for a size, and without
 * unknown tokens for ASCII text. */
int espi_random_vocab_write(esp_context *ctx, size_t size, const char *directory) ESPI_NODISCARD;

#endif
