/* SPDX-License-Identifier: Apache-2.0
 * UTF-8, character classes, and the normalizer: its table against its passes. */
#include "support.h"

#include "base/random.h"
#include "base/size.h"
#include "text/bert_stages.h"
#include "text/split.h"
#include "text/tokenizer_state.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

static void test_utf8_round_trip(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < ESPI_CODE_POINTS; code++) {
        unsigned char bytes[4];
        uint32_t back;
        if (code >= 0xd800 && code < 0xe000)
            continue;
        size_t length = espi_utf8_encode(code, bytes);
        assert_int_equal(espi_utf8_decode(bytes, length, &back), length);
        assert_int_equal(back, code);
        for (size_t cut = 1; cut < length; cut++) { // a truncated sequence is one invalid part
            assert_int_equal(espi_utf8_decode(bytes, cut, &back), cut);
            assert_int_equal(back, ESPI_REPLACEMENT);
        }
    }
}

/* Lengths of the maximal invalid parts, as the Unicode standard's table 3-8 and its kin have them. */
static void test_utf8_invalid(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *lengths; // one digit per part
    } cases[] = {
        {"\x80\xbf", "11"},
        {"\xc0\xaf\xc1\xbf", "1111"},
        {"\xe0\x9f\xbf", "111"},
        {"\xed\xa0\x80", "111"},
        {"\xf0\x8f\xbf\xbf", "1111"},
        {"\xf4\x90\x80\x80", "1111"},
        {"\xf5\xff", "11"},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", "21321"},
        {"\xc3(", "11"},
        {"\xf0\x9f\x98\x80", "4"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        const unsigned char *text = (const unsigned char *)cases[i].text;
        size_t bytes = strlen(cases[i].text), at = 0, part = 0;
        while (at < bytes) {
            uint32_t code;
            size_t length = espi_utf8_decode(text + at, bytes - at, &code);
            assert_int_equal(length, cases[i].lengths[part++] - '0');
            at += length;
        }
        assert_int_equal(cases[i].lengths[part], 0);
    }
}

static void test_classes(void **state)
{
    (void)state;
    assert_true(espi_char_is(ESPI_CHAR_REMOVED, 0));
    assert_true(espi_char_is(ESPI_CHAR_REMOVED, 0x200b));
    assert_true(espi_char_is(ESPI_CHAR_REMOVED, 0xfffd));
    assert_true(espi_char_is(ESPI_CHAR_REMOVED, 0x10fffd));
    assert_false(espi_char_is(ESPI_CHAR_REMOVED, 0x10ffff));
    assert_false(espi_char_is(ESPI_CHAR_REMOVED, '\n'));
    assert_true(espi_char_is(ESPI_CHAR_SPACE, 0x3000));
    assert_false(espi_char_is(ESPI_CHAR_SPACE, 0x200b));
    assert_true(espi_char_is(ESPI_CHAR_PUNCTUATION, '$'));
    assert_true(espi_char_is(ESPI_CHAR_PUNCTUATION, 0x2014));
    assert_false(espi_char_is(ESPI_CHAR_PUNCTUATION, 0x20ac)); // the euro sign is a symbol
    assert_true(espi_char_is(ESPI_CHAR_MARK, 0x301));
    assert_true(espi_char_is(ESPI_CHAR_CHINESE, 0x4e00));
    assert_false(espi_char_is(ESPI_CHAR_CHINESE, 0x3042)); // kana are letters
    assert_true(espi_char_is_word('_'));
    assert_true(espi_char_is_word(0x24b6));
    assert_true(espi_char_is_word(0x200d));
    assert_false(espi_char_is_word('-'));
    assert_false(espi_char_is_word(0xb2));
}

static void test_mappings(void **state)
{
    (void)state;
    uint32_t out[ESPI_DECOMPOSED], lowered[ESPI_LOWERED];
    assert_int_equal(espi_char_decompose(0xac01, out), 3); // a Hangul syllable
    assert_int_equal(out[0], 0x1100);
    assert_int_equal(out[2], 0x11a8);
    assert_int_equal(espi_char_decompose(0x1f82, out), 4); // the longest
    assert_int_equal(espi_char_decompose(0xfb01, out), 1); // a compatibility ligature stays
    assert_int_equal(espi_char_decompose(0x11938, out), 1);
    uint32_t more[ESPI_DECOMPOSED_COMPATIBLE];
    assert_int_equal(espi_char_decompose_compatible(0xfdfa, more), 18); // the longest
    assert_int_equal(espi_char_decompose_compatible(0xfb01, more), 2);
    assert_int_equal(espi_char_decompose_compatible(0x32ff, more), 1); // younger than the library's tables
    assert_true(espi_char_is_mark(0x903) && espi_char_is_mark(0x301));
    assert_false(espi_char_is_mark(0x1df8)); // the same
    int32_t cluster = 0;
    assert_true(espi_char_joins('e', 0x301, &cluster) && espi_char_joins('\r', '\n', &cluster));
    cluster = 0;
    assert_false(espi_char_joins('e', 'f', &cluster) || espi_char_joins('e', 0x3000, &cluster));
    assert_int_equal(espi_char_lower(0x130, lowered), 2);
    assert_int_equal(lowered[1], 0x307);
    assert_int_equal(espi_char_lower(0x3a3, lowered), 1);
    assert_int_equal(lowered[0], 0x3c3);
    assert_int_equal(espi_char_lower(0xa7dc, lowered), 1);
    assert_int_equal(lowered[0], 0x19b);
    assert_int_equal(espi_char_combining(0x302e), 224);
    assert_int_equal(espi_char_combining(0x7fd), 0); // younger than the peer's tables
}

/* ---- table and passes -------------------------------------------------------------------------------------------- */

struct words {
    char text[1 << 16];
    size_t bytes;
};

static int keep_word(void *cookie, const struct espi_word *word)
{
    struct words *words = cookie;
    assert_true(word->chars > 0 && words->bytes + word->count + 1 < sizeof words->text);
    memcpy(words->text + words->bytes, word->bytes, word->count);
    words->bytes += word->count;
    words->text[words->bytes++] = '\n';
    const uint32_t place[] = {word->first.begin, word->first.index};
    memcpy(words->text + words->bytes, place, sizeof place);
    words->bytes += sizeof place;
    return ESP_OK;
}

static void compare(const esp_tokenizer *tokenizer, struct espi_splitter *splitter, const char *text, size_t bytes)
{
    static struct words a, b;
    const unsigned char *data = (const unsigned char *)text;
    size_t shifts[2] = {0};
    a.bytes = b.bytes = 0;
    assert_int_equal(espi_split(NULL, tokenizer, data, 0, bytes, &shifts[0], splitter, keep_word, &a), ESP_OK);
    assert_int_equal(espi_split_by_stages(NULL, tokenizer, data, 0, bytes, &shifts[1], splitter, keep_word, &b),
                     ESP_OK);
    assert_int_equal(shifts[0], shifts[1]);
    assert_int_equal(a.bytes, b.bytes);
    assert_memory_equal(a.text, b.text, a.bytes);
}

static void compare_all(const esp_tokenizer *tokenizer)
{
    struct espi_splitter splitter = {0};
    struct espi_random random = {.seed = 5};
    static const uint32_t marks[] = {0x301, 0x302e, 0x1d165, 0x344, 0x130, 0xac01, 0x4e2d, ' ', '.', 'a', 1, 0x1d15e};
    for (uint32_t code = 1; code < ESPI_CODE_POINTS; code++) {
        unsigned char text[16] = "ab";
        if (code >= 0xd800 && code < 0xe000)
            continue;
        size_t length = espi_utf8_encode(code, text + 1);
        text[1 + length] = 'b';
        compare(tokenizer, &splitter, (char *)text, 2 + length);
    }
    for (size_t round = 0; round < 20000; round++) {
        unsigned char text[256];
        size_t bytes = 0;
        for (size_t i = espi_random_below(&random, 40); i > 0; i--) {
            uint32_t code = marks[espi_random_below(&random, ESPI_COUNT(marks))];
            if (espi_random_below(&random, 4) == 0)
                code = (uint32_t)espi_random_below(&random, 0xd7ff) + 1;
            bytes += espi_utf8_encode(code, text + bytes);
        }
        compare(tokenizer, &splitter, (char *)text, bytes);
    }
    espi_splitter_clear(&splitter);
}

static esp_tokenizer *words_of(unsigned flags)
{
    const struct espi_vocab_settings settings = {.lowercase = flags & 1, .strip_accents = flags >> 1 & 1};
    esp_tokenizer *tokenizer;
    assert_int_equal(espi_tokenizer_of_words(NULL, &settings, SIZE_MAX, &tokenizer), ESP_OK);
    struct espi_bert_options *options = &espi_tokenizer_bert_normalizer(tokenizer)->options;
    options->clean_text = flags & 4;
    options->handle_chinese_chars = flags & 8;
    espi_split_table_clear(&tokenizer->table);
    assert_int_equal(espi_split_table_build(NULL, options, &tokenizer->table), ESP_OK);
    return tokenizer;
}

static void test_table_equals_passes(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 16; flags += 3) { // 0, 3, 6, 9, 12, 15: every flag on and off
        esp_tokenizer *tokenizer = words_of(flags);
        compare_all(tokenizer);
        esp_tokenizer_free(tokenizer);
    }
}

/* A mebibyte of marks is put in order in n log n. */
static void test_many_marks(void **state)
{
    (void)state;
    esp_tokenizer *tokenizer = words_of(15);
    struct espi_units units = {0};
    enum { MARKS = 1 << 19 };
    unsigned char *text = malloc(3 + 2 * MARKS);
    assert_non_null(text);
    memcpy(text, "\xe3\x80\xae", 3); // a mark that is kept
    for (size_t i = 0; i < MARKS; i++)
        memcpy(text + 3 + 2 * i, i % 2 ? "\xcc\x81" : "\xcc\xa3", 2);
    assert_int_equal(espi_normalize(NULL, tokenizer, text, 0, 3 + 2 * MARKS, 0, &units), ESP_OK);
    assert_int_equal(units.count, 1);
    assert_int_equal(units.data[0].code, 0x302e);
    assert_int_equal(units.data[0].index, MARKS / 2); // behind the marks of class 220, by position
    espi_units_clear(&units);
    esp_tokenizer_free(tokenizer);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_round_trip),
        cmocka_unit_test(test_utf8_invalid),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_mappings),
        cmocka_unit_test(test_table_equals_passes),
        cmocka_unit_test(test_many_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
