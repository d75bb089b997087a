/* SPDX-License-Identifier: Apache-2.0
 * Masks by every pattern, score and scope on small models. */
#include "create/prune/pruner.h"

#include "random_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char config_text[] =
    "{\"model_type\":\"bert\",\"architectures\":[\"BertForQuestionAnswering\"],\"vocab_size\":70,"
    "\"hidden_size\":24,\"num_hidden_layers\":2,\"num_attention_heads\":4,\"intermediate_size\":44,"
    "\"max_position_embeddings\":50,\"initializer_range\":0.2}";

struct fixture {
    esp_context *ctx;
    struct espi_checkpoint checkpoint;
    float *gradients;
};

static void open_fixture(struct fixture *f, const char *config)
{
    *f = (struct fixture){.ctx = esp_context_new()};
    test_random_model(f->ctx, config, 0, 5, &f->checkpoint);
    f->gradients = calloc(f->checkpoint.params.elements, sizeof(float));
}

static void close_fixture(struct fixture *f)
{
    espi_checkpoint_clear(&f->checkpoint);
    free(f->gradients);
    esp_context_free(f->ctx);
}

static void fill_gradients(struct fixture *f, uint64_t seed)
{
    struct espi_random random = {.seed = seed};
    for (size_t i = 0; i < f->checkpoint.params.elements; i++)
        f->gradients[i] = espi_random_normal(&random);
}

static size_t zeros_of(const struct fixture *f, const struct espi_param *param)
{
    size_t zeros = 0;
    for (size_t i = 0; i < param->count; i++)
        zeros += f->checkpoint.params.slab[param->offset + i] == 0;
    return zeros;
}

/* Every zero stands in a unit of zeros. */
static void check_pattern(const struct fixture *f, enum espi_pattern pattern, const struct espi_param *param)
{
    const float *w = f->checkpoint.params.slab + param->offset;
    for (size_t row = 0; row < param->rows; row++)
        for (size_t col = 0; col < param->cols; col++) {
            size_t zeros = 0;
            if (pattern == ESPI_PATTERN_4X1)
                for (size_t i = 0; i < 4; i++)
                    zeros += w[(row / 4 * 4 + i) * param->cols + col] == 0;
            else if (pattern != ESPI_PATTERN_UNSTRUCTURED)
                for (size_t i = 0; i < 4; i++)
                    zeros += w[row * param->cols + col / 4 * 4 + i] == 0;
            else
                return;
            assert_true(zeros == 0 || zeros == (pattern == ESPI_PATTERN_2_4 ? 2 : 4));
        }
}

static void test_every_combination(void **state)
{
    (void)state;
    for (int pattern = 0; pattern < 4; pattern++)
        for (int score = 0; score < 4; score++)
            for (int uniform = 0; uniform < 2; uniform++) {
                struct fixture f;
                struct espi_pruner *pruner;
                open_fixture(&f, config_text);
                struct espi_pruner_options options = {.pattern = (enum espi_pattern)pattern,
                                                      .score = (enum espi_score)score,
                                                      .sparsity = pattern == ESPI_PATTERN_2_4 ? 0.5 : 0.8,
                                                      .begin_step = 2,
                                                      .end_step = 12,
                                                      .every = 3,
                                                      .uniform = uniform};
                test_ok(f.ctx, espi_pruner_new(f.ctx, &f.checkpoint.params, &options, NULL, &pruner));
                double last = 0;
                for (uint64_t step = 0; step < 15; step++) {
                    fill_gradients(&f, step);
                    espi_pruner_observe(pruner, f.gradients);
                    test_ok(f.ctx, espi_pruner_step(f.ctx, pruner, step));
                    double now = espi_pruner_sparsity(pruner);
                    assert_true(now >= last);
                    last = now;
                    bool due = step >= 2 && (step - 2) % 3 == 0 && step <= 12;
                    if (due)
                        assert_true(fabs(now - espi_pruner_schedule(&options, step)) < 5e-3);
                }
                size_t zeros = 0, weights = 0;
                for (size_t i = 0; i < f.checkpoint.params.length; i++) {
                    const struct espi_param *param = &f.checkpoint.params.list[i];
                    if (!espi_prunable(param)) {
                        assert_true(param->role == ESPI_EMBED_WORD || zeros_of(&f, param) == 0);
                        continue;
                    }
                    check_pattern(&f, options.pattern, param);
                    double share = (double)zeros_of(&f, param) / (double)param->count;
                    if (uniform)
                        assert_true(fabs(share - options.sparsity) < 5e-3);
                    assert_true(share <= 1 - (1 - options.sparsity) / 4 + 5e-3);
                    zeros += zeros_of(&f, param);
                    weights += param->count;
                }
                if (fabs((double)zeros - options.sparsity * (double)weights) > 4 * 12)
                    fail_msg("pattern %d, score %d, uniform %d: %zu of %zu", pattern, score, uniform, zeros, weights);
                espi_pruner_free(pruner);
                close_fixture(&f);
            }
}

/* The lowest go: a matrix of known weights and gradients. */
static void test_scores(void **state)
{
    (void)state;
    for (int score = 0; score < 4; score++) {
        struct fixture f;
        struct espi_pruner *pruner;
        open_fixture(&f, config_text);
        const struct espi_params *params = &f.checkpoint.params;
        /* a block's weights and gradients: magnitude goes against the other scores */
        for (size_t p = 0; p < params->length; p++) {
            const struct espi_param *param = &params->list[p];
            for (size_t i = 0; espi_prunable(param) && i < param->count; i++) {
                bool low = i % param->cols < param->cols / 2;
                params->slab[param->offset + i] = low ? -1 : 2;
                f.gradients[param->offset + i] = low ? 3 : -1;
            }
        }
        struct espi_pruner_options options = {.score = (enum espi_score)score, .sparsity = 0.5, .uniform = true};
        test_ok(f.ctx, espi_pruner_new(f.ctx, params, &options, NULL, &pruner));
        espi_pruner_observe(pruner, f.gradients);
        test_ok(f.ctx, espi_pruner_prune(f.ctx, pruner, 0.5));
        /* |w|: 1 < 2; |w g|: 3 > 2; -w g: 3 > 2; (w g)²: 9 > 4 */
        const struct espi_param *param = espi_params_find(params, ESPI_FFN_IN_W, 1);
        for (size_t i = 0; i < param->count; i++) {
            bool low = i % param->cols < param->cols / 2;
            assert_int_equal(params->slab[param->offset + i] == 0, low == (score == ESPI_SCORE_MAGNITUDE));
        }
        espi_pruner_free(pruner);
        close_fixture(&f);
    }
}

/* Of one weight by the inverse: a pair of weights with the same gradient stand in for each other, a weight with one of
 * its own does not. */
static void test_second_order_inverse(void **state)
{
    (void)state;
    struct fixture f;
    struct espi_pruner *pruner;
    open_fixture(&f, config_text);
    const struct espi_params *params = &f.checkpoint.params;
    struct espi_pruner_options options = {.pattern = ESPI_PATTERN_UNSTRUCTURED,
                                          .score = ESPI_SCORE_OBERT,
                                          .sparsity = 0.25,
                                          .uniform = true,
                                          .damping = 1e-3};
    for (size_t i = 0; i < params->elements; i++)
        params->slab[i] = 1;
    test_ok(f.ctx, espi_pruner_new(f.ctx, params, &options, NULL, &pruner));
    struct espi_random random = {.seed = 1};
    for (int step = 0; step < 200; step++) {
        for (size_t i = 0; i + 4 <= params->elements; i += 4) {
            float a = espi_random_normal(&random);
            f.gradients[i] = f.gradients[i + 1] = 3 * a; // large, but one of them can go
            f.gradients[i + 2] = espi_random_normal(&random);
            f.gradients[i + 3] = espi_random_normal(&random);
        }
        espi_pruner_observe(pruner, f.gradients);
    }
    test_ok(f.ctx, espi_pruner_prune(f.ctx, pruner, 0.25));
    const struct espi_param *param = espi_params_find(params, ESPI_QUERY_W, 0);
    size_t paired = 0, other = 0;
    for (size_t i = 0; i < param->count; i++) {
        bool zero = params->slab[param->offset + i] == 0;
        paired += zero && (param->offset + i) % 4 < 2;
        other += zero && (param->offset + i) % 4 >= 2;
    }
    assert_true(paired > 20 * (other + 1));
    espi_pruner_free(pruner);
    close_fixture(&f);
}

/* Saved and loaded in the middle, with another number of threads, the mask is the same. */
static void test_resume(void **state)
{
    (void)state;
    for (int score = 0; score < 4; score++) {
        struct fixture a, b;
        struct espi_pruner *one, *other;
        struct espi_state save = {0}, load = {0};
        struct espi_team *team;
        const char *scratch = test_scratch();
        char path[320];
        snprintf(path, sizeof path, "%.200s/state", scratch);
        open_fixture(&a, config_text);
        open_fixture(&b, config_text);
        struct espi_pruner_options options = {
            .score = (enum espi_score)score, .sparsity = 0.9, .end_step = 10, .every = 2};
        test_ok(a.ctx, espi_team_new(a.ctx, 3, &team));
        test_ok(a.ctx, espi_pruner_new(a.ctx, &a.checkpoint.params, &options, NULL, &one));
        test_ok(b.ctx, espi_pruner_new(b.ctx, &b.checkpoint.params, &options, team, &other));
        test_ok(a.ctx, espi_pruner_register(a.ctx, one, &save));
        test_ok(b.ctx, espi_pruner_register(b.ctx, other, &load));
        for (uint64_t step = 0; step < 11; step++) {
            fill_gradients(&a, step);
            espi_pruner_observe(one, a.gradients);
            test_ok(a.ctx, espi_pruner_step(a.ctx, one, step));
            if (step == 4) {
                test_ok(a.ctx, espi_state_save(a.ctx, &save, path));
                test_ok(b.ctx, espi_state_load(b.ctx, &load, path));
                memcpy(b.checkpoint.params.slab, a.checkpoint.params.slab,
                       a.checkpoint.params.elements * sizeof(float));
            } else if (step > 4) {
                espi_pruner_observe(other, a.gradients);
                test_ok(b.ctx, espi_pruner_step(b.ctx, other, step));
            }
        }
        assert_memory_equal(espi_pruner_frozen(one), espi_pruner_frozen(other), a.checkpoint.params.elements);
        assert_true(fabs(espi_pruner_sparsity(other) - 0.9) < 5e-3);
        espi_pruner_free(one);
        espi_pruner_free(other);
        espi_team_free(team);
        espi_state_clear(&save);
        espi_state_clear(&load);
        close_fixture(&a);
        close_fixture(&b);
        test_scratch_remove(scratch);
    }
}

static void test_ties_by_position(void **state)
{
    (void)state;
    struct fixture f;
    struct espi_pruner *pruner;
    open_fixture(&f, config_text);
    for (size_t i = 0; i < f.checkpoint.params.elements; i++)
        f.checkpoint.params.slab[i] = 0.5f;
    struct espi_pruner_options options = {.sparsity = 0.5, .uniform = true};
    test_ok(f.ctx, espi_pruner_new(f.ctx, &f.checkpoint.params, &options, NULL, &pruner));
    test_ok(f.ctx, espi_pruner_prune(f.ctx, pruner, 0.5));
    const struct espi_param *param = espi_params_find(&f.checkpoint.params, ESPI_FFN_OUT_W, 0);
    const float *w = f.checkpoint.params.slab + param->offset;
    for (size_t i = 0; i < param->count; i++) // the first half of the quads of rows
        assert_int_equal(w[i] == 0, i < param->count / 2);
    espi_pruner_free(pruner);
    close_fixture(&f);
}

static void test_keep_mask(void **state)
{
    (void)state;
    struct fixture f;
    struct espi_pruner *pruner;
    struct espi_pruner_options options = {.sparsity = 0.7}, keep = {.keep_mask = true};
    open_fixture(&f, config_text);
    test_fails(f.ctx, espi_pruner_new(f.ctx, &f.checkpoint.params, &keep, NULL, &pruner), ESP_ERR_ARGUMENT);
    test_error_has(f.ctx, "expected a sparse checkpoint");
    test_ok(f.ctx, espi_pruner_new(f.ctx, &f.checkpoint.params, &options, NULL, &pruner));
    test_ok(f.ctx, espi_pruner_prune(f.ctx, pruner, 0.7));
    double sparsity = espi_pruner_sparsity(pruner);
    espi_pruner_free(pruner);
    test_ok(f.ctx, espi_pruner_new(f.ctx, &f.checkpoint.params, &keep, NULL, &pruner));
    assert_true(espi_pruner_sparsity(pruner) == sparsity);
    test_ok(f.ctx, espi_pruner_step(f.ctx, pruner, 3));
    assert_true(espi_pruner_sparsity(pruner) == sparsity);
    espi_pruner_free(pruner);
    close_fixture(&f);
}

static void test_refusals(void **state)
{
    (void)state;
    struct fixture f;
    struct espi_pruner *pruner;
    open_fixture(&f, config_text);
    static const struct espi_pruner_options wrong[] = {{.sparsity = 1},
                                                       {.sparsity = -0.1},
                                                       {.sparsity = 2},
                                                       {.sparsity = (double)NAN},
                                                       {.sparsity = 0.5, .sparsity_start = 0.6},
                                                       {.sparsity = 0.5, .layer_max = 0.4},
                                                       {.pattern = ESPI_PATTERN_2_4, .sparsity = 0.8}};
    for (size_t i = 0; i < ESPI_COUNT(wrong); i++)
        test_fails(f.ctx, espi_pruner_new(f.ctx, &f.checkpoint.params, &wrong[i], NULL, &pruner), ESP_ERR_ARGUMENT);
    close_fixture(&f);
    open_fixture(&f, "{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],\"vocab_size\":70,\"hidden_size\":24,"
                     "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"intermediate_size\":42,"
                     "\"max_position_embeddings\":50}");
    struct espi_pruner_options odd = {.sparsity = 0.5};
    test_fails(f.ctx, espi_pruner_new(f.ctx, &f.checkpoint.params, &odd, NULL, &pruner), ESP_ERR_ARGUMENT);
    test_error_has(f.ctx, "intermediate.dense.weight: expected a multiple of 4 outputs");
    odd.pattern = ESPI_PATTERN_1X4;
    test_fails(f.ctx, espi_pruner_new(f.ctx, &f.checkpoint.params, &odd, NULL, &pruner), ESP_ERR_ARGUMENT);
    test_error_has(f.ctx, "output.dense.weight: expected a multiple of 4 inputs");
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_combination),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_second_order_inverse),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_ties_by_position),
        cmocka_unit_test(test_keep_mask),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
