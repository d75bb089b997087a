/* SPDX-License-Identifier: Apache-2.0
 * Checkpoints that other software wrote: every reference model is read, written, and read again. */
#include "support.h"

#include "base/size.h"
#include "model/checkpoint.h"

#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

struct expected {
    const char *name;
    enum espi_head head;
    size_t layers, hidden, heads, intermediate, labels, vocabulary;
    size_t params;
    bool has_pooler;
};

static const struct expected all_models[] = {
    {"bert-tiny-qa", ESPI_HEAD_QA, 4, 64, 4, 256, 2, 30522, 71, false},
    {"distilbert-tiny-seqcls", ESPI_HEAD_SEQUENCE, 3, 64, 4, 256, 2, 30522, 56, false},
    {"bert-tiny-tokcls", ESPI_HEAD_TOKEN, 2, 64, 4, 256, 7, 30522, 39, false},
    {"bert-tiny-multilabel", ESPI_HEAD_SEQUENCE, 2, 64, 4, 256, 5, 30522, 41, true},
    {"bert-tiny-mlm", ESPI_HEAD_MLM, 2, 64, 4, 256, 0, 30522, 42, false},
    {"distilbert-tiny-mlm", ESPI_HEAD_MLM, 2, 64, 2, 192, 0, 30522, 41, false},
    {"minilm-tiny-encoder", ESPI_HEAD_NONE, 3, 48, 3, 192, 0, 30522, 55, true},
    {"roberta-tiny-seqcls", ESPI_HEAD_SEQUENCE, 3, 32, 2, 96, 3, 2000, 57, true},
    {"roberta-tiny-qa", ESPI_HEAD_QA, 3, 32, 2, 128, 2, 2000, 55, false},
    {"roberta-tiny-mlm", ESPI_HEAD_MLM, 3, 48, 3, 96, 0, 2000, 58, false},
    {"xlmr-tiny-encoder", ESPI_HEAD_NONE, 3, 32, 4, 96, 0, 4002, 55, true},
    {"xlmr-tiny-seqcls", ESPI_HEAD_SEQUENCE, 2, 32, 2, 96, 3, 4002, 41, true},
    {"electra-tiny-qa", ESPI_HEAD_QA, 4, 32, 4, 96, 2, 2000, 73, false},
    {"electra-tiny-seqcls", ESPI_HEAD_SEQUENCE, 3, 32, 2, 96, 2, 2000, 59, false},
    {"albert-tiny-seqcls", ESPI_HEAD_SEQUENCE, 4, 48, 3, 96, 2, 3000, 27, true},
    {"mpnet-tiny-encoder", ESPI_HEAD_NONE, 3, 48, 3, 96, 0, 2000, 55, true},
};
static struct expected models[ESPI_COUNT(all_models)];
static size_t model_count;

static void find_models(void)
{
    const char *names[ESPI_COUNT(all_models)], *here[ESPI_COUNT(all_models)];
    for (size_t i = 0; i < ESPI_COUNT(all_models); i++)
        names[i] = all_models[i].name;
    model_count = test_shared_models(names, ESPI_COUNT(all_models), here);
    for (size_t i = 0, at = 0; i < ESPI_COUNT(all_models) && at < model_count; i++)
        if (!strcmp(here[at], names[i]))
            models[at++] = all_models[i];
}

static void read_model(const char *name, struct espi_checkpoint *out)
{
    char relative[128];
    snprintf(relative, sizeof relative, "reference/models/%s", name);
    test_ok(ctx, espi_checkpoint_read(ctx, test_shared_path(relative), out));
}

static void test_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < model_count; i++) {
        const struct expected *expected = &models[i];
        struct espi_checkpoint checkpoint;
        read_model(expected->name, &checkpoint);
        const struct espi_config *config = &checkpoint.config;
        assert_int_equal(config->head, expected->head);
        assert_int_equal(config->layers, expected->layers);
        assert_int_equal(config->hidden, expected->hidden);
        assert_int_equal(config->heads, expected->heads);
        assert_int_equal(config->intermediate, expected->intermediate);
        assert_int_equal(config->labels, expected->labels);
        if (!test_shared_shipped()) // its vocabularies are cut
            assert_int_equal(config->vocab_size, expected->vocabulary);
        assert_int_equal(espi_config_has_pooler(config), expected->has_pooler);
        assert_int_equal(checkpoint.params.length, expected->params);
        espi_checkpoint_clear(&checkpoint);
    }
}

/* Bit for bit: parameters, names and every field that is read. */
static void assert_same(const struct espi_checkpoint *a, const struct espi_checkpoint *b)
{
    const struct espi_config *x = &a->config, *y = &b->config;
    assert_ptr_equal(x->arch, y->arch);
    assert_int_equal(x->head, y->head);
    assert_int_equal(x->activation, y->activation);
    assert_true(x->layer_norm_eps == y->layer_norm_eps);
    assert_true(x->initializer_range == y->initializer_range);
    assert_true(x->hidden_dropout == y->hidden_dropout && x->attention_dropout == y->attention_dropout);
    assert_true(x->classifier_dropout == y->classifier_dropout);
    assert_int_equal(x->problem, y->problem);
    assert_int_equal(x->labels, y->labels);
    for (size_t i = 0; x->label_names && i < x->labels; i++)
        assert_string_equal(x->label_names[i], y->label_names[i]);
    assert_int_equal(x->pooling, y->pooling);
    assert_int_equal(x->normalize, y->normalize);
    assert_int_equal(x->max_sequence, y->max_sequence);
    assert_int_equal(espi_config_has_pooler(x), espi_config_has_pooler(y));
    assert_int_equal(a->params.length, b->params.length);
    assert_int_equal(a->params.elements, b->params.elements);
    for (size_t i = 0; i < a->params.length; i++)
        assert_string_equal(a->params.list[i].name, b->params.list[i].name);
    assert_memory_equal(a->params.slab, b->params.slab, a->params.elements * sizeof(float));
}

/* The tool reads the written directory with NumPy alone; without NumPy this part is skipped. */
static void check_with_numpy(const char *written, const char *original)
{
    static int have_numpy = -1;
    if (have_numpy < 0) {
        have_numpy = system("/usr/bin/python3 -c 'import numpy' 2>/dev/null") == 0;
        if (!have_numpy)
            fprintf(stderr, "python3-numpy is not there: written files are not read by other software\n");
    }
    if (!have_numpy)
        return;
    char command[4 * ESPI_PATH_BYTES];
    snprintf(command, sizeof command, "/usr/bin/python3 '%s/tools/check_checkpoint.py' '%s' '%s' >&2", ESPI_TEST_SOURCE,
             written, original);
    assert_int_equal(system(command), 0);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < model_count; i++) {
        const char *scratch = test_scratch();
        char relative[128], original[ESPI_PATH_BYTES], written[ESPI_PATH_BYTES];
        struct espi_checkpoint first, second;
        snprintf(relative, sizeof relative, "reference/models/%s", models[i].name);
        snprintf(original, sizeof original, "%s", test_shared_path(relative));
        test_ok(ctx, espi_path_join(ctx, written, scratch, models[i].name));
        read_model(models[i].name, &first);
        test_ok(ctx, espi_checkpoint_write(ctx, &first.config, &first.params, original, written));
        test_ok(ctx, espi_checkpoint_read(ctx, written, &second));
        assert_same(&first, &second);
        check_with_numpy(written, original);
        espi_checkpoint_clear(&first);
        espi_checkpoint_clear(&second);
        test_scratch_remove(scratch);
    }
}

static void test_sentence_encoder(void **state)
{
    (void)state;
    struct espi_checkpoint checkpoint;
    read_model("minilm-tiny-encoder", &checkpoint);
    assert_int_equal(checkpoint.config.pooling, ESPI_POOL_MEAN);
    assert_true(checkpoint.config.normalize);
    assert_int_equal(checkpoint.config.max_sequence, espi_size_min(256, checkpoint.config.max_positions));
    espi_checkpoint_clear(&checkpoint);
}

static void test_details(void **state)
{
    (void)state;
    if (test_shared_shipped())
        skip();
    struct espi_checkpoint checkpoint;
    read_model("bert-tiny-multilabel", &checkpoint);
    assert_int_equal(checkpoint.config.problem, ESPI_MULTI_LABEL);
    assert_int_equal(checkpoint.config.activation, ESPI_GELU_TANH);
    assert_true(checkpoint.config.layer_norm_eps == 1e-6f);
    assert_string_equal(checkpoint.config.label_names[4], "LABEL_4");
    espi_checkpoint_clear(&checkpoint);
    read_model("distilbert-tiny-seqcls", &checkpoint);
    assert_int_equal(espi_config_label(&checkpoint.config, "POSITIVE"), 1);
    assert_int_equal(espi_config_label(&checkpoint.config, "NEUTRAL"), -1);
    assert_true(checkpoint.config.layer_norm_eps == 1e-12f);
    assert_int_equal(checkpoint.config.type_vocab, 0);
    assert_true(checkpoint.config.classifier_dropout == 0.2f);
    espi_checkpoint_clear(&checkpoint);
}

/* A masked-LM checkpoint as the start of a classifier: the encoder is kept, the head is new and says so. */
static void test_other_head(void **state)
{
    (void)state;
    if (test_shared_shipped())
        skip();
    static const char *const names[] = {"bad", "fair", "good"};
    const struct espi_head_options head = {.head = ESPI_HEAD_SEQUENCE, .labels = 3, .label_names = names};
    const struct espi_config_changes changes = {.head = &head};
    struct espi_checkpoint original, changed, again;
    read_model("bert-tiny-mlm", &original);
    const char *directory = test_shared_path("reference/models/bert-tiny-mlm");
    test_ok(ctx, espi_checkpoint_read_as(ctx, directory, &changes, 7, &changed));
    test_ok(ctx, espi_checkpoint_read_as(ctx, directory, &changes, 7, &again));
    assert_same(&changed, &again);
    assert_int_equal(changed.config.labels, 3);
    assert_string_equal(changed.config.label_names[1], "fair");
    assert_true(espi_config_has_pooler(&changed.config));
    for (size_t i = 0; i < original.params.length; i++) {
        const struct espi_param *param = &original.params.list[i];
        const float *kept = espi_params_data(&changed.params, param->role, param->layer);
        if (param->role < ESPI_HEAD_DENSE_W)
            assert_memory_equal(kept, original.params.slab + param->offset, param->count * sizeof(float));
        else if (kept) // the dense layer: another one, although of the same shape
            assert_memory_not_equal(kept, original.params.slab + param->offset, param->count * sizeof(float));
    }
    assert_true(espi_params_data(&changed.params, ESPI_HEAD_DENSE_W, 0)[0] != 0);
    assert_true(espi_params_data(&changed.params, ESPI_CLASSIFIER_W, 0)[0] != 0);
    assert_true(espi_params_data(&changed.params, ESPI_CLASSIFIER_B, 0)[2] == 0);
    espi_checkpoint_clear(&original);
    espi_checkpoint_clear(&changed);
    espi_checkpoint_clear(&again);
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
    test_shared_require();
    find_models();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),    cmocka_unit_test(test_round_trip), cmocka_unit_test(test_sentence_encoder),
        cmocka_unit_test(test_details), cmocka_unit_test(test_other_head),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
