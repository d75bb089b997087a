/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/json_number.h"
#include "base/random.h"
#include "base/size.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void float_is(float value, const char *expected)
{
    char text[ESPI_NUMBER_BYTES] = "";
    text[espi_format_float(text, value)] = '\0';
    assert_string_equal(text, expected);
}

static void double_is(double value, const char *expected)
{
    char text[ESPI_NUMBER_BYTES] = "";
    text[espi_format_double(text, value)] = '\0';
    assert_string_equal(text, expected);
}

/* The form is that of Python's repr. */
static void test_form(void **state)
{
    (void)state;
    float_is(0, "0.0");
    float_is(-0.0f, "-0.0");
    float_is(1, "1.0");
    float_is(0.1f, "0.1");
    float_is(-123456.7f, "-123456.7");
    float_is(16777216, "16777216.0");
    float_is(1e-4f, "0.0001");
    float_is(1e-5f, "1e-05");
    float_is(9007199254740992.0f, "9007199000000000.0");
    float_is(1e16f, "1e+16");
    float_is(3.4028235e38f, "3.4028235e+38");
    float_is(1e-45f, "1e-45");
    float_is(1.17549435e-38f, "1.1754944e-38");
    float_is(8388608.0f, "8388608.0");
    float_is(33554450.0f, "33554450.0");
    float_is(0x1.5c87fap-84f, "7.0385307e-26");
    float_is(-0x1.5c87fap-84f, "-7.0385307e-26");
    assert_true((float)strtod("7.0385307e-26", NULL) == 0x1.5c87fap-84f);
    double_is(0.1, "0.1");
    double_is(1 / 3.0, "0.3333333333333333");
    double_is(2e15, "2000000000000000.0");
    double_is(12345678901234567.0, "1.2345678901234568e+16");
    double_is(5e-324, "5e-324");
    double_is(1.7976931348623157e308, "1.7976931348623157e+308");
    double_is(2.2250738585072014e-308, "2.2250738585072014e-308");
    double_is(9007199254740993.0, "9007199254740992.0");
    double_is(1e22, "1e+22");
    double_is(1e23, "1e+23");
    double_is(-1.5e-7, "-1.5e-07");
}

/* Of all numbers of `digits` digits, printf gives the nearest. */
static int fewest_digits(double value, int most, char text[ESPI_NUMBER_BYTES], double (*back)(const char *))
{
    for (int digits = 1;; digits++) {
        snprintf(text, ESPI_NUMBER_BYTES, "%.*e", digits - 1, value);
        if (digits == most || back(text) == value)
            return digits;
    }
}

static double back_float(const char *text)
{
    return (double)strtof(text, NULL);
}

static double back_double(const char *text)
{
    return strtod(text, NULL);
}

static int count_digits(const char *text)
{
    int count = 0, zeros = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text == '0')
            zeros += count > 0;
        else if (*text >= '1' && *text <= '9') {
            count += zeros + 1;
            zeros = 0;
        }
    }
    return count;
}

static void test_shortest(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 40000; i++) {
        uint32_t random[4];
        char text[ESPI_NUMBER_BYTES], nearest[ESPI_NUMBER_BYTES];
        float single;
        double number;
        espi_random_block(1, 2, i, random);
        if (i % 16 == 0)
            random[0] &= ~0x7fffffu, random[1] = 0, random[2] &= ~0xfffffu; // powers of two: unequal neighbours
        memcpy(&single, &random[0], sizeof single);
        memcpy(&number, &random[1], sizeof number);
        if (isfinite(single)) {
            text[espi_format_float(text, single)] = '\0';
            assert_true(strtof(text, NULL) == single);
            if (i % 16) { // there the shortest of all need not be the one printf makes
                assert_int_equal(count_digits(text), fewest_digits((double)single, 9, nearest, back_float));
                assert_true(strtod(text, NULL) == strtod(nearest, NULL));
            }
        }
        if (isfinite(number)) {
            text[espi_format_double(text, number)] = '\0';
            assert_true(strtod(text, NULL) == number);
            if (i % 16)
                assert_int_equal(count_digits(text), fewest_digits(number, 17, nearest, back_double));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_shortest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
