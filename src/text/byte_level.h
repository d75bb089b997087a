/* SPDX-License-Identifier: Apache-2.0
 * ByteLevel, the pre-tokenizer and decoder of GPT-2's kind of tokenizers: any byte is a character of its own in the
 * vocabulary (Ġ is a space), so that no text has unknown parts. Words are handed on as their bytes. */
#ifndef ESPI_TEXT_BYTE_LEVEL_H
#define ESPI_TEXT_BYTE_LEVEL_H

#include "text/stage.h"

extern const struct espi_stage_form espi_byte_level, espi_byte_level_decoder;

/* A token as it is written to the bytes it stands for; `out` has room for as many bytes. False when it has a character that
 * stands for none. */
bool espi_byte_level_bytes(const char *token, size_t length, unsigned char *out, size_t *bytes);

/* The character a byte is written as. */
uint32_t espi_byte_level_code(unsigned char byte);

/* Another add_prefix_space; returns whether it was not the same. */
bool espi_byte_level_set_prefix(void *self, bool add_prefix_space);

#endif
