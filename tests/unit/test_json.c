/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

static struct espi_json parse(const char *text)
{
    struct espi_json json;
    test_ok(ctx, espi_json_open_text(ctx, "test.json", text, strlen(text), &json));
    return json;
}

static void fails_with(const char *text, const char *message)
{
    struct espi_json json;
    test_fails(ctx, espi_json_open_text(ctx, "test.json", text, strlen(text), &json), ESP_ERR_FORMAT);
    test_error_has(ctx, message);
}

static void test_syntax(void **state)
{
    (void)state;
    fails_with("", "test.json: column");
    fails_with("{\"a\":1,\n\"a\":2}", "line 2");
    fails_with("{\"a\":1} x", "end of file");
    fails_with("{\"a\":\"\xff\"}", "decode byte 0xff");
    fails_with("{\"a\":1e999}", "real number overflow");
    fails_with("{\"a\":99999999999999999999}", "too big");
    char deep[10001];
    memset(deep, '[', 10000);
    deep[10000] = 0;
    fails_with(deep, "depth");
}

static void test_getters(void **state)
{
    (void)state;
    struct espi_json json =
        parse("{\"s\":\"x\",\"z\":\"a\\u0000b\",\"i\":7,\"r\":0.5,\"b\":true,\"n\":null,\"a\":[{},2]}");
    const char *text;
    int64_t integer;
    size_t size, length;
    double number;
    bool flag;
    test_ok(ctx, espi_json_get_string(ctx, &json, "s", &text, NULL));
    assert_string_equal(text, "x");
    test_ok(ctx, espi_json_get_string(ctx, &json, "z", &text, &length));
    assert_int_equal(length, 3);
    test_fails(ctx, espi_json_get_string(ctx, &json, "z", &text, NULL), ESP_ERR_FORMAT);
    test_error_has(ctx, "zero character");
    test_ok(ctx, espi_json_get_integer(ctx, &json, "i", 0, 7, &integer));
    assert_int_equal(integer, 7);
    test_ok(ctx, espi_json_get_number(ctx, &json, "i", 0, 10, &number));
    test_ok(ctx, espi_json_get_number(ctx, &json, "r", 0, 1, &number));
    assert_true(fabs(number - 0.5) < 1e-12);
    test_ok(ctx, espi_json_get_bool(ctx, &json, "b", &flag));
    assert_true(flag);
    assert_true(espi_json_has(&json, "s"));
    assert_false(espi_json_has(&json, "n"));
    assert_false(espi_json_has(&json, "q"));

    test_fails(ctx, espi_json_get_size(ctx, &json, "i", 8, 9, &size), ESP_ERR_FORMAT);
    assert_string_equal(esp_last_error(ctx), "test.json: i: expected an integer from 8 to 9, found 7");
    test_fails(ctx, espi_json_get_string(ctx, &json, "i", &text, NULL), ESP_ERR_FORMAT);
    assert_string_equal(esp_last_error(ctx), "test.json: i: expected a string, found 7");
    test_fails(ctx, espi_json_get_string(ctx, &json, "q", &text, NULL), ESP_ERR_FORMAT);
    assert_string_equal(esp_last_error(ctx), "test.json: q: expected a string, found nothing");
    test_fails(ctx, espi_json_get_bool(ctx, &json, "s", &flag), ESP_ERR_FORMAT);
    assert_string_equal(esp_last_error(ctx), "test.json: s: expected true or false, found the string \"x\"");
    test_fails(ctx, espi_json_get_number(ctx, &json, "r", 1, 2, &number), ESP_ERR_FORMAT);
    test_error_has(ctx, "a number from 1 to 2, found 0.5");
    espi_json_close(&json);
}

static void test_paths(void **state)
{
    (void)state;
    struct espi_json json = parse("{\"data\":[{\"qas\":[1]}]}");
    struct espi_json data = espi_json_at(&json, "data"), first = espi_json_item(&data, 0),
                     qas = espi_json_at(&first, "qas"), one = espi_json_item(&qas, 0);
    assert_int_equal(espi_json_length(&data), 1);
    test_ok(ctx, espi_json_expect_array(ctx, &data));
    test_fails(ctx, espi_json_expect_object(ctx, &one), ESP_ERR_FORMAT);
    assert_string_equal(esp_last_error(ctx), "test.json: data[0].qas[0]: expected an object, found 1");
    struct espi_json beyond = espi_json_item(&qas, 5);
    assert_null(beyond.value);
    espi_json_close(&json);
}

static void test_print(void **state)
{
    (void)state;
    char *text;
    size_t bytes;
    FILE *stream = open_memstream(&text, &bytes);
    struct espi_json json = parse("{\"a\":0.1,\"b\":[1e-12,3]}");
    json_object_set_new(json.value, "f", json_real((double)0.1f));
    test_ok(ctx, espi_json_print(ctx, json.value, false, stream));
    fclose(stream);
    assert_string_equal(text, "{\"a\":0.1,\"b\":[1e-12,3],\"f\":0.100000001}\n");
    free(text);
    espi_json_close(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_getters),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_print),
    };
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
