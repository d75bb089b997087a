/* SPDX-License-Identifier: Apache-2.0
 * Checkpoints that other software wrote: every reference model is read, written, and read again. */
#include "support.h"

#include "model/checkpoint.h"

#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

struct expected {
    const char *name;
    enum espi_head head;
    size_t layers, hidden, heads, intermediate, labels;
    size_t params;
    bool has_pooler;
};

static const struct expected models[] = {
    {"bert-tiny-qa", ESPI_HEAD_QA, 4, 64, 4, 256, 2, 71, false},
    {"distilbert-tiny-seqcls", ESPI_HEAD_SEQUENCE, 3, 64, 4, 256, 2, 56, false},
    {"bert-tiny-tokcls", ESPI_HEAD_TOKEN, 2, 64, 4, 256, 7, 39, false},
    {"bert-tiny-multilabel", ESPI_HEAD_SEQUENCE, 2, 64, 4, 256, 5, 41, true},
    {"bert-tiny-mlm", ESPI_HEAD_MLM, 2, 64, 4, 256, 0, 42, false},
    {"distilbert-tiny-mlm", ESPI_HEAD_MLM, 2, 64, 2, 192, 0, 41, false},
    {"minilm-tiny-encoder", ESPI_HEAD_NONE, 3, 48, 3, 192, 0, 55, true},
};

static void read_model(const char *name, struct espi_checkpoint *out)
{
    char relative[128];
    snprintf(relative, sizeof relative, "reference/models/%s", name);
    test_ok(ctx, espi_checkpoint_read(ctx, test_shared_path(relative), out));
}

static void test_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
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
        assert_int_equal(config->vocab_size, 30522);
        assert_int_equal(config->has_pooler, expected->has_pooler);
        assert_int_equal(checkpoint.params.length, expected->params);
        espi_checkpoint_clear(&checkpoint);
    }
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
    if (!test_shared_available())
        return TEST_SKIP;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
