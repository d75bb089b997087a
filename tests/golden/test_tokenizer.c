/* SPDX-License-Identifier: Apache-2.0
 * Every case of the reference outputs of the Hugging Face Rust tokenizer: ids, tokens, offsets, type ids, masks, word
 * ids and overflow windows must be equal. */
#include "support.h"

#include "base/file.h"
#include "base/json.h"
#include "base/size.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SHIPPED_PART = 50 }; // of each group at least one in so many ships

static esp_context *ctx;
static bool
    forgets_types; // the library does, in overflow windows, where a template's are not 0 and 1 (docs/unicode.md)

struct text_bytes {
    const char *text;
    size_t bytes;
};

static struct text_bytes get_text(const struct espi_json *line, const char *key)
{
    struct text_bytes out = {0};
    if (espi_json_has(line, key))
        test_ok(ctx, espi_json_get_string(ctx, line, key, &out.text, &out.bytes));
    return out;
}

static json_int_t number(const json_t *object, const char *key, size_t index)
{
    json_t *value = json_array_get(json_object_get(object, key), index);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static void check_word(const json_t *expected, size_t index, uint32_t word)
{
    json_t *value = json_array_get(json_object_get(expected, "word_ids"), index);
    assert_non_null(value);
    if (json_is_null(value))
        assert_int_equal(word, ESP_NO_WORD);
    else
        assert_int_equal(word, json_integer_value(value));
}

/* Byte offsets must name the same code points. */
static size_t byte_of(const char *text, size_t bytes, size_t code_points)
{
    size_t at = 0;
    for (size_t i = 0; i < code_points; i++) {
        assert_true(at < bytes);
        for (at++; at < bytes && ((unsigned char)text[at] & 0xc0) == 0x80;)
            at++;
    }
    return at;
}

/* The reference has the text of an added token with the spaces it has taken in. */
static void check_token(const char *token, const char *expected, bool special)
{
    if (special)
        assert_non_null(strstr(expected, token));
    else
        assert_string_equal(token, expected);
}

static void check_window(const esp_tokenizer *tokenizer, const json_t *expected, const esp_encoding *encoding,
                         size_t window, const struct text_bytes texts[2])
{
    bool overflow = window > 0; // the reference has neither tokens nor masks of overflow windows
    size_t first = encoding->starts[window], count = encoding->starts[window + 1] - first;
    assert_int_equal(count, json_array_size(json_object_get(expected, "ids")));
    for (size_t i = 0; i < count; i++) {
        size_t at = first + i;
        json_t *offsets = json_array_get(json_object_get(expected, "offsets"), i);
        assert_int_equal(encoding->ids[at], number(expected, "ids", i));
        if (!overflow && encoding->ids[at] != espi_tokenizer_special(tokenizer)->unk) // whose text is what was there
            check_token(esp_tokenizer_token(tokenizer, encoding->ids[at]),
                        json_string_value(json_array_get(json_object_get(expected, "tokens"), i)),
                        espi_tokenizer_is_special(tokenizer, encoding->ids[at]));
        if (!overflow || !forgets_types)
            assert_int_equal(encoding->type_ids[at], number(expected, "type_ids", i));
        if (!overflow)
            assert_int_equal(encoding->special[at], number(expected, "special_tokens_mask", i));
        assert_int_equal(encoding->char_begin[at], json_integer_value(json_array_get(offsets, 0)));
        assert_int_equal(encoding->char_end[at], json_integer_value(json_array_get(offsets, 1)));
        check_word(expected, i, encoding->words[at]);
        if (encoding->special[at]) {
            assert_int_equal(encoding->sequences[at], ESP_NO_SEQUENCE);
            assert_int_equal(encoding->byte_end[at], 0);
            continue;
        }
        assert_true(encoding->sequences[at] < 2);
        const struct text_bytes *text = &texts[encoding->sequences[at]];
        assert_int_equal(encoding->byte_begin[at], byte_of(text->text, text->bytes, encoding->char_begin[at]));
        assert_int_equal(encoding->byte_end[at], byte_of(text->text, text->bytes, encoding->char_end[at]));
    }
}

static void check_line(const esp_tokenizer *tokenizer, const struct espi_json *line, esp_encoding *encoding)
{
    struct text_bytes texts[2] = {get_text(line, "text"), get_text(line, "pair")};
    esp_encode_options options = {0};
    if (espi_json_has(line, "max_length")) {
        test_ok(ctx, espi_json_get_size(ctx, line, "max_length", 0, 100000, &options.max_length));
        test_ok(ctx, espi_json_get_size(ctx, line, "stride", 0, 100000, &options.stride));
        options.truncation = ESP_TRUNCATE_ONLY_SECOND;
        options.overflow = options.stop_at_max_length = true;
    }
    test_ok(ctx, esp_encode(ctx, tokenizer, texts[0].text, texts[0].bytes, texts[1].text, texts[1].bytes, &options,
                            encoding));
    const json_t *overflow = json_object_get(line->value, "overflow");
    assert_int_equal(encoding->windows, 1 + json_array_size(overflow));
    check_window(tokenizer, line->value, encoding, 0, texts);
    for (size_t i = 0; i < json_array_size(overflow); i++)
        check_window(tokenizer, json_array_get(overflow, i), encoding, i + 1, texts);
}

static void check_file(const char *kind, const char *name, size_t at_least)
{
    char file[128];
    snprintf(file, sizeof file, "reference/tokenizer/tokenizer-%s.json", kind);
    esp_tokenizer *tokenizer;
    esp_encoding encoding = {0};
    forgets_types = strcmp(kind, "modernbert") == 0 || strcmp(kind, "xlmr") == 0;
    test_ok(ctx, esp_tokenizer_open(ctx, test_shared_path(file), &tokenizer));
    snprintf(file, sizeof file, "reference/tokenizer/%s-%s.jsonl", name, kind);
    struct espi_lines lines;
    test_ok(ctx, espi_lines_open(ctx, test_shared_path(file), &lines));
    size_t checked = 0;
    while (espi_lines_next(ctx, &lines) > 0) {
        struct espi_json line;
        test_ok(ctx, espi_json_open_text(ctx, file, lines.text, lines.length, &line));
        check_line(tokenizer, &line, &encoding);
        espi_json_close(&line);
        checked++;
    }
    assert_true(checked >= (test_shared_shipped() ? at_least / SHIPPED_PART : at_least));
    espi_lines_close(&lines);
    esp_encoding_clear(&encoding);
    esp_tokenizer_free(tokenizer);
}

/* Of the kinds that are too large to ship. */
static void check_larger(const char *kind, const char *name, size_t at_least)
{
    char file[128];
    snprintf(file, sizeof file, "reference/tokenizer/tokenizer-%s.json", kind);
    if (access(test_shared_path(file), R_OK) == 0)
        check_file(kind, name, at_least);
}

static void test_strings(void **state)
{
    (void)state;
    check_file("uncased", "strings", 600);
    check_file("cased", "strings", 600);
    check_larger("roberta", "strings", 700);
    check_larger("modernbert", "strings", 700);
    check_larger("mpnet", "strings", 700);
    check_larger("xlmr", "strings", 700);
    check_larger("albert", "strings", 700);
    check_larger("deberta", "strings", 700);
    check_larger("xlmr-converted", "strings", 200);
}

static void test_pairs(void **state)
{
    (void)state;
    check_file("uncased", "pairs", 100);
    check_file("cased", "pairs", 100);
    check_larger("roberta", "pairs", 100);
    check_larger("modernbert", "pairs", 100);
    check_larger("mpnet", "pairs", 100);
    check_larger("xlmr", "pairs", 100);
    check_larger("albert", "pairs", 100);
    check_larger("deberta", "pairs", 100);
}

static void test_overflow(void **state)
{
    (void)state;
    check_file("uncased", "qa-overflow", 100);
    check_file("cased", "qa-overflow", 100);
    check_larger("roberta", "qa-overflow", 100);
    check_larger("modernbert", "qa-overflow", 100);
    check_larger("mpnet", "qa-overflow", 100);
    check_larger("xlmr", "qa-overflow", 100);
    check_larger("albert", "qa-overflow", 100);
    check_larger("deberta", "qa-overflow", 100);
}

static void test_fuzz(void **state)
{
    (void)state;
    check_file("uncased", "fuzz", 2500);
    check_larger("roberta", "fuzz", 800);
    check_larger("modernbert", "fuzz", 800);
    check_larger("mpnet", "fuzz", 800);
    check_larger("xlmr", "fuzz", 800);
    check_larger("albert", "fuzz", 800);
    check_larger("deberta", "fuzz", 800);
    check_larger("xlmr-converted", "fuzz", 100);
}

/* vocab.txt alone is the same tokenizer as tokenizer.json. */
static void test_vocab_file(void **state)
{
    (void)state;
    static const char text[] = "Ünïcödé [MASK] text, unaffable \xe4\xb8\xad\xe6\x96\x87 [SEP] 3.14";
    esp_tokenizer *from_json, *from_vocab;
    esp_encoding a = {0}, b = {0};
    test_ok(ctx, esp_tokenizer_open(ctx, test_shared_path("reference/tokenizer/tokenizer-uncased.json"), &from_json));
    test_ok(ctx, esp_tokenizer_open(ctx, test_shared_path("data/vocab/bert-base-uncased-vocab.txt"), &from_vocab));
    assert_int_equal(esp_tokenizer_size(from_json), esp_tokenizer_size(from_vocab));
    for (int32_t id = 0; id < (int32_t)esp_tokenizer_size(from_json); id++)
        assert_string_equal(esp_tokenizer_token(from_json, id), esp_tokenizer_token(from_vocab, id));
    test_ok(ctx, esp_encode(ctx, from_json, text, strlen(text), NULL, 0, NULL, &a));
    test_ok(ctx, esp_encode(ctx, from_vocab, text, strlen(text), NULL, 0, NULL, &b));
    assert_int_equal(a.tokens, b.tokens);
    assert_memory_equal(a.ids, b.ids, a.tokens * sizeof *a.ids);
    assert_string_equal(esp_tokenizer_token(from_vocab, espi_tokenizer_special(from_vocab)->mask), "[MASK]");
    esp_encoding_clear(&a);
    esp_encoding_clear(&b);
    esp_tokenizer_free(from_json);
    esp_tokenizer_free(from_vocab);
}

int main(void)
{
    test_shared_require();
    ctx = esp_context_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings), cmocka_unit_test(test_pairs),      cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_fuzz),    cmocka_unit_test(test_vocab_file),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
