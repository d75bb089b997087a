/* SPDX-License-Identifier: Apache-2.0
 * UTF-8: code points in, code points out. */
#ifndef ESPI_BASE_UTF8_H
#define ESPI_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ESPI_REPLACEMENT = 0xfffd };
#define ESPI_REPLACEMENT_UTF8 "\xef\xbf\xbd"

/* Decodes one code point of text[0 .. bytes), bytes > 0. A maximal invalid part (the longest prefix of a well-formed
 * sequence, at least one byte) counts as one U+FFFD. Returns the bytes taken, 1 to 4. */
size_t espi_utf8_decode(const unsigned char *text, size_t bytes, uint32_t *code);
/* The same of the code point that ends at text + end, end > 0. */
size_t espi_utf8_decode_before(const unsigned char *text, size_t end, uint32_t *code);
/* Writes a code point (not a surrogate); returns the bytes written, 1 to 4. */
size_t espi_utf8_encode(uint32_t code, unsigned char out[4]);

/* Bytes of the longest valid UTF-8 prefix. */
size_t espi_utf8_valid(const char *text, size_t bytes);
/* Code points of valid UTF-8. */
size_t espi_utf8_length(const char *text, size_t bytes);
/* Byte offset of a code point; `bytes` when there are not so many. */
size_t espi_utf8_offset(const char *text, size_t bytes, size_t code_points);

/* A part of a text: its valid beginning, and the maximal invalid part behind it (0 bytes at the end of the text). */
struct espi_utf8_part {
    size_t valid, invalid; // bytes
};
struct espi_utf8_part espi_utf8_part(const char *text, size_t bytes);

#endif
