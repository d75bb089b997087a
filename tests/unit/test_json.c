/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/json.h"
#include "base/json_parse.h"
#include "base/json_writer.h"
#include "base/size.h"

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
    fails_with("{\"a\":1} x", "column 9: not valid JSON: expected the end of the text");
    fails_with("{\"a\":\"\xff\"}", "column 7: not valid JSON: expected UTF-8");
    fails_with("{\"a\":NaN}", "NaN and Infinity are no numbers");
    fails_with("{\"a\":-Infinity}", "Infinity is no number");
    fails_with("{\"\\u0000\":1}", "column 2: not valid JSON: a zero character in a key");
    char deep[10001];
    memset(deep, '[', 10000);
    deep[10000] = 0;
    fails_with(deep, "column 129: not valid JSON: arrays and objects are nested deeper than 128");
    memset(deep + 128, ']', 128);
    deep[256] = 0;
    struct espi_json json = parse(deep);
    espi_json_close(&json);
}

/* Escapes become what they stand for, in values and in keys. */
static void test_strings(void **state)
{
    (void)state;
    static const char expected[] = "a\"\\/\b\f\n\r\t\0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    struct espi_json json =
        parse("{\"\\u0061\\n\":[\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u00E9\\u20ac\\ud83d\\uDE00z\",\"\"]}");
    const json_t *list = json_object_get(json.value, "a\n"), *text = json_array_get(list, 0);
    assert_int_equal(json_string_length(text), sizeof expected - 1);
    assert_memory_equal(json_string_value(text), expected, sizeof expected - 1);
    assert_string_equal(json_string_value(json_array_get(list, 1)), "");
    espi_json_close(&json);
    fails_with("{\"ab\":1,\"a\\u0062\":2}", "column 9: not valid JSON: duplicate object key");
    fails_with("[\"\\n\\", "the text ends within a string");
    fails_with("[\"\\n\\\"", "the text ends within a string");
}

/* What RFC 8259 allows, and the nearest that it does not. */
static void test_grammar(void **state)
{
    (void)state;
    static const char *const good[] = {
        "0",
        "-0",
        " [ ] ",
        "{}",
        "\"\\u00e9\\ud83d\\ude00\\\\ \\/\"",
        "[1,2.5e-3,-1E+9,0.0]",
        "null",
        "true",
        "\"\"",
        "{\"a\":{\"b\":[[],{}]},\"c\":\"\xf0\x9f\x98\x80\"}",
        "\"\xef\xbf\xbd\"",
    };
    for (size_t i = 0; i < ESPI_COUNT(good); i++) {
        struct espi_json json = parse(good[i]);
        espi_json_close(&json);
    }
    static const char *const bad[] = {
        "",
        " ",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "[01]",
        "[1.]",
        "[.5]",
        "[+1]",
        "[1e]",
        "[1e+]",
        "-",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "[1 2]",
        "tru",
        "truex",
        "[nullx]",
        "\"\n\"",
        "'a'",
        "[1]]",
        "{\"a\":1}}",
        "[}",
        "{]",
        "// a\n1",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\n\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "[",
        "{\"a\":",
        "[1,",
        "\"\xf0\x9f\"",
        "\"\\",
        "\"\\u00",
    };
    for (size_t i = 0; i < ESPI_COUNT(bad); i++)
        fails_with(bad[i], "not valid JSON");
}

static double number_of(const char *text)
{
    char document[2048];
    double number;
    snprintf(document, sizeof document, "{\"a\":%s}", text);
    struct espi_json json = parse(document);
    test_ok(ctx, espi_json_get_number(ctx, &json, "a", -HUGE_VAL, HUGE_VAL, &number));
    espi_json_close(&json);
    return number;
}

static void test_sizes_of_numbers(void **state)
{
    (void)state;
    static const char *const exact[] = {"9223372036854775807",
                                        "9223372036854775808",
                                        "-9223372036854775808",
                                        "-9223372036854775809",
                                        "18446744073709551616",
                                        "1000000000000000019884624838656",
                                        "123456789012345678901234567890.5",
                                        "1e307",
                                        "9.9999e307",
                                        "0.00001e310",
                                        "1e-999",
                                        "0e999",
                                        "0.0e99999999999999999999",
                                        "-0"};
    for (size_t i = 0; i < ESPI_COUNT(exact); i++)
        assert_true(number_of(exact[i]) == strtod(exact[i], NULL));
    static const char *const beyond[] = {"1e308", "1e999", "10e307", "1E+99999999999999999999", "0.001e400", "2.5e308"};
    for (size_t i = 0; i < ESPI_COUNT(beyond); i++)
        assert_true(number_of(beyond[i]) == 1e308);
    assert_true(number_of("-1e999") == -1e308);
    char digits[1001];
    memset(digits, '9', 1000);
    digits[1000] = 0;
    assert_true(number_of(digits) == 1e308);
    digits[300] = 0;
    assert_true(number_of(digits) == 1e300);

    struct espi_json json = parse("{\"a\":1000000000000000019884624838656,\"b\":1e30,\"c\":512.0,\"d\":512.5,"
                                  "\"e\":1e999,\"f\":-1000000000000000019884624838656,\"g\":\"9\"}");
    size_t size;
    int64_t integer;
    test_ok(ctx, espi_json_get_limit(ctx, &json, "a", 1, &size));
    assert_true(size == SIZE_MAX);
    test_ok(ctx, espi_json_get_limit(ctx, &json, "b", 1, &size));
    assert_true(size == SIZE_MAX);
    test_ok(ctx, espi_json_get_limit(ctx, &json, "e", 1, &size));
    assert_true(size == SIZE_MAX);
    test_ok(ctx, espi_json_get_limit(ctx, &json, "c", 1, &size));
    assert_int_equal(size, 512);
    test_ok(ctx, espi_json_get_integer(ctx, &json, "c", 0, 512, &integer));
    assert_int_equal(integer, 512);
    test_fails(ctx, espi_json_get_integer(ctx, &json, "d", 0, 1000, &integer), ESP_ERR_FORMAT);
    assert_string_equal(esp_last_error(ctx), "test.json: d: expected an integer from 0 to 1000, found 512.5");
    test_fails(ctx, espi_json_get_integer(ctx, &json, "a", 0, 1000, &integer), ESP_ERR_FORMAT);
    assert_string_equal(esp_last_error(ctx), "test.json: a: expected an integer from 0 to 1000, found 1e+30");
    test_fails(ctx, espi_json_get_integer(ctx, &json, "e", 0, 1000, &integer), ESP_ERR_FORMAT);
    test_error_has(ctx, "found a number of 1e308 or more");
    test_fails(ctx, espi_json_get_limit(ctx, &json, "f", 1, &size), ESP_ERR_FORMAT);
    test_error_has(ctx, "f: expected an integer from 1");
    test_fails(ctx, espi_json_get_limit(ctx, &json, "g", 1, &size), ESP_ERR_FORMAT);
    espi_json_close(&json);
    fails_with("{\"a\":1e999 1}", "column 12"); // columns are those of the text as it is
}

static void member_is(const char *text, const char *expected)
{
    size_t length = 0;
    const char *found = espi_json_member_text(text, strlen(text), "id", &length);
    assert_true(!found == !expected);
    if (found)
        assert_true(length == strlen(expected) && !memcmp(found, expected, length));
}

static void test_member_text(void **state)
{
    (void)state;
    member_is("{}", NULL);
    member_is(" { \"x\" : {\"id\":1} , \"y\":[\"id\"] } ", NULL);
    member_is("{\"id\":1733011200.123456}", "1733011200.123456");
    member_is("{\"id\" : 123456789012345678901234567890 }", "123456789012345678901234567890");
    member_is("{\"x\":\"}\\\"id\\\":2\",\"id\":\"a\\u0000\\\"b\"}", "\"a\\u0000\\\"b\"");
    member_is("{\"\\u0069d\":[1,{\"a\":\"]\"}] ,\"z\":0}", "[1,{\"a\":\"]\"}]");
    member_is("{\"i\":1,\"idd\":2,\"i\\u0064\":null}", "null");
    member_is("{\"\\nid\":1,\"id\\u0000\":2}", NULL);
}

static void test_writer(void **state)
{
    (void)state;
    struct espi_json_writer w = {0};
    espi_put_object(&w, NULL);
    espi_put_string(&w, "s\"", "a\n\x01\xff\xf0\x9f\\\xc3\xa9");
    espi_put_text(&w, "t", "a\0b", 3);
    espi_put_string(&w, "n", NULL);
    espi_put_array(&w, "e");
    espi_put_array_end(&w);
    espi_put_floats(&w, "f", (const float[]){0.1f, (float)NAN, 1, -INFINITY, 2.5f}, 3, 2);
    espi_put_number(&w, "d", (double)NAN);
    espi_put_integer(&w, "i", INT64_MIN);
    espi_put_size(&w, "z", SIZE_MAX);
    espi_put_bool(&w, "b", false);
    espi_put_raw(&w, "r", "1.50", 4);
    espi_put_object_end(&w);
    test_ok(ctx, espi_json_writer_end(ctx, &w));
    assert_string_equal(w.data, "{\"s\\\"\":\"a\\n\\u0001\xef\xbf\xbd\xef\xbf\xbd\\\\\xc3\xa9\",\"t\":\"a\\u0000b\","
                                "\"n\":null,\"e\":[],\"f\":[0.1,1.0,2.5],\"d\":null,\"i\":-9223372036854775808,"
                                "\"z\":18446744073709551615,\"b\":false,\"r\":1.50}");
    free(w.data);

    w = (struct espi_json_writer){.exact = true};
    espi_put_object(&w, NULL);
    espi_put_string(&w, "text", "\xff");
    espi_put_number(&w, "number", (double)NAN);
    espi_put_object_end(&w);
    test_fails(ctx, espi_json_writer_end(ctx, &w), ESP_ERR_FORMAT);
    test_error_has(ctx, "text: it cannot be written as JSON");
    assert_null(w.data);

    FILE *full = fopen("/dev/full", "w");
    w = (struct espi_json_writer){.stream = full};
    espi_put_array(&w, NULL);
    for (int i = 0; i < 100000; i++)
        espi_put_integer(&w, NULL, i);
    espi_put_array_end(&w);
    test_fails(ctx, espi_json_writer_end(ctx, &w), ESP_ERR_IO);
    fclose(full);
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
    test_ok(ctx, espi_json_print(ctx, json.value, false, stream));
    fclose(stream);
    assert_string_equal(text, "{\"a\":0.1,\"b\":[1e-12,3]}\n");
    free(text);
    espi_json_close(&json);
}

/* Long lists are put many at once: as one by one, whatever is among them, in lines or indented. */
static void test_floats(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    float values[2 * COUNT];
    for (size_t i = 0; i < 2 * COUNT; i++)
        values[i] = i % 97 == 64 ? (float)NAN : ldexpf((float)i - 77.3f, (int)(i % 150) - 75);
    for (size_t stride = 1; stride <= 2; stride++)
        for (int indent = 0; indent < 2; indent++) {
            struct espi_json_writer many = {.indent = indent}, one = {.indent = indent};
            espi_put_floats(&many, NULL, values, COUNT, stride);
            espi_put_array(&one, NULL);
            for (size_t i = 0; i < COUNT; i++)
                espi_put_float(&one, NULL, values[i * stride]);
            espi_put_array_end(&one);
            test_ok(ctx, espi_json_writer_end(ctx, &many));
            test_ok(ctx, espi_json_writer_end(ctx, &one));
            assert_string_equal(many.data, one.data);
            free(many.data);
            free(one.data);
        }
    struct espi_json_writer exact = {.exact = true};
    espi_put_floats(&exact, NULL, values, COUNT, 1);
    test_fails(ctx, espi_json_writer_end(ctx, &exact), ESP_ERR_FORMAT);
}

/* What is written and read back, and what has been read and is changed. */
static void test_changes(void **state)
{
    (void)state;
    struct espi_json json = parse("{\"a\":1,\"b\":{\"c\":2},\"d\":\"x\"}");
    struct espi_json_writer w = {0}, part = {0};
    json_t *copy;
    test_ok(ctx, espi_json_copy(ctx, json.value, &copy));
    espi_put_array(&part, NULL);
    espi_put_number(&part, NULL, (double)NAN);
    espi_put_array_end(&part);
    espi_put_object(&w, NULL);
    espi_put_written(&w, "b", &part);
    espi_put_string(&w, "e", "\xff");
    espi_put_object_end(&w);
    test_ok(ctx, espi_json_update(ctx, copy, &w));
    char *text = espi_json_text(ctx, copy);
    assert_string_equal(text, "{\"a\":1,\"b\":[null],\"d\":\"x\",\"e\":\"\xef\xbf\xbd\"}");
    free(text);
    json_decref(copy);
    espi_json_close(&json);
    w = (struct espi_json_writer){.exact = true};
    espi_put_object(&w, NULL);
    espi_put_string(&w, "e", "\xff");
    espi_put_object_end(&w);
    test_fails(ctx, espi_json_written(ctx, &w, &copy), ESP_ERR_FORMAT);
    assert_null(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syntax),           cmocka_unit_test(test_strings),     cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_sizes_of_numbers), cmocka_unit_test(test_member_text), cmocka_unit_test(test_writer),
        cmocka_unit_test(test_getters),          cmocka_unit_test(test_paths),       cmocka_unit_test(test_print),
        cmocka_unit_test(test_changes),          cmocka_unit_test(test_floats),
    };
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
