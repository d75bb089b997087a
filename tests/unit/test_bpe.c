/* SPDX-License-Identifier: Apache-2.0
 * Byte-level BPE: how words are merged and placed, what is refused, its tables and what is written of it. */
#include "tokenizer_fixture.h"

#include "base/size.h"
#include "text/tokenizer_tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

/* "ab" has a token and no merge for it; "é" is two bytes, of which the vocabulary has the first. */
#define VOCAB                                                                                                          \
    "\"<unk>\":0,\"a\":1,\"b\":2,\"c\":3,\"\\u0120\":4,\"bc\":5,\"\\u0120a\":6,\"\\u0120abc\":7,\"ab\":8,\"\\u00c3\":" \
    "9,\"cc\":10,\"<s>\":11,\"</s>\":12"
#define MERGES        "\"b c\",[\"\\u0120\",\"a\"],[\"\\u0120a\",\"bc\"],\"c c\""
#define LEVEL(prefix) "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":" prefix ",\"use_regex\":true}"
#define MODEL(more)                                                                                                    \
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\"" more ",\"vocab\":{" VOCAB "},\"merges\":[" MERGES "]}"
#define ROBERTA(trim)                                                                                                  \
    "\"post_processor\":{\"type\":\"RobertaProcessing\",\"cls\":[\"<s>\",11],\"sep\":[\"</"                            \
    "s>\",12],\"trim_offsets\":" trim ",\"add_prefix_space\":false}"
#define DECODER "\"decoder\":{\"type\":\"ByteLevel\"}"

static void test_merges(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text, *expected;
    } cases[] = {
        {"{" LEVEL("false") "," MODEL("") "}", "abc abc", "1[0,1]0 5[1,3]0 7[3,7]1"},
        {"{" LEVEL("false") "," MODEL("") "}", "ab abcc", "1[0,1]0 2[1,2]0 7[2,6]1 3[6,7]1"},
        {"{" LEVEL("false") "," MODEL(",\"ignore_merges\":true") "}", "ab", "8[0,2]0"},
        {"{" LEVEL("true") "," MODEL("") "}", "abc", "7[0,3]0"},
        {"{" LEVEL("true") "," MODEL("") "}", " abc", "7[0,4]0"},
        {"{" LEVEL("false") "," MODEL("") "}",
         "\xc3\xa9"
         "axx",
         "9[0,1]0 0[0,1]0 1[1,2]0 0[2,3]0 0[3,4]0"},
        {"{" LEVEL("false") "," MODEL(",\"fuse_unk\":true") "}", "axxa", "1[0,1]0 0[1,3]0 1[3,4]0"},
        {"{" LEVEL("false") "," MODEL("") "," ROBERTA("true") "}", "a  abc", "11[0,0] 1[0,1]0 4[2,2]1 7[3,6]2 12[0,0]"},
        {"{" LEVEL("false") "," MODEL("") "," ROBERTA("false") "}", "a  abc",
         "11[0,0] 1[0,1]0 4[1,2]1 7[2,6]2 12[0,0]"},
        {"{" LEVEL("false") "," MODEL("") "}", "", ""},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++)
        test_tokens_of(ctx, cases[i].json, cases[i].text, cases[i].expected);
}

/* A word of a mebibyte: in n log n. */
static void test_long(void **state)
{
    (void)state;
    enum { LENGTH = 1 << 20 };
    esp_tokenizer *tokenizer = test_tokenizer(ctx, "{" LEVEL("false") "," MODEL("") "}");
    esp_encoding encoding = {0};
    char *text = malloc(LENGTH);
    assert_non_null(text);
    memset(text, 'c', LENGTH);
    test_ok(ctx, esp_encode(ctx, tokenizer, text, LENGTH, NULL, 0, NULL, &encoding));
    assert_int_equal(encoding.tokens, LENGTH / 2);
    assert_int_equal(encoding.ids[LENGTH / 2 - 1], 10);
    esp_encoding_clear(&encoding);
    esp_tokenizer_free(tokenizer);
    free(text);
}

static void test_decoder(void **state)
{
    (void)state;
    static const int32_t ids[] = {7, 4, 9, 1, 11, 999};
    esp_tokenizer *tokenizer = test_tokenizer(ctx, "{" LEVEL("false") "," MODEL("") "," DECODER "}");
    char *text;
    test_ok(ctx, espi_tokenizer_decode(ctx, tokenizer, ids, ESPI_COUNT(ids), true, &text));
    assert_string_equal(text, " abc \xef\xbf\xbd"
                              "a<s>");
    free(text);
    assert_int_equal(espi_tokenizer_special(tokenizer)->cls, 11);
    assert_int_equal(espi_tokenizer_special(tokenizer)->sep, 12);
    assert_int_equal(esp_tokenizer_id(tokenizer, "\xc4\xa0"
                                                 "abc"),
                     7);
    assert_int_equal(esp_tokenizer_id(tokenizer, " abc"), -1);
    esp_tokenizer_free(tokenizer);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        int status;
        const char *text;
    } cases[] = {
        {"{\"type\":\"BPE\",\"vocab\":{" VOCAB "},\"merges\":[]}", ESP_ERR_UNSUPPORTED,
         "neither a token for the byte 0x00"},
        {"{\"vocab\":{" VOCAB "},\"merges\":[\"a\"]}", ESP_ERR_FORMAT, "merge 1: expected two tokens"},
        {"{\"vocab\":{" VOCAB "},\"merges\":[\"a b c\"]}", ESP_ERR_FORMAT, "found \"a b c\""},
        {"{\"vocab\":{" VOCAB "},\"merges\":[[\"a\"]]}", ESP_ERR_FORMAT, "expected a merge of two tokens"},
        {"{\"vocab\":{" VOCAB "},\"merges\":[7]}", ESP_ERR_FORMAT, "expected a merge of two tokens"},
        {"{\"vocab\":{" VOCAB "},\"merges\":[\"a z\"]}", ESP_ERR_FORMAT, "\"z\", which is not in the vocabulary"},
        {"{\"vocab\":{" VOCAB "},\"merges\":[\"a c\"]}", ESP_ERR_FORMAT, "\"ac\", which is not in the vocabulary"},
        {"{\"vocab\":{" VOCAB "},\"merges\":{}}", ESP_ERR_FORMAT, "array"},
        {"{\"vocab\":{" VOCAB "},\"merges\":[\"b c\"],\"unk_token\":\"?\"}", ESP_ERR_FORMAT,
         "\"?\" is not in the vocabulary"},
        {"{\"vocab\":{" VOCAB "},\"merges\":[\"b c\"],\"dropout\":0.1}", ESP_ERR_UNSUPPORTED, "dropout"},
        {"{\"vocab\":{" VOCAB "},\"merges\":[\"b c\"],\"byte_fallback\":true}", ESP_ERR_UNSUPPORTED, "byte_fallback"},
        {"{\"vocab\":{" VOCAB "},\"merges\":[\"b c\"],\"end_of_word_suffix\":\"</w>\"}", ESP_ERR_UNSUPPORTED, "</w>"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        char json[1024];
        snprintf(json, sizeof json, "{" LEVEL("false") ",\"model\":%s}", cases[i].model);
        test_tokenizer_refused(ctx, json, cases[i].status, cases[i].text);
    }
}

static void test_damaged(void **state)
{
    (void)state;
    esp_tokenizer *tokenizer = test_tokenizer(ctx, "{" LEVEL("false") "," MODEL("") "}"), *bad;
    unsigned char *tables, *copy;
    size_t bytes;
    test_ok(ctx, espi_tokenizer_tables(ctx, tokenizer, &tables, &bytes));
    copy = aligned_alloc(ESPI_TABLES_ALIGN, bytes);
    assert_non_null(copy);
    struct espi_stage_record *model = (void *)(copy + sizeof(struct espi_tables_header) + 3 * sizeof *model);
#define ARRAY(which) ((int32_t *)(void *)(copy + model->arrays[which].offset))
#define CASES(X)                                                                                                       \
    X(model->flags = 4, "flags of a stage: expected at most 3, found 4")                                               \
    X(model->numbers[0] = UINT32_MAX, "unk_token: expected an offset below ")                                          \
    X(model->numbers[1] = 14, "unknown token: expected an id below 13, found 13")                                      \
    X(model->numbers[1] = 0, "token of a byte: expected an id below 13, found -1")                                     \
    X(model->arrays[2].bytes -= 4, "tokens of bytes: expected elements, at least 256, found 255")                      \
    X(ARRAY(1)[3] = 13, "merge: expected ids below 13, found 13")                                                      \
    X(ARRAY(2)['a'] = 13, "token of a byte: expected an id below 13, found 13")                                        \
    X(((uint64_t *)(void *)ARRAY(0))[0] |= 0xffffff, "trie: expected a value below 26, found 16777214")
#define X(action, text)                                                                                                \
    memcpy(copy, tables, bytes);                                                                                       \
    action;                                                                                                            \
    test_fails(ctx, espi_tokenizer_open_tables(ctx, "bad.esp", copy, bytes, &bad), ESP_ERR_FORMAT);                    \
    test_error_has(ctx, text);
    CASES(X)
    memcpy(copy, tables, bytes);
    assert_int_equal(model->place, ESPI_PLACE_MODEL);
    for (size_t i = 0; i < model->arrays[1].bytes / 16; i++) // no slot is empty: a search would not end
        ARRAY(1)[4 * i + 3] = 0;
    test_fails(ctx, espi_tokenizer_open_tables(ctx, "bad.esp", copy, bytes, &bad), ESP_ERR_FORMAT);
    test_error_has(ctx, "slots of merges");
    free(copy);
    free(tables);
    esp_tokenizer_free(tokenizer);
}

/* vocab.json and merges.txt, with the special tokens of RoBERTa where no file names them. */
static void test_files(void **state)
{
    (void)state;
    const char *directory = test_scratch();
    esp_tokenizer *tokenizer;
    static const struct {
        const char *name, *text;
    } files[] = {{"vocab.json", "{" VOCAB ",\"<mask>\":13,\"<pad>\":14}"},
                 {"merges.txt", "#version: 0.2\nb c\n\xc4\xa0 a\n\xc4\xa0"
                                "a bc\nc c\n"},
                 {"config.json", "{\"model_type\":\"roberta\"}"}};
    for (size_t i = 0; i < ESPI_COUNT(files); i++)
        test_write(directory, files[i].name, files[i].text, strlen(files[i].text));
    test_fails(ctx, esp_tokenizer_open(ctx, directory, &tokenizer), ESP_ERR_UNSUPPORTED); // most bytes have no token
    test_error_has(ctx, "neither a token for the byte");
    char vocab[8192] = "{" VOCAB ",\"<mask>\":13,\"<pad>\":14";
    size_t used = strlen(vocab), id = 15;
    for (unsigned code = '!'; code < 256 + 68; code++) {
        bool prints = code <= '~' || (code >= 0xa1 && code != 0xad);
        if (prints && !strchr("abc", (int)(code < 128 ? code : 1)) && code != 0xc3 && code != 0x120)
            used += (size_t)snprintf(vocab + used, sizeof vocab - used, ",\"\\u%04x\":%zu", code, id++);
    }
    snprintf(vocab + used, sizeof vocab - used, "}");
    test_write(directory, "vocab.json", vocab, strlen(vocab));
    test_ok(ctx, esp_tokenizer_open(ctx, directory, &tokenizer));
    test_tokens(ctx, tokenizer, "abc abc <mask>", "11[0,0] 1[0,1]0 5[1,3]0 7[4,7]1 13[8,14]2 12[0,0]");
    assert_int_equal(espi_tokenizer_special(tokenizer)->pad, 14);
    esp_tokenizer_free(tokenizer);
    test_scratch_remove(directory);
}

/* add_prefix_space of the class over that of tokenizer.json. */
static void test_config(void **state)
{
    (void)state;
    static const char json[] = "{" LEVEL("true") "," MODEL("") "," ROBERTA("true") "}";
    static const struct {
        const char *config, *expected;
    } cases[] = {
        {"{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}", "11[0,0] 7[1,3]0 4[4,4]1 12[0,0]"},
        {"{\"tokenizer_class\":\"RobertaTokenizer\"}", "11[0,0] 1[0,1]0 5[1,3]0 4[4,4]1 12[0,0]"},
        {"{\"tokenizer_class\":\"RobertaTokenizerFast\",\"add_prefix_space\":true}", "11[0,0] 7[0,3]0 4[4,4]1 12[0,0]"},
        {"{\"tokenizer_class\":\"RobertaTokenizer\",\"trim_offsets\":false}",
         "11[0,0] 1[0,1]0 5[1,3]0 4[3,4]1 12[0,0]"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        const char *directory = test_scratch();
        esp_tokenizer *tokenizer;
        test_write(directory, "tokenizer.json", json, strlen(json));
        test_write(directory, "tokenizer_config.json", cases[i].config, strlen(cases[i].config));
        test_ok(ctx, esp_tokenizer_open(ctx, directory, &tokenizer));
        test_tokens(ctx, tokenizer, "abc ", cases[i].expected);
        esp_tokenizer_free(tokenizer);
        test_scratch_remove(directory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges),  cmocka_unit_test(test_long),    cmocka_unit_test(test_decoder),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_damaged), cmocka_unit_test(test_files),
        cmocka_unit_test(test_config),
    };
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
