/* SPDX-License-Identifier: Apache-2.0
 * WNUT-17 and the English Web Treebank as published: sentences and words, entities, targets with a real vocabulary. */
#include "task_fixture.h"

#include <stdlib.h>
#include <string.h>

/* Unpacks a .xz file into the scratch directory. */
static const char *unpack(const char *directory, const char *path, const char *name)
{
    static char out[ESPI_PATH_BYTES];
    char command[3 * ESPI_PATH_BYTES];
    assert_int_equal(espi_path_join(NULL, out, directory, name), ESP_OK);
    snprintf(command, sizeof command, "xz -dc '%s' > '%s'", test_shared_path(path), out);
    if (system(command) != 0)
        fail_msg("%s", command);
    return out;
}

static void count(const char *path, size_t sentences, size_t words, size_t labels)
{
    esp_context *ctx = esp_context_new();
    struct espi_arena arena = {0};
    const char **names;
    size_t name_count;
    json_t *report;
    test_ok(ctx, espi_metric_score_file(ctx, espi_task_find("tag"), path, path, NULL, NULL, &report));
    assert_int_equal(test_number(report, "examples"), sentences);
    assert_int_equal(test_number(report, "words"), words);
    test_near(test_number(report, "accuracy"), 100);
    json_decref(report);
    test_ok(ctx, espi_dataset_labels(ctx, espi_task_find("tag"), path, NULL, &arena, &names, &name_count));
    assert_int_equal(name_count, labels);
    espi_arena_clear(&arena);
    esp_context_free(ctx);
}

static void test_wnut(void **state)
{
    (void)state;
    count(test_shared_path("data/wnut17/wnut17train.conll"), 3394, 62730, 13);
    count(test_shared_path("data/wnut17/emerging.dev.conll"), 1009, 15733, 13);
    count(test_shared_path("data/wnut17/emerging.test.annotated"), 1287, 23394, 13);
}

static void test_treebank(void **state)
{
    (void)state;
    const char *directory = test_scratch();
    count(unpack(directory, "data/ud_ewt/en_ewt-ud-train.conllu.xz", "a.conllu"), 12544, 204577, 17);
    count(unpack(directory, "data/ud_ewt/en_ewt-ud-dev.conllu.xz", "a.conllu"), 2001, 25147, 17);
    count(unpack(directory, "data/ud_ewt/en_ewt-ud-test.conllu.xz", "a.conllu"), 2077, 25094, 17);
    test_scratch_remove(directory);
}

/* Every word the tokenizer leaves something of has one target in one window. */
static void test_targets(void **state)
{
    (void)state;
    static const char *const labels[] = {
        "O",          "B-corporation", "I-corporation", "B-creative-work", "I-creative-work", "B-group",  "I-group",
        "B-location", "I-location",    "B-person",      "I-person",        "B-product",       "I-product"};
    struct fixture f;
    fixture_open(&f, ESPI_HEAD_TOKEN, 13, labels, NULL);
    esp_tokenizer_free(f.tokenizer);
    test_ok(f.ctx, esp_tokenizer_open(f.ctx, test_shared_path("data/vocab/bert-base-cased-vocab.txt"), &f.tokenizer));
    f.config.max_positions = f.config.max_sequence = 512;
    f.config.vocab_size = esp_tokenizer_size(f.tokenizer);
    fixture_job(&f, "tag", NULL);
    struct espi_dataset *dataset;
    struct espi_example *example;
    struct espi_features features = {0};
    size_t words = 0, targets = 0, entities = 0;
    test_ok(f.ctx,
            espi_dataset_open(f.ctx, f.job.task, test_shared_path("data/wnut17/wnut17train.conll"), NULL, &dataset));
    while (espi_dataset_next(f.ctx, dataset, &example) > 0) {
        test_ok(f.ctx, espi_features_encode(f.ctx, &f.job, example, &features));
        test_ok(f.ctx, espi_features_targets(f.ctx, &f.job, example, &features));
        assert_int_equal(features.encoding.windows, 1);
        words += example->word_count;
        for (size_t i = 0; i < features.target_count; i++) {
            targets += features.targets[i] != ESPI_IGNORED;
            entities += features.targets[i] > 0 && features.targets[i] % 2 == 1; // the B- labels
        }
        espi_example_free(example);
    }
    espi_dataset_close(dataset);
    espi_features_clear(&features);
    fixture_close(&f);
    assert_int_equal(words, 62730);
    assert_in_range(targets, 62730 - 10, 62730);
    assert_int_equal(entities, 1975);
}

int main(void)
{
    test_shared_require();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wnut),
        cmocka_unit_test(test_treebank),
        cmocka_unit_test(test_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
