/* SPDX-License-Identifier: Apache-2.0
 * Ranges for 8 bits from histograms of made-up activations. */
#include "create/quantize/histogram.h"

#include "base/random.h"
#include "base/size.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>

enum { VALUES = 200000 };

struct made_up {
    float *x; // (VALUES)
    struct espi_histogram histogram;
};

/* Normal values with a share of outliers at `far` times their size; `low_too`: on both sides. */
static void make(struct made_up *m, double share, float far, bool low_too)
{
    struct espi_random random = {.seed = 4};
    m->x = malloc(VALUES * sizeof *m->x);
    m->histogram = (struct espi_histogram){.bins = calloc(ESPI_BINS, sizeof(uint32_t))};
    for (size_t i = 0; i < VALUES; i++) {
        m->x[i] = espi_random_normal(&random);
        if ((double)espi_random_uniform(&random) < share)
            m->x[i] *= far;
        if (!low_too)
            m->x[i] = fabsf(m->x[i]);
        m->histogram.low = fminf(m->histogram.low, m->x[i]);
        m->histogram.high = fmaxf(m->histogram.high, m->x[i]);
    }
    espi_histogram_count(&m->histogram, VALUES, m->x);
    assert_int_equal(m->histogram.seen, VALUES);
}

static void release(struct made_up *m)
{
    free(m->x);
    free(m->histogram.bins);
}

/* Mean squared error of the values in 255 steps over the histogram's range, by rounding every one. */
static double rounding_error(const struct made_up *m)
{
    double step = (double)(m->histogram.high - m->histogram.low) / 255, sum = 0;
    for (size_t i = 0; i < VALUES; i++) {
        double inside = fmin(fmax((double)m->x[i], (double)m->histogram.low), (double)m->histogram.high);
        double rounded = (double)m->histogram.low + step * round((inside - (double)m->histogram.low) / step);
        sum += (rounded - (double)m->x[i]) * (rounded - (double)m->x[i]);
    }
    return sum / VALUES;
}

static void test_percentile(void **state)
{
    (void)state;
    struct made_up m;
    make(&m, 0, 1, true);
    espi_histogram_percentile(&m.histogram, 99);
    assert_float_equal(m.histogram.high, 2.326f, 0.05f); // of a normal distribution
    assert_float_equal(m.histogram.low, -2.326f, 0.05f);
    release(&m);
    make(&m, 0, 1, false);
    espi_histogram_percentile(&m.histogram, 75);
    assert_true(m.histogram.low == 0); // 0 stays inside although a quarter of the values is cut
    assert_float_equal(m.histogram.high, 1.15f, 0.05f);
    release(&m);
}

/* No range of a coarse grid beats the one found. */
static void test_mse(void **state)
{
    (void)state;
    struct made_up m;
    make(&m, 0.0001, 40, true);
    float low = m.histogram.low, high = m.histogram.high;
    double whole = rounding_error(&m);
    espi_histogram_mse(&m.histogram);
    double found = rounding_error(&m);
    assert_true(found < 0.8 * whole);
    for (int i = 1; i <= 16; i++)
        for (int j = 1; j <= 16; j++) {
            m.histogram.low = low * (float)i / 16;
            m.histogram.high = high * (float)j / 16;
            assert_true(rounding_error(&m) > 0.95 * found);
        }
    release(&m);
}

static void test_entropy(void **state)
{
    (void)state;
    struct made_up m;
    make(&m, 0.0001, 40, true);
    double whole = rounding_error(&m);
    float low = m.histogram.low, high = m.histogram.high;
    espi_histogram_entropy(&m.histogram);
    assert_true(m.histogram.high < 0.5f * high && m.histogram.low > 0.5f * low); // the outliers are cut
    assert_true(m.histogram.high > 2 && m.histogram.low < -2);                   // the bulk is not
    assert_true(isfinite(whole));
    release(&m);
    make(&m, 0, 1, false); // nothing to cut on the lower side
    espi_histogram_entropy(&m.histogram);
    assert_true(m.histogram.low == 0 && m.histogram.high > 2);
    release(&m);
}

static void test_all_zero(void **state)
{
    (void)state;
    float zeros[64] = {0};
    struct espi_histogram histogram = {.bins = calloc(ESPI_BINS, sizeof(uint32_t))};
    espi_histogram_count(&histogram, 64, zeros);
    espi_histogram_percentile(&histogram, 99);
    espi_histogram_mse(&histogram);
    espi_histogram_entropy(&histogram);
    assert_true(histogram.low == 0 && histogram.high == 0);
    free(histogram.bins);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_percentile), cmocka_unit_test(test_mse),
                                       cmocka_unit_test(test_entropy), cmocka_unit_test(test_all_zero)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
