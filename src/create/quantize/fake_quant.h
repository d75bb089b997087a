/* SPDX-License-Identifier: Apache-2.0
 * Quantization-aware training: in forward, weights and activations are rounded as the compiled runtime rounds them;
 * gradients pass straight through, but not where a value was clipped (Jacob et al., "Quantization and training of neural
 * networks", 2018; straight-through estimator: Bengio et al., 2013).
 *
 * Modelled exactly: s8 weights with a scale a row; u8 inputs of the linear layers with static ranges or a scale per token;
 * queries, keys and values as the int8 attention takes them (static ranges, or a scale per head and sequence); with static
 * ranges the table of the activation function. Not modelled: the 8 bits of attention's probabilities (an error of at most
 * 1/510 each). Needs fp32 products: in bf16 the rounded values would be rounded again. */
#ifndef ESPI_CREATE_FAKE_QUANT_H
#define ESPI_CREATE_FAKE_QUANT_H

#include "create/network/network.h"
#include "create/state/state.h"
#include "model/esp_model.h"

struct espi_fake_quant_options {
    bool per_token;       // else static ranges: an exponential average of what training sees
    double ema;           // of the ranges; 0: 0.99
    uint64_t freeze_step; // ranges stay as they are from this step on
};

/* Owner: the caller. Thread rule: one call at a time. */
struct espi_fake_quant;

/* `config` and `team` (may be NULL) outlive it. */
int espi_fake_quant_new(esp_context *ctx, const struct espi_config *config,
                        const struct espi_fake_quant_options *options, struct espi_team *team,
                        struct espi_fake_quant **out) ESPI_NODISCARD;
void espi_fake_quant_free(struct espi_fake_quant *quant);
/* The ranges. */
int espi_fake_quant_register(esp_context *ctx, struct espi_fake_quant *quant, struct espi_state *state) ESPI_NODISCARD;
void espi_fake_quant_set_step(struct espi_fake_quant *quant, uint64_t step);

/* Puts its filters on a network, which it outlives. A weight of zero stays zero. */
void espi_fake_quant_attach(struct espi_fake_quant *quant, struct espi_network *network);

/* Static ranges as a file "quantization.json" of a checkpoint directory, for compile; with a scale per token nothing is
 * written. */
int espi_fake_quant_write(esp_context *ctx, const struct espi_fake_quant *quant, const char *directory) ESPI_NODISCARD;
/* Its scales: 1 and *points (layers; free()) when the directory has such a file, 0 when not. ESP_ERR_FORMAT names file and
 * member. */
int espi_quantization_read(esp_context *ctx, const char *directory, const struct espi_config *config,
                           struct espi_scale (**points)[ESPI_POINT_COUNT]) ESPI_NODISCARD;

#endif
