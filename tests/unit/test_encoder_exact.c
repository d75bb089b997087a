/* SPDX-License-Identifier: Apache-2.0
 * A sequence's result is the same bit for bit alone, in any batch and with any number of threads; and what the encoder
 * refuses. */
#include "support.h"

#include "base/random.h"
#include "create/network/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 90, MOST = 200, MAX_BATCH = 40, BATCHES = 12 };

static esp_context *ctx;

struct model {
    struct espi_config config;
    struct espi_params params;
};

static void make_model(struct model *model, const char *class_name, const char *shape)
{
    char text[1024];
    int length = snprintf(text, sizeof text,
                          "{\"architectures\": [\"%s\"], \"model_type\": \"bert\", \"hidden_act\": \"gelu\", "
                          "\"hidden_dropout_prob\": 0.1, \"attention_probs_dropout_prob\": 0.1, "
                          "\"initializer_range\": 0.2, \"layer_norm_eps\": 1e-12, \"max_position_embeddings\": 512, "
                          "\"pad_token_id\": 0, \"type_vocab_size\": 2, \"vocab_size\": %d, %s}",
                          class_name, VOCAB, shape);
    memset(model, 0, sizeof *model);
    test_ok(ctx, espi_config_parse(ctx, "config.json", text, (size_t)length, &model->config));
    test_ok(ctx, espi_params_init(ctx, &model->config, true, &model->params));
    espi_params_randomize(&model->params, &model->config, 7);
}

static void clear_model(struct model *model)
{
    espi_params_clear(&model->params);
    espi_config_clear(&model->config);
}

/* The text of a length: always the same tokens. */
static void fill(size_t length, int32_t *ids, uint8_t *types)
{
    struct espi_random random = {.seed = 3, .stream = length};
    for (size_t i = 0; i < length; i++) {
        ids[i] = (int32_t)espi_random_below(&random, VOCAB);
        types[i] = i > length / 2;
    }
}

static void run(struct espi_engine *engine, const struct espi_batch *batch, enum espi_result result, float *out)
{
    struct espi_wanted wanted = {.result = result, .out = out};
    test_ok(ctx, engine->run(engine, ctx, batch, &wanted));
}

static float *buffer(size_t count)
{
    float *values = calloc(count, sizeof *values);
    assert_non_null(values);
    return values;
}

/* Hidden states of every length from 1 to MOST, each alone: (sum of lengths, hidden). */
static float *run_alone(struct espi_engine *engine, size_t step)
{
    size_t hidden = engine->config->hidden;
    float *states = buffer(MOST * (MOST + 1) / 2 * hidden);
    int32_t ids[MOST];
    uint8_t types[MOST];
    for (size_t length = 1; length <= MOST; length += step) {
        uint32_t starts[2] = {0, (uint32_t)length};
        fill(length, ids, types);
        struct espi_batch batch = {1, length, starts, ids, types};
        run(engine, &batch, ESPI_RESULT_HIDDEN, states + (length - 1) * length / 2 * hidden);
    }
    return states;
}

/* One batch of sequences of the given lengths against the same lengths alone. */
static void check_batch(struct espi_engine *engine, const float *alone, size_t count, const size_t *lengths)
{
    size_t hidden = engine->config->hidden;
    static int32_t ids[MAX_BATCH * MOST];
    static uint8_t types[MAX_BATCH * MOST];
    uint32_t starts[MAX_BATCH + 1] = {0};
    for (size_t s = 0; s < count; s++) {
        fill(lengths[s], ids + starts[s], types + starts[s]);
        starts[s + 1] = starts[s] + (uint32_t)lengths[s];
    }
    struct espi_batch batch = {count, starts[count], starts, ids, types};
    float *states = buffer(batch.tokens * hidden);
    run(engine, &batch, ESPI_RESULT_HIDDEN, states);
    for (size_t s = 0; s < count; s++)
        if (memcmp(states + starts[s] * hidden, alone + (lengths[s] - 1) * lengths[s] / 2 * hidden,
                   lengths[s] * hidden * sizeof *states) != 0)
            fail_msg("hidden %zu: sequence %zu of %zu, %zu tokens, differs from its result alone", hidden, s, count,
                     lengths[s]);
    free(states);
}

static void check_exact(const char *shape, size_t step)
{
    struct model model;
    make_model(&model, "BertModel", shape);
    float *alone = NULL;
    for (size_t threads = 1; threads <= 3; threads++) {
        struct espi_team *team;
        struct espi_engine *engine;
        test_ok(ctx, espi_team_new(ctx, threads, &team));
        test_ok(ctx, espi_network_engine_new(ctx, &model.config, &model.params, team, &engine));
        if (!alone)
            alone = run_alone(engine, step);
        struct espi_random random = {.seed = threads};
        for (size_t b = 0; b < BATCHES; b++) {
            size_t lengths[MAX_BATCH], count = 1 + espi_random_below(&random, step == 1 ? MAX_BATCH : 6);
            for (size_t s = 0; s < count; s++)
                lengths[s] = 1 + step * espi_random_below(&random, (MOST - 1) / step + 1);
            check_batch(engine, alone, count, lengths);
        }
        engine->free(engine);
        espi_team_free(team);
    }
    free(alone);
    clear_model(&model);
}

static void test_exact_small(void **state)
{
    (void)state;
    check_exact("\"hidden_size\": 48, \"num_hidden_layers\": 2, \"num_attention_heads\": 3, \"intermediate_size\": 192",
                1);
}

/* Widths that are no multiple of a cache line: sequences start at other alignments. */
static void test_exact_odd(void **state)
{
    (void)state;
    check_exact("\"hidden_size\": 30, \"num_hidden_layers\": 2, \"num_attention_heads\": 5, \"intermediate_size\": 101",
                1);
}

static void test_exact_base(void **state)
{
    (void)state;
    check_exact("\"hidden_size\": 768, \"num_hidden_layers\": 1, \"num_attention_heads\": 12, "
                "\"intermediate_size\": 3072",
                11);
}

static const char small[] =
    "\"hidden_size\": 48, \"num_hidden_layers\": 1, \"num_attention_heads\": 3, \"intermediate_size\": 64";

static const int32_t three_ids[] = {1, 2, 3, 4, 5, 6, 7};
static const uint32_t three_starts[] = {0, 3, 4, 7};
static const struct espi_batch three = {.sequences = 3, .tokens = 7, .starts = three_starts, .ids = three_ids};

/* Positions in any order and number, repeated, over more than one tile. */
static void test_vocab_logits(void **state)
{
    (void)state;
    enum { COUNT = 130 };
    struct model model;
    struct espi_engine *engine;
    uint32_t positions[COUNT];
    make_model(&model, "BertForMaskedLM", small);
    test_ok(ctx, espi_network_engine_new(ctx, &model.config, &model.params, NULL, &engine));
    for (size_t i = 0; i < COUNT; i++)
        positions[i] = (uint32_t)(i * 5 % three.tokens);
    float *many = buffer(COUNT * VOCAB), one[VOCAB];
    struct espi_wanted wanted = {ESPI_RESULT_VOCAB_LOGITS, positions, COUNT, many};
    assert_int_equal(espi_result_size(&model.config, &three, &wanted), COUNT * VOCAB);
    test_ok(ctx, engine->run(engine, ctx, &three, &wanted));
    for (size_t i = 0; i < COUNT; i++) {
        wanted = (struct espi_wanted){ESPI_RESULT_VOCAB_LOGITS, &positions[i], 1, one};
        test_ok(ctx, engine->run(engine, ctx, &three, &wanted));
        assert_memory_equal(one, many + i * VOCAB, sizeof one);
    }
    wanted = (struct espi_wanted){ESPI_RESULT_VOCAB_LOGITS, positions, 0, one};
    test_ok(ctx, engine->run(engine, ctx, &three, &wanted));
    positions[1] = 7;
    wanted = (struct espi_wanted){ESPI_RESULT_VOCAB_LOGITS, positions, 2, many};
    test_fails(ctx, engine->run(engine, ctx, &three, &wanted), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "position 1: expected a token below 7, found 7");
    free(many);
    engine->free(engine);
    clear_model(&model);
}

static void test_refused(void **state)
{
    (void)state;
    struct model model;
    struct espi_engine *engine;
    float out[7 * 48];
    make_model(&model, "BertForQuestionAnswering", small);
    test_ok(ctx, espi_network_engine_new(ctx, &model.config, &model.params, NULL, &engine));
    static const struct {
        enum espi_result result;
        const char *text;
    } cases[] = {{ESPI_RESULT_POOLED, "no pooler"},
                 {ESPI_RESULT_SEQUENCE_LOGITS, "no sequence classification head"},
                 {ESPI_RESULT_VOCAB_LOGITS, "no masked-LM head"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct espi_wanted wanted = {.result = cases[i].result, .out = out};
        test_fails(ctx, engine->run(engine, ctx, &three, &wanted), ESP_ERR_UNSUPPORTED);
        test_error_has(ctx, cases[i].text);
    }
    static const int32_t bad_ids[] = {1, 2, VOCAB, 4, 5, 6, 7};
    struct espi_batch bad = three;
    bad.ids = bad_ids;
    struct espi_wanted wanted = {.result = ESPI_RESULT_TOKEN_LOGITS, .out = out};
    test_fails(ctx, engine->run(engine, ctx, &bad, &wanted), ESP_ERR_ARGUMENT);
    test_ok(ctx, engine->run(engine, ctx, &three, &wanted)); // still usable
    engine->free(engine);
    clear_model(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_small),  cmocka_unit_test(test_exact_odd), cmocka_unit_test(test_exact_base),
        cmocka_unit_test(test_vocab_logits), cmocka_unit_test(test_refused),
    };
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
