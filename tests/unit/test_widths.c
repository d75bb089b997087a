/* SPDX-License-Identifier: Apache-2.0
 * Layers of their own widths in a compiled file: what narrow layers give is what wide ones give whose other neurons do
 * nothing, bit for bit. */
#include "support.h"

#include "create/compile/compile.h"
#include "random_model.h"
#include "run/session.h"

#include <stdlib.h>
#include <string.h>

enum { LAYERS = 3, HIDDEN = 24, WIDE = 40 };

static esp_context *ctx;

static const char text[] = "{\"model_type\": \"bert\", \"architectures\": [\"BertModel\"], \"vocab_size\": 60, "
                           "\"hidden_size\": 24, \"num_hidden_layers\": 3, \"num_attention_heads\": 2, "
                           "\"intermediate_size\": 40, \"max_position_embeddings\": 24}";
static const uint32_t widths[LAYERS] = {12, 40, 7};

/* Rows of `columns` values from the first rows or columns of a wider layer's. */
static void copy_block(const struct espi_params *from, const struct espi_params *to, enum espi_role role, size_t layer)
{
    const struct espi_param *a = espi_params_find(from, role, layer), *b = espi_params_find(to, role, layer);
    size_t rows = b->rows, columns = b->cols ? b->cols : 1, stride = a->cols ? a->cols : 1;
    for (size_t row = 0; row < rows; row++)
        memcpy(to->slab + b->offset + row * columns, from->slab + a->offset + row * stride, columns * sizeof(float));
}

/* Neurons from `width` on give 0 and are not read. */
static void silence(const struct espi_params *params, size_t layer, size_t width)
{
    float *in = espi_params_data(params, ESPI_FFN_IN_W, layer), *bias = espi_params_data(params, ESPI_FFN_IN_B, layer);
    float *out = espi_params_data(params, ESPI_FFN_OUT_W, layer);
    for (size_t neuron = width; neuron < WIDE; neuron++) {
        memset(in + neuron * HIDDEN, 0, HIDDEN * sizeof *in);
        bias[neuron] = 0;
        for (size_t row = 0; row < HIDDEN; row++)
            out[row * WIDE + neuron] = 0;
    }
}

/* (tokens, hidden) of the compiled model; the caller frees it. */
static float *run(const struct espi_checkpoint *checkpoint, const struct espi_batch *batch, size_t *file_bytes)
{
    unsigned char *image;
    struct espi_esp_model model;
    struct espi_plan plan;
    struct espi_engine *session;
    test_ok(ctx, espi_compile_image(ctx, checkpoint, &(struct espi_compile_options){0}, &image, file_bytes, NULL));
    test_ok(ctx, espi_esp_model_parse(ctx, "image", image, *file_bytes, &model));
    for (size_t layer = 0; layer < LAYERS; layer++)
        assert_int_equal(espi_config_inner(&model.config, layer), espi_config_inner(&checkpoint->config, layer));
    test_ok(ctx, espi_plan_make(ctx, &model, &plan));
    test_ok(ctx, espi_session_new(ctx, &plan, NULL, 0, &session));
    float *out = calloc(batch->tokens * HIDDEN, sizeof *out);
    assert_non_null(out);
    test_ok(ctx, session->run(session, ctx, batch, &(struct espi_wanted){.result = ESPI_RESULT_HIDDEN, .out = out}));
    session->free(session);
    espi_plan_clear(&plan);
    espi_esp_model_close(&model);
    free(image);
    return out;
}

static void test_narrow(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {5, 1, 24, 17};
    struct espi_checkpoint wide, narrow;
    struct test_batch batch;
    test_random_model(ctx, text, 0, 5, &wide);
    test_random_model(ctx, text, 0, 5, &narrow);
    espi_params_clear(&narrow.params);
    narrow.config.inner = widths;
    test_ok(ctx, espi_params_init(ctx, &narrow.config, true, &narrow.params));
    for (size_t layer = 0; layer < LAYERS; layer++)
        silence(&wide.params, layer, widths[layer]);
    for (size_t i = 0; i < narrow.params.length; i++)
        copy_block(&wide.params, &narrow.params, narrow.params.list[i].role, narrow.params.list[i].layer);
    test_batch_random(&batch, &wide.config, lengths, ESPI_COUNT(lengths), 3);
    size_t wide_bytes, narrow_bytes;
    float *a = run(&wide, &batch.batch, &wide_bytes), *b = run(&narrow, &batch.batch, &narrow_bytes);
    assert_memory_equal(a, b, batch.batch.tokens * HIDDEN * sizeof *a);
    assert_true(narrow_bytes < wide_bytes);
    free(a);
    free(b);
    espi_checkpoint_clear(&wide);
    espi_checkpoint_clear(&narrow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_narrow)};
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
