/* SPDX-License-Identifier: Apache-2.0
 * Readers of data sets: what they take, and how they complain. */
#include "support.h"

#include "tasks/dataset.h"

#include <stdio.h>
#include <string.h>

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

static const char *put_file(const char *name, const char *text)
{
    return test_write(directory, name, text, strlen(text));
}

/* Reads a whole file and writes its examples as one text, "text|pair|labels" or "word/tag word/tag", a line each. */
static int read_all(const char *task, const char *name, const char *text, size_t bytes,
                    const struct espi_task_options *options, char *out, size_t capacity)
{
    const char *path = test_write(directory, name, text, bytes);
    struct espi_dataset *dataset = NULL;
    struct espi_example *e;
    size_t used = 0;
    out[0] = '\0';
    int status = espi_dataset_open(ctx, espi_task_find(task), path, options, &dataset);
    while (!status && (status = espi_dataset_next(ctx, dataset, &e)) > 0) {
        status = ESP_OK;
        if (e->tags) {
            for (size_t i = 0; i < e->word_count; i++) {
                size_t end = i + 1 < e->word_count ? e->word_begin[i + 1] - 1 : e->text.bytes;
                used += (size_t)snprintf(out + used, capacity - used, "%.*s/%s ", (int)(end - e->word_begin[i]),
                                         e->text.data + e->word_begin[i], e->tags[i]);
            }
        } else {
            used += (size_t)snprintf(out + used, capacity - used, "%s|%s|", e->text.data,
                                     e->pair.data ? e->pair.data : "-");
            for (size_t i = 0; i < e->label_count; i++)
                used += (size_t)snprintf(out + used, capacity - used, "%s ", e->labels[i]);
            used += (size_t)snprintf(out + used, capacity - used, "%s", e->labelled ? "" : "none");
        }
        used += (size_t)snprintf(out + used, capacity - used, "\n");
        espi_example_free(e);
    }
    espi_dataset_close(dataset);
    return status;
}

static void reads(const char *task, const char *name, const char *text, const struct espi_task_options *options,
                  const char *expected)
{
    char out[4096];
    test_ok(ctx, read_all(task, name, text, strlen(text), options, out, sizeof out));
    assert_string_equal(out, expected);
}

static void refuses(const char *task, const char *name, const char *text, size_t bytes,
                    const struct espi_task_options *options, const char *error)
{
    char out[4096];
    test_fails(ctx, read_all(task, name, text, bytes, options, out, sizeof out), ESP_ERR_FORMAT);
    test_error_has(ctx, error);
}

#define REFUSES(task, name, text, error) refuses(task, name, text, sizeof(text) - 1, NULL, error)

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static void test_tsv(void **state)
{
    (void)state;
    reads("classify", "a.tsv", "sentence\tlabel\nit 's \"good\t1\n\nbad \t0\n", NULL, "it 's \"good|-|1 \nbad |-|0 \n");
    reads("classify", "a.tsv", "\xef\xbb\xbfindex\tsentence1\tsentence2\tlabel\r\n0\ta\tb\tentailment\r\n", NULL,
          "a|b|entailment \n");
    reads("classify", "a.tsv", "index\tquestion\tsentence\tlabel\n0\tq\ts\tyes\n", NULL, "q|s|yes \n");
    reads("classify", "a.tsv", "index\tsentence\n0\tq\n", NULL, "q|-|none\n");
    reads("classify", "a.tsv", "gj04\t1\t\tThe sailors.\nks08\t0\t*\tHe them.\n", NULL,
          "The sailors.|-|1 \nHe them.|-|0 \n");
    reads("classify", "a.tsv", "one\tneg\ntwo\tpos", NULL, "one|-|neg \ntwo|-|pos \n");
    reads("classify", "a.tsv", "one\ntwo\n", NULL, "one|-|none\ntwo|-|none\n");
    reads("embed", "a.tsv", "one\ttwo\t3.5\n", NULL, "one|two|3.5 \n");
    const struct espi_task_options by_number = {.text_column = "3", .label_column = "1"};
    reads("classify", "a.tsv", "a\tb\tc\td\n", &by_number, "c|-|a \n");
    const struct espi_task_options by_name = {.text_column = "body", .label_column = "stars"};
    reads("classify", "a.tsv", "id\tstars\tbody\n7\t5\tfine\n", &by_name, "fine|-|5 \n");
}

static void test_csv(void **state)
{
    (void)state;
    reads("classify", "a.csv", "text,label\n\"one, \"\"two\"\"\n three\",pos\r\nfour,\"neg\"\n", NULL,
          "one, \"two\"\n three|-|pos \nfour|-|neg \n");
    reads("classify", "a.csv", "text,label\n\"\",\n", NULL, "|-| \n");
    const struct espi_task_options csv = {.format = ESPI_FORMAT_CSV};
    reads("classify", "a.data", "\"a\tb\",c\n", &csv, "a\tb|-|c \n");
    REFUSES("classify", "a.csv", "text,label\n\"one\n",
            "a.csv: line 2: column 1: expected a closing quote, found the end");
    REFUSES("classify", "a.csv", "text,label\n\"one\"two,x\n", "line 2: column 1: expected a comma behind the closing");
    REFUSES("classify", "a.csv", "text,label\non\"e,x\n", "line 2: column 1: expected quotes around the whole field");
    REFUSES("classify", "a.csv", "text,label\none\n", "a.csv: line 2: expected 2 columns, found 1");
}

static void test_jsonl(void **state)
{
    (void)state;
    reads("classify", "a.jsonl",
          "{\"sentence\":\"a\",\"label\":1}\n\n{\"text\":\"b\",\"pair\":\"c\",\"labels\":[\"x\",\"y\"]}\n"
          "{\"text\":\"d\",\"score\":2.5}\n{\"text\":\"e\",\"label\":true}\n{\"text\":\"f\"}\n",
          NULL, "a|-|1 \nb|c|x y \nd|-|2.5 \ne|-|true \nf|-|none\n");
    REFUSES("classify", "a.jsonl", "{\"text\":\"a\"}\n{\"text\":7}\n", "a.jsonl: line 2: text: expected a string");
    REFUSES("classify", "a.jsonl", "{\"body\":\"a\"}\n", "a.jsonl: line 1: expected a member such as \"text\"");
    REFUSES("classify", "a.jsonl", "{\"text\":\"a\",\"label\":{}}\n", "a.jsonl: line 1: label: expected a label");
    REFUSES("classify", "a.jsonl", "{\"text\":\n", "a.jsonl: line 1: column 8: not valid JSON");
    REFUSES("classify", "a.jsonl", "[]\n", "a.jsonl: line 1: expected an object");
}

static void test_bad_tables(void **state)
{
    (void)state;
    REFUSES("classify", "a.tsv", "", "a.tsv: expected records, found an empty file");
    REFUSES("classify", "a.tsv", "sentence\tlabel\na\tb\tc\n", "a.tsv: line 2: expected 2 columns, found 3");
    REFUSES("classify", "a.tsv", "a\tb\tc\td\te\n", "a.tsv: line 1: expected a header with a column such as");
    REFUSES("classify", "a.tsv", "sentence\tlabel\nok\t1\n\xff\t1\n",
            "a.tsv: line 3: expected UTF-8, found the byte 0xff");
    REFUSES("classify", "a.tsv", "sentence\tlabel\nok\t1\0z\n", "a.tsv: line 2: expected a label without a zero");
    const struct espi_task_options absent = {.text_column = "body"};
    refuses("classify", "a.tsv", "sentence\tlabel\n", 15, &absent,
            "line 1: expected a text column \"body\", found 2 columns");
    const struct espi_task_options beyond = {.text_column = "1", .label_column = "3"};
    refuses("classify", "a.tsv", "one\ttwo\n", 8, &beyond, "line 1: expected a label column \"3\", found 2 columns");
    struct espi_dataset *dataset;
    test_fails(ctx, espi_dataset_open(ctx, espi_task_find("classify"), "/nowhere/a.tsv", NULL, &dataset),
               ESP_ERR_NOT_FOUND);
    assert_null(dataset);
}

/* ---- columns of tags --------------------------------------------------------------------------------------------- */

static void test_conll(void **state)
{
    (void)state;
    reads("tag", "a.conll", "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\n# VBZ O O\n", NULL,
          "EU/B-ORG rejects/O \n#/O \n");
    reads("tag", "a.conll", "# a comment\n@paulwalk\tO\n#\tO\n\t\n#tag\tB-x", NULL, "@paulwalk/O #/O \n#tag/B-x \n");
    const struct espi_task_options columns = {.word_column = "2", .label_column = "1"};
    reads("tag", "a.conll", "X one\nY two\n", &columns, "one/X two/Y \n");
    reads(
        "tag", "a.conllu",
        "# sent_id = 1\n# text = vamonos\n1-2\tvamonos\t_\t_\t_\t_\t_\t_\t_\t_\n1\tvamos\tir\tVERB\tV\t_\t_\t_\t_\t_\n"
        "2\tnos\tnos\tPRON\tP\t_\t_\t_\t_\t_\n2.1\tx\tx\tNOUN\tN\t_\t_\t_\t_\t_\n",
        NULL, "vamos/VERB nos/PRON \n");
    const struct espi_task_options xpos = {.label_column = "5"};
    reads("tag", "a.conllu", "1\tvamos\tir\tVERB\tV\t_\t_\t_\t_\t_\n", &xpos, "vamos/V \n");
    REFUSES("tag", "a.conll", "one O\ntwo\n", "a.conll: line 2: expected a word and its tag, found 1 columns");
    REFUSES("tag", "a.conll", "one\t\n", "a.conll: line 1: expected a word and a tag, found an empty column");
    REFUSES("tag", "a.conll", "one \xc3\x28 O\n\xc3\x28 O\n", "a.conll: line 1: expected UTF-8, found the byte 0xc3");
    REFUSES("tag", "a.conllu", "1\ta\ta\tX\t_\t_\t_\t_\t_\t_\n2\tb\tX\n", "line 2: expected the 10 columns of CoNLL-U");
    const struct espi_task_options far = {.label_column = "4"};
    refuses("tag", "a.conll", "one O\n", 6, &far, "line 1: expected the word and tag columns asked for, found 2");
    struct espi_dataset *dataset;
    const struct espi_task_options name = {.label_column = "ner"};
    test_fails(ctx, espi_dataset_open(ctx, espi_task_find("tag"), "a", &name, &dataset), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "label column: expected a number from 1, found \"ner\"");
}

static void test_plain(void **state)
{
    (void)state;
    const char *text = "\none\ntwo\n\n  \nthree";
    reads("mlm", "a.txt", text, NULL, "one\ntwo|-|none\nthree|-|none\n");
    const struct espi_task_options file = {.pack = ESPI_PACK_FILE}, line = {.pack = ESPI_PACK_LINE};
    reads("mlm", "a.txt", text, &file, "one\ntwo\nthree|-|none\n");
    reads("mlm", "a.txt", text, &line, "one|-|none\ntwo|-|none\nthree|-|none\n");
    reads("mlm", "a.txt", " \n\n", NULL, "");
    REFUSES("mlm", "a.txt", "one\ntwo \xff\n", "a.txt: line 2: expected UTF-8, found the byte 0xff at offset 4");
}

/* A long document comes in parts of whole lines. */
static void test_long_document(void **state)
{
    (void)state;
    enum { LINES = 20000 };
    static char text[LINES * 9], found[LINES * 9];
    size_t bytes = 0, parts = 0, lines = 0, back = 0;
    for (size_t i = 0; i < LINES; i++)
        bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "line%zu\n", i % 1000);
    struct espi_dataset *dataset;
    struct espi_example *e;
    int status;
    test_ok(ctx,
            espi_dataset_open(ctx, espi_task_find("mlm"), test_write(directory, "b.txt", text, bytes), NULL, &dataset));
    while ((status = espi_dataset_next(ctx, dataset, &e)) > 0) {
        assert_int_equal(e->number, lines + 1);
        back += (size_t)snprintf(found + back, sizeof found - back, "%s\n", e->text.data);
        for (const char *at = e->text.data; at; at = strchr(at + 1, '\n'))
            lines++;
        assert_true(e->text.bytes < (1 << 16) + 8);
        parts++;
        espi_example_free(e);
    }
    test_ok(ctx, status);
    espi_dataset_close(dataset);
    assert_int_equal(parts, (bytes + (1 << 16) - 1) / (1 << 16));
    assert_int_equal(back, bytes);
    assert_memory_equal(found, text, bytes);
}

static void test_labels(void **state)
{
    (void)state;
    struct espi_arena arena = {0};
    const char **labels;
    size_t count;
    const char *path = put_file("a.tsv", "a\t10\nb\t9\nc\t10\nd\tx\n");
    test_ok(ctx, espi_dataset_labels(ctx, espi_task_find("classify"), path, NULL, &arena, &labels, &count));
    assert_int_equal(count, 3);
    assert_string_equal(labels[0], "9");
    assert_string_equal(labels[1], "10");
    assert_string_equal(labels[2], "x");
    path = put_file("a.conll", "a B-x\nb O\n\nc B-a\n");
    test_ok(ctx, espi_dataset_labels(ctx, espi_task_find("tag"), path, NULL, &arena, &labels, &count));
    assert_int_equal(count, 3);
    assert_string_equal(labels[0], "O");
    assert_string_equal(labels[1], "B-a");
    path = put_file("a.tsv", "a\nb\n");
    test_fails(ctx, espi_dataset_labels(ctx, espi_task_find("classify"), path, NULL, &arena, &labels, &count),
               ESP_ERR_FORMAT);
    test_error_has(ctx, "a.tsv: expected labels, found none");
    espi_arena_clear(&arena);
}

/* ---- SQuAD ------------------------------------------------------------------------------------------------------- */

#define SQUAD(qas)                                                                                                     \
    "{\"version\":\"1.1\",\"data\":[{\"title\":\"t\",\"paragraphs\":[{\"context\":\"a b\xc3\xa9 c\",\"qas\":[" qas     \
    "]}]}]}"

static void test_squad(void **state)
{
    (void)state;
    static const char text[] =
        SQUAD("{\"id\":\"1\",\"question\":\"q\",\"answers\":[{\"text\":\"b\xc3\xa9\",\"answer_start\":2}]},"
              "{\"id\":\"2\",\"question\":\"r\",\"answers\":[]}");
    const char *path = test_write(directory, "a.json", text, sizeof text - 1);
    struct espi_dataset *dataset;
    struct espi_example *e;
    test_ok(ctx, espi_dataset_open(ctx, espi_task_find("qa"), path, NULL, &dataset));
    assert_int_equal(dataset->total, 2);
    assert_int_equal(espi_dataset_next(ctx, dataset, &e), 1);
    assert_string_equal(json_string_value(e->id), "1");
    assert_string_equal(e->text.data, "q");
    assert_string_equal(e->pair.data, "a b\xc3\xa9 c");
    assert_int_equal(e->answer_count, 1);
    assert_int_equal(e->answers[0].start, 2);
    assert_string_equal(e->answers[0].text.data, "b\xc3\xa9");
    assert_false(e->answerable_stated);
    espi_example_free(e);
    assert_int_equal(espi_dataset_next(ctx, dataset, &e), 1);
    assert_int_equal(e->answer_count, 0);
    espi_example_free(e);
    assert_int_equal(espi_dataset_next(ctx, dataset, &e), 0);
    assert_int_equal(espi_dataset_next(ctx, dataset, &e), 0);
    espi_dataset_close(dataset);
}

static void test_squad_2(void **state)
{
    (void)state;
    static const char text[] = SQUAD("{\"id\":\"1\",\"question\":\"q\",\"is_impossible\":true,\"answers\":[],"
                                     "\"plausible_answers\":[{\"text\":\"a\",\"answer_start\":0}]}");
    const char *path = test_write(directory, "a.json", text, sizeof text - 1);
    struct espi_dataset *dataset;
    struct espi_example *e;
    test_ok(ctx, espi_dataset_open(ctx, espi_task_find("qa"), path, NULL, &dataset));
    assert_int_equal(espi_dataset_next(ctx, dataset, &e), 1);
    assert_true(e->answerable_stated);
    assert_int_equal(e->answer_count, 0);
    espi_example_free(e);
    espi_dataset_close(dataset);
}

static void test_bad_squad(void **state)
{
    (void)state;
    REFUSES("qa", "a.json", "{", "a.json: column 1: not valid JSON");
    REFUSES("qa", "a.json", "[]", "a.json: expected an object, found an array");
    REFUSES("qa", "a.json", "{\"data\":7}", "a.json: data: expected an array, found 7");
    REFUSES("qa", "a.json", "{\"data\":[{\"paragraphs\":null}]}",
            "data[0].paragraphs: expected an array, found nothing");
    REFUSES("qa", "a.json", "{\"data\":[{\"paragraphs\":[{\"context\":\"a\"}]}]}",
            "data[0].paragraphs[0].qas: expected an array, found nothing");
    REFUSES("qa", "a.json", SQUAD("{\"question\":\"q\",\"answers\":[]}"),
            "qas[0].id: expected a string, found nothing");
    REFUSES("qa", "a.json", SQUAD("{\"id\":\"1\",\"answers\":[]}"), "qas[0].question: expected a string");
    REFUSES("qa", "a.json", SQUAD("{\"id\":\"1\",\"question\":\"q\"}"), "qas[0].answers: expected an array");
    REFUSES("qa", "a.json", SQUAD("7"), "qas[0]: expected an object, found 7");
    REFUSES("qa", "a.json",
            SQUAD("{\"id\":\"1\",\"question\":\"q\",\"answers\":[{\"text\":\"c\",\"answer_start\":7}]}"),
            "answers[0].answer_start: expected an integer from 0 to 6, found 7");
    REFUSES("qa", "a.json",
            SQUAD("{\"id\":\"1\",\"question\":\"q\",\"answers\":[{\"text\":\"c d\",\"answer_start\":5}]}"),
            "answers[0]: expected an answer inside the context of 6 code points, found 3 from 5");
    REFUSES("qa", "a.json", SQUAD("{\"id\":\"1\",\"question\":\"q\",\"is_impossible\":1,\"answers\":[]}"),
            "is_impossible: expected true or false");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tsv),        cmocka_unit_test(test_csv),       cmocka_unit_test(test_jsonl),
        cmocka_unit_test(test_conll),      cmocka_unit_test(test_plain),     cmocka_unit_test(test_long_document),
        cmocka_unit_test(test_bad_tables), cmocka_unit_test(test_squad),     cmocka_unit_test(test_labels),
        cmocka_unit_test(test_squad_2),    cmocka_unit_test(test_bad_squad),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
