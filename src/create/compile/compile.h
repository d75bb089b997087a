/* SPDX-License-Identifier: Apache-2.0
 * From a checkpoint to one compiled file (docs/format.md): weights to s8 per row and packed, embeddings to bf16, the
 * rest in fp32; activations with calibrated scales or with a scale per token. */
#ifndef ESPI_CREATE_COMPILE_H
#define ESPI_CREATE_COMPILE_H

#include "base/warnings.h"
#include "create/compile/calibrate.h"
#include "text/tokenizer.h"

/* The linear layers of an encoder layer that a compiled file has, in its order. */
enum espi_linear_kind { ESPI_LINEAR_QKV, ESPI_LINEAR_ATTENTION_OUT, ESPI_LINEAR_FFN_IN, ESPI_LINEAR_FFN_OUT };
enum { ESPI_LINEAR_COUNT = ESPI_LINEAR_FFN_OUT + 1 };
extern const char *const espi_linear_names[ESPI_LINEAR_COUNT]; // "query_key_value", …

/* When an int8 layer leaves its blocks of zeros out. The result is the same, bit for bit, and so is the file. */
enum espi_sparse_choice {
    ESPI_SPARSE_AUTO,   // when it keeps at most ESPI_SPARSE_KEPT of its 4x1 blocks
    ESPI_SPARSE_ALWAYS, // when it has any
    ESPI_SPARSE_NEVER,
};

/* On no CPU measured is the sparse product slower then, whatever the layer's shape (docs/compile.md). */
#define ESPI_SPARSE_KEPT 0.5

struct espi_compile_options {
    enum espi_sparse_choice sparse;
    const enum espi_precision *precisions;               // (stored layers, ESPI_LINEAR_COUNT); NULL: int8 throughout
    const struct espi_scale (*points)[ESPI_POINT_COUNT]; // (layers) see espi_calibrate; NULL: a scale per token
    const float *factors;                                // of espi_smooth; NULL: none
    const esp_tokenizer *tokenizer;                      // NULL: a file for raw ids
    const struct espi_warnings *warnings;                // to keep in the file; NULL: none
};

/* The bytes of the file, 64-byte aligned; free() them. Of the report, which may be NULL, the layers (free() them) and the size
 * are filled. ESP_ERR_UNSUPPORTED: attention heads
 * whose size is not a multiple of 4. */
int espi_compile_image(esp_context *ctx, const struct espi_checkpoint *checkpoint,
                       const struct espi_compile_options *options, unsigned char **image, size_t *bytes,
                       esp_compile_report *report) ESPI_NODISCARD;
/* The same, written to `path` atomically. */
int espi_compile(esp_context *ctx, const struct espi_checkpoint *checkpoint, const struct espi_compile_options *options,
                 const char *path, esp_compile_report *report) ESPI_NODISCARD;

#endif
