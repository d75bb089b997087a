/* SPDX-License-Identifier: Apache-2.0
 * The reference checkpoints compiled to int8: close to fp32, the same bits whatever the batch, threads and ISA. */
#include "base/random.h"
#include "base/size.h"
#include "create/compile/compile.h"
#include "create/network/network.h"
#include "model/arch.h"
#include "run/session.h"
#include "text/tokenizer.h"

#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEQUENCES = 7, POSITIONS = 20 };

static const char *const all_models[] = {
    "bert-tiny-qa",    "bert-tiny-tokcls",    "bert-tiny-multilabel", "distilbert-tiny-seqcls",
    "bert-tiny-mlm",   "distilbert-tiny-mlm", "minilm-tiny-encoder",  "roberta-tiny-seqcls",
    "roberta-tiny-qa", "roberta-tiny-mlm",    "xlmr-tiny-encoder",    "xlmr-tiny-seqcls",
    "electra-tiny-qa", "electra-tiny-seqcls", "albert-tiny-seqcls",   "mpnet-tiny-encoder",
};
static const char *models[ESPI_COUNT(all_models)];
static size_t model_count;

/* ---- batches --------------------------------------------------------------------------------------------------------- */

/* Random ids; the lengths reach over panels and leave narrow ones. */
struct example {
    uint32_t starts[SEQUENCES + 1];
    int32_t ids[512];
    uint8_t types[512];
    uint32_t positions[POSITIONS];
    struct espi_batch batch;
};

static void fill(struct example *example, const struct espi_config *config, uint64_t seed)
{
    static const uint32_t lengths[SEQUENCES] = {5, 64, 1, 33, 17, 60, 2};
    struct espi_random random = {.seed = seed};
    *example = (struct example){0};
    for (size_t s = 0; s < SEQUENCES; s++)
        example->starts[s + 1] = example->starts[s] + (uint32_t)espi_size_min(lengths[s], config->max_positions);
    size_t tokens = example->starts[SEQUENCES];
    for (size_t t = 0; t < tokens; t++) {
        example->ids[t] = (int32_t)espi_random_below(&random, config->vocab_size);
        example->types[t] = config->type_vocab ? (uint8_t)espi_random_below(&random, config->type_vocab) : 0;
    }
    for (size_t i = 0; i < POSITIONS; i++)
        example->positions[i] = (uint32_t)espi_random_below(&random, tokens);
    example->batch = (struct espi_batch){.sequences = SEQUENCES,
                                         .tokens = tokens,
                                         .starts = example->starts,
                                         .ids = example->ids,
                                         .types = example->types};
}

/* ---- engines --------------------------------------------------------------------------------------------------------- */

struct fixture {
    esp_context *ctx;
    const char *scratch;
    char path[ESPI_PATH_BYTES];
    struct espi_checkpoint checkpoint;
    struct espi_esp_model model;
    struct espi_plan plan;
    struct example example;
};

static void compile_model(struct fixture *f, const char *name, bool fixed)
{
    char relative[128];
    snprintf(relative, sizeof relative, "reference/models/%s", name);
    f->ctx = esp_context_new();
    f->scratch = test_scratch();
    snprintf(f->path, sizeof f->path, "%.200s/%s.esp", f->scratch, name);
    test_ok(f->ctx, espi_checkpoint_read(f->ctx, test_shared_path(relative), &f->checkpoint));
    esp_tokenizer *tokenizer = NULL;
    if (esp_tokenizer_open(f->ctx, f->checkpoint.directory, &tokenizer) != ESP_OK)
        tokenizer = NULL;
    struct example examples[4];
    struct espi_batch batches[4];
    for (size_t i = 0; i < 4; i++) {
        fill(&examples[i], &f->checkpoint.config, 100 + i);
        batches[i] = examples[i].batch;
    }
    struct espi_scale(*points)[ESPI_POINT_COUNT] = calloc(f->checkpoint.config.layers, sizeof *points);
    struct espi_calibrate_options calibrate = {.method = ESPI_CALIBRATE_MINMAX};
    test_ok(f->ctx, espi_calibrate(f->ctx, &f->checkpoint, batches, 4, &calibrate, points));
    struct espi_compile_options options = {
        .tokenizer = tokenizer, .points = fixed ? (const struct espi_scale(*)[ESPI_POINT_COUNT])points : NULL};
    test_ok(f->ctx, espi_compile(f->ctx, &f->checkpoint, &options, f->path, NULL));
    free(points);
    esp_tokenizer_free(tokenizer);
    test_ok(f->ctx, espi_esp_model_open(f->ctx, f->path, &f->model));
    assert_int_equal(f->model.static_scales, fixed);
    test_ok(f->ctx, espi_plan_make(f->ctx, &f->model, &f->plan));
    fill(&f->example, &f->checkpoint.config, 1);
}

static void release(struct fixture *f)
{
    espi_plan_clear(&f->plan);
    espi_esp_model_close(&f->model);
    espi_checkpoint_clear(&f->checkpoint);
    test_scratch_remove(f->scratch);
    esp_context_free(f->ctx);
}

/* What a head gives, beside the hidden state. */
static enum espi_result own_result(const struct espi_config *config)
{
    switch (config->head) {
    case ESPI_HEAD_QA:
    case ESPI_HEAD_TOKEN:
        return ESPI_RESULT_TOKEN_LOGITS;
    case ESPI_HEAD_SEQUENCE:
        return ESPI_RESULT_SEQUENCE_LOGITS;
    case ESPI_HEAD_MLM:
        return ESPI_RESULT_VOCAB_LOGITS;
    case ESPI_HEAD_NONE:
        break;
    }
    return ESPI_RESULT_EMBEDDING;
}

/* The result in a new block; the caller frees it. */
static float *run(const struct fixture *f, struct espi_engine *engine, enum espi_result result, size_t *count)
{
    struct espi_wanted wanted = {.result = result, .positions = f->example.positions, .position_count = POSITIONS};
    *count = espi_result_size(engine->config, &f->example.batch, &wanted);
    wanted.out = calloc(*count, sizeof *wanted.out);
    assert_non_null(wanted.out);
    test_ok(f->ctx, engine->run(engine, f->ctx, &f->example.batch, &wanted));
    return wanted.out;
}

static double cosine(size_t count, const float *a, const float *b)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < count; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

/* ---- close to fp32 --------------------------------------------------------------------------------------------------- */

static double against_fp32(struct fixture *f, enum espi_result result)
{
    struct espi_engine *fp32, *int8;
    size_t count;
    test_ok(f->ctx, espi_network_engine_new(f->ctx, &f->checkpoint.config, &f->checkpoint.params, NULL, &fp32));
    test_ok(f->ctx, espi_session_new(f->ctx, &f->plan, NULL, 0, &int8));
    float *expected = run(f, fp32, result, &count), *found = run(f, int8, result, &count);
    double similarity = cosine(count, expected, found);
    free(expected);
    free(found);
    fp32->free(fp32);
    int8->free(int8);
    return similarity;
}

static void test_close_to_fp32(void **state)
{
    (void)state;
    for (size_t i = 0; i < model_count; i++)
        for (int fixed = 0; fixed < 2; fixed++) {
            struct fixture f = {0};
            if (!test_takes(2 * i + (size_t)fixed))
                continue;
            compile_model(&f, models[i], fixed);
            double hidden = against_fp32(&f, ESPI_RESULT_HIDDEN);
            double own = against_fp32(&f, own_result(&f.checkpoint.config));
            double pooled = espi_config_has_pooler(&f.checkpoint.config) ? against_fp32(&f, ESPI_RESULT_POOLED) : 1;
            printf("%-24s %-9s cosine to fp32: hidden %.6f, result %.6f, pooled %.6f\n", models[i],
                   fixed ? "static" : "per token", hidden, own, pooled);
            assert_true(hidden >= 0.999 && own >= 0.999 && pooled >= 0.999);
            release(&f);
        }
}

int main(void)
{
    test_shared_require();
    model_count = test_shared_models(all_models, ESPI_COUNT(all_models), models);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_to_fp32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
