/* SPDX-License-Identifier: Apache-2.0
 * Quantization-aware training: in forward, weights and activations are rounded as the compiled runtime rounds them;
 * gradients pass straight through, except where a value was clipped (Jacob et al., 2018; straight-through estimator:
 * Bengio et al., 2013). */
#ifndef ESPI_CREATE_FAKE_QUANT_H
#define ESPI_CREATE_FAKE_QUANT_H

#include "create/train/network.h"
#include "create/train/state.h"
#include "model/checkpoint.h"
#include "model/esp_model.h"

struct espi_fake_quant_options {
    bool dynamic;         // a step per token; else static ranges, an exponential average of what training sees
    double ema;           // of the ranges; 0: 0.99
    uint64_t freeze_step; // ranges stay from this step on; 0: never
};

/* Owner: the caller. */
struct espi_fake_quant;

int espi_fake_quant_new(esp_context *ctx, const struct espi_config *config,
                        const struct espi_fake_quant_options *options, struct espi_team *team,
                        struct espi_fake_quant **out) ESPI_NODISCARD;
void espi_fake_quant_free(struct espi_fake_quant *quant);
int espi_fake_quant_register(esp_context *ctx, struct espi_fake_quant *quant, struct espi_state *state) ESPI_NODISCARD;
void espi_fake_quant_set_step(struct espi_fake_quant *quant, uint64_t step);

/* Puts its filters on a network. A weight that is masked (zero) stays zero. */
void espi_fake_quant_attach(struct espi_fake_quant *quant, struct espi_network *network);

/* The ranges as part of a checkpoint directory ("quantization.json" beside config.json) and back, for compile.
 * points: (layers) as espi_calibrate gives them. Static ranges only. read: 1 when the file is there, 0 when not. */
int espi_fake_quant_write(esp_context *ctx, const struct espi_fake_quant *quant, const char *directory) ESPI_NODISCARD;
int espi_quant_ranges_read(esp_context *ctx, const char *directory, const struct espi_config *config,
                           struct espi_steps (*points)[ESPI_POINT_COUNT]) ESPI_NODISCARD;

#endif
