/* SPDX-License-Identifier: Apache-2.0
 * Question answering: windows, both decoding rules, targets, errors. */
#include "task_fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct {
    float start[64], end[64]; // by token id
} logits;

static void fill(struct fixture *fixture, const struct espi_batch *batch, const struct espi_wanted *wanted)
{
    (void)fixture;
    assert_int_equal(wanted->result, ESPI_RESULT_TOKEN_LOGITS);
    for (size_t i = 0; i < batch->tokens; i++) {
        wanted->out[2 * i] = logits.start[batch->ids[i]];
        wanted->out[2 * i + 1] = logits.end[batch->ids[i]];
    }
}

static int setup(void **state)
{
    static struct fixture fixture;
    static const char *const labels[] = {"LABEL_0", "LABEL_1"};
    memset(&logits, 0, sizeof logits);
    fixture_open(&fixture, ESPI_HEAD_QA, 2, labels, fill);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_close(*state);
    return 0;
}

static void put(struct fixture *f, const char *word, float start, float end)
{
    logits.start[fixture_id(f, word)] = start;
    logits.end[fixture_id(f, word)] = end;
}

static const char cat_line[] = "{\"question\":\"who is it\",\"context\":\"the cat sat on the mat\"}";

/* Softmax over [CLS] and the 6 words of the context; the question's tokens take no part. */
static void test_best_span(void **state)
{
    struct fixture *f = *state;
    put(f, "who", 50, 50);
    put(f, "cat", 2, 1);
    put(f, "sat", 1, 0);
    put(f, "mat", 0, 3);
    fixture_job(f, "qa", NULL);
    const json_t *result = fixture_run_one(f, cat_line);
    double start = exp(2) / (exp(2) + exp(1) + 5), end = exp(3) / (exp(3) + exp(1) + 5);
    test_score(result, start * end);
    assert_string_equal(json_string_value(json_object_get(result, "answer")), "cat sat on the mat");
    assert_int_equal(test_number(result, "start"), 4);
    assert_int_equal(test_number(result, "end"), 22);
}

static void test_longest_answer(void **state)
{
    struct fixture *f = *state;
    put(f, "cat", 2, 1.5f);
    put(f, "mat", 0, 3);
    const struct espi_task_options options = {.max_answer_length = 2};
    fixture_job(f, "qa", &options);
    const json_t *result = fixture_run_one(f, cat_line);
    assert_string_equal(json_string_value(json_object_get(result, "answer")), "cat");
    double start = exp(2) / (exp(2) + 6), end = exp(1.5) / (exp(3) + exp(1.5) + 5);
    test_score(result, start * end);
}

/* The best span begins inside a word: it is widened, and the spans that become the same words add up. */
static void test_whole_words(void **state)
{
    struct fixture *f = *state;
    static const char line[] = "{\"question\":\"who\",\"context\":\"john playing\"}";
    put(f, "##ing", 4, 4);
    fixture_job(f, "qa", NULL);
    const json_t *result = fixture_run_one(f, line);
    double sum = exp(4) + 3, high = exp(4) / sum, low = 1 / sum;
    /* of play, ##ing: (##ing, ##ing), (play, ##ing), (play, play) */
    assert_string_equal(json_string_value(json_object_get(result, "answer")), "playing");
    test_score(result, high * high + low * high + low * low);
    assert_int_equal(test_number(result, "start"), 5);
    assert_int_equal(test_number(result, "end"), 12);

    const struct espi_task_options options = {.no_align_words = true};
    fixture_job(f, "qa", &options);
    result = fixture_run_one(f, line);
    assert_string_equal(json_string_value(json_object_get(result, "answer")), "ing");
    test_score(result, high * high);
}

static void test_top_k_and_case(void **state)
{
    struct fixture *f = *state;
    put(f, "cat", 3, 3);
    const struct espi_task_options options = {.top_k = 2, .max_answer_length = 1};
    fixture_job(f, "qa", &options);
    /* "Cat" and "cat" are one answer, told by the first. */
    const json_t *result = fixture_run_one(f, "{\"question\":\"who\",\"context\":\"Cat \xc3\xa9 cat\"}");
    assert_int_equal(json_array_size(result), 2);
    double sum = 2 * exp(3) + 2, cat = exp(3) / sum;
    const json_t *first = json_array_get(result, 0);
    assert_string_equal(json_string_value(json_object_get(first, "answer")), "Cat");
    test_score(first, 2 * cat * cat);
    assert_int_equal(test_number(first, "start"), 0);
    const json_t *second = json_array_get(result, 1); // [UNK], in code points
    assert_string_equal(json_string_value(json_object_get(second, "answer")), "\xc3\xa9");
    assert_int_equal(test_number(second, "start"), 4);
    assert_int_equal(test_number(second, "end"), 5);
}

static void test_impossible(void **state)
{
    struct fixture *f = *state;
    put(f, "[CLS]", 5, 5);
    const struct espi_task_options options = {.handle_impossible = true};
    fixture_job(f, "qa", &options);
    const json_t *result = fixture_run_one(f, cat_line);
    double cls = exp(5) / (exp(5) + 6);
    assert_string_equal(json_string_value(json_object_get(result, "answer")), "");
    test_score(result, cls * cls);
    assert_int_equal(test_number(result, "end"), 0);
    /* Without the option, the best span is the answer however small. */
    fixture_job(f, "qa", NULL);
    assert_string_not_equal(json_string_value(json_object_get(fixture_run_one(f, cat_line), "answer")), "");
}

/* 3 question tokens in windows of 10: 4 context tokens a window, 2 shared: "the cat sat on" and "sat on the mat". */
static void test_windows(void **state)
{
    struct fixture *f = *state;
    put(f, "on", 2, 2);
    const struct espi_task_options options = {.max_length = 10, .stride = 2, .max_answer_length = 1};
    fixture_job(f, "qa", &options);
    const json_t *result = fixture_run_one(f, cat_line);
    double on = exp(2) / (exp(2) + 4);
    assert_string_equal(json_string_value(json_object_get(result, "answer")), "on");
    test_score(result, 2 * on * on); // once in each window
    assert_int_equal(f->runs, 1);
    assert_int_equal(f->most_sequences, 2);
    /* The same over two batches. */
    const char *lines[] = {cat_line};
    f->runs = 0;
    result = json_array_get(fixture_run(f, 10, lines, 1), 0);
    test_score(result, 2 * on * on);
    assert_int_equal(f->runs, 2);
}

/* Only white space: no span at all, as the pipeline of transformers answers it. */
static void test_no_context(void **state)
{
    struct fixture *f = *state;
    fixture_job(f, "qa", NULL);
    test_json(fixture_run_one(f, "{\"question\":\"who\",\"context\":\"  \"}"),
              "{'score':0,'start':0,'end':0,'answer':''}");
}

static void test_evaluate(void **state)
{
    struct fixture *f = *state;
    put(f, "who", 9, 9); // among the n best, but no answer
    put(f, "cat", 3, 1);
    put(f, "mat", 1, 4);
    put(f, "[CLS]", 2, 2);
    const struct espi_task_options options = {.evaluate = true, .n_best = 3, .max_answer_length = 5};
    fixture_job(f, "qa", &options);
    assert_int_equal(f->job.options.max_answer_length, 5);
    const json_t *result = fixture_run_one(f, cat_line);
    /* starts: who 9, cat 3, [CLS] 2; ends: who 9, mat 4, [CLS] 2: one span, cat .. mat. */
    assert_string_equal(json_string_value(json_object_get(result, "answer")), "cat sat on the mat");
    test_score(result, 1);
}

static void test_evaluate_null(void **state)
{
    struct fixture *f = *state;
    put(f, "cat", 3, 3);
    put(f, "[CLS]", 4, 3);
    struct espi_task_options options = {.evaluate = true, .handle_impossible = true, .n_best = 2};
    fixture_job(f, "qa", &options);
    const json_t *result = fixture_run_one(f, cat_line);
    /* null 7, cat 6: 7 - 6 > 0 */
    assert_string_equal(json_string_value(json_object_get(result, "answer")), "");
    test_score(result, 1 / (1 + exp(-1)));
    options.null_threshold = 1; // 7 - 6 is not more than 1
    fixture_job(f, "qa", &options);
    result = fixture_run_one(f, cat_line);
    assert_string_equal(json_string_value(json_object_get(result, "answer")), "cat");
    test_score(result, 1 / (1 + exp(1)));
    options.handle_impossible = false;
    options.null_threshold = 0;
    fixture_job(f, "qa", &options);
    result = fixture_run_one(f, cat_line);
    assert_string_equal(json_string_value(json_object_get(result, "answer")), "cat");
}

/* A bad example gets its error; the others are answered. */
static void test_errors_stay_apart(void **state)
{
    struct fixture *f = *state;
    put(f, "cat", 3, 3);
    const struct espi_task_options options = {.max_length = 12};
    fixture_job(f, "qa", &options);
    const char *lines[] = {
        cat_line,
        "{\"question\":\"the the the the the the the the the\",\"context\":\"cat\"}",
        "{\"question\":\"who\"}",
        "{\"question\":\"who\",\"context\":\"\"}",
        "{\"question\":7,\"context\":\"cat\"}",
        "[1]",
        cat_line,
    };
    const json_t *results = fixture_run(f, 16, lines, 7);
    assert_true(json_is_object(json_array_get(results, 0)));
    assert_string_equal(json_string_value(json_array_get(results, 1)),
                        "line 2: the question has 9 tokens, which leaves no room for the context in 12");
    assert_string_equal(json_string_value(json_array_get(results, 2)),
                        "line 3: context: expected a string, found nothing; the members are question");
    assert_string_equal(json_string_value(json_array_get(results, 3)),
                        "line 4: context: expected a text, found an empty one");
    assert_non_null(strstr(json_string_value(json_array_get(results, 4)), "line 5: question: expected a string"));
    assert_non_null(strstr(json_string_value(json_array_get(results, 5)), "expected an object"));
    assert_true(json_equal(json_array_get(results, 0), json_array_get(results, 6)));
}

static void example(struct fixture *f, const char *question, const char *context, struct espi_example **out)
{
    test_ok(f->ctx, espi_example_new(f->ctx, "test", 0, out));
    test_ok(f->ctx, espi_example_text(f->ctx, *out, question, strlen(question), &(*out)->text));
    test_ok(f->ctx, espi_example_text(f->ctx, *out, context, strlen(context), &(*out)->pair));
}

static void test_question_is_cut(void **state)
{
    struct fixture *f = *state;
    const struct espi_task_options options = {.max_question_length = 2};
    fixture_job(f, "qa", &options);
    struct espi_example *e;
    struct espi_features features = {0};
    example(f, "john playing the cat", "mat", &e); // john play | ##ing the cat
    test_ok(f->ctx, espi_features_encode(f->ctx, &f->job, e, &features));
    assert_int_equal(features.encoding.tokens, 6);
    assert_int_equal(features.encoding.ids[1], fixture_id(f, "john"));
    assert_int_equal(features.encoding.ids[2], fixture_id(f, "play"));
    assert_int_equal(features.encoding.ids[4], fixture_id(f, "mat"));
    espi_features_clear(&features);
    espi_example_free(e);
}

static void test_targets(void **state)
{
    struct fixture *f = *state;
    const struct espi_task_options options = {.max_length = 10, .stride = 2};
    fixture_job(f, "qa", &options);
    struct espi_example *e;
    struct espi_features features = {0};
    example(f, "who is it", "the cat sat on the mat", &e);
    struct espi_gold_answer answer = {.text = {"cat sat", 7}, .start = 4};
    e->answers = &answer;
    e->answer_count = 1;
    test_ok(f->ctx, espi_features_encode(f->ctx, &f->job, e, &features));
    test_ok(f->ctx, espi_features_targets(f->ctx, &f->job, e, &features));
    assert_int_equal(features.target_count, 4);
    /* [CLS] who is it [SEP] the cat sat on [SEP]; the second window begins at sat */
    assert_int_equal(features.targets[0], 6);
    assert_int_equal(features.targets[1], 7);
    assert_int_equal(features.targets[2], 0);
    assert_int_equal(features.targets[3], 0);
    answer.start = 5;
    test_fails(f->ctx, espi_features_targets(f->ctx, &f->job, e, &features), ESP_ERR_FORMAT);
    test_error_has(f->ctx, "answer_start: expected \"cat sat\" at 5 of the context, found \"at sat on the mat\"");
    e->answer_count = 0;
    test_ok(f->ctx, espi_features_targets(f->ctx, &f->job, e, &features));
    assert_int_equal(features.targets[0], 0);
    assert_int_equal(features.targets[1], 0);
    espi_features_clear(&features);
    espi_example_free(e);
}

static void test_job_errors(void **state)
{
    struct fixture *f = *state;
    struct espi_job job;
    struct espi_task_options options = {.max_length = 20, .stride = 20};
    test_fails(f->ctx, espi_job_init(f->ctx, &job, espi_task_find("qa"), f->tokenizer, &f->config, &options),
               ESP_ERR_ARGUMENT);
    test_error_has(f->ctx, "stride: expected less than max_length 20, found 20");
    options = (struct espi_task_options){.max_length = 2};
    test_fails(f->ctx, espi_job_init(f->ctx, &job, espi_task_find("qa"), f->tokenizer, &f->config, &options),
               ESP_ERR_ARGUMENT);
    options.max_length = 0;
    test_fails(f->ctx, espi_job_init(f->ctx, &job, espi_task_find("mlm"), f->tokenizer, &f->config, &options),
               ESP_ERR_UNSUPPORTED);
    test_error_has(f->ctx, "task mlm needs a model with a masked-LM head");
    assert_null(espi_task_find("nothing"));
    assert_string_equal(espi_task_for_head(ESPI_HEAD_QA)->name, "qa");
    assert_string_equal(espi_task_for_head(ESPI_HEAD_NONE)->name, "embed");
}

static void fill_nan(struct fixture *fixture, const struct espi_batch *batch, const struct espi_wanted *wanted)
{
    fill(fixture, batch, wanted);
    wanted->out[2] = NAN;
}

static void test_broken_model(void **state)
{
    struct fixture *f = *state;
    f->fill = fill_nan;
    fixture_job(f, "qa", NULL);
    assert_string_equal(json_string_value(fixture_run_one(f, cat_line)),
                        "line 1: the model gives a result that is not finite");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_best_span),     TEST(test_longest_answer),    TEST(test_whole_words),     TEST(test_top_k_and_case),
        TEST(test_impossible),    TEST(test_windows),           TEST(test_no_context),      TEST(test_evaluate),
        TEST(test_evaluate_null), TEST(test_errors_stay_apart), TEST(test_question_is_cut), TEST(test_targets),
        TEST(test_job_errors),    TEST(test_broken_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
