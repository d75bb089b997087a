/* SPDX-License-Identifier: Apache-2.0
 * The trainable network: results and gradients against an encoder in double precision, whose gradients are central
 * differences; the same bits for any team; bf16 near fp32. */
#include "random_model.h"
#include "reference_network.h"

#include "create/encoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static esp_context *ctx;

/* ---- cases ---------------------------------------------------------------------------------------------------------- */

/* A model and what is asked of it. */
struct model_case {
    const char *name, *config;
    enum espi_result result;
    enum espi_pooling pooling;
    bool normalize;
};

#define BERT(class, shape, more)                                                                                       \
    "{\"model_type\": \"bert\", \"architectures\": [\"Bert" class "\"], \"vocab_size\": 60, "                          \
                                                                  "\"max_position_embeddings\": 24, "                  \
                                                                  "\"type_vocab_size\": 2, \"initializer_range\": "    \
                                                                  "0.25, "                                             \
                                                                  "\"hidden_dropout_prob\": 0.2, "                     \
                                                                  "\"attention_probs_dropout_prob\": 0.3, "            \
                                                                  "\"classifier_dropout\": 0.4, " shape more "}"
#define DISTILBERT(class, shape, more)                                                                                 \
    "{\"model_type\": \"distilbert\", \"architectures\": [\"DistilBert" class "\"], \"vocab_size\": 60, "              \
                                                                              "\"max_position_embeddings\": 24, "      \
                                                                              "\"initializer_range\": 0.25, "          \
                                                                              "\"dropout\": 0.2, "                     \
                                                                              "\"attention_dropout\": 0.3, "           \
                                                                              "\"qa_dropout\": 0.4, "                  \
                                                                              "\"seq_classif_dropout\": 0.5, " shape   \
                                                                                  more "}"
#define BERT_SMALL                                                                                                     \
    "\"hidden_size\": 12, \"num_hidden_layers\": 2, \"num_attention_heads\": 3, \"intermediate_size\": 20"
#define BERT_ODD         "\"hidden_size\": 35, \"num_hidden_layers\": 1, \"num_attention_heads\": 5, \"intermediate_size\": 67"
#define BERT_DEEP        "\"hidden_size\": 16, \"num_hidden_layers\": 3, \"num_attention_heads\": 2, \"intermediate_size\": 24"
#define DISTILBERT_SMALL "\"dim\": 12, \"n_layers\": 2, \"n_heads\": 2, \"hidden_dim\": 28"
#define DISTILBERT_WIDE  "\"dim\": 64, \"n_layers\": 1, \"n_heads\": 1, \"hidden_dim\": 80"
#define THREE_LABELS     ", \"id2label\": {\"0\": \"a\", \"1\": \"b\", \"2\": \"c\"}"

static const struct model_case cases[] = {
    {"bert qa", BERT("ForQuestionAnswering", BERT_SMALL, ""), ESPI_RESULT_TOKEN_LOGITS, ESPI_POOL_NONE, false},
    {"bert tokens", BERT("ForTokenClassification", BERT_ODD, THREE_LABELS), ESPI_RESULT_TOKEN_LOGITS, ESPI_POOL_NONE,
     false},
    {"bert sequence", BERT("ForSequenceClassification", BERT_DEEP, THREE_LABELS ", \"hidden_act\": \"gelu_new\""),
     ESPI_RESULT_SEQUENCE_LOGITS, ESPI_POOL_NONE, false},
    {"bert masked", BERT("ForMaskedLM", BERT_SMALL, ", \"hidden_act\": \"silu\""), ESPI_RESULT_VOCAB_LOGITS,
     ESPI_POOL_NONE, false},
    {"bert hidden", BERT("Model", BERT_DEEP, ", \"hidden_act\": \"relu\""), ESPI_RESULT_HIDDEN, ESPI_POOL_NONE, false},
    {"bert pooled", BERT("ForSequenceClassification", BERT_SMALL, ""), ESPI_RESULT_POOLED, ESPI_POOL_NONE, false},
    {"bert mean", BERT("Model", BERT_SMALL, ""), ESPI_RESULT_EMBEDDING, ESPI_POOL_MEAN, true},
    {"bert max", BERT("Model", BERT_ODD, ""), ESPI_RESULT_EMBEDDING, ESPI_POOL_MAX, true},
    {"bert first", BERT("Model", BERT_SMALL, ""), ESPI_RESULT_EMBEDDING, ESPI_POOL_CLS, false},
    {"distilbert qa", DISTILBERT("ForQuestionAnswering", DISTILBERT_SMALL, ""), ESPI_RESULT_TOKEN_LOGITS,
     ESPI_POOL_NONE, false},
    {"distilbert tokens", DISTILBERT("ForTokenClassification", DISTILBERT_WIDE, THREE_LABELS), ESPI_RESULT_TOKEN_LOGITS,
     ESPI_POOL_NONE, false},
    {"distilbert sequence", DISTILBERT("ForSequenceClassification", DISTILBERT_SMALL, THREE_LABELS),
     ESPI_RESULT_SEQUENCE_LOGITS, ESPI_POOL_NONE, false},
    {"distilbert masked", DISTILBERT("ForMaskedLM", DISTILBERT_WIDE, ""), ESPI_RESULT_VOCAB_LOGITS, ESPI_POOL_NONE,
     false},
};

static const uint32_t positions[] = {0, 3, 20, 20, 41, 29, 5};
static const uint64_t streams[] = {7, 3, 1ull << 40, 0, 12, 9};

/* A model, a batch and a pass over it with dropout. The pass points into the struct: do not copy it. */
struct fixture {
    struct espi_checkpoint model;
    struct test_batch batch;
    struct espi_pass pass;
    size_t count; // of the result
    float *out, *d_result, *gradients;
};

static float *floats(size_t count)
{
    float *block = espi_calloc_aligned(NULL, count, sizeof *block);
    assert_non_null(block);
    return block;
}

static void fill(float *x, size_t count, uint64_t seed)
{
    struct espi_random random = {.seed = seed, .stream = 9};
    for (size_t i = 0; i < count; i++)
        x[i] = espi_random_normal(&random);
}

static void open_fixture(struct fixture *f, const struct model_case *c, bool dropout)
{
    static const uint32_t lengths[] = {1, 20, 7, 13, 2, 1};
    *f = (struct fixture){0};
    test_random_model(ctx, c->config, 0, 5, &f->model);
    struct espi_config *config = &f->model.config;
    config->pooling = c->pooling;
    config->normalize = c->normalize;
    if (!dropout)
        config->hidden_dropout = config->attention_dropout = config->classifier_dropout = 0;
    test_batch_random(&f->batch, config, lengths, ESPI_COUNT(lengths), 3);
    f->pass = (struct espi_pass){
        .batch = &f->batch.batch,
        .wanted = {.result = c->result,
                   .positions = positions,
                   .position_count = c->result == ESPI_RESULT_VOCAB_LOGITS ? ESPI_COUNT(positions) : 0},
        .train = true,
        .seed = 0x5eed,
        .streams = streams};
    f->count = espi_result_size(config, f->pass.batch, &f->pass.wanted);
    f->pass.wanted.out = f->out = floats(f->count);
    f->d_result = floats(f->count);
    f->gradients = floats(f->model.params.elements);
    fill(f->d_result, f->count, 2);
}

static void close_fixture(struct fixture *f)
{
    espi_checkpoint_clear(&f->model);
    free(f->out);
    free(f->d_result);
    free(f->gradients);
}

static struct espi_network *network_of(const struct fixture *f, enum espi_compute compute, struct espi_team *team)
{
    struct espi_network *network;
    test_ok(ctx, espi_network_new(ctx, &f->model.config, &f->model.params, compute, team, &network));
    test_ok(ctx, espi_network_refresh(ctx, network));
    return network;
}

/* ---- comparing ------------------------------------------------------------------------------------------------------ */

static void assert_near(const char *name, const char *what, const float *found, const double *expected, size_t count,
                        double tolerance)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)found[i] - expected[i]) <= tolerance * fmax(largest, 1e-3)))
            fail_msg("%s: %s: value %zu: expected %.9g, found %.9g", name, what, i, expected[i], (double)found[i]);
}

/* Gradients that enter beside that of the result. */
struct injected {
    float *hidden[8], *qkv[8];
    const float *hidden_view[8], *qkv_view[8];
};

static double dot(size_t count, const float *weights, const double *x)
{
    double sum = 0;
    for (size_t i = 0; weights && i < count; i++)
        sum += (double)weights[i] * x[i];
    return sum;
}

/* A linear functional of the result and of inner states, whose gradient with respect to them is known. */
static double loss(struct reference *r, const struct fixture *f, const struct injected *injected)
{
    size_t tokens = f->pass.batch->tokens, hidden = f->model.config.hidden, layers = f->model.config.layers;
    reference_forward(r, &f->pass);
    double sum = dot(r->out_count, f->d_result, r->out);
    for (size_t l = 0; injected && l <= layers; l++)
        sum += dot(tokens * hidden, injected->hidden[l], r->hidden[l]);
    for (size_t l = 0; injected && l < layers; l++)
        sum += dot(3 * tokens * hidden, injected->qkv[l], r->qkv[l]);
    return sum;
}

static double difference(struct reference *r, const struct fixture *f, const struct injected *injected, double *x)
{
    double before = *x, step = 1e-5;
    *x = before + step;
    double up = loss(r, f, injected);
    *x = before - step;
    double down = loss(r, f, injected);
    *x = before;
    return (up - down) / (2 * step);
}

static double largest_of(const float *x, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)x[i]));
    return largest;
}

/* Some elements of every tensor (all of small ones): that of the largest gradient and random ones. Those of the keys'
 * biases are zero, so that the measure is not the tensor's own gradients alone. */
static void check_gradients(const char *name, struct reference *r, const struct fixture *f,
                            const struct injected *injected)
{
    enum { SAMPLES = 16 };
    const struct espi_params *params = &f->model.params;
    double least = 0.01 * largest_of(f->gradients, params->elements);
    struct espi_random random = {.seed = 77};
    for (size_t p = 0; p < params->length; p++) {
        const struct espi_param *param = &params->list[p];
        const float *found = f->gradients + param->offset;
        size_t samples = espi_size_min(param->count, SAMPLES), largest = 0;
        double scale = largest_of(found, param->count);
        while (fabs((double)found[largest]) < scale)
            largest++;
        for (size_t s = 0; s <= samples; s++) {
            size_t i = s == samples ? largest : param->count <= SAMPLES ? s : espi_random_below(&random, param->count);
            double expected = difference(r, f, injected, r->slab + param->offset + i);
            if (!(fabs((double)found[i] - expected) <= 2e-5 * fmax(scale, least)))
                fail_msg("%s: %s: gradient %zu: expected %.9g, found %.9g (largest %.3g)", name, param->name, i,
                         expected, (double)found[i], scale);
        }
    }
}

/* ---- results and gradients ------------------------------------------------------------------------------------------ */

/* Every tensor of every family and head, with dropout. */
static void test_gradients(void **state)
{
    (void)state;
    for (size_t c = 0; c < ESPI_COUNT(cases); c++) {
        struct fixture f;
        open_fixture(&f, &cases[c], true);
        struct reference r;
        reference_init(&r, &f.model.config, &f.model.params);
        struct espi_network *network = network_of(&f, ESPI_COMPUTE_F32, NULL);
        test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
        reference_forward(&r, &f.pass);
        assert_near(cases[c].name, "result", f.out, r.out, f.count, 2e-5);
        struct espi_backward backward = {.d_result = f.d_result, .gradients = f.gradients};
        test_ok(ctx, espi_network_backward(ctx, network, &backward));
        check_gradients(cases[c].name, &r, &f, NULL);
        espi_network_free(network);
        reference_clear(&r);
        close_fixture(&f);
    }
}

/* ---- edges ---------------------------------------------------------------------------------------------------------- */

/* No positions, no sequences: nothing to do, and gradients stay as they are. */
static void test_empty(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, &cases[3], true);
    struct espi_network *network = network_of(&f, ESPI_COMPUTE_F32, NULL);
    struct espi_backward backward = {.d_result = f.d_result, .gradients = f.gradients};
    f.pass.wanted.position_count = 0;
    test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
    test_ok(ctx, espi_network_backward(ctx, network, &backward));
    struct espi_batch none = {0};
    static const uint32_t start = 0;
    none.starts = &start;
    f.pass.batch = &none;
    test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
    test_ok(ctx, espi_network_backward(ctx, network, &backward));
    for (size_t i = 0; i < f.model.params.elements; i++)
        assert_true(f.gradients[i] == 0.0f);
    espi_network_free(network);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_empty),
    };
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
