/* SPDX-License-Identifier: Apache-2.0
 * Normalizers of single passes: normal forms of Unicode, lower case, marks. */
#ifndef ESPI_TEXT_UNICODE_FORMS_H
#define ESPI_TEXT_UNICODE_FORMS_H

#include "text/stage.h"

extern const struct espi_stage_form espi_nfc_normalizer, espi_nfd_normalizer, espi_lowercase_normalizer,
    espi_strip_accents_normalizer, espi_nfkc_normalizer, espi_nfkd_normalizer;

#endif
