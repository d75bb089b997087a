/* SPDX-License-Identifier: Apache-2.0
 * Reads a SentencePiece model (sentencepiece.bpe.model, spiece.model, ...): of the Protocol Buffers message ModelProto the parts
 * that a tokenizer needs. Private to src/text. */
#ifndef ESPI_TEXT_SPM_FILE_H
#define ESPI_TEXT_SPM_FILE_H

#include "base/file.h"
#include "base/memory.h"

enum espi_spm_type { ESPI_SPM_NORMAL = 1, ESPI_SPM_UNKNOWN, ESPI_SPM_CONTROL, ESPI_SPM_USER_DEFINED };

struct espi_spm_piece {
    const char *text; // (bytes), UTF-8 without a zero byte; not zero-terminated
    size_t bytes;
    float score;
    uint32_t type; // enum espi_spm_type, or one nobody asks for
};

/* On the bytes of the file, which outlive it. Owner: the caller; espi_spm_clear. */
struct espi_spm {
    struct espi_spm_piece *pieces; // (count)
    size_t count, capacity;
    size_t unk_id;
    const unsigned char *charsmap; // (charsmap_bytes)
    size_t charsmap_bytes;
};

/* Refuses what is not a model, and models that are not Unigram. */
int espi_spm_read(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes,
                  struct espi_spm *out) ESPI_NODISCARD;
void espi_spm_clear(struct espi_spm *spm);

#endif
