/* SPDX-License-Identifier: Apache-2.0
 * Losses against closed forms, and their gradients against central differences. */
#include "create/layers/loss.h"

#include "base/random.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 512 };

static void assert_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("found %.9g, expected %.9g", found, expected);
}

/* A loss of `count` inputs as a function, for differences. */
typedef double loss_fn(const float *x, float *d, size_t count);

static const size_t counts[] = {2, 7, 16, 61, 256};

static float teacher[MOST];
static double temperature, smoothing;

static void fill(float *x, size_t count, uint64_t seed, float size)
{
    struct espi_random random = {.seed = seed};
    for (size_t i = 0; i < count; i++)
        x[i] = size * espi_random_normal(&random);
}

/* Steps that floats hold exactly enough: the difference is taken of what they became. */
static void check_gradient(loss_fn *loss, size_t count, uint64_t seed, const char *what)
{
    float x[MOST] = {0}, d[MOST] = {0}, ignored[MOST];
    fill(x, count, seed, 1.5f);
    fill(teacher, count, seed + 100, 1.5f);
    for (size_t i = 0; i < count; i++)
        d[i] = 0.25f; // added to
    double value = loss(x, d, count);
    assert_true(isfinite(value));
    for (size_t i = 0; i < count; i++) {
        float before = x[i], h = 4e-3f;
        x[i] = before + h;
        double up = loss(x, ignored, count), at_up = (double)x[i];
        x[i] = before - h;
        double down = loss(x, ignored, count), at_down = (double)x[i];
        x[i] = before;
        double expected = (up - down) / (at_up - at_down) + 0.25;
        if (fabs(expected - (double)d[i]) > 2e-4 * (1 + fabs(expected)))
            fail_msg("%s of %zu, element %zu: gradient %.7g, difference %.7g", what, count, i, (double)d[i], expected);
    }
}

#define CHOICE(x, gradient, n, apart) ((struct espi_choice){(x), (gradient), (n), (apart)})

static double cross_entropy(const float *x, float *d, size_t count)
{
    return espi_loss_cross_entropy(&CHOICE(x, d, count, 1), count / 2, smoothing, 3);
}

/* Start and end logits of a question-answering head stand two apart. */
static double cross_entropy_apart(const float *x, float *d, size_t count)
{
    return espi_loss_cross_entropy(&CHOICE(x + 1, d + 1, count / 2, 2), 0, smoothing, 0.5);
}

static double soft(const float *x, float *d, size_t count)
{
    return espi_loss_soft(&CHOICE(x, d, count, 1), teacher, temperature, 0.7);
}

static double soft_apart(const float *x, float *d, size_t count)
{
    return espi_loss_soft(&CHOICE(x, d, count / 2, 2), teacher, temperature, 0.7);
}

static double binary(const float *x, float *d, size_t count)
{
    float y[MOST];
    for (size_t i = 0; i < count; i++)
        y[i] = (float)(i % 3 == 0);
    return espi_loss_binary(&CHOICE(x, d, count, 1), y, 2);
}

static double mse(const float *x, float *d, size_t count)
{
    return espi_loss_mse(count, x, teacher, 5, d);
}

static double cosine(const float *x, float *d, size_t count)
{
    return espi_loss_cosine(count, x, teacher, 2, d);
}

static double similarity(const float *x, float *d, size_t count)
{
    size_t half = count / 2;
    return espi_loss_similarity(half, x, x + half, 0.3f, 2, d, d + half);
}

static double contrastive(const float *x, float *d, size_t count)
{
    double loss = 0;
    size_t hidden = count >= 16 ? 4 : 1;
    test_ok(NULL, espi_loss_contrastive(NULL, count / 2 / hidden, hidden, x, 0.5, 1.5, d, &loss));
    return loss;
}

static void test_gradients(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t n = counts[i];
        for (int smooth = 0; smooth < 2; smooth++) {
            smoothing = 0.1 * smooth;
            check_gradient(cross_entropy, n, i, "cross entropy");
            check_gradient(cross_entropy_apart, n, i, "cross entropy, apart");
        }
        for (temperature = 1; temperature < 5; temperature += 1.5) {
            check_gradient(soft, n, i, "soft");
            check_gradient(soft_apart, n, i, "soft, apart");
        }
        check_gradient(binary, n, i, "binary");
        check_gradient(mse, n, i, "squared error");
        check_gradient(cosine, n, i, "cosine");
        if (n >= 4)
            check_gradient(similarity, n, i, "similarity");
        if (n >= 16)
            check_gradient(contrastive, n, i, "contrastive");
    }
}

static void test_values(void **state)
{
    (void)state;
    const float even[4] = {2, 2, 2, 2}, y[4] = {1, 0, 0, 1}, other[4] = {1, 2, 3, 6};
    assert_near(espi_loss_cross_entropy(&CHOICE(even, NULL, 4, 1), 3, 0, 1), log(4), 1e-6);
    assert_near(espi_loss_cross_entropy(&CHOICE(even, NULL, 4, 1), 3, 0.3, 1), log(4), 1e-6);
    assert_near(espi_loss_cross_entropy(&CHOICE(even, NULL, 1, 1), 0, 0, 1), 0, 1e-6);
    assert_near(espi_loss_soft(&CHOICE(other, NULL, 4, 1), other, 2, 1), 0, 1e-6);
    const float two[2] = {0, (float)log(3)}, one[2] = {0, 0}; // 1/4 3/4 and 1/2 1/2
    assert_near(espi_loss_soft(&CHOICE(one, NULL, 2, 1), two, 1, 1), 0.25 * log(0.5) + 0.75 * log(1.5), 1e-6);
    assert_near(espi_loss_binary(&CHOICE(even, NULL, 4, 1), y, 1), (2 * log1p(exp(-2)) + 2 * (2 + log1p(exp(-2)))) / 4,
                1e-6);
    assert_near(espi_loss_mse(4, even, other, 1, NULL), (1 + 0 + 1 + 16) / 4.0, 1e-6);
    assert_near(espi_loss_cosine(4, even, other, 1, NULL), 1 - 24 / (4 * sqrt(50)), 1e-6);
    const float pairs[4] = {1, 1, 1, 1}; // all alike: every second is as good
    float d[4] = {0};
    double loss = 0;
    test_ok(NULL, espi_loss_contrastive(NULL, 2, 1, pairs, 0.05, 0.5, d, &loss));
    assert_near(loss, log(2), 1e-6);
}

static void test_extremes(void **state)
{
    (void)state;
    const float far[3] = {3e4f, -3e4f, 0};
    float d[3] = {0};
    double loss = espi_loss_cross_entropy(&CHOICE(far, d, 3, 1), 1, 0, 1);
    assert_near(loss, 6e4, 1);
    assert_near((double)d[0], 1, 1e-6);
    assert_near((double)d[1], -1, 1e-6);
    const float y[3] = {0, 1, 1};
    memset(d, 0, sizeof d);
    loss = espi_loss_binary(&CHOICE(far, d, 3, 1), y, 1);
    assert_true(isfinite(loss) && loss > 1.9e4 && isfinite((double)d[0]) && isfinite((double)d[1]));
    memset(d, 0, sizeof d);
    const float back[3] = {-3e4f, 3e4f, 0};
    loss = espi_loss_soft(&CHOICE(far, d, 3, 1), back, 1, 1);
    assert_near(loss, 6e4, 1);
    assert_true(isfinite((double)d[0]) && isfinite((double)d[1]) && isfinite((double)d[2]));
    const float zero[3] = {0};
    memset(d, 0, sizeof d);
    loss = espi_loss_cosine(3, zero, zero, 1, d);
    assert_true(isfinite(loss) && isfinite((double)d[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradients), cmocka_unit_test(test_values),
                                       cmocka_unit_test(test_extremes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
