/* SPDX-License-Identifier: Apache-2.0
 * Normalizers that are a normal form of Unicode. */
#ifndef ESPI_TEXT_UNICODE_FORMS_H
#define ESPI_TEXT_UNICODE_FORMS_H

#include "text/stage.h"

extern const struct espi_stage_form espi_nfc_normalizer;

#endif
