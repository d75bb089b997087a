/* SPDX-License-Identifier: Apache-2.0
 * Code points: the character classes Hugging Face tokenizers know, canonical decomposition, lower case.
 * docs/unicode.md says which versions of Unicode these follow and why. */
#ifndef ESPI_TEXT_UNICODE_H
#define ESPI_TEXT_UNICODE_H

#include "base/utf8.h"

#include <stdbool.h>

enum { ESPI_CODE_POINTS = 0x110000 };

enum espi_char_class {
    ESPI_CHAR_REMOVED,     // clean_text drops it: control, format, private use, U+FFFD
    ESPI_CHAR_SPACE,       // White_Space
    ESPI_CHAR_PUNCTUATION, // a word by itself
    ESPI_CHAR_MARK,        // nonspacing: strip_accents drops it
    ESPI_CHAR_KEPT_MARK,   // combining (class other than 0), but not dropped by strip_accents
    ESPI_CHAR_CHINESE,     // handle_chinese_chars puts spaces around it
    ESPI_CHAR_CLASSES
};

struct espi_range {
    uint32_t first, last;
};

/* The ranges of a class, ascending. */
const struct espi_range *espi_char_ranges(enum espi_char_class which, size_t *count);
bool espi_char_is(enum espi_char_class which, uint32_t code);
/* What a regular expression's \w matches: letters, marks, decimal and letter numbers, connectors, joiners. */
bool espi_char_is_word(uint32_t code);

/* What StripAccents drops: marks of any kind. */
bool espi_char_is_mark(uint32_t code);

/* What ByteLevel splits by: White_Space, the categories L and N, and the rest. */
enum espi_char_kind { ESPI_KIND_OTHER, ESPI_KIND_SPACE, ESPI_KIND_LETTER, ESPI_KIND_NUMBER };
enum espi_char_kind espi_char_kind(uint32_t code);

/* Canonical decomposition (full) into out; returns the length, 1 to 4. */
enum { ESPI_DECOMPOSED = 4 };
size_t espi_char_decompose(uint32_t code, uint32_t *out);
/* The same with compatibility decompositions, 1 to 18. */
enum { ESPI_DECOMPOSED_COMPATIBLE = 18 };
size_t espi_char_decompose_compatible(uint32_t code, uint32_t *out);
/* Whether two code points that follow each other are of one extended grapheme cluster; *state is 0 where the cluster begins. */
bool espi_char_joins(uint32_t first, uint32_t second, int32_t *state);
/* The canonical composition of two, or 0. */
uint32_t espi_char_compose(uint32_t first, uint32_t second);
/* Canonical combining class. */
uint8_t espi_char_combining(uint32_t code);
/* Lower case without context (a final sigma is σ); returns the length, 1 or 2. */
enum { ESPI_LOWERED = 2 };
size_t espi_char_lower(uint32_t code, uint32_t out[ESPI_LOWERED]);

#endif
