/* SPDX-License-Identifier: Apache-2.0
 * Every layer against a plain reference in double precision. */
#include "support.h"

#include "base/random.h"
#include "create/layers/layers.h"
#include "create/layers/matmul_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

static float *floats(size_t count, float scale, uint64_t seed)
{
    float *values = espi_calloc_aligned(NULL, count, sizeof *values);
    assert_non_null(values);
    struct espi_random random = {.seed = seed};
    for (size_t i = 0; i < count; i++)
        values[i] = scale * espi_random_normal(&random);
    return values;
}

static void assert_close(double ours, double reference, double tolerance, const char *what, size_t place)
{
    if (!(fabs(ours - reference) <= tolerance))
        fail_msg("%s: value %zu: expected %.9g, found %.9g", what, place, reference, ours);
}

/* ---- activations ---------------------------------------------------------------------------------------------------- */

static double reference_activation(enum espi_activation kind, double x)
{
    switch (kind) {
    case ESPI_GELU:
        return 0.5 * x * erfc(-x / sqrt(2.0));
    case ESPI_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case ESPI_RELU:
        return x > 0.0 ? x : 0.0;
    case ESPI_SILU:
        return x / (1.0 + exp(-x));
    case ESPI_TANH:
        return tanh(x);
    }
    fail();
    return 0.0;
}

static const enum espi_activation activations[] = {ESPI_GELU, ESPI_GELU_TANH, ESPI_RELU, ESPI_SILU, ESPI_TANH};

static void test_activation_values(void **state)
{
    (void)state;
    enum { COUNT = 40001 };
    float *x = floats(COUNT, 0.0f, 1), *y = floats(COUNT, 0.0f, 1);
    for (size_t a = 0; a < sizeof activations / sizeof *activations; a++) {
        for (size_t i = 0; i < COUNT; i++)
            x[i] = (float)i * 1e-3f - 20.0f;
        espi_activation_forward(activations[a], 1, COUNT, x, COUNT, y, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            double in = (double)((float)i * 1e-3f - 20.0f), want = reference_activation(activations[a], in);
            assert_close((double)y[i], want, 3e-7 * fmax(1.0, fabs(in)), "activation", i);
        }
    }
    free(x);
    free(y);
}

/* Relative accuracy where the result is small: near zero, where a careless formula cancels. */
static void test_activation_near_zero(void **state)
{
    (void)state;
    for (size_t a = 0; a < sizeof activations / sizeof *activations; a++)
        for (float x = 1e-30f; x < 1.0f; x *= 1.37f)
            for (int sign = -1; sign <= 1; sign += 2) {
                float in = (float)sign * x, y;
                double want = reference_activation(activations[a], (double)in);
                espi_activation_forward(activations[a], 1, 1, &in, 1, &y, 1);
                assert_close((double)y, want, 2e-6 * fabs(want), "activation near zero", a);
            }
}

static void test_activation_extremes(void **state)
{
    (void)state;
    for (size_t a = 0; a < sizeof activations / sizeof *activations; a++) {
        const float x[5] = {1e4f, -1e4f, 0.0f, NAN, 100.0f};
        float y[5];
        espi_activation_forward(activations[a], 1, 5, x, 5, y, 5);
        bool bounded = activations[a] == ESPI_TANH;
        assert_close((double)y[0], bounded ? 1.0 : 1e4, 0.0, "large", a);
        assert_close((double)y[1], bounded ? -1.0 : 0.0, 1e-10, "small", a);
        assert_true(y[2] == 0.0f);
        assert_true(isnan(y[3]) || activations[a] == ESPI_RELU);
        assert_close((double)y[4], bounded ? 1.0 : 100.0, 0.0, "large", a);
    }
}

/* Rows are touched within `cols` only, and a value's bits do not depend on its place. */
static void test_activation_stride(void **state)
{
    (void)state;
    enum { ROWS = 3, STRIDE = 50 };
    const float in = 0.7371f, untouched = 9.0f;
    float x[ROWS * STRIDE], y[ROWS * (STRIDE + 1)], want;
    for (size_t i = 0; i < ROWS * STRIDE; i++)
        x[i] = in;
    for (size_t a = 0; a < sizeof activations / sizeof *activations; a++)
        for (size_t cols = 1; cols < STRIDE; cols++) {
            for (size_t i = 0; i < ROWS * (STRIDE + 1); i++)
                y[i] = untouched;
            espi_activation_forward(activations[a], ROWS, cols, x, STRIDE, y, STRIDE + 1);
            espi_activation_forward(activations[a], 1, 1, &in, 1, &want, 1);
            for (size_t i = 0; i < ROWS * (STRIDE + 1); i++)
                assert_memory_equal(&y[i], i % (STRIDE + 1) < cols ? &want : &untouched, sizeof want);
        }
}

/* ---- LayerNorm ------------------------------------------------------------------------------------------------------ */

static void check_norm(size_t rows, size_t hidden, float eps)
{
    float *x = floats(rows * hidden, 3.0f, 1), *out = floats(rows * hidden, 0.0f, 3);
    float *w = floats(hidden, 1.0f, 4), *b = floats(hidden, 1.0f, 5), *statistics = floats(2 * rows, 0.0f, 6);
    espi_layer_norm_forward(rows, hidden, eps, x, w, b, out, statistics);
    for (size_t row = 0; row < rows; row++) {
        double mean = 0.0, variance = 0.0;
        for (size_t i = 0; i < hidden; i++)
            mean += (double)x[row * hidden + i] / (double)hidden;
        for (size_t i = 0; i < hidden; i++) {
            double y = (double)x[row * hidden + i] - mean;
            variance += y * y / (double)hidden;
        }
        for (size_t i = 0; i < hidden; i++) {
            double y = (double)x[row * hidden + i] - mean;
            double want = y / sqrt(variance + (double)eps) * (double)w[i] + (double)b[i];
            assert_close((double)out[row * hidden + i], want, 4e-6 * (1.0 + fabs(want)), "LayerNorm", i);
        }
    }
    free(x);
    free(statistics);
    free(out);
    free(w);
    free(b);
}

static void test_layer_norm(void **state)
{
    (void)state;
    static const size_t widths[] = {2, 15, 16, 17, 48, 64, 255, 768};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (size_t rows = 1; rows <= 3; rows++) {
            check_norm(rows, widths[i], 1e-12f);
            check_norm(rows, widths[i], 1e-6f);
        }
}

static void test_layer_norm_of_constant(void **state)
{
    (void)state;
    float x[20], w[20], b[20], out[20], statistics[2];
    for (size_t i = 0; i < 20; i++)
        x[i] = 1.0f, w[i] = 2.0f, b[i] = (float)i;
    espi_layer_norm_forward(1, 20, 1e-12f, x, w, b, out, statistics);
    assert_memory_equal(out, b, sizeof out);
}

/* ---- embedding ------------------------------------------------------------------------------------------------------ */

static void test_embedding(void **state)
{
    (void)state;
    enum { HIDDEN = 19, TOKENS = 4 };
    float *word = floats(7 * HIDDEN, 1.0f, 1), *position = floats(TOKENS * HIDDEN, 1.0f, 2);
    float *type = floats(2 * HIDDEN, 1.0f, 3), out[TOKENS * HIDDEN];
    static const int32_t ids[TOKENS] = {6, 0, 3, 3};
    static const uint8_t types[TOKENS] = {0, 1, 1, 0};
    static const uint32_t rows[TOKENS] = {2, 0, 1, 3};
    for (int form = 0; form < 3; form++) { // without token types, all of type 0, both types
        espi_embedding_forward(TOKENS, HIDDEN, ids, form == 2 ? types : NULL, rows, word, position, form ? type : NULL,
                               out);
        for (size_t t = 0; t < TOKENS; t++)
            for (size_t i = 0; i < HIDDEN; i++) {
                double want = (double)word[(size_t)ids[t] * HIDDEN + i] + (double)position[rows[t] * HIDDEN + i];
                if (form)
                    want += (double)type[(form == 2 ? types[t] : 0) * HIDDEN + i];
                assert_close((double)out[t * HIDDEN + i], want, 1e-6, "embedding", t);
            }
    }
    free(word);
    free(position);
    free(type);
}

/* ---- linear --------------------------------------------------------------------------------------------------------- */

struct linear_case {
    size_t inputs, outputs;
    float *x, *w, *b, *y; // x: (ROOM, inputs), y: (ROOM, outputs)
    float *alone;         // (ROOM, outputs): each row as a batch of one
};

enum { LINEAR_ROWS = 200, LINEAR_ROOM = 256 };

static void check_linear_values(const struct linear_case *c, size_t rows)
{
    for (size_t row = 0; row < rows; row += 1 + rows / 20)
        for (size_t o = 0; o < c->outputs; o += 1 + c->outputs / 30) {
            double want = (double)c->b[o], size = 1.0;
            for (size_t i = 0; i < c->inputs; i++) {
                double product = (double)c->x[row * c->inputs + i] * (double)c->w[o * c->inputs + i];
                want += product;
                size += fabs(product);
            }
            assert_close((double)c->y[row * c->outputs + o], want, 1e-6 * size, "linear", row);
        }
}

static void check_linear(struct espi_matmuls *matmuls, struct linear_case *c, bool first)
{
    static const size_t counts[] = {1, 2, 7, 8, 9, 16, 17, 31, 33, 48, 63, 64, 65, 127, 129, LINEAR_ROWS};
    struct espi_dense dense = {0};
    test_ok(ctx, espi_dense_init_forward(ctx, matmuls, c->inputs, c->outputs, &dense));
    test_ok(ctx, espi_dense_pack(ctx, matmuls, &dense, c->w));
    float *one = floats(ESPI_MATMUL_ROWS * c->inputs, 0.0f, 1);
    float *result = floats(ESPI_MATMUL_ROWS * c->outputs, 0.0f, 1);
    for (size_t row = 0; row < LINEAR_ROWS && first; row++) {
        memcpy(one, c->x + row * c->inputs, c->inputs * sizeof *one);
        test_ok(ctx, espi_dense_forward(ctx, matmuls, &dense, 1, one, c->b, result));
        memcpy(c->alone + row * c->outputs, result, c->outputs * sizeof *result);
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        test_ok(ctx, espi_dense_forward(ctx, matmuls, &dense, counts[i], c->x, c->b, c->y));
        check_linear_values(c, counts[i]);
        if (memcmp(c->y, c->alone, counts[i] * c->outputs * sizeof *c->y) != 0)
            fail_msg("%zu x %zu: a row among %zu differs from the row alone", c->inputs, c->outputs, counts[i]);
    }
    free(one);
    free(result);
    espi_dense_clear(&dense);
}

/* By oneDNN or by strips, with tiles that are uniform or as if none were. */
static void check_linear_shape(size_t inputs, size_t outputs, bool strips, bool single_rows)
{
    struct linear_case c = {.inputs = inputs, .outputs = outputs};
    c.x = floats(LINEAR_ROOM * inputs, 1.0f, 1);
    c.w = floats(outputs * inputs, 1.0f, 2);
    c.b = floats(outputs, 1.0f, 3);
    c.y = floats(LINEAR_ROOM * outputs, 0.0f, 4);
    c.alone = floats(LINEAR_ROOM * outputs, 0.0f, 5);
    for (size_t threads = 1; threads <= 3; threads++) {
        struct espi_team *team;
        struct espi_matmuls *matmuls;
        test_ok(ctx, espi_team_new(ctx, threads, &team));
        test_ok(ctx, espi_matmuls_new(ctx, ESPI_COMPUTE_F32, team, &matmuls));
        matmuls->strips = strips;
        matmuls->single_rows = single_rows;
        check_linear(matmuls, &c, threads == 1);
        espi_matmuls_free(matmuls);
        espi_team_free(team);
    }
    free(c.x);
    free(c.w);
    free(c.b);
    free(c.y);
    free(c.alone);
}

static void test_linear(void **state)
{
    (void)state;
    static const size_t shapes[][2] = {{1, 1}, {48, 144}, {48, 2}, {64, 385}, {100, 7}, {192, 48}, {64, 768}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (unsigned how = 0; how < 4; how++)
            check_linear_shape(shapes[i][0], shapes[i][1], how & 1, how & 2);
}

/* The widths of BERT-base: every count of rows from 1 to 200 at once (row r of the longest against r rows). */
static void test_linear_base(void **state)
{
    (void)state;
    static const size_t shapes[][2] = {{768, 2304}, {768, 768}, {768, 3072}, {3072, 768}};
    struct espi_matmuls *matmuls;
    test_ok(ctx, espi_matmuls_new(ctx, ESPI_COMPUTE_F32, NULL, &matmuls));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t inputs = shapes[i][0], outputs = shapes[i][1];
        float *w = floats(inputs * outputs, 1.0f, 1), *b = floats(outputs, 1.0f, 2),
              *x = floats(LINEAR_ROOM * inputs, 1.0f, 3);
        float *all = floats(LINEAR_ROOM * outputs, 0.0f, 4), *some = floats(LINEAR_ROOM * outputs, 0.0f, 5);
        struct espi_dense dense = {0};
        test_ok(ctx, espi_dense_init_forward(ctx, matmuls, inputs, outputs, &dense));
        test_ok(ctx, espi_dense_pack(ctx, matmuls, &dense, w));
        test_ok(ctx, espi_dense_forward(ctx, matmuls, &dense, LINEAR_ROWS, x, b, all));
        // from the end, so that the rows stand at other places of other tiles
        for (size_t rows = 1; rows < LINEAR_ROWS; rows += rows < 70 ? 1 : 13) {
            size_t first = LINEAR_ROWS - rows;
            test_ok(ctx, espi_dense_forward(ctx, matmuls, &dense, rows, x + first * inputs, b, some));
            if (memcmp(some, all + first * outputs, rows * outputs * sizeof *some) != 0)
                fail_msg("%zu x %zu: %zu rows differ from the same rows among %d", inputs, outputs, rows, LINEAR_ROWS);
        }
        espi_dense_clear(&dense);
        free(w);
        free(b);
        free(x);
        free(all);
        free(some);
    }
    for (const struct espi_uniform *u = matmuls->uniforms; u; u = u->next) {
        fprintf(stderr, "%zu x %zu: tiles of", u->inner, u->columns);
        for (size_t t = 0; t < u->heights; t++)
            fprintf(stderr, " %zu", u->tiles[t]->rows);
        fprintf(stderr, " rows and %zu narrow forms agree\n", u->narrow_heights);
    }
    espi_matmuls_free(matmuls);
}

static int fail_third(void *argument, size_t index, size_t thread)
{
    (void)argument;
    (void)thread;
    return index == 2 ? ESP_ERR_INTERNAL : ESP_OK;
}

static void test_products_failure(void **state)
{
    (void)state;
    struct espi_matmuls *matmuls;
    test_ok(ctx, espi_matmuls_new(ctx, ESPI_COMPUTE_F32, NULL, &matmuls));
    test_ok(ctx, espi_matmuls_run(ctx, matmuls, 2, fail_third, NULL));
    test_fails(ctx, espi_matmuls_run(ctx, matmuls, 3, fail_third, NULL), ESP_ERR_INTERNAL);
    test_error_has(ctx, "oneDNN");
#if !defined(TEST_SANITIZED) // whose allocators end the process
    struct espi_dense dense = {0};
    assert_true(espi_dense_init_forward(ctx, matmuls, SIZE_MAX / 256, 4, &dense) != ESP_OK);
#endif
    espi_matmuls_free(matmuls);
    espi_matmuls_free(NULL);
}

/* ---- pooling -------------------------------------------------------------------------------------------------------- */

static void test_pooling(void **state)
{
    (void)state;
    static const float x[3][2] = {{3.0f, -4.0f}, {6.0f, 1.0f}, {0.0f, 3.0f}};
    static const float zero[2] = {0.0f, 0.0f};
    float out[2];
    espi_pooling_forward(ESPI_POOL_CLS, false, 3, 2, x[0], out);
    assert_true(out[0] == 3.0f && out[1] == -4.0f);
    espi_pooling_forward(ESPI_POOL_MAX, false, 3, 2, x[0], out);
    assert_true(out[0] == 6.0f && out[1] == 3.0f);
    espi_pooling_forward(ESPI_POOL_MEAN, false, 3, 2, x[0], out);
    assert_true(out[0] == 3.0f && out[1] == 0.0f);
    espi_pooling_forward(ESPI_POOL_NONE, false, 3, 2, x[0], out); // not stated: the mean
    assert_true(out[0] == 3.0f && out[1] == 0.0f);
    espi_pooling_forward(ESPI_POOL_CLS, true, 1, 2, x[0], out);
    assert_close((double)out[0], 0.6, 1e-7, "normalised", 0);
    assert_close((double)out[1], -0.8, 1e-7, "normalised", 1);
    espi_pooling_forward(ESPI_POOL_MEAN, true, 1, 2, zero, out);
    assert_true(out[0] == 0.0f && out[1] == 0.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activation_values),
        cmocka_unit_test(test_activation_near_zero),
        cmocka_unit_test(test_activation_extremes),
        cmocka_unit_test(test_activation_stride),
        cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_layer_norm_of_constant),
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_linear_base),
        cmocka_unit_test(test_products_failure),
        cmocka_unit_test(test_pooling),
    };
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
