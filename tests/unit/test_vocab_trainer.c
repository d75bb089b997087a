/* SPDX-License-Identifier: Apache-2.0
 * Vocabulary training: the merges of a small text by hand, ties, limits, and that the result opens. */
#include "support.h"

#include "base/size.h"
#include "create/vocab/vocab_merges.h"
#include "create/vocab/vocab_trainer.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

static struct espi_vocab_trainer *train(const struct espi_vocab_options *options, const char *const *texts,
                                        size_t count)
{
    struct espi_vocab_trainer *trainer;
    test_ok(ctx, espi_vocab_trainer_new(ctx, options, &trainer));
    for (size_t i = 0; i < count; i++)
        test_ok(ctx, espi_vocab_trainer_add(ctx, trainer, texts[i], strlen(texts[i])));
    test_ok(ctx, espi_vocab_trainer_train(ctx, trainer, NULL));
    return trainer;
}

static const char *joined(const struct espi_vocab_trainer *trainer)
{
    static char text[4096];
    esp_tokenizer *tokenizer;
    test_ok(ctx, espi_vocab_trainer_tokenizer(ctx, trainer, &tokenizer));
    size_t used = 0;
    for (int32_t i = 5; i < (int32_t)esp_tokenizer_size(tokenizer); i++) // behind the special tokens
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 5 ? " " : "",
                                 esp_tokenizer_token(tokenizer, i));
    esp_tokenizer_free(tokenizer);
    return text;
}

static void check(struct espi_vocab_options options, const char *text, const char *expected)
{
    struct espi_vocab_trainer *trainer = train(&options, &text, 1);
    assert_string_equal(joined(trainer), expected);
    espi_vocab_trainer_free(trainer);
}

static void test_small_text(void **state)
{
    (void)state;
    struct espi_vocab_options options;
    espi_vocab_options_default(&options);
    /* low x5, lower x2, newest x6, widest x3 (Sennrich et al.): (##e ##s) 9, then (##es ##t) 9; (l ##o) 7, (lo ##w) 7;
     * of the pairs of newest, 6 each, the one with the smaller left id comes first: n was there before ##e, ##w before ne */
    static const char text[] = "low low low low low lower Lower newest newest newest newest newest newest "
                               "widest widest widest";
    options.size = 5 + 10 + 8 + 4;
    options.min_frequency = 3;
    check(options, text, "d e i l n o r s t w ##d ##e ##i ##o ##r ##s ##t ##w ##es ##est lo low");
    options.size = 1000; // until the frequency is not reached
    check(options, text,
          "d e i l n o r s t w ##d ##e ##i ##o ##r ##s ##t ##w ##es ##est lo low ne ##west newest wi ##dest "
          "widest");
}

static void test_ties_and_limits(void **state)
{
    (void)state;
    struct espi_vocab_options options;
    espi_vocab_options_default(&options);
    options.min_frequency = 1;
    check(options, "ab cd", "a b c d ##b ##d ab cd"); // equally frequent: smaller ids first
    options.limit_alphabet = 2;                       // c and d go; of words only what is left
    check(options, "ab ab cd ad", "a b ##b ab");
    options.limit_alphabet = 0;
    options.lowercase = false;
    check(options, "A\xc3\xa9", "A \xc3\xa9 ##\xc3\xa9 A\xc3\xa9");
    options.strip_accents = 1;
    check(options, "A\xc3\xa9", "A e ##e Ae");
    options.size = 1; // never fewer than the alphabet
    check(options, "b, a", ", a b");
}

static void test_overlapping_pairs(void **state)
{
    (void)state;
    struct espi_vocab_options options;
    espi_vocab_options_default(&options);
    options.min_frequency = 1;
    check(options, "aaaaa", "a ##a ##aa aaa aaaaa"); // (##a ##a) three times, then a ##aa ##aa
}

/* Counts stay exact when merges overlap: at the end no pair is left. */
static void test_merges_run_out(void **state)
{
    (void)state;
    static const uint32_t words[][6] = {{1, 1, 1, 1, 1, 1}, {1, 2, 1, 2, 1, 2}, {2, 1, 1, 2, 1, 1}};
    struct espi_merges *merges;
    struct espi_merge merge;
    bool found = true;
    uint64_t last = UINT64_MAX;
    size_t count = 0;
    test_ok(ctx, espi_merges_new(ctx, &merges));
    for (size_t i = 0; i < ESPI_COUNT(words); i++)
        test_ok(ctx, espi_merges_add_word(ctx, merges, words[i], 6, i + 1));
    for (uint32_t symbol = 3; found; symbol++) {
        test_ok(ctx, espi_merges_next(ctx, merges, &merge, &found));
        if (!found)
            break;
        assert_true(merge.count > 0 && merge.count <= last);
        last = merge.count;
        test_ok(ctx, espi_merges_apply(ctx, merges, &merge, symbol));
        assert_true(++count < 20);
    }
    assert_true(count >= 5);
    espi_merges_free(merges);
    espi_merges_free(NULL);
}

static void test_order_does_not_matter(void **state)
{
    (void)state;
    static const char *const texts[] = {"the cat sat on the mat", "a cat, a hat!", "\xc3\x89t\xc3\xa9 the hats"};
    static const char *const turned[] = {"\xc3\x89t\xc3\xa9 the hats", "the cat sat on the mat", "a cat, a hat!"};
    struct espi_vocab_options options;
    espi_vocab_options_default(&options);
    struct espi_vocab_trainer *a = train(&options, texts, 3), *b = train(&options, turned, 3);
    char *first = strdup(joined(a));
    assert_string_equal(first, joined(b));
    assert_int_equal(espi_vocab_trainer_words(a), 11);
    free(first);
    espi_vocab_trainer_free(a);
    espi_vocab_trainer_free(b);
}

static void test_write_directory(void **state)
{
    (void)state;
    static const char *const texts[] = {"the cat sat on the mat, the cats sat", "the hat and the hats [MASK]"};
    struct espi_vocab_options options;
    espi_vocab_options_default(&options);
    options.max_length = 64;
    struct espi_vocab_trainer *trainer = train(&options, texts, 2);
    const char *scratch = test_scratch();
    char path[ESPI_PATH_BYTES + 16];
    esp_tokenizer *tokenizer;
    esp_encoding encoding = {0};
    snprintf(path, sizeof path, "%s/new", scratch);
    test_ok(ctx, espi_vocab_trainer_write(ctx, trainer, path));
    test_ok(ctx, esp_tokenizer_open(ctx, path, &tokenizer));
    assert_int_equal(esp_tokenizer_max_length(tokenizer), 64);
    assert_int_equal(espi_tokenizer_special(tokenizer)->mask, 4);
    test_ok(ctx, esp_encode(ctx, tokenizer, "The cat[MASK]", 13, NULL, 0, NULL, &encoding));
    assert_int_equal(encoding.tokens, 5);
    assert_string_equal(esp_tokenizer_token(tokenizer, encoding.ids[1]), "the");
    assert_int_equal(encoding.ids[3], 4);
    esp_tokenizer_free(tokenizer);
    test_fails(ctx, espi_vocab_trainer_write(ctx, trainer, path), ESP_ERR_ARGUMENT); // it is there already
    esp_encoding_clear(&encoding);
    espi_vocab_trainer_free(trainer);
    test_scratch_remove(scratch);
}

static void test_errors(void **state)
{
    (void)state;
    struct espi_vocab_options options;
    struct espi_vocab_trainer *trainer;
    esp_tokenizer *tokenizer;
    espi_vocab_options_default(&options);
    options.size = 0;
    test_fails(ctx, espi_vocab_trainer_new(ctx, &options, &trainer), ESP_ERR_ARGUMENT);
    assert_null(trainer);
    espi_vocab_options_default(&options);
    test_ok(ctx, espi_vocab_trainer_new(ctx, &options, &trainer));
    char word[102];
    memset(word, 'a', sizeof word);
    test_ok(ctx, espi_vocab_trainer_add(ctx, trainer, word, 101)); // longer than any tokenizer splits
    test_fails(ctx, espi_vocab_trainer_train(ctx, trainer, NULL), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "no words");
    test_fails(ctx, espi_vocab_trainer_tokenizer(ctx, trainer, &tokenizer), ESP_ERR_ARGUMENT);
    test_ok(ctx, espi_vocab_trainer_add(ctx, trainer, "a\xff\xfe b", 5));
    test_ok(ctx, espi_vocab_trainer_train(ctx, trainer, NULL));
    test_fails(ctx, espi_vocab_trainer_train(ctx, trainer, NULL), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "already trained");
    espi_vocab_trainer_free(trainer);
    espi_vocab_trainer_free(NULL);
}

int main(void)
{
    ctx = esp_context_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_text),
        cmocka_unit_test(test_ties_and_limits),
        cmocka_unit_test(test_overlapping_pairs),
        cmocka_unit_test(test_merges_run_out),
        cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_write_directory),
        cmocka_unit_test(test_errors),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
