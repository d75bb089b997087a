/* SPDX-License-Identifier: Apache-2.0
 * SQuAD as published: the official figures of five systems, the counts of both files, targets of the whole dev set. */
#include "task_fixture.h"

#include "tasks/pytext.h"

#include <math.h>
#include <string.h>

static const struct espi_task *qa(void)
{
    return espi_task_find("qa");
}

static void test_official_figures(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double exact, f1;
        size_t missing;
    } systems[] = {
        {"bert-ensemble", 86.206, 92.196, 0},        {"rnet-ensemble", 82.469, 88.478, 0},
        {"slqa-ensemble", 81.949, 88.384, 0},        {"match-lstm-ensemble", 67.635, 76.756, 0},
        {"logistic-regression", 40.142, 50.982, 13},
    };
    esp_context *ctx = esp_context_new();
    for (size_t i = 0; i < sizeof systems / sizeof *systems; i++) {
        char predictions[128];
        json_t *report;
        snprintf(predictions, sizeof predictions, "data/squad/predictions/%s.json", systems[i].name);
        test_ok(ctx, espi_metric_score_file(ctx, qa(), test_shared_path("data/squad/dev-v1.1.json"),
                                            test_shared_path(predictions), NULL, NULL, &report));
        double exact = round(test_number(report, "exact_match") * 1000) / 1000;
        double f1 = round(test_number(report, "f1") * 1000) / 1000;
        test_near(exact, systems[i].exact);
        test_near(f1, systems[i].f1);
        assert_int_equal(test_number(report, "total"), 10570);
        assert_int_equal(test_number(report, "missing"), systems[i].missing);
        json_decref(report);
    }
    esp_context_free(ctx);
}

static void count(const char *path, size_t questions, size_t answers)
{
    esp_context *ctx = esp_context_new();
    struct espi_dataset *dataset;
    struct espi_example *example;
    size_t found_questions = 0, found_answers = 0;
    int status;
    test_ok(ctx, espi_dataset_open(ctx, qa(), test_shared_path(path), NULL, &dataset));
    assert_int_equal(dataset->total, questions);
    while ((status = espi_dataset_next(ctx, dataset, &example)) > 0) {
        found_questions++;
        found_answers += example->answer_count;
        espi_example_free(example);
    }
    test_ok(ctx, status);
    assert_int_equal(found_questions, questions);
    assert_int_equal(found_answers, answers);
    espi_dataset_close(dataset);
    esp_context_free(ctx);
}

static void test_counts(void **state)
{
    (void)state;
    count("data/squad/dev-v1.1.json", 10570, 34726);
    count("data/squad/train-v1.1.json", 87599, 87599);
}

/* An engine that knows the targets: it says 9 at them and 0 elsewhere, so that decoding must give the gold answer back
 * wherever it ends and begins at tokens. */
static struct espi_features expected;

static void fill(struct fixture *f, const struct espi_batch *batch, const struct espi_wanted *wanted)
{
    (void)f;
    for (size_t i = 0; i < 2 * batch->tokens; i++)
        wanted->out[i] = 0;
    assert_int_equal(batch->sequences, expected.encoding.windows);
    for (size_t s = 0; s < batch->sequences; s++) {
        const int32_t *span = expected.targets + 2 * s;
        wanted->out[2 * (batch->starts[s] + (size_t)span[0])] = 9;
        wanted->out[2 * (batch->starts[s] + (size_t)span[1]) + 1] = 9;
    }
}

struct tally {
    size_t same, others;
};

static int compare(void *cookie, esp_context *ctx, const struct espi_answer *answer)
{
    struct tally *tally = cookie;
    const struct espi_gold_answer *gold = &answer->example->answers[0];
    (void)ctx;
    assert_int_equal(answer->status, ESP_OK);
    const esp_item *item = &answer->found->items[0];
    bool same = item->text_bytes == gold->text.bytes && !memcmp(item->text, gold->text.data, item->text_bytes) &&
                item->char_begin == gold->start;
    tally->same += same;
    tally->others += !same;
    /* Where it differs the gold answer begins or ends inside a token; the answer found encloses it. */
    if (!same)
        assert_non_null(memmem(item->text, item->text_bytes, gold->text.data, gold->text.bytes));
    return ESP_OK;
}

static void test_targets_come_back(void **state)
{
    (void)state;
    static const char *const labels[] = {"LABEL_0", "LABEL_1"};
    struct fixture f;
    struct tally tally = {0};
    fixture_open(&f, ESPI_HEAD_QA, 2, labels, fill);
    esp_tokenizer_free(f.tokenizer);
    test_ok(f.ctx, esp_tokenizer_open(f.ctx, test_shared_path("data/vocab/bert-base-uncased-vocab.txt"), &f.tokenizer));
    f.config.vocab_size = esp_tokenizer_size(f.tokenizer);
    f.config.max_positions = f.config.max_sequence = 512;
    const struct espi_task_options options = {.evaluate = true, .max_answer_length = 384};
    fixture_job(&f, "qa", &options);
    assert_int_equal(f.job.options.max_length, 384);

    struct espi_dataset *dataset;
    struct espi_example *example;
    size_t windows = 0;
    test_ok(f.ctx, espi_dataset_open(f.ctx, qa(), test_shared_path("data/squad/dev-v1.1.json"), NULL, &dataset));
    while (espi_dataset_next(f.ctx, dataset, &example) > 0) {
        struct espi_pipeline *pipeline;
        test_ok(f.ctx, espi_pipeline_new(f.ctx, &f.job, &f.engine, SIZE_MAX, compare, &tally, &pipeline));
        test_ok(f.ctx, espi_features_encode(f.ctx, &f.job, example, &expected));
        test_ok(f.ctx, espi_features_targets(f.ctx, &f.job, example, &expected));
        windows += expected.encoding.windows;
        test_ok(f.ctx, espi_pipeline_push(pipeline, f.ctx, example, NULL));
        test_ok(f.ctx, espi_pipeline_flush(pipeline, f.ctx));
        espi_pipeline_free(pipeline);
    }
    espi_dataset_close(dataset);
    espi_features_clear(&expected);
    fixture_close(&f);
    assert_int_equal(tally.same + tally.others, 10570);
    assert_int_equal(windows, 10784); // as run_qa.py of transformers makes them
    assert_in_range(tally.others, 0, 100);
}

int main(void)
{
    test_shared_require();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_official_figures),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_targets_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
