/* SPDX-License-Identifier: Apache-2.0
 * The random weights the demo starts from. */
#ifndef ESPI_CREATE_DEMO_INITIAL_H
#define ESPI_CREATE_DEMO_INITIAL_H

#include "base/status.h"

/* Writes a checkpoint of random weights with the shape of a config.json and the tokenizer of a directory. So that a
 * corpus of this size is enough, the weights that decide what attends to what begin as the heads of pre-trained encoders
 * are: half of the heads look for equal words, half for neighbours (Clark et al., "What does BERT look at?", 2019; Trockman
 * and Kolter, "Mimetic initialization of self-attention layers", 2023), and positions are sinusoids (Vaswani et al.,
 * "Attention is all you need", 2017). Everything is trained on. */
int espi_demo_initial_write(esp_context *ctx, const char *config, const char *tokenizer, uint64_t seed,
                            const char *directory) ESPI_NODISCARD;

#endif
