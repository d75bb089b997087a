/* SPDX-License-Identifier: Apache-2.0
 * The demo's corpus: right answers, reproducible, dev apart from training, not solved by a bag of words. */
#include "support.h"

#include "base/json.h"
#include "create/demo/demo_baseline.h"
#include "create/demo/demo_corpus.h"
#include "eval/dataset.h"
#include "eval/metric.h"

#include <stdio.h>
#include <string.h>

enum { PASSAGES = 150 };

static esp_context *ctx;
static const char *directory;

static int setup(void **state)
{
    (void)state;
    ctx = esp_context_new();
    directory = test_scratch();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_scratch_remove(directory);
    esp_context_free(ctx);
    return 0;
}

static struct espi_demo_corpus corpus(enum espi_demo_split split, uint64_t seed)
{
    return (struct espi_demo_corpus){.seed = seed, .split = split, .passages = PASSAGES, .people = ESPI_DEMO_PEOPLE};
}

struct path {
    char text[ESPI_PATH_BYTES];
};

static struct path path_of(const char *name)
{
    struct path path;
    test_ok(ctx, espi_path_join(ctx, path.text, directory, name));
    return path;
}

static struct path written(const struct espi_demo_corpus *what, const char *name)
{
    struct path path = path_of(name);
    test_ok(ctx, espi_demo_corpus_write(ctx, what, path.text, NULL, NULL));
    return path;
}

static bool same_files(const char *a, const char *b)
{
    struct espi_map one, two;
    test_ok(ctx, espi_map_open(ctx, a, &one));
    test_ok(ctx, espi_map_open(ctx, b, &two));
    bool same = one.bytes == two.bytes && memcmp(one.data, two.data, one.bytes) == 0;
    espi_map_close(&one);
    espi_map_close(&two);
    return same;
}

/* Calls `see` for every question of a SQuAD file; returns their number. */
static size_t each_question(const char *path, void (*see)(void *argument, const struct espi_example *example),
                            void *argument)
{
    const struct espi_task_options options = {.evaluate = true};
    struct espi_dataset *dataset;
    struct espi_example *example;
    size_t count = 0;
    test_ok(ctx, espi_dataset_open(ctx, espi_task_find("qa"), path, &options, &dataset));
    int status;
    while ((status = espi_dataset_next(ctx, dataset, &example)) > 0) {
        see(argument, example);
        espi_example_free(example);
        count++;
    }
    test_ok(ctx, status);
    espi_dataset_close(dataset);
    return count;
}

/* The answer stands where it is said to stand; ids are all different; the question is a question. */
static void check_question(void *argument, const struct espi_example *example)
{
    json_t *ids = argument;
    const char *id = json_string_value(example->id);
    assert_null(json_object_get(ids, id));
    json_object_set_new(ids, id, json_true());
    assert_int_equal(example->answer_count, 1);
    const struct espi_gold_answer *answer = &example->answers[0];
    assert_true(answer->text.bytes > 0 && answer->start + answer->text.bytes <= example->pair.bytes);
    assert_memory_equal(example->pair.data + answer->start, answer->text.data, answer->text.bytes);
    assert_int_equal(example->text.data[example->text.bytes - 1], '?');
    assert_null(strchr(example->text.data, '$'));
    assert_null(strchr(example->pair.data, '$'));
}

static void test_answers_stand_where_they_should(void **state)
{
    (void)state;
    for (int split = ESPI_DEMO_TRAIN; split <= ESPI_DEMO_DEV; split++) {
        struct espi_demo_corpus what = corpus((enum espi_demo_split)split, 1);
        json_t *ids = json_object();
        size_t all = each_question(written(&what, "all.json").text, check_question, ids);
        assert_true(all >= 8 * PASSAGES && all <= 12 * PASSAGES); // four of two or three facts
        json_object_clear(ids);
        what.questions = 3;
        assert_int_equal(each_question(written(&what, "some.json").text, check_question, ids), 3 * PASSAGES);
        json_decref(ids);
    }
}

static void test_depends_on_the_seed_only(void **state)
{
    (void)state;
    struct espi_demo_corpus what = corpus(ESPI_DEMO_TRAIN, 7), other = corpus(ESPI_DEMO_TRAIN, 8);
    struct path first = written(&what, "first.json"), again = written(&what, "again.json");
    assert_true(same_files(first.text, again.text));
    assert_false(same_files(first.text, written(&other, "other.json").text));
}

/* Passages and answers of two words (people and things). */
static void collect(void *argument, const struct espi_example *example)
{
    json_t *seen = argument;
    char pair[64];
    const struct espi_text *answer = &example->answers[0].text;
    json_object_set_new(seen, example->pair.data, json_true());
    if (memchr(answer->data, ' ', answer->bytes)) {
        snprintf(pair, sizeof pair, "%.*s", (int)answer->bytes, answer->data);
        json_object_set_new(seen, pair, json_true());
    }
}

static void test_dev_has_names_and_passages_of_its_own(void **state)
{
    (void)state;
    struct espi_demo_corpus train = corpus(ESPI_DEMO_TRAIN, 1), dev = corpus(ESPI_DEMO_DEV, 1);
    json_t *one = json_object(), *two = json_object();
    each_question(written(&train, "train.json").text, collect, one);
    each_question(written(&dev, "dev.json").text, collect, two);
    assert_true(json_object_size(one) > 2 * PASSAGES && json_object_size(two) > PASSAGES + 20);
    const char *key;
    json_t *value;
    json_object_foreach(one, key, value) assert_null(json_object_get(two, key));
    json_decref(one);
    json_decref(two);
}

static void test_words_around_do_not_give_the_answer(void **state)
{
    (void)state;
    const struct espi_task_options options = {.evaluate = true};
    struct espi_demo_corpus dev = corpus(ESPI_DEMO_DEV, 1);
    struct path data = written(&dev, "dev.json"), predictions = path_of("predictions.json");
    json_t *report;
    test_ok(ctx, espi_demo_baseline(ctx, data.text, predictions.text));
    test_ok(ctx,
            espi_metric_score_file(ctx, espi_task_find("qa"), data.text, predictions.text, &options, NULL, &report));
    double em = json_number_value(json_object_get(report, "exact_match"));
    json_decref(report);
    assert_true(em > 15 && em < 40); // it is no straw man either: a guess is right in one of 15
}

/* A bag of words finds what stands beside the only matching word, and passes over words of the question. */
static void test_baseline_by_hand(void **state)
{
    (void)state;
    static const char squad[] =
        "{\"version\":\"1.1\",\"data\":[{\"title\":\"t\",\"paragraphs\":[{\"context\":\"Ada built clocks. Bela sold "
        "bells.\",\"qas\":[{\"id\":\"a\",\"question\":\"Who "
        "sold?\",\"answers\":[{\"text\":\"Bela\",\"answer_start\":18}]},"
        "{\"id\":\"b\",\"question\":\"What did Ada make?\",\"answers\":[{\"text\":\"clocks\",\"answer_start\":10}]},"
        "{\"id\":\"c\",\"question\":\"Who built?\",\"answers\":[{\"text\":\"Ada\",\"answer_start\":0}]}]}]}]}";
    struct path predictions = path_of("by-hand.json");
    struct espi_json json;
    const char *answer;
    test_ok(ctx, espi_demo_baseline(ctx, test_write(directory, "by-hand-squad.json", squad, sizeof squad - 1),
                                    predictions.text));
    test_ok(ctx, espi_json_open_file(ctx, predictions.text, &json));
    test_ok(ctx, espi_json_get_string(ctx, &json, "a", &answer, NULL));
    assert_string_equal(answer, "Bela");
    test_ok(ctx, espi_json_get_string(ctx, &json, "b", &answer, NULL));
    assert_string_equal(answer, "clocks");
    test_ok(ctx, espi_json_get_string(ctx, &json, "c", &answer, NULL));
    assert_string_equal(answer, "clocks"); // as near to "built" as Ada, and first
    espi_json_close(&json);
}

/* Every sentence of the tag file has its answer's words tagged, and the keys by which the question asks. */
static void test_tags(void **state)
{
    (void)state;
    const struct espi_task_options options = {.evaluate = true};
    struct espi_demo_corpus what = corpus(ESPI_DEMO_TRAIN, 3);
    what.questions = 4;
    struct path tags = path_of("tags.conll");
    test_ok(ctx, espi_demo_corpus_write(ctx, &what, NULL, NULL, tags.text));
    struct espi_dataset *dataset;
    struct espi_example *example;
    size_t count = 0, keyed = 0;
    test_ok(ctx, espi_dataset_open(ctx, espi_task_find("tag"), tags.text, &options, &dataset));
    while (espi_dataset_next(ctx, dataset, &example) > 0) {
        size_t answers = 0, keys = 0, facts = 0;
        for (size_t i = 0; i < example->word_count; i++) {
            answers += strcmp(example->tags[i], "ANSWER") == 0;
            keys += strcmp(example->tags[i], "KEY") == 0;
            facts += strcmp(example->tags[i], "FACT") == 0;
        }
        assert_in_range(answers, 1, 2);
        assert_true(facts >= 2); // a verb and the full stop
        keyed += keys > 0;
        count++;
        espi_example_free(example);
    }
    espi_dataset_close(dataset);
    assert_int_equal(count, 4 * PASSAGES);
    assert_int_equal(keyed, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_stand_where_they_should),
        cmocka_unit_test(test_depends_on_the_seed_only),
        cmocka_unit_test(test_dev_has_names_and_passages_of_its_own),
        cmocka_unit_test(test_words_around_do_not_give_the_answer),
        cmocka_unit_test(test_baseline_by_hand),
        cmocka_unit_test(test_tags),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
