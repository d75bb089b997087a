/* SPDX-License-Identifier: Apache-2.0
 * Random weights whose heads look for equal words and for neighbours. */
#include "support.h"

#include "create/init/mimetic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HIDDEN = 128, HEADS = 4, HEAD_ROWS = HIDDEN / HEADS, TOKENS = 40, WORDS = 100 };

static esp_context *ctx;

static void make(struct espi_config *config, struct espi_params *params)
{
    char text[512];
    snprintf(
        text, sizeof text,
        "{\"model_type\":\"distilbert\",\"vocab_size\":%d,\"dim\":%d,\"n_layers\":2,\"n_heads\":%d,\"hidden_dim\":16,"
        "\"max_position_embeddings\":%d,\"architectures\":[\"DistilBertModel\"]}",
        WORDS, HIDDEN, HEADS, TOKENS);
    test_ok(ctx, espi_config_parse(ctx, "test", text, strlen(text), config));
    config->initializer_range = espi_mimetic_range(config->hidden);
    test_ok(ctx, espi_params_init(ctx, config, true, params));
    espi_params_randomize(params, config, 1);
    espi_params_mimetic(params, config);
}

/* The normalized sum of word and position, as LayerNorm gives it. */
static void embed(const struct espi_params *params, size_t word, size_t position, double x[HIDDEN])
{
    const float *words = espi_params_data(params, ESPI_EMBED_WORD, 0) + word * HIDDEN;
    const float *positions = espi_params_data(params, ESPI_EMBED_POSITION, 0) + position * HIDDEN;
    double square = 0;
    for (size_t i = 0; i < HIDDEN; i++) {
        x[i] = (double)words[i] + (double)positions[i];
        square += x[i] * x[i];
    }
    for (size_t i = 0; i < HIDDEN; i++)
        x[i] /= sqrt(square / HIDDEN);
}

static double score(const struct espi_params *params, size_t head, const double *from, const double *to)
{
    const float *queries = espi_params_data(params, ESPI_QUERY_W, 0), *keys = espi_params_data(params, ESPI_KEY_W, 0);
    double sum = 0;
    for (size_t row = head * HEAD_ROWS; row < (head + 1) * HEAD_ROWS; row++) {
        double query = 0, key = 0;
        for (size_t i = 0; i < HIDDEN; i++) {
            query += (double)queries[row * HIDDEN + i] * from[i];
            key += (double)keys[row * HIDDEN + i] * to[i];
        }
        sum += query * key;
    }
    return sum;
}

/* The word at a place of a sequence of different words whose last equals its first, which is `word`. */
static size_t word_at(size_t place, size_t word)
{
    return place == 0 || place == TOKENS - 1 ? word : TOKENS + 1 + place;
}

/* The place other than `from` that the even (0) or odd (1) heads together attend to most. */
static size_t attended(const struct espi_params *params, size_t odd, size_t from, size_t word)
{
    double query[HIDDEN], key[HIDDEN], best = -HUGE_VAL;
    size_t place = 0;
    embed(params, word_at(from, word), from, query);
    for (size_t to = 0; to < TOKENS; to++) {
        double sum = 0;
        embed(params, word_at(to, word), to, key);
        for (size_t head = odd; head < HEADS; head += 2)
            sum += score(params, head, query, key);
        if (to != from && sum > best) {
            best = sum;
            place = to;
        }
    }
    return place;
}

static void test_heads(void **state)
{
    (void)state;
    struct espi_config config;
    struct espi_params params;
    size_t equal = 0, near = 0;
    make(&config, &params);
    for (size_t word = 1; word <= TOKENS; word++)
        equal += attended(&params, 0, 0, word) == TOKENS - 1;
    for (size_t from = 0; from < TOKENS; from++)
        near += llabs((long long)attended(&params, 1, from, 1) - (long long)from) <= 2;
    assert_true(equal * 10 >= TOKENS * 9);
    assert_true(near * 4 >= TOKENS * 3); // an eighth by chance
    espi_params_clear(&params);
    espi_config_clear(&config);
}

/* What it leaves alone is as it was: values, outputs, feed-forward layers, LayerNorms, the padding word. */
static void test_others(void **state)
{
    (void)state;
    struct espi_config config;
    struct espi_params params, plain;
    make(&config, &params);
    test_ok(ctx, espi_params_init(ctx, &config, true, &plain));
    espi_params_randomize(&plain, &config, 1);
    for (size_t i = 0; i < params.length; i++) {
        const struct espi_param *param = &params.list[i];
        bool own = param->role == ESPI_EMBED_WORD || param->role == ESPI_EMBED_POSITION ||
                   param->role == ESPI_QUERY_W || param->role == ESPI_KEY_W;
        bool same = !memcmp(params.slab + param->offset, plain.slab + param->offset, param->count * sizeof(float));
        assert_int_equal(same, !own);
    }
    const float *padding = espi_params_data(&params, ESPI_EMBED_WORD, 0) + (size_t)config.pad_token_id * HIDDEN;
    for (size_t i = 0; i < HIDDEN; i++)
        assert_true(padding[i] == 0);
    espi_params_clear(&params);
    espi_params_clear(&plain);
    espi_config_clear(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_heads), cmocka_unit_test(test_others)};
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
