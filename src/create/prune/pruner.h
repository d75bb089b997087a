/* SPDX-License-Identifier: Apache-2.0
 * Gradual pruning of an encoder's linear weights (query, key, value, attention output, ffn in and out): which weights
 * go, and when. Embeddings, LayerNorms, biases and heads stay dense.
 *
 * A unit is what goes together: 4 weights of a column (4x1) or of a row (1x4), one weight, or the two least of four
 * neighbours (2:4). What is gone stays gone: masked weights are exactly 0 in params->slab, so that every checkpoint is as
 * sparse as its mask. Ties are broken by position; nothing depends on the number of threads. */
#ifndef ESPI_CREATE_PRUNER_H
#define ESPI_CREATE_PRUNER_H

#include "base/team.h"
#include "create/state/state.h"
#include "model/params.h"

enum espi_pattern {
    ESPI_PATTERN_4X1, // 4 output rows × 1 input column: what the runtime's kernels skip
    ESPI_PATTERN_1X4, // 1 output row × 4 input columns
    ESPI_PATTERN_2_4, // 2 of 4 neighbouring inputs; its sparsity is 0.5
    ESPI_PATTERN_UNSTRUCTURED,
};

/* What a unit is worth; g is the gradient of a step's mean loss, and `momentum` what an older step counts by the next.
 *
 * MAGNITUDE      Σ |w|
 * SNIP_MOMENTUM  Σ |w g| over the unit and the steps (Lee et al., "SNIP", 2019), decaying as in Intel Neural Compressor's
 *                criterion of that name: s = 0.9 s + |w g|. There a unit takes the mean of its weights, which ranks alike;
 *                its one bound per matrix is 0.98, here see layer_max.
 * MOVEMENT       Σ -w g over all steps alike (Sanh et al., "Movement pruning", 2020). There masked weights go on learning
 *                and may return; here they do not.
 * OBERT          what removing the unit costs by the second order (Kurtic et al., "The optimal BERT surgeon",
 *                2022): w' ([F^-1]_QQ)^-1 w / 2, F = damping I + mean of g g' in blocks of 4 weights. That is
 *                w' F w / 2 of a block of 4, w² / 2 [F^-1]_ii of a single weight, where weights that are gone already take
 *                no part in F. There F is the mean of 1024 gradients drawn anew for every update of the mask, in blocks of
 *                50 for single weights, and the weights that stay are corrected; here F is a decaying mean over the steps of
 *                training, which go on correcting them. 2.5 floats a weight. */
enum espi_score {
    ESPI_SCORE_MAGNITUDE,
    ESPI_SCORE_SNIP_MOMENTUM,
    ESPI_SCORE_MOVEMENT,
    ESPI_SCORE_OBERT,
};

struct espi_pruner_options {
    enum espi_pattern pattern;
    enum espi_score score;
    double sparsity_start, sparsity; // of the prunable weights
    uint64_t begin_step, end_step;   // of the cubic schedule (Zhu and Gupta, "To prune, or not to prune", 2017)
    uint64_t every;                  // steps between two updates of the mask; 0: 1
    bool uniform;                    // every matrix alike; else the scores compete over all matrices
    double layer_max; // global scope: no matrix gets sparser than this; 0: a quarter of what stays in all
                      // stays in each: 1 - (1 - sparsity) / 4
    double momentum;  // of snip-momentum and obert; 1: all steps count alike; 0: 0.9, of obert 0.99
    double damping;   // obert; 0: 1e-7
    bool keep_mask;   // what is zero now stays zero; nothing else is pruned
};

/* Sparsity wanted after step `step`: start + (end - start) (1 - (1 - t)³), t from 0 at begin to 1 at end. */
double espi_pruner_schedule(const struct espi_pruner_options *options, uint64_t step);

/* Owner: the caller. Works on params->slab in place. Thread rule: one call at a time. */
struct espi_pruner;

/* `params` and `team` (may be NULL) outlive it. ESP_ERR_ARGUMENT: sparsity outside [0, 1), above layer_max, or not 0.5 for 2:4; a matrix
 * whose shape the pattern does not divide (named); keep_mask on weights without zeros. */
int espi_pruner_new(esp_context *ctx, const struct espi_params *params, const struct espi_pruner_options *options,
                    struct espi_team *team, struct espi_pruner **out) ESPI_NODISCARD;
void espi_pruner_free(struct espi_pruner *pruner);
int espi_pruner_register(esp_context *ctx, struct espi_pruner *pruner, struct espi_state *state) ESPI_NODISCARD;

/* Before the update of a step: the scores take note of the gradients (of the step's mean loss), laid out as the slab. */
void espi_pruner_observe(struct espi_pruner *pruner, const float *gradients);
/* After the update of step `step`: extends the mask when it is time, and zeroes what is masked. */
int espi_pruner_step(esp_context *ctx, struct espi_pruner *pruner, uint64_t step) ESPI_NODISCARD;
/* Whether the schedule has come to its end after `steps` steps. */
bool espi_pruner_done(const struct espi_pruner *pruner, uint64_t steps);
/* Extends the mask to a sparsity at once. */
int espi_pruner_prune(esp_context *ctx, struct espi_pruner *pruner, double sparsity) ESPI_NODISCARD;
/* Zeroes what is masked (in an average of the weights). */
void espi_pruner_apply(const struct espi_pruner *pruner);

/* (params->elements) 1 where a weight is masked; for espi_optimizer_step. */
const uint8_t *espi_pruner_frozen(const struct espi_pruner *pruner);
/* Share of the prunable weights that are masked. */
double espi_pruner_sparsity(const struct espi_pruner *pruner);
/* True for the weights that are pruned. */
bool espi_prunable(const struct espi_param *param);

#endif
