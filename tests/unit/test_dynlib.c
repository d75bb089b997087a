/* SPDX-License-Identifier: Apache-2.0
 * Libraries that are loaded when they are needed. */
#include "create/layers/dnnl_calls.h"
#include "create/layers/dynlib.h"

#include "support.h"

static esp_context *ctx;

static void test_symbols(void **state)
{
    (void)state;
    double (*root)(double) = NULL;
    const struct espi_dynlib_symbol symbols[] = {{"sqrt", &root}};
    test_ok(ctx, espi_dynlib_load(ctx, "libm.so.6", false, symbols, 1));
    assert_non_null(root);
    assert_true(root(9.0) == 3.0);
}

static void test_what_is_missing(void **state)
{
    (void)state;
    void *place = NULL;
    const struct espi_dynlib_symbol symbols[] = {{"no_such_symbol", &place}};
    test_fails(ctx, espi_dynlib_load(ctx, "libm.so.6", false, symbols, 1), ESP_ERR_UNSUPPORTED);
    test_error_has(ctx, "cannot use libm.so.6: it has no no_such_symbol");
    assert_null(place);
    test_fails(ctx, espi_dynlib_load(ctx, "libnone.so.7", true, NULL, 0), ESP_ERR_UNSUPPORTED);
    test_error_has(ctx, "cannot load libnone.so.7");
}

/* As often as one likes, and by every thread that needs it. */
static void test_dnnl(void **state)
{
    (void)state;
    test_ok(ctx, espi_dnnl_load(ctx));
    struct espi_dnnl before = espi_dnnl;
    test_ok(ctx, espi_dnnl_load(ctx));
    assert_ptr_equal(espi_dnnl.sgemm, before.sgemm);
    assert_true(espi_dnnl.get_max_threads() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_symbols),
        cmocka_unit_test(test_what_is_missing),
        cmocka_unit_test(test_dnnl),
    };
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
