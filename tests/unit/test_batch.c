/* SPDX-License-Identifier: Apache-2.0
 * Checks of a ragged batch and the sizes of results. */
#include "support.h"

#include "base/size.h"
#include "model/engine.h"

#include <string.h>

static esp_context *ctx;

static struct espi_config config = {
    .vocab_size = 10, .hidden = 4, .max_positions = 3, .max_sequence = 2, .type_vocab = 2, .labels = 5};

static void test_accepted(void **state)
{
    (void)state;
    const uint32_t starts[] = {0, 3, 4, 6};
    const int32_t ids[] = {0, 9, 5, 1, 2, 3};
    const uint8_t types[] = {0, 1, 0, 1, 1, 0};
    struct espi_batch batch = {.sequences = 3, .tokens = 6, .starts = starts, .ids = ids, .types = types};
    test_ok(ctx, espi_batch_check(ctx, &batch, &config));
    batch.types = NULL;
    test_ok(ctx, espi_batch_check(ctx, &batch, &config));
    test_ok(ctx, espi_batch_check(ctx, &(struct espi_batch){.starts = starts}, &config));
}

static void refuse(const struct espi_batch *batch, const char *message)
{
    test_fails(ctx, espi_batch_check(ctx, batch, &config), ESP_ERR_ARGUMENT);
    test_error_has(ctx, message);
}

static void test_refused(void **state)
{
    (void)state;
    const int32_t ids[] = {0, 1, 2, 3, 4};
    const struct {
        uint32_t starts[4];
        size_t sequences, tokens;
        const char *message;
    } cases[] = {
        {{1, 2}, 1, 2, "expected the first sequence to start at token 0, found 1"},
        {{0, 2, 2, 3}, 3, 3, "sequence 1: has no tokens"},
        {{0, 2, 1, 3}, 3, 3, "sequence 1: has no tokens"},
        {{0, 4}, 1, 4, "sequence 0: expected at most 3 tokens, found 4"},
        {{0, 2, 5}, 2, 4, "sequence 1: ends at token 5 of 4"},
        {{0, 2, 4}, 2, 5, "expected 5 tokens, found 4 in its sequences"},
        {{0}, 0, 1, "expected 1 tokens, found 0 in its sequences"},
        {{0, 0xffffffff}, 1, 5, "sequence 0: expected at most 3 tokens, found 4294967295"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        const struct espi_batch batch = {
            .sequences = cases[i].sequences, .tokens = cases[i].tokens, .starts = cases[i].starts, .ids = ids};
        refuse(&batch, cases[i].message);
    }
}

static void test_refused_values(void **state)
{
    (void)state;
    const uint32_t starts[] = {0, 1, 4};
    int32_t ids[] = {0, 9, 5, 1};
    uint8_t types[] = {0, 1, 0, 1};
    const struct espi_batch batch = {.sequences = 2, .tokens = 4, .starts = starts, .ids = ids, .types = types};
    ids[2] = 10;
    refuse(&batch, "sequence 1, token 1: expected an id from 0 to 9, found 10");
    ids[2] = -1;
    refuse(&batch, "sequence 1, token 1: expected an id from 0 to 9, found -1");
    ids[2] = 0;
    types[3] = 2;
    refuse(&batch, "sequence 1, token 2: expected a type from 0 to 1, found 2");
    /* A family without types takes the tokenizer's as they come. */
    config.type_vocab = 0;
    test_ok(ctx, espi_batch_check(ctx, &batch, &config));
    config.type_vocab = 2;
}

static void test_result_sizes(void **state)
{
    (void)state;
    static const struct {
        enum espi_result result;
        size_t size;
    } cases[] = {
        {ESPI_RESULT_HIDDEN, 7 * 4},       {ESPI_RESULT_POOLED, 3 * 4},          {ESPI_RESULT_EMBEDDING, 3 * 4},
        {ESPI_RESULT_TOKEN_LOGITS, 7 * 5}, {ESPI_RESULT_SEQUENCE_LOGITS, 3 * 5}, {ESPI_RESULT_VOCAB_LOGITS, 2 * 10},
    };
    const struct espi_batch batch = {.sequences = 3, .tokens = 7};
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        const struct espi_wanted wanted = {.result = cases[i].result, .position_count = 2};
        assert_int_equal(espi_result_size(&config, &batch, &wanted), cases[i].size);
    }
}

static int setup(void **state)
{
    (void)state;
    ctx = esp_context_new();
    return ctx ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    esp_context_free(ctx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_values),
        cmocka_unit_test(test_result_sizes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
