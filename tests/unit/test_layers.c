/* SPDX-License-Identifier: Apache-2.0
 * Every layer against a plain reference in double precision. */
#include "support.h"

#include "base/random.h"
#include "create/layers/layers.h"

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

static void check_norm(size_t rows, size_t hidden, float eps, bool residual)
{
    float *x = floats(rows * hidden, 3.0f, 1), *r = floats(rows * hidden, 2.0f, 2),
          *out = floats(rows * hidden, 0.0f, 3);
    float *w = floats(hidden, 1.0f, 4), *b = floats(hidden, 1.0f, 5);
    espi_layer_norm_forward(rows, hidden, eps, x, residual ? r : NULL, w, b, out);
    for (size_t row = 0; row < rows; row++) {
        double mean = 0.0, variance = 0.0;
        for (size_t i = 0; i < hidden; i++)
            mean += (double)(x[row * hidden + i] + (residual ? r[row * hidden + i] : 0.0f)) / (double)hidden;
        for (size_t i = 0; i < hidden; i++) {
            double y = (double)(x[row * hidden + i] + (residual ? r[row * hidden + i] : 0.0f)) - mean;
            variance += y * y / (double)hidden;
        }
        for (size_t i = 0; i < hidden; i++) {
            double y = (double)(x[row * hidden + i] + (residual ? r[row * hidden + i] : 0.0f)) - mean;
            double want = y / sqrt(variance + (double)eps) * (double)w[i] + (double)b[i];
            assert_close((double)out[row * hidden + i], want, 4e-6 * (1.0 + fabs(want)), "LayerNorm", i);
        }
    }
    espi_layer_norm_forward(rows, hidden, eps, x, residual ? r : NULL, w, b, x); // in place: the same bits
    assert_memory_equal(x, out, rows * hidden * sizeof *x);
    free(x);
    free(r);
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
            check_norm(rows, widths[i], 1e-12f, rows % 2 == 0);
            check_norm(rows, widths[i], 1e-6f, rows % 2 == 1);
        }
}

static void test_layer_norm_of_constant(void **state)
{
    (void)state;
    float x[20], w[20], b[20], out[20];
    for (size_t i = 0; i < 20; i++)
        x[i] = 1.0f, w[i] = 2.0f, b[i] = (float)i;
    espi_layer_norm_forward(1, 20, 1e-12f, x, NULL, w, b, out);
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

/* ---- softmax and attention ------------------------------------------------------------------------------------------ */

static void check_softmax(size_t rows, size_t cols, float scale)
{
    float *x = floats(rows * cols, scale, cols), *in = floats(rows * cols, scale, cols);
    espi_softmax_forward(rows, cols, x);
    for (size_t row = 0; row < rows; row++) {
        double largest = -(double)INFINITY, sum = 0.0, total = 0.0;
        for (size_t i = 0; i < cols; i++)
            largest = fmax(largest, (double)in[row * cols + i]);
        for (size_t i = 0; i < cols; i++)
            sum += exp((double)in[row * cols + i] - largest);
        for (size_t i = 0; i < cols; i++) {
            assert_close((double)x[row * cols + i], exp((double)in[row * cols + i] - largest) / sum, 5e-7, "softmax",
                         i);
            total += (double)x[row * cols + i];
        }
        assert_close(total, 1.0, 2e-6, "sum of softmax", row);
    }
    free(x);
    free(in);
}

static void test_softmax(void **state)
{
    (void)state;
    for (size_t cols = 1; cols <= 70; cols++)
        check_softmax(3, cols, 2.0f);
    check_softmax(2, 384, 5.0f);
    check_softmax(2, 512, 0.0f);
    check_softmax(2, 511, 1000.0f); // far below the range of exp
}

static void reference_attention(const float *qkv, size_t tokens, size_t heads, size_t width, size_t head, size_t query,
                                double *out)
{
    size_t hidden = heads * width;
    double *scores = calloc(tokens, sizeof *scores), largest = -(double)INFINITY, sum = 0.0;
    assert_non_null(scores);
    const float *q = qkv + query * 3 * hidden + head * width;
    for (size_t t = 0; t < tokens; t++) {
        const float *k = qkv + t * 3 * hidden + hidden + head * width;
        for (size_t i = 0; i < width; i++)
            scores[t] += (double)q[i] * (double)k[i] / sqrt((double)width);
        largest = fmax(largest, scores[t]);
    }
    for (size_t t = 0; t < tokens; t++)
        sum += exp(scores[t] - largest);
    memset(out, 0, width * sizeof *out);
    for (size_t t = 0; t < tokens; t++)
        for (size_t i = 0; i < width; i++)
            out[i] += exp(scores[t] - largest) / sum * (double)qkv[t * 3 * hidden + 2 * hidden + head * width + i];
    free(scores);
}

struct attend {
    struct espi_attention_shape shape;
    float *scratch; // (heads, ESPI_ATTENTION_ROWS, tokens)
};

static int attend_head(void *argument, size_t index, size_t thread)
{
    (void)thread;
    struct attend *a = argument;
    int status = ESP_OK;
    for (size_t first = 0; first < a->shape.tokens && !status; first += ESPI_ATTENTION_ROWS) {
        size_t left = a->shape.tokens - first, rows = left < ESPI_ATTENTION_ROWS ? left : ESPI_ATTENTION_ROWS;
        status = espi_attention_forward(&a->shape, index, first, rows,
                                        a->scratch + index * ESPI_ATTENTION_ROWS * a->shape.tokens);
    }
    return status;
}

static void check_attention(struct espi_products *products, size_t tokens, size_t heads, size_t width)
{
    size_t hidden = heads * width;
    float *qkv = floats(tokens * 3 * hidden, 1.0f, tokens), *out = floats(tokens * hidden, 1.0f, 1);
    struct attend a = {.shape = {.tokens = tokens, .heads = heads, .width = width, .qkv = qkv, .out = out},
                       .scratch = floats(heads * ESPI_ATTENTION_ROWS * tokens, 1.0f, 2)};
    test_ok(ctx, espi_products_run(ctx, products, heads, attend_head, &a));
    double want[64];
    for (size_t head = 0; head < heads; head++)
        for (size_t query = 0; query < tokens; query += 1 + tokens / 40) {
            reference_attention(qkv, tokens, heads, width, head, query, want);
            for (size_t i = 0; i < width; i++)
                assert_close((double)out[query * hidden + head * width + i], want[i], 4e-6, "attention", query);
        }
    free(qkv);
    free(out);
    free(a.scratch);
}

static void test_attention(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 2, 3, 16, 31, 127, 128, 129, 200, 384, 512};
    struct espi_products *products;
    test_ok(ctx, espi_products_new(ctx, NULL, false, &products));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        check_attention(products, lengths[i], 3, 16);
        check_attention(products, lengths[i], 2, 64);
        check_attention(products, lengths[i], 1, 7);
    }
    espi_products_free(products);
}

/* ---- linear --------------------------------------------------------------------------------------------------------- */

struct linear_case {
    size_t inputs, outputs;
    float *x, *w, *b, *y; // x: (ROOM, inputs), y: (ROOM, outputs)
    float *alone;         // (ROOM, outputs): each row as a batch of one
};

enum { LINEAR_ROWS = 200, LINEAR_ROOM = 256 };

static void check_linear_values(const struct linear_case *c, size_t rows, const enum espi_activation *activation)
{
    for (size_t row = 0; row < rows; row += 1 + rows / 20)
        for (size_t o = 0; o < c->outputs; o += 1 + c->outputs / 30) {
            double want = (double)c->b[o], size = 1.0;
            for (size_t i = 0; i < c->inputs; i++) {
                double product = (double)c->x[row * c->inputs + i] * (double)c->w[o * c->inputs + i];
                want += product;
                size += fabs(product);
            }
            want = activation ? reference_activation(*activation, want) : want;
            assert_close((double)c->y[row * c->outputs + o], want, 1e-6 * size, "linear", row);
        }
}

static void check_linear(struct espi_products *products, struct linear_case *c, bool first)
{
    static const size_t counts[] = {1, 2, 7, 8, 9, 16, 17, 31, 33, 48, 63, 64, 65, 127, 129, LINEAR_ROWS};
    const enum espi_activation gelu = ESPI_GELU;
    struct espi_linear linear = {0};
    test_ok(ctx, espi_linear_init(ctx, products, c->inputs, c->outputs, c->w, c->b, &linear));
    float *one = floats(ESPI_TILE_ROWS * c->inputs, 0.0f, 1), *result = floats(ESPI_TILE_ROWS * c->outputs, 0.0f, 1);
    for (size_t row = 0; row < LINEAR_ROWS && first; row++) {
        memcpy(one, c->x + row * c->inputs, c->inputs * sizeof *one);
        test_ok(ctx, espi_linear_forward(ctx, products, &linear, 1, one, &gelu, result));
        memcpy(c->alone + row * c->outputs, result, c->outputs * sizeof *result);
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        test_ok(ctx, espi_linear_forward(ctx, products, &linear, counts[i], c->x, NULL, c->y));
        check_linear_values(c, counts[i], NULL);
        test_ok(ctx, espi_linear_forward(ctx, products, &linear, counts[i], c->x, &gelu, c->y));
        check_linear_values(c, counts[i], &gelu);
        if (memcmp(c->y, c->alone, counts[i] * c->outputs * sizeof *c->y) != 0)
            fail_msg("%zu x %zu: a row among %zu differs from the row alone", c->inputs, c->outputs, counts[i]);
    }
    free(one);
    free(result);
    espi_linear_clear(&linear);
}

static void check_linear_shape(size_t inputs, size_t outputs, bool single_rows)
{
    struct linear_case c = {.inputs = inputs, .outputs = outputs};
    c.x = floats(LINEAR_ROOM * inputs, 1.0f, 1);
    c.w = floats(outputs * inputs, 1.0f, 2);
    c.b = floats(outputs, 1.0f, 3);
    c.y = floats(LINEAR_ROOM * outputs, 0.0f, 4);
    c.alone = floats(LINEAR_ROOM * outputs, 0.0f, 5);
    for (size_t threads = 1; threads <= 3; threads++) {
        struct espi_team *team;
        struct espi_products *products;
        test_ok(ctx, espi_team_new(ctx, threads, &team));
        test_ok(ctx, espi_products_new(ctx, team, single_rows, &products));
        check_linear(products, &c, threads == 1);
        espi_products_free(products);
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
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_linear_shape(shapes[i][0], shapes[i][1], false);
        check_linear_shape(shapes[i][0], shapes[i][1], true);
    }
}

/* The widths of BERT-base: every count of rows from 1 to 200 at once (row r of the longest against r rows). */
static void test_linear_base(void **state)
{
    (void)state;
    static const size_t shapes[][2] = {{768, 2304}, {768, 768}, {768, 3072}, {3072, 768}};
    struct espi_products *products;
    test_ok(ctx, espi_products_new(ctx, NULL, false, &products));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t inputs = shapes[i][0], outputs = shapes[i][1];
        float *w = floats(inputs * outputs, 1.0f, 1), *b = floats(outputs, 1.0f, 2),
              *x = floats(LINEAR_ROOM * inputs, 1.0f, 3);
        float *all = floats(LINEAR_ROOM * outputs, 0.0f, 4), *some = floats(LINEAR_ROOM * outputs, 0.0f, 5);
        struct espi_linear linear = {0};
        test_ok(ctx, espi_linear_init(ctx, products, inputs, outputs, w, b, &linear));
        test_ok(ctx, espi_linear_forward(ctx, products, &linear, LINEAR_ROWS, x, NULL, all));
        // from the end, so that the rows stand at other places of other tiles
        for (size_t rows = 1; rows < LINEAR_ROWS; rows += rows < 70 ? 1 : 13) {
            size_t first = LINEAR_ROWS - rows;
            test_ok(ctx, espi_linear_forward(ctx, products, &linear, rows, x + first * inputs, NULL, some));
            if (memcmp(some, all + first * outputs, rows * outputs * sizeof *some) != 0)
                fail_msg("%zu x %zu: %zu rows differ from the same rows among %d", inputs, outputs, rows, LINEAR_ROWS);
        }
        const struct espi_product *product;
        test_ok(ctx, espi_products_get(ctx, products, inputs, espi_product_columns(inputs), &product));
        fprintf(stderr, "%zu x %zu: tiles of", inputs, outputs);
        for (size_t t = 0; t < product->heights; t++)
            fprintf(stderr, " %zu", product->tiles[t].rows);
        fprintf(stderr, " rows and %zu narrow forms agree\n", product->narrow_heights);
        espi_linear_clear(&linear);
        free(w);
        free(b);
        free(x);
        free(all);
        free(some);
    }
    espi_products_free(products);
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
    struct espi_products *products;
    const struct espi_product *product;
    test_ok(ctx, espi_products_new(ctx, NULL, false, &products));
    test_ok(ctx, espi_products_run(ctx, products, 2, fail_third, NULL));
    test_fails(ctx, espi_products_run(ctx, products, 3, fail_third, NULL), ESP_ERR_INTERNAL);
    test_error_has(ctx, "oneDNN");
    assert_true(espi_products_get(ctx, products, SIZE_MAX / 2, 4, &product) != ESP_OK);
    assert_null(product);
    espi_products_free(products);
    espi_products_free(NULL);
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
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_attention),
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
