/* SPDX-License-Identifier: Apache-2.0
 * Gradual pruning of an encoder's linear weights (query, key, value, attention output, ffn in and out): which blocks of
 * weights go, and when. Embeddings, LayerNorms, biases and heads stay dense. */
#ifndef ESPI_CREATE_PRUNER_H
#define ESPI_CREATE_PRUNER_H

#include "base/team.h"
#include "create/train/state.h"
#include "model/params.h"

enum espi_pattern {
    ESPI_PATTERN_4X1, // 4 output rows × 1 input column: what the runtime's kernels skip
    ESPI_PATTERN_1X4, // 1 output row × 4 input columns
    ESPI_PATTERN_2_4, // at most 2 of 4 neighbouring inputs; its final sparsity is 0.5
    ESPI_PATTERN_UNSTRUCTURED,
};

enum espi_score {
    ESPI_SCORE_MAGNITUDE,     // |w|
    ESPI_SCORE_SNIP_MOMENTUM, // decaying sum of |w g| (Lee et al., "SNIP", 2019; Intel Neural Compressor's recipe)
    ESPI_SCORE_MOVEMENT,      // sum of -w g (Sanh et al., "Movement pruning", 2020)
    ESPI_SCORE_OBERT,         // w' F^-1 w / 2 of a block by the empirical Fisher matrix (Kurtic et al., "The optimal
                              // BERT surgeon", 2022), blocks of 4
};

struct espi_pruner_options {
    enum espi_pattern pattern;
    enum espi_score score;
    double sparsity_start, sparsity; // of the prunable weights
    uint64_t begin_step, end_step;   // of the cubic schedule (Zhu and Gupta, "To prune, or not to prune", 2017)
    uint64_t every;                  // steps between two updates of the mask
    bool uniform;                    // every matrix alike; else the scores compete over all matrices
    double layer_max;                // global scope: no matrix is sparser than this; 0: 1 - (1 - sparsity) / 4
    double momentum;                 // of the decaying scores, and of the Fisher matrix; 0: 0.9
    double damping;                  // obert; 0: 1e-7
    bool keep_mask;                  // only what is zero now stays zero; nothing else is pruned
};

/* Sparsity wanted in step `step`: start + (end - start) (1 - (1 - t)^3), t from begin to end. */
double espi_pruner_schedule(const struct espi_pruner_options *options, uint64_t step);

/* Owner: the caller. Works on params->slab in place. */
struct espi_pruner;

/* ESP_ERR_ARGUMENT: sparsity outside [0, 1), a pattern that does not divide the shapes (named), keep_mask on a
 * checkpoint without zeros. */
int espi_pruner_new(esp_context *ctx, const struct espi_config *config, struct espi_params *params,
                    const struct espi_pruner_options *options, struct espi_team *team,
                    struct espi_pruner **out) ESPI_NODISCARD;
void espi_pruner_free(struct espi_pruner *pruner);
int espi_pruner_register(esp_context *ctx, struct espi_pruner *pruner, struct espi_state *state) ESPI_NODISCARD;

/* True when the score needs the gradients of masked weights, too. */
bool espi_pruner_needs_gradients(const struct espi_pruner *pruner);
/* After backward of a step and before the update: the scores take note of the gradients (of the step's mean loss). */
int espi_pruner_observe(esp_context *ctx, struct espi_pruner *pruner, const float *gradients) ESPI_NODISCARD;
/* After the update of step `step`: renews the mask when it is time, and zeroes what is masked. *changed may be NULL. */
int espi_pruner_step(esp_context *ctx, struct espi_pruner *pruner, uint64_t step, bool *changed) ESPI_NODISCARD;

/* (params->elements) 1 where a weight is masked; for espi_optimizer_step. */
const uint8_t *espi_pruner_frozen(const struct espi_pruner *pruner);
/* Share of the prunable weights that are masked now. */
double espi_pruner_sparsity(const struct espi_pruner *pruner);

/* True for the weights that are pruned. */
bool espi_prunable(const struct espi_param *param);

#endif
