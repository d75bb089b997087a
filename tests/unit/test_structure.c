/* SPDX-License-Identifier: Apache-2.0
 * Heads and neurons removed: the smaller model is the old one with them at zero, forward and backward. */
#include "create/prune/structure.h"

#include "create/distill/distill.h"
#include "create/network/network.h"
#include "hidden_states.h"
#include "random_model.h"

#include <math.h>
#include <stdlib.h>

static const char *const configs[] = {
    "{\"model_type\":\"bert\",\"architectures\":[\"BertForQuestionAnswering\"],\"vocab_size\":60,\"hidden_size\":24,"
    "\"num_hidden_layers\":3,\"num_attention_heads\":6,\"intermediate_size\":42,\"max_position_embeddings\":40,"
    "\"initializer_range\":0.2,\"hidden_dropout_prob\":0,\"attention_probs_dropout_prob\":0}",
    "{\"model_type\":\"distilbert\",\"architectures\":[\"DistilBertForTokenClassification\"],\"vocab_size\":60,"
    "\"dim\":32,\"n_layers\":3,\"n_heads\":4,\"hidden_dim\":50,\"max_position_embeddings\":40,\"num_labels\":3,"
    "\"initializer_range\":0.2,\"dropout\":0,\"attention_dropout\":0,\"pruned_heads\":{\"1\":[2]}}",
};

struct fixture {
    esp_context *ctx;
    struct espi_checkpoint whole, smaller;
    struct espi_importance importance;
    struct test_batch batch;
};

static void open_fixture(struct fixture *f, size_t config)
{
    static const uint32_t lengths[] = {5, 40, 1, 17};
    *f = (struct fixture){.ctx = esp_context_new()};
    test_random_model(f->ctx, configs[config], 0, 3, &f->whole);
    test_ok(f->ctx, espi_importance_new(f->ctx, &f->whole.config, &f->importance));
    test_batch_random(&f->batch, &f->whole.config, lengths, ESPI_COUNT(lengths), 4);
}

static void close_fixture(struct fixture *f)
{
    espi_importance_clear(&f->importance);
    espi_checkpoint_clear(&f->whole);
    espi_checkpoint_clear(&f->smaller);
    esp_context_free(f->ctx);
}

static void draw_importance(struct fixture *f)
{
    const struct espi_config *c = &f->whole.config;
    struct espi_random random = {.seed = 17};
    for (size_t i = 0; i < c->layers * c->heads; i++)
        f->importance.heads[i] = (double)espi_random_uniform(&random);
    for (size_t i = 0; i < c->layers * c->intermediate; i++)
        f->importance.neurons[i] = (double)espi_random_uniform(&random);
}

static void remove_some(struct fixture *f, double heads, double neurons, bool uniform)
{
    const struct espi_structure_options how = {.heads = heads, .neurons = neurons, .uniform = uniform};
    espi_checkpoint_clear(&f->smaller);
    test_ok(f->ctx, espi_structure_remove(f->ctx, &f->whole, &f->importance, &how, &f->smaller));
}

static bool lost(const struct espi_config *config, size_t layer, size_t head)
{
    return config->removed_heads && config->removed_heads[layer * config->heads + head];
}

/* Zeroes the columns of the output layers that belong to what the smaller model has not: heads by their numbers, neurons
 * by counting those of less worth. */
static void zero_removed(struct fixture *f)
{
    const struct espi_config *c = &f->whole.config, *small = &f->smaller.config;
    size_t size = c->hidden / c->heads;
    for (size_t layer = 0; layer < c->layers; layer++) {
        const struct espi_param *out = espi_params_find(&f->whole.params, ESPI_ATTENTION_OUT_W, layer);
        for (size_t head = 0, at = 0; head < c->heads; head++) {
            if (lost(c, layer, head))
                continue;
            for (size_t row = 0; lost(small, layer, head) && row < c->hidden; row++)
                for (size_t i = 0; i < size; i++)
                    f->whole.params.slab[out->offset + row * out->cols + at * size + i] = 0;
            at++;
        }
        const double *worth = f->importance.neurons + layer * c->intermediate;
        const struct espi_param *ffn = espi_params_find(&f->whole.params, ESPI_FFN_OUT_W, layer);
        for (size_t i = 0; i < c->intermediate; i++) {
            size_t worse = 0;
            for (size_t j = 0; j < c->intermediate; j++)
                worse += worth[j] < worth[i];
            for (size_t row = 0; worse < c->intermediate - small->intermediate && row < c->hidden; row++)
                f->whole.params.slab[ffn->offset + row * c->intermediate + i] = 0;
        }
    }
}

static void assert_near(const float *a, const float *b, size_t count, double bound)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= bound))
            fail_msg("value %zu of %zu: %.9g and %.9g", i, count, (double)a[i], (double)b[i]);
}

/* ---- the same model --------------------------------------------------------------------------------------------------- */

static void check_encoder(struct fixture *f)
{
    const struct espi_config *c = &f->whole.config;
    size_t count = (c->layers + 1) * f->batch.batch.tokens * c->hidden;
    float *x[2];
    const struct espi_checkpoint *models[] = {&f->whole, &f->smaller};
    for (size_t i = 0; i < 2; i++) {
        struct espi_engine *encoder;
        x[i] = calloc(count, sizeof **x);
        test_ok(f->ctx, espi_network_engine_new(f->ctx, &models[i]->config, &models[i]->params, NULL, &encoder));
        test_hidden_states(f->ctx, encoder, &f->batch.batch, x[i]);
        encoder->free(encoder);
    }
    assert_near(x[0], x[1], count, 1e-5);
    free(x[0]);
    free(x[1]);
}

/* Result and gradients of the trainable network; the gradients are laid out as the slab. */
static void run_network(struct fixture *f, const struct espi_checkpoint *model, float *out, float *gradients)
{
    struct espi_network *network;
    struct espi_pass pass = {
        .batch = &f->batch.batch, .wanted = {.result = ESPI_RESULT_TOKEN_LOGITS, .out = out}, .train = true};
    float d[3 * TEST_BATCH_TOKENS];
    struct espi_random random = {.seed = 8};
    for (size_t i = 0; i < ESPI_COUNT(d); i++)
        d[i] = espi_random_normal(&random);
    test_ok(f->ctx, espi_network_new(f->ctx, &model->config, &model->params, ESPI_COMPUTE_F32, NULL, &network));
    test_ok(f->ctx, espi_network_refresh(f->ctx, network));
    test_ok(f->ctx, espi_network_forward(f->ctx, network, &pass));
    struct espi_backward backward = {.d_result = d, .gradients = gradients};
    test_ok(f->ctx, espi_network_backward(f->ctx, network, &backward));
    espi_network_free(network);
}

/* The gradients of the whole model go through the same removal as its weights. */
static void check_network(struct fixture *f, const struct espi_structure_options *how)
{
    size_t count = f->batch.batch.tokens * f->whole.config.labels;
    float *x = calloc(count, sizeof *x), *y = calloc(count, sizeof *y);
    struct espi_checkpoint gradients = f->whole, picked;
    gradients.params.slab = espi_calloc_aligned(f->ctx, f->whole.params.elements, sizeof *x);
    float *small = espi_calloc_aligned(f->ctx, f->smaller.params.elements, sizeof *x);
    run_network(f, &f->whole, x, gradients.params.slab);
    run_network(f, &f->smaller, y, small);
    assert_near(x, y, count, 1e-5);
    test_ok(f->ctx, espi_structure_remove(f->ctx, &gradients, &f->importance, how, &picked));
    assert_int_equal(picked.params.elements, f->smaller.params.elements);
    assert_near(picked.params.slab, small, picked.params.elements, 1e-4);
    espi_checkpoint_clear(&picked);
    free(gradients.params.slab);
    free(small);
    free(x);
    free(y);
}

static void test_exact(void **state)
{
    (void)state;
    static const struct espi_structure_options options[] = {
        {.heads = 0.5, .neurons = 0.5}, {.heads = 2, .uniform = true}, {.heads = 2}, {.neurons = 7}, {.heads = 0.99}};
    for (size_t config = 0; config < ESPI_COUNT(configs); config++)
        for (size_t i = 0; i < ESPI_COUNT(options); i++) {
            struct fixture f;
            open_fixture(&f, config);
            draw_importance(&f);
            remove_some(&f, options[i].heads, options[i].neurons, options[i].uniform);
            zero_removed(&f);
            check_encoder(&f);
            check_network(&f, &options[i]);
            close_fixture(&f);
        }
}

/* ---- choice ------------------------------------------------------------------------------------------------------------- */

static size_t total_heads(const struct espi_config *config)
{
    size_t count = 0;
    for (size_t layer = 0; layer < config->layers; layer++) {
        size_t heads = espi_config_layer_heads(config, layer);
        assert_true(heads >= 1);
        count += heads;
    }
    return count;
}

static void test_choice(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 0); // 3 layers, 6 heads, 42 neurons
    draw_importance(&f);
    const struct espi_config *c = &f.smaller.config;
    remove_some(&f, 0.5, 0.5, false);
    assert_int_equal(total_heads(c), 9);
    assert_int_equal(c->intermediate, 24); // 21, rounded up to a multiple of 4
    remove_some(&f, 0.5, 5, true);
    for (size_t layer = 0; layer < 3; layer++)
        assert_int_equal(espi_config_layer_heads(c, layer), 3);
    assert_int_equal(c->intermediate, 37);
    remove_some(&f, 0.999, 0.999, false); // one is left of everything
    assert_int_equal(total_heads(c), 3);
    assert_int_equal(c->intermediate, 4);
    remove_some(&f, 0, 0.01, false);
    assert_null(c->removed_heads);
    assert_int_equal(c->intermediate, 42);

    /* The least of each layer's own scale goes, the last head of a layer never. */
    for (size_t i = 0; i < 18; i++)
        f.importance.heads[i] = i < 6 ? 1e6 * (double)(i + 1) : (double)(i % 6 + 1);
    remove_some(&f, 2, 0, false);
    for (size_t layer = 0; layer < 3; layer++) {
        assert_true(lost(c, layer, 0) && lost(c, layer, 1));
        assert_int_equal(espi_config_layer_heads(c, layer), 4);
    }
    memset(f.importance.heads, 0, 6 * sizeof *f.importance.heads); // a layer that does nothing keeps one head
    remove_some(&f, 0.5, 0, false);
    assert_int_equal(espi_config_layer_heads(c, 0), 1);
    assert_false(lost(c, 0, 5));
    assert_int_equal(total_heads(c), 9);
    close_fixture(&f);
}

/* From a model that has lost heads already; and layers taken from such a model keep their own heads. */
static void test_again(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 1); // 3 layers, 4 heads, head 2 of layer 1 is gone
    draw_importance(&f);
    remove_some(&f, 1, 0, true);
    const struct espi_config *c = &f.smaller.config;
    assert_true(lost(c, 1, 2));
    assert_int_equal(espi_config_layer_heads(c, 0), 3);
    assert_int_equal(espi_config_layer_heads(c, 1), 2);
    struct espi_checkpoint student;
    static const size_t layers[] = {1, 2};
    test_ok(f.ctx, espi_student_from_layers(f.ctx, &f.smaller, layers, 2, &student));
    for (size_t layer = 0; layer < 2; layer++)
        for (size_t head = 0; head < 4; head++)
            assert_int_equal(lost(&student.config, layer, head), lost(c, layer + 1, head));
    const struct espi_param *query = espi_params_find(&student.params, ESPI_QUERY_W, 0);
    assert_int_equal(query->rows, 16);
    assert_memory_equal(student.params.slab + query->offset, espi_params_data(&f.smaller.params, ESPI_QUERY_W, 1),
                        query->count * sizeof(float));
    espi_checkpoint_clear(&student);
    close_fixture(&f);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        double heads, neurons;
        const char *message;
    } cases[] = {
        {6, 0, "--remove-heads: expected a share below 1, or a whole number below the 6 heads of a layer, found 6"},
        {1.5, 0, "--remove-heads: expected a share below 1"},
        {0, 42, "--remove-neurons: expected a share below 1, or a whole number below the 42 neurons of a layer"},
        {0, -1, "--remove-neurons: expected a share below 1"},
        {(double)NAN, 0, "--remove-heads: expected a share below 1"},
    };
    struct fixture f;
    open_fixture(&f, 0);
    for (size_t i = 0; i < ESPI_COUNT(cases); i++)
        for (int uniform = 0; uniform < 2; uniform++) {
            const struct espi_structure_options how = {cases[i].heads, cases[i].neurons, uniform};
            test_fails(f.ctx, espi_structure_remove(f.ctx, &f.whole, &f.importance, &how, &f.smaller),
                       ESP_ERR_ARGUMENT);
            test_error_has(f.ctx, cases[i].message);
        }
    close_fixture(&f);
}

/* ---- importance --------------------------------------------------------------------------------------------------------- */

/* Sum of the result times fixed numbers, in double. */
static double value_of(struct fixture *f)
{
    static float out[3 * TEST_BATCH_TOKENS];
    struct espi_engine *encoder;
    struct espi_wanted wanted = {.result = ESPI_RESULT_TOKEN_LOGITS, .out = out};
    struct espi_random random = {.seed = 8};
    double sum = 0;
    test_ok(f->ctx, espi_network_engine_new(f->ctx, &f->whole.config, &f->whole.params, NULL, &encoder));
    test_ok(f->ctx, encoder->run(encoder, f->ctx, &f->batch.batch, &wanted));
    for (size_t i = 0; i < f->batch.batch.tokens * f->whole.config.labels; i++)
        sum += (double)out[i] * (double)espi_random_normal(&random);
    encoder->free(encoder);
    return sum;
}

/* Scales columns begin … end - 1 of an output layer. */
static void scale_columns(struct fixture *f, enum espi_role role, size_t layer, size_t begin, size_t end, float by)
{
    const struct espi_param *param = espi_params_find(&f->whole.params, role, layer);
    for (size_t row = 0; row < param->rows; row++)
        for (size_t col = begin; col < end; col++)
            f->whole.params.slab[param->offset + row * param->cols + col] *= by;
}

/* The derivative of the value by a gate at what the columns read. */
static double gate_slope(struct fixture *f, enum espi_role role, size_t layer, size_t begin, size_t end)
{
    const float step = 1.0f / 64;
    scale_columns(f, role, layer, begin, end, 1 + step);
    double high = value_of(f);
    scale_columns(f, role, layer, begin, end, (1 - step) / (1 + step));
    double low = value_of(f);
    scale_columns(f, role, layer, begin, end, 1 / (1 - step));
    return (high - low) / (2 * (double)step);
}

static void test_first_order(void **state)
{
    (void)state;
    for (size_t config = 0; config < ESPI_COUNT(configs); config++) {
        struct fixture f;
        open_fixture(&f, config);
        const struct espi_config *c = &f.whole.config;
        float *gradients = espi_calloc_aligned(f.ctx, f.whole.params.elements, sizeof *gradients);
        float out[3 * TEST_BATCH_TOKENS];
        run_network(&f, &f.whole, out, gradients);
        for (int i = 0; i < 2; i++) // of two steps
            espi_importance_observe(&f.whole, gradients, &f.importance);
        size_t size = c->hidden / c->heads;
        for (size_t head = 0, at = 0; head < c->heads; head++) {
            if (lost(c, 1, head))
                continue;
            double slope = gate_slope(&f, ESPI_ATTENTION_OUT_W, 1, at * size, (at + 1) * size);
            assert_true(fabs(f.importance.heads[c->heads + head] / 2 - fabs(slope)) < 0.02 * (1 + fabs(slope)));
            at++;
        }
        for (size_t i = 0; i < c->intermediate; i += 5) {
            double slope = gate_slope(&f, ESPI_FFN_OUT_W, 2, i, i + 1);
            assert_true(fabs(f.importance.neurons[2 * c->intermediate + i] / 2 - fabs(slope)) <
                        0.02 * (1 + fabs(slope)));
        }
        free(gradients);
        close_fixture(&f);
    }
}

/* What can pass nothing on is worth nothing. */
static void test_magnitude(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 1);
    scale_columns(&f, ESPI_ATTENTION_OUT_W, 1, 16, 24, 0); // the third head that is there: number 3
    scale_columns(&f, ESPI_FFN_OUT_W, 0, 7, 8, 0);
    espi_importance_magnitude(&f.whole, &f.importance);
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(f.importance.heads[i] == 0, i == 4 + 2 || i == 4 + 3);
    for (size_t i = 0; i < 150; i++)
        assert_int_equal(f.importance.neurons[i] == 0, i == 7);
    close_fixture(&f);
}

/* ---- files -------------------------------------------------------------------------------------------------------------- */

static void test_written_and_read(void **state)
{
    (void)state;
    const char *scratch = test_scratch();
    char path[ESPI_PATH_BYTES];
    snprintf(path, sizeof path, "%.200s/model", scratch);
    for (size_t config = 0; config < ESPI_COUNT(configs); config++) {
        struct fixture f;
        struct espi_checkpoint read;
        open_fixture(&f, config);
        draw_importance(&f);
        remove_some(&f, 0.4, 0.3, false);
        test_ok(f.ctx, espi_checkpoint_write(f.ctx, &f.smaller.config, &f.smaller.params, NULL, path));
        test_ok(f.ctx, espi_checkpoint_read(f.ctx, path, &read));
        const struct espi_config *a = &read.config, *b = &f.smaller.config;
        assert_int_equal(a->intermediate, b->intermediate);
        assert_int_equal(a->heads, f.whole.config.heads);
        assert_memory_equal(a->removed_heads, b->removed_heads, a->layers * a->heads);
        assert_int_equal(read.params.elements, f.smaller.params.elements);
        assert_memory_equal(read.params.slab, f.smaller.params.slab, read.params.elements * sizeof(float));
        espi_checkpoint_clear(&read);
        test_ok(f.ctx, espi_remove_tree(f.ctx, path));
        close_fixture(&f);
    }
    test_scratch_remove(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_first_order),
        cmocka_unit_test(test_magnitude),
        cmocka_unit_test(test_written_and_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
