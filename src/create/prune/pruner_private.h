/* SPDX-License-Identifier: Apache-2.0
 * What the files of the pruner share. */
#ifndef ESPI_CREATE_PRUNER_PRIVATE_H
#define ESPI_CREATE_PRUNER_PRIVATE_H

#include "create/prune/pruner.h"

enum { ESPI_FISHER = 10 }; // of 4 weights: the upper triangle, row by row

/* One weight matrix. */
struct espi_prune_matrix {
    const struct espi_param *param;
    size_t units, first_unit;
    size_t first_group; // of 4 weights, in all matrices
};

struct espi_pruner {
    struct espi_pruner_options options;
    const struct espi_params *params;
    struct espi_team *team;
    struct espi_prune_matrix *matrices; // (matrix_count)
    size_t matrix_count, units, weights, groups;
    size_t unit_weights; // masked with a unit
    uint8_t *frozen;     // (params->elements)
    uint64_t masked;     // weights that are frozen
    uint8_t *gone;       // (units)
    float *scores;       // (units), or (weights) where single weights are chosen among
    size_t score_count;
    float *fisher;        // (groups, ESPI_FISHER) OBERT: decaying sums of the products of gradients, and
    double fisher_weight; // what to divide them by
    float *ranking;       // (units) scratch: what a unit costs
};

/* True where each weight has a score of its own. */
static inline bool espi_prune_by_weight(enum espi_pattern pattern)
{
    return pattern == ESPI_PATTERN_2_4 || pattern == ESPI_PATTERN_UNSTRUCTURED;
}

/* Where weight `i` of group `group` (4 weights that stand together in the pattern) of a matrix is within it. */
static inline size_t espi_group_weight(enum espi_pattern pattern, const struct espi_param *param, size_t group,
                                       size_t i)
{
    if (pattern == ESPI_PATTERN_4X1)
        return (group / param->cols * 4 + i) * param->cols + group % param->cols;
    return 4 * group + i;
}

/* Fills pruner->ranking from weights and scores; what is gone already costs -FLT_MAX. */
void espi_prune_rank(struct espi_pruner *pruner);
/* The two weights (as bits) of a group of a matrix that 2:4 removes. */
unsigned espi_prune_least_two(const struct espi_pruner *pruner, const struct espi_prune_matrix *matrix, size_t group);

/* Marks as gone the units that rank lowest, so that `wanted` of each matrix, or of all, are. */
int espi_prune_select(esp_context *ctx, struct espi_pruner *pruner, double sparsity) ESPI_NODISCARD;

#endif
