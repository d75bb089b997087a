/* SPDX-License-Identifier: Apache-2.0
 * AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) as PyTorch computes it, with gradient
 * clipping by global norm, layer-wise decay of the rate and a moving average of the weights. */
#ifndef ESPI_CREATE_OPTIMIZER_H
#define ESPI_CREATE_OPTIMIZER_H

#include "base/team.h"
#include "create/state/state.h"
#include "model/params.h"

struct espi_optimizer_options {
    double learning_rate, beta1, beta2, epsilon, weight_decay; // biases and LayerNorms do not decay
    double layer_decay; // the rate of a layer is that of the one above (the head at the top) times this; 0 or 1: none
    double max_norm;    // of the gradient; 0: no clipping
    double ema_decay;   // of the moving average; 0: none
};

/* Owner: the caller. Thread rule: one call at a time. */
struct espi_optimizer;

/* `params` and `team` (may be NULL) outlive it. */
int espi_optimizer_new(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                       const struct espi_optimizer_options *options, struct espi_team *team,
                       struct espi_optimizer **out) ESPI_NODISCARD;
void espi_optimizer_free(struct espi_optimizer *optimizer);

/* Weights beside params' (the projections of distillation) with their gradients: (count) each; once at most. They have
 * the full rate and decay. */
int espi_optimizer_add(esp_context *ctx, struct espi_optimizer *optimizer, float *weights, float *gradients,
                       size_t count) ESPI_NODISCARD;

/* Its moments, average and step count, after espi_optimizer_add. */
int espi_optimizer_register(esp_context *ctx, struct espi_optimizer *optimizer,
                            struct espi_state *state) ESPI_NODISCARD;

/* Norm of all gradients, in fp64 and in an order that does not depend on threads; not finite when one of them is not.
 * gradients: (params->elements) */
double espi_optimizer_norm(struct espi_optimizer *optimizer, const float *gradients);

/* One update of params->slab with the rate learning_rate * factor. norm: of the gradients, for clipping. Elements with
 * frozen[i] != 0 stay, and so do their moments (masked weights); NULL: none. Sets the gradients to zero. The bits do not
 * depend on the number of threads. gradients, frozen: (params->elements) */
void espi_optimizer_step(struct espi_optimizer *optimizer, float *gradients, double norm, double factor,
                         const uint8_t *frozen);

/* Exchanges the weights with their moving average; called twice, all is as before. False: there is none. */
bool espi_optimizer_swap_average(struct espi_optimizer *optimizer);

#endif
