/* SPDX-License-Identifier: Apache-2.0
 * The pruner against its definitions written down plainly, in double precision and from the whole history of weights and
 * gradients: scores, schedule, selection by matrix and over all, and the cool-down. */
#include "create/prune/pruner.h"

#include "random_model.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char config_text[] =
    "{\"model_type\":\"distilbert\",\"architectures\":[\"DistilBertForQuestionAnswering\"],\"vocab_size\":50,\"dim\":"
    "16,"
    "\"n_layers\":2,\"n_heads\":2,\"hidden_dim\":28,\"max_position_embeddings\":30,\"initializer_range\":0.2}";

enum { STEPS = 14, BEGIN = 2, END = 10, EVERY = 3, MATRICES = 12 };
static const double damping = 1e-3, momentum = 0.8;

struct fixture {
    esp_context *ctx;
    struct espi_checkpoint checkpoint;
    struct espi_pruner_options options;
    struct espi_pruner *pruner;
    const struct espi_param *matrices[MATRICES];
    float *weights[STEPS], *gradients[STEPS]; // (elements) of each step, before its update
    size_t steps;
    float *now;      // (elements) weights when the mask is updated
    uint8_t *before; // (elements) what was masked then
};

static void open_fixture(struct fixture *f, struct espi_pruner_options options)
{
    size_t count = 0;
    *f = (struct fixture){.ctx = esp_context_new(), .options = options};
    test_random_model(f->ctx, config_text, 0, 5, &f->checkpoint);
    const struct espi_params *params = &f->checkpoint.params;
    for (size_t i = 0; i < params->length; i++)
        if (espi_prunable(&params->list[i]))
            f->matrices[count++] = &params->list[i];
    assert_int_equal(count, MATRICES);
    for (size_t i = 0; i < STEPS; i++) {
        f->weights[i] = calloc(params->elements, sizeof(float));
        f->gradients[i] = calloc(params->elements, sizeof(float));
    }
    f->now = calloc(params->elements, sizeof(float));
    f->before = calloc(params->elements, 1);
    test_ok(f->ctx, espi_pruner_new(f->ctx, params, &f->options, NULL, &f->pruner));
}

static void close_fixture(struct fixture *f)
{
    espi_pruner_free(f->pruner);
    for (size_t i = 0; i < STEPS; i++) {
        free(f->weights[i]);
        free(f->gradients[i]);
    }
    free(f->now);
    free(f->before);
    espi_checkpoint_clear(&f->checkpoint);
    esp_context_free(f->ctx);
}

/* ---- units ---------------------------------------------------------------------------------------------------------------- */

/* Elements of the slab that the 4 weights of a group are. */
static void group_of(const struct fixture *f, const struct espi_param *param, size_t group, size_t at[4])
{
    for (size_t i = 0; i < 4; i++)
        at[i] = param->offset + (f->options.pattern == ESPI_PATTERN_4X1
                                     ? (group / param->cols * 4 + i) * param->cols + group % param->cols
                                     : 4 * group + i);
}

/* Gauss and Jordan. */
static void invert(const double from[4][4], double to[4][4])
{
    double a[4][8] = {{0}};
    for (size_t i = 0; i < 4; i++) {
        memcpy(a[i], from[i], sizeof from[i]);
        a[i][4 + i] = 1;
    }
    for (size_t k = 0; k < 4; k++) {
        double pivot = a[k][k];
        for (size_t j = 0; j < 8; j++)
            a[k][j] /= pivot;
        for (size_t i = 0; i < 4; i++) {
            double by = i == k ? 0 : a[i][k];
            for (size_t j = 0; j < 8; j++)
                a[i][j] -= by * a[k][j];
        }
    }
    for (size_t i = 0; i < 4; i++)
        memcpy(to[i], a[i] + 4, sizeof to[i]);
}

/* Weight of a step among those seen so far. */
static double share_of(const struct fixture *f, size_t step)
{
    double keep = f->options.score == ESPI_SCORE_MOVEMENT ? 1 : momentum;
    return pow(keep, (double)(f->steps - 1 - step));
}

/* The inverse of the damped Fisher matrix of a group, masked weights left out. */
static void inverse_fisher(const struct fixture *f, const size_t at[4], double inverse[4][4])
{
    double fisher[4][4] = {{0}}, all = 0;
    for (size_t t = 0; t < f->steps; t++)
        all += share_of(f, t);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++) {
            for (size_t t = 0; t < f->steps && !f->before[at[i]] && !f->before[at[j]]; t++)
                fisher[i][j] += share_of(f, t) / all * (double)f->gradients[t][at[i]] * (double)f->gradients[t][at[j]];
            fisher[i][j] += i == j ? damping : 0;
        }
    invert((const double(*)[4])fisher, inverse);
}

/* What a weight costs by itself. */
static double single_cost(const struct fixture *f, const size_t at[4], size_t i)
{
    double inverse[4][4], cost = 0, now = (double)f->now[at[i]];
    switch (f->options.score) {
    case ESPI_SCORE_MAGNITUDE:
        return fabs(now);
    case ESPI_SCORE_OBERT:
        inverse_fisher(f, at, inverse);
        return now * now / (2 * inverse[i][i]);
    case ESPI_SCORE_SNIP_MOMENTUM:
    case ESPI_SCORE_MOVEMENT:
        break;
    }
    for (size_t t = 0; t < f->steps; t++) {
        double product = (double)f->weights[t][at[i]] * (double)f->gradients[t][at[i]];
        cost += share_of(f, t) * (f->options.score == ESPI_SCORE_MOVEMENT ? -product : fabs(product));
    }
    return cost;
}

/* What 4 weights cost together: w' ([F^-1])^-1 w / 2, or the sum. */
static double block_cost(const struct fixture *f, const size_t at[4])
{
    double inverse[4][4], back[4][4], cost = 0;
    for (size_t i = 0; i < 4 && f->options.score != ESPI_SCORE_OBERT; i++)
        cost += single_cost(f, at, i);
    if (f->options.score != ESPI_SCORE_OBERT)
        return cost;
    inverse_fisher(f, at, inverse);
    invert((const double(*)[4])inverse, back);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++)
            cost += (double)f->now[at[i]] * back[i][j] * (double)f->now[at[j]] / 2;
    return cost;
}

/* The weights of a group that go with it: the two least of four neighbours (2:4), else all. As bits. */
static unsigned going(const struct fixture *f, const size_t at[4], double *cost)
{
    double least = DBL_MAX;
    unsigned found = 15;
    if (f->options.pattern != ESPI_PATTERN_2_4) {
        *cost = block_cost(f, at);
        return found;
    }
    for (size_t i = 0; i < 4; i++)
        for (size_t j = i + 1; j < 4; j++) {
            double pair = single_cost(f, at, i) + single_cost(f, at, j);
            if (pair < least) {
                least = pair;
                found = 1u << i | 1u << j;
            }
        }
    *cost = least;
    return found;
}

/* ---- one update of the mask ----------------------------------------------------------------------------------------------- */

/* Of one matrix: how many units are gone, what the dearest that went now and the cheapest that stays cost. */
struct seen {
    size_t units, gone;
    double went, stays;
};

static void see(struct seen *seen, double cost, bool before, bool after)
{
    assert_true(after || !before); // what is gone stays gone
    seen->units++;
    seen->gone += after;
    if (after && !before)
        seen->went = fmax(seen->went, cost);
    if (!after)
        seen->stays = fmin(seen->stays, cost);
}

static struct seen see_matrix(const struct fixture *f, const struct espi_param *param)
{
    struct seen seen = {.went = -DBL_MAX, .stays = DBL_MAX};
    const uint8_t *frozen = espi_pruner_frozen(f->pruner);
    for (size_t group = 0; group < param->count / 4; group++) {
        size_t at[4], before = 0;
        double cost;
        unsigned after = 0;
        group_of(f, param, group, at);
        for (size_t i = 0; i < 4; i++) {
            before += f->before[at[i]];
            after |= (unsigned)frozen[at[i]] << i;
            if (f->options.pattern == ESPI_PATTERN_UNSTRUCTURED)
                see(&seen, single_cost(f, at, i), f->before[at[i]], frozen[at[i]]);
        }
        if (f->options.pattern == ESPI_PATTERN_UNSTRUCTURED)
            continue;
        unsigned wanted = going(f, at, &cost);
        if (after && !before)
            assert_int_equal(after, wanted);
        see(&seen, cost, before > 0, after > 0);
    }
    return seen;
}

static bool below(double a, double b)
{
    return a <= b + 1e-5 * (fabs(a) + fabs(b)) + 1e-12; // the pruner's scores are floats
}

/* The cheapest went: of each matrix, or (global) of all that are not at their limit. */
static void check_update(const struct fixture *f, double sparsity)
{
    double share = f->options.pattern == ESPI_PATTERN_2_4 ? 2 * sparsity : sparsity;
    double most = f->options.layer_max > 0 ? fmax(f->options.layer_max, sparsity) : 1 - (1 - sparsity) / 4;
    double limit_share = f->options.pattern == ESPI_PATTERN_2_4 ? fmin(2 * most, 1) : most;
    double went = -DBL_MAX, stays = DBL_MAX;
    size_t units = 0, gone = 0;
    for (size_t m = 0; m < MATRICES; m++) {
        struct seen seen = see_matrix(f, f->matrices[m]);
        size_t limit = (size_t)llround(limit_share * (double)seen.units);
        assert_true(below(seen.went, seen.stays));
        if (f->options.uniform)
            assert_int_equal(seen.gone, llround(share * (double)seen.units));
        assert_true(seen.gone <= limit);
        went = seen.gone < limit ? fmax(went, seen.went) : went;
        stays = seen.gone < limit ? fmin(stays, seen.stays) : stays;
        units += seen.units;
        gone += seen.gone;
    }
    if (f->options.uniform)
        return;
    assert_true(below(went, stays));
    assert_int_equal(gone, llround(share * (double)units));
}

static double cubic(const struct espi_pruner_options *o, size_t step)
{
    double left = 1 - (double)(step - BEGIN) / (double)(END - BEGIN);
    return o->sparsity + (o->sparsity_start - o->sparsity) * left * left * left;
}

/* Gradients that are correlated within a row and larger in some matrices than in others; a step of descent. */
static void take_step(struct fixture *f)
{
    const struct espi_params *params = &f->checkpoint.params;
    struct espi_random random = {.seed = 3, .stream = f->steps};
    float *g = f->gradients[f->steps];
    memcpy(f->weights[f->steps], params->slab, params->elements * sizeof *g);
    for (size_t m = 0; m < MATRICES; m++) {
        const struct espi_param *p = f->matrices[m];
        for (size_t row = 0; row < p->rows; row++) {
            float common = espi_random_normal(&random) * (float)(1 + m % 3);
            for (size_t col = 0; col < p->cols; col++)
                g[p->offset + row * p->cols + col] = common + 0.5f * espi_random_normal(&random);
        }
    }
    f->steps++;
    espi_pruner_observe(f->pruner, g);
    memcpy(f->before, espi_pruner_frozen(f->pruner), params->elements);
    for (size_t i = 0; i < params->elements; i++)
        params->slab[i] -= f->before[i] ? 0 : 0.01f * g[i];
    memcpy(f->now, params->slab, params->elements * sizeof *g);
}

static void run_case(struct espi_pruner_options options)
{
    struct fixture f;
    open_fixture(&f, options);
    float *slab = f.checkpoint.params.slab;
    for (size_t step = 0; step < STEPS; step++) {
        take_step(&f);
        test_ok(f.ctx, espi_pruner_step(f.ctx, f.pruner, step));
        if (step >= BEGIN && step <= END && ((step - BEGIN) % EVERY == 0 || step == END))
            check_update(&f, cubic(&f.options, step));
        else
            assert_memory_equal(espi_pruner_frozen(f.pruner), f.before, f.checkpoint.params.elements);
        for (size_t i = 0; i < f.checkpoint.params.elements; i++)
            assert_true(!espi_pruner_frozen(f.pruner)[i] || slab[i] == 0);
    }
    close_fixture(&f);
}

static void test_definitions(void **state)
{
    (void)state;
    for (int pattern = 0; pattern < 4; pattern++)
        for (int score = 0; score < 4; score++)
            for (int scope = 0; scope < 3; scope++)
                run_case((struct espi_pruner_options){.pattern = (enum espi_pattern)pattern,
                                                      .score = (enum espi_score)score,
                                                      .sparsity_start = pattern == ESPI_PATTERN_2_4 ? 0.1 : 0.2,
                                                      .sparsity = pattern == ESPI_PATTERN_2_4 ? 0.5 : 0.8,
                                                      .begin_step = BEGIN,
                                                      .end_step = END,
                                                      .every = EVERY,
                                                      .uniform = scope == 0,
                                                      .layer_max = scope == 1 ? 0 : 0.85,
                                                      .momentum = momentum,
                                                      .damping = damping});
}

/* Zhu and Gupta's schedule. */
static void test_schedule(void **state)
{
    (void)state;
    const struct espi_pruner_options options = {
        .sparsity_start = 0.25, .sparsity = 0.75, .begin_step = 100, .end_step = 300};
    static const struct {
        uint64_t step;
        double sparsity;
    } points[] = {{0, 0},
                  {99, 0},
                  {100, 0.25},
                  {150, 0.75 - 0.5 * 27 / 64},
                  {200, 0.75 - 0.5 / 8},
                  {250, 0.75 - 0.5 / 64},
                  {300, 0.75},
                  {1000, 0.75}};
    for (size_t i = 0; i < ESPI_COUNT(points); i++)
        assert_true(fabs(espi_pruner_schedule(&options, points[i].step) - points[i].sparsity) < 1e-12);
}

/* Without momentum every step counts alike: the Fisher matrix of obert is the mean, whatever its scale's history. */
static void test_all_steps_alike(void **state)
{
    (void)state;
    struct espi_pruner_options options = {
        .score = ESPI_SCORE_OBERT, .sparsity = 0.5, .momentum = 1, .damping = damping};
    struct fixture f, g;
    open_fixture(&f, options);
    open_fixture(&g, options);
    size_t elements = f.checkpoint.params.elements;
    for (int i = 0; i < 3; i++)
        take_step(&f);
    memcpy(g.checkpoint.params.slab, f.checkpoint.params.slab, elements * sizeof(float));
    for (int i = 0; i < 6; i++) // each of them twice, in another order
        espi_pruner_observe(g.pruner, f.gradients[(i * 2) % 3]);
    test_ok(f.ctx, espi_pruner_prune(f.ctx, f.pruner, 0.5));
    test_ok(g.ctx, espi_pruner_prune(g.ctx, g.pruner, 0.5));
    size_t different = 0;
    for (size_t i = 0; i < elements; i++)
        different += espi_pruner_frozen(f.pruner)[i] != espi_pruner_frozen(g.pruner)[i];
    assert_true(different <= 16); // of float sums in another order
    close_fixture(&f);
    close_fixture(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definitions),
        cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_all_steps_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
