/* SPDX-License-Identifier: Apache-2.0
 * The search for precisions on models made of numbers: what each layer costs is known, and so is the best answer. */
#include "create/compile/precision_search.h"

#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

enum { LINEARS = 12 };

/* The metric is 100 less the costs of the layers that are int8; the error is the sum of their errors. */
struct made_up {
    double cost[LINEARS], error[LINEARS];
    size_t metrics;
    long sleep_ms; // of a metric
    int fail_at;   // metric that fails; 0: none
};

static int made_up_error(void *argument, esp_context *ctx, const enum espi_precision *precisions, double *error)
{
    (void)ctx;
    const struct made_up *m = argument;
    *error = 0;
    for (size_t i = 0; i < LINEARS; i++)
        *error += precisions[i] == ESPI_INT8 ? m->error[i] : 0;
    return ESP_OK;
}

static int made_up_metric(void *argument, esp_context *ctx, const enum espi_precision *precisions, double *metric)
{
    struct made_up *m = argument;
    *metric = 100;
    for (size_t i = 0; i < LINEARS; i++)
        *metric -= precisions[i] == ESPI_INT8 ? m->cost[i] : 0;
    nanosleep(&(struct timespec){.tv_nsec = m->sleep_ms * 1000000}, NULL);
    return ++m->metrics == (size_t)m->fail_at ? espi_fail(ctx, ESP_ERR_CANCELLED, "told to fail") : ESP_OK;
}

static int search(struct made_up *m, double max_drop, double seconds, enum espi_precision *precisions,
                  struct espi_search_report *report)
{
    struct espi_search_options options = {
        .reference = 100, .max_drop = max_drop, .fallback = ESPI_FP32, .seconds = seconds};
    struct espi_search_trials trials = {.argument = m, .error = made_up_error, .metric = made_up_metric};
    esp_context *ctx = esp_context_new();
    int status = espi_precision_search(ctx, &options, &trials, LINEARS, precisions, report);
    free(report->gains);
    esp_context_free(ctx);
    return status;
}

static void assert_fallen(const enum espi_precision *precisions, const char *expected)
{
    for (size_t i = 0; i < LINEARS; i++)
        if ((precisions[i] == ESPI_FP32) != (expected[i] == 'x'))
            fail_msg("layer %zu: found precision %d, expected %c of %s", i, (int)precisions[i], expected[i], expected);
}

static void test_int8_is_enough(void **state)
{
    (void)state;
    struct made_up m = {.cost = {0.1, 0.1}};
    struct espi_search_report report;
    enum espi_precision precisions[LINEARS];
    assert_int_equal(search(&m, 0.01, 0, precisions, &report), ESP_OK);
    assert_true(report.met);
    assert_int_equal(report.fallen, 0);
    assert_int_equal(report.metrics, 1);
    assert_int_equal(report.errors, 0);
    assert_fallen(precisions, "............");
}

static void test_fewest_layers(void **state)
{
    (void)state;
    struct made_up m = {.cost = {[2] = 3, [5] = 2, [7] = 0.9, [9] = 1.5},
                        .error = {[2] = 9, [5] = 6, [7] = 1, [9] = 4}};
    struct espi_search_report report;
    enum espi_precision precisions[LINEARS];
    assert_int_equal(search(&m, 0.01, 0, precisions, &report), ESP_OK);
    assert_true(report.met);
    assert_fallen(precisions, "..x..x...x..");
    assert_float_equal(report.metric, 99.1, 1e-9);
    assert_int_equal(report.fallen, 3);
}

/* Layer 0 has the largest error but costs nothing: it goes back to int8. */
static void test_gives_back(void **state)
{
    (void)state;
    struct made_up m = {.cost = {[4] = 5, [8] = 5}, .error = {[0] = 100, [4] = 10, [8] = 9}};
    struct espi_search_report report;
    enum espi_precision precisions[LINEARS];
    assert_int_equal(search(&m, 0.001, 0, precisions, &report), ESP_OK);
    assert_true(report.met);
    assert_fallen(precisions, "....x...x...");
}

static void test_never_good(void **state)
{
    (void)state;
    struct made_up m = {.cost = {[3] = 2}, .error = {[3] = 1}};
    struct espi_search_report report;
    enum espi_precision precisions[LINEARS];
    struct espi_search_options options = {.reference = 200, .max_drop = 0.01, .fallback = ESPI_BF16};
    struct espi_search_trials trials = {.argument = &m, .error = made_up_error, .metric = made_up_metric};
    assert_int_equal(espi_precision_search(NULL, &options, &trials, LINEARS, precisions, &report), ESP_OK);
    assert_false(report.met);
    assert_float_equal(report.metric, 100, 1e-9); // the best there is
    for (size_t i = 0; i < LINEARS; i++)
        assert_int_equal(precisions[i], i == 3 ? ESPI_BF16 : ESPI_INT8);
    assert_float_equal(report.gains[3], 1, 1e-9);
    free(report.gains);
}

static void test_time_limit(void **state)
{
    (void)state;
    struct made_up m = {.sleep_ms = 20};
    struct espi_search_report report;
    enum espi_precision precisions[LINEARS];
    for (size_t i = 0; i < LINEARS; i++)
        m.cost[i] = m.error[i] = 1;
    assert_int_equal(search(&m, 0.001, 0.001, precisions, &report), ESP_OK);
    assert_true(report.out_of_time);
    assert_false(report.met);
    assert_int_equal(report.metrics, 1);
    assert_float_equal(report.metric, 88, 1e-9);
}

static void test_failure(void **state)
{
    (void)state;
    struct made_up m = {.cost = {[1] = 4}, .error = {[1] = 4}, .fail_at = 2};
    struct espi_search_report report;
    enum espi_precision precisions[LINEARS];
    assert_int_equal(search(&m, 0.01, 0, precisions, &report), ESP_ERR_CANCELLED);
    assert_null(report.gains);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_int8_is_enough), cmocka_unit_test(test_fewest_layers), cmocka_unit_test(test_gives_back),
        cmocka_unit_test(test_never_good),     cmocka_unit_test(test_time_limit),    cmocka_unit_test(test_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
