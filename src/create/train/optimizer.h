/* SPDX-License-Identifier: Apache-2.0
 * AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) as PyTorch computes it, gradient clipping
 * by global norm, learning-rate schedules, layer-wise decay of the rate, moving average of the weights. */
#ifndef ESPI_CREATE_OPTIMIZER_H
#define ESPI_CREATE_OPTIMIZER_H

#include "base/team.h"
#include "create/train/state.h"
#include "model/params.h"

enum espi_schedule { ESPI_SCHEDULE_CONSTANT, ESPI_SCHEDULE_LINEAR, ESPI_SCHEDULE_COSINE, ESPI_SCHEDULE_CYCLIC };

struct espi_schedule_options {
    enum espi_schedule kind;
    uint64_t steps;        // of the whole run
    uint64_t warmup_steps; // linear from 0
    uint64_t cycles;       // cyclic: saw teeth down to 0, each of steps / cycles
};
/* Factor of the learning rate in step `step` (from 0), as Hugging Face's get_*_schedule_with_warmup. */
double espi_schedule_factor(const struct espi_schedule_options *options, uint64_t step);

struct espi_optimizer_options {
    double learning_rate, beta1, beta2, epsilon, weight_decay; // no decay of biases and LayerNorms
    double layer_decay; // the rate of a layer is that of the one above times this; 1: none
    double max_norm;    // of the gradient; 0: no clipping
    double ema_decay;   // of the moving average; 0: none
};

/* Owner: the caller. */
struct espi_optimizer;

/* params and team (may be NULL) outlive it. */
int espi_optimizer_new(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                       const struct espi_optimizer_options *options, struct espi_team *team,
                       struct espi_optimizer **out) ESPI_NODISCARD;
void espi_optimizer_free(struct espi_optimizer *optimizer);
/* Its moments, average and step count. */
int espi_optimizer_register(esp_context *ctx, struct espi_optimizer *optimizer,
                            struct espi_state *state) ESPI_NODISCARD;

/* Norm of all gradients, fp64, in an order that does not depend on threads. NaN or infinite when one is. */
double espi_gradient_norm(const struct espi_params *params, const float *gradients, struct espi_team *team);

/* One update of params->slab with rate learning_rate * factor. `norm` is the gradients' norm, for clipping. frozen[i]
 * != 0: element i and its moments stay (masked weights); NULL: none. frozen, gradients: (params->elements). Sets the
 * gradients to zero. Same bits for any number of threads. */
void espi_optimizer_step(struct espi_optimizer *optimizer, float *gradients, double norm, double factor,
                         const uint8_t *frozen);

/* Exchanges the weights with their moving average (twice: as before). False: there is none. */
bool espi_optimizer_swap_average(struct espi_optimizer *optimizer);

#endif
