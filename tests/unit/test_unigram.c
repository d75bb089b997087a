/* SPDX-License-Identifier: Apache-2.0
 * Unigram and WordLevel: how words are divided and placed, what is refused, their tables. The expected tokens are the
 * Hugging Face library's. */
#include "tokenizer_fixture.h"

#include "base/size.h"
#include "text/tokenizer_tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

#define VOCAB                                                                                                          \
    "[\"<unk>\",0],[\"a\",-1],[\"b\",-1.5],[\"ab\",-2.5],[\"abc\",-9],[\"c\",-2],[\"\xe2\x96\x81\",-1],["              \
    "\"\xe2\x96\x81"                                                                                                   \
    "ab\",-2],[\"<0xC3>\",-20],[\"<0xA9>\",-20],[\"ab\",-3.5],[\"<s>\",0],[\"</s>\",0]"
#define MODEL(more)                                                                                                    \
    "\"model\":{\"type\":\"Unigram\",\"unk_id\":0" more ",\"vocab\":[" VOCAB "]},\"pre_tokenizer\":{\"type\":"         \
    "\"Metaspace\"}"

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text, *expected;
    } cases[] = {
        {"{" MODEL("") "}", "ab", "7[0,2]0"},
        {"{" MODEL("") "}", "aab abc", "6[0,1]0 1[0,1]0 1[1,2]0 2[2,3]0 7[3,6]1 5[6,7]1"},
        {"{" MODEL("") "}", "axyb", "6[0,1]0 1[0,1]0 0[1,3]0 2[3,4]0"},
        {"{" MODEL("") "}", "\xc3\xa9", "6[0,1]0 0[0,1]0"},
        {"{" MODEL(",\"byte_fallback\":true") "}",
         "\xc3\xa9"
         "a",
         "6[0,1]0 8[0,1]0 9[0,1]0 1[1,2]0"},
        {"{" MODEL(",\"byte_fallback\":true") "}", "\xc3\xa9x", "6[0,1]0 0[0,2]0"},
        {"{" MODEL("") "}", "", ""},
        {"{" MODEL("") ",\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"</s>\",12],\"cls\":[\"<s>\",11]}}",
         "ab", "11[0,0] 7[0,2]0 12[0,0]"},
        {"{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0,\"bc\":1,\"<unk>\":2}},\"pre_tokenizer\":{\"type\":"
         "\"WhitespaceSplit\"}}",
         "a b bc", "0[0,1]0 2[2,3]1 1[4,6]2"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++)
        test_tokens_of(ctx, cases[i].json, cases[i].text, cases[i].expected);
}

/* A text of a mebibyte without a space. */
static void test_long(void **state)
{
    (void)state;
    enum { LENGTH = 1 << 20 };
    esp_tokenizer *tokenizer = test_tokenizer(ctx, "{" MODEL("") "}");
    esp_encoding encoding = {0};
    char *text = malloc(LENGTH);
    assert_non_null(text);
    memset(text, 'c', LENGTH);
    test_ok(ctx, esp_encode(ctx, tokenizer, text, LENGTH, NULL, 0, NULL, &encoding));
    assert_int_equal(encoding.tokens, 1 + LENGTH);
    esp_encoding_clear(&encoding);
    esp_tokenizer_free(tokenizer);
    free(text);
}

static void check_decoded(const char *decoder, const char *expected)
{
    static const int32_t ids[] = {7, 6, 1, 0, 999};
    char json[1024], *text;
    snprintf(json, sizeof json, "{" MODEL("") ",\"decoder\":%s}", decoder);
    esp_tokenizer *tokenizer = test_tokenizer(ctx, json);
    test_ok(ctx, espi_tokenizer_decode(ctx, tokenizer, ids, ESPI_COUNT(ids), true, &text));
    assert_string_equal(text, expected);
    free(text);
    esp_tokenizer_free(tokenizer);
}

static void test_decoder(void **state)
{
    (void)state;
    check_decoded("{\"type\":\"Metaspace\"}", "ab a<unk>");
    check_decoded("{\"type\":\"Metaspace\",\"prepend_scheme\":\"never\"}", " ab a<unk>");
    check_decoded("{\"type\":\"Metaspace\",\"replacement\":\"b\"}", "\xe2\x96\x81"
                                                                    "a\xe2\x96\x81"
                                                                    "a<unk>");
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        int status;
        const char *text;
    } cases[] = {
        {"{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]]}", ESP_ERR_UNSUPPORTED, "without an unk_id"},
        {"{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0]]}", ESP_ERR_FORMAT, "unk_id"},
        {"{\"unk_id\":0,\"vocab\":[]}", ESP_ERR_FORMAT, "the vocabulary is empty"},
        {"{\"unk_id\":0,\"vocab\":{}}", ESP_ERR_FORMAT, "array"},
        {"{\"unk_id\":0,\"vocab\":[[\"a\"]]}", ESP_ERR_FORMAT, "expected a token and its score"},
        {"{\"unk_id\":0,\"vocab\":[[1,\"a\"]]}", ESP_ERR_FORMAT, "model.vocab[0]: expected a token and its score"},
        {"{\"type\":\"WordLevel\",\"vocab\":{\"a\":0}}", ESP_ERR_FORMAT, "\"<unk>\" is not in the vocabulary"},
        {"{\"type\":\"X\"}", ESP_ERR_UNSUPPORTED,
         "type \"X\" is not supported, only WordPiece, BPE, Unigram and WordLevel"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        char json[512];
        snprintf(json, sizeof json, "{\"model\":%s}", cases[i].model);
        test_tokenizer_refused(ctx, json, cases[i].status, cases[i].text);
    }
}

static void test_damaged(void **state)
{
    (void)state;
    esp_tokenizer *tokenizer = test_tokenizer(ctx, "{" MODEL("") "}"), *bad;
    unsigned char *tables, *copy;
    size_t bytes;
    test_ok(ctx, espi_tokenizer_tables(ctx, tokenizer, &tables, &bytes));
    copy = aligned_alloc(ESPI_TABLES_ALIGN, bytes);
    assert_non_null(copy);
    struct espi_stage_record *space = (void *)(copy + sizeof(struct espi_tables_header) + 2 * sizeof *space);
    struct espi_stage_record *model = space + 1;
#define ARRAY(which) ((uint64_t *)(void *)(copy + model->arrays[which].offset))
#define CASES(X)                                                                                                       \
    X(space->flags = 2, "flags of a stage: expected at most 1, found 2")                                               \
    X(space->numbers[0] = 0xd800, "replacement of spaces: expected a code point below 1114112, found 55296")           \
    X(space->numbers[1] = 3, "scheme of spaces: expected at most 2, found 3")                                          \
    X(model->flags = 2, "flags of a stage: expected at most 1, found 2")                                               \
    X(model->numbers[0] = 13, "unknown token: expected an id below 13, found 13")                                      \
    X(model->numbers[0] = 1, "unknown token")                                                                          \
    X(model->arrays[1].bytes -= 4, "scores: expected bytes in elements of 8, found 100")                               \
    X(ARRAY(1)[2] = UINT64_MAX, "score of a token: expected a number, of id 2")                                        \
    X(ARRAY(0)[0] |= 0xffffff, "trie: expected a value below 13, found 16777214")
#define X(action, text)                                                                                                \
    memcpy(copy, tables, bytes);                                                                                       \
    action;                                                                                                            \
    test_fails(ctx, espi_tokenizer_open_tables(ctx, "bad.esp", copy, bytes, &bad), ESP_ERR_FORMAT);                    \
    test_error_has(ctx, text);
    CASES(X)
    free(copy);
    free(tables);
    esp_tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),   cmocka_unit_test(test_long),    cmocka_unit_test(test_decoder),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_damaged),
    };
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
