/* SPDX-License-Identifier: Apache-2.0
 * Which tensors a model has, where they stand, and their random values. */
#include "support.h"

#include "base/size.h"
#include "model/params.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

/* A small config of a family and head; few of its tensors are a multiple of 16 elements. */
static void make(const char *model_type, const char *class_name, struct espi_config *out)
{
    char text[640];
    bool bert = strcmp(model_type, "bert") == 0;
    snprintf(text, sizeof text,
             "{\"model_type\":\"%s\",\"vocab_size\":40,\"%s\":6,\"%s\":3,\"%s\":2,\"%s\":10,"
             "\"max_position_embeddings\":5,\"num_labels\":3,\"architectures\":[\"%s\"],\"pad_token_id\":2,"
             "\"initializer_range\":0.5}",
             model_type, bert ? "hidden_size" : "dim", bert ? "num_hidden_layers" : "n_layers",
             bert ? "num_attention_heads" : "n_heads", bert ? "intermediate_size" : "hidden_dim", class_name);
    test_ok(ctx, espi_config_parse(ctx, "test", text, strlen(text), out));
}

static const struct {
    const char *model_type, *class_name;
    size_t embeddings, rest; // tensors besides the 16 of each layer
    const char *last, *word;
} models[] = {
    {"bert", "BertModel", 5, 2, "pooler.dense.bias", "embeddings.word_embeddings.weight"},
    {"bert", "BertForQuestionAnswering", 5, 2, "qa_outputs.bias", "bert.embeddings.word_embeddings.weight"},
    {"bert", "BertForSequenceClassification", 5, 4, "classifier.bias", "bert.embeddings.word_embeddings.weight"},
    {"bert", "BertForTokenClassification", 5, 2, "classifier.bias", "bert.embeddings.word_embeddings.weight"},
    {"bert", "BertForMaskedLM", 5, 5, "cls.predictions.bias", "bert.embeddings.word_embeddings.weight"},
    {"distilbert", "DistilBertModel", 4, 0, "transformer.layer.2.output_layer_norm.bias",
     "embeddings.word_embeddings.weight"},
    {"distilbert", "DistilBertForQuestionAnswering", 4, 2, "qa_outputs.bias",
     "distilbert.embeddings.word_embeddings.weight"},
    {"distilbert", "DistilBertForSequenceClassification", 4, 4, "classifier.bias",
     "distilbert.embeddings.word_embeddings.weight"},
    {"distilbert", "DistilBertForTokenClassification", 4, 2, "classifier.bias",
     "distilbert.embeddings.word_embeddings.weight"},
    {"distilbert", "DistilBertForMaskedLM", 4, 5, "vocab_projector.bias",
     "distilbert.embeddings.word_embeddings.weight"},
};

/* The parameters stand one behind another, at multiples of 16 but for keys and values, and fit the slab. */
static void check_layout(const struct espi_params *params)
{
    size_t end = 0;
    for (size_t i = 0; i < params->length; i++) {
        const struct espi_param *param = &params->list[i];
        bool follows = param->role == ESPI_KEY_W || param->role == ESPI_VALUE_W || param->role == ESPI_KEY_B ||
                       param->role == ESPI_VALUE_B;
        if (follows)
            assert_int_equal(param->offset, end);
        else
            assert_int_equal(param->offset, espi_round_up(end, 16));
        assert_int_equal(param->count, param->rows * (param->cols ? param->cols : 1));
        assert_true(param->count > 0);
        end = param->offset + param->count;
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(params->list[k].name, param->name);
        assert_ptr_equal(espi_params_find(params, param->role, param->layer), param);
    }
    assert_int_equal(end, params->elements);
}

static void test_lists(void **state)
{
    (void)state;
    for (size_t i = 0; i < ESPI_COUNT(models); i++) {
        struct espi_config config;
        struct espi_params params;
        make(models[i].model_type, models[i].class_name, &config);
        test_ok(ctx, espi_params_init(ctx, &config, false, &params));
        assert_null(params.slab);
        assert_int_equal(params.length, models[i].embeddings + 3 * 16 + models[i].rest);
        assert_string_equal(params.list[0].name, models[i].word);
        assert_string_equal(params.list[params.length - 1].name, models[i].last);
        assert_null(espi_params_data(&params, ESPI_EMBED_WORD, 0));
        check_layout(&params);
        espi_params_clear(&params);
        espi_config_clear(&config);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    static const struct {
        enum espi_role role;
        size_t layer, rows, cols;
        const char *name;
    } cases[] = {
        {ESPI_EMBED_WORD, 0, 40, 6, "bert.embeddings.word_embeddings.weight"},
        {ESPI_EMBED_POSITION, 0, 5, 6, "bert.embeddings.position_embeddings.weight"},
        {ESPI_EMBED_TYPE, 0, 2, 6, "bert.embeddings.token_type_embeddings.weight"},
        {ESPI_EMBED_NORM_B, 0, 6, 0, "bert.embeddings.LayerNorm.bias"},
        {ESPI_QUERY_W, 2, 6, 6, "bert.encoder.layer.2.attention.self.query.weight"},
        {ESPI_VALUE_B, 1, 6, 0, "bert.encoder.layer.1.attention.self.value.bias"},
        {ESPI_FFN_IN_W, 0, 10, 6, "bert.encoder.layer.0.intermediate.dense.weight"},
        {ESPI_FFN_IN_B, 0, 10, 0, "bert.encoder.layer.0.intermediate.dense.bias"},
        {ESPI_FFN_OUT_W, 0, 6, 10, "bert.encoder.layer.0.output.dense.weight"},
        {ESPI_FFN_NORM_W, 2, 6, 0, "bert.encoder.layer.2.output.LayerNorm.weight"},
        {ESPI_HEAD_DENSE_W, 0, 6, 6, "bert.pooler.dense.weight"},
        {ESPI_CLASSIFIER_W, 0, 3, 6, "classifier.weight"},
        {ESPI_CLASSIFIER_B, 0, 3, 0, "classifier.bias"},
    };
    struct espi_config config;
    struct espi_params params;
    make("bert", "BertForSequenceClassification", &config);
    test_ok(ctx, espi_params_init(ctx, &config, true, &params));
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        const struct espi_param *param = espi_params_find(&params, cases[i].role, cases[i].layer);
        assert_non_null(param);
        assert_int_equal(param->rows, cases[i].rows);
        assert_int_equal(param->cols, cases[i].cols);
        assert_string_equal(param->name, cases[i].name);
        assert_ptr_equal(espi_params_data(&params, cases[i].role, cases[i].layer), params.slab + param->offset);
    }
    assert_int_equal((uintptr_t)params.slab % 64, 0);
    for (size_t i = 0; i < params.elements; i++)
        assert_true(params.slab[i] == 0);
    assert_null(espi_params_find(&params, ESPI_QUERY_W, 3));
    assert_null(espi_params_find(&params, ESPI_FFN_NORM_B, SIZE_MAX));
    assert_null(espi_params_find(&params, ESPI_EMBED_WORD, 1));
    assert_null(espi_params_find(&params, ESPI_HEAD_DENSE_W, 1));
    assert_null(espi_params_find(&params, ESPI_DECODER_B, 0));
    assert_null(espi_params_find(&params, ESPI_HEAD_NORM_W, 0));
    assert_null(espi_params_find(&params, ESPI_ROLE_COUNT, 0));
    espi_params_clear(&params);
    espi_params_clear(&params);
    espi_config_clear(&config);
}

static void test_no_pooler(void **state)
{
    (void)state;
    struct espi_config config;
    struct espi_params params;
    make("bert", "BertModel", &config);
    config.recipe = (struct espi_head_recipe){.rows = ESPI_ROWS_NONE};
    test_ok(ctx, espi_params_init(ctx, &config, false, &params));
    assert_null(espi_params_find(&params, ESPI_HEAD_DENSE_W, 0));
    assert_int_equal(params.length, 5 + 3 * 16);
    espi_params_clear(&params);
    espi_config_clear(&config);
}

/* The largest sizes a config may state overflow nothing: either they are laid out, or refused. */
static void test_huge(void **state)
{
    (void)state;
    struct espi_config config;
    struct espi_params params;
    make("bert", "BertForMaskedLM", &config);
    config.vocab_size = 1 << 26;
    config.hidden = 1 << 16;
    config.intermediate = 1 << 20;
    config.layers = 1024;
    test_ok(ctx, espi_params_init(ctx, &config, false, &params));
    const struct espi_param *last = &params.list[params.length - 1];
    assert_int_equal(last->offset + last->count, params.elements);
    espi_params_clear(&params);
    config.vocab_size = SIZE_MAX / 2;
    test_fails(ctx, espi_params_init(ctx, &config, false, &params), ESP_ERR_LIMIT);
    test_error_has(ctx, "bert.embeddings.word_embeddings.weight: too large");
    config.vocab_size = SIZE_MAX / 4 / config.hidden;
    test_fails(ctx, espi_params_init(ctx, &config, false, &params), ESP_ERR_LIMIT);
    test_error_has(ctx, "do not fit into memory");
    assert_null(params.list);
    config.layers = SIZE_MAX / 8;
    test_fails(ctx, espi_params_init(ctx, &config, false, &params), ESP_ERR_LIMIT);
    espi_config_clear(&config);
}

/* ---- random values ------------------------------------------------------------------------------------------------ */

static void randomized(const char *class_name, uint64_t seed, struct espi_config *config, struct espi_params *params)
{
    make("bert", class_name, config);
    test_ok(ctx, espi_params_init(ctx, config, true, params));
    espi_params_randomize(params, config, seed);
}

static void test_random_kinds(void **state)
{
    (void)state;
    struct espi_config config;
    struct espi_params params;
    randomized("BertForMaskedLM", 5, &config, &params);
    for (size_t i = 0; i < params.length; i++) {
        const struct espi_param *param = &params.list[i];
        const float *data = params.slab + param->offset;
        bool scale = param->role == ESPI_EMBED_NORM_W || param->role == ESPI_ATTENTION_NORM_W ||
                     param->role == ESPI_FFN_NORM_W || param->role == ESPI_HEAD_NORM_W;
        for (size_t k = 0; k < param->count; k++) {
            bool padding = param->role == ESPI_EMBED_WORD && k / param->cols == 2;
            if (param->cols && !padding)
                assert_true(data[k] != 0 && fabsf(data[k]) < 0.5f * 6);
            else
                assert_true(data[k] == (scale ? 1.0f : 0.0f));
        }
    }
    espi_params_clear(&params);
    espi_config_clear(&config);
}

/* Values follow the seed, role and layer, not the other tensors of the model. */
static void test_random_streams(void **state)
{
    (void)state;
    struct espi_config config, other_config;
    struct espi_params params, same, other;
    randomized("BertForMaskedLM", 5, &config, &params);
    espi_config_clear(&config);
    randomized("BertForMaskedLM", 5, &config, &same);
    assert_memory_equal(params.slab, same.slab, params.elements * sizeof(float));
    randomized("BertForSequenceClassification", 5, &other_config, &other);
    for (size_t layer = 0; layer < 3; layer++)
        assert_memory_equal(espi_params_data(&params, ESPI_FFN_IN_W, layer),
                            espi_params_data(&other, ESPI_FFN_IN_W, layer), 60 * sizeof(float));
    const float *first = espi_params_data(&params, ESPI_QUERY_W, 0);
    assert_memory_not_equal(first, espi_params_data(&params, ESPI_QUERY_W, 1), 36 * sizeof(float));
    assert_memory_not_equal(first, espi_params_data(&params, ESPI_KEY_W, 0), 36 * sizeof(float));
    espi_params_randomize(&same, &config, 6);
    assert_memory_not_equal(first, espi_params_data(&same, ESPI_QUERY_W, 0), 36 * sizeof(float));
    espi_params_clear(&params);
    espi_params_clear(&same);
    espi_params_clear(&other);
    espi_config_clear(&config);
    espi_config_clear(&other_config);
}

/* Mean, deviation and the share beyond two deviations of many values. */
static void test_random_distribution(void **state)
{
    (void)state;
    struct espi_config config;
    struct espi_params params;
    make("bert", "BertModel", &config);
    config.vocab_size = 50001;
    config.pad_token_id = 0;
    config.initializer_range = 0.02f;
    test_ok(ctx, espi_params_init(ctx, &config, true, &params));
    espi_params_randomize(&params, &config, 1);
    const float *data = espi_params_data(&params, ESPI_EMBED_WORD, 0) + config.hidden;
    size_t count = 50000 * config.hidden, far = 0;
    double sum = 0, squares = 0, neighbours = 0;
    for (size_t i = 0; i < count; i++) {
        double value = (double)data[i] / 0.02;
        sum += value;
        squares += value * value;
        neighbours += i ? value * (double)data[i - 1] / 0.02 : 0;
        far += fabs(value) > 2;
    }
    double n = (double)count, error = 4 / sqrt(n);
    assert_true(fabs(sum / n) < error);
    assert_true(fabs(squares / n - 1) < error * sqrt(2.0));
    assert_true(fabs(neighbours / n) < error);
    assert_true(fabs((double)far / n - 0.0455) < 0.0025);
    espi_params_clear(&params);
    espi_config_clear(&config);
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
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_no_pooler),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_random_kinds),
        cmocka_unit_test(test_random_streams),
        cmocka_unit_test(test_random_distribution),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
