/* SPDX-License-Identifier: Apache-2.0
 * Readers of data sets: what they take, and how they complain. */
#include "support.h"

#include "eval/dataset.h"

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
    REFUSES("classify", "a.jsonl", "[7]\n", "a.jsonl: line 1: expected an object");
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

/* What no reader takes is named. */
static void test_foreign_files(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t bytes;
        const char *error;
    } files[] = {
#define FOREIGN(data, error) {data, sizeof(data) - 1, error}
        FOREIGN("PAR1\x15\x04", "found a Parquet file: write it as JSON Lines"),
        FOREIGN("ARROW1\0\0", "found an Arrow file"),
        FOREIGN("PK\x03\x04\x14", "found a zip archive"),
        FOREIGN("\x1f\x8b\x08", "found a gzip file: unpack it"),
        FOREIGN("\x28\xb5\x2f\xfd", "found a zstd file"),
        FOREIGN("\xff\xfe{\0\"\0", "found UTF-16 text: convert it to UTF-8"),
        FOREIGN("\xfe\xff\0{\0\"", "found UTF-16 text"),
        FOREIGN("t\0e\0x\0t\0", "found UTF-16 text"),
        FOREIGN("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "found a Git LFS pointer"),
        FOREIGN("<!doctype HTML>\n<html>", "found an HTML page"),
#undef FOREIGN
    };
    static const char *const tasks[] = {"qa", "classify", "embed", "tag", "mlm"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        for (size_t j = 0; j < sizeof tasks / sizeof *tasks; j++)
            refuses(tasks[j], "a.jsonl", files[i].data, files[i].bytes, NULL, files[i].error);
    }
    REFUSES("tag", "a.bin", "PAR1\x15\x04",
            "a.bin: expected CoNLL or CoNLL-U columns, or JSON (an array, or an object a line)");
    REFUSES("mlm", "a.txt", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n",
            "a.txt: expected plain text, a paragraph a line, found JSON");
    reads("mlm", "a.txt", "{\"text\" is a word\n", NULL, "{\"text\" is a word|-|none\n");
}

/* The content counts, not the name. */
static void test_records(void **state)
{
    (void)state;
    const char *array = "[\n  {\"text\": \"a\", \"label\": 1},\n  {\"text\": \"b\", \"label\": \"x\"}\n]\n";
    const char *lines = "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": \"x\"}\n";
    static const char *const names[] = {"a.json", "a.jsonl", "a.tsv", "a.csv", "a.txt", "a"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        reads("classify", names[i], array, NULL, "a|-|1 \nb|-|x \n");
        reads("classify", names[i], lines, NULL, "a|-|1 \nb|-|x \n");
        reads("classify", names[i], "{\"version\": 1, \"data\": [{\"text\": \"a\", \"label\": 2.0}]}", NULL,
              "a|-|2 \n");
        reads("classify", names[i], "{\n\"text\": \"a\",\n\"label\": false\n}\n", NULL, "a|-|false \n");
        reads("classify", names[i], "[]", NULL, "");
    }
    const struct espi_task_options tsv = {.format = ESPI_FORMAT_TSV}, jsonl = {.format = ESPI_FORMAT_JSONL};
    reads("classify", "a.jsonl", "{\"text\": \"a\"}\tx\n", &tsv, "{\"text\": \"a\"}|-|x \n");
    reads("classify", "a.tsv", array, &jsonl, "a|-|1 \nb|-|x \n");
    reads(
        "classify", "a.json",
        "[{\"premise\": \"p\", \"hypothesis\": \"h\", \"idx\": 0, \"label\": 2}, {\"sentence1\": \"a\", \"sentence2\": "
        "\"b\", \"label\": 0}, {\"question\": \"q\", \"sentence\": \"s\", \"label\": 1}, {\"question1\": \"q\", "
        "\"question2\": \"r\", \"label\": -1}]",
        NULL, "p|h|2 \na|b|0 \nq|s|1 \nq|r|-1 \n");
    REFUSES("classify", "a.json", "[{\"text\": \"a\"}, {\"body\": \"b\"}]", "a.json: [1]: expected a member such as");
    REFUSES("classify", "a.json", "[{\"text\": \"a\"}\n{\"text\": \"b\"}]", "a.json: line 2, column 1: not valid JSON");
    REFUSES("classify", "a.txt", "text;label\na;b\n", "found a header with \";\" between its names");
    REFUSES("classify", "a.csv", "text\tlabel\na\tb\n", "expected columns between tabs (--format tsv)");
    REFUSES("classify", "a.tsv", "phrase\tlabel\na\tb\n", "line 1: a header, by its column \"label\", but no column");
}

/* Lists of numbers, columns and members for each label. */
static void test_label_lists(void **state)
{
    (void)state;
    reads("classify", "a.jsonl", "{\"text\":\"a\",\"labels\":[1.0,0.0]}\n{\"text\":\"b\",\"labels\":[true,false]}\n",
          NULL, "a|-|1 0 \nb|-|1 0 \n");
    reads("classify", "a.csv", "text,labels\na,\"[1, 0, 0, 1]\"\nb,[1. 0.]\nc,\"['x', \"\"y z\"\"]\"\nd,[NEG]\ne,[]\n",
          NULL, "a|-|1 0 0 1 \nb|-|1 0 \nc|-|x y z \nd|-|[NEG] \ne|-|\n");
    reads("classify", "a.csv", "id,comment_text,toxic,rude,date\n0,a,1,0,5\n1,b,0,1.0,x\n", NULL,
          "a|-|toxic rude \nb|-|toxic rude \n");
    const struct espi_task_options named = {.text_column = "b", .label_column = "x,z"};
    reads("classify", "a.csv", "a,b,x,y,z\nq,t,1,1,0\n", &named, "t|-|x z \n");
    reads("classify", "a.jsonl", "{\"text\":\"a\",\"id\":1,\"toxic\":1,\"rude\":0}\n", NULL, "a|-|toxic rude \n");
    reads("classify", "a.jsonl", "{\"text\":\"a\",\"length\":1}\n", NULL, "a|-|none\n");
    REFUSES("classify", "a.csv", "text,x,y\na,1,0\nb,1,2\n",
            "a.csv: line 3: column \"y\": expected 0 or 1, found \"2\"");
    REFUSES("classify", "a.jsonl", "{\"text\":\"a\",\"labels\":[1,\"x\"]}",
            "labels: expected names or numbers, found both");
    const struct espi_task_options absent = {.label_column = "x,q"};
    refuses("classify", "a.csv", "text,x\na,1\n", 11, &absent, "line 1: expected a label column \"q\", found none");
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
    test_fails(ctx, espi_dataset_open(ctx, espi_task_find("tag"), put_file("a", "a O\n"), &name, &dataset),
               ESP_ERR_ARGUMENT);
    test_error_has(ctx, "label column: expected a number from 1, found \"ner\"");
}

/* Words and tags in lists. */
static void test_words(void **state)
{
    (void)state;
    reads("tag", "a.jsonl",
          "{\"id\":\"0\",\"tokens\":[\"EU\",\"rejects\"],\"pos_tags\":[1,2],\"ner_tags\":[3,0]}\n{\"tokens\":[],"
          "\"ner_tags\":[]}\n{\"tokens\":[\"a b\",\"\",\"c\"],\"ner_tags\":[\"B-X\",\"O\",\"O\"]}\n",
          NULL, "EU/3 rejects/0 \na b/B-X /O c/O \n");
    reads("tag", "a.conll", "[{\"words\":[\"a\"],\"tags\":[\"O\"]},\n{\"words\":[\"b\"],\"labels\":[1]}]", NULL,
          "a/O \nb/1 \n");
    reads("tag", "a.conll", "[ O\n{ O\n", NULL, "[/O {/O \n");
    const struct espi_task_options pos = {.label_column = "pos_tags"};
    reads("tag", "a.json", "{\"tokens\":[\"a\"],\"pos_tags\":[7],\"ner_tags\":[0]}", &pos, "a/7 \n");
    REFUSES("tag", "a.jsonl", "{\"tokens\":[\"a\"],\"tags\":[0]}\n{\"tokens\":[\"a\",\"b\"],\"tags\":[0]}\n",
            "a.jsonl: line 2: tags: expected a tag for each of the 2 tokens, found 1");
    REFUSES("tag", "a.json", "[{\"tokens\":[\"a\",7],\"tags\":[0,0]}]", "a.json: [0].tokens[1]: expected a word");
    REFUSES("tag", "a.json", "[{\"tokens\":[\"a\",\"b\"],\"tags\":[0,\"O\"]}]",
            "expected names or numbers, found both");
    REFUSES("tag", "a.json", "[{\"tokens\":[\"a\"],\"tags\":[0.5]}]", "tags[0]: expected a tag: a name, or a number");
    REFUSES("tag", "a.json", "[{\"tokens\":\"a b\",\"tags\":[0]}]", "tokens: expected an array, found the string");
    REFUSES("tag", "a.json", "[{\"text\":\"a b\",\"entities\":[[0,1,\"X\"]]}]",
            "expected CoNLL or CoNLL-U columns, or JSON (an array, or an object a line) of {\"tokens\": [words], "
            "\"ner_tags\": [tags]}, found an object with the members text, entities");
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
    path = put_file("a.jsonl", "{\"text\":\"a\",\"labels\":[1,0,1]}\n{\"text\":\"b\",\"labels\":[0,0,0]}\n");
    test_ok(ctx, espi_dataset_labels(ctx, espi_task_find("classify"), path, NULL, &arena, &labels, &count));
    assert_int_equal(count, 3); // a place for each, not the labels 0 and 1
    assert_string_equal(labels[2], "LABEL_2");
    path = put_file("a.jsonl", "{\"text\":\"a\",\"labels\":[3,0]}\n{\"text\":\"b\",\"labels\":[1]}\n");
    test_ok(ctx, espi_dataset_labels(ctx, espi_task_find("classify"), path, NULL, &arena, &labels, &count));
    assert_int_equal(count, 3);
    assert_string_equal(labels[2], "3");
    path = put_file("a.jsonl", "{\"tokens\":[\"a\",\"b\"],\"ner_tags\":[0,4]}\n");
    test_ok(ctx, espi_dataset_labels(ctx, espi_task_find("tag"), path, NULL, &arena, &labels, &count));
    assert_int_equal(count, 5);
    assert_string_equal(labels[4], "LABEL_4");
    path = put_file("a.jsonl", "{\"tokens\":[\"a\"],\"tags\":[0]}\n{\"tokens\":[\"a\"],\"tags\":[\"O\"]}\n");
    test_fails(ctx, espi_dataset_labels(ctx, espi_task_find("tag"), path, NULL, &arena, &labels, &count),
               ESP_ERR_FORMAT);
    test_error_has(ctx, "expected tags that are names or numbers, found both");
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

#define FLAT(answers) "{\"question\":\"q\",\"context\":\"a b\"," answers "}\n"

/* Reads all questions and writes them as "id context answer@start …|2 if version 2", a line each. */
static void reads_questions(const char *name, const char *text, const char *expected)
{
    char out[1024] = "";
    size_t used = 0, count = 0;
    const char *path = test_write(directory, name, text, strlen(text));
    struct espi_dataset *dataset;
    struct espi_example *e;
    int status;
    test_ok(ctx, espi_dataset_open(ctx, espi_task_find("qa"), path, NULL, &dataset));
    while ((status = espi_dataset_next(ctx, dataset, &e)) > 0) {
        used += (size_t)snprintf(out + used, sizeof out - used, "%s %s", json_string_value(e->id), e->pair.data);
        for (size_t i = 0; i < e->answer_count; i++)
            used += (size_t)snprintf(out + used, sizeof out - used, " %s@%zu", e->answers[i].text.data,
                                     e->answers[i].start);
        used += (size_t)snprintf(out + used, sizeof out - used, "%s\n", e->answerable_stated ? "|2" : "");
        espi_example_free(e);
        count++;
    }
    test_ok(ctx, status);
    assert_int_equal(dataset->total, count);
    espi_dataset_close(dataset);
    assert_string_equal(out, expected);
}

/* Questions come in many frames. */
static void test_squad_forms(void **state)
{
    (void)state;
    const char *line = "{\"id\":\"x\",\"title\":\"t\",\"context\":\"a b\",\"question\":\"q\",\"answers\":"
                       "{\"text\":[\"a\",\"b\"],\"answer_start\":[0,2]}}";
    char text[1024];
    snprintf(text, sizeof text, "%s\n\n%s\r\n", line, line);
    reads_questions("a.jsonl", text, "x a b a@0 b@2\nx a b a@0 b@2\n");
    reads_questions("a.json", line, "x a b a@0 b@2\n");
    snprintf(text, sizeof text, " [\n %s, %s]\n", line, line);
    reads_questions("a.json", text, "x a b a@0 b@2\nx a b a@0 b@2\n");
    snprintf(text, sizeof text, "\xef\xbb\xbf{\"version\": 1,\n\"data\": [%s]}", line);
    reads_questions("a.json", text, "x a b a@0 b@2\n");
    reads_questions("a.json", FLAT("\"answers\":[{\"text\":\"b\",\"answer_start\":2}]"), "1 a b b@2\n");
    reads_questions("a.jsonl",
                    FLAT("\"id\":7,\"answers\":{\"text\":[\"b\"],\"answer_start\":[2]}")
                        FLAT("\"answers\":{\"text\":[],\"answer_start\":[]}"),
                    "7 a b b@2|2\n2 a b|2\n");
    /* a paragraph a line, and what the Haystack annotation tool writes */
    reads_questions("a.jsonl", "{\"context\":\"a b\",\"qas\":[{\"id\":3,\"question\":\"q\",\"answers\":[]}]}\n",
                    "3 a b\n");
    reads_questions("a.json",
                    "{\"data\":[{\"paragraphs\":[{\"qas\":[{\"question\":\"q\",\"id\":102,\"answers\":[{\"answer_id\":"
                    "5,\"document_id\":6,\"question_id\":102,\"text\":\"b\",\"answer_start\":2,\"answer_end\":3,"
                    "\"answer_category\":null}],\"is_impossible\":false}],\"context\":\"a b\",\"document_id\":6}]}]}",
                    "102 a b b@2|2\n");
    reads_questions("a.json", "[]", "");
}

static void test_bad_squad(void **state)
{
    (void)state;
    REFUSES("qa", "a.json", "{", "a.json: column 1: not valid JSON");
    REFUSES("qa", "a.json", "{\"data\":7}", "a.json: line 1: expected SQuAD JSON, or JSON");
    REFUSES("qa", "a.json", "{\"data\":7}", "found an object with the members data");
    REFUSES("qa", "a.json", "question\tcontext\n", "a.json: line 1, column 1: not valid JSON");
    REFUSES("qa", "a.json", "{\"data\":[{\"paragraphs\":7}]}", "data[0].paragraphs: expected an array, found 7");
    REFUSES("qa", "a.json", "{\"data\":[{\"paragraphs\":[{\"context\":\"a\"}]}]}",
            "data[0].paragraphs[0].qas: expected an array, found nothing");
    REFUSES("qa", "a.json", SQUAD("{\"id\":[],\"question\":\"q\",\"answers\":[]}"),
            "qas[0].id: expected a string or an integer");
    REFUSES("qa", "a.jsonl", FLAT("\"answers\":{\"text\":[\"b\"],\"answer_start\":[]}"),
            "a.jsonl: line 1: answers: expected as many answer_start as text, found 0 and 1");
    REFUSES("qa", "a.jsonl", FLAT("\"answers\":{\"text\":[\"b\"],\"answer_start\":[9]}"),
            "a.jsonl: line 1: answers.answer_start[0]: expected an integer from 0 to 3");
    REFUSES("qa", "a.jsonl", FLAT("\"answers\":{\"text\":[7],\"answer_start\":[0]}"),
            "answers.text[0]: expected the text");
    REFUSES("qa", "a.jsonl", FLAT("\"answers\":{\"text\":[\"bcd\"],\"answer_start\":[2]}"),
            "answers.text[0]: expected an answer inside the context of 3 code points, found 3 from 2");
    REFUSES("qa", "a.jsonl", FLAT("\"answers\":[\"b\"]"), "a.jsonl: line 1: answers[0]: expected an object");
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
        cmocka_unit_test(test_tsv),           cmocka_unit_test(test_csv),       cmocka_unit_test(test_jsonl),
        cmocka_unit_test(test_conll),         cmocka_unit_test(test_plain),     cmocka_unit_test(test_long_document),
        cmocka_unit_test(test_bad_tables),    cmocka_unit_test(test_squad),     cmocka_unit_test(test_labels),
        cmocka_unit_test(test_squad_2),       cmocka_unit_test(test_bad_squad), cmocka_unit_test(test_squad_forms),
        cmocka_unit_test(test_foreign_files), cmocka_unit_test(test_records),   cmocka_unit_test(test_label_lists),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
