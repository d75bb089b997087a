/* SPDX-License-Identifier: Apache-2.0
 * Whole training steps against PyTorch: loss, every gradient, the gradients' norm, and the weights after three steps of
 * AdamW with decay and clipping. tools/torch_step.py made the numbers in tests/unit/data/torch_step. */
#include "random_model.h"

#include "base/json.h"
#include "create/layers/loss.h"
#include "create/network/network.h"
#include "create/train/optimizer.h"
#include "model/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static esp_context *ctx;

enum { MOST_POSITIONS = 32 };

struct step_case {
    const char *name;
    struct espi_json json;
    struct espi_safetensors tensors;
    struct espi_config config;
    struct espi_params params;
    struct test_batch batch;
    uint32_t positions[MOST_POSITIONS];
    size_t position_count;
    float *gradients; // (params.elements)
};

static const char *data_path(const char *name, const char *ending)
{
    static char path[2][ESPI_PATH_BYTES];
    static size_t next;
    char *out = path[next++ % 2];
    snprintf(out, ESPI_PATH_BYTES, "%s/tests/unit/data/torch_step/%s%s", ESPI_TEST_SOURCE, name, ending);
    return out;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static json_int_t integer(const json_t *array, size_t index)
{
    const json_t *value = json_array_get(array, index);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static void read_batch(struct step_case *c)
{
    const json_t *ids = json_object_get(c->json.value, "ids"), *types = json_object_get(c->json.value, "types");
    const json_t *targets = json_object_get(c->json.value, "targets");
    for (size_t s = 0; s < json_array_size(ids); s++) {
        int32_t sequence[TEST_BATCH_TOKENS];
        uint8_t kinds[TEST_BATCH_TOKENS];
        const json_t *tokens = json_array_get(ids, s);
        size_t length = json_array_size(tokens), first = c->batch.batch.tokens;
        for (size_t t = 0; t < length; t++) {
            sequence[t] = (int32_t)integer(tokens, t);
            kinds[t] = (uint8_t)integer(json_array_get(types, s), t);
        }
        test_batch_add(&c->batch, sequence, kinds, (uint32_t)length);
        const json_t *places = json_array_get(json_array_get(targets, s), 0);
        for (size_t i = 0; c->config.head == ESPI_HEAD_MLM && i < json_array_size(places); i++) {
            assert_true(c->position_count < MOST_POSITIONS);
            c->positions[c->position_count++] = (uint32_t)(first + (size_t)integer(places, i));
        }
    }
}

static const struct espi_tensor *tensor_of(const struct step_case *c, const char *group, const struct espi_param *param)
{
    char name[2 * ESPI_TENSOR_NAME_BYTES];
    snprintf(name, sizeof name, "%s.%s", group, param->name);
    const struct espi_tensor *tensor = espi_safetensors_find(&c->tensors, name);
    if (!tensor || tensor->count != param->count)
        fail_msg("%s: %s is not there", c->name, name);
    return tensor;
}

static void open_case(struct step_case *c, const char *name)
{
    *c = (struct step_case){.name = name};
    test_ok(ctx, espi_json_open_file(ctx, data_path(name, ".json"), &c->json));
    test_ok(ctx, espi_safetensors_open(ctx, data_path(name, ".safetensors"), &c->tensors));
    char *text = json_dumps(json_object_get(c->json.value, "config"), JSON_COMPACT);
    assert_non_null(text);
    test_ok(ctx, espi_config_parse(ctx, name, text, strlen(text), &c->config));
    free(text);
    test_ok(ctx, espi_params_init(ctx, &c->config, true, &c->params));
    assert_int_equal(c->tensors.length, 3 * c->params.length);
    for (size_t p = 0; p < c->params.length; p++) {
        const struct espi_param *param = &c->params.list[p];
        assert_true(espi_tensor_widen(tensor_of(c, "before", param), c->params.slab + param->offset));
    }
    c->gradients = espi_calloc_aligned(NULL, c->params.elements, sizeof *c->gradients);
    assert_non_null(c->gradients);
    read_batch(c);
}

static void close_case(struct step_case *c)
{
    free(c->gradients);
    espi_params_clear(&c->params);
    espi_config_clear(&c->config);
    espi_safetensors_clear(&c->tensors);
    espi_json_close(&c->json);
}

/* ---- a step --------------------------------------------------------------------------------------------------------- */

/* The mean loss, with its gradient in d. */
static double loss_of(const struct step_case *c, const float *out, float *d)
{
    const json_t *targets = json_object_get(c->json.value, "targets");
    const struct espi_batch *batch = &c->batch.batch;
    size_t labels = c->config.labels, vocab = c->config.vocab_size, row = 0;
    double loss = 0, scale = 1.0 / (double)batch->sequences;
    for (size_t s = 0; s < batch->sequences; s++) {
        const json_t *target = json_array_get(targets, s);
        size_t first = batch->starts[s] * labels, tokens = batch->starts[s + 1] - batch->starts[s];
        const json_t *words = json_array_get(target, 1);
        struct espi_choice choice = {out + s * labels, d + s * labels, labels, 1};
        if (c->config.head == ESPI_HEAD_SEQUENCE)
            loss += espi_loss_cross_entropy(&choice, (size_t)integer(target, 0), 0, scale);
        for (size_t end = 0; c->config.head == ESPI_HEAD_QA && end < 2; end++) {
            choice = (struct espi_choice){out + first + end, d + first + end, tokens, labels};
            loss += espi_loss_cross_entropy(&choice, (size_t)integer(target, end), 0, scale / 2);
        }
        for (size_t i = 0; c->config.head == ESPI_HEAD_MLM && i < json_array_size(words); i++, row++) {
            choice = (struct espi_choice){out + row * vocab, d + row * vocab, vocab, 1};
            loss += espi_loss_cross_entropy(&choice, (size_t)integer(words, i), 0, 1.0 / (double)c->position_count);
        }
    }
    return loss;
}

static enum espi_result result_of(enum espi_head head)
{
    return head == ESPI_HEAD_MLM        ? ESPI_RESULT_VOCAB_LOGITS
           : head == ESPI_HEAD_SEQUENCE ? ESPI_RESULT_SEQUENCE_LOGITS
                                        : ESPI_RESULT_TOKEN_LOGITS;
}

/* Forward and backward; returns the loss. */
static double pass(struct step_case *c, struct espi_network *network)
{
    struct espi_pass pass = {.batch = &c->batch.batch,
                             .train = true,
                             .wanted = {result_of(c->config.head), c->positions, c->position_count, NULL}};
    size_t count = espi_result_size(&c->config, pass.batch, &pass.wanted);
    float *out = calloc(count, sizeof *out), *d = calloc(count, sizeof *d);
    assert_true(out && d);
    pass.wanted.out = out;
    test_ok(ctx, espi_network_refresh(ctx, network));
    test_ok(ctx, espi_network_forward(ctx, network, &pass));
    double loss = loss_of(c, out, d);
    struct espi_backward backward = {.d_result = d, .gradients = c->gradients};
    test_ok(ctx, espi_network_backward(ctx, network, &backward));
    free(out);
    free(d);
    return loss;
}

/* Every value within `tolerance` of the tensor's largest, or of `least`. */
static void compare(const struct step_case *c, const char *group, const float *slab, double tolerance, double least)
{
    for (size_t p = 0; p < c->params.length; p++) {
        const struct espi_param *param = &c->params.list[p];
        float *expected = calloc(param->count, sizeof *expected);
        assert_true(expected && espi_tensor_widen(tensor_of(c, group, param), expected));
        double largest = least;
        for (size_t i = 0; i < param->count; i++)
            largest = fmax(largest, fabs((double)expected[i]));
        for (size_t i = 0; i < param->count; i++) {
            double found = (double)slab[param->offset + i];
            if (!(fabs(found - (double)expected[i]) <= tolerance * largest))
                fail_msg("%s: %s.%s: value %zu: expected %.9g, found %.9g", c->name, group, param->name, i,
                         (double)expected[i], found);
        }
        free(expected);
    }
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static double item(const json_t *object, const char *key, size_t index)
{
    const json_t *value = json_array_get(json_object_get(object, key), index);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* Three steps; a gradient is compared with the largest of its tensor, or with a thousandth of the norm: those of the
 * keys' biases are zero but for rounding. */
static void check_steps(struct step_case *c, struct espi_team *team)
{
    const json_t *steps = json_object_get(c->json.value, "steps");
    struct espi_optimizer_options options = {.learning_rate = number(steps, "learning_rate"),
                                             .beta1 = number(steps, "beta1"),
                                             .beta2 = number(steps, "beta2"),
                                             .epsilon = number(steps, "epsilon"),
                                             .weight_decay = number(steps, "weight_decay"),
                                             .max_norm = number(steps, "max_norm")};
    struct espi_network *network;
    struct espi_optimizer *optimizer;
    test_ok(ctx, espi_network_new(ctx, &c->config, &c->params, ESPI_COMPUTE_F32, team, &network));
    test_ok(ctx, espi_optimizer_new(ctx, &c->config, &c->params, &options, team, &optimizer));
    size_t count = json_array_size(json_object_get(steps, "factors"));
    assert_int_equal(count, 3);
    for (size_t step = 0; step < count; step++) {
        double expected = item(c->json.value, "losses", step), loss = pass(c, network);
        if (!(fabs(loss - expected) <= 1e-5 * expected))
            fail_msg("%s: loss of step %zu: expected %.9g, found %.9g", c->name, step, expected, loss);
        double norm = espi_optimizer_norm(optimizer, c->gradients), reference = item(c->json.value, "norms", step);
        assert_true(fabs(norm - reference) <= 1e-4 * reference && norm > options.max_norm);
        if (step == 0)
            compare(c, "gradient", c->gradients, 1e-4, 1e-3 * norm);
        espi_optimizer_step(optimizer, c->gradients, norm, item(steps, "factors", step), NULL);
    }
    compare(c, "after", c->params.slab, 1e-4, 0);
    espi_optimizer_free(optimizer);
    espi_network_free(network);
}

static void run_case(const char *name)
{
    for (size_t threads = 1; threads <= 2; threads++) {
        struct step_case c;
        struct espi_team *team;
        open_case(&c, name);
        test_ok(ctx, espi_team_new(ctx, threads, &team));
        check_steps(&c, team);
        espi_team_free(team);
        close_case(&c);
    }
}

static void test_distilbert_qa(void **state)
{
    (void)state;
    run_case("distilbert-qa");
}

static void test_distilbert_sequence(void **state)
{
    (void)state;
    run_case("distilbert-sequence");
}

static void test_bert_sequence(void **state)
{
    (void)state;
    run_case("bert-sequence");
}

static void test_bert_masked(void **state)
{
    (void)state;
    run_case("bert-masked");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distilbert_qa),
        cmocka_unit_test(test_distilbert_sequence),
        cmocka_unit_test(test_bert_sequence),
        cmocka_unit_test(test_bert_masked),
    };
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
