/* SPDX-License-Identifier: Apache-2.0
 * Quantization-aware training against the compiled runtime, and its gradients, ranges and file. */
#include "base/simd.h"
#include "create/compile/compile.h"
#include "create/quantize/fake_quant.h"
#include "create/quantize/quantize.h"
#include "run/session.h"

#include "random_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const configs[] = {
    "{\"model_type\":\"bert\",\"architectures\":[\"BertForQuestionAnswering\"],\"vocab_size\":97,\"hidden_size\":64,"
    "\"num_hidden_layers\":3,\"num_attention_heads\":4,\"intermediate_size\":128,\"max_position_embeddings\":150,"
    "\"initializer_range\":0.08}",
    "{\"model_type\":\"distilbert\",\"architectures\":[\"DistilBertForSequenceClassification\"],\"vocab_size\":80,"
    "\"dim\":48,\"n_layers\":2,\"n_heads\":2,\"hidden_dim\":96,\"max_position_embeddings\":129,\"num_labels\":3,"
    "\"activation\":\"relu\",\"initializer_range\":0.1,\"pruned_heads\":{\"0\":[1]}}",
};
static const uint32_t lengths[] = {3, 64, 1, 129, 17, 60};
enum { SEQUENCES = sizeof lengths / sizeof *lengths };

struct fixture {
    esp_context *ctx;
    struct espi_checkpoint checkpoint;
    struct espi_network *network;
    struct espi_fake_quant *quant;
    struct test_batch batch;
    float *hidden; // (tokens, hidden)
    size_t count;
};

static void open_with(struct fixture *f, size_t config, struct espi_fake_quant_options options,
                      const uint32_t *sequence_lengths)
{
    *f = (struct fixture){.ctx = esp_context_new()};
    test_random_model(f->ctx, configs[config], 0.5, 3, &f->checkpoint);
    for (size_t i = 0; i < f->checkpoint.params.length; i++) { // the compiled file has the embeddings in bf16
        const struct espi_param *param = &f->checkpoint.params.list[i];
        for (size_t k = param->offset; param->role <= ESPI_EMBED_TYPE && k < param->offset + param->count; k++)
            f->checkpoint.params.slab[k] =
                espi_float_of_bits((uint32_t)espi_bf16_from_float(f->checkpoint.params.slab[k]) << 16);
    }
    f->checkpoint.config.hidden_dropout = f->checkpoint.config.attention_dropout = 0;
    test_batch_random(&f->batch, &f->checkpoint.config, sequence_lengths, SEQUENCES, 7);
    test_ok(f->ctx, espi_network_new(f->ctx, &f->checkpoint.config, &f->checkpoint.params, ESPI_COMPUTE_F32, NULL,
                                     &f->network));
    test_ok(f->ctx, espi_fake_quant_new(f->ctx, &f->checkpoint.config, &options, NULL, &f->quant));
    f->count = f->batch.batch.tokens * f->checkpoint.config.hidden;
    f->hidden = calloc(f->count, sizeof *f->hidden);
}

static void open_fixture(struct fixture *f, size_t config, struct espi_fake_quant_options options)
{
    open_with(f, config, options, lengths);
}

static void close_fixture(struct fixture *f)
{
    espi_network_free(f->network);
    espi_fake_quant_free(f->quant);
    espi_checkpoint_clear(&f->checkpoint);
    free(f->hidden);
    esp_context_free(f->ctx);
}

static void forward(struct fixture *f, bool train)
{
    struct espi_pass pass = {
        .batch = &f->batch.batch, .wanted = {.result = ESPI_RESULT_HIDDEN, .out = f->hidden}, .train = train};
    test_ok(f->ctx, espi_network_forward(f->ctx, f->network, &pass));
}

/* Root of the mean squared difference. */
static double difference(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum / (double)count);
}

/* The hidden state as the compiled model gives it; the caller frees it. */
static float *run_compiled(struct fixture *f, struct espi_scale (*points)[ESPI_POINT_COUNT])
{
    struct espi_compile_options options = {.sparse = ESPI_SPARSE_ALWAYS,
                                           .points = (const struct espi_scale(*)[ESPI_POINT_COUNT])points};
    struct espi_esp_model model;
    struct espi_plan plan;
    struct espi_engine *engine;
    unsigned char *image;
    size_t bytes;
    float *out = calloc(f->count, sizeof *out);
    struct espi_wanted wanted = {.result = ESPI_RESULT_HIDDEN, .out = out};
    test_ok(f->ctx, espi_compile_image(f->ctx, &f->checkpoint, &options, &image, &bytes, NULL));
    test_ok(f->ctx, espi_esp_model_parse(f->ctx, "image", image, bytes, &model));
    test_ok(f->ctx, espi_plan_make(f->ctx, &model, &plan));
    test_ok(f->ctx, espi_session_new(f->ctx, &plan, NULL, 0, &engine));
    test_ok(f->ctx, engine->run(engine, f->ctx, &f->batch.batch, &wanted));
    engine->free(engine);
    espi_plan_clear(&plan);
    espi_esp_model_close(&model);
    free(image);
    return out;
}

struct differences {
    double plain, quantized; // of fp32 and of fake quantization from the compiled model
    size_t tokens, equal;    // equal: to 1e-5, with fake quantization
};

static size_t count_equal(const struct fixture *f, const float *compiled)
{
    size_t equal = 0, hidden = f->checkpoint.config.hidden;
    for (size_t t = 0; t < f->batch.batch.tokens; t++)
        equal += difference(f->hidden + t * hidden, compiled + t * hidden, hidden) < 1e-5;
    return equal;
}

static struct differences compare(size_t config, bool per_token, const uint32_t *sequence_lengths)
{
    struct fixture f;
    struct espi_scale(*points)[ESPI_POINT_COUNT] = NULL;
    const char *scratch = test_scratch();
    open_with(&f, config, (struct espi_fake_quant_options){.per_token = per_token, .freeze_step = 1}, sequence_lengths);
    test_ok(f.ctx, espi_network_refresh(f.ctx, f.network));
    forward(&f, false);
    float *plain = memcpy(malloc(f.count * sizeof *plain), f.hidden, f.count * sizeof *plain);
    espi_fake_quant_attach(f.quant, f.network);
    test_ok(f.ctx, espi_network_refresh(f.ctx, f.network));
    forward(&f, true); // finds the ranges
    forward(&f, false);
    test_ok(f.ctx, espi_fake_quant_write(f.ctx, f.quant, scratch));
    if (!per_token)
        assert_int_equal(espi_quantization_read(f.ctx, scratch, &f.checkpoint.config, &points), 1);
    float *compiled = run_compiled(&f, points);
    struct differences found = {.plain = difference(plain, compiled, f.count),
                                .quantized = difference(f.hidden, compiled, f.count),
                                .tokens = f.batch.batch.tokens,
                                .equal = count_equal(&f, compiled)};
    print_message("config %zu, %s: fp32 differs by %.5f from the runtime, with fake quantization by %.5f\n", config,
                  per_token ? "per token" : "static", found.plain, found.quantized);
    free(points);
    free(plain);
    free(compiled);
    close_fixture(&f);
    test_scratch_remove(scratch);
    return found;
}

/* What is left of the difference are attention's 8-bit probabilities: a third of it less at least. */
static void test_like_the_runtime(void **state)
{
    (void)state;
    for (size_t config = 0; config < 2; config++)
        for (int per_token = 0; per_token < 2; per_token++) {
            struct differences found = compare(config, per_token, lengths);
            assert_true(found.quantized < 0.75 * found.plain);
        }
}

/* Sequences of one token have one probability, 1: the results are equal, but for a token in which a value lies so close to
 * a rounding's edge that the order of a float sum decides. */
static void test_equal_to_the_runtime(void **state)
{
    (void)state;
    static const uint32_t ones[SEQUENCES] = {1, 1, 1, 1, 1, 1};
    for (size_t config = 0; config < 2; config++)
        for (int per_token = 0; per_token < 2; per_token++) {
            struct differences found = compare(config, per_token, ones);
            assert_int_equal(found.tokens, SEQUENCES);
            assert_true(found.equal >= SEQUENCES - 2);
        }
}

/* Ranges follow the batches until they are frozen, and come back from a saved state. */
static void test_ranges(void **state)
{
    (void)state;
    struct fixture f;
    struct espi_state list = {0};
    open_fixture(&f, 0, (struct espi_fake_quant_options){.ema = 0.5, .freeze_step = 2});
    espi_fake_quant_attach(f.quant, f.network);
    test_ok(f.ctx, espi_network_refresh(f.ctx, f.network));
    test_ok(f.ctx, espi_fake_quant_register(f.ctx, f.quant, &list));
    const float *ranges = list.items[0].data; // (layers, points, low and high)
    forward(&f, true);
    float first = ranges[1];
    assert_true(ranges[0] < 0 && first > 0);
    float *norm = espi_params_data(&f.checkpoint.params, ESPI_EMBED_NORM_W, 0);
    float *bias = espi_params_data(&f.checkpoint.params, ESPI_EMBED_NORM_B, 0);
    for (size_t i = 0; i < f.checkpoint.config.hidden; i++) {
        norm[i] *= 3; // so is the input of the first layer
        bias[i] *= 3;
    }
    espi_fake_quant_set_step(f.quant, 1);
    forward(&f, true);
    assert_true(fabsf(ranges[1] - 2 * first) < 1e-4f * first); // half the old, half three times it
    float second = ranges[1];
    forward(&f, false);
    assert_true(ranges[1] == second); // evaluation changes nothing
    espi_fake_quant_set_step(f.quant, 2);
    forward(&f, true);
    assert_true(ranges[1] == second); // frozen
    espi_state_clear(&list);
    close_fixture(&f);
}

/* Straight through inside the range, nothing where it was clipped: the gradient that enters at the input of the last
 * layer's filter leaves it with zeros in the places that the frozen ranges cut off. */
static void test_clipped(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 1, (struct espi_fake_quant_options){.freeze_step = 1});
    espi_fake_quant_attach(f.quant, f.network);
    test_ok(f.ctx, espi_network_refresh(f.ctx, f.network));
    forward(&f, true);
    const struct espi_param *bias = espi_params_find(&f.checkpoint.params, ESPI_FFN_IN_B, 1);
    size_t hot = 5; // one intermediate value far outside of its frozen range
    f.checkpoint.params.slab[bias->offset + hot] = 1000;
    espi_fake_quant_set_step(f.quant, 1);
    forward(&f, true);
    float *gradients = calloc(f.checkpoint.params.elements, sizeof *gradients);
    float *d_result = calloc(f.count, sizeof *d_result);
    for (size_t i = 0; i < f.count; i++)
        d_result[i] = (float)(i % 7) - 3;
    struct espi_backward backward = {.d_result = d_result, .gradients = gradients};
    test_ok(f.ctx, espi_network_backward(f.ctx, f.network, &backward));
    size_t others = 0;
    for (size_t i = 0; i < bias->count; i++)
        others += i != hot && gradients[bias->offset + i] != 0;
    assert_true(gradients[bias->offset + hot] == 0);
    assert_true(others > bias->count / 2);
    free(gradients);
    free(d_result);
    close_fixture(&f);
}

static void test_bad_files(void **state)
{
    (void)state;
    struct fixture f;
    struct espi_scale(*points)[ESPI_POINT_COUNT];
    const char *scratch = test_scratch();
    open_fixture(&f, 0, (struct espi_fake_quant_options){0});
    const struct espi_config *config = &f.checkpoint.config;
    assert_int_equal(espi_quantization_read(f.ctx, scratch, config, &points), 0);
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "quantization.json"},
        {"[]", "expected an object"},
        {"{}", "layers: expected an array"},
        {"{\"layers\":[]}", "layers: expected 3 layers, found 0"},
        {"{\"layers\":[{},{},{}]}", "layers[0].input: expected an array"},
        {"{\"layers\":[{\"input\":[-1,3]},{},{}]}", "layers[0].input: expected a scale"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        test_write(scratch, "quantization.json", cases[i].text, strlen(cases[i].text));
        assert_true(espi_quantization_read(f.ctx, scratch, config, &points) < 0);
        test_error_has(f.ctx, cases[i].message);
    }
    close_fixture(&f);
    test_scratch_remove(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_like_the_runtime),
                                       cmocka_unit_test(test_equal_to_the_runtime), cmocka_unit_test(test_ranges),
                                       cmocka_unit_test(test_clipped), cmocka_unit_test(test_bad_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
