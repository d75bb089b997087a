/* SPDX-License-Identifier: Apache-2.0
 * Vocabularies of BPE and Unigram: the merges of a small text by hand, limits, and that the result opens and is the same for any
 * order of the texts. */
#include "support.h"

#include "base/size.h"
#include "create/vocab/vocab_trainer.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

static const char *const texts[] = {"low low low low low lower Lower newest newest newest newest newest newest",
                                    "widest widest widest caf\xc3\xa9 caf\xc3\xa9",
                                    "the lowest, the newer: the widest"};

static esp_tokenizer *train(enum espi_vocab_model model, size_t size, bool backwards)
{
    struct espi_vocab_options options;
    struct espi_vocab_trainer *trainer;
    esp_tokenizer *tokenizer;
    espi_vocab_options_default(&options);
    options.model = model;
    options.size = size;
    options.max_length = 64;
    test_ok(ctx, espi_vocab_trainer_new(ctx, &options, &trainer));
    for (size_t i = 0; i < ESPI_COUNT(texts); i++) {
        const char *text = texts[backwards ? ESPI_COUNT(texts) - 1 - i : i];
        test_ok(ctx, espi_vocab_trainer_add(ctx, trainer, text, strlen(text)));
    }
    test_fails(ctx, espi_vocab_trainer_tokenizer(ctx, trainer, &tokenizer), ESP_ERR_ARGUMENT);
    test_ok(ctx, espi_vocab_trainer_train(ctx, trainer, NULL));
    test_fails(ctx, espi_vocab_trainer_train(ctx, trainer, NULL), ESP_ERR_ARGUMENT);
    test_ok(ctx, espi_vocab_trainer_tokenizer(ctx, trainer, &tokenizer));
    espi_vocab_trainer_free(trainer);
    assert_int_equal(esp_tokenizer_max_length(tokenizer), 64);
    assert_int_equal(espi_tokenizer_special(tokenizer)->cls, 0);
    assert_int_equal(espi_tokenizer_special(tokenizer)->mask, 4);
    return tokenizer;
}

static void check_tokens(const esp_tokenizer *tokenizer, const char *text, const char *expected)
{
    char found[512] = "";
    size_t used = 0;
    esp_encoding encoding = {0};
    test_ok(ctx, esp_encode(ctx, tokenizer, text, strlen(text), NULL, 0, NULL, &encoding));
    for (size_t i = 0; i < encoding.tokens; i++)
        used += (size_t)snprintf(found + used, sizeof found - used, "%s%s", i ? " " : "",
                                 esp_tokenizer_token(tokenizer, encoding.ids[i]));
    assert_string_equal(found, expected);
    esp_encoding_clear(&encoding);
}

/* A space is written as Ġ; of the pairs "es", "st" (13 each), "we", "ne" ... the most frequent first. */
static void test_bpe(void **state)
{
    (void)state;
    esp_tokenizer *tokenizer = train(ESPI_VOCAB_BPE, 5 + 256 + 4, false);
    assert_int_equal(esp_tokenizer_size(tokenizer), 5 + 256 + 4);
    assert_string_equal(esp_tokenizer_token(tokenizer, 5), "!");
    assert_string_equal(esp_tokenizer_token(tokenizer, 5 + 256), "es");
    assert_string_equal(esp_tokenizer_token(tokenizer, 5 + 257), "est");
    check_tokens(tokenizer, "west <mask>", "<s> w est <mask> </s>");
    check_tokens(tokenizer, "\xc3\xa9", "<s> \xc3\x83 \xc2\xa9 </s>");
    esp_tokenizer_free(tokenizer);
    tokenizer = train(ESPI_VOCAB_BPE, 1000, false); // until no pair is there twice
    assert_true(esp_tokenizer_size(tokenizer) < 320);
    check_tokens(tokenizer, "low newest", "<s> low \xc4\xa0newest </s>");
    esp_tokenizer_free(tokenizer);
}

static void test_unigram(void **state)
{
    (void)state;
    esp_tokenizer *tokenizer = train(ESPI_VOCAB_UNIGRAM, 40, false), *other = train(ESPI_VOCAB_UNIGRAM, 40, true);
    assert_in_range(esp_tokenizer_size(tokenizer), 5 + 20, 40);
    assert_int_equal(esp_tokenizer_size(tokenizer), esp_tokenizer_size(other));
    for (int32_t id = 0; id < (int32_t)esp_tokenizer_size(tokenizer); id++)
        assert_string_equal(esp_tokenizer_token(tokenizer, id), esp_tokenizer_token(other, id));
    check_tokens(tokenizer, "low newest the <mask>",
                 "<s> \xe2\x96\x81low \xe2\x96\x81newest \xe2\x96\x81the <mask> </s>");
    check_tokens(tokenizer, "\xe4\xb8\xad", "<s> \xe2\x96\x81 <unk> </s>");
    assert_true(esp_tokenizer_id(tokenizer, "\xc3\xa9") >= 0); // as every character of the texts
    esp_tokenizer_free(tokenizer);
    esp_tokenizer_free(other);
}

static void test_written(void **state)
{
    (void)state;
    static const enum espi_vocab_model models[] = {ESPI_VOCAB_BPE, ESPI_VOCAB_UNIGRAM};
    for (size_t i = 0; i < ESPI_COUNT(models); i++) {
        esp_tokenizer *tokenizer = train(models[i], 300, false), *again;
        const char *scratch = test_scratch();
        test_ok(ctx, espi_tokenizer_write_directory(ctx, tokenizer, scratch));
        test_ok(ctx, esp_tokenizer_open(ctx, scratch, &again));
        assert_int_equal(esp_tokenizer_size(tokenizer), esp_tokenizer_size(again));
        assert_int_equal(esp_tokenizer_max_length(again), 64);
        esp_encoding a = {0}, b = {0};
        for (size_t k = 0; k < ESPI_COUNT(texts); k++) {
            test_ok(ctx, esp_encode(ctx, tokenizer, texts[k], strlen(texts[k]), texts[0], 9, NULL, &a));
            test_ok(ctx, esp_encode(ctx, again, texts[k], strlen(texts[k]), texts[0], 9, NULL, &b));
            assert_int_equal(a.tokens, b.tokens);
            assert_memory_equal(a.ids, b.ids, a.tokens * sizeof *a.ids);
            assert_memory_equal(a.char_end, b.char_end, a.tokens * sizeof *a.char_end);
        }
        esp_encoding_clear(&a);
        esp_encoding_clear(&b);
        esp_tokenizer_free(tokenizer);
        esp_tokenizer_free(again);
        test_scratch_remove(scratch);
    }
}

int main(void)
{
    ctx = esp_context_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bpe),
        cmocka_unit_test(test_unigram),
        cmocka_unit_test(test_written),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
