/* SPDX-License-Identifier: Apache-2.0
 * The cost model: it finds the costs that made the times, follows the pace, and says how far it was off. */
#include "run/cost.h"

#include "support.h"

#include <math.h>

static const double truth[ESPI_COST_TERMS] = {
    [ESPI_COST_PARTS] = 4e-4,  [ESPI_COST_PANELS] = 1e-3, [ESPI_COST_HALF_TAIL] = 8e-4,
    [ESPI_COST_TAIL] = 1.1e-3, [ESPI_COST_TOKENS] = 1e-5, [ESPI_COST_SQUARES] = 3e-8,
};

static struct espi_cost_load load_of(size_t sequences, size_t length)
{
    struct espi_cost_load load = {0};
    for (size_t i = 0; i < sequences; i++)
        espi_cost_add(&load, length);
    return load;
}

static struct espi_cost true_cost(void)
{
    struct espi_cost cost = {.capacity = 1024, .pace = 1};
    for (size_t i = 0; i < ESPI_COST_TERMS; i++)
        cost.seconds[i] = truth[i];
    return cost;
}

static void test_terms(void **state)
{
    (void)state;
    struct espi_cost cost = true_cost();
    struct espi_cost_load none = {0}, load = load_of(1, 20);
    assert_true(espi_cost_seconds(&cost, &none) == 0);
    assert_true(fabs(espi_cost_seconds(&cost, &load) - (4e-4 + 8e-4 + 20e-5 + 400 * 3e-8)) < 1e-12);
    load = load_of(9, 128); // 1152 tokens: two parts, 18 panels
    assert_true(fabs(espi_cost_seconds(&cost, &load) - (8e-4 + 18e-3 + 1152e-5 + 9 * 16384 * 3e-8)) < 1e-12);
    struct espi_cost unknown = {0};
    assert_true(espi_cost_seconds(&unknown, &load) == 0);
}

static void test_solve(void **state)
{
    (void)state;
    struct espi_cost cost = true_cost(), found;
    struct espi_cost_load loads[64];
    double seconds[64];
    size_t count = 0;
    for (size_t sequences = 1; sequences <= 16; sequences *= 2)
        for (size_t length = 4; length <= 384; length += length / 2 + 3) {
            loads[count] = load_of(sequences, length);
            seconds[count] = espi_cost_seconds(&cost, &loads[count]);
            count++;
        }
    espi_cost_solve(loads, seconds, count, 1024, &found);
    for (size_t i = 0; i < ESPI_COST_TERMS; i++)
        assert_true(found.seconds[i] >= 0);
    for (size_t sequences = 1; sequences < 12; sequences++) // between and beyond what was shown
        for (size_t length = 3; length < 500; length += 41) {
            struct espi_cost_load load = load_of(sequences, length);
            double ratio = espi_cost_seconds(&found, &load) / espi_cost_seconds(&cost, &load);
            assert_true(ratio > 0.99 && ratio < 1.01);
        }
    espi_cost_solve(NULL, NULL, 0, 1024, &found);
    assert_true(espi_cost_seconds(&found, &loads[0]) == 0);
    seconds[0] = 0; // of a clock that stood still
    espi_cost_solve(loads, seconds, 1, 1024, &found);
    assert_true(isfinite(espi_cost_seconds(&found, &loads[0])));
}

static void test_learn(void **state)
{
    (void)state;
    struct espi_cost cost = true_cost();
    struct espi_cost_load load = load_of(3, 50);
    double usual = espi_cost_seconds(&cost, &load);
    assert_true(espi_cost_error(&cost, 0.5) == 0);
    for (size_t i = 0; i < 90; i++)
        espi_cost_learn(&cost, &load, usual);
    assert_true(espi_cost_seconds(&cost, &load) == usual && espi_cost_error(&cost, 0.99) == 0);
    espi_cost_learn(&cost, &load, 100 * usual); // stopped for a while: noted, hardly believed
    assert_true(espi_cost_seconds(&cost, &load) < 1.06 * usual && espi_cost_error(&cost, 0.999) >= 0.98);
    for (size_t i = 0; i < 200; i++)
        espi_cost_learn(&cost, &load, 1.5 * usual); // a slow phase
    assert_true(fabs(espi_cost_seconds(&cost, &load) / usual - 1.5) < 0.01);
    espi_cost_learn(&cost, &load, 0);
    assert_true(fabs(espi_cost_seconds(&cost, &load) / usual - 1.5) < 0.01);
    assert_true(espi_cost_error(&cost, 0.3) == 0 && espi_cost_error(&cost, 1) >= 0.98);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terms),
        cmocka_unit_test(test_solve),
        cmocka_unit_test(test_learn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
