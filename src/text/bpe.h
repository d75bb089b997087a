/* SPDX-License-Identifier: Apache-2.0
 * Byte-pair encoding behind ByteLevel: a word begins as its bytes, and of the neighbours that can be joined those of the
 * earliest merge are, until none can (Sennrich et al., "Neural machine translation of rare words with subword units",
 * 2016; over bytes: Radford et al., "Language models are unsupervised multitask learners", 2019). */
#ifndef ESPI_TEXT_BPE_H
#define ESPI_TEXT_BPE_H

#include "text/stage.h"

extern const struct espi_stage_form espi_bpe;

/* A line "a b" of a merges.txt, whose tokens are in the vocab.json. */
int espi_bpe_add_line(esp_context *ctx, void *self, const struct espi_json *vocab, const char *line,
                      size_t bytes) ESPI_NODISCARD;

#endif
