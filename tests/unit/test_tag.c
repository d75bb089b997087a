/* SPDX-License-Identifier: Apache-2.0
 * Tagging: entities of running text by every aggregation, windows, tags of pre-split words, conlleval's counts. */
#include "task_fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const labels[] = {"O", "B-PER", "I-PER", "B-LOC", "I-LOC"};
enum { O, B_PER, I_PER, B_LOC, I_LOC, LABELS };

static float table[64][LABELS]; // by token id
static struct fixture fixture;

static void fill(struct fixture *f, const struct espi_batch *batch, const struct espi_wanted *wanted)
{
    (void)f;
    for (size_t i = 0; i < batch->tokens; i++)
        memcpy(wanted->out + i * LABELS, table[batch->ids[i]], sizeof table[0]);
}

static int setup(void **state)
{
    (void)state;
    memset(table, 0, sizeof table);
    fixture_open(&fixture, ESPI_HEAD_TOKEN, LABELS, labels, fill);
    for (size_t i = 0; i < 64; i++)
        table[i][O] = 1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

static void put(const char *word, size_t label, float logit)
{
    table[fixture_id(&fixture, word)][label] = logit;
}

/* Probability of the best of five logits of which two are `top` and 1 and three 0, or one `top` and four others. */
static double best(double top)
{
    return exp(top) / (exp(top) + exp(1) + 3);
}

static const json_t *run(enum espi_aggregation aggregation, const char *text)
{
    const struct espi_task_options options = {.aggregation = aggregation};
    char line[256];
    snprintf(line, sizeof line, "{\"text\":\"%s\"}", text);
    fixture_job(&fixture, "tag", &options);
    return fixture_run_one(&fixture, line);
}

static void test_tokens(void **state)
{
    (void)state;
    put("john", B_PER, 4);
    put("york", I_LOC, 3);
    char expected[512];
    snprintf(expected, sizeof expected,
             "[{'entity':'B-PER','score':%.15f,'index':1,'word':'john','start':0,'end':4},"
             "{'entity':'I-LOC','score':%.15f,'index':5,'word':'york','start':18,'end':22}]",
             best(4), best(3));
    test_json(run(ESPI_AGGREGATE_NONE, "John lives in new york"), expected);
    test_json(run(ESPI_AGGREGATE_NONE, "the cat"), "[]");
}

static void test_simple(void **state)
{
    (void)state;
    put("john", B_PER, 4);
    put("smith", I_PER, 3);
    put("new", B_LOC, 2);
    put("york", I_LOC, 3);
    put("##s", I_LOC, 2);
    char expected[512];
    snprintf(expected, sizeof expected,
             "[{'entity_group':'PER','score':%.15f,'word':'john smith','start':0,'end':10},"
             "{'entity_group':'PER','score':%.15f,'word':'john','start':11,'end':15},"
             "{'entity_group':'LOC','score':%.15f,'word':'new yorks','start':26,'end':35}]",
             (best(4) + best(3)) / 2, best(4), (best(2) + best(3) + best(2)) / 3);
    test_json(run(ESPI_AGGREGATE_SIMPLE, "john smith john lives  in new yorks"), expected);
}

/* The pieces of one word disagree: play B-PER 4, ##ing I-LOC 5. */
static void test_words(void **state)
{
    (void)state;
    put("play", B_PER, 4);
    put("##ing", I_LOC, 5);
    char expected[512];
    snprintf(expected, sizeof expected, "[{'entity_group':'PER','score':%.15f,'word':'playing','start':4,'end':11}]",
             best(4));
    test_json(run(ESPI_AGGREGATE_FIRST, "the playing cat"), expected);
    snprintf(expected, sizeof expected, "[{'entity_group':'LOC','score':%.15f,'word':'playing','start':4,'end':11}]",
             best(5));
    test_json(run(ESPI_AGGREGATE_MAX, "the playing cat"), expected);
    double sum = exp(5) + exp(1) + 3; // I-LOC: e^5 / sum of ##ing, 1 / sum of play
    snprintf(expected, sizeof expected, "[{'entity_group':'LOC','score':%.15f,'word':'playing','start':4,'end':11}]",
             (exp(5) / sum + 1 / (exp(4) + exp(1) + 3)) / 2);
    test_json(run(ESPI_AGGREGATE_AVERAGE, "the playing cat"), expected);
    snprintf(expected, sizeof expected,
             "[{'entity_group':'PER','score':%.15f,'word':'play','start':4,'end':8},"
             "{'entity_group':'LOC','score':%.15f,'word':'##ing','start':8,'end':11}]",
             best(4), best(5));
    test_json(run(ESPI_AGGREGATE_SIMPLE, "the playing cat"), expected);
}

static void test_unknown_word(void **state)
{
    (void)state;
    put("[UNK]", B_LOC, 4);
    char expected[256];
    snprintf(expected, sizeof expected, "[{'entity_group':'LOC','score':%.15f,'word':'K\xc3\xb6ln','start':3,'end':7}]",
             best(4));
    test_json(run(ESPI_AGGREGATE_FIRST, "in K\xc3\xb6ln"), expected);
}

static void test_ignored_labels(void **state)
{
    (void)state;
    static const char *const ignored[] = {"PER", "O"};
    put("john", B_PER, 4);
    put("york", B_LOC, 4);
    const struct espi_task_options options = {
        .aggregation = ESPI_AGGREGATE_SIMPLE, .ignored_labels = ignored, .ignored_label_count = 2};
    fixture_job(&fixture, "tag", &options);
    const json_t *result = fixture_run_one(&fixture, "{\"text\":\"john in york\"}");
    assert_int_equal(json_array_size(result), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(result, 0), "entity_group")), "LOC");
}

/* Windows of 4 words that share 2: "in new york" is seen whole only in the second; each entity comes once. */
static void test_overlapping_windows(void **state)
{
    (void)state;
    put("john", B_PER, 4);
    put("new", B_LOC, 2);
    put("york", I_LOC, 3);
    const struct espi_task_options options = {.aggregation = ESPI_AGGREGATE_SIMPLE, .max_length = 6, .stride = 2};
    fixture_job(&fixture, "tag", &options);
    char expected[512];
    snprintf(expected, sizeof expected,
             "[{'entity_group':'PER','score':%.15f,'word':'john','start':0,'end':4},"
             "{'entity_group':'LOC','score':%.15f,'word':'new york','start':13,'end':21}]",
             best(4), (best(2) + best(3)) / 2);
    test_json(fixture_run_one(&fixture, "{\"text\":\"john is in a new york cat\"}"), expected);
}

/* ---- pre-split words --------------------------------------------------------------------------------------------- */

static const char *data(const char *name, const char *text)
{
    return test_write(fixture.directory, name, text, strlen(text));
}

static void test_word_targets(void **state)
{
    (void)state;
    const char *path = data("a.conll", "john\tB-PER\n's\tO\nplaying\tO\n(york)\tB-LOC\n");
    struct espi_dataset *dataset;
    struct espi_example *example;
    struct espi_features features = {0};
    fixture_job(&fixture, "tag", NULL);
    test_ok(fixture.ctx, espi_dataset_open(fixture.ctx, fixture.job.task, path, NULL, &dataset));
    assert_int_equal(espi_dataset_next(fixture.ctx, dataset, &example), 1);
    assert_string_equal(example->text.data, "john 's playing (york)");
    test_ok(fixture.ctx, espi_features_encode(fixture.ctx, &fixture.job, example, &features));
    test_ok(fixture.ctx, espi_features_targets(fixture.ctx, &fixture.job, example, &features));
    /* [CLS] john ' s play ##ing [UNK] york [UNK] [SEP] */
    static const int32_t expected[] = {-100, B_PER, O, -100, O, -100, B_LOC, -100, -100, -100};
    assert_int_equal(features.target_count, 10);
    assert_memory_equal(features.targets, expected, sizeof expected);

    /* Windows of 3 tokens without overlap: the third begins inside "playing". */
    const struct espi_task_options options = {.max_length = 6, .no_stride = true};
    fixture_job(&fixture, "tag", &options);
    test_ok(fixture.ctx, espi_features_encode(fixture.ctx, &fixture.job, example, &features));
    test_ok(fixture.ctx, espi_features_targets(fixture.ctx, &fixture.job, example, &features));
    static const int32_t cut[] = {-100, B_PER, O, -100, O, -100, -100, -100, B_LOC, -100, -100, -100};
    assert_int_equal(features.target_count, 12);
    assert_memory_equal(features.targets, cut, sizeof cut);
    espi_features_clear(&features);
    espi_example_free(example);
    espi_dataset_close(dataset);
}

static void test_word_tags(void **state)
{
    (void)state;
    put("john", B_PER, 4);
    put("##ing", I_LOC, 9);
    put("york", B_LOC, 3);
    const struct espi_task_options options = {.evaluate = true, .max_length = 6, .stride = 2};
    fixture_job(&fixture, "tag", &options);
    json_t *report = fixture_evaluate(
        &fixture,
        data("a.conll", "john B-PER\nplaying O\n\xe2\x80\x8b O\nnew B-LOC\nyork I-LOC\n\nthe O\njohn B-PER\n"));
    /* predicted: B-PER O O O B-LOC | O B-PER */
    test_near(test_number(report, "accuracy"), 100.0 * 5 / 7);
    test_near(test_number(report, "precision"), 100.0 * 2 / 3);
    test_near(test_number(report, "recall"), 100.0 * 2 / 3);
    assert_string_equal(json_string_value(json_object_get(report, "metric")), "f1");
    test_near(test_number(json_object_get(json_object_get(report, "types"), "PER"), "f1"), 100);
    test_near(test_number(json_object_get(json_object_get(report, "types"), "LOC"), "f1"), 0);
    json_decref(report);
}

/* ---- conlleval --------------------------------------------------------------------------------------------------- */

/* Scores two lines of tags; entities are counted as gold, found, correct. */
static void count(const char *gold, const char *found, int golds, int founds, int corrects)
{
    struct espi_metric *metric;
    test_ok(fixture.ctx, espi_metric_new(fixture.ctx, espi_task_find("tag"), NULL, &metric));
    struct espi_example *example;
    test_ok(fixture.ctx, espi_example_new(fixture.ctx, "test", 0, &example));
    char gold_copy[128], found_copy[128], *rest = NULL;
    const char *tags[32];
    snprintf(gold_copy, sizeof gold_copy, "%s", gold);
    snprintf(found_copy, sizeof found_copy, "%s", found);
    example->tags = tags;
    for (char *tag = strtok_r(gold_copy, " ", &rest); tag; tag = strtok_r(NULL, " ", &rest))
        tags[example->word_count++] = tag;
    struct espi_found prediction = {0};
    json_t *report;
    for (char *tag = strtok_r(found_copy, " ", &rest); tag; tag = strtok_r(NULL, " ", &rest))
        test_ok(fixture.ctx, espi_found_add(fixture.ctx, &prediction, &(esp_item){.label = tag}));
    test_ok(fixture.ctx, espi_metric_add(fixture.ctx, metric, example, &prediction));
    test_ok(fixture.ctx, espi_metric_finish(fixture.ctx, metric, &report));
    assert_int_equal(test_number(report, "entities"), golds);
    assert_int_equal(test_number(report, "found"), founds);
    assert_int_equal(test_number(report, "correct"), corrects);
    json_decref(report);
    free(prediction.items);
    espi_example_free(example);
    espi_metric_free(metric);
}

static void test_conlleval(void **state)
{
    (void)state;
    count("B-A I-A O B-A", "B-A I-A O B-A", 2, 2, 2);
    count("B-A I-A O", "B-A O O", 1, 1, 0);               // a part is not the whole
    count("B-A I-A", "I-A I-A", 1, 1, 1);                 // I- alone begins an entity (IOB1)
    count("B-A B-A", "B-A I-A", 2, 1, 0);                 // two against one
    count("B-A I-B", "B-A B-B", 2, 2, 2);                 // another type begins another entity
    count("I-A I-A I-B", "I-A I-A I-A", 2, 1, 0);         // goes on too long
    count("B-A O B-B", "B-A O B-A", 2, 2, 1);             // the type counts
    count("S-A S-A O", "S-A S-A O", 2, 2, 2);             // IOBES
    count("B-A E-A B-A E-A", "B-A E-A S-A S-A", 2, 3, 1); // an ended entity does not go on
    count("U-A B-A L-A", "U-A B-A L-A", 2, 2, 2);         // BILOU
    count("B-creative-work I-creative-work", "B-creative-work I-creative-work", 1, 1, 1);
    count("O I-A E-A O", "O I-A E-A O", 1, 1, 1); // IOE
}

/* Dashes alone make no entities. */
static void test_dashed_parts_of_speech(void **state)
{
    (void)state;
    json_t *report;
    const char *path = data("a.txt", "a NN-SBJ\nb O-x\n");
    test_ok(fixture.ctx, espi_metric_score_file(fixture.ctx, espi_task_find("tag"), path, path, NULL, NULL, &report));
    test_json(report, "{'examples':1,'missing':0,'accuracy':100,'words':2,'metric':'accuracy'}");
    json_decref(report);
}

static void test_score_file(void **state)
{
    (void)state;
    char gold[ESPI_PATH_BYTES];
    snprintf(gold, sizeof gold, "%s",
             data("gold.conllu", "# text = dogs\n1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_\n1\tde\tde\tADP\t_\t_\t_\t_\t_\t_\n"
                                 "1.1\tx\tx\tVERB\t_\t_\t_\t_\t_\t_\n2\tle\tle\tDET\t_\t_\t_\t_\t_\t_\n\n"
                                 "1\tor\tor\tNOUN\t_\t_\t_\t_\t_\t_\n"));
    json_t *report;
    test_ok(fixture.ctx, espi_metric_score_file(fixture.ctx, espi_task_find("tag"), gold,
                                                data("tags.txt", "ADP\nNOUN\n\nNOUN\n"), NULL, NULL, &report));
    test_near(test_number(report, "accuracy"), 100.0 * 2 / 3);
    assert_string_equal(json_string_value(json_object_get(report, "metric")), "accuracy");
    assert_null(json_object_get(report, "f1"));
    json_decref(report);
    test_fails(fixture.ctx,
               espi_metric_score_file(fixture.ctx, espi_task_find("tag"), gold, data("tags.txt", "ADP\nNOUN\n"), NULL,
                                      NULL, &report),
               ESP_ERR_FORMAT);
    test_error_has(fixture.ctx, "tags.txt: expected a prediction for each sentence, found fewer");
    test_fails(fixture.ctx,
               espi_metric_score_file(fixture.ctx, espi_task_find("tag"), gold, data("tags.txt", "ADP\n\nNOUN\n"), NULL,
                                      NULL, &report),
               ESP_ERR_FORMAT);
    test_error_has(fixture.ctx, "expected 2 predicted tags, found 1");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_tokens),
        TEST(test_simple),
        TEST(test_words),
        TEST(test_unknown_word),
        TEST(test_ignored_labels),
        TEST(test_word_tags),
        TEST(test_word_targets),
        TEST(test_overlapping_windows),
        TEST(test_conlleval),
        TEST(test_score_file),
        TEST(test_dashed_parts_of_speech),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
