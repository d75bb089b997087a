/* SPDX-License-Identifier: Apache-2.0
 * Normalizers and pre-tokenizers one by one and in sequences: the places of words, the same from tables and from what is
 * written. */
#include "tokenizer_fixture.h"

#include "base/size.h"
#include "text/pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

#define MODEL "\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[UNK]\":0,\"eu\":1,\"e\":2,\"##u\":3,\"a\":4,\"1\":5}}"

static void check_all(const char *stages, const char *text, const char *expected)
{
    char json[1024];
    snprintf(json, sizeof json, "{%s," MODEL "}", stages);
    test_tokens_of(ctx, json, text, expected);
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
        {PRE("Punctuation", ",\"behavior\":\"MergedWithPrevious\""), "a?!a", "0[0,2]0 0[2,3]1 4[3,4]2"},
        {PRE("Punctuation", ",\"behavior\":\"MergedWithNext\""), "a?!a", "4[0,1]0 0[1,2]1 0[2,4]2"},
        {PRE("Split", ",\"pattern\":{\"String\":\"u\"},\"behavior\":\"MergedWithPrevious\""), "aeua",
         "0[0,3]0 4[3,4]1"},
        {PRE("Split", ",\"pattern\":{\"Regex\":\"e+|1\"},\"behavior\":\"Isolated\""), "aee1a",
         "4[0,1]0 0[1,3]1 5[3,4]2 4[4,5]3"},
        {PRE("Split", ",\"pattern\":{\"Regex\":\"\\\\s+\"},\"behavior\":\"Removed\""), " a  a", "4[1,2]0 4[4,5]1"},
        {PRE("Split", ",\"pattern\":{\"Regex\":\"[ae]\"},\"behavior\":\"Removed\",\"invert\":true"), "a11e",
         "4[0,1]0 2[3,4]1"},
        {PRE("Split", ",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Contiguous\""), "aa1", "0[0,2]0 5[2,3]1"},
        {PRE("Metaspace", ",\"replacement\":\"_\",\"prepend_scheme\":\"first\""), "a a", "0[0,1]0 0[1,3]1"},
        {PRE("Metaspace", ",\"replacement\":\"_\",\"add_prefix_space\":false"), "a a", "4[0,1]0 0[1,3]1"},
        {PRE("Metaspace", ",\"replacement\":\"_\",\"split\":false"), "a a", "0[0,3]0"},
        {"\"pre_tokenizer\":null", "eu", "1[0,2]0"},
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
        {NORMAL("{\"type\":\"Strip\"}") ",\"pre_tokenizer\":null", " a ", "4[1,2]0"},
        {NORMAL("{\"type\":\"Strip\",\"strip_left\":false}") ",\"pre_tokenizer\":null", " a ", "0[0,2]0"},
        {NORMAL("{\"type\":\"Replace\",\"pattern\":{\"String\":\"xy\"},\"content\":\"eu\"}") "," PRE("Whitespace", ""),
         "xy xy", "1[1,2]0 1[4,5]1"}, // the place of the last that went
        {NORMAL("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\"\"}") "," PRE("Whitespace", ""),
         "e  u", "1[0,4]0"},
        {NORMAL("{\"type\":\"Prepend\",\"prepend\":\"e\"}") ",\"pre_tokenizer\":null", "u", "1[0,1]0"},
        {NORMAL(PART("Nmt")) "," PRE("WhitespaceSplit", ""),
         "a\x01\xe2\x80\x8b"
         "a\xc2\x8f",
         "4[0,1]0 4[3,4]1"},
        {NORMAL(PART("NFKC")) "," PRE("Whitespace", ""), "\xe2\x91\xa0 \xef\xbd\x81", "5[0,1]0 4[2,3]1"},
        {NORMAL(PART("NFKD")) "," PRE("Whitespace", ""), "\xc2\xb9", "5[0,1]0"},
        {NORMAL(PART("NFD") "," PART("NFC")) "," PRE("BertPreTokenizer", ""), "a e\xcc\x81", "4[0,1]0 0[2,3]1"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++)
        check_all(cases[i].stages, cases[i].text, cases[i].expected);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *stages;
        int status;
        const char *text;
    } cases[] = {
        {PRE("Punctuation", ",\"behavior\":\"X\""), ESP_ERR_UNSUPPORTED, "behavior \"X\" is not supported"},
        {PRE("UnicodeScripts", ""), ESP_ERR_UNSUPPORTED,
         "pre_tokenizer: type \"UnicodeScripts\" is not supported, only BertPreTokenizer, "},
        {NORMAL(PART("NFD") "," PART("X")) "," PRE("Whitespace", ""), ESP_ERR_UNSUPPORTED,
         "normalizer.normalizers[1]: type \"X\" is not supported"},
        {PRE("Metaspace", ",\"replacement\":\"ab\""), ESP_ERR_FORMAT,
         "replacement: expected one character, found \"ab\""},
        {PRE("Metaspace", ",\"prepend_scheme\":\"x\""), ESP_ERR_FORMAT, "prepend_scheme: expected \"always\""},
        {PRE("Metaspace", ",\"prepend_scheme\":\"first\",\"add_prefix_space\":false"), ESP_ERR_FORMAT,
         "add_prefix_space: expected true with the prepend_scheme \"first\""},
        {NORMAL("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AA?=\"}") "," PRE("Whitespace", ""),
         ESP_ERR_FORMAT, "expected Base64"},
        {NORMAL("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}") "," PRE("Whitespace", ""),
         ESP_ERR_FORMAT, "found 3 bytes"},
        {NORMAL("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAAAAAA=\"}") "," PRE("Whitespace", ""),
         ESP_ERR_FORMAT, "blocks of 256 units"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        char json[1024];
        snprintf(json, sizeof json, "{%s," MODEL "}", cases[i].stages);
        test_tokenizer_refused(ctx, json, cases[i].status, cases[i].text);
    }
}

/* What of regular expressions is known, and where the rest is refused. */
static void test_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *regex, *text, *found; // the first match; NULL: refused from `text` on
    } cases[] = {
        {" {2,}", "a  b", "  "},
        {"ab|a", "xab", "ab"},
        {"a|ab", "xab", "a"},
        {"(?i:'s|'ll)", "x'LL", "'LL"},
        {"[^\\r\\n\\p{L}\\p{N}]?\\p{L}+", "1 ab", " ab"},
        {"\\p{N}{1,3}", "a1234", "123"},
        {"\\s+(?!\\S)", "a  b", " "},
        {"a+?b", "aab", "aab"},
        {"a++a|b", "aab", "b"},
        {"a{2}", "aaa", "aa"},
        {"(?:ab)?c", "abc", "abc"},
        {"(ab)?\?c", "abc", "abc"},
        {"x(?=a)", "xxa", "x"},
        {"[a-c]+", "zabcd", "abc"},
        {".+", "\na", "a"},
        {"\\P{Lu}", "Aa", "a"},
        {"a*", "b", ""},
        {"^a", "^a", NULL},
        {"a$", "$", NULL},
        {"a\\b", "b", NULL},
        {"(?<x>a)", "?<x>a)", NULL},
        {"(ab)+", "+", NULL},
        {"\\p{Han}", "{Han}", NULL},
        {"[[:alpha:]]", "[:alpha:]]", NULL},
        {"[z-a]", "]", NULL},
        {"a**", "**", NULL},
        {"a)", ")", NULL},
        {"a{2", "{2", NULL},
        {"a*b*c*d*", "", NULL},
        {"(?i:\xc3\xa9)", ")", NULL},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        struct espi_arena arena = {0};
        struct espi_pattern *pattern;
        const char *problem;
        size_t begin, end;
        int status = espi_pattern_new(ctx, &arena, cases[i].regex, true, &problem, &pattern);
        assert_int_equal(status, cases[i].found ? ESP_OK : ESP_ERR_UNSUPPORTED);
        if (status) {
            assert_string_equal(problem, cases[i].text);
        } else {
            struct espi_units units = {0};
            size_t bytes = strlen(cases[i].text);
            test_ok(ctx, espi_units_decode(ctx, (const unsigned char *)cases[i].text, 0, bytes, 0, &units));
            bool found = espi_pattern_find(pattern, units.data, 0, units.count, &begin, &end);
            assert_int_equal(found, *cases[i].found != 0);
            if (found) {
                assert_int_equal(end - begin, strlen(cases[i].found));
                assert_memory_equal(cases[i].text + begin, cases[i].found, end - begin);
            }
            espi_units_clear(&units);
        }
        espi_arena_clear(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pre_tokenizers),
        cmocka_unit_test(test_normalizers),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_patterns),
    };
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
