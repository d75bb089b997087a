/* SPDX-License-Identifier: Apache-2.0
 * Gradients of the activations against central differences in fp64. */
#include "support.h"

#include "base/size.h"
#include "create/layers/layers.h"

#include <math.h>
#include <string.h>

static double activation(enum espi_activation kind, double x)
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

static const enum espi_activation kinds[] = {ESPI_GELU, ESPI_GELU_TANH, ESPI_RELU, ESPI_SILU, ESPI_TANH};

static void test_slopes(void **state)
{
    (void)state;
    enum { ROWS = 3, COLS = 401, X_STRIDE = 403, DY_STRIDE = 410, DX_STRIDE = 405 };
    static float x[ROWS * X_STRIDE], dy[ROWS * DY_STRIDE], dx[ROWS * DX_STRIDE];
    for (size_t k = 0; k < ESPI_COUNT(kinds); k++) {
        for (size_t row = 0; row < ROWS; row++)
            for (size_t i = 0; i < COLS; i++) {
                x[row * X_STRIDE + i] = ((float)i - 200.5f) * (float)(row + 1) * 0.031f;
                dy[row * DY_STRIDE + i] = (float)(i % 7) - 3.0f;
            }
        for (size_t i = 0; i < ROWS * DX_STRIDE; i++)
            dx[i] = 77.0f;
        espi_activation_backward(kinds[k], ROWS, COLS, x, X_STRIDE, dy, DY_STRIDE, dx, DX_STRIDE);
        for (size_t row = 0; row < ROWS; row++)
            for (size_t i = 0; i < DX_STRIDE; i++) {
                double in = (double)x[row * X_STRIDE + (i < COLS ? i : 0)], step = 1e-5;
                double slope = (activation(kinds[k], in + step) - activation(kinds[k], in - step)) / (2.0 * step);
                double want = i < COLS ? slope * (double)dy[row * DY_STRIDE + i] : 77.0;
                double ours = (double)dx[row * DX_STRIDE + i];
                if (!(fabs(ours - want) <= 3e-6))
                    fail_msg("kind %d, x %g: expected %.9g, found %.9g", (int)kinds[k], in, want, ours);
            }
    }
}

/* In place, far out, and NaN. */
static void test_edges(void **state)
{
    (void)state;
    static const float far[] = {-1e30f, -1e10f, -200.0f, -40.0f, 40.0f, 200.0f, 1e10f, 1e30f};
    for (size_t k = 0; k < ESPI_COUNT(kinds); k++)
        for (size_t i = 0; i < ESPI_COUNT(far); i++) {
            float d = 2.0f, nan = NAN;
            espi_activation_backward(kinds[k], 1, 1, &far[i], 1, &d, 1, &d, 1);
            float want = far[i] > 0.0f && kinds[k] != ESPI_TANH ? 2.0f : 0.0f;
            if (!(fabsf(d - want) <= 1e-5f))
                fail_msg("kind %d, x %g: expected %g, found %g", (int)kinds[k], (double)far[i], (double)want,
                         (double)d);
            d = 2.0f;
            espi_activation_backward(kinds[k], 1, 1, &nan, 1, &d, 1, &d, 1);
            assert_true(isnan(d) || kinds[k] == ESPI_RELU);
            espi_activation_backward(kinds[k], 1, 1, &far[i], 1, &nan, 1, &d, 1);
            assert_true(isnan(d) || (kinds[k] == ESPI_RELU && far[i] < 0.0f));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slopes),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
