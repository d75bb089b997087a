/* SPDX-License-Identifier: Apache-2.0
 * What a unit is worth. */
#include "base/simd.h"
#include "base/size.h"
#include "create/prune/pruner_private.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- observation -------------------------------------------------------------------------------------------------------- */

struct observe {
    struct espi_pruner *pruner;
    const float *gradients;
    const struct espi_prune_matrix *matrix;
};

/* s[i] = keep * s[i] + |w[i] g[i]|, or - w[i] g[i] */
ESPI_SIMD static void note_products(size_t count, float keep, bool sign, const float *restrict w,
                                    const float *restrict g, float *restrict s)
{
    for (size_t i = 0; i < count; i++) {
        float product = w[i] * g[i];
        s[i] = keep * s[i] + (sign ? -product : fabsf(product));
    }
}

/* The same for blocks of 4 rows: one score for 4 products that stand `stride` apart. */
ESPI_SIMD static void note_columns(size_t count, size_t stride, float keep, bool sign, const float *restrict w,
                                   const float *restrict g, float *restrict s)
{
    for (size_t i = 0; i < count; i++) {
        float a = w[i] * g[i], b = w[i + stride] * g[i + stride];
        float c = w[i + 2 * stride] * g[i + 2 * stride], d = w[i + 3 * stride] * g[i + 3 * stride];
        s[i] = keep * s[i] + (sign ? -(a + b + c + d) : fabsf(a) + fabsf(b) + fabsf(c) + fabsf(d));
    }
}

static void note_rows(size_t blocks, float keep, bool sign, const float *w, const float *g, float *s)
{
    for (size_t i = 0; i < blocks; i++) {
        float sum = 0;
        for (size_t k = 4 * i; k < 4 * i + 4; k++)
            sum += sign ? -w[k] * g[k] : fabsf(w[k] * g[k]);
        s[i] = keep * s[i] + sum;
    }
}

/* Groups of 4 that a thread takes: those of 4 rows. */
static size_t groups_of_rows(const struct espi_param *param)
{
    return param->cols; // 4 rows of cols weights
}

static void note_fisher(const struct observe *o, size_t first, size_t end)
{
    const struct espi_pruner *p = o->pruner;
    const struct espi_param *param = o->matrix->param;
    const float *g = o->gradients + param->offset;
    float keep = (float)p->options.momentum, *f = p->fisher + (o->matrix->first_group + first) * ESPI_FISHER;
    for (size_t group = first; group < end; group++) {
        float x[4];
        for (size_t i = 0; i < 4; i++)
            x[i] = g[espi_group_weight(p->options.pattern, param, group, i)];
        for (size_t i = 0; i < 4; i++)
            for (size_t j = i; j < 4; j++, f++)
                *f = keep * *f + x[i] * x[j];
    }
}

/* Four rows of a matrix. */
static void observe_rows(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct observe *o = argument;
    const struct espi_pruner *p = o->pruner;
    const struct espi_param *param = o->matrix->param;
    size_t rows = espi_size_min(4, param->rows - 4 * index), first = 4 * index * param->cols,
           count = rows * param->cols;
    const float *w = p->params->slab + param->offset + first, *g = o->gradients + param->offset + first;
    bool sign = p->options.score == ESPI_SCORE_MOVEMENT;
    float keep = sign ? 1 : (float)p->options.momentum;
    if (p->options.score == ESPI_SCORE_OBERT)
        note_fisher(o, index * groups_of_rows(param), index * groups_of_rows(param) + count / 4);
    else if (espi_prune_by_weight(p->options.pattern))
        note_products(count, keep, sign, w, g, p->scores + 4 * o->matrix->first_group + first);
    else if (p->options.pattern == ESPI_PATTERN_4X1)
        note_columns(param->cols, param->cols, keep, sign, w, g, p->scores + o->matrix->first_unit + first / 4);
    else
        note_rows(count / 4, keep, sign, w, g, p->scores + o->matrix->first_unit + first / 4);
}

void espi_pruner_observe(struct espi_pruner *pruner, const float *gradients)
{
    bool needed = pruner->options.score != ESPI_SCORE_MAGNITUDE && !pruner->options.keep_mask;
    for (size_t m = 0; needed && m < pruner->matrix_count; m++) {
        struct observe o = {pruner, gradients, &pruner->matrices[m]};
        espi_team_run(pruner->team, (o.matrix->param->rows + 3) / 4, observe_rows, &o);
    }
    if (needed)
        pruner->fisher_weight = pruner->options.momentum * pruner->fisher_weight + 1;
}

/* ---- second order ------------------------------------------------------------------------------------------------------- */

/* The matrix of a group of a matrix, damped; weights that are gone take no part. */
static void fill_fisher(const struct espi_pruner *p, const struct espi_prune_matrix *matrix, size_t group,
                        double full[4][4])
{
    const float *f = p->fisher + (matrix->first_group + group) * ESPI_FISHER;
    const uint8_t *frozen = p->frozen + matrix->param->offset;
    double scale = p->fisher_weight > 0 ? 1 / p->fisher_weight : 0;
    bool gone[4];
    for (size_t i = 0; i < 4; i++)
        gone[i] = frozen[espi_group_weight(p->options.pattern, matrix->param, group, i)];
    for (size_t i = 0; i < 4; i++)
        for (size_t j = i; j < 4; j++, f++)
            full[i][j] = full[j][i] = (gone[i] || gone[j] ? 0 : scale * (double)*f) + (i == j ? p->options.damping : 0);
}

static double block_cost(double full[4][4], const double w[4])
{
    double cost = 0;
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++)
            cost += w[i] * full[i][j] * w[j] / 2;
    return cost;
}

/* Diagonal of the inverse by Cholesky in place: the matrix is positive definite thanks to the damping. */
static void inverse_diagonal(double l[4][4], double damping, double diagonal[4])
{
    double inverse[4][4] = {{0}};
    for (size_t j = 0; j < 4; j++) {
        for (size_t k = 0; k < j; k++)
            l[j][j] -= l[j][k] * l[j][k];
        l[j][j] = sqrt(fmax(l[j][j], damping));
        for (size_t i = j + 1; i < 4; i++) {
            for (size_t k = 0; k < j; k++)
                l[i][j] -= l[i][k] * l[j][k];
            l[i][j] /= l[j][j];
        }
    }
    for (size_t c = 0; c < 4; c++) // of the triangle, column by column
        for (size_t i = c; i < 4; i++) {
            inverse[i][c] = i == c;
            for (size_t k = c; k < i; k++)
                inverse[i][c] -= l[i][k] * inverse[k][c];
            inverse[i][c] /= l[i][i];
        }
    for (size_t c = 0; c < 4; c++) {
        diagonal[c] = 0;
        for (size_t i = c; i < 4; i++)
            diagonal[c] += inverse[i][c] * inverse[i][c];
    }
}

/* ---- ranking ------------------------------------------------------------------------------------------------------------ */

/* Costs of the 4 weights of a group, each by itself. */
static void weight_costs(const struct espi_pruner *p, const struct espi_prune_matrix *matrix, size_t group,
                         double costs[4])
{
    const float *w = p->params->slab + matrix->param->offset;
    double full[4][4], diagonal[4];
    if (p->options.score == ESPI_SCORE_OBERT) {
        fill_fisher(p, matrix, group, full);
        inverse_diagonal(full, p->options.damping, diagonal);
    }
    for (size_t i = 0; i < 4; i++) {
        size_t at = espi_group_weight(p->options.pattern, matrix->param, group, i);
        if (p->options.score == ESPI_SCORE_MAGNITUDE)
            costs[i] = (double)fabsf(w[at]);
        else if (p->options.score == ESPI_SCORE_OBERT)
            costs[i] = (double)w[at] * (double)w[at] / (2 * diagonal[i]);
        else
            costs[i] = (double)p->scores[4 * matrix->first_group + at];
    }
}

unsigned espi_prune_least_two(const struct espi_pruner *pruner, const struct espi_prune_matrix *matrix, size_t group)
{
    double costs[4];
    size_t first = 0, second = 1;
    weight_costs(pruner, matrix, group, costs);
    for (size_t i = 0; i < 4; i++) // zeros first: they cost nothing
        if (pruner->params->slab[matrix->param->offset + 4 * group + i] == 0)
            costs[i] = -DBL_MAX;
    for (size_t i = 1; i < 4; i++)
        first = costs[i] < costs[first] ? i : first;
    second = first == 0;
    for (size_t i = 0; i < 4; i++)
        second = i != first && costs[i] < costs[second] ? i : second;
    return 1u << first | 1u << second;
}

static double group_cost(const struct espi_pruner *p, const struct espi_prune_matrix *matrix, size_t group)
{
    const float *weights = p->params->slab + matrix->param->offset;
    double w[4], costs[4], full[4][4], cost = 0;
    if (p->options.pattern == ESPI_PATTERN_2_4) {
        unsigned least = espi_prune_least_two(p, matrix, group);
        weight_costs(p, matrix, group, costs);
        for (size_t i = 0; i < 4; i++)
            cost += least >> i & 1 ? costs[i] : 0;
        return cost;
    }
    if (p->options.score != ESPI_SCORE_MAGNITUDE && p->options.score != ESPI_SCORE_OBERT)
        return (double)p->scores[matrix->first_unit + group];
    for (size_t i = 0; i < 4; i++) {
        w[i] = (double)weights[espi_group_weight(p->options.pattern, matrix->param, group, i)];
        cost += fabs(w[i]);
    }
    if (p->options.score == ESPI_SCORE_MAGNITUDE)
        return cost;
    fill_fisher(p, matrix, group, full);
    return block_cost(full, w);
}

enum { RANK_GROUPS = 8192 }; // of one call

struct rank {
    struct espi_pruner *pruner;
    const struct espi_prune_matrix *matrix;
};

static void rank_groups(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct rank *r = argument;
    const struct espi_pruner *p = r->pruner;
    size_t end = espi_size_min((index + 1) * RANK_GROUPS, r->matrix->param->count / 4);
    for (size_t group = index * RANK_GROUPS; group < end; group++) {
        float *out = p->ranking + r->matrix->first_unit;
        const uint8_t *gone = p->gone + r->matrix->first_unit;
        double costs[4];
        if (p->options.pattern != ESPI_PATTERN_UNSTRUCTURED) {
            out[group] = gone[group] ? -FLT_MAX : (float)group_cost(p, r->matrix, group);
            continue;
        }
        weight_costs(p, r->matrix, group, costs);
        for (size_t i = 0; i < 4; i++)
            out[4 * group + i] = gone[4 * group + i] ? -FLT_MAX : (float)costs[i];
    }
}

void espi_prune_rank(struct espi_pruner *pruner)
{
    for (size_t m = 0; m < pruner->matrix_count; m++) {
        struct rank r = {pruner, &pruner->matrices[m]};
        size_t groups = r.matrix->param->count / 4;
        espi_team_run(pruner->team, (groups + RANK_GROUPS - 1) / RANK_GROUPS, rank_groups, &r);
    }
}
