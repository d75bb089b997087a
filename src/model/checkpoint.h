/* SPDX-License-Identifier: Apache-2.0
 * A Hugging Face checkpoint directory: config.json, model.safetensors (or sharded with an index), tokenizer files. */
#ifndef ESPI_MODEL_CHECKPOINT_H
#define ESPI_MODEL_CHECKPOINT_H

#include "model/params.h"

/* A checkpoint in memory. Owner: the caller, zero-initialise; clear releases. */
struct espi_checkpoint {
    char directory[4096];
    struct espi_config config;
    struct espi_params params; // F16 and BF16 tensors are widened to fp32
};

/* Reads and checks everything: header fields, bounds, overlaps, dtypes, shapes against the config, missing tensors (all
 * listed), NaN/Inf weights refused; tensors nothing uses are logged as a warning by name. With and without the family's
 * prefix ("bert.", "distilbert.") and what PyTorch's tools put in front ("module."), old LayerNorm names (gamma, beta) included. */
int espi_checkpoint_read(esp_context *ctx, const char *directory, struct espi_checkpoint *out) ESPI_NODISCARD;
/* The same of a model for a task: its head, where config.json names no architectures (nor modules.json says that the model
 * is a sentence encoder). ESPI_HEAD_NONE: as the files say. */
int espi_checkpoint_read_for(esp_context *ctx, const char *directory, enum espi_head head,
                             struct espi_checkpoint *out) ESPI_NODISCARD;
/* The same for training with another head (or vocabulary size of the config): encoder tensors must be there; the pooler and
 * the head's are initialised from the seed where the checkpoint has none, or those of another head or shape, and are
 * logged by name. `changes` NULL: as above. */
int espi_checkpoint_read_as(esp_context *ctx, const char *directory, const struct espi_config_changes *changes,
                            uint64_t seed, struct espi_checkpoint *out) ESPI_NODISCARD;
void espi_checkpoint_clear(struct espi_checkpoint *checkpoint);

/* Writes a complete directory (atomically: it appears when complete): config.json, model.safetensors in fp32, and the
 * tokenizer and sentence-transformers files copied from `tokenizer_from` (a directory; NULL: none). */
int espi_checkpoint_write(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                          const char *tokenizer_from, const char *directory) ESPI_NODISCARD;
/* A directory (atomically) with what espi_checkpoint_write copies, so that it can be `tokenizer_from` in the place of
 * `from`. */
int espi_checkpoint_copy_tokenizer(esp_context *ctx, const char *from, const char *directory) ESPI_NODISCARD;

#endif
