/* SPDX-License-Identifier: Apache-2.0
 * Encoding: words, added tokens, truncation and windows, invalid UTF-8, threads, no allocation when warm, decoding. */
#include "support.h"

#include "base/random.h"
#include "base/size.h"
#include "text/tokenizer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Allocations are counted where no sanitizer has put its own allocator in place. */
static size_t allocations;

#ifndef TEST_SANITIZED
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);

void *malloc(size_t bytes)
{
    allocations++;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    allocations++;
    return __libc_calloc(count, bytes);
}

void *realloc(void *block, size_t bytes)
{
    allocations++;
    return __libc_realloc(block, bytes);
}
#endif

static esp_context *ctx;
static esp_tokenizer *tokenizer; // of test_vocab

static const char *const test_vocab[] = {
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "un",
    "##aff",
    "##able",
    "the",
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "##a",
    ".",
    ",",
    "don",
    "'",
    "t",
    "##s",
    "\xe4\xb8\xad",
    "\xe6\x96\x87",
    "cafe",
    "1",
    "2",
    "##2",
    "\xcf\x83",
};

static esp_tokenizer *make_tokenizer(const char *added)
{
    char json[8192];
    size_t used = (size_t)snprintf(json, sizeof json,
                                   "{\"normalizer\": {\"type\": \"BertNormalizer\"}, \"pre_tokenizer\": {\"type\": "
                                   "\"BertPreTokenizer\"}, \"post_processor\": {\"type\": \"BertProcessing\", \"sep\": "
                                   "[\"[SEP]\", 3], \"cls\": [\"[CLS]\", 2]}, \"decoder\": {\"type\": \"WordPiece\"}, "
                                   "\"added_tokens\": [%s], \"model\": {\"vocab\": {",
                                   added);
    for (size_t i = 0; i < ESPI_COUNT(test_vocab); i++)
        used += (size_t)snprintf(json + used, sizeof json - used, "%s\"%s\": %zu", i ? "," : "", test_vocab[i], i);
    snprintf(json + used, sizeof json - used, "}}}");
    esp_tokenizer *made;
    test_ok(ctx, espi_tokenizer_open_text(ctx, "test", json, strlen(json), &made));
    return made;
}

/* The tokens of a window as text: "[CLS] un ##aff [SEP]". */
static const char *window_text(const esp_tokenizer *from, const esp_encoding *encoding, size_t window)
{
    static char text[4096];
    size_t used = 0;
    text[0] = 0;
    for (size_t i = encoding->starts[window]; i < encoding->starts[window + 1]; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? " " : "",
                                 esp_tokenizer_token(from, encoding->ids[i]));
    return text;
}

static void check_tokens(const esp_tokenizer *with, const char *text, const char *expected)
{
    esp_encoding encoding = {0};
    esp_encode_options options = {.no_special_tokens = true};
    test_ok(ctx, esp_encode(ctx, with, text, strlen(text), NULL, 0, &options, &encoding));
    assert_int_equal(encoding.windows, 1);
    assert_string_equal(window_text(with, &encoding, 0), expected);
    esp_encoding_clear(&encoding);
}

static void test_words(void **state)
{
    (void)state;
    check_tokens(tokenizer, "", "");
    check_tokens(tokenizer, " \t\n", "");
    check_tokens(tokenizer, "Unaffable", "un ##aff ##able");
    check_tokens(tokenizer, "unaffablex the", "[UNK] the");
    check_tokens(tokenizer, "don't.", "don ' t .");
    check_tokens(tokenizer, "caf\xc3\xa9 CAFE\xcc\x81", "cafe cafe");
    check_tokens(tokenizer, "t\xc2\xadhe t\x01he\x7f", "the the");
    check_tokens(tokenizer, "a\xe4\xb8\xad\xe6\x96\x87", "a \xe4\xb8\xad \xe6\x96\x87");
    check_tokens(tokenizer, "\xce\xa3", "\xcf\x83");        // capital sigma
    check_tokens(tokenizer, "[MASK]", "[UNK] [UNK] [UNK]"); // no added token here
    char word[101 + 1];
    memset(word, 'a', sizeof word);
    word[101] = 0;
    check_tokens(tokenizer, word, "[UNK]");
    word[100] = 0;
    esp_encoding encoding = {0};
    test_ok(ctx, esp_encode(ctx, tokenizer, word, 100, NULL, 0, NULL, &encoding));
    assert_int_equal(encoding.tokens, 102);
    esp_encoding_clear(&encoding);
}

static void test_offsets(void **state)
{
    (void)state;
    static const char text[] = "\xc3\xa9 caf\xc3\xa9 un\xcc\x81"
                               "affable";
    esp_encoding encoding = {0};
    test_ok(ctx, esp_encode(ctx, tokenizer, text, strlen(text), "the", 3, NULL, &encoding));
    assert_string_equal(window_text(tokenizer, &encoding, 0), "[CLS] e cafe un ##aff ##able [SEP] the [SEP]");
    static const uint32_t bytes[][2] = {{0, 0}, {0, 2}, {3, 8}, {9, 11}, {13, 16}, {16, 20}, {0, 0}, {0, 3}, {0, 0}};
    static const uint32_t chars[][2] = {{0, 0}, {0, 1}, {2, 6}, {7, 9}, {10, 13}, {13, 17}, {0, 0}, {0, 3}, {0, 0}};
    static const uint32_t words[] = {ESP_NO_WORD, 0, 1, 2, 2, 2, ESP_NO_WORD, 0, ESP_NO_WORD};
    static const uint8_t sequences[] = {0xff, 0, 0, 0, 0, 0, 0xff, 1, 0xff}, types[] = {0, 0, 0, 0, 0, 0, 0, 1, 1};
    assert_int_equal(encoding.tokens, ESPI_COUNT(words));
    for (size_t i = 0; i < encoding.tokens; i++) {
        assert_int_equal(encoding.byte_begin[i], bytes[i][0]);
        assert_int_equal(encoding.byte_end[i], bytes[i][1]);
        assert_int_equal(encoding.char_begin[i], chars[i][0]);
        assert_int_equal(encoding.char_end[i], chars[i][1]);
        assert_int_equal(encoding.words[i], words[i]);
        assert_int_equal(encoding.sequences[i], sequences[i]);
        assert_int_equal(encoding.type_ids[i], types[i]);
        assert_int_equal(encoding.special[i], words[i] == ESP_NO_WORD);
    }
    esp_encoding_clear(&encoding);
}

static void test_added_tokens(void **state)
{
    (void)state;
    esp_tokenizer *with =
        make_tokenizer("{\"id\": 4, \"content\": \"[MASK]\", \"special\": true, \"normalized\": false},"
                       "{\"id\": 29, \"content\": \"[L]\", \"lstrip\": true, \"rstrip\": true, \"normalized\": false},"
                       "{\"id\": 30, \"content\": \"ab\", \"single_word\": true, \"normalized\": false},"
                       "{\"id\": 31, \"content\": \"abc\", \"normalized\": false}");
    check_tokens(with, "a[MASK]b[mask]", "a [MASK] b [UNK] [UNK] [UNK]");
    check_tokens(with, "ab abc xab ab", "ab abc [UNK] ab"); // the longest first; not inside a word
    check_tokens(with, "ab-ab", "ab [UNK] ab");
    esp_encoding encoding = {0};
    test_ok(ctx, esp_encode(ctx, with,
                            "a \xc2\xa0[L] \xe3\x80\x80"
                            "b",
                            12, NULL, 0, NULL, &encoding));
    assert_string_equal(window_text(with, &encoding, 0), "[CLS] a [L] b [SEP]");
    assert_int_equal(encoding.byte_begin[2], 1); // the spaces are taken in
    assert_int_equal(encoding.byte_end[2], 11);
    assert_int_equal(encoding.char_end[2], 8);
    assert_int_equal(encoding.words[3], 2);
    esp_encoding_clear(&encoding);
    esp_tokenizer_free(with);
}

static void test_normalized_added_tokens(void **state)
{
    (void)state;
    esp_tokenizer *with = make_tokenizer("{\"id\": 29, \"content\": \"Caf\xc3\xa9 A\", \"normalized\": true},"
                                         "{\"id\": 22, \"content\": \"\xe4\xb8\xad\", \"normalized\": true}");
    check_tokens(with, "the CAFE\xcc\x81 a b", "the Caf\xc3\xa9 A b");
    check_tokens(with, "\xe4\xb8\xad\xe6\x96\x87", "\xe4\xb8\xad \xe6\x96\x87");
    esp_tokenizer_free(with);
}

/* ---- truncation -------------------------------------------------------------------------------------------------- */

static void check_windows(const char *text, const char *pair, const esp_encode_options *options,
                          const char *const *expected, size_t count)
{
    esp_encoding encoding = {0};
    test_ok(ctx, esp_encode(ctx, tokenizer, text, strlen(text), pair, pair ? strlen(pair) : 0, options, &encoding));
    assert_int_equal(encoding.windows, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(window_text(tokenizer, &encoding, i), expected[i]);
    assert_int_equal(encoding.starts[encoding.windows], encoding.tokens);
    esp_encoding_clear(&encoding);
}

#define WINDOWS(text, pair, options, ...)                                                                              \
    do {                                                                                                               \
        static const char *const expected_windows[] = {__VA_ARGS__};                                                   \
        check_windows(text, pair, &(options), expected_windows, ESPI_COUNT(expected_windows));                         \
    } while (0)

static void test_windows(void **state)
{
    (void)state;
    esp_encode_options only = {.max_length = 5, .stride = 1, .truncation = ESP_TRUNCATE_ONLY_FIRST, .overflow = true};
    WINDOWS("a b c d e f", NULL, only, "[CLS] a b c [SEP]", "[CLS] c d e [SEP]", "[CLS] e f [SEP]");
    WINDOWS("a b c", NULL, only, "[CLS] a b c [SEP]");
    only.stop_at_max_length = true; // five tokens: the last window loses f
    WINDOWS("a b c d e f", NULL, only, "[CLS] a b c [SEP]", "[CLS] c d e [SEP]");
    only.overflow = false;
    WINDOWS("a b c d e f", NULL, only, "[CLS] a b c [SEP]");
    only.no_special_tokens = true;
    WINDOWS("a b c d e f", NULL, only, "a b c d e");

    esp_encode_options second = {.max_length = 7, .truncation = ESP_TRUNCATE_ONLY_SECOND, .overflow = true};
    WINDOWS("a b", "c d e f", second, "[CLS] a b [SEP] c d [SEP]", "[CLS] a b [SEP] e f [SEP]");

    esp_encode_options longest = {.max_length = 7, .truncation = ESP_TRUNCATE_LONGEST_FIRST, .overflow = true};
    WINDOWS("a b c d", "e f 1", longest, "[CLS] a b [SEP] e f [SEP]", "[CLS] c d [SEP] e f [SEP]",
            "[CLS] c d [SEP] 1 [SEP]", "[CLS] a b [SEP] 1 [SEP]");
    WINDOWS("a", "b c d e", longest, "[CLS] a [SEP] b c d [SEP]", "[CLS] a [SEP] e [SEP]");
    longest.max_length = 8; // an odd room: the second text, the shorter one, has the smaller half
    WINDOWS("a b c d e", "1 2 t f", longest, "[CLS] a b c [SEP] 1 2 [SEP]", "[CLS] d e [SEP] 1 2 [SEP]",
            "[CLS] d e [SEP] t f [SEP]", "[CLS] a b c [SEP] t f [SEP]");

    esp_encode_options none = {.max_length = 1};
    WINDOWS("a b c", "d", none, "[CLS] a b c [SEP] d [SEP]");
    esp_encode_options empty = {.max_length = 2, .truncation = ESP_TRUNCATE_LONGEST_FIRST};
    WINDOWS("a b", NULL, empty, "[CLS] [SEP]");
}

static void refuse(const char *text, const char *pair, const esp_encode_options *options, int status, const char *part)
{
    esp_encoding encoding = {0};
    test_fails(ctx, esp_encode(ctx, tokenizer, text, strlen(text), pair, pair ? strlen(pair) : 0, options, &encoding),
               status);
    test_error_has(ctx, part);
    assert_int_equal(encoding.windows, 0);
    esp_encoding_clear(&encoding);
}

static void test_refused_options(void **state)
{
    (void)state;
    esp_encode_options options = {.max_length = 1, .truncation = ESP_TRUNCATE_LONGEST_FIRST};
    refuse("a", NULL, &options, ESP_ERR_ARGUMENT, "leaves no room for 2 special tokens");
    options =
        (esp_encode_options){.max_length = 5, .stride = 3, .truncation = ESP_TRUNCATE_LONGEST_FIRST, .overflow = true};
    refuse("a", NULL, &options, ESP_ERR_ARGUMENT, "stride 3 is not smaller");
    options =
        (esp_encode_options){.max_length = 7, .stride = 2, .truncation = ESP_TRUNCATE_LONGEST_FIRST, .overflow = true};
    refuse("a b c d", "a b c d", &options, ESP_ERR_ARGUMENT, "a stride of 2 tokens");
    options = (esp_encode_options){.max_length = 4, .truncation = ESP_TRUNCATE_LONGEST_FIRST, .overflow = true};
    refuse("a b", "c d", &options, ESP_ERR_ARGUMENT, "max_length 4 leaves no token for one of the texts");
    options = (esp_encode_options){.max_length = 4, .truncation = ESP_TRUNCATE_ONLY_SECOND};
    refuse("a b c", NULL, &options, ESP_ERR_ARGUMENT, "only_second needs a pair");
    refuse("a b c", "d", &options, ESP_ERR_ARGUMENT, "the second text would have to lose 3 of its 1 tokens");
    options.truncation = ESP_TRUNCATE_ONLY_FIRST;
    refuse("a", "b c d", &options, ESP_ERR_ARGUMENT, "the first text would have to lose 3 of its 1 tokens");
    options.truncation = (esp_truncation)9;
    refuse("a", NULL, &options, ESP_ERR_ARGUMENT, "unknown truncation 9");
    esp_encoding encoding = {0};
    test_fails(ctx, esp_encode(ctx, tokenizer, NULL, 1, NULL, 0, NULL, &encoding), ESP_ERR_ARGUMENT);
    test_ok(ctx, esp_encode(ctx, tokenizer, NULL, 0, NULL, 0, NULL, &encoding)); // as an empty string view has it
    assert_int_equal(encoding.tokens, 2);
    test_fails(ctx, esp_encode(ctx, NULL, "a", 1, NULL, 0, NULL, &encoding), ESP_ERR_ARGUMENT);
    test_fails(ctx, esp_encode(ctx, tokenizer, "a", (size_t)INT32_MAX + 1, NULL, 0, NULL, &encoding), ESP_ERR_LIMIT);
    esp_encoding_clear(&encoding);
    esp_encoding_clear(NULL);
}

/* Windows of one token each, all with all of the other text: refused before memory is asked for. */
static void test_too_many_windows(void **state)
{
    (void)state;
    enum { WORDS = 60000 };
    char *text = malloc(2 * WORDS);
    assert_non_null(text);
    for (size_t i = 0; i < WORDS; i++)
        memcpy(text + 2 * i, "a ", 2);
    esp_encode_options options = {.max_length = 5, .truncation = ESP_TRUNCATE_LONGEST_FIRST, .overflow = true};
    esp_encoding encoding = {0};
    test_fails(ctx, esp_encode(ctx, tokenizer, text, 2 * WORDS, text, 2 * WORDS, &options, &encoding), ESP_ERR_LIMIT);
    esp_encoding_clear(&encoding);
    free(text);
}

/* ---- any bytes --------------------------------------------------------------------------------------------------- */

static void check_bounds(const esp_encoding *encoding, size_t bytes)
{
    uint32_t begin = 0, end = 0, char_begin = 0, word = 0;
    for (size_t i = 0; i < encoding->tokens; i++) {
        if (encoding->special[i])
            continue;
        assert_true(encoding->byte_begin[i] < encoding->byte_end[i] && encoding->byte_end[i] <= bytes);
        assert_true(encoding->byte_begin[i] >= begin && encoding->byte_end[i] >= end);
        assert_true(encoding->char_begin[i] < encoding->char_end[i] && encoding->char_begin[i] >= char_begin);
        assert_true(encoding->char_end[i] <= encoding->byte_end[i]);
        assert_true(encoding->words[i] == word || encoding->words[i] == word + 1);
        begin = encoding->byte_begin[i];
        end = encoding->byte_end[i];
        char_begin = encoding->char_begin[i];
        word = encoding->words[i];
    }
}

static void test_random_bytes(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    static const char *const parts[] = {"\xe3\x80\xae",     "\xcc\x81", "[MASK]",       "the",      " ",
                                        "\xf0\x9d\x85\x9e", ".",        "\xe4\xb8\xad", "\xc4\xb0", "\xea\xb0\x81",
                                        "\xe2\x80\x8b",     "1",        "\xff",         "\xe4"};
    esp_tokenizer *with =
        make_tokenizer("{\"id\": 4, \"content\": \"[MASK]\", \"lstrip\": true, \"normalized\": false},"
                       "{\"id\": 29, \"content\": \"THE\", \"rstrip\": true, \"normalized\": true}");
    unsigned char *text = malloc(BYTES + 8);
    esp_encoding encoding = {0};
    assert_non_null(text);
    for (uint64_t round = 0; round < 4; round++) {
        struct espi_random random = {.seed = 11, .stream = round};
        size_t bytes = 0;
        while (bytes < BYTES) {
            const char *part = parts[espi_random_below(&random, ESPI_COUNT(parts))];
            size_t length = strlen(part);
            if (round % 2 == 0)
                text[bytes++] = (unsigned char)espi_random_u32(&random);
            else {
                memcpy(text + bytes, part, length);
                bytes += length;
            }
        }
        test_ok(ctx, esp_encode(ctx, round < 2 ? tokenizer : with, (char *)text, BYTES, NULL, 0, NULL, &encoding));
        assert_true(encoding.tokens > BYTES / 64);
        check_bounds(&encoding, BYTES);
    }
    esp_encoding_clear(&encoding);
    esp_tokenizer_free(with);
    free(text);
}

/* One U+FFFD for each maximal invalid part: it counts as a code point and vanishes. */
static void test_invalid_utf8(void **state)
{
    (void)state;
    esp_encoding encoding = {0};
    test_ok(ctx, esp_encode(ctx, tokenizer, "t\xe4\xb8he\xff \xf0\x9f a", 11, NULL, 0, NULL, &encoding));
    assert_string_equal(window_text(tokenizer, &encoding, 0), "[CLS] the a [SEP]");
    assert_int_equal(encoding.byte_end[1], 5);
    assert_int_equal(encoding.char_end[1], 4);
    assert_int_equal(encoding.byte_begin[2], 10);
    assert_int_equal(encoding.char_begin[2], 8);
    esp_encoding_clear(&encoding);
}

/* ---- resources --------------------------------------------------------------------------------------------------- */

static void test_no_allocation_when_warm(void **state)
{
    (void)state;
    static const char text[] = "the unaffable caf\xc3\xa9 \xe3\x80\xae\xcc\x81 don't [MASK] \xe4\xb8\xad\xe6\x96\x87";
    esp_tokenizer *with = make_tokenizer("{\"id\": 4, \"content\": \"[MASK]\", \"normalized\": false}");
    esp_encoding encoding = {0};
    esp_encode_options options = {
        .max_length = 9, .stride = 1, .truncation = ESP_TRUNCATE_LONGEST_FIRST, .overflow = true};
    test_ok(ctx, esp_encode(ctx, with, text, strlen(text), text, strlen(text), &options, &encoding));
    int32_t *ids = encoding.ids;
    size_t before = allocations;
    for (size_t i = 0; i < 100; i++)
        test_ok(ctx, esp_encode(ctx, with, text, strlen(text), text, strlen(text), &options, &encoding));
    assert_int_equal(allocations, before);
    assert_ptr_equal(ids, encoding.ids);
    esp_encoding_clear(&encoding);
    assert_null(encoding.ids);
    esp_tokenizer_free(with);
}

static void *encode_often(void *argument)
{
    static const char text[] = "the unaffable caf\xc3\xa9 \xe3\x80\xae\xcc\x81 don't \xe4\xb8\xad";
    size_t *wrong = argument;
    esp_encoding encoding = {0};
    for (size_t i = 0; i < 2000; i++) {
        size_t bytes = 14 + i % (strlen(text) - 13);
        if (esp_encode(NULL, tokenizer, text, bytes, NULL, 0, NULL, &encoding) || encoding.tokens < 6 ||
            encoding.ids[1] != 8 || encoding.ids[4] != 7)
            ++*wrong;
    }
    esp_encoding_clear(&encoding);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    size_t wrong[4] = {0};
    for (size_t i = 0; i < ESPI_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, &wrong[i]), 0);
    for (size_t i = 0; i < ESPI_COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(wrong[i], 0);
    }
}

static void test_decode(void **state)
{
    (void)state;
    static const int32_t ids[] = {2, 5, 6, 7, 17, 18, 19, 20, 1000, -1, 4, 16, 3};
    esp_tokenizer *with = make_tokenizer("{\"id\": 4, \"content\": \"[MASK]\", \"special\": true},"
                                         "{\"id\": 2, \"content\": \"[CLS]\", \"special\": true}");
    char *text;
    test_ok(ctx, espi_tokenizer_decode(ctx, with, ids, ESPI_COUNT(ids), false, &text));
    assert_string_equal(text, "[CLS] unaffable, don ' t [MASK]. [SEP]");
    free(text);
    test_ok(ctx, espi_tokenizer_decode(ctx, with, ids, ESPI_COUNT(ids), true, &text));
    assert_string_equal(text, "unaffable, don ' t. [SEP]");
    free(text);
    test_ok(ctx, espi_tokenizer_decode(ctx, with, ids, 0, true, &text));
    assert_string_equal(text, "");
    free(text);
    esp_tokenizer_free(with);
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* Windows as text, " | " between them. */
static void check_lines(const esp_tokenizer *with, const char *text, size_t max_length, const char *expected)
{
    char found[4096] = "";
    size_t used = 0;
    esp_encoding encoding = {0};
    test_ok(ctx, espi_encode_lines(ctx, with, text, strlen(text), max_length, &encoding));
    for (size_t i = 0; i < encoding.windows; i++)
        used += (size_t)snprintf(found + used, sizeof found - used, "%s%s", i ? " | " : "",
                                 window_text(with, &encoding, i));
    assert_string_equal(found, expected);
    esp_encoding_clear(&encoding);
}

static void test_lines(void **state)
{
    (void)state;
    const char *text = "a b\nc d\n \t\n\ne f\n";
    check_lines(tokenizer, text, 100, "[CLS] a b [SEP] c d [SEP] e f [SEP]");
    check_lines(tokenizer, text, 6, "[CLS] a b [SEP] c [SEP] | [CLS] d [SEP] e f [SEP]");
    check_lines(tokenizer, text, 5,
                "[CLS] a b [SEP] | [CLS] c d [SEP] | [CLS] e f [SEP]"); // a separator at the end of a window
    check_lines(tokenizer, text, 4, "[CLS] a b [SEP] | [CLS] c d [SEP] | [CLS] e f [SEP]"); // … at its beginning
    check_lines(tokenizer, text, 3,
                "[CLS] a [SEP] | [CLS] b [SEP] | [CLS] c [SEP] | [CLS] d [SEP] | [CLS] e [SEP] | "
                "[CLS] f [SEP]");
    check_lines(tokenizer, "unaffable", 4, "[CLS] un ##aff [SEP] | [CLS] ##able [SEP]");
    check_lines(tokenizer, "a\r\nb", 9, "[CLS] a [SEP] b [SEP]");
    check_lines(tokenizer, "\n \n", 9, "");
    esp_encoding encoding = {0};
    test_fails(ctx, espi_encode_lines(ctx, tokenizer, "a", 1, 2, &encoding), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "max_length: expected at least 3, found 2");
    esp_encoding_clear(&encoding);
}

/* A line ends where it does although a token takes in the white space there. */
static void test_lines_of_added_tokens(void **state)
{
    (void)state;
    esp_tokenizer *with =
        make_tokenizer("{\"id\": 4, \"content\": \"[MASK]\", \"lstrip\": true, \"normalized\": false},"
                       "{\"id\": 29, \"content\": \"[R]\", \"rstrip\": true, \"normalized\": false},"
                       "{\"id\": 30, \"content\": \"[B]\", \"lstrip\": true, \"rstrip\": true, \"normalized\": false}");
    check_lines(with, "a\n[MASK] b", 99, "[CLS] a [SEP] [MASK] b [SEP]");
    check_lines(with, "a [MASK]\nb", 99, "[CLS] a [MASK] [SEP] b [SEP]");
    check_lines(with, "a \xc2\xa0\n\xe3\x80\x80[MASK]", 99, "[CLS] a [SEP] [MASK] [SEP]");
    check_lines(with, "\n[MASK]\n\n[MASK]", 99, "[CLS] [MASK] [SEP] [MASK] [SEP]");
    check_lines(with, "[R] \xc2\xa0\n\xc2\xa0 a", 99, "[CLS] [R] [SEP] a [SEP]");
    check_lines(with, "a\n[B] b", 99, "[CLS] a [SEP] [B] b [SEP]");
    check_lines(with, "a [B]\n[MASK][R]\n[B] b", 99, "[CLS] a [B] [SEP] [MASK] [R] [SEP] [B] b [SEP]");
    esp_tokenizer_free(with);
    with = make_tokenizer("{\"id\": 29, \"content\": \"\\n\", \"normalized\": false}"); // a token for line ends
    check_lines(with, "a\nb\n\nc", 99, "[CLS] a \n b \n \n c [SEP]");
    esp_tokenizer_free(with);
}

/* Every token of the lines, once, in order, where it stands in the text; only the last window is not full. */
static void test_lines_lose_nothing(void **state)
{
    (void)state;
    static const char *const words[] = {"a", "unaffable", "the", "caf\xc3\xa9", "x", "don't", "\n", "\n\n"};
    struct espi_random random = {.seed = 8};
    esp_encoding packed = {0}, line = {0};
    for (size_t round = 0; round < 300; round++) {
        char text[2048];
        size_t bytes = 0, room = 1 + espi_random_below(&random, 20), at = 0, count = espi_random_below(&random, 150);
        for (size_t i = 0; i < count; i++)
            bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "%s ",
                                      words[espi_random_below(&random, ESPI_COUNT(words))]);
        text[bytes] = '\0';
        test_ok(ctx, espi_encode_lines(ctx, tokenizer, text, bytes, room + 2, &packed));
        for (char *next = text, *from; (from = next) && *from;) {
            next = strchr(from, '\n');
            next = next ? next + 1 : NULL;
            size_t length = next ? (size_t)(next - from) : strlen(from);
            esp_encode_options options = {.no_special_tokens = true};
            test_ok(ctx, esp_encode(ctx, tokenizer, from, length, NULL, 0, &options, &line));
            for (size_t i = 0; i < line.tokens; i++, at++) {
                while (at < packed.tokens && packed.special[at])
                    at++;
                assert_true(at < packed.tokens);
                assert_int_equal(packed.ids[at], line.ids[i]);
                assert_int_equal(packed.byte_begin[at], line.byte_begin[i] + (size_t)(from - text));
                assert_int_equal(packed.byte_end[at], line.byte_end[i] + (size_t)(from - text));
            }
        }
        while (at < packed.tokens && packed.special[at])
            at++;
        assert_int_equal(at, packed.tokens);
        for (size_t w = 0; w < packed.windows; w++) {
            size_t tokens = packed.starts[w + 1] - packed.starts[w];
            assert_in_range(tokens, w + 1 < packed.windows && room > 1 ? room + 1 : 3, room + 2);
        }
    }
    esp_encoding_clear(&packed);
    esp_encoding_clear(&line);
}

int main(void)
{
    ctx = esp_context_new();
    tokenizer = make_tokenizer("");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_added_tokens),
        cmocka_unit_test(test_normalized_added_tokens),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_refused_options),
        cmocka_unit_test(test_too_many_windows),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_invalid_utf8),
        cmocka_unit_test(test_no_allocation_when_warm),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_lines_of_added_tokens),
        cmocka_unit_test(test_lines_lose_nothing),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_tokenizer_free(tokenizer);
    esp_context_free(ctx);
    return failed;
}
