/* SPDX-License-Identifier: Apache-2.0
 * Pre-tokenizers that look at one character at a time: Whitespace, WhitespaceSplit, Punctuation, Digits. */
#ifndef ESPI_TEXT_CHAR_SPLITTERS_H
#define ESPI_TEXT_CHAR_SPLITTERS_H

#include "text/stage.h"

extern const struct espi_stage_form espi_whitespace, espi_whitespace_split, espi_punctuation, espi_digits;

#endif
