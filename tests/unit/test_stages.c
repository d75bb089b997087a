/* SPDX-License-Identifier: Apache-2.0
 * Normalizers and pre-tokenizers one by one and in sequences: the places of words, the same from tables and from what is
 * written. */
#include "support.h"

#include "base/size.h"
#include "text/tokenizer_tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

#define MODEL "\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[UNK]\":0,\"eu\":1,\"e\":2,\"##u\":3,\"a\":4,\"1\":5}}"

static esp_tokenizer *open_text(const char *json)
{
    esp_tokenizer *tokenizer;
    test_ok(ctx, espi_tokenizer_open_text(ctx, "tokenizer.json", json, strlen(json), &tokenizer));
    return tokenizer;
}

/* "1[0,2]0 0[3,4]1": id, place, word */
static void check(const esp_tokenizer *tokenizer, const char *text, const char *expected)
{
    char found[512] = "";
    esp_encoding encoding = {0};
    test_ok(ctx, esp_encode(ctx, tokenizer, text, strlen(text), NULL, 0, NULL, &encoding));
    for (size_t i = 0, used = 0; i < encoding.tokens; i++)
        used += (size_t)snprintf(found + used, sizeof found - used, "%s%d[%u,%u]%u", i ? " " : "", (int)encoding.ids[i],
                                 encoding.char_begin[i], encoding.char_end[i], encoding.words[i]);
    assert_string_equal(found, expected);
    esp_encoding_clear(&encoding);
}

static void check_all(const char *stages, const char *text, const char *expected)
{
    char json[1024], *written = NULL;
    unsigned char *tables;
    size_t bytes;
    snprintf(json, sizeof json, "{%s," MODEL "}", stages);
    esp_tokenizer *tokenizer = open_text(json), *again;
    check(tokenizer, text, expected);
    test_ok(ctx, espi_tokenizer_tables(ctx, tokenizer, &tables, &bytes));
    test_ok(ctx, espi_tokenizer_open_tables(ctx, "tables", tables, bytes, &again));
    check(again, text, expected);
    FILE *stream = open_memstream(&written, &bytes);
    assert_non_null(stream);
    test_ok(ctx, espi_tokenizer_write_json(ctx, again, stream));
    fclose(stream);
    esp_tokenizer_free(again);
    again = open_text(written);
    check(again, text, expected);
    esp_tokenizer_free(again);
    esp_tokenizer_free(tokenizer);
    free(written);
    free(tables);
}

#define PRE(type, more) "\"pre_tokenizer\":{\"type\":\"" type "\"" more "}"
#define PRES(parts)     "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[" parts "]}"
#define NORMAL(parts)   "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[" parts "]}"
#define PART(type)      "{\"type\":\"" type "\"}"

static void test_pre_tokenizers(void **state)
{
    (void)state;
    static const struct {
        const char *stages, *text, *expected;
    } cases[] = {
        {PRE("WhitespaceSplit", ""), " a ?! b1 ", "4[1,2]0 0[3,5]1 0[6,8]2"},
        {PRE("Whitespace", ""), "a_b?! 1\xcc\x81.", "0[0,3]0 0[3,5]1 0[6,8]2 0[8,9]3"},
        {PRE("Punctuation", ""), "a?!a", "4[0,1]0 0[1,2]1 0[2,3]2 4[3,4]3"},
        {PRE("Punctuation", ",\"behavior\":\"Contiguous\""), "a?!a", "4[0,1]0 0[1,3]1 4[3,4]2"},
        {PRE("Punctuation", ",\"behavior\":\"Removed\""), "a?!a", "4[0,1]0 4[3,4]1"},
        {PRE("Digits", ""), "a11\xc2\xbd", "4[0,1]0 0[1,4]1"},
        {PRE("Digits", ",\"individual_digits\":true"), "a11", "4[0,1]0 5[1,2]1 5[2,3]2"},
        {PRES(PART("WhitespaceSplit") "," PART("Punctuation")), "a ?! eu", "4[0,1]0 0[2,3]1 0[3,4]2 1[5,7]3"},
        {PRES(PART("Punctuation") "," PART("Whitespace")), "a,eu ", "4[0,1]0 0[1,2]1 1[2,4]2"},
        {PRE("WhitespaceSplit", ""), "", ""},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++)
        check_all(cases[i].stages, cases[i].text, cases[i].expected);
}

static void test_normalizers(void **state)
{
    (void)state;
    static const struct {
        const char *stages, *text, *expected;
    } cases[] = {
        {NORMAL(PART("Lowercase")) "," PRE("BertPreTokenizer", ""), "EU", "1[0,2]0"},
        {NORMAL(PART("NFD")) "," PRE("BertPreTokenizer", ""), "\xc3\xa9u", "0[0,2]0"},
        {NORMAL(PART("NFD") "," PART("StripAccents")) "," PRE("BertPreTokenizer", ""), "\xc3\xa9u", "1[0,2]0"},
        {NORMAL(PART("NFD") "," PART("Lowercase") "," PART("StripAccents")) "," PRE("BertPreTokenizer", ""),
         "a \xc3\x89u", "4[0,1]0 1[2,4]1"},
        {NORMAL(PART("Lowercase") ",{\"type\":\"BertNormalizer\",\"lowercase\":false,\"strip_accents\":true}") "," PRE(
             "BertPreTokenizer", ""),
         "\xc3\x89U", "1[0,2]0"},
        {NORMAL(PART("StripAccents")) "," PRE("BertPreTokenizer", ""), "e\xe0\xa4\xbeu",
         "1[0,3]0"}, // a mark with a width
        {NORMAL(PART("NFD") "," PART("NFC")) "," PRE("BertPreTokenizer", ""), "a e\xcc\x81", "4[0,1]0 0[2,3]1"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++)
        check_all(cases[i].stages, cases[i].text, cases[i].expected);
}

static void test_refused(void **state)
{
    (void)state;
    esp_tokenizer *tokenizer;
    static const struct {
        const char *stages, *text;
    } cases[] = {
        {PRE("Punctuation", ",\"behavior\":\"MergedWithNext\""), "behavior \"MergedWithNext\" is not supported"},
        {PRE("Metaspace", ""), "pre_tokenizer: type \"Metaspace\" is not supported, only BertPreTokenizer, "},
        {NORMAL(PART("NFD") "," PART("NFKC")) "," PRE("Whitespace", ""),
         "normalizer.normalizers[1]: type \"NFKC\" is not supported"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        char json[1024];
        snprintf(json, sizeof json, "{%s," MODEL "}", cases[i].stages);
        test_fails(ctx, espi_tokenizer_open_text(ctx, "tokenizer.json", json, strlen(json), &tokenizer),
                   ESP_ERR_UNSUPPORTED);
        test_error_has(ctx, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pre_tokenizers),
        cmocka_unit_test(test_normalizers),
        cmocka_unit_test(test_refused),
    };
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
