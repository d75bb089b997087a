/* SPDX-License-Identifier: Apache-2.0
 * Migration of scales: the same function in fp32, less error in int8 on models with outlying channels. */
#include "create/compile/compile.h"
#include "create/compile/smooth.h"
#include "create/network/network.h"
#include "run/session.h"

#include "random_model.h"

#include <math.h>
#include <stdlib.h>

enum { GELU_MODEL, RELU_MODEL, MODELS };
static const char *const configs[MODELS] = {
    "{\"model_type\":\"bert\",\"architectures\":[\"BertForQuestionAnswering\"],\"vocab_size\":97,\"hidden_size\":64,"
    "\"num_hidden_layers\":3,\"num_attention_heads\":4,\"intermediate_size\":128,\"max_position_embeddings\":150,"
    "\"initializer_range\":0.08}",
    "{\"model_type\":\"distilbert\",\"architectures\":[\"DistilBertForSequenceClassification\"],\"vocab_size\":80,"
    "\"dim\":48,\"n_layers\":2,\"n_heads\":2,\"hidden_dim\":96,\"max_position_embeddings\":129,\"num_labels\":3,"
    "\"activation\":\"relu\",\"initializer_range\":0.1}",
};
static const uint32_t lengths[] = {3, 64, 1, 129, 17, 60};
enum { SEQUENCES = sizeof lengths / sizeof *lengths };

struct fixture {
    esp_context *ctx;
    struct espi_checkpoint checkpoint;
    struct test_batch batch;
    size_t count; // values of a hidden state
};

static void open_fixture(struct fixture *f, size_t model)
{
    *f = (struct fixture){.ctx = esp_context_new()};
    test_random_model(f->ctx, configs[model], 0.5, 3, &f->checkpoint);
    test_batch_random(&f->batch, &f->checkpoint.config, lengths, SEQUENCES, 7);
    f->count = f->batch.batch.tokens * f->checkpoint.config.hidden;
}

static void close_fixture(struct fixture *f)
{
    espi_checkpoint_clear(&f->checkpoint);
    esp_context_free(f->ctx);
}

enum { OUTLIER = 25 };

/* Elements first … first + count - 1 of a tensor. */
static void scale(struct fixture *f, enum espi_role role, size_t layer, size_t first, size_t count, float factor)
{
    float *data = espi_params_data(&f->checkpoint.params, role, layer);
    for (size_t i = first; i < first + count; i++)
        data[i] *= factor;
}

/* What a channel says stays what it was: whoever reads it takes less of it. */
static void read_less(struct fixture *f, enum espi_role role, size_t layer, size_t rows, size_t columns, size_t channel)
{
    for (size_t row = 0; row < rows; row++)
        scale(f, role, layer, row * columns + channel, 1, 1.0f / OUTLIER);
}

/* A channel far larger than the others: of every input of a linear layer that can be smoothed. */
static void add_outliers(struct fixture *f)
{
    const struct espi_config *config = &f->checkpoint.config;
    size_t hidden = config->hidden, inner = config->intermediate;
    scale(f, ESPI_EMBED_NORM_W, 0, 5, 1, OUTLIER);
    read_less(f, ESPI_QUERY_W, 0, 3 * hidden, hidden, 5);
    for (size_t layer = 0; layer < config->layers; layer++) {
        scale(f, ESPI_ATTENTION_NORM_W, layer, 11, 1, OUTLIER);
        read_less(f, ESPI_FFN_IN_W, layer, inner, hidden, 11);
        scale(f, ESPI_VALUE_W, layer, 7 * hidden, hidden, OUTLIER); // row 7
        read_less(f, ESPI_ATTENTION_OUT_W, layer, hidden, hidden, 7);
        if (config->activation != ESPI_RELU)
            continue;
        scale(f, ESPI_FFN_IN_W, layer, 9 * hidden, hidden, OUTLIER);
        read_less(f, ESPI_FFN_OUT_W, layer, hidden, inner, 9);
    }
}

static float *run(struct fixture *f, struct espi_engine *engine)
{
    float *out = calloc(f->count, sizeof *out);
    struct espi_wanted wanted = {.result = ESPI_RESULT_HIDDEN, .out = out};
    test_ok(f->ctx, engine->run(engine, f->ctx, &f->batch.batch, &wanted));
    engine->free(engine);
    return out;
}

static float *run_fp32(struct fixture *f)
{
    struct espi_engine *engine;
    test_ok(f->ctx, espi_network_engine_new(f->ctx, &f->checkpoint.config, &f->checkpoint.params, NULL, &engine));
    return run(f, engine);
}

static float *run_int8(struct fixture *f, bool per_token, const float *factors)
{
    struct espi_scale points[3][ESPI_POINT_COUNT];
    struct espi_calibrate_options calibrate = {.method = ESPI_CALIBRATE_MINMAX, .factors = factors};
    struct espi_compile_options options = {.sparse = ESPI_SPARSE_ALWAYS, .factors = factors};
    struct espi_esp_model model;
    struct espi_plan plan;
    struct espi_engine *engine;
    unsigned char *image;
    size_t bytes;
    test_ok(f->ctx, espi_calibrate(f->ctx, &f->checkpoint, &f->batch.batch, 1, &calibrate, points));
    options.points = per_token ? NULL : (const struct espi_scale(*)[ESPI_POINT_COUNT])points;
    test_ok(f->ctx, espi_compile_image(f->ctx, &f->checkpoint, &options, &image, &bytes, NULL));
    test_ok(f->ctx, espi_esp_model_parse(f->ctx, "image", image, bytes, &model));
    assert_true((factors != NULL) == (model.embed_norm.factor != NULL));
    assert_true((factors != NULL) == (model.layers[0].attention_norm.factor != NULL));
    assert_null(model.layers[model.config.layers - 1].ffn_norm.factor); // nothing makes bytes of it
    test_ok(f->ctx, espi_plan_make(f->ctx, &model, &plan));
    test_ok(f->ctx, espi_session_new(f->ctx, &plan, NULL, 0, &engine));
    float *out = run(f, engine);
    espi_plan_clear(&plan);
    espi_esp_model_close(&model);
    free(image);
    return out;
}

/* Root of the mean squared difference. */
static double difference(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum / (double)count);
}

/* The checkpoint computes what it did, and its weights did change. */
static void test_same_function(void **state)
{
    (void)state;
    for (size_t model = 0; model < MODELS; model++)
        for (double alpha = 0; alpha <= 1; alpha += 0.5) {
            struct fixture f;
            float *factors;
            open_fixture(&f, model);
            add_outliers(&f);
            float *before = run_fp32(&f);
            const float *inner = espi_params_data(&f.checkpoint.params, ESPI_FFN_IN_B, 0);
            const float *value = espi_params_data(&f.checkpoint.params, ESPI_VALUE_B, 0);
            float inner_before = *inner, value_before = *value;
            test_ok(f.ctx, espi_smooth(f.ctx, &f.checkpoint, &f.batch.batch, 1, alpha, &(struct espi_calibrate_pass){0},
                                       &factors));
            float *after = run_fp32(&f);
            for (size_t i = 0; i < f.count; i++)
                assert_true(fabsf(before[i] - after[i]) <= 1e-4f * (1 + fabsf(before[i])));
            assert_true(*value != value_before);
            assert_true((*inner != inner_before) == (model == RELU_MODEL)); // GELU does not let a scale through
            free(factors);
            free(before);
            free(after);
            close_fixture(&f);
        }
}

static void test_less_error(void **state)
{
    (void)state;
    for (size_t model = 0; model < MODELS; model++)
        for (int per_token = 0; per_token < 2; per_token++) {
            struct fixture f;
            float *factors;
            open_fixture(&f, model);
            add_outliers(&f);
            float *exact = run_fp32(&f), *plain = run_int8(&f, per_token, NULL);
            test_ok(f.ctx, espi_smooth(f.ctx, &f.checkpoint, &f.batch.batch, 1, 0.7, &(struct espi_calibrate_pass){0},
                                       &factors));
            float *smoothed = run_int8(&f, per_token, factors);
            double before = difference(exact, plain, f.count), after = difference(exact, smoothed, f.count);
            print_message("model %zu, %s: error %.4f, smoothed %.4f\n", model, per_token ? "per token" : "static",
                          before, after);
            assert_true(after < 0.7 * before);
            free(factors);
            free(exact);
            free(plain);
            free(smoothed);
            close_fixture(&f);
        }
}

/* A channel that no weight reads takes no room of the others, whatever stands in it. */
static void test_unread_channel(void **state)
{
    (void)state;
    struct fixture f;
    float *factors;
    open_fixture(&f, GELU_MODEL);
    scale(&f, ESPI_ATTENTION_NORM_W, 0, 11, 1, 100);
    float *weights = espi_params_data(&f.checkpoint.params, ESPI_FFN_IN_W, 0);
    for (size_t row = 0; row < f.checkpoint.config.intermediate; row++)
        weights[row * f.checkpoint.config.hidden + 11] = 0;
    test_ok(f.ctx, espi_smooth(f.ctx, &f.checkpoint, &f.batch.batch, 1, 1, &(struct espi_calibrate_pass){0}, &factors));
    const float *of_ffn = espi_smooth_factors(factors, f.checkpoint.config.hidden, 0, ESPI_SMOOTH_FFN_IN);
    assert_true(of_ffn[11] == 0 && of_ffn[10] > 0);
    /* With alpha 1 every other channel ends at a largest magnitude of 1, which is then the range. */
    struct espi_scale points[3][ESPI_POINT_COUNT];
    struct espi_calibrate_options calibrate = {.method = ESPI_CALIBRATE_MINMAX, .factors = factors};
    test_ok(f.ctx, espi_calibrate(f.ctx, &f.checkpoint, &f.batch.batch, 1, &calibrate, points));
    assert_true(points[0][ESPI_POINT_FFN_INPUT].scale <= 2.001f / 255);
    float *out = run_int8(&f, false, factors);
    for (size_t i = 0; i < f.count; i++)
        assert_true(isfinite(out[i]));
    free(out);
    free(factors);
    close_fixture(&f);
}

static bool yes(void *cookie)
{
    (void)cookie;
    return true;
}

static void test_interruption(void **state)
{
    (void)state;
    struct fixture f;
    float *factors;
    struct espi_scale points[3][ESPI_POINT_COUNT];
    const struct espi_calibrate_options how = {.pass = {.watch = {.stop = yes}}};
    open_fixture(&f, GELU_MODEL);
    test_fails(f.ctx, espi_smooth(f.ctx, &f.checkpoint, &f.batch.batch, 1, 0.5, &how.pass, &factors),
               ESP_ERR_CANCELLED);
    test_fails(f.ctx, espi_calibrate(f.ctx, &f.checkpoint, &f.batch.batch, 1, &how, points), ESP_ERR_CANCELLED);
    close_fixture(&f);
}

static void test_refusals(void **state)
{
    (void)state;
    struct fixture f;
    float *factors;
    open_fixture(&f, GELU_MODEL);
    test_fails(f.ctx,
               espi_smooth(f.ctx, &f.checkpoint, &f.batch.batch, 1, 1.5, &(struct espi_calibrate_pass){0}, &factors),
               ESP_ERR_ARGUMENT);
    test_error_has(f.ctx, "alpha from 0 to 1, found 1.5");
    test_fails(f.ctx,
               espi_smooth(f.ctx, &f.checkpoint, &f.batch.batch, 0, 0.5, &(struct espi_calibrate_pass){0}, &factors),
               ESP_ERR_ARGUMENT);
    test_error_has(f.ctx, "no examples");
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_function), cmocka_unit_test(test_less_error),
                                       cmocka_unit_test(test_unread_channel), cmocka_unit_test(test_interruption),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
