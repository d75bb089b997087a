/* SPDX-License-Identifier: Apache-2.0
 * The trainable network: results and gradients against an encoder in double precision, whose gradients are central
 * differences; the same bits for any team; bf16 near fp32. */
#include "random_model.h"
#include "reference_network.h"

#include "create/network/network.h"

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
#define ROBERTA(class, shape, more)                                                                                    \
    "{\"model_type\": \"roberta\", \"architectures\": [\"Roberta" class "\"], \"vocab_size\": 60, \"pad_token_id\": "  \
                                                                        "3, "                                          \
                                                                        "\"type_vocab_size\": 1, "                     \
                                                                        "\"max_position_embeddings\": 28, "            \
                                                                        "\"initializer_range\": 0.25, "                \
                                                                        "\"hidden_dropout_prob\": 0.2, "               \
                                                                        "\"attention_probs_dropout_prob\": 0.3, "      \
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
/* Other families with BERT's fields; `more` has their own. */
#define ALIKE(type, class, shape, more)                                                                                \
    "{\"model_type\": \"" type "\", \"architectures\": [\"" class "\"], \"vocab_size\": 60, "                          \
                                                                  "\"type_vocab_size\": 2, \"initializer_range\": "    \
                                                                  "0.25, \"hidden_dropout_prob\": 0.2, "               \
                                                                  "\"attention_probs_dropout_prob\": 0.3, " shape more \
                                                                  "}"
#define PLACES(count) ", \"max_position_embeddings\": " #count
#define ELECTRA(class, shape, more)                                                                                    \
    ALIKE("electra", "Electra" class, shape, PLACES(24) ", \"classifier_dropout\": 0.4" more)
#define ALBERT(class, shape, more)                                                                                     \
    ALIKE("albert", "Albert" class, shape, PLACES(24) ", \"classifier_dropout_prob\": 0.4" more)
#define MPNET(class, shape, more) ALIKE("mpnet", "MPNet" class, shape, PLACES(126) more)
#define BERT_SMALL                                                                                                     \
    "\"hidden_size\": 12, \"num_hidden_layers\": 2, \"num_attention_heads\": 3, \"intermediate_size\": 20"
#define BERT_ODD  "\"hidden_size\": 35, \"num_hidden_layers\": 1, \"num_attention_heads\": 5, \"intermediate_size\": 67"
#define BERT_DEEP "\"hidden_size\": 16, \"num_hidden_layers\": 3, \"num_attention_heads\": 2, \"intermediate_size\": 24"
#define ALBERT_FOUR                                                                                                    \
    "\"hidden_size\": 12, \"num_hidden_layers\": 4, \"num_hidden_groups\": 2, \"num_attention_heads\": 3, "            \
    "\"intermediate_size\": 20"
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
    {"roberta sequence", ROBERTA("ForSequenceClassification", BERT_SMALL, THREE_LABELS), ESPI_RESULT_SEQUENCE_LOGITS,
     ESPI_POOL_NONE, false},
    {"roberta masked", ROBERTA("ForMaskedLM", BERT_SMALL, ", \"hidden_act\": \"relu\""), ESPI_RESULT_VOCAB_LOGITS,
     ESPI_POOL_NONE, false},
    {"xlm-roberta tokens", ALIKE("xlm-roberta", "XLMRobertaForTokenClassification", BERT_ODD, PLACES(26) THREE_LABELS),
     ESPI_RESULT_TOKEN_LOGITS, ESPI_POOL_NONE, false},
    {"camembert pooled", ALIKE("camembert", "CamembertModel", BERT_SMALL, PLACES(26)), ESPI_RESULT_POOLED,
     ESPI_POOL_NONE, false},
    {"electra qa", ELECTRA("ForQuestionAnswering", BERT_ODD, ", \"embedding_size\": 18"), ESPI_RESULT_TOKEN_LOGITS,
     ESPI_POOL_NONE, false},
    {"electra sequence", ELECTRA("ForSequenceClassification", BERT_DEEP, ", \"embedding_size\": 37" THREE_LABELS),
     ESPI_RESULT_SEQUENCE_LOGITS, ESPI_POOL_NONE, false},
    {"electra tokens", ELECTRA("ForTokenClassification", BERT_SMALL, ", \"embedding_size\": 12" THREE_LABELS),
     ESPI_RESULT_TOKEN_LOGITS, ESPI_POOL_NONE, false},
    {"electra masked", ELECTRA("ForMaskedLM", BERT_SMALL, ", \"embedding_size\": 7, \"hidden_act\": \"relu\""),
     ESPI_RESULT_VOCAB_LOGITS, ESPI_POOL_NONE, false},
    {"electra masked, wider embeddings", ELECTRA("ForMaskedLM", BERT_SMALL, ", \"embedding_size\": 50"),
     ESPI_RESULT_VOCAB_LOGITS, ESPI_POOL_NONE, false},
    {"albert sequence", ALBERT("ForSequenceClassification", BERT_DEEP, ", \"embedding_size\": 9" THREE_LABELS),
     ESPI_RESULT_SEQUENCE_LOGITS, ESPI_POOL_NONE, false},
    {"albert qa of two groups", ALBERT("ForQuestionAnswering", ALBERT_FOUR, ", \"embedding_size\": 12"),
     ESPI_RESULT_TOKEN_LOGITS, ESPI_POOL_NONE, false},
    {"albert masked", ALBERT("ForMaskedLM", BERT_SMALL, ", \"embedding_size\": 8"), ESPI_RESULT_VOCAB_LOGITS,
     ESPI_POOL_NONE, false},
    {"albert pooled", ALBERT("Model", BERT_DEEP, ", \"embedding_size\": 16"), ESPI_RESULT_POOLED, ESPI_POOL_NONE,
     false},
    {"mpnet mean", MPNET("Model", BERT_SMALL, ""), ESPI_RESULT_EMBEDDING, ESPI_POOL_MEAN, true},
    {"mpnet masked", MPNET("ForMaskedLM", BERT_DEEP, ""), ESPI_RESULT_VOCAB_LOGITS, ESPI_POOL_NONE, false},
    {"mpnet sequence", MPNET("ForSequenceClassification", BERT_ODD, THREE_LABELS), ESPI_RESULT_SEQUENCE_LOGITS,
     ESPI_POOL_NONE, false},
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

/* Without dropout the result of the network that was made to run a checkpoint. */
static void test_forward_engine(void **state)
{
    (void)state;
    for (size_t c = 0; c < ESPI_COUNT(cases); c++) {
        struct fixture f;
        struct espi_engine *engine;
        open_fixture(&f, &cases[c], false);
        struct espi_network *network = network_of(&f, ESPI_COMPUTE_F32, NULL);
        test_ok(ctx, espi_network_engine_new(ctx, &f.model.config, &f.model.params, NULL, &engine));
        float *expected = floats(f.count);
        struct espi_wanted wanted = f.pass.wanted;
        wanted.out = expected;
        test_ok(ctx, engine->run(engine, ctx, f.pass.batch, &wanted));
        test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
        for (size_t i = 0; i < f.count; i++)
            if (!(fabsf(f.out[i] - expected[i]) <= 1e-5f * fmaxf(1.0f, fabsf(expected[i]))))
                fail_msg("%s: value %zu: made to run it has %.9g, made to train %.9g", cases[c].name, i,
                         (double)expected[i], (double)f.out[i]);
        free(expected);
        engine->free(engine);
        espi_network_free(network);
        close_fixture(&f);
    }
}

/* ---- what enters and changes a pass --------------------------------------------------------------------------------- */

static void inject(struct injected *injected, const struct fixture *f)
{
    size_t count = f->pass.batch->tokens * f->model.config.hidden, layers = f->model.config.layers;
    *injected = (struct injected){0};
    for (size_t l = 0; l <= layers; l += 2) { // not every one
        injected->hidden_view[l] = injected->hidden[l] = floats(count);
        fill(injected->hidden[l], count, 100 + l);
    }
    for (size_t l = 0; l < layers; l += 2) {
        injected->qkv_view[l] = injected->qkv[l] = floats(3 * count);
        fill(injected->qkv[l], 3 * count, 200 + l);
    }
}

static void clear_injected(struct injected *injected)
{
    for (size_t l = 0; l < ESPI_COUNT(injected->hidden); l++) {
        free(injected->hidden[l]);
        free(injected->qkv[l]);
    }
}

/* A filter with a slope: y = x + sin(x) / 2 at every point, other points and layers with another phase. It keeps what it
 * saw and insists on the opposite order backward. */
enum { MOST_CALLS = 64 };

struct curve {
    size_t calls;
    bool wrong;
    struct curve_call {
        size_t layer, tokens, columns;
        enum espi_tap tap;
        float *x;
    } call[MOST_CALLS];
};

static double phase(size_t layer, enum espi_tap tap)
{
    return (double)layer + 0.5 * (double)tap;
}

static void curve_reference(size_t layer, enum espi_tap tap, size_t count, double *x)
{
    for (size_t i = 0; i < count; i++)
        x[i] += 0.5 * sin(x[i] + phase(layer, tap));
}

static int curve_forward(void *argument, esp_context *context, size_t layer, enum espi_tap tap,
                         const struct espi_batch *batch, size_t columns, bool train, const float *before, float *x)
{
    (void)context;
    assert_true((before != NULL) == (tap == ESPI_TAP_INTERMEDIATE));
    size_t tokens = batch->tokens;
    struct curve *curve = argument;
    assert_true(train && curve->calls < MOST_CALLS);
    struct curve_call *call = &curve->call[curve->calls++];
    *call = (struct curve_call){layer, tokens, columns, tap, floats(tokens * columns)};
    memcpy(call->x, x, tokens * columns * sizeof *x);
    for (size_t i = 0; i < tokens * columns; i++)
        x[i] = (float)((double)x[i] + 0.5 * sin((double)x[i] + phase(layer, tap)));
    return ESP_OK;
}

static int curve_backward(void *argument, esp_context *context, size_t layer, enum espi_tap tap, size_t tokens,
                          size_t columns, float *dx)
{
    (void)context;
    struct curve *curve = argument;
    assert_true(curve->calls > 0);
    struct curve_call *call = &curve->call[--curve->calls];
    curve->wrong |= call->layer != layer || call->tap != tap || call->tokens != tokens || call->columns != columns;
    for (size_t i = 0; i < tokens * columns && !curve->wrong; i++)
        dx[i] *= (float)(1.0 + 0.5 * cos((double)call->x[i] + phase(layer, tap)));
    free(call->x);
    return ESP_OK;
}

/* Every other weight through the filter's scratch. */
static const float *halve(void *argument, const struct espi_param *param, const float *weight, float *scratch)
{
    (*(size_t *)argument)++;
    if (param->role == ESPI_KEY_W || param->role == ESPI_FFN_IN_W)
        return weight;
    for (size_t i = 0; i < param->count; i++)
        scratch[i] = 0.5f * weight[i];
    return scratch;
}

static void halve_reference(struct reference *r)
{
    for (size_t p = 0; p < r->params->length; p++) {
        const struct espi_param *param = &r->params->list[p];
        bool linear = param->role == ESPI_QUERY_W || param->role == ESPI_VALUE_W ||
                      param->role == ESPI_ATTENTION_OUT_W || param->role == ESPI_FFN_OUT_W;
        for (size_t i = 0; linear && i < param->count; i++)
            r->slab[param->offset + i] *= 0.5;
    }
}

/* What `ready` has seen: each element once, from the end of the slab to its start. */
struct ranges {
    size_t calls, end;
    const float *gradients;
    double sum; // of the gradients in the ranges, when they came
};

static int take_range(void *argument, esp_context *context, size_t first, size_t count)
{
    (void)context;
    struct ranges *ranges = argument;
    assert_int_equal(first + count, ranges->end);
    assert_true(count > 0);
    ranges->end = first;
    ranges->calls++;
    for (size_t i = first; i < first + count; i++)
        ranges->sum += fabs((double)ranges->gradients[i]);
    return ESP_OK;
}

/* Injected gradients, both filters and `ready` at once. */
static void check_everything(const struct model_case *c)
{
    struct fixture f;
    open_fixture(&f, c, true);
    struct reference r;
    reference_init(&r, &f.model.config, &f.model.params);
    r.filter = curve_reference;
    halve_reference(&r);
    struct injected injected;
    inject(&injected, &f);
    struct espi_layer_gradients layers = {injected.hidden_view, injected.qkv_view};
    struct curve curve = {0};
    struct espi_activation_filter filter = {&curve, curve_forward, curve_backward};
    size_t filtered = 0;
    struct espi_network *network = network_of(&f, ESPI_COMPUTE_F32, NULL);
    espi_network_set_weight_filter(network, halve, &filtered);
    espi_network_set_activation_filter(network, &filter);
    test_ok(ctx, espi_network_refresh(ctx, network));
    assert_int_equal(filtered, 6 * espi_config_stored_layers(&f.model.config));
    test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
    assert_int_equal(curve.calls, 5 * f.model.config.layers);
    reference_forward(&r, &f.pass);
    assert_near(c->name, "result", f.out, r.out, f.count, 5e-5);
    struct ranges ranges = {.end = f.model.params.elements, .gradients = f.gradients};
    struct espi_backward backward = {.d_result = f.d_result,
                                     .layers = &layers,
                                     .gradients = f.gradients,
                                     .ready = take_range,
                                     .ready_argument = &ranges};
    test_ok(ctx, espi_network_backward(ctx, network, &backward));
    assert_true(curve.calls == 0 && !curve.wrong);
    check_gradients(c->name, &r, &f, &injected);
    assert_true(ranges.end == 0 && ranges.calls > espi_config_stored_layers(&f.model.config));
    double sum = 0; // nothing was added behind a range's back
    for (size_t i = 0; i < f.model.params.elements; i++)
        sum += fabs((double)f.gradients[i]);
    assert_true(fabs(sum - ranges.sum) <= 1e-9 * sum);
    clear_injected(&injected);
    espi_network_free(network);
    reference_clear(&r);
    close_fixture(&f);
}

static void test_everything(void **state)
{
    (void)state;
    for (size_t c = 0; c < ESPI_COUNT(cases); c += 2)
        check_everything(&cases[c]);
}

/* ---- bits ----------------------------------------------------------------------------------------------------------- */

static void run_both(struct fixture *f, struct espi_network *network)
{
    struct espi_backward backward = {.d_result = f->d_result, .gradients = f->gradients};
    memset(f->gradients, 0, f->model.params.elements * sizeof *f->gradients);
    test_ok(ctx, espi_network_forward(ctx, network, &f->pass));
    test_ok(ctx, espi_network_backward(ctx, network, &backward));
}

static void check_threads(const struct model_case *c, enum espi_compute compute)
{
    struct fixture f;
    open_fixture(&f, c, true);
    float *out = floats(f.count), *gradients = floats(f.model.params.elements);
    for (size_t threads = 1; threads <= 3; threads++) {
        struct espi_team *team;
        test_ok(ctx, espi_team_new(ctx, threads, &team));
        struct espi_network *network = network_of(&f, compute, team);
        run_both(&f, network);
        if (threads == 1) {
            memcpy(out, f.out, f.count * sizeof *out);
            memcpy(gradients, f.gradients, f.model.params.elements * sizeof *gradients);
        }
        assert_memory_equal(out, f.out, f.count * sizeof *out);
        assert_memory_equal(gradients, f.gradients, f.model.params.elements * sizeof *gradients);
        espi_network_free(network);
        espi_team_free(team);
    }
    free(out);
    free(gradients);
    close_fixture(&f);
}

static void test_threads(void **state)
{
    (void)state;
    for (size_t c = 0; c < ESPI_COUNT(cases); c++) {
        check_threads(&cases[c], ESPI_COMPUTE_F32);
        if (espi_matmul_has_bf16())
            check_threads(&cases[c], ESPI_COMPUTE_BF16);
    }
}

/* A network that had a larger batch before gives the bits of a new one. */
static void test_used(void **state)
{
    (void)state;
    for (size_t c = 0; c < ESPI_COUNT(cases); c++)
        for (int bf16 = 0; bf16 <= espi_matmul_has_bf16(); bf16++) {
            struct fixture f;
            open_fixture(&f, &cases[c], true);
            enum espi_compute compute = bf16 ? ESPI_COMPUTE_BF16 : ESPI_COMPUTE_F32;
            struct espi_network *used = network_of(&f, compute, NULL), *fresh = network_of(&f, compute, NULL);
            run_both(&f, used);
            f.batch.batch.sequences = 2;
            f.batch.batch.tokens = f.batch.starts[2];
            f.pass.wanted.position_count = f.pass.wanted.position_count ? 3 : 0;
            f.count = espi_result_size(&f.model.config, f.pass.batch, &f.pass.wanted);
            float *out = floats(f.count), *gradients = floats(f.model.params.elements);
            run_both(&f, fresh);
            memcpy(out, f.out, f.count * sizeof *out);
            memcpy(gradients, f.gradients, f.model.params.elements * sizeof *gradients);
            run_both(&f, used);
            assert_memory_equal(out, f.out, f.count * sizeof *out);
            assert_memory_equal(gradients, f.gradients, f.model.params.elements * sizeof *gradients);
            free(out);
            free(gradients);
            espi_network_free(used);
            espi_network_free(fresh);
            close_fixture(&f);
        }
}

/* Gradients are added: twice the pass, twice the gradient; a sequence's masks follow its stream, not its neighbours. */
static void test_parts(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, &cases[0], true);
    struct espi_network *network = network_of(&f, ESPI_COMPUTE_F32, NULL);
    size_t elements = f.model.params.elements, labels = f.model.config.labels;
    float *whole = floats(elements), *parts = floats(elements), *out = floats(f.count);
    struct espi_backward backward = {.d_result = f.d_result, .gradients = whole};
    test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
    test_ok(ctx, espi_network_backward(ctx, network, &backward));
    memcpy(out, f.out, f.count * sizeof *out);
    for (uint32_t s = 0; s < f.batch.batch.sequences; s++) { // each sequence alone
        uint32_t first = f.batch.starts[s], length = f.batch.starts[s + 1] - first;
        const uint32_t starts[2] = {0, length};
        struct espi_batch one = {1, length, starts, f.batch.ids + first, f.batch.types + first};
        struct espi_pass pass = f.pass;
        pass.batch = &one;
        pass.streams = streams + s;
        backward = (struct espi_backward){.d_result = f.d_result + first * labels, .gradients = parts};
        test_ok(ctx, espi_network_forward(ctx, network, &pass));
        test_ok(ctx, espi_network_backward(ctx, network, &backward));
        for (size_t i = 0; i < length * labels; i++)
            assert_true(fabsf(f.out[i] - out[first * labels + i]) <= 1e-5f);
    }
    double least = 0.01 * largest_of(whole, elements);
    for (size_t i = 0; i < elements; i++)
        assert_true(fabs((double)(parts[i] - whole[i])) <= 1e-4 * fmax(fabs((double)whole[i]), least));
    free(whole);
    free(parts);
    free(out);
    espi_network_free(network);
    close_fixture(&f);
}

/* ---- bf16 ----------------------------------------------------------------------------------------------------------- */

static double angle(size_t count, const float *x, const float *y)
{
    double xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < count; i++) {
        xx += (double)x[i] * (double)x[i];
        yy += (double)y[i] * (double)y[i];
        xy += (double)x[i] * (double)y[i];
    }
    return xy / sqrt(xx * yy);
}

/* Operands have 8 bits: gradients point the same way, results are near. */
static void test_bf16(void **state)
{
    (void)state;
    if (!espi_matmul_has_bf16())
        skip();
    for (size_t c = 0; c < ESPI_COUNT(cases); c++) {
        struct fixture f;
        open_fixture(&f, &cases[c], true);
        size_t elements = f.model.params.elements;
        float *out = floats(f.count), *gradients = floats(elements);
        struct espi_network *network = network_of(&f, ESPI_COMPUTE_F32, NULL);
        run_both(&f, network);
        memcpy(out, f.out, f.count * sizeof *out);
        memcpy(gradients, f.gradients, elements * sizeof *gradients);
        espi_network_free(network);
        network = network_of(&f, ESPI_COMPUTE_BF16, NULL);
        run_both(&f, network);
        assert_true(angle(f.count, out, f.out) > 0.999);
        assert_true(memcmp(out, f.out, f.count * sizeof *out) != 0);
        bool kinks = f.model.config.activation == ESPI_RELU; // rounding takes values over to the other side
        assert_true(angle(elements, gradients, f.gradients) > (kinks ? 0.99 : 0.999));
        double largest = largest_of(gradients, elements);
        for (size_t p = 0; p < f.model.params.length; p++) {
            const struct espi_param *param = &f.model.params.list[p];
            const float *expected = gradients + param->offset;
            if (largest_of(expected, param->count) < 1e-2 * largest)
                continue; // mostly rounding of larger ones
            double cosine = angle(param->count, expected, f.gradients + param->offset);
            if (!(cosine > (kinks ? 0.95 : 0.995)))
                fail_msg("%s: %s: gradients in bf16 and fp32 have cosine %g", cases[c].name, param->name, cosine);
        }
        free(out);
        free(gradients);
        espi_network_free(network);
        close_fixture(&f);
    }
}

/* ---- evaluation ----------------------------------------------------------------------------------------------------- */

/* Evaluation has no dropout, whatever was kept; the memory of training serves too. */
static void test_engine(void **state)
{
    (void)state;
    for (size_t c = 0; c < ESPI_COUNT(cases); c++) {
        struct fixture f;
        struct espi_engine *engine;
        open_fixture(&f, &cases[c], true);
        struct espi_network *network = network_of(&f, ESPI_COMPUTE_F32, NULL);
        test_ok(ctx, espi_network_engine(ctx, network, &engine));
        float *out = floats(f.count);
        struct espi_wanted wanted = f.pass.wanted;
        wanted.out = out;
        test_ok(ctx, engine->run(engine, ctx, f.pass.batch, &wanted)); // nothing kept
        f.pass.train = false;
        test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
        assert_memory_equal(out, f.out, f.count * sizeof *out);
        espi_network_keep_layers(network, true);
        test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
        assert_memory_equal(out, f.out, f.count * sizeof *out);
        f.pass.train = true;
        test_ok(ctx, espi_network_forward(ctx, network, &f.pass)); // with dropout
        assert_memory_not_equal(out, f.out, f.count * sizeof *out);
        test_ok(ctx, engine->run(engine, ctx, f.pass.batch, &wanted)); // in the memory of training
        f.model.config.hidden_dropout = f.model.config.attention_dropout = f.model.config.classifier_dropout = 0;
        test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
        assert_memory_equal(out, f.out, f.count * sizeof *out);
        free(out);
        engine->free(engine);
        espi_network_free(network);
        close_fixture(&f);
    }
}

static int look(void *argument, esp_context *context, size_t layer, enum espi_tap tap, const struct espi_batch *batch,
                size_t columns, bool train, const float *before, float *x)
{
    (void)context, (void)layer, (void)tap, (void)batch, (void)columns, (void)train, (void)before, (void)x;
    ++*(size_t *)argument;
    return ESP_OK;
}

/* A network for forward passes alone: a filter that only looks changes nothing, and `train` passes are refused. */
static void test_forward_only(void **state)
{
    (void)state;
    for (size_t c = 0; c < ESPI_COUNT(cases); c++) {
        struct fixture f;
        struct espi_network *network;
        size_t looks = 0;
        open_fixture(&f, &cases[c], true);
        test_ok(ctx, espi_network_new_forward(ctx, &f.model.config, &f.model.params, ESPI_COMPUTE_F32, NULL, &network));
        test_fails(ctx, espi_network_forward(ctx, network, &f.pass), ESP_ERR_INTERNAL);
        f.pass.train = false;
        test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
        float *out = floats(f.count);
        memcpy(out, f.out, f.count * sizeof *out);
        espi_network_set_activation_filter(network,
                                           &(struct espi_activation_filter){.argument = &looks, .forward = look});
        test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
        assert_memory_equal(out, f.out, f.count * sizeof *out);
        assert_int_equal(looks, (ESPI_TAP_INTERMEDIATE + 1) * f.model.config.layers);
        espi_network_set_activation_filter(network, NULL);
        test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
        assert_memory_equal(out, f.out, f.count * sizeof *out);
        free(out);
        espi_network_free(network);
        close_fixture(&f);
    }
}

static void check_states(const struct fixture *f, const struct espi_network *network, const struct reference *r)
{
    size_t tokens = f->pass.batch->tokens, hidden = f->model.config.hidden, layers = f->model.config.layers;
    float *qkv = floats(tokens * 3 * hidden);
    for (size_t l = 0; l <= layers; l++)
        assert_near("states", "hidden", espi_network_hidden(network, l), r->hidden[l], tokens * hidden, 2e-5);
    for (size_t l = 0; l < layers; l++) {
        espi_network_copy_qkv(network, l, qkv);
        assert_near("states", "qkv", qkv, r->qkv[l], tokens * 3 * hidden, 2e-5);
    }
    free(qkv);
}

static void test_states(void **state)
{
    (void)state;
    for (size_t c = 0; c < ESPI_COUNT(cases); c += 3) {
        struct fixture f;
        open_fixture(&f, &cases[c], true);
        struct reference r;
        reference_init(&r, &f.model.config, &f.model.params);
        struct espi_network *network = network_of(&f, ESPI_COMPUTE_F32, NULL);
        espi_network_keep_layers(network, true);
        f.pass.train = false;
        test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
        reference_forward(&r, &f.pass);
        check_states(&f, network, &r);
        f.pass.train = true;
        test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
        reference_forward(&r, &f.pass);
        check_states(&f, network, &r);
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

static void test_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct espi_network *network;
    open_fixture(&f, &cases[0], true);
    struct espi_backward backward = {.d_result = f.d_result, .gradients = f.gradients};
    test_ok(ctx, espi_network_new(ctx, &f.model.config, &f.model.params, ESPI_COMPUTE_F32, NULL, &network));
    test_fails(ctx, espi_network_forward(ctx, network, &f.pass), ESP_ERR_INTERNAL);
    test_error_has(ctx, "not been packed");
    test_ok(ctx, espi_network_refresh(ctx, network));
    test_fails(ctx, espi_network_backward(ctx, network, &backward), ESP_ERR_INTERNAL);
    test_error_has(ctx, "without a forward pass");
    f.pass.train = false;
    test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
    test_fails(ctx, espi_network_backward(ctx, network, &backward), ESP_ERR_INTERNAL);
    f.pass.train = true;
    test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
    f.batch.ids[4] = 60;
    test_fails(ctx, espi_network_forward(ctx, network, &f.pass), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "found 60");
    test_fails(ctx, espi_network_backward(ctx, network, &backward), ESP_ERR_INTERNAL);
    f.batch.ids[4] = 0;
    f.pass.wanted.result = ESPI_RESULT_SEQUENCE_LOGITS;
    test_fails(ctx, espi_network_forward(ctx, network, &f.pass), ESP_ERR_UNSUPPORTED);
    test_error_has(ctx, "no sequence classification head");
    espi_network_free(network);
    espi_network_free(NULL);
    close_fixture(&f);
}

/* A filter's or a range's error ends the pass. */
static int fail_forward(void *argument, esp_context *context, size_t layer, enum espi_tap tap,
                        const struct espi_batch *batch, size_t columns, bool train, const float *before, float *x)
{
    (void)layer, (void)batch, (void)columns, (void)train, (void)before, (void)x;
    return tap == *(enum espi_tap *)argument ? espi_fail(context, ESP_ERR_ARGUMENT, "tap %d", (int)tap) : ESP_OK;
}

static int pass_backward(void *argument, esp_context *context, size_t layer, enum espi_tap tap, size_t tokens,
                         size_t columns, float *dx)
{
    (void)argument, (void)context, (void)layer, (void)tap, (void)tokens, (void)columns, (void)dx;
    return ESP_OK;
}

static int fail_range(void *argument, esp_context *context, size_t first, size_t count)
{
    (void)first, (void)count;
    size_t *left = argument;
    return --*left ? ESP_OK : espi_fail(context, ESP_ERR_LIMIT, "enough");
}

static void test_errors_inside(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, &cases[0], true);
    struct espi_network *network = network_of(&f, ESPI_COMPUTE_F32, NULL);
    enum espi_tap tap;
    struct espi_activation_filter filter = {&tap, fail_forward, pass_backward};
    espi_network_set_activation_filter(network, &filter);
    for (int t = ESPI_TAP_INPUT; t <= ESPI_TAP_INTERMEDIATE; t++) {
        tap = (enum espi_tap)t;
        test_fails(ctx, espi_network_forward(ctx, network, &f.pass), ESP_ERR_ARGUMENT);
    }
    espi_network_set_activation_filter(network, NULL);
    test_ok(ctx, espi_network_forward(ctx, network, &f.pass));
    for (size_t ranges = 1; ranges <= f.model.config.layers + 2; ranges++) {
        size_t left = ranges;
        struct espi_backward backward = {
            .d_result = f.d_result, .gradients = f.gradients, .ready = fail_range, .ready_argument = &left};
        test_fails(ctx, espi_network_backward(ctx, network, &backward), ESP_ERR_LIMIT);
    }
    espi_network_free(network);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),     cmocka_unit_test(test_forward_engine),
        cmocka_unit_test(test_everything),    cmocka_unit_test(test_threads),
        cmocka_unit_test(test_used),          cmocka_unit_test(test_parts),
        cmocka_unit_test(test_bf16),          cmocka_unit_test(test_engine),
        cmocka_unit_test(test_forward_only),  cmocka_unit_test(test_states),
        cmocka_unit_test(test_empty),         cmocka_unit_test(test_refused),
        cmocka_unit_test(test_errors_inside),
    };
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
