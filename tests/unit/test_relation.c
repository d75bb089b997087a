/* SPDX-License-Identifier: Apache-2.0
 * Attention relations against double precision, and their gradient against central differences of it. */
#include "create/layers/relation.h"

#include "base/memory.h"
#include "base/random.h"
#include "base/size.h"
#include "reference_distill.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

struct shape {
    size_t heads, hidden, teacher_hidden;
    uint32_t lengths[4]; // 0: no more
};

static const struct shape shapes[] = {
    {2, 8, 12, {5, 1, 9}}, {1, 7, 7, {1}}, {4, 32, 64, {64, 3}}, {3, 12, 6, {130, 65}}, // three blocks of queries
};

struct relation_case {
    struct espi_relation relation;
    struct espi_batch batch;
    uint32_t starts[5];
    float *qkv, *teacher, *d_qkv;
    double *x, *t; // the same in double
    size_t count;
};

static float *random_floats(size_t count, uint64_t seed, double **as_double)
{
    struct espi_random random = {.seed = seed};
    float *block = malloc(count * sizeof *block);
    *as_double = malloc(count * sizeof **as_double);
    assert_true(block && *as_double);
    for (size_t i = 0; i < count; i++) {
        block[i] = 1.3f * espi_random_normal(&random);
        (*as_double)[i] = (double)block[i];
    }
    return block;
}

static void open_case(struct relation_case *c, const struct shape *shape)
{
    *c = (struct relation_case){0};
    while (c->batch.sequences < 4 && shape->lengths[c->batch.sequences]) {
        c->batch.tokens += shape->lengths[c->batch.sequences++];
        c->starts[c->batch.sequences] = (uint32_t)c->batch.tokens;
    }
    c->batch.starts = c->starts;
    c->count = c->batch.tokens * 3 * shape->hidden;
    c->qkv = random_floats(c->count, 1, &c->x);
    c->teacher = random_floats(c->batch.tokens * 3 * shape->teacher_hidden, 2, &c->t);
    c->d_qkv = calloc(c->count, sizeof *c->d_qkv);
    assert_non_null(c->d_qkv);
    c->relation = (struct espi_relation){.batch = &c->batch,
                                         .heads = shape->heads,
                                         .hidden = shape->hidden,
                                         .teacher_hidden = shape->teacher_hidden,
                                         .qkv = c->qkv,
                                         .teacher = c->teacher,
                                         .scale = 0.25,
                                         .d_qkv = c->d_qkv};
}

static void close_case(struct relation_case *c)
{
    free(c->qkv);
    free(c->teacher);
    free(c->d_qkv);
    free(c->x);
    free(c->t);
}

static double reference(const struct relation_case *c)
{
    const struct espi_relation *r = &c->relation;
    return r->scale * reference_relation(&c->batch, r->heads, r->hidden, r->teacher_hidden, c->x, c->t);
}

static double run(const struct relation_case *c, size_t threads)
{
    double loss = 0;
    struct espi_team *team;
    struct espi_matmuls *matmuls;
    test_ok(ctx, espi_team_new(ctx, threads, &team));
    test_ok(ctx, espi_matmuls_new(ctx, ESPI_COMPUTE_F32, team, &matmuls));
    test_ok(ctx, espi_loss_relation(ctx, matmuls, &c->relation, &loss));
    espi_matmuls_free(matmuls);
    espi_team_free(team);
    return loss;
}

static void test_gradients(void **state)
{
    (void)state;
    for (size_t s = 0; s < ESPI_COUNT(shapes); s++) {
        struct relation_case c;
        open_case(&c, &shapes[s]);
        double loss = run(&c, 1), expected = reference(&c), largest = 0;
        if (!(fabs(loss - expected) <= 1e-5 * fabs(expected) + 1e-7))
            fail_msg("shape %zu: expected %.9g, found %.9g", s, expected, loss);
        for (size_t i = 0; i < c.count; i++)
            largest = fmax(largest, fabs((double)c.d_qkv[i]));
        struct espi_random random = {.seed = 5};
        for (size_t sample = 0; sample < 60; sample++) {
            size_t i = espi_random_below(&random, c.count);
            double before = c.x[i], step = 1e-5;
            c.x[i] = before + step;
            double up = reference(&c);
            c.x[i] = before - step;
            double slope = (up - reference(&c)) / (2 * step);
            c.x[i] = before;
            if (!(fabs(slope - (double)c.d_qkv[i]) <= 2e-5 * largest + 1e-7))
                fail_msg("shape %zu, element %zu: expected %.9g, found %.9g", s, i, slope, (double)c.d_qkv[i]);
        }
        close_case(&c);
    }
}

/* A student like its teacher has nothing to learn; the gradient is added to what is there. */
static void test_same(void **state)
{
    (void)state;
    struct relation_case c;
    open_case(&c, &shapes[1]);
    memcpy(c.teacher, c.qkv, c.count * sizeof *c.qkv);
    for (size_t i = 0; i < c.count; i++)
        c.d_qkv[i] = 2;
    assert_true(fabs(run(&c, 1)) < 1e-6);
    for (size_t i = 0; i < c.count; i++)
        assert_true(fabs((double)c.d_qkv[i] - 2) < 1e-5);
    close_case(&c);
}

static void test_threads(void **state)
{
    (void)state;
    struct relation_case one, three;
    open_case(&one, &shapes[3]);
    open_case(&three, &shapes[3]);
    double loss = run(&one, 1), same = run(&three, 3);
    assert_memory_equal(&loss, &same, sizeof loss);
    assert_memory_equal(one.d_qkv, three.d_qkv, one.count * sizeof *one.d_qkv);
    close_case(&one);
    close_case(&three);
}

/* Scores of 1e4 and more: softmaxes of one token each. */
static void test_extreme(void **state)
{
    (void)state;
    struct relation_case c;
    open_case(&c, &shapes[0]);
    for (size_t i = 0; i < c.count; i++)
        c.qkv[i] *= 300;
    assert_true(isfinite(run(&c, 1)));
    for (size_t i = 0; i < c.count; i++)
        assert_true(isfinite((double)c.d_qkv[i]));
    close_case(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradients), cmocka_unit_test(test_same),
                                       cmocka_unit_test(test_threads), cmocka_unit_test(test_extreme)};
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
