/* SPDX-License-Identifier: Apache-2.0
 * Classification, embedding and masked-language answers and their scores. */
#include "task_fixture.h"

#include "base/size.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The logits of a sequence depend on its second token: row `id - the` of a table. */
static float table[8][3];

static void fill(struct fixture *fixture, const struct espi_batch *batch, const struct espi_wanted *wanted)
{
    size_t width = wanted->result == ESPI_RESULT_SEQUENCE_LOGITS ? fixture->config.labels : fixture->config.hidden;
    for (size_t s = 0; s < batch->sequences; s++) {
        int32_t row = batch->ids[batch->starts[s] + 1] - fixture_id(fixture, "the");
        assert_true(row >= 0 && row < 8);
        memcpy(wanted->out + s * width, table[row], width * sizeof(float));
    }
}

static void row(const char *word, const struct fixture *f, float a, float b, float c)
{
    float *out = table[fixture_id(f, word) - fixture_id(f, "the")];
    out[0] = a;
    out[1] = b;
    out[2] = c;
}

static const char *const names[] = {"bad", "good", "so-so"};
static struct fixture fixture;

static int teardown(void **state)
{
    (void)state;
    fixture_close(&fixture);
    memset(table, 0, sizeof table);
    return 0;
}

static const char *data(const char *name, const char *text)
{
    return test_write(fixture.directory, name, text, strlen(text));
}

static void test_single_label(void **state)
{
    (void)state;
    fixture_open(&fixture, ESPI_HEAD_SEQUENCE, 3, names, fill);
    row("cat", &fixture, 1, 3, 2);
    fixture_job(&fixture, "classify", NULL);
    const json_t *result = fixture_run_one(&fixture, "{\"text\":\"cat sat\"}");
    double sum = exp(1) + exp(2) + exp(3);
    assert_string_equal(json_string_value(json_object_get(result, "label")), "good");
    test_score(result, exp(3) / sum);

    struct espi_task_options options = {.top_k = ESPI_ALL};
    fixture_job(&fixture, "classify", &options);
    result = fixture_run_one(&fixture, "{\"text\":\"cat sat\",\"pair\":\"mat\",\"id\":7}");
    assert_int_equal(json_array_size(result), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(result, 1), "label")), "so-so");
    test_score(json_array_get(result, 2), exp(1) / sum);

    options = (struct espi_task_options){.function = ESPI_FUNCTION_SIGMOID, .top_k = 2};
    fixture_job(&fixture, "classify", &options);
    result = fixture_run_one(&fixture, "{\"text\":\"cat\",\"text_pair\":\"mat\"}");
    assert_int_equal(json_array_size(result), 2);
    test_score(json_array_get(result, 0), 1 / (1 + exp(-3)));
    options = (struct espi_task_options){.function = ESPI_FUNCTION_NONE};
    fixture_job(&fixture, "classify", &options);
    test_score(fixture_run_one(&fixture, "{\"text\":\"cat\"}"), 3);
}

/* gold bad bad good good so-so; predicted bad good good good bad */
static void test_single_label_scores(void **state)
{
    (void)state;
    fixture_open(&fixture, ESPI_HEAD_SEQUENCE, 3, names, fill);
    row("cat", &fixture, 3, 1, 0);
    row("sat", &fixture, 0, 1, 0);
    const struct espi_task_options options = {.evaluate = true};
    fixture_job(&fixture, "classify", &options);
    json_t *report =
        fixture_evaluate(&fixture, data("a.tsv", "sentence\tlabel\ncat\tbad\nsat\tLABEL_0\nsat\t1\nsat the "
                                                 "cat\tgood\ncat sat\tso-so\n"));
    test_near(test_number(report, "accuracy"), 3.0 / 5);
    test_near(test_number(report, "f1_macro"), (0.5 + 0.8 + 0) / 3);
    test_near(test_number(report, "f1_micro"), 3.0 / 5);
    /* c = 3, s = 5; t = 2 2 1, p = 2 3 0: (15 - 10) / sqrt((25 - 13) (25 - 9)) */
    test_near(test_number(report, "mcc"), 5 / sqrt(12 * 16));
    assert_null(json_object_get(report, "f1"));
    assert_string_equal(json_string_value(json_object_get(report, "metric")), "accuracy");
    json_decref(report);

    struct espi_dataset *dataset;
    struct espi_example *example;
    struct espi_features features = {0};
    test_ok(fixture.ctx, espi_dataset_open(fixture.ctx, fixture.job.task, data("b.tsv", "label\ttext\nawful\tcat\n"),
                                           NULL, &dataset));
    assert_int_equal(espi_dataset_next(fixture.ctx, dataset, &example), 1);
    test_ok(fixture.ctx, espi_features_encode(fixture.ctx, &fixture.job, example, &features));
    test_fails(fixture.ctx, espi_features_targets(fixture.ctx, &fixture.job, example, &features), ESP_ERR_FORMAT);
    test_error_has(fixture.ctx, "b.tsv: line 2: expected one of the model's 3 labels (bad, good, so-so), found "
                                "\"awful\"");
    espi_features_clear(&features);
    espi_example_free(example);
    espi_dataset_close(dataset);
}

static void test_multi_label(void **state)
{
    (void)state;
    fixture_open(&fixture, ESPI_HEAD_SEQUENCE, 3, names, fill);
    fixture.config.problem = ESPI_MULTI_LABEL;
    row("cat", &fixture, 2, 1, -3);
    row("sat", &fixture, -1, -1, -1);
    fixture_job(&fixture, "classify", NULL);
    test_score(fixture_run_one(&fixture, "{\"text\":\"cat\"}"), 1 / (1 + exp(-2)));
    const struct espi_task_options options = {.evaluate = true};
    fixture_job(&fixture, "classify", &options);
    test_json(fixture_run_one(&fixture, "{\"text\":\"cat\"}"), "['bad','good']");
    json_t *report = fixture_evaluate(
        &fixture, data("a.jsonl", "{\"text\":\"cat\",\"labels\":[\"bad\",\"so-so\"]}\n{\"text\":\"sat\",\"labels\":[]}"
                                  "\n{\"text\":\"cat\",\"label\":\"bad, good\"}\n"));
    test_near(test_number(report, "accuracy"), 2.0 / 3);
    /* bad: 2 right; good: 1 right, 1 too many; so-so: 1 missed */
    test_near(test_number(report, "f1_micro"), 2.0 * 3 / (2 * 3 + 1 + 1));
    test_near(test_number(report, "f1_macro"), (1 + 2.0 / 3 + 0) / 3);
    json_decref(report);
}

static void test_regression(void **state)
{
    (void)state;
    fixture_open(&fixture, ESPI_HEAD_SEQUENCE, 1, names, fill);
    fixture.config.problem = ESPI_REGRESSION;
    row("cat", &fixture, -2.5f, 0, 0);
    row("sat", &fixture, 4, 0, 0);
    row("on", &fixture, 1, 0, 0);
    fixture_job(&fixture, "classify", NULL);
    test_json(fixture_run_one(&fixture, "{\"text\":\"cat\"}"), "{'label':'bad','score':-2.5}");
    const struct espi_task_options options = {.evaluate = true};
    fixture_job(&fixture, "classify", &options);
    json_t *report = fixture_evaluate(
        &fixture, data("a.csv", "sentence1,sentence2,score\r\ncat,the,0\r\nsat,the,3.5\r\non,\"the\"\"\n"
                                "the\",5\r\n"));
    /* x = 0 3.5 5, y = -2.5 4 1 */
    double mx = 8.5 / 3, my = 2.5 / 3;
    double xy = (0 - mx) * (-2.5 - my) + (3.5 - mx) * (4 - my) + (5 - mx) * (1 - my);
    double xx = mx * mx + (3.5 - mx) * (3.5 - mx) + (5 - mx) * (5 - mx);
    double yy = (-2.5 - my) * (-2.5 - my) + (4 - my) * (4 - my) + (1 - my) * (1 - my);
    test_near(test_number(report, "pearson"), xy / sqrt(xx * yy));
    test_near(test_number(report, "spearman"), 0.5);
    test_near(test_number(report, "mse"), (6.25 + 0.25 + 16) / 3);
    json_decref(report);
}

/* A single output that nothing calls a regression is a probability, but for evaluation on numbers. */
static void test_one_label(void **state)
{
    (void)state;
    fixture_open(&fixture, ESPI_HEAD_SEQUENCE, 1, names, fill);
    fixture.config.problem = ESPI_REGRESSION;
    fixture.config.problem_told = true;
    row("cat", &fixture, -2.5f, 0, 0);
    row("sat", &fixture, 4, 0, 0);
    const double gone = 1 / (1 + exp(2.5));
    const char *path = data("a.tsv", "text\tlabel\ncat\t-2.5\nsat\t4\n");
    const struct espi_task_options evaluate = {.evaluate = true}, raw = {.function = ESPI_FUNCTION_NONE};
    static const struct {
        enum espi_scores scores;
        bool raw_run, raw_evaluated;
    } cases[] = {
        {ESPI_SCORES_UNSTATED, false, true}, {ESPI_SCORES_RAW, true, true}, {ESPI_SCORES_SIGMOID, false, false}};
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        fixture.config.scores = cases[i].scores;
        fixture_job(&fixture, "classify", NULL);
        test_score(fixture_run_one(&fixture, "{\"text\":\"cat\"}"), cases[i].raw_run ? -2.5 : gone);
        fixture_job(&fixture, "classify", &evaluate);
        test_near(test_number(fixture_run_one(&fixture, "{\"text\":\"cat\"}"), "score"),
                  cases[i].raw_evaluated ? -2.5 : gone);
        json_t *report = fixture_evaluate(&fixture, path);
        assert_int_equal(test_number(report, "mse") == 0, cases[i].raw_evaluated);
        json_decref(report);
        fixture_job(&fixture, "classify", &raw);
        test_score(fixture_run_one(&fixture, "{\"text\":\"cat\"}"), -2.5);
    }
    fixture.config.scores = ESPI_SCORES_UNSTATED;
    fixture.config.problem_told = false; // problem_type: regression
    fixture_job(&fixture, "classify", NULL);
    test_score(fixture_run_one(&fixture, "{\"text\":\"cat\"}"), -2.5);
    fixture.config.problem = ESPI_SINGLE_LABEL; // stated, as older files have it
    fixture_job(&fixture, "classify", NULL);
    test_score(fixture_run_one(&fixture, "{\"text\":\"cat\"}"), gone);
}

static void test_embed(void **state)
{
    (void)state;
    fixture_open(&fixture, ESPI_HEAD_NONE, 0, NULL, fill);
    row("cat", &fixture, 0.1f, 0, 1);
    row("sat", &fixture, 2, 0, 0);
    row("on", &fixture, 0, 3, 4);
    fixture_job(&fixture, "embed", NULL);
    const json_t *vector = json_object_get(fixture_run_one(&fixture, "{\"text\":\"cat\"}"), "embedding");
    assert_int_equal(json_array_size(vector), 3);
    assert_true(json_real_value(json_array_get(vector, 0)) == 0.1); // the digits that tell the float
    const struct espi_task_options options = {.evaluate = true};
    fixture_job(&fixture, "embed", &options);
    test_near(test_number(fixture_run_one(&fixture, "{\"text\":\"cat\",\"pair\":\"on\"}"), "score"),
              4 / (5 * sqrt(1 + (double)0.1f * (double)0.1f)));
    const json_t *error = fixture_run_one(&fixture, "{\"text\":\"cat\"}");
    assert_string_equal(json_string_value(error), "line 1: expected a pair of texts to compare, found one text");
    json_t *report =
        fixture_evaluate(&fixture, data("a.tsv", "cat\tcat\t5.0\nsat\ton\t0.5\ncat\ton\t3\ncat\tsat\t1\n"));
    test_near(test_number(report, "spearman"), 1);
    assert_int_equal(test_number(report, "examples"), 4);
    json_decref(report);
}

/* ---- masked language --------------------------------------------------------------------------------------------- */

/* Position p of the batch favours the token "1" + its order among the wanted positions. */
static void fill_vocabulary(struct fixture *f, const struct espi_batch *batch, const struct espi_wanted *wanted)
{
    assert_int_equal(wanted->result, ESPI_RESULT_VOCAB_LOGITS);
    for (size_t i = 0; i < wanted->position_count; i++) {
        float *logits = wanted->out + i * f->config.vocab_size;
        memset(logits, 0, f->config.vocab_size * sizeof *logits);
        assert_int_equal(batch->ids[wanted->positions[i]], fixture_id(f, "[MASK]"));
        logits[(size_t)fixture_id(f, "1") + i] = 3;
        logits[fixture_id(f, "##s")] = 1;
    }
}

static void test_fill_mask(void **state)
{
    (void)state;
    fixture_open(&fixture, ESPI_HEAD_MLM, 0, NULL, fill_vocabulary);
    const struct espi_task_options options = {.top_k = 2};
    fixture_job(&fixture, "mlm", &options);
    double sum = exp(3) + exp(1) + 31;
    char expected[512];
    snprintf(expected, sizeof expected,
             "[{'score':%.15f,'token':%d,'token_str':'1','sequence':'the cat 1.'},"
             "{'score':%.15f,'token':%d,'token_str':'##s','sequence':'the cats.'}]",
             exp(3) / sum, fixture_id(&fixture, "1"), exp(1) / sum, fixture_id(&fixture, "##s"));
    test_json(fixture_run_one(&fixture, "{\"text\":\"The cat [MASK] .\"}"), expected);
    const struct espi_task_options one = {.top_k = 1};
    fixture_job(&fixture, "mlm", &one);
    snprintf(expected, sizeof expected,
             "[[{'score':%.15f,'token':%d,'token_str':'1','sequence':'[CLS] 1 sat [MASK] [SEP]'}],"
             "[{'score':%.15f,'token':%d,'token_str':'2','sequence':'[CLS] [MASK] sat 2 [SEP]'}]]",
             exp(3) / sum, fixture_id(&fixture, "1"), exp(3) / sum, fixture_id(&fixture, "2"));
    test_json(fixture_run_one(&fixture, "{\"text\":\"[MASK] sat [MASK]\"}"), expected);
    assert_string_equal(json_string_value(fixture_run_one(&fixture, "{\"text\":\"the cat\"}")),
                        "line 1: expected a [MASK] in the text (in its first 64 tokens), found none");
}

static void fill_flat(struct fixture *f, const struct espi_batch *batch, const struct espi_wanted *wanted)
{
    (void)batch;
    for (size_t i = 0; i < wanted->position_count * f->config.vocab_size; i++)
        wanted->out[i] = 0;
}

static void test_masked_loss(void **state)
{
    (void)state;
    fixture_open(&fixture, ESPI_HEAD_MLM, 0, NULL, fill_flat);
    struct espi_task_options options = {.evaluate = true, .mask_probability = 1, .seed = 1};
    fixture_job(&fixture, "mlm", &options);
    const char *text = "the cat sat on the mat . the cat sat on the mat .\n\nwho is [MASK] it\n";
    json_t *report = fixture_evaluate(&fixture, data("a.txt", text));
    assert_int_equal(test_number(report, "predicted"), 17);
    assert_int_equal(test_number(report, "examples"), 2);
    test_near(test_number(report, "loss"), log(33));
    test_near(test_number(report, "perplexity"), 33);
    test_near(test_number(report, "accuracy"), 0); // the first of equals is [PAD]
    json_decref(report);
}

/* The share of masked tokens, what becomes of them, and that a seed fixes it all. */
static void test_masking(void **state)
{
    (void)state;
    fixture_open(&fixture, ESPI_HEAD_MLM, 0, NULL, fill_flat);
    struct espi_task_options options = {.evaluate = true, .seed = 5};
    fixture_job(&fixture, "mlm", &options);
    static char text[60000];
    for (size_t i = 0; i < 15000; i++)
        memcpy(text + 4 * i, "cat ", 4);
    struct espi_example *example;
    struct espi_features first = {0}, second = {0};
    test_ok(fixture.ctx, espi_example_new(fixture.ctx, "test", 3, &example));
    test_ok(fixture.ctx, espi_example_text(fixture.ctx, example, text, sizeof text, &example->text));
    test_ok(fixture.ctx, espi_features_encode(fixture.ctx, &fixture.job, example, &first));
    test_ok(fixture.ctx, espi_features_encode(fixture.ctx, &fixture.job, example, &second));
    test_ok(fixture.ctx, espi_features_targets(fixture.ctx, &fixture.job, example, &second));
    assert_int_equal(first.encoding.windows, (15000 + 61) / 62);
    assert_int_equal(first.position_count, second.target_count);
    assert_memory_equal(first.encoding.ids, second.encoding.ids, first.encoding.tokens * sizeof(int32_t));
    size_t masks = 0, same = 0, windows_positions = 0;
    for (size_t i = 0; i < first.position_count; i++) {
        int32_t id = first.encoding.ids[first.positions[i]];
        assert_int_equal(first.targets[i], fixture_id(&fixture, "cat"));
        masks += id == fixture_id(&fixture, "[MASK]");
        same += id == fixture_id(&fixture, "cat");
    }
    for (size_t i = 0; i < espi_features_windows(&first); i++)
        windows_positions += espi_features_window(&first, i).position_count;
    assert_int_equal(windows_positions, first.position_count);
    assert_in_range(first.position_count, 2250 - 180, 2250 + 180); // four deviations
    assert_in_range(masks * 100 / first.position_count, 76, 84);
    assert_in_range(same * 100 / first.position_count, 7, 13);
    fixture.job.options.seed = 6;
    test_ok(fixture.ctx, espi_features_encode(fixture.ctx, &fixture.job, example, &second));
    assert_memory_not_equal(first.encoding.ids, second.encoding.ids, first.encoding.tokens * sizeof(int32_t));
    espi_features_clear(&first);
    espi_features_clear(&second);
    espi_example_free(example);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, NULL, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_single_label), TEST(test_single_label_scores), TEST(test_multi_label),
        TEST(test_regression),   TEST(test_one_label),           TEST(test_embed),
        TEST(test_fill_mask),    TEST(test_masked_loss),         TEST(test_masking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
