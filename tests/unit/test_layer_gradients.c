/* SPDX-License-Identifier: Apache-2.0
 * Backward of LayerNorm, embeddings and pooling against central differences of the same layers in double precision. */
#include "support.h"

#include "base/random.h"
#include "base/size.h"
#include "create/layers/layers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double step = 1e-5;

static float *floats(size_t count, uint64_t seed)
{
    float *values = espi_calloc_aligned(NULL, count, sizeof *values);
    assert_non_null(values);
    struct espi_random random = {.seed = seed};
    for (size_t i = 0; seed && i < count; i++)
        values[i] = espi_random_normal(&random);
    return values;
}

static double *doubles(size_t count, const float *from)
{
    double *values = calloc(count + 1, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; from && i < count; i++)
        values[i] = (double)from[i];
    return values;
}

static void assert_near(float found, double expected, const char *what, size_t place)
{
    if (!(fabs((double)found - expected) <= 2e-5 * fmax(1.0, fabs(expected))))
        fail_msg("%s: gradient %zu: expected %.9g, found %.9g", what, place, expected, (double)found);
}

/* ---- LayerNorm ------------------------------------------------------------------------------------------------------ */

struct norm {
    size_t rows, hidden;
    double eps, *x, *weight, *bias;
    const float *d; // (rows, hidden) what the loss multiplies the result with
};

static double norm_loss(const struct norm *n)
{
    double loss = 0;
    for (size_t row = 0; row < n->rows; row++) {
        const double *x = n->x + row * n->hidden;
        double mean = 0, variance = 0;
        for (size_t i = 0; i < n->hidden; i++)
            mean += x[i] / (double)n->hidden;
        for (size_t i = 0; i < n->hidden; i++)
            variance += (x[i] - mean) * (x[i] - mean) / (double)n->hidden;
        for (size_t i = 0; i < n->hidden; i++)
            loss += (double)n->d[row * n->hidden + i] *
                    ((x[i] - mean) / sqrt(variance + n->eps) * n->weight[i] + n->bias[i]);
    }
    return loss;
}

static void check_norm_differences(const struct norm *n, double *x, size_t count, const float *found, const char *what)
{
    for (size_t i = 0; i < count; i++) {
        double before = x[i];
        x[i] = before + step;
        double up = norm_loss(n);
        x[i] = before - step;
        double down = norm_loss(n);
        x[i] = before;
        assert_near(found[i], (up - down) / (2 * step), what, i);
    }
}

static void check_norm(size_t rows, size_t hidden, float eps)
{
    float *x = floats(rows * hidden, 1), *weight = floats(hidden, 2), *bias = floats(hidden, 3);
    float *d = floats(rows * hidden, 4), *out = floats(rows * hidden, 0);
    float *statistics = floats(2 * rows, 0), *dweight = floats(hidden, 5), *dbias = floats(hidden, 6);
    float *before_weight = floats(hidden, 5), *before_bias = floats(hidden, 6);
    espi_layer_norm_forward(rows, hidden, eps, x, weight, bias, out, statistics);
    float *dx = out;
    memcpy(dx, d, rows * hidden * sizeof *d);
    espi_layer_norm_backward(rows, hidden, x, statistics, weight, dx, dx, dweight, dbias); // in place
    for (size_t i = 0; i < hidden; i++) {
        dweight[i] -= before_weight[i];
        dbias[i] -= before_bias[i];
    }
    struct norm n = {
        rows, hidden, (double)eps, doubles(rows * hidden, x), doubles(hidden, weight), doubles(hidden, bias), d};
    check_norm_differences(&n, n.x, rows * hidden, dx, "LayerNorm input");
    check_norm_differences(&n, n.weight, hidden, dweight, "LayerNorm weight");
    check_norm_differences(&n, n.bias, hidden, dbias, "LayerNorm bias");
    float *blocks[] = {x, weight, bias, d, out, statistics, dweight, dbias, before_weight, before_bias};
    for (size_t i = 0; i < ESPI_COUNT(blocks); i++)
        free(blocks[i]);
    free(n.x);
    free(n.weight);
    free(n.bias);
}

static void test_norm(void **state)
{
    (void)state;
    check_norm(1, 2, 1e-3f);
    check_norm(3, 7, 1e-5f);
    check_norm(5, 16, 1e-12f);
    check_norm(4, 48, 1e-6f);
    check_norm(2, 131, 1e-12f);
}

/* ---- embeddings ----------------------------------------------------------------------------------------------------- */

/* The layer is linear: the gradient of a row is the sum over the tokens that take it. */
static void check_embedding(size_t hidden, bool typed, size_t part)
{
    enum { VOCABULARY = 6, POSITIONS = 5, TYPES = 2, TOKENS = 9 };
    static const uint32_t starts[] = {0, 1, 6, 9};
    static const int32_t ids[TOKENS] = {3, 0, 3, 5, 3, 0, 2, 2, 2};
    static const uint8_t types[TOKENS] = {1, 0, 0, 1, 1, 0, 1, 0, 0};
    static const uint32_t rows[TOKENS] = {0, 1, 4, 2, 3, 4, 0, 1, 2};
    struct espi_batch batch = {3, TOKENS, starts, ids, typed ? types : NULL};
    size_t counts[] = {VOCABULARY * hidden, POSITIONS * hidden, TYPES * hidden};
    float *d = floats(TOKENS * hidden, 1), *found[3];
    double *expected[3];
    for (size_t k = 0; k < 3; k++) {
        found[k] = floats(counts[k], 2 + k);
        expected[k] = doubles(counts[k], found[k]);
    }
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t i = 0; i < hidden; i++) {
            double value = (double)d[t * hidden + i];
            expected[0][(size_t)ids[t] * hidden + i] += value;
            expected[1][rows[t] * hidden + i] += value;
            expected[2][(typed ? types[t] : 0) * hidden + i] += value;
        }
    for (size_t first = 0; first < hidden; first += part)
        espi_embedding_backward(&batch, rows, hidden, first, espi_size_min(part, hidden - first), d, found[0], found[1],
                                found[2]);
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < counts[k]; i++)
            assert_near(found[k][i], expected[k][i], "embedding", i);
        free(expected[k]);
    }
    espi_embedding_backward(&batch, rows, hidden, 0, hidden, d, found[0], found[1], NULL);
    for (size_t k = 0; k < 3; k++)
        free(found[k]);
    free(d);
}

static void test_embedding(void **state)
{
    (void)state;
    check_embedding(1, true, 1);
    check_embedding(13, true, 13);
    check_embedding(40, true, 16);
    check_embedding(40, false, 7);
}

/* ---- pooling -------------------------------------------------------------------------------------------------------- */

static double pooling_loss(enum espi_pooling kind, bool normalize, size_t tokens, size_t hidden, const double *x,
                           const float *d)
{
    double squares = 0, sum = 0;
    for (size_t i = 0; i < hidden; i++) {
        double value = x[i];
        for (size_t t = 1; t < tokens && kind != ESPI_POOL_CLS; t++)
            value = kind == ESPI_POOL_MAX ? fmax(value, x[t * hidden + i]) : value + x[t * hidden + i];
        if (kind == ESPI_POOL_MEAN || kind == ESPI_POOL_NONE)
            value /= (double)tokens;
        squares += value * value;
        sum += value * (double)d[i];
    }
    return normalize ? sum / sqrt(squares) : sum;
}

static void check_pooling(enum espi_pooling kind, bool normalize, size_t tokens, size_t hidden)
{
    float *x = floats(tokens * hidden, 1), *d = floats(hidden, 2), *scratch = floats(hidden, 3);
    float *dx = floats(tokens * hidden, 4);
    double *wide = doubles(tokens * hidden, x), *before = doubles(tokens * hidden, dx);
    espi_pooling_backward(kind, normalize, tokens, hidden, x, d, scratch, dx);
    for (size_t i = 0; i < tokens * hidden; i++) {
        double value = wide[i];
        wide[i] = value + step;
        double up = pooling_loss(kind, normalize, tokens, hidden, wide, d);
        wide[i] = value - step;
        double down = pooling_loss(kind, normalize, tokens, hidden, wide, d);
        wide[i] = value;
        assert_near(dx[i], before[i] + (up - down) / (2 * step), "pooling", i);
    }
    free(x);
    free(d);
    free(scratch);
    free(dx);
    free(wide);
    free(before);
}

static void test_pooling(void **state)
{
    (void)state;
    static const enum espi_pooling kinds[] = {ESPI_POOL_NONE, ESPI_POOL_CLS, ESPI_POOL_MEAN, ESPI_POOL_MAX};
    for (size_t k = 0; k < ESPI_COUNT(kinds); k++)
        for (int normalize = 0; normalize < 2; normalize++) {
            check_pooling(kinds[k], normalize, 1, 5);
            check_pooling(kinds[k], normalize, 4, 3);
            check_pooling(kinds[k], normalize, 11, 33);
        }
}

/* A vector of length 0 stays, so its gradient passes; among equals the first token has the largest value. */
static void test_pooling_edges(void **state)
{
    (void)state;
    float zero[2] = {0}, d[2] = {1.0f, -2.0f}, scratch[2], dx[2] = {0};
    espi_pooling_backward(ESPI_POOL_CLS, true, 1, 2, zero, d, scratch, dx);
    assert_true(dx[0] == 1.0f && dx[1] == -2.0f);
    float equal[4] = {1.0f, 2.0f, 1.0f, 2.0f}, dequal[4] = {0};
    espi_pooling_backward(ESPI_POOL_MAX, false, 2, 2, equal, d, scratch, dequal);
    assert_true(dequal[0] == 1.0f && dequal[1] == -2.0f && dequal[2] == 0.0f && dequal[3] == 0.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_pooling),
        cmocka_unit_test(test_pooling_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
