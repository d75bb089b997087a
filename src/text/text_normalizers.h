/* SPDX-License-Identifier: Apache-2.0
 * The normalizers that change single texts and spaces: Strip, Replace, Prepend, Nmt. Private to src/text. */
#ifndef ESPI_TEXT_TEXT_NORMALIZERS_H
#define ESPI_TEXT_TEXT_NORMALIZERS_H

#include "text/stage.h"

extern const struct espi_stage_form espi_strip_normalizer, espi_replace_normalizer, espi_prepend_normalizer,
    espi_nmt_normalizer;

#endif
