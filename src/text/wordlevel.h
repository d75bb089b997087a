/* SPDX-License-Identifier: Apache-2.0
 * WordLevel: a word is a token or unknown. */
#ifndef ESPI_TEXT_WORDLEVEL_H
#define ESPI_TEXT_WORDLEVEL_H

#include "text/stage.h"

extern const struct espi_stage_form espi_wordlevel;

#endif
