/* SPDX-License-Identifier: Apache-2.0
 * Opening tokenizers: what is read, what is refused and with which words, writing and reading back. */
#include "support.h"

#include "base/size.h"
#include "text/bert_stages.h"
#include "text/tokenizer_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

#define VOCAB  "{\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3, \"[MASK]\": 4, \"a\": 5, \"##b\": 6}"
#define MODEL  "{\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", \"vocab\": " VOCAB "}"
#define PRE    "\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}"
#define NORMAL "\"normalizer\": {\"type\": \"BertNormalizer\"}"
#define BERT   "\"post_processor\": {\"type\": \"BertProcessing\", \"sep\": [\"[SEP]\", 3], \"cls\": [\"[CLS]\", 2]}"

static int open_text(const char *json, esp_tokenizer **tokenizer)
{
    return espi_tokenizer_open_text(ctx, "tokenizer.json", json, strlen(json), tokenizer);
}

static void refuse(const char *json, int status, const char *part)
{
    esp_tokenizer *tokenizer;
    test_fails(ctx, open_text(json, &tokenizer), status);
    assert_null(tokenizer);
    test_error_has(ctx, "tokenizer.json");
    test_error_has(ctx, part);
}

static void test_minimal_json(void **state)
{
    (void)state;
    esp_tokenizer *tokenizer;
    test_ok(ctx, open_text("{" NORMAL "," PRE "," BERT ", \"model\":" MODEL "}", &tokenizer));
    assert_int_equal(esp_tokenizer_size(tokenizer), 7);
    assert_string_equal(esp_tokenizer_token(tokenizer, 6), "##b");
    assert_null(esp_tokenizer_token(tokenizer, 7));
    assert_null(esp_tokenizer_token(tokenizer, -1));
    assert_int_equal(esp_tokenizer_id(tokenizer, "a"), 5);
    assert_int_equal(esp_tokenizer_id(tokenizer, "zz"), -1);
    assert_int_equal(esp_tokenizer_id(tokenizer, ""), -1);
    assert_int_equal(esp_tokenizer_max_length(tokenizer), SIZE_MAX);
    const struct espi_special_ids *special = espi_tokenizer_special(tokenizer);
    assert_int_equal(special->pad, 0);
    assert_int_equal(special->unk, 1);
    assert_int_equal(special->cls, 2);
    assert_int_equal(special->sep, 3);
    assert_int_equal(special->mask, 4);
    assert_true(espi_tokenizer_bert_normalizer(tokenizer)->options.lowercase);
    esp_tokenizer_free(tokenizer);
    esp_tokenizer_free(NULL);
}

static void test_refused_types(void **state)
{
    (void)state;
    refuse("[]", ESP_ERR_FORMAT, "object");
    refuse("{", ESP_ERR_FORMAT, "");
    refuse("{\"normalizer\": {\"type\": \"NFX\"}}", ESP_ERR_UNSUPPORTED, "\"NFX\" is not supported");
    refuse("{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"ByteLevel\"}]}}",
           ESP_ERR_UNSUPPORTED, "\"ByteLevel\"");
    refuse("{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": []}}", ESP_ERR_UNSUPPORTED,
           "a Sequence of nothing");
    refuse("{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFX\"}, {\"type\": "
           "\"BertNormalizer\"}, {}]}}",
           ESP_ERR_UNSUPPORTED,
           "normalizer.normalizers[0]: type \"NFX\" is not supported, only BertNormalizer, NFC, NFD, Lowercase, "
           "StripAccents, ");
    refuse("{\"normalizer\": {\"type\": \"Sequence\"}}", ESP_ERR_FORMAT, "normalizers");
    refuse("{\"normalizer\": {\"type\": \"BertNormalizer\", \"lowercase\": 1}}", ESP_ERR_FORMAT, "lowercase");
    refuse("{" NORMAL ", \"pre_tokenizer\": {\"type\": \"CharDelimiterSplit\"}}", ESP_ERR_UNSUPPORTED,
           "\"CharDelimiterSplit\"");
    refuse("{" PRE "}", ESP_ERR_FORMAT, "\"model\" is missing");
    refuse("{" PRE ", \"model\": {\"type\": \"BPE\"}}", ESP_ERR_UNSUPPORTED, "behind the pre-tokenizer ByteLevel only");
    refuse("{" PRE ", \"model\":" MODEL ", \"post_processor\": {\"type\": \"XProcessing\"}}", ESP_ERR_UNSUPPORTED,
           "\"XProcessing\"");
    refuse("{" PRE ", \"model\":" MODEL ", \"decoder\": {\"type\": \"CTC\"}}", ESP_ERR_UNSUPPORTED, "\"CTC\"");
}

static void test_refused_vocabularies(void **state)
{
    (void)state;
    static const struct {
        const char *vocab;
        const char *part;
    } cases[] = {
        {"{}", "the vocabulary is empty"},
        {"[]", "object"},
        {"{\"a\": 0}", "the unknown token \"[UNK]\" is not in the vocabulary"},
        {"{\"[UNK]\": 0, \"a\": 0}", "\"[UNK]\" and \"a\" have the same id 0"},
        {"{\"[UNK]\": 0, \"a\": -1}", "found -1"},
        {"{\"[UNK]\": 0, \"a\": 4194304}", "found 4194304"},
        {"{\"[UNK]\": 0, \"a\": 1.5}", "not an integer"},
        {"{\"[UNK]\": 0, \"a\": 1, \"a\": 2}", "duplicate"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        char json[512];
        snprintf(json, sizeof json, "{" PRE ", \"model\": {\"type\": \"WordPiece\", \"vocab\": %s}}", cases[i].vocab);
        refuse(json, ESP_ERR_FORMAT, cases[i].part);
    }
    refuse("{" PRE ", \"model\": {\"max_input_chars_per_word\": -1, \"vocab\": " VOCAB "}}", ESP_ERR_FORMAT,
           "max_input_chars_per_word");
    refuse("{" PRE ", \"model\": {\"type\": \"WordPiece\"}}", ESP_ERR_FORMAT, "\"vocab\" is missing");
}

static void refuse_added(const char *tokens, int status, const char *part)
{
    char json[1024];
    snprintf(json, sizeof json, "{" NORMAL "," PRE ", \"model\":" MODEL ", \"added_tokens\": %s}", tokens);
    refuse(json, status, part);
}

static void test_refused_added_tokens(void **state)
{
    (void)state;
    refuse_added("3", ESP_ERR_FORMAT, "array");
    refuse_added("[{\"id\": 4}]", ESP_ERR_FORMAT, "content");
    refuse_added("[{\"id\": 4, \"content\": \"\"}]", ESP_ERR_FORMAT, "empty");
    refuse_added("[{\"id\": 4, \"content\": \"x\\u0000\"}]", ESP_ERR_FORMAT, "zero byte");
    refuse_added("[{\"id\": 5, \"content\": \"[MASK]\"}]", ESP_ERR_FORMAT, "expected the id 4, found 5");
    refuse_added("[{\"id\": 9, \"content\": \"[X]\"}]", ESP_ERR_FORMAT, "expected the id 7, found 9");
    refuse_added("[{\"id\": 7, \"content\": \"[X]\"}, {\"id\": 7, \"content\": \"[X]\"}]", ESP_ERR_FORMAT, "twice");
    refuse_added("[{\"id\": 7, \"content\": \"\\u0301\", \"normalized\": true}]", ESP_ERR_FORMAT, "nothing is left");
    refuse_added("[{\"id\": 7, \"content\": \"x\", \"lstrip\": 0}]", ESP_ERR_FORMAT, "lstrip");
    refuse_added("[{\"id\": -7, \"content\": \"x\"}]", ESP_ERR_FORMAT, "id");
}

static void refuse_processor(const char *processor, int status, const char *part)
{
    char json[2048];
    snprintf(json, sizeof json, "{" PRE ", \"model\":" MODEL ", \"post_processor\": %s}", processor);
    refuse(json, status, part);
}

static void test_refused_processors(void **state)
{
    (void)state;
    refuse_processor("{\"type\": \"BertProcessing\", \"sep\": [\"[SEP]\", 3]}", ESP_ERR_FORMAT, "cls");
    refuse_processor("{\"type\": \"BertProcessing\", \"sep\": [\"[SEP]\", 3], \"cls\": [\"[CLS]\", 99]}",
                     ESP_ERR_FORMAT, "99");
    refuse_processor("{\"type\": \"BertProcessing\", \"sep\": [\"[SEP]\", 3], \"cls\": [\"[CLS]\", -1]}",
                     ESP_ERR_FORMAT, "-1");
    refuse_processor("{\"type\": \"TemplateProcessing\"}", ESP_ERR_FORMAT, "single");
    refuse_processor("{\"type\": \"TemplateProcessing\", \"single\": [], \"pair\": [], \"special_tokens\": {}}",
                     ESP_ERR_UNSUPPORTED, "each text once");
    refuse_processor("{\"type\": \"TemplateProcessing\", \"special_tokens\": {}, \"single\": "
                     "[{\"SpecialToken\": {\"id\": \"[CLS]\", \"type_id\": 0}}]}",
                     ESP_ERR_FORMAT, "\"[CLS]\" of the template is missing");
    refuse_processor("{\"type\": \"TemplateProcessing\", \"special_tokens\": {}, \"single\": "
                     "[{\"Sequence\": {\"id\": \"C\", \"type_id\": 0}}]}",
                     ESP_ERR_FORMAT, "found \"C\"");
    refuse_processor("{\"type\": \"TemplateProcessing\", \"special_tokens\": {}, \"single\": "
                     "[{\"Sequence\": {\"id\": \"A\", \"type_id\": 256}}]}",
                     ESP_ERR_FORMAT, "type_id");
    refuse_processor("{\"type\": \"TemplateProcessing\", \"special_tokens\": {}, \"single\": [{}]}", ESP_ERR_FORMAT,
                     "expected \"Sequence\" or \"SpecialToken\"");
}

/* ---- vocab.txt and its company ------------------------------------------------------------------------------------ */

static const char plain_vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n";

static int open_vocab(const char *directory, const char *vocab, const char *name, const char *content,
                      esp_tokenizer **tokenizer)
{
    test_write(directory, "vocab.txt", vocab, strlen(vocab));
    if (name)
        test_write(directory, name, content, strlen(content));
    return esp_tokenizer_open(ctx, directory, tokenizer);
}

static void test_vocab_directory(void **state)
{
    (void)state;
    esp_tokenizer *tokenizer;
    const char *directory = test_scratch();
    test_fails(ctx, esp_tokenizer_open(ctx, directory, &tokenizer), ESP_ERR_NOT_FOUND);
    test_error_has(ctx, "neither tokenizer.json, vocab.txt, vocab.json nor a SentencePiece model");
    test_ok(ctx, open_vocab(directory, "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\na", NULL, NULL, &tokenizer));
    assert_int_equal(esp_tokenizer_size(tokenizer), 5);
    assert_int_equal(espi_tokenizer_special(tokenizer)->mask, -1);
    esp_tokenizer_free(tokenizer);
    test_ok(ctx, open_vocab(directory, plain_vocab, "tokenizer_config.json",
                            "{\"do_lower_case\": false, \"model_max_length\": 128, \"cls_token\": \"a\", "
                            "\"mask_token\": {\"content\": \"##b\", \"lstrip\": true}, "
                            "\"additional_special_tokens\": [\"[NEW]\", \"[SEP]\"]}",
                            &tokenizer));
    assert_false(espi_tokenizer_bert_normalizer(tokenizer)->options.lowercase);
    assert_int_equal(esp_tokenizer_max_length(tokenizer), 128);
    assert_int_equal(espi_tokenizer_special(tokenizer)->cls, 5);
    assert_int_equal(espi_tokenizer_special(tokenizer)->mask, 6);
    assert_int_equal(esp_tokenizer_id(tokenizer, "[NEW]"), 7);
    assert_true(espi_tokenizer_is_special(tokenizer, 7));
    esp_tokenizer_free(tokenizer);
    test_ok(ctx,
            open_vocab(directory, plain_vocab, "tokenizer_config.json", "{\"model_max_length\": 1e30}", &tokenizer));
    assert_int_equal(esp_tokenizer_max_length(tokenizer), SIZE_MAX);
    esp_tokenizer_free(tokenizer);
    test_ok(ctx,
            open_vocab(directory, plain_vocab, "added_tokens.json", "{\"[Y]\": 8, \"[X]\": 7, \"a\": 5}", &tokenizer));
    assert_int_equal(esp_tokenizer_id(tokenizer, "[Y]"), 8);
    esp_tokenizer_free(tokenizer);
    test_scratch_remove(directory);
}

static void test_refused_vocab_files(void **state)
{
    (void)state;
    static const struct {
        const char *vocab, *name, *content;
        int status;
        const char *part;
    } cases[] = {
        {"", NULL, NULL, ESP_ERR_FORMAT, "the vocabulary is empty"},
        {"\n", NULL, NULL, ESP_ERR_FORMAT, "the unknown token \"[UNK]\" is not in the vocabulary"},
        {"[UNK]\na\nb\xff\n", NULL, NULL, ESP_ERR_FORMAT,
         "vocab.txt: line 3: expected UTF-8, found the byte 0xff; convert the file to UTF-8"},
        {"[UNK]\r\xed\xa0\x80", NULL, NULL, ESP_ERR_FORMAT, "line 2: expected UTF-8, found the byte 0xed"},
        {"a\nb\n", NULL, NULL, ESP_ERR_FORMAT, "the unknown token \"[UNK]\""},
        {"[UNK]\n[SEP]\n", NULL, NULL, ESP_ERR_FORMAT, "the cls_token \"[CLS]\" is not in the vocabulary"},
        {"[UNK]\n[CLS]\n", NULL, NULL, ESP_ERR_FORMAT, "the sep_token \"[SEP]\" is not in the vocabulary"},
        {plain_vocab, "added_tokens.json", "{\"[X]\": 12}", ESP_ERR_FORMAT, "expected the id 7, found 12"},
        {plain_vocab, "added_tokens.json", "{\"[X]\": \"7\"}", ESP_ERR_FORMAT, "expected an id"},
        {plain_vocab, "added_tokens.json", "{\"[X]\": 7, \"[Y]\": 7}", ESP_ERR_FORMAT, "the same id"},
        {plain_vocab, "added_tokens.json", "{}", ESP_OK, ""},
        {plain_vocab, "tokenizer_config.json", "{\"tokenizer_class\": \"RobertaTokenizer\"}", ESP_ERR_UNSUPPORTED,
         "\"RobertaTokenizer\""},
        {plain_vocab, "tokenizer_config.json", "{\"tokenizer_class\": \"DistilBertTokenizerFast\"}", ESP_OK, ""},
        {plain_vocab, "tokenizer_config.json", "{\"split_special_tokens\": true}", ESP_ERR_UNSUPPORTED,
         "split_special_tokens: true is not supported"},
        {plain_vocab, "config.json", "{\"tokenizer_class\": \"BertJapaneseTokenizer\"}", ESP_ERR_UNSUPPORTED,
         "config.json: tokenizer_class \"BertJapaneseTokenizer\" is not supported with a vocab.txt"},
        {plain_vocab, "tokenizer_config.json", "{\"truncation_side\": \"up\"}", ESP_ERR_FORMAT,
         "truncation_side: expected \"left\" or \"right\", found \"up\""},
        {plain_vocab, "tokenizer_config.json", "{\"model_input_names\": \"input_ids\"}", ESP_ERR_FORMAT,
         "model_input_names: expected an array"},
        {plain_vocab, "tokenizer_config.json", "{\"mask_token\": \"\"}", ESP_ERR_FORMAT,
         "mask_token: a token is empty"},
        {plain_vocab, "tokenizer_config.json", "{\"model_max_length\": -1}", ESP_ERR_FORMAT, "model_max_length"},
        {plain_vocab, "tokenizer_config.json", "{\"do_lower_case\": \"yes\"}", ESP_ERR_FORMAT, "do_lower_case"},
        {plain_vocab, "tokenizer_config.json", "{\"added_tokens_decoder\": {\"x\": {}}}", ESP_ERR_FORMAT, "\"x\""},
        {plain_vocab, "tokenizer_config.json", "{\"added_tokens_decoder\": {\"4\": null}}", ESP_ERR_FORMAT, "null"},
        {plain_vocab, "tokenizer_config.json", "{\"added_tokens_decoder\": {\"4\": {\"content\": \"[MASK]\"}}}", ESP_OK,
         ""},
        {plain_vocab, "special_tokens_map.json", "{\"cls_token\": 7}", ESP_ERR_FORMAT, "cls_token"},
        {plain_vocab, "special_tokens_map.json", "[]", ESP_ERR_FORMAT, "object"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        const char *directory = test_scratch();
        esp_tokenizer *tokenizer;
        test_fails(ctx, open_vocab(directory, cases[i].vocab, cases[i].name, cases[i].content, &tokenizer),
                   cases[i].status);
        if (cases[i].status)
            test_error_has(ctx, cases[i].part);
        esp_tokenizer_free(tokenizer);
        test_scratch_remove(directory);
    }
}

static void test_paths(void **state)
{
    (void)state;
    esp_tokenizer *tokenizer;
    test_fails(ctx, esp_tokenizer_open(ctx, "/nowhere/tokenizer.json", &tokenizer), ESP_ERR_NOT_FOUND);
    test_error_has(ctx, "/nowhere/tokenizer.json");
    assert_null(tokenizer);
    test_fails(ctx, esp_tokenizer_open(ctx, NULL, &tokenizer), ESP_ERR_ARGUMENT);
    test_fails(ctx, esp_tokenizer_open(ctx, "x", NULL), ESP_ERR_ARGUMENT);
    const char *directory = test_scratch();
    test_ok(ctx, esp_tokenizer_open(ctx, test_write(directory, "words", plain_vocab, strlen(plain_vocab)), &tokenizer));
    esp_tokenizer_free(tokenizer);
    static const char json[] = " {" PRE ", \"model\":" MODEL "}";
    test_ok(ctx, esp_tokenizer_open(ctx, test_write(directory, "other", json, strlen(json)), &tokenizer));
    esp_tokenizer_free(tokenizer);
    test_scratch_remove(directory);
}

/* What is written reads back as the same tokenizer, as a directory and as each of its two files. */
static void test_write_and_read(void **state)
{
    (void)state;
    static const char json[] =
        "{" PRE ", \"normalizer\": {\"type\": \"BertNormalizer\", \"lowercase\": false, \"strip_accents\": true},"
        "\"model\": {\"vocab\": " VOCAB ", \"max_input_chars_per_word\": 9}," BERT ","
        "\"added_tokens\": [{\"id\": 4, \"content\": \"[MASK]\", \"lstrip\": true, \"special\": true,"
        " \"normalized\": false}, {\"id\": 7, \"content\": \"new\", \"normalized\": true}],"
        "\"decoder\": {\"type\": \"WordPiece\", \"prefix\": \"##\", \"cleanup\": false}}";
    static const char text[] = "ab [MASK] \xc3\xa0"
                               "b new A";
    static const char *const names[] = {"", "/tokenizer.json", "/vocab.txt"};
    const char *directory = test_scratch();
    esp_tokenizer *tokenizer;
    esp_encoding expected = {0}, found = {0};
    test_ok(ctx, open_text(json, &tokenizer));
    test_ok(ctx, espi_tokenizer_write_directory(ctx, tokenizer, directory));
    test_ok(ctx, esp_encode(ctx, tokenizer, text, strlen(text), NULL, 0, NULL, &expected));
    esp_tokenizer_free(tokenizer);
    for (size_t i = 0; i < ESPI_COUNT(names); i++) {
        char path[ESPI_PATH_BYTES + 32];
        snprintf(path, sizeof path, "%s%s", directory, names[i]);
        test_ok(ctx, esp_tokenizer_open(ctx, path, &tokenizer));
        if (i < 2) { // a vocab.txt alone says neither case nor added tokens
            test_ok(ctx, esp_encode(ctx, tokenizer, text, strlen(text), NULL, 0, NULL, &found));
            assert_int_equal(found.tokens, expected.tokens);
            assert_memory_equal(found.ids, expected.ids, found.tokens * sizeof *found.ids);
            assert_memory_equal(found.byte_begin, expected.byte_begin, found.tokens * sizeof *found.byte_begin);
        }
        esp_tokenizer_free(tokenizer);
    }
    esp_encoding_clear(&expected);
    esp_encoding_clear(&found);
    test_scratch_remove(directory);
}

/* Tokens joined one by one, with and without a decoder; and the clean-up of a whole text. */
static void test_join(void **state)
{
    (void)state;
    static const char *const tokens[] = {"##it", "##s", "here", ".", "'s", "##!", "?"};
    static const struct {
        const char *decoder, *text;
    } cases[] = {
        {"{\"type\": \"WordPiece\"}", "##its here.'s!?"},
        {"{\"type\": \"WordPiece\", \"prefix\": \"'\", \"cleanup\": false}", "##it ##s here .s ##! ?"},
        {"null", "##it ##s here . 's ##! ?"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        struct espi_string out = {0};
        esp_tokenizer *tokenizer;
        char json[1024];
        snprintf(json, sizeof json, "{" PRE ", \"model\":" MODEL ", \"decoder\": %s}", cases[i].decoder);
        test_ok(ctx, open_text(json, &tokenizer));
        for (size_t k = 0; k < ESPI_COUNT(tokens); k++)
            test_ok(ctx, espi_tokenizer_join(ctx, tokenizer, tokens[k], strlen(tokens[k]), k == 0, &out));
        assert_string_equal(out.data, cases[i].text);
        free(out.data);
        esp_tokenizer_free(tokenizer);
    }
    char text[] = "do not , we don ' t do n't say 've";
    size_t length = espi_clean_up(text, strlen(text), false);
    assert_int_equal(length, strlen(text));
    assert_string_equal(text, "do not, we don't don't say've");
}

int main(void)
{
    ctx = esp_context_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_minimal_json),
        cmocka_unit_test(test_refused_types),
        cmocka_unit_test(test_refused_vocabularies),
        cmocka_unit_test(test_refused_added_tokens),
        cmocka_unit_test(test_refused_processors),
        cmocka_unit_test(test_vocab_directory),
        cmocka_unit_test(test_refused_vocab_files),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_write_and_read),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
