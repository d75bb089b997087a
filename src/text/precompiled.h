/* SPDX-License-Identifier: Apache-2.0
 * Precompiled: the normalizer of SentencePiece models, a double array of what is replaced and the texts in its place. */
#ifndef ESPI_TEXT_PRECOMPILED_H
#define ESPI_TEXT_PRECOMPILED_H

#include "text/stage.h"

extern const struct espi_stage_form espi_precompiled;

#endif
