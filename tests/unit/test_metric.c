/* SPDX-License-Identifier: Apache-2.0
 * The SQuAD metrics, the text functions they stand on, and the statistics. */
#include "task_fixture.h"

#include "eval/correlation.h"
#include "eval/evaluator.h"
#include "tasks/pytext.h"
#include "tasks/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void lower(const char *text, const char *expected)
{
    struct espi_string out = {0};
    test_ok(NULL, espi_py_lower(NULL, text, strlen(text), &out));
    assert_string_equal(out.data, expected);
    free(out.data);
}

static void test_lower(void **state)
{
    (void)state;
    lower("", "");
    lower("AbC\xc3\x89 1", "abc\xc3\xa9 1");
    lower("\xc4\xb0", "i\xcc\x87"); // I with a dot becomes two characters
    /* Final sigma: behind a cased letter, before none; what casing ignores is passed over. */
    lower("\xce\x9f\xce\x94\xce\x9f\xce\xa3", "\xce\xbf\xce\xb4\xce\xbf\xcf\x82");
    lower("\xce\xa3", "\xcf\x83");
    lower("A\xce\xa3\x42", "a\xcf\x83\x62");
    lower("A'\xce\xa3'", "a'\xcf\x82'");
    lower("A\xce\xa3.B", "a\xcf\x83.b");
    lower("A\xce\xa3 B", "a\xcf\x82 b");
    lower("1\xce\xa3", "1\xcf\x83");
}

static void test_utf8(void **state)
{
    (void)state;
    assert_int_equal(espi_utf8_valid("a\xc3\xa9\xf0\x9f\x98\x80", 7), 7);
    assert_int_equal(espi_utf8_valid("a\xc3", 2), 1);
    assert_int_equal(espi_utf8_valid("\xed\xa0\x80", 3), 0); // a surrogate
    assert_int_equal(espi_utf8_valid("\xc0\x80", 2), 0);     // overlong
    assert_int_equal(espi_utf8_length("a\xc3\xa9z", 4), 3);
    assert_int_equal(espi_utf8_offset("a\xc3\xa9z", 4, 2), 3);
    assert_int_equal(espi_utf8_offset("a\xc3\xa9z", 4, 9), 4);
}

static void compare(const char *prediction, const char *gold, bool version_2, double exact, double f1)
{
    double found_exact, found_f1;
    test_ok(NULL, espi_squad_compare(NULL, prediction, strlen(prediction), gold, strlen(gold), version_2, &found_exact,
                                     &found_f1));
    test_near(found_exact, exact);
    test_near(found_f1, f1);
}

static void test_compare(void **state)
{
    (void)state;
    compare("The Denver Broncos!", "denver  broncos", false, 1, 1);
    compare("a", "the", false, 1, 0); // nothing is left of either
    compare("a", "the", true, 1, 1);
    compare("cat", "", true, 0, 0);
    compare("cat cat dog", "cat dog dog", false, 0, 2.0 / 3);
    compare("dog cat", "cat dog", false, 0, 1);
    compare("24\xe2\x80\x93"
            "10",
            "2410", false, 0, 0); // the dash is no ASCII punctuation
    compare("can't", "cant", false, 1, 1);
    compare("the\xe2\x80\x93"
            "an",
            "\xe2\x80\x93", false, 1, 1); // articles stand between word boundaries
    compare("theatre an", "theatre", false, 1, 1);
    compare("the_a", "the_a", false, 1, 1);
    compare("the\xcc\x81 x", "\xcc\x81 x", false, 1, 1); // a mark is no word character
    compare("x\xc2\xa0y\xe3\x80\x80z\x1d", "x y z", false, 1, 1);
}

static struct espi_example *question(const char *id, bool version_2, const char *answer)
{
    struct espi_example *e;
    test_ok(NULL, espi_example_new(NULL, id, 0, &e));
    e->answerable_stated = version_2;
    if (answer) {
        e->answers = espi_arena_alloc(NULL, &e->arena, 1, sizeof *e->answers);
        e->answers[0].text = (struct espi_text){answer, strlen(answer)};
        e->answer_count = 1;
    }
    return e;
}

static void add(struct espi_metric *metric, struct espi_example *e, const char *answer)
{
    esp_item item = {.text = answer, .text_bytes = answer ? strlen(answer) : 0};
    const struct espi_found prediction = {.items = &item, .count = 1};
    test_ok(NULL, espi_metric_add(NULL, metric, e, answer ? &prediction : NULL));
    espi_example_free(e);
}

static void test_squad_1(void **state)
{
    (void)state;
    struct espi_metric *metric;
    json_t *report;
    test_ok(NULL, espi_metric_new(NULL, espi_task_find("qa"), NULL, &metric));
    add(metric, question("1", false, "the cat"), "cat");
    add(metric, question("2", false, "the cat"), "cat sat on mat");
    add(metric, question("3", false, "the cat"), NULL);
    test_ok(NULL, espi_metric_finish(NULL, metric, &report));
    test_json(report, "{'examples':3,'missing':1,'exact_match':33.333333333333336,'f1':46.666666666666664,'total':3,"
                      "'metric':'f1'}");
    json_decref(report);
    espi_metric_free(metric);
}

static void test_squad_2(void **state)
{
    (void)state;
    struct espi_metric *metric;
    json_t *report;
    test_ok(NULL, espi_metric_new(NULL, espi_task_find("qa"), NULL, &metric));
    add(metric, question("1", true, "cat"), "cat");
    add(metric, question("2", true, "cat"), "");
    add(metric, question("3", true, NULL), "");
    add(metric, question("4", true, NULL), "dog");
    add(metric, question("5", true, "the"), ""); // nothing is left of the accepted answer: "" is right
    test_ok(NULL, espi_metric_finish(NULL, metric, &report));
    test_json(report, "{'examples':5,'missing':0,'exact':60,'f1':60,'total':5,'HasAns_exact':66.66666666666667,"
                      "'HasAns_f1':66.66666666666667,'HasAns_total':3,'NoAns_exact':50,'NoAns_f1':50,'NoAns_total':2,"
                      "'metric':'f1'}");
    json_decref(report);
    espi_metric_free(metric);
}

static void test_nothing_to_score(void **state)
{
    (void)state;
    esp_context *ctx = esp_context_new();
    struct espi_metric *metric;
    json_t *report;
    test_ok(ctx, espi_metric_new(ctx, espi_task_find("tag"), NULL, &metric));
    test_fails(ctx, espi_metric_finish(ctx, metric, &report), ESP_ERR_FORMAT);
    assert_null(report);
    espi_metric_free(metric);
    test_fails(ctx, espi_metric_score_file(ctx, espi_task_find("mlm"), "a", "b", NULL, NULL, &report),
               ESP_ERR_UNSUPPORTED);
    esp_context_free(ctx);
}

static const char *put_file(const char *directory, const char *name, const char *text)
{
    return test_write(directory, name, text, strlen(text));
}

/* Files of predictions for classify and embed. */
static void test_score_lines(void **state)
{
    (void)state;
    esp_context *ctx = esp_context_new();
    const char *directory = test_scratch();
    char data[ESPI_PATH_BYTES];
    json_t *report;
    const struct espi_task *classify = espi_task_find("classify");
    snprintf(data, sizeof data, "%s", put_file(directory, "a.tsv", "sentence\tlabel\na\t1\nb\t0\nc\t1\nd\t1\n"));
    const char *found = put_file(directory, "p.tsv", "index\tprediction\n0\t1\n1\t1\n2\t1\n3\t0\n");
    test_ok(ctx, espi_metric_score_file(ctx, classify, data, found, NULL, NULL, &report));
    test_near(test_number(report, "accuracy"), 0.5);
    test_near(test_number(report, "f1"), 4.0 / 6); // of "1": 2 right, 1 too many, 1 missed
    json_decref(report);
    found = put_file(directory, "p.tsv", "1\n1\n1\n");
    test_fails(ctx, espi_metric_score_file(ctx, classify, data, found, NULL, NULL, &report), ESP_ERR_FORMAT);
    test_error_has(ctx, "p.tsv: expected a prediction for each example, found fewer");
    found = put_file(directory, "p.tsv", "1\n\n1\n1\n"); // nothing was predicted for the second
    test_ok(ctx, espi_metric_score_file(ctx, classify, data, found, NULL, NULL, &report));
    test_near(test_number(report, "accuracy"), 0.75);
    assert_int_equal(test_number(report, "missing"), 1);
    json_decref(report);

    snprintf(data, sizeof data, "%s", put_file(directory, "s.tsv", "a\tb\t1.5\nc\td\t0\ne\tf\t5\n"));
    found = put_file(directory, "p.tsv", "2\n1\n4.5\n");
    test_ok(ctx, espi_metric_score_file(ctx, classify, data, found, NULL, NULL, &report)); // told by the fractions
    test_near(test_number(report, "spearman"), 1);
    json_decref(report);
    test_ok(ctx, espi_metric_score_file(ctx, espi_task_find("embed"), data, found, NULL, NULL, &report));
    test_near(test_number(report, "spearman"), 1);
    json_decref(report);
    found = put_file(directory, "p.tsv", "2\nx\n4.5\n");
    test_fails(ctx, espi_metric_score_file(ctx, espi_task_find("embed"), data, found, NULL, NULL, &report),
               ESP_ERR_FORMAT);
    test_error_has(ctx, "p.tsv: line 2: expected a similarity, found \"x\"");
    test_scratch_remove(directory);
    esp_context_free(ctx);
}

static void test_statistics(void **state)
{
    (void)state;
    const double x[] = {1, 2, 2, 4}, y[] = {3, 1, 2, 9};
    double spearman;
    /* ranks 1 2.5 2.5 4 and 3 1 2 4: deviations -1.5 0 0 1.5 and 0.5 -1.5 -0.5 1.5 */
    test_ok(NULL, espi_spearman(NULL, x, y, 4, &spearman));
    test_near(spearman, 1.5 / sqrt(4.5 * 5));
    assert_true(isnan(espi_pearson(x, x, 1)));
    const double flat[] = {2, 2, 2, 2};
    assert_true(isnan(espi_pearson(x, flat, 4)));
    const float large[] = {1000, 1001, -1000};
    double p[3];
    espi_softmax(large, 3, p);
    test_near(p[1], 1 / (1 + exp(-1)));
    test_near(p[2], 0);
    test_near(espi_log_sum_exp(large, 3), 1001 + log(1 + exp(-1)));
    test_near(espi_sigmoid(-800), 0);
    test_near(espi_sigmoid(800), 1);
    const double values[] = {1, 7, 7, 3, 9, 0};
    size_t order[6];
    espi_top_k(values, 6, 4, order);
    static const size_t expected[] = {4, 1, 2, 3};
    assert_memory_equal(order, expected, sizeof expected);
    espi_top_k(values, 6, 6, order);
    assert_int_equal(order[5], 5);
    espi_top_k(values, 6, 0, order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lower),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_squad_1),
        cmocka_unit_test(test_squad_2),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_nothing_to_score),
        cmocka_unit_test(test_score_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
