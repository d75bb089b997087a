/* SPDX-License-Identifier: Apache-2.0
 * Sessions on random models: the same bits whatever the neighbours, threads, capacity and ISA; memory as stated. */
#include "create/compile/compile.h"
#include "create/compile/smooth.h"
#include "create/network/network.h"
#include "run/session.h"

#include "random_model.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Head sizes, widths and intermediates that are no multiples of a vector; pruned heads; every activation and head. */
static const struct {
    const char *config;
    double sparsity;
} models[] = {
    {"{\"model_type\":\"bert\",\"architectures\":[\"BertForQuestionAnswering\"],\"vocab_size\":97,"
     "\"hidden_size\":48,\"num_hidden_layers\":2,\"num_attention_heads\":4,\"intermediate_size\":102,"
     "\"max_position_embeddings\":150,\"initializer_range\":0.2,\"pruned_heads\":{\"1\":[0,2]}}",
     0},
    {"{\"model_type\":\"bert\",\"architectures\":[\"BertForSequenceClassification\"],\"vocab_size\":50,"
     "\"hidden_size\":64,\"num_hidden_layers\":3,\"num_attention_heads\":2,\"intermediate_size\":128,"
     "\"max_position_embeddings\":130,\"num_labels\":5,\"hidden_act\":\"gelu_new\",\"initializer_range\":0.15}",
     0.8},
    {"{\"model_type\":\"distilbert\",\"architectures\":[\"DistilBertForMaskedLM\"],\"vocab_size\":601,\"dim\":40,"
     "\"n_layers\":2,\"n_heads\":5,\"hidden_dim\":68,\"max_position_embeddings\":140,\"activation\":\"relu\","
     "\"initializer_range\":0.2,\"pruned_heads\":{\"0\":[4],\"1\":[1,2,3]}}",
     0.6},
    {"{\"model_type\":\"distilbert\",\"architectures\":[\"DistilBertForSequenceClassification\"],\"vocab_size\":80,"
     "\"dim\":32,\"n_layers\":2,\"n_heads\":2,\"hidden_dim\":64,\"max_position_embeddings\":129,"
     "\"activation\":\"silu\",\"initializer_range\":0.2}",
     0.9},
    {"{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],\"vocab_size\":80,\"hidden_size\":24,"
     "\"num_hidden_layers\":1,\"num_attention_heads\":6,\"intermediate_size\":40,\"max_position_embeddings\":128,"
     "\"hidden_act\":\"tanh\",\"initializer_range\":0.3}",
     0},
    {"{\"model_type\":\"electra\",\"architectures\":[\"ElectraForMaskedLM\"],\"vocab_size\":601,\"embedding_size\":52,"
     "\"hidden_size\":40,\"num_hidden_layers\":2,\"num_attention_heads\":2,\"intermediate_size\":68,"
     "\"max_position_embeddings\":140,\"initializer_range\":0.2}",
     0.5},
    {"{\"model_type\":\"albert\",\"architectures\":[\"AlbertForSequenceClassification\"],\"vocab_size\":80,"
     "\"embedding_size\":18,\"hidden_size\":48,\"num_hidden_layers\":3,\"num_attention_heads\":4,"
     "\"intermediate_size\":102,\"max_position_embeddings\":130,\"initializer_range\":0.15,"
     "\"pruned_heads\":{\"0\":[2]}}",
     0.7},
    {"{\"model_type\":\"mpnet\",\"architectures\":[\"MPNetForQuestionAnswering\"],\"vocab_size\":97,\"hidden_size\":48,"
     "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"intermediate_size\":64,\"max_position_embeddings\":152,"
     "\"initializer_range\":0.2,\"pruned_heads\":{\"1\":[0,2]}}",
     0},
};

static const uint32_t lengths[] = {3, 64, 1, 129, 17, 60, 2, 128, 33};
enum { SEQUENCES = sizeof lengths / sizeof *lengths, POSITIONS = 41 };

/* How the activations get their steps and which linear layers take floats; the mixtures are drawn. */
enum how {
    PER_TOKEN,
    STATIC,
    PER_TOKEN_FP32,
    STATIC_FP32,
    PER_TOKEN_BF16,
    STATIC_BF16,
    PER_TOKEN_SMOOTH,
    STATIC_SMOOTH,
    HOW_COUNT
};
static const char *const how_names[] = {"per token",
                                        "static",
                                        "per token, some fp32",
                                        "static, some fp32",
                                        "per token, some bf16",
                                        "static, some bf16",
                                        "per token, some fp32, smoothed",
                                        "static, some fp32, smoothed"};

static bool is_static(enum how how)
{
    return how % 2 == STATIC;
}

struct fixture {
    esp_context *ctx;
    const char *scratch;
    char path[ESPI_PATH_BYTES];
    struct espi_checkpoint checkpoint;
    struct espi_esp_model model;
    struct espi_plan plan;
    struct test_batch batch;
    uint32_t positions[POSITIONS];
};

static void open_fixture(struct fixture *f, size_t model, enum how how)
{
    *f = (struct fixture){.ctx = esp_context_new(), .scratch = test_scratch()};
    snprintf(f->path, sizeof f->path, "%.200s/model.esp", f->scratch);
    test_random_model(f->ctx, models[model].config, models[model].sparsity, model + 1, &f->checkpoint);
    static struct test_batch examples[2];
    struct espi_batch batches[2];
    for (size_t i = 0; i < 2; i++) {
        test_batch_random(&examples[i], &f->checkpoint.config, lengths, SEQUENCES, 50 + i);
        batches[i] = examples[i].batch;
    }
    float *factors = NULL;
    if (how >= PER_TOKEN_SMOOTH)
        test_ok(f->ctx,
                espi_smooth(f->ctx, &f->checkpoint, batches, 2, 0.5, &(struct espi_calibrate_pass){0}, &factors));
    enum espi_precision precisions[3 * ESPI_LINEAR_COUNT];
    enum espi_precision fallback = how == PER_TOKEN_BF16 || how == STATIC_BF16 ? ESPI_BF16 : ESPI_FP32;
    struct espi_random draw = {.seed = 31, .stream = model};
    for (size_t i = 0; i < ESPI_COUNT(precisions); i++)
        precisions[i] = espi_random_below(&draw, 2) ? fallback : ESPI_INT8;
    struct espi_scale points[3][ESPI_POINT_COUNT];
    struct espi_calibrate_options calibrate = {.method = ESPI_CALIBRATE_MINMAX, .factors = factors};
    test_ok(f->ctx, espi_calibrate(f->ctx, &f->checkpoint, batches, 2, &calibrate, points));
    const struct espi_scale(*fixed)[ESPI_POINT_COUNT] = (const struct espi_scale(*)[ESPI_POINT_COUNT])points;
    struct espi_compile_options options = {.sparse = ESPI_SPARSE_ALWAYS,
                                           .points = is_static(how) ? fixed : NULL,
                                           .factors = factors,
                                           .precisions = how >= PER_TOKEN_FP32 ? precisions : NULL};
    test_ok(f->ctx, espi_compile(f->ctx, &f->checkpoint, &options, f->path, NULL));
    free(factors);
    test_ok(f->ctx, espi_esp_model_open(f->ctx, f->path, &f->model));
    test_ok(f->ctx, espi_plan_make(f->ctx, &f->model, &f->plan));
    test_batch_random(&f->batch, &f->checkpoint.config, lengths, SEQUENCES, 7);
    struct espi_random random = {.seed = 9};
    for (size_t i = 0; i < POSITIONS; i++)
        f->positions[i] = (uint32_t)espi_random_below(&random, f->batch.batch.tokens);
}

static void close_fixture(struct fixture *f)
{
    espi_plan_clear(&f->plan);
    espi_esp_model_close(&f->model);
    espi_checkpoint_clear(&f->checkpoint);
    test_scratch_remove(f->scratch);
    esp_context_free(f->ctx);
}

static bool has_result(const struct espi_config *config, enum espi_result result)
{
    switch (result) {
    case ESPI_RESULT_HIDDEN:
    case ESPI_RESULT_EMBEDDING:
        return true;
    case ESPI_RESULT_POOLED:
        return espi_config_has_pooler(config);
    case ESPI_RESULT_TOKEN_LOGITS:
        return config->head == ESPI_HEAD_QA || config->head == ESPI_HEAD_TOKEN;
    case ESPI_RESULT_SEQUENCE_LOGITS:
        return config->head == ESPI_HEAD_SEQUENCE;
    case ESPI_RESULT_VOCAB_LOGITS:
        return config->head == ESPI_HEAD_MLM;
    }
    return false;
}

/* Runs and returns a new block. */
static float *run(esp_context *ctx, struct espi_engine *engine, const struct espi_batch *batch, enum espi_result result,
                  const uint32_t *positions, size_t *count)
{
    struct espi_wanted wanted = {.result = result, .positions = positions, .position_count = POSITIONS};
    *count = espi_result_size(engine->config, batch, &wanted);
    wanted.out = calloc(*count + 1, sizeof *wanted.out);
    assert_non_null(wanted.out);
    test_ok(ctx, engine->run(engine, ctx, batch, &wanted));
    return wanted.out;
}

static void assert_same_bits(const float *a, const float *b, size_t count, const char *what)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("%s: value %zu of %zu: %.9g and %.9g", what, i, count, (double)a[i], (double)b[i]);
}

/* Every result of two engines on the fixture's batch. */
static void compare_engines(struct fixture *f, struct espi_engine *a, struct espi_engine *b, const char *what)
{
    for (int result = 0; result <= ESPI_RESULT_VOCAB_LOGITS; result++) {
        size_t count;
        if (!has_result(a->config, (enum espi_result)result))
            continue;
        float *x = run(f->ctx, a, &f->batch.batch, (enum espi_result)result, f->positions, &count);
        float *y = run(f->ctx, b, &f->batch.batch, (enum espi_result)result, f->positions, &count);
        assert_same_bits(x, y, count, what);
        free(x);
        free(y);
    }
}

#define FOR_EACH_MODEL(f, model, how)                                                                                  \
    struct fixture f;                                                                                                  \
    for (size_t model = 0; model < ESPI_COUNT(models); model++)                                                        \
        for (enum how how = 0; how < HOW_COUNT; how++)                                                                 \
            if (test_takes(model * HOW_COUNT + how))

/* ---- close to fp32 ------------------------------------------------------------------------------------------------- */

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

/* Weights ten times as large as those of real models: attention is sharp, errors grow. */
static void test_close_to_fp32(void **state)
{
    (void)state;
    FOR_EACH_MODEL(f, model, how)
    {
        open_fixture(&f, model, how);
        struct espi_engine *fp32, *int8;
        test_ok(f.ctx, espi_network_engine_new(f.ctx, &f.checkpoint.config, &f.checkpoint.params, NULL, &fp32));
        test_ok(f.ctx, espi_session_new(f.ctx, &f.plan, NULL, 0, &int8));
        for (int result = 0; result <= ESPI_RESULT_VOCAB_LOGITS; result++) {
            size_t count;
            if (!has_result(fp32->config, (enum espi_result)result))
                continue;
            float *x = run(f.ctx, fp32, &f.batch.batch, (enum espi_result)result, f.positions, &count);
            float *y = run(f.ctx, int8, &f.batch.batch, (enum espi_result)result, f.positions, &count);
            double similarity = cosine(count, x, y);
            if (similarity < 0.99)
                fail_msg("model %zu, %s, result %d: cosine %.5f", model, how_names[how], result, similarity);
            free(x);
            free(y);
        }
        fp32->free(fp32);
        int8->free(int8);
        close_fixture(&f);
    }
}

/* A profile changes no bit, fills the row of every step, and stays as it is once it is taken away. */
static void test_profile(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 0, PER_TOKEN);
    for (size_t threads = 1; threads <= 3; threads += 2) {
        struct espi_engine *plain, *profiled;
        struct espi_team *team;
        size_t steps = f.plan.length + 1;
        double *seconds = calloc(threads * steps, sizeof *seconds), total = 0;
        test_ok(f.ctx, espi_team_new(f.ctx, threads, &team));
        test_ok(f.ctx, espi_session_new(f.ctx, &f.plan, NULL, 0, &plain));
        test_ok(f.ctx, espi_session_new(f.ctx, &f.plan, team, 0, &profiled));
        espi_session_profile(profiled, seconds);
        compare_engines(&f, plain, profiled, "profiled");
        for (size_t step = 0; step < steps; step++) {
            double spent = 0;
            for (size_t thread = 0; thread < threads; thread++)
                spent += seconds[thread * steps + step];
            assert_true(spent > 0);
            total += spent;
        }
        espi_session_profile(profiled, NULL);
        compare_engines(&f, plain, profiled, "no longer profiled");
        for (size_t i = 0; i < threads * steps; i++)
            total -= seconds[i];
        assert_true(fabs(total) < 1e-9);
        free(seconds);
        profiled->free(profiled);
        plain->free(plain);
        espi_team_free(team);
    }
    close_fixture(&f);
}

/* ---- the same bits --------------------------------------------------------------------------------------------------- */

static void test_threads_and_capacity(void **state)
{
    (void)state;
    FOR_EACH_MODEL(f, model, how)
    {
        open_fixture(&f, model, how);
        struct espi_engine *one, *other;
        test_ok(f.ctx, espi_session_new(f.ctx, &f.plan, NULL, 1024, &one));
        static const struct {
            size_t threads, capacity;
        } settings[] = {{2, 1024}, {3, 1024}, {1, 0}, {3, 200}, {7, 300}};
        for (size_t i = 0; i < ESPI_COUNT(settings); i++) {
            struct espi_team *team;
            char what[64];
            snprintf(what, sizeof what, "%zu threads, capacity %zu", settings[i].threads, settings[i].capacity);
            test_ok(f.ctx, espi_team_new(f.ctx, settings[i].threads, &team));
            test_ok(f.ctx, espi_session_new(f.ctx, &f.plan, team, settings[i].capacity, &other));
            compare_engines(&f, one, other, what);
            other->free(other);
            espi_team_free(team);
        }
        one->free(one);
        close_fixture(&f);
    }
}

static void test_isas(void **state)
{
    (void)state;
    FOR_EACH_MODEL(f, model, how)
    {
        if (how >= PER_TOKEN_BF16)
            continue; // bf16 dot products round as each CPU does
        open_fixture(&f, model, how);
        struct espi_engine *best, *capped;
        test_ok(f.ctx, espi_session_new(f.ctx, &f.plan, NULL, 0, &best));
        for (size_t isa = 0; isa < ESPI_ISA_COUNT; isa++) {
            struct espi_plan plan = {0};
            setenv("ESPALIER_ISA", espi_isa_name((enum espi_isa)isa), 1);
            test_ok(f.ctx, espi_plan_make(f.ctx, &f.model, &plan));
            unsetenv("ESPALIER_ISA");
            test_ok(f.ctx, espi_session_new(f.ctx, &plan, NULL, 0, &capped));
            compare_engines(&f, best, capped, espi_isa_name((enum espi_isa)isa));
            capped->free(capped);
            espi_plan_clear(&plan);
        }
        best->free(best);
        close_fixture(&f);
    }
}

/* Each sequence alone, and all of them in another order, give what they give together. */
static void test_neighbours(void **state)
{
    (void)state;
    FOR_EACH_MODEL(f, model, how)
    {
        open_fixture(&f, model, how);
        struct espi_engine *engine;
        static struct test_batch turned, alone;
        size_t count, hidden = f.checkpoint.config.hidden;
        const struct test_batch *all = &f.batch;
        turned = (struct test_batch){0};
        for (size_t s = SEQUENCES; s-- > 0;)
            test_batch_add(&turned, all->ids + all->starts[s], all->types + all->starts[s],
                           all->starts[s + 1] - all->starts[s]);
        test_ok(f.ctx, espi_session_new(f.ctx, &f.plan, NULL, 0, &engine));
        float *together = run(f.ctx, engine, &all->batch, ESPI_RESULT_HIDDEN, NULL, &count);
        float *backwards = run(f.ctx, engine, &turned.batch, ESPI_RESULT_HIDDEN, NULL, &count);
        for (size_t s = 0; s < SEQUENCES; s++) {
            uint32_t begin = all->starts[s], length = all->starts[s + 1] - begin;
            alone = (struct test_batch){0};
            test_batch_add(&alone, all->ids + begin, all->types + begin, length);
            float *single = run(f.ctx, engine, &alone.batch, ESPI_RESULT_HIDDEN, NULL, &count);
            assert_same_bits(single, together + begin * hidden, count, "alone");
            assert_same_bits(single, backwards + turned.starts[SEQUENCES - 1 - s] * hidden, count, "other order");
            free(single);
        }
        free(together);
        free(backwards);
        engine->free(engine);
        close_fixture(&f);
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------------ */

static void test_run_allocates_nothing(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); // their allocators keep no such count
#endif
    FOR_EACH_MODEL(f, model, how)
    {
        open_fixture(&f, model, how);
        struct espi_engine *engine;
        struct espi_team *team;
        static float out[TEST_BATCH_TOKENS * 601];
        test_ok(f.ctx, espi_team_new(f.ctx, 2, &team));
        test_ok(f.ctx, espi_session_new(f.ctx, &f.plan, team, 256, &engine));
        for (int result = 0; result <= ESPI_RESULT_VOCAB_LOGITS; result++) {
            if (!has_result(engine->config, (enum espi_result)result))
                continue;
            struct espi_wanted wanted = {
                .result = (enum espi_result)result, .positions = f.positions, .position_count = POSITIONS, .out = out};
            size_t before = mallinfo2().uordblks;
            test_ok(f.ctx, engine->run(engine, f.ctx, &f.batch.batch, &wanted));
            assert_int_equal(mallinfo2().uordblks, before);
        }
        engine->free(engine);
        espi_team_free(team);
        close_fixture(&f);
    }
}

static size_t up(size_t bytes)
{
    return espi_round_up(bytes, 64);
}

/* The formula of docs/format.md, written down once more. */
static size_t formula(const struct fixture *f, bool fixed, size_t capacity, size_t threads)
{
    size_t dense = 0; // columns of the widest dense layer
    for (size_t layer = 0; layer < f->checkpoint.config.layers; layer++) {
        const struct espi_esp_layer *l = &f->model.layers[layer];
        const struct espi_quads *linears[] = {&l->qkv.quads, &l->attention_out.quads, &l->ffn_in.quads,
                                              &l->ffn_out.quads};
        for (size_t i = 0; i < ESPI_COUNT(linears); i++)
            dense = espi_size_max(dense, linears[i]->starts ? 0 : espi_round_up(linears[i]->columns, 4));
    }
    const struct espi_config *c = &f->checkpoint.config;
    size_t h = c->hidden, i = c->intermediate, e = c->block.embedding, size = h / c->heads, longest = c->max_positions;
    enum espi_curve curve;
    bool table = fixed && espi_esp_curve(c->activation, &curve);
    size_t value = fixed ? 1 : 4, tokens = up(espi_size_max(capacity, longest)), keys = espi_round_up(longest, 16);
    size_t head = up(up(longest) * size + 2 * keys * size + 4 * keys);
    size_t batch = up(tokens * h * 4) + up(tokens * 3 * h * value) + up(tokens * h * value);
    size_t thread = 64 * h + 64 * i + (table ? 0 : 256 * i) + 64 * dense + 3 * 256 +
                    (fixed ? 0 : 2 * 256 + up(size * 4)) + head + up(keys * 64 * 3 + (keys + 80) * size) +
                    2 * up(espi_size_max(h, e) * 64) + 256 * e +
                    (c->block.buckets ? up(2 * (longest - 1 + up(longest))) : 0);
    return batch + threads * thread;
}

static void test_workspace_formula(void **state)
{
    (void)state;
    FOR_EACH_MODEL(f, model, how)
    {
        if (how > STATIC)
            continue;
        open_fixture(&f, model, how);
        static const size_t capacities[] = {0, 129, 512, 1000, 100000};
        for (size_t i = 0; i < ESPI_COUNT(capacities); i++)
            for (size_t threads = 1; threads < 4; threads++) {
                size_t bytes;
                test_ok(f.ctx, espi_session_bytes(f.ctx, &f.plan, capacities[i], threads, &bytes));
                assert_int_equal(bytes, formula(&f, how == STATIC, capacities[i], threads));
            }
        size_t bytes;
        test_fails(f.ctx, espi_session_bytes(f.ctx, &f.plan, SIZE_MAX, 1, &bytes), ESP_ERR_LIMIT);
        test_error_has(f.ctx, "capacity");
        close_fixture(&f);
    }
}

/* ---- refusals ----------------------------------------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 0, PER_TOKEN);
    struct espi_engine *engine;
    float out[16];
    test_ok(f.ctx, espi_session_new(f.ctx, &f.plan, NULL, 0, &engine));
    struct espi_wanted wanted = {.result = ESPI_RESULT_SEQUENCE_LOGITS, .out = out};
    test_fails(f.ctx, engine->run(engine, f.ctx, &f.batch.batch, &wanted), ESP_ERR_UNSUPPORTED);
    test_error_has(f.ctx, "no sequence classification head");
    wanted.result = ESPI_RESULT_POOLED;
    test_fails(f.ctx, engine->run(engine, f.ctx, &f.batch.batch, &wanted), ESP_ERR_UNSUPPORTED);
    test_error_has(f.ctx, "no pooler");
    f.batch.ids[5] = 97;
    wanted.result = ESPI_RESULT_HIDDEN;
    test_fails(f.ctx, engine->run(engine, f.ctx, &f.batch.batch, &wanted), ESP_ERR_ARGUMENT);
    test_error_has(f.ctx, "expected an id from 0 to 96, found 97");
    struct espi_batch empty = {.starts = f.batch.starts};
    test_ok(f.ctx, engine->run(engine, f.ctx, &empty, &wanted));
    engine->free(engine);
    close_fixture(&f);

    open_fixture(&f, 2, STATIC);
    test_ok(f.ctx, espi_session_new(f.ctx, &f.plan, NULL, 0, &engine));
    uint32_t outside = (uint32_t)f.batch.batch.tokens;
    wanted = (struct espi_wanted){
        .result = ESPI_RESULT_VOCAB_LOGITS, .positions = &outside, .position_count = 1, .out = out};
    test_fails(f.ctx, engine->run(engine, f.ctx, &f.batch.batch, &wanted), ESP_ERR_ARGUMENT);
    test_error_has(f.ctx, "position 0: expected a token below");
    engine->free(engine);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_to_fp32),        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_threads_and_capacity), cmocka_unit_test(test_isas),
        cmocka_unit_test(test_neighbours),           cmocka_unit_test(test_run_allocates_nothing),
        cmocka_unit_test(test_workspace_formula),    cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
