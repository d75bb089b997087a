/* SPDX-License-Identifier: Apache-2.0
 * Small models with random weights, and ragged batches of random ids. */
#ifndef ESPI_TEST_RANDOM_MODEL_H
#define ESPI_TEST_RANDOM_MODEL_H

#include "base/random.h"
#include "base/size.h"
#include "model/batch.h"
#include "model/checkpoint.h"
#include "support.h"

#include <string.h>

/* A checkpoint from the text of a config.json. `sparsity`: share of the 4x1 blocks of every linear layer that are 0. */
static inline void test_random_model(esp_context *ctx, const char *config, double sparsity, uint64_t seed,
                                     struct espi_checkpoint *out)
{
    *out = (struct espi_checkpoint){0};
    strcpy(out->directory, "random");
    test_ok(ctx, espi_config_parse(ctx, "config.json", config, strlen(config), &out->config));
    test_ok(ctx, espi_params_init(ctx, &out->config, true, &out->params));
    espi_params_randomize(&out->params, &out->config, seed);
    struct espi_random random = {.seed = seed, .stream = 1};
    for (size_t p = 0; p < out->params.length; p++) {
        const struct espi_param *param = &out->params.list[p];
        float *data = out->params.slab + param->offset;
        if (!param->cols) { // biases and LayerNorms that do something
            for (size_t i = 0; i < param->count; i++)
                data[i] += 0.1f * espi_random_normal(&random);
            continue;
        }
        if (param->role < ESPI_QUERY_W || param->role > ESPI_FFN_OUT_W)
            continue;
        for (size_t row = 0; row < param->rows; row += 4)
            for (size_t col = 0; col < param->cols; col++)
                if ((double)espi_random_uniform(&random) < sparsity)
                    for (size_t r = row; r < espi_size_min(row + 4, param->rows); r++)
                        data[r * param->cols + col] = 0;
    }
}

enum { TEST_BATCH_TOKENS = 1024, TEST_BATCH_SEQUENCES = 64 };

/* `batch` points into the struct: do not copy it. */
struct test_batch {
    uint32_t starts[TEST_BATCH_SEQUENCES + 1];
    int32_t ids[TEST_BATCH_TOKENS];
    uint8_t types[TEST_BATCH_TOKENS];
    struct espi_batch batch;
};

/* Adds a sequence of given ids. */
static inline void test_batch_add(struct test_batch *to, const int32_t *ids, const uint8_t *types, uint32_t length)
{
    assert_true(to->batch.tokens + length <= TEST_BATCH_TOKENS && to->batch.sequences < TEST_BATCH_SEQUENCES);
    memcpy(to->ids + to->batch.tokens, ids, length * sizeof *ids);
    memcpy(to->types + to->batch.tokens, types, length);
    to->batch.tokens += length;
    to->batch.sequences++;
    to->starts[to->batch.sequences] = (uint32_t)to->batch.tokens;
    to->batch.starts = to->starts;
    to->batch.ids = to->ids;
    to->batch.types = to->types;
}

static inline void test_batch_random(struct test_batch *to, const struct espi_config *config, const uint32_t *lengths,
                                     size_t count, uint64_t seed)
{
    struct espi_random random = {.seed = seed};
    *to = (struct test_batch){0};
    for (size_t s = 0; s < count; s++) {
        int32_t ids[TEST_BATCH_TOKENS];
        uint8_t types[TEST_BATCH_TOKENS];
        uint32_t length = (uint32_t)espi_size_min(lengths[s], config->max_positions);
        for (size_t t = 0; t < length; t++) {
            ids[t] = (int32_t)espi_random_below(&random, config->vocab_size);
            types[t] = config->type_vocab ? (uint8_t)espi_random_below(&random, config->type_vocab) : 0;
        }
        test_batch_add(to, ids, types, length);
    }
}

#endif
