/* SPDX-License-Identifier: Apache-2.0
 * Unigram (Kudo, "Subword regularization", ACL 2018): of all ways to write a word in tokens the most probable one. */
#ifndef ESPI_TEXT_UNIGRAM_H
#define ESPI_TEXT_UNIGRAM_H

#include "text/stage.h"

extern const struct espi_stage_form espi_unigram;

#endif
