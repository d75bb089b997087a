/* SPDX-License-Identifier: Apache-2.0
 * AdamW against a plain fp64 form of PyTorch's, its schedules, and its state. */
#include "create/train/optimizer.h"
#include "create/train/schedule.h"

#include "random_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char config_text[] =
    "{\"model_type\":\"bert\",\"architectures\":[\"BertForQuestionAnswering\"],\"vocab_size\":700,"
    "\"hidden_size\":48,\"num_hidden_layers\":3,\"num_attention_heads\":4,\"intermediate_size\":102,"
    "\"max_position_embeddings\":50,\"initializer_range\":0.2}";

struct fixture {
    esp_context *ctx;
    struct espi_checkpoint checkpoint;
    float *gradients;
    uint8_t *frozen;
};

static const struct espi_optimizer_options plain = {
    .learning_rate = 1e-2, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.1, .max_norm = 1};

static void fill_gradients(struct fixture *f, uint64_t seed)
{
    struct espi_random random = {.seed = seed};
    memset(f->gradients, 0, f->checkpoint.params.elements * sizeof(float));
    for (size_t p = 0; p < f->checkpoint.params.length; p++) {
        const struct espi_param *param = &f->checkpoint.params.list[p];
        for (size_t i = 0; i < param->count; i++)
            f->gradients[param->offset + i] = 0.1f * espi_random_normal(&random);
    }
}

static void open_fixture(struct fixture *f)
{
    *f = (struct fixture){.ctx = esp_context_new()};
    test_random_model(f->ctx, config_text, 0, 3, &f->checkpoint);
    f->gradients = calloc(f->checkpoint.params.elements, sizeof(float));
    f->frozen = calloc(f->checkpoint.params.elements, 1);
    for (size_t i = 0; i < f->checkpoint.params.elements; i += 3)
        f->frozen[i] = 1;
}

static void close_fixture(struct fixture *f)
{
    espi_checkpoint_clear(&f->checkpoint);
    free(f->gradients);
    free(f->frozen);
    esp_context_free(f->ctx);
}

static double rate_of(const struct espi_param *param, size_t layers, double decay)
{
    if (param->role <= ESPI_EMBED_NORM_B)
        return pow(decay, (double)layers + 1);
    return param->role <= ESPI_FFN_NORM_B ? pow(decay, (double)(layers - param->layer)) : 1;
}

/* Three steps in fp64, element by element. */
static void test_against_fp64(void **state)
{
    (void)state;
    for (int variant = 0; variant < 3; variant++) {
        struct fixture f;
        struct espi_optimizer_options options = plain;
        struct espi_optimizer *optimizer;
        open_fixture(&f);
        options.layer_decay = variant == 1 ? 0.8 : 0;
        const uint8_t *frozen = variant == 2 ? f.frozen : NULL;
        const struct espi_params *params = &f.checkpoint.params;
        double *w = calloc(params->elements, 3 * sizeof(double)), *m = w + params->elements, *v = m + params->elements;
        for (size_t i = 0; i < params->elements; i++)
            w[i] = (double)params->slab[i];
        test_ok(f.ctx, espi_optimizer_new(f.ctx, &f.checkpoint.config, params, &options, NULL, &optimizer));
        for (int step = 1; step <= 3; step++) {
            fill_gradients(&f, (uint64_t)step);
            double factor = 1.0 / step, norm = 0;
            for (size_t i = 0; i < params->elements; i++)
                norm += (double)f.gradients[i] * (double)f.gradients[i];
            norm = sqrt(norm);
            double found = espi_optimizer_norm(optimizer, f.gradients);
            assert_true(fabs(found - norm) < 1e-9 * norm && norm > 1);
            for (size_t p = 0; p < params->length; p++) {
                const struct espi_param *param = &params->list[p];
                double lr = 1e-2 * factor * rate_of(param, 3, variant == 1 ? 0.8 : 1);
                for (size_t i = param->offset; i < param->offset + param->count; i++) {
                    double g = (double)f.gradients[i] / (norm + 1e-6);
                    if (frozen && frozen[i])
                        continue;
                    m[i] = 0.9 * m[i] + 0.1 * g;
                    v[i] = 0.999 * v[i] + 0.001 * g * g;
                    w[i] *= 1 - lr * (param->cols ? 0.1 : 0);
                    w[i] -= lr * (m[i] / (1 - pow(0.9, step))) / (sqrt(v[i] / (1 - pow(0.999, step))) + 1e-8);
                }
            }
            espi_optimizer_step(optimizer, f.gradients, norm, factor, frozen);
        }
        for (size_t i = 0; i < params->elements; i++) {
            if (fabs((double)params->slab[i] - w[i]) > 2e-6)
                fail_msg("variant %d, element %zu: %.9g, expected %.9g", variant, i, (double)params->slab[i], w[i]);
            assert_true(f.gradients[i] == 0);
        }
        free(w);
        espi_optimizer_free(optimizer);
        close_fixture(&f);
    }
}

/* Runs steps [from, to) and keeps the weights. */
static void run_steps(struct fixture *f, struct espi_optimizer *optimizer, int from, int to)
{
    for (int step = from; step < to; step++) {
        fill_gradients(f, (uint64_t)step);
        espi_optimizer_step(optimizer, f->gradients, espi_optimizer_norm(optimizer, f->gradients), 1,
                            step % 2 ? f->frozen : NULL);
    }
}

static void test_threads(void **state)
{
    (void)state;
    float *first = NULL;
    for (size_t threads = 1; threads < 4; threads++) {
        struct fixture f;
        struct espi_team *team;
        struct espi_optimizer *optimizer;
        open_fixture(&f);
        const struct espi_params *params = &f.checkpoint.params;
        test_ok(f.ctx, espi_team_new(f.ctx, threads, &team));
        test_ok(f.ctx, espi_optimizer_new(f.ctx, &f.checkpoint.config, params, &plain, team, &optimizer));
        run_steps(&f, optimizer, 0, 4);
        if (first)
            assert_memory_equal(first, params->slab, params->elements * sizeof *first);
        else
            first = memcpy(malloc(params->elements * sizeof *first), params->slab, params->elements * sizeof *first);
        espi_optimizer_free(optimizer);
        espi_team_free(team);
        close_fixture(&f);
    }
    free(first);
}

/* Saved after two steps and loaded into another optimizer, the next two give the same bits. */
static void test_state(void **state)
{
    (void)state;
    struct fixture a, b;
    struct espi_optimizer *one, *other;
    struct espi_state save = {0}, load = {0};
    struct espi_optimizer_options options = plain;
    const char *scratch = test_scratch();
    float extra[2][10] = {{1}, {1}}, gradients[2][10] = {{0}};
    char path[320];
    options.ema_decay = 0.9;
    snprintf(path, sizeof path, "%.200s/state", scratch);
    open_fixture(&a);
    open_fixture(&b);
    size_t bytes = a.checkpoint.params.elements * sizeof(float);
    test_ok(a.ctx, espi_optimizer_new(a.ctx, &a.checkpoint.config, &a.checkpoint.params, &options, NULL, &one));
    test_ok(b.ctx, espi_optimizer_new(b.ctx, &b.checkpoint.config, &b.checkpoint.params, &options, NULL, &other));
    test_ok(a.ctx, espi_optimizer_add(a.ctx, one, extra[0], gradients[0], 10));
    test_ok(b.ctx, espi_optimizer_add(b.ctx, other, extra[1], gradients[1], 10));
    test_ok(a.ctx, espi_optimizer_register(a.ctx, one, &save));
    test_ok(b.ctx, espi_optimizer_register(b.ctx, other, &load));
    for (size_t i = 0; i < 10; i++)
        gradients[0][i] = 1;
    run_steps(&a, one, 0, 2);
    assert_true(extra[0][0] < 0.995f && gradients[0][0] == 0); // decay and the first update
    test_ok(a.ctx, espi_state_save(a.ctx, &save, path));
    test_ok(b.ctx, espi_state_load(b.ctx, &load, path));
    memcpy(b.checkpoint.params.slab, a.checkpoint.params.slab, bytes);
    run_steps(&a, one, 2, 4);
    run_steps(&b, other, 2, 4);
    assert_memory_equal(a.checkpoint.params.slab, b.checkpoint.params.slab, bytes);
    float kept = a.checkpoint.params.slab[5];
    assert_true(espi_optimizer_swap_average(one) && espi_optimizer_swap_average(other));
    assert_memory_equal(a.checkpoint.params.slab, b.checkpoint.params.slab, bytes);
    assert_true(a.checkpoint.params.slab[5] != kept);
    espi_optimizer_swap_average(one);
    assert_true(a.checkpoint.params.slab[5] == kept);
    espi_state_clear(&save);
    espi_state_clear(&load);
    espi_optimizer_free(one);
    espi_optimizer_free(other);
    close_fixture(&a);
    close_fixture(&b);
    test_scratch_remove(scratch);
}

static void test_damaged_state(void **state)
{
    (void)state;
    esp_context *ctx = esp_context_new();
    const char *scratch = test_scratch();
    char path[320];
    uint32_t numbers[5] = {1, 2, 3, 4, 5}, word = 7;
    struct espi_state list = {0};
    snprintf(path, sizeof path, "%.200s/state", scratch);
    test_ok(ctx, espi_state_add(ctx, &list, "numbers", numbers, sizeof numbers));
    test_ok(ctx, espi_state_add(ctx, &list, "word", &word, sizeof word));
    test_ok(ctx, espi_state_save(ctx, &list, path));
    struct espi_map map;
    test_ok(ctx, espi_map_open(ctx, path, &map));
    char *good = memcpy(malloc(map.bytes), map.data, map.bytes);
    size_t bytes = map.bytes;
    espi_map_close(&map);
    numbers[0] = 9;
    for (size_t i = 0; i <= 8 * bytes; i++) { // every bit turned over, then every length
        size_t length = i < 8 * bytes ? bytes : bytes - 1;
        if (i < 8 * bytes)
            good[i / 8] ^= (char)(1 << i % 8);
        test_write(scratch, "state", good, length);
        test_fails(ctx, espi_state_load(ctx, &list, path), ESP_ERR_FORMAT);
        assert_int_equal(numbers[0], 9); // untouched
        if (i < 8 * bytes)
            good[i / 8] ^= (char)(1 << i % 8);
    }
    for (size_t length = 0; length < bytes; length++) {
        test_write(scratch, "state", good, length);
        test_fails(ctx, espi_state_load(ctx, &list, path), ESP_ERR_FORMAT);
    }
    test_write(scratch, "state", good, bytes);
    list.items[0].bytes -= 4;
    test_fails(ctx, espi_state_load(ctx, &list, path), ESP_ERR_FORMAT);
    test_error_has(ctx, "expected \"numbers\" of 16 bytes");
    list.items[0].bytes += 4;
    test_ok(ctx, espi_state_load(ctx, &list, path));
    assert_int_equal(numbers[0], 1);
    free(good);
    espi_state_clear(&list);
    test_scratch_remove(scratch);
    esp_context_free(ctx);
}

static void test_not_finite(void **state)
{
    (void)state;
    struct fixture f;
    struct espi_optimizer *optimizer;
    open_fixture(&f);
    test_ok(f.ctx, espi_optimizer_new(f.ctx, &f.checkpoint.config, &f.checkpoint.params, &plain, NULL, &optimizer));
    f.gradients[777] = NAN;
    assert_false(isfinite(espi_optimizer_norm(optimizer, f.gradients)));
    f.gradients[777] = INFINITY;
    assert_false(isfinite(espi_optimizer_norm(optimizer, f.gradients)));
    espi_optimizer_free(optimizer);
    close_fixture(&f);
}

static void assert_factor(struct espi_schedule_options options, uint64_t step, double expected)
{
    double found = espi_schedule_factor(&options, step);
    if (fabs(found - expected) > 1e-12)
        fail_msg("schedule %d, step %zu: %.15g, expected %.15g", (int)options.kind, (size_t)step, found, expected);
}

static void test_schedules(void **state)
{
    (void)state;
    struct espi_schedule_options o = {.kind = ESPI_SCHEDULE_LINEAR, .steps = 110, .warmup_steps = 10};
    assert_factor(o, 0, 0);
    assert_factor(o, 5, 0.5);
    assert_factor(o, 10, 1);
    assert_factor(o, 60, 0.5);
    assert_factor(o, 110, 0);
    assert_factor(o, 200, 0);
    o.kind = ESPI_SCHEDULE_COSINE;
    assert_factor(o, 60, 0.5);
    assert_factor(o, 35, 0.5 * (1 + sqrt(0.5)));
    o.kind = ESPI_SCHEDULE_CONSTANT;
    assert_factor(o, 109, 1);
    assert_factor(o, 1, 0.1);
    o.kind = ESPI_SCHEDULE_CYCLIC;
    o.cycles = 4;
    assert_factor(o, 10, 1);
    assert_factor(o, 34, 1 - 0.96);
    assert_factor(o, 35, 1);
    o.warmup_steps = 0;
    o.steps = 0;
    o.kind = ESPI_SCHEDULE_LINEAR;
    assert_factor(o, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_fp64),  cmocka_unit_test(test_threads),    cmocka_unit_test(test_state),
        cmocka_unit_test(test_damaged_state), cmocka_unit_test(test_not_finite), cmocka_unit_test(test_schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
