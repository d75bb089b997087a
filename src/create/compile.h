/* SPDX-License-Identifier: Apache-2.0
 * From a checkpoint to one compiled file (docs/format.md): weights to s8 per row and packed, embeddings to bf16, the
 * rest in fp32; activations with calibrated steps or with a step per token. */
#ifndef ESPI_CREATE_COMPILE_H
#define ESPI_CREATE_COMPILE_H

#include "create/calibrate.h"

struct espi_compile_options {
    const esp_tokenizer *tokenizer;    // NULL: a file for raw ids
    const struct espi_batch *examples; // (example_count) for calibration; none: a step per token
    size_t example_count;
    struct espi_calibrate_options calibrate;
};

/* What became of one linear layer. */
struct espi_compiled_linear {
    size_t layer;
    const char *name; // "query_key_value", "attention_output", "ffn_input", "ffn_output"
    size_t rows, columns;
    bool sparse;
    double kept; // share of 4x1 blocks that are not zero
    size_t bytes;
};

struct espi_compile_report {
    size_t linear_count;
    struct espi_compiled_linear *linears; // (linear_count), free()
    size_t file_bytes;
};

/* A sparse layer reads an index for every 4 weights and cannot share interleaved activations between quads; by
 * measurement it is faster than the dense one when at most this share of blocks is kept. */
#define ESPI_SPARSE_KEPT 0.8

/* Writes `path` atomically. The report may be NULL. ESP_ERR_UNSUPPORTED: attention heads whose size is not a multiple
 * of 4. */
int espi_compile(esp_context *ctx, const struct espi_checkpoint *checkpoint, const struct espi_compile_options *options,
                 const char *path, struct espi_compile_report *report) ESPI_NODISCARD;

#endif
