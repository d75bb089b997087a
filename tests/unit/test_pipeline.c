/* SPDX-License-Identifier: Apache-2.0
 * The pipeline: order, batches, errors of one and of all. */
#include "task_fixture.h"

#include <stdio.h>
#include <string.h>

static const char *const labels[] = {"even", "odd"};

/* Tells sequences of an odd number of tokens, with the number as the logit. */
static void fill(struct fixture *fixture, const struct espi_batch *batch, const struct espi_wanted *wanted)
{
    (void)fixture;
    for (size_t s = 0; s < batch->sequences; s++) {
        size_t tokens = batch->starts[s + 1] - batch->starts[s];
        wanted->out[2 * s] = wanted->out[2 * s + 1] = 0;
        wanted->out[2 * s + tokens % 2] = (float)tokens;
    }
}

static struct fixture fixture;

static int setup(void **state)
{
    (void)state;
    fixture_open(&fixture, ESPI_HEAD_SEQUENCE, 2, labels, fill);
    const struct espi_task_options options = {.function = ESPI_FUNCTION_NONE};
    fixture_job(&fixture, "classify", &options);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

/* 60 texts of 1 to 17 words: answers are in order and their own, batches are full but never too large. */
static void test_order_and_batches(void **state)
{
    (void)state;
    enum { COUNT = 60, BATCH = 50 };
    static char texts[COUNT][128];
    const char *lines[COUNT];
    size_t tokens = 0;
    for (size_t i = 0; i < COUNT; i++) {
        size_t words = 1 + i * 7 % 17, used = (size_t)snprintf(texts[i], 128, "{\"text\":\"");
        for (size_t j = 0; j < words; j++)
            used += (size_t)snprintf(texts[i] + used, 128 - used, "cat ");
        snprintf(texts[i] + used, 128 - used, "\"}");
        lines[i] = texts[i];
        tokens += words + 2;
    }
    const json_t *results = fixture_run(&fixture, BATCH, lines, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        test_score(json_array_get(results, i), (double)(3 + i * 7 % 17));
    assert_in_range(fixture.most_tokens, BATCH - 19, BATCH);
    assert_in_range(fixture.runs, tokens / BATCH, tokens / (BATCH - 19) + 1);
}

/* A window larger than a batch runs alone. */
static void test_small_batches(void **state)
{
    (void)state;
    const char *lines[] = {"{\"text\":\"cat sat on\"}", "{\"text\":\"cat\"}"};
    const json_t *results = fixture_run(&fixture, 1, lines, 2);
    test_score(json_array_get(results, 0), 5);
    test_score(json_array_get(results, 1), 3);
    assert_int_equal(fixture.most_sequences, 1);
}

struct log {
    char text[256];
    int stop_at, seen;
};

static int note(void *cookie, esp_context *ctx, const struct espi_answer *answer)
{
    struct log *log = cookie;
    (void)ctx;
    size_t used = strlen(log->text);
    snprintf(log->text + used, sizeof log->text - used, "%d%s ", (int)(uintptr_t)answer->cookie,
             answer->status ? "!" : "");
    return ++log->seen == log->stop_at ? ESP_ERR_IO : ESP_OK;
}

static struct espi_example *example(const char *text)
{
    struct espi_example *e;
    test_ok(NULL, espi_example_new(NULL, "test", 0, &e));
    test_ok(NULL, espi_example_text(NULL, e, text, strlen(text), &e->text));
    return e;
}

/* An error stands where its example stood, also while earlier ones wait. Without a context all works as well. */
static void test_errors_keep_their_place(void **state)
{
    (void)state;
    struct espi_pipeline *p;
    struct log log = {0};
    test_ok(NULL, espi_pipeline_new(NULL, &fixture.job, &fixture.engine, 100, note, &log, &p));
    test_ok(NULL, espi_pipeline_push_error(p, NULL, ESP_ERR_FORMAT, "not JSON", (void *)0));
    assert_string_equal(log.text, "0! "); // nothing waits before it
    test_ok(NULL, espi_pipeline_push(p, NULL, example("cat"), (void *)1));
    test_ok(NULL, espi_pipeline_push_error(p, NULL, ESP_ERR_FORMAT, "not JSON", (void *)2));
    test_ok(NULL, espi_pipeline_push(p, NULL, example("sat"), (void *)3));
    assert_string_equal(log.text, "0! ");
    test_ok(NULL, espi_pipeline_flush(p, NULL));
    assert_string_equal(log.text, "0! 1 2! 3 ");
    test_ok(NULL, espi_pipeline_flush(p, NULL));
    espi_pipeline_free(p);
}

/* Failed examples behind one that waits for its batch: after as many as a batch has tokens it waits no longer. */
static void test_errors_do_not_pile_up(void **state)
{
    (void)state;
    struct espi_pipeline *p;
    struct log log = {0};
    test_ok(NULL, espi_pipeline_new(NULL, &fixture.job, &fixture.engine, 5, note, &log, &p));
    test_ok(NULL, espi_pipeline_push(p, NULL, example("cat"), (void *)0));
    for (size_t i = 1; i < 4; i++)
        test_ok(NULL, espi_pipeline_push_error(p, NULL, ESP_ERR_FORMAT, "not JSON", (void *)i));
    assert_string_equal(log.text, "");
    test_ok(NULL, espi_pipeline_push_error(p, NULL, ESP_ERR_FORMAT, "not JSON", (void *)4));
    assert_string_equal(log.text, "0 1! 2! 3! 4! ");
    espi_pipeline_free(p);
}

static void test_callback_stops(void **state)
{
    (void)state;
    struct espi_pipeline *p;
    struct log log = {.stop_at = 2};
    test_ok(NULL, espi_pipeline_new(NULL, &fixture.job, &fixture.engine, 100, note, &log, &p));
    for (size_t i = 0; i < 3; i++)
        test_ok(NULL, espi_pipeline_push(p, NULL, example("cat"), (void *)i));
    test_fails(NULL, espi_pipeline_flush(p, NULL), ESP_ERR_IO);
    test_fails(NULL, espi_pipeline_push(p, NULL, example("cat"), NULL), ESP_ERR_IO);
    test_fails(NULL, espi_pipeline_flush(p, NULL), ESP_ERR_IO);
    assert_string_equal(log.text, "0 1 ");
    espi_pipeline_free(p);
}

static int refuse(struct espi_engine *engine, esp_context *ctx, const struct espi_batch *batch,
                  const struct espi_wanted *wanted)
{
    (void)engine, (void)batch, (void)wanted;
    return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "no such head");
}

static void test_engine_stops(void **state)
{
    (void)state;
    struct espi_pipeline *p;
    struct log log = {0};
    fixture.engine.run = refuse;
    test_ok(fixture.ctx, espi_pipeline_new(fixture.ctx, &fixture.job, &fixture.engine, 1, note, &log, &p));
    test_fails(fixture.ctx, espi_pipeline_push(p, fixture.ctx, example("cat"), NULL), ESP_ERR_UNSUPPORTED);
    test_error_has(fixture.ctx, "no such head");
    espi_pipeline_free(p);
    espi_pipeline_free(NULL);
}

/* A vocabulary larger than the model's embedding: the text with the token too many fails alone. */
static void test_token_out_of_range(void **state)
{
    (void)state;
    fixture.config.vocab_size = (size_t)fixture_id(&fixture, "york");
    const char *lines[] = {"{\"text\":\"cat\"}", "{\"text\":\"york\"}", "{\"text\":\"new\"}"};
    const json_t *results = fixture_run(&fixture, 100, lines, 3);
    assert_true(json_is_object(json_array_get(results, 0)));
    assert_true(json_is_string(json_array_get(results, 1)));
    assert_true(json_is_object(json_array_get(results, 2)));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_order_and_batches),     TEST(test_small_batches),  TEST(test_errors_keep_their_place),
        TEST(test_errors_do_not_pile_up), TEST(test_callback_stops), TEST(test_engine_stops),
        TEST(test_token_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
