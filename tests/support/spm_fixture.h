/* SPDX-License-Identifier: Apache-2.0
 * Writes SentencePiece models. */
#ifndef ESPI_TEST_SPM_FIXTURE_H
#define ESPI_TEST_SPM_FIXTURE_H

#include "base/memory.h"

#include "text/spm_file.h"

/* Appends a piece of a ModelProto. */
void test_spm_piece(struct espi_string *out, const char *text, size_t bytes, float score, enum espi_spm_type type);
/* Appends trainer_spec and normalizer_spec. */
void test_spm_specs(struct espi_string *out, unsigned model_type, unsigned unk_id, const void *charsmap,
                    size_t charsmap_bytes);

#endif
