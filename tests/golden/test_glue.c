/* SPDX-License-Identifier: Apache-2.0
 * The GLUE files as published: rows, labels, and scores of predictions that are the labels themselves. */
#include "task_fixture.h"

#include <string.h>

struct file {
    const char *path;
    size_t rows;
    const char *labels; // joined by spaces; NULL: not checked, "": none
    bool pair;
};

static const struct file files[] = {
    {"data/glue/SST-2/train.tsv", 67349, "0 1", false},
    {"data/glue/SST-2/dev.tsv", 872, "0 1", false},
    {"data/glue/SST-2/test.tsv", 1821, "", false},
    {"data/glue/CoLA/train.tsv", 8551, "0 1", false},
    {"data/glue/CoLA/dev.tsv", 1043, "0 1", false},
    {"data/glue/CoLA/test.tsv", 1063, "", false},
    {"data/glue/RTE/train.tsv", 2490, "entailment not_entailment", true},
    {"data/glue/RTE/dev.tsv", 277, "entailment not_entailment", true},
    {"data/glue/STS-B/train.tsv", 5749, NULL, true},
    {"data/glue/STS-B/dev.tsv", 1500, NULL, true},
    {"data/glue/STS-B/test.tsv", 1379, "", true},
};

static void test_rows(void **state)
{
    (void)state;
    esp_context *ctx = esp_context_new();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct espi_dataset *dataset;
        struct espi_example *example;
        size_t rows = 0;
        int status;
        test_ok(ctx,
                espi_dataset_open(ctx, espi_task_find("classify"), test_shared_path(files[i].path), NULL, &dataset));
        while ((status = espi_dataset_next(ctx, dataset, &example)) > 0) {
            rows++;
            assert_true(example->text.bytes > 0);
            assert_int_equal(example->pair.data != NULL, files[i].pair);
            assert_int_equal(example->labelled, !files[i].labels || *files[i].labels);
            espi_example_free(example);
        }
        test_ok(ctx, status);
        assert_int_equal(rows, files[i].rows);
        espi_dataset_close(dataset);
    }
    esp_context_free(ctx);
}

static void test_labels(void **state)
{
    (void)state;
    esp_context *ctx = esp_context_new();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct espi_arena arena = {0};
        const char **labels;
        size_t count;
        char joined[128] = "";
        if (!files[i].labels || !*files[i].labels)
            continue;
        test_ok(ctx, espi_dataset_labels(ctx, espi_task_find("classify"), test_shared_path(files[i].path), NULL, &arena,
                                         &labels, &count));
        for (size_t j = 0; j < count; j++)
            snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%s%s", j ? " " : "", labels[j]);
        assert_string_equal(joined, files[i].labels);
        espi_arena_clear(&arena);
    }
    esp_context_free(ctx);
}

/* The last column of these files is the label, which is where a submission has its prediction. */
static void test_perfect_scores(void **state)
{
    (void)state;
    esp_context *ctx = esp_context_new();
    json_t *report;
    const char *rte = test_shared_path("data/glue/RTE/dev.tsv"), *sts = test_shared_path("data/glue/STS-B/dev.tsv");
    test_ok(ctx, espi_metric_score_file(ctx, espi_task_find("classify"), rte, rte, NULL, NULL, &report));
    test_near(test_number(report, "accuracy"), 1);
    test_near(test_number(report, "f1"), 1);
    test_near(test_number(report, "mcc"), 1);
    json_decref(report);
    test_ok(ctx, espi_metric_score_file(ctx, espi_task_find("classify"), sts, sts, NULL, NULL, &report));
    test_near(test_number(report, "pearson"), 1);
    assert_int_equal(test_number(report, "examples"), 1500);
    json_decref(report);
    test_ok(ctx, espi_metric_score_file(ctx, espi_task_find("embed"), sts, sts, NULL, NULL, &report));
    test_near(test_number(report, "spearman"), 1);
    json_decref(report);
    esp_context_free(ctx);
}

int main(void)
{
    test_shared_require();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_perfect_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
