/* SPDX-License-Identifier: Apache-2.0
 * The fp32 encoder over oneDNN: runs a checkpoint as it is. */
#ifndef ESPI_CREATE_ENCODER_H
#define ESPI_CREATE_ENCODER_H

#include "base/team.h"
#include "model/engine.h"
#include "model/params.h"

/* Makes an engine on a checkpoint's config and parameters, which must outlive it. `team` may be NULL (one thread) and
 * stays the caller's. Free with engine->free. */
int espi_encoder_new(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                     struct espi_team *team, struct espi_engine **out) ESPI_NODISCARD;

/* The hidden state after the embeddings (layer 0) and after each layer, for tests and distillation:
 * out is (layers + 1, tokens, hidden). */
int espi_encoder_run_layers(struct espi_engine *encoder, esp_context *ctx, const struct espi_batch *batch,
                            float *out) ESPI_NODISCARD;

#endif
