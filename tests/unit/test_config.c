/* SPDX-License-Identifier: Apache-2.0
 * config.json: what is read, what is refused and how, what is written again. */
#include "support.h"

#include "base/size.h"
#include "model/arch.h"
#include "model/config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static esp_context *ctx;

#define BERT                                                                                                           \
    "\"model_type\":\"bert\",\"vocab_size\":100,\"hidden_size\":8,\"num_hidden_layers\":2,\"num_attention_heads\":2,"  \
    "\"intermediate_size\":16,\"max_position_embeddings\":32"
#define DISTIL                                                                                                         \
    "\"model_type\":\"distilbert\",\"vocab_size\":100,\"dim\":8,\"n_layers\":2,\"n_heads\":2,\"hidden_dim\":16,"       \
    "\"max_position_embeddings\":32"
#define SEQUENCE ",\"architectures\":[\"BertForSequenceClassification\"]"
#define TOKEN    ",\"architectures\":[\"BertForTokenClassification\"]"
#define MLM      ",\"architectures\":[\"BertForMaskedLM\"]"

static void parse(const char *text, struct espi_config *out)
{
    test_ok(ctx, espi_config_parse(ctx, "config.json", text, strlen(text), out));
}

static void refuse(const char *text, int status, const char *message)
{
    struct espi_config config;
    test_status(ctx, espi_config_parse(ctx, "config.json", text, strlen(text), &config), status, text, __FILE__,
                __LINE__);
    test_error_has(ctx, "config.json: ");
    test_error_has(ctx, message);
    assert_null(config.json);
    assert_null(config.arena.blocks);
}

/* ---- refused ------------------------------------------------------------------------------------------------------ */

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "not valid JSON"},
        {"[]", "expected an object, found an array"},
        {"{}", "model_type: expected the family of the model, found nothing (there are none): add \"model_type\": one "
               "of bert, distilbert"},
        {"{\"hidden_size\":8,\"architectures\":[\"XlnetModel\"],\"model_type\":null}",
         "found nothing (there are hidden_size, architectures, model_type): add"},
        {"{\"model_type\":7}", "model_type: expected a string"},
        {"{\"model_type\":\"bert\"}", "vocab_size: expected an integer from 1 to 67108864, found nothing"},
        {"{\"model_type\":\"bert\",\"vocab_size\":0}", "vocab_size: expected an integer from 1 to 67108864, found 0"},
        {"{\"model_type\":\"bert\",\"vocab_size\":1e-3}", "vocab_size: expected an integer"},
        {"{\"model_type\":\"bert\",\"vocab_size\":123456789012345678901234567890}",
         "vocab_size: expected an integer from 1 to 67108864, found 1.23456789012346e+29"},
        {"{\"model_type\":\"bert\",\"vocab_size\":1e3}", "hidden_size: expected an integer"}, // which is 1000
        {"{\"model_type\":\"bert\",\"vocab_size\":9,\"hidden_size\":-8}", "hidden_size: expected an integer"},
        {"{\"model_type\":\"bert\",\"vocab_size\":9,\"hidden_size\":65537}", "hidden_size: expected an integer"},
        {"{\"model_type\":\"distilbert\",\"vocab_size\":9,\"hidden_size\":8}", "dim: expected an integer"},
        {"{" BERT ",\"vocab_size\":7}", "duplicate object key"},
        {"{" BERT ",\"type_vocab_size\":0}", "type_vocab_size: expected an integer from 1 to 256, found 0"},
        {"{" BERT ",\"type_vocab_size\":257}", "type_vocab_size: expected an integer from 1 to 256"},
        {"{" BERT ",\"hidden_act\":1}", "hidden_act: expected a string, found 1"},
        {"{" BERT ",\"layer_norm_eps\":\"x\"}", "layer_norm_eps: expected a number from 0 to 1"},
        {"{" BERT ",\"layer_norm_eps\":-1e-12}", "layer_norm_eps: expected a number from 0 to 1"},
        {"{" BERT ",\"initializer_range\":11}", "initializer_range: expected a number from 0 to 10"},
        {"{" BERT ",\"hidden_dropout_prob\":1}", "hidden_dropout_prob: expected a number from 0 to 0.999"},
        {"{" BERT ",\"attention_probs_dropout_prob\":-0.1}", "attention_probs_dropout_prob: expected a number"},
        {"{" BERT SEQUENCE ",\"classifier_dropout\":2}", "classifier_dropout: expected a number"},
        {"{" BERT ",\"architectures\":\"BertModel\"}", "architectures: expected an array"},
        {"{" BERT ",\"architectures\":[7]}", "architectures[0]: expected the name of a model class"},
        {"{" BERT ",\"architectures\":[null]}", "architectures[0]: expected the name of a model class"},
        {"{" BERT ",\"pruned_heads\":[]}", "pruned_heads: expected an object"},
        {"{" BERT ",\"pruned_heads\":{\"2\":[0]}}", "pruned_heads: expected layers from 0 to 1, found \"2\""},
        {"{" BERT ",\"pruned_heads\":{\"-1\":[0]}}", "pruned_heads: expected layers from 0 to 1, found \"-1\""},
        {"{" BERT ",\"pruned_heads\":{\"0x\":[0]}}", "pruned_heads: expected layers from 0 to 1, found \"0x\""},
        {"{" BERT ",\"pruned_heads\":{\"99999999999999999999\":[0]}}", "pruned_heads: expected layers from 0 to 1"},
        {"{" BERT ",\"pruned_heads\":{\"0\":1}}", "pruned_heads.0: expected an array"},
        {"{" BERT ",\"pruned_heads\":{\"0\":[2]}}", "pruned_heads.0[0]: expected an integer from 0 to 1"},
        {"{" BERT ",\"pruned_heads\":{\"0\":[0,-1]}}", "pruned_heads.0[1]: expected an integer from 0 to 1"},
        {"{" BERT ",\"pruned_heads\":{\"0\":[\"0\"]}}", "pruned_heads.0[0]: expected an integer from 0 to 1"},
        {"{" BERT SEQUENCE ",\"num_labels\":0}", "num_labels: expected an integer from 1 to 65536, found 0"},
        {"{" BERT SEQUENCE ",\"num_labels\":65537}", "num_labels: expected an integer from 1 to 65536"},
        {"{" BERT SEQUENCE ",\"id2label\":[]}", "id2label: expected an object"},
        {"{" BERT SEQUENCE ",\"id2label\":{}}", "id2label: expected 1 to 65536 labels, found 0"},
        {"{" BERT SEQUENCE ",\"id2label\":{\"1\":\"a\"}}",
         "id2label: expected the numbers 0 to 0, each once, found \"1\""},
        {"{" BERT SEQUENCE ",\"id2label\":{\"0\":\"a\",\"2\":\"b\"}}",
         "id2label: expected the numbers 0 to 1, each once, found \"2\""},
        {"{" BERT SEQUENCE ",\"id2label\":{\"0\":\"a\",\"00\":\"b\"}}", "numbers 0 to 1, each once, found \"00\""},
        {"{" BERT SEQUENCE ",\"id2label\":{\"0\":\"a\",\"x\":\"b\"}}", "numbers 0 to 1, each once, found \"x\""},
        {"{" BERT SEQUENCE ",\"id2label\":{\"0\":\"a\",\"-1\":\"b\"}}", "numbers 0 to 1, each once, found \"-1\""},
        {"{" BERT SEQUENCE ",\"id2label\":{\"0\":null}}", "id2label.0: expected the name of a label, found null"},
        {"{" BERT SEQUENCE ",\"id2label\":{\"0\":[]}}", "id2label.0: expected the name of a label, found an array"},
        {"{" BERT SEQUENCE ",\"sentence_transformers\":7}", "sentence_transformers: expected an object"},
        {"{" BERT SEQUENCE ",\"sentence_transformers\":{\"activation_fn\":1}}", "activation_fn: expected a string"},
        {"{" BERT SEQUENCE ",\"id2label\":{\"0\":\"a\\u0000\"}}", "id2label.0: expected a string without a zero"},
        {"{" BERT SEQUENCE ",\"problem_type\":3}", "problem_type: expected a string"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++)
        refuse(cases[i].text, ESP_ERR_FORMAT, cases[i].message);
    refuse("{\"model_type\":\"bert\",\"vocab_size\":9,\"hidden_size\":10,\"num_hidden_layers\":1,"
           "\"num_attention_heads\":3,\"intermediate_size\":4,\"max_position_embeddings\":8}",
           ESP_ERR_FORMAT, "num_attention_heads: expected a divisor of hidden_size (10), found 3");
    refuse("{\"model_type\":\"distilbert\",\"vocab_size\":9,\"dim\":10,\"n_layers\":1,\"n_heads\":4,"
           "\"hidden_dim\":4,\"max_position_embeddings\":8}",
           ESP_ERR_FORMAT, "n_heads: expected a divisor of dim (10), found 4");
}

static void test_unsupported(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"model_type\":\"t5\"}",
         "model_type: model type \"t5\" is not supported; supported: bert, distilbert, roberta"},
        {"{" BERT ",\"hidden_act\":\"quick_gelu\"}",
         "hidden_act: activation \"quick_gelu\" is not supported; supported: gelu, gelu_python, gelu_new"},
        {"{" DISTIL ",\"activation\":\"mish\"}", "activation: activation \"mish\" is not supported"},
        {"{" BERT ",\"position_embedding_type\":\"relative_key\"}",
         "position_embedding_type: \"relative_key\" is not supported: only \"absolute\" is"},
        {"{" BERT ",\"is_decoder\":true}", "is_decoder: true is not supported: only encoders are"},
        {"{" BERT ",\"is_decoder\":1}", "is_decoder: 1 is not supported"},
        {"{" BERT ",\"position_embedding_type\":1}", "position_embedding_type: 1 is not supported"},
        {"{" BERT ",\"add_cross_attention\":true}", "add_cross_attention: true is not supported"},
        {"{" BERT ",\"is_encoder_decoder\":true}", "is_encoder_decoder: true is not supported"},
        {"{" BERT ",\"pruned_heads\":{\"1\":[1,0]}}", "pruned_heads.1: all 2 heads of a layer: not supported"},
        {"{" BERT ",\"quantization_config\":{\"bits\":8}}", "quantization_config: {\"bits\":8} is not supported"},
        {"{" BERT ",\"auto_map\":{\"AutoModel\":\"x.Y\"}}", "auto_map: {\"AutoModel\":\"x.Y\"} is not supported"},
        {"{" BERT ",\"architectures\":[\"BertForNextSentencePrediction\"]}",
         "architectures[0]: \"BertForNextSentencePrediction\" is not supported; supported: Bert followed by Model, "
         "ForQuestionAnswering, ForSequenceClassification, ForTokenClassification, ForMaskedLM, ForPreTraining"},
        {"{" BERT ",\"architectures\":[\"BertLMHeadModel\"]}", "\"BertLMHeadModel\" is not supported"},
        {"{" BERT ",\"architectures\":[\"DistilBertModel\"]}", "\"DistilBertModel\" is not supported"},
        {"{" DISTIL ",\"architectures\":[\"BertModel\"]}", "\"BertModel\" is not supported"},
        {"{" BERT ",\"architectures\":[\"Bert\"]}", "\"Bert\" is not supported"},
        {"{" BERT MLM ",\"tie_word_embeddings\":false}", "tie_word_embeddings: a masked-LM decoder untied"},
        {"{" BERT SEQUENCE ",\"problem_type\":\"ranking\"}",
         "problem_type: \"ranking\" is not supported; supported: single_label_classification, "
         "multi_label_classification, regression"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++)
        refuse(cases[i].text, ESP_ERR_UNSUPPORTED, cases[i].message);
}

/* ---- accepted ----------------------------------------------------------------------------------------------------- */

static void test_defaults(void **state)
{
    (void)state;
    struct espi_config config;
    parse("{" BERT "}", &config);
    assert_int_equal(config.head, ESPI_HEAD_NONE);
    assert_int_equal(config.vocab_size, 100);
    assert_int_equal(config.hidden, 8);
    assert_int_equal(config.layers, 2);
    assert_int_equal(config.heads, 2);
    assert_int_equal(config.intermediate, 16);
    assert_int_equal(config.max_positions, 32);
    assert_int_equal(config.max_sequence, 32);
    assert_int_equal(config.type_vocab, 2);
    assert_int_equal(config.activation, ESPI_GELU);
    assert_true(config.layer_norm_eps == 1e-12f);
    assert_true(config.initializer_range == 0.02f);
    assert_true(config.hidden_dropout == 0.1f && config.attention_dropout == 0.1f);
    assert_true(config.classifier_dropout == 0);
    assert_int_equal(config.pad_token_id, 0);
    assert_int_equal(config.labels, 0);
    assert_null(config.label_names);
    assert_true(espi_config_has_pooler(&config));
    assert_int_equal(config.pooling, ESPI_POOL_NONE);
    assert_int_equal(espi_config_label(&config, "LABEL_0"), -1);
    espi_config_clear(&config);
    parse("{" DISTIL ",\"layer_norm_eps\":0.5,\"sinusoidal_pos_embds\":true,\"tie_weights_\":true}", &config);
    assert_int_equal(config.type_vocab, 0);
    assert_true(config.layer_norm_eps == 1e-12f); // the family's constant: no field of this name is its own
    assert_false(espi_config_has_pooler(&config));
    espi_config_clear(&config);
    espi_config_clear(&config);
}

static void test_harmless_options(void **state)
{
    (void)state;
    struct espi_config config;
    parse("{" BERT
          ",\"is_decoder\":false,\"add_cross_attention\":null,\"pruned_heads\":{},\"chunk_size_feed_forward\":3,"
          "\"position_embedding_type\":\"absolute\",\"use_cache\":true,\"architectures\":[],"
          "\"hidden_act\":null,\"pad_token_id\":null,\"type_vocab_size\":null,\"tie_word_embeddings\":false}",
          &config);
    assert_int_equal(config.head, ESPI_HEAD_NONE);
    espi_config_clear(&config);
}

static json_t *written(const struct espi_config *config)
{
    json_t *json;
    test_ok(ctx, espi_config_json(ctx, config, &json));
    return json;
}

/* Heads that are gone: read, copied, written again. */
static void test_pruned_heads(void **state)
{
    (void)state;
    struct espi_config config, copy;
    parse("{" BERT ",\"pruned_heads\":{\"1\":[0,0],\"0\":[]}}", &config);
    assert_int_equal(espi_config_layer_heads(&config, 0), 2);
    assert_int_equal(espi_config_layer_heads(&config, 1), 1);
    assert_int_equal(espi_config_context(&config, 0), 8);
    assert_int_equal(espi_config_context(&config, 1), 4);
    assert_int_equal(espi_config_copy(ctx, &config, NULL, &copy), ESP_OK);
    assert_memory_equal(copy.removed_heads, config.removed_heads, 4);
    json_t *json = written(&copy), *expected = json_loads("{\"1\":[0]}", 0, NULL);
    assert_true(json_equal(json_object_get(json, "pruned_heads"), expected));
    json_decref(json);
    json_decref(expected);
    assert_int_equal(espi_config_remove_heads(ctx, &copy, NULL), ESP_OK);
    json = written(&copy);
    assert_int_equal(json_object_size(json_object_get(json, "pruned_heads")), 0);
    json_decref(json);
    espi_config_clear(&copy);
    espi_config_clear(&config);
}

/* A head whose dropout is that of the hidden layers. */
static void test_shared_dropout(void **state)
{
    (void)state;
    struct espi_config config;
    parse("{\"model_type\":\"distilbert\",\"architectures\":[\"DistilBertForTokenClassification\"],\"dim\":8,"
          "\"n_layers\":1,\"n_heads\":2,\"hidden_dim\":16,\"vocab_size\":10,\"max_position_embeddings\":8,"
          "\"dropout\":0.1}",
          &config);
    config.hidden_dropout = config.classifier_dropout = 0;
    json_t *json = written(&config);
    assert_float_equal(json_real_value(json_object_get(json, "dropout")), 0, 0);
    json_decref(json);
    espi_config_clear(&config);
}

static void test_heads(void **state)
{
    (void)state;
    static const struct {
        const char *class_name;
        enum espi_head head;
        size_t labels;
        bool pooler;
    } cases[] = {
        {"BertModel", ESPI_HEAD_NONE, 0, true},
        {"BertForQuestionAnswering", ESPI_HEAD_QA, 2, false},
        {"BertForSequenceClassification", ESPI_HEAD_SEQUENCE, 2, true},
        {"BertForTokenClassification", ESPI_HEAD_TOKEN, 2, false},
        {"BertForMaskedLM", ESPI_HEAD_MLM, 0, false},
        {"BertForPreTraining", ESPI_HEAD_MLM, 0, false},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        char text[512];
        struct espi_config config;
        snprintf(text, sizeof text, "{" BERT ",\"architectures\":[\"%s\",\"Other\"]}", cases[i].class_name);
        parse(text, &config);
        assert_int_equal(config.head, cases[i].head);
        assert_int_equal(config.labels, cases[i].labels);
        assert_int_equal(espi_config_has_pooler(&config), cases[i].pooler);
        espi_config_clear(&config);
    }
}

static void test_labels(void **state)
{
    (void)state;
    struct espi_config config;
    parse("{" BERT SEQUENCE "}", &config);
    assert_int_equal(config.labels, 2);
    assert_string_equal(config.label_names[1], "LABEL_1");
    assert_int_equal(config.problem, ESPI_SINGLE_LABEL);
    espi_config_clear(&config);
    parse("{" BERT SEQUENCE ",\"num_labels\":1}", &config);
    assert_int_equal(config.labels, 1);
    assert_int_equal(config.problem, ESPI_REGRESSION);
    assert_true(config.problem_told);
    espi_config_clear(&config);
    parse("{" BERT SEQUENCE ",\"num_labels\":1,\"problem_type\":\"regression\"}", &config);
    assert_int_equal(config.problem, ESPI_REGRESSION);
    assert_false(config.problem_told);
    espi_config_clear(&config);
    parse("{" BERT TOKEN ",\"num_labels\":1}", &config);
    assert_int_equal(config.problem, ESPI_SINGLE_LABEL);
    espi_config_clear(&config);
    parse("{" BERT SEQUENCE ",\"id2label\":{\"1\":\"b\",\"0\":\"ä\",\"2\":\"b\"},\"num_labels\":3,"
          "\"problem_type\":\"regression\"}",
          &config);
    assert_int_equal(config.labels, 3);
    assert_int_equal(espi_config_label(&config, "ä"), 0);
    assert_int_equal(espi_config_label(&config, "b"), 1);
    assert_int_equal(espi_config_label(&config, ""), -1);
    assert_int_equal(config.problem, ESPI_REGRESSION);
    espi_config_clear(&config);
    /* A question-answering model has two outputs whatever labels its file carries. */
    parse("{" BERT ",\"architectures\":[\"BertForQuestionAnswering\"],\"num_labels\":9,\"id2label\":7}", &config);
    assert_int_equal(config.labels, 2);
    espi_config_clear(&config);
}

/* Only id2label is needed; names may be numbers, and label2id anything. */
static void test_loose_labels(void **state)
{
    (void)state;
    struct espi_config config;
    parse("{" BERT SEQUENCE ",\"id2label\":{\"01\":7,\"0\":true},\"num_labels\":5,\"label2id\":[1]}", &config);
    assert_int_equal(config.labels, 2);
    assert_string_equal(config.label_names[0], "true");
    assert_string_equal(config.label_names[1], "7");
    espi_config_clear(&config);
    parse("{" BERT TOKEN ",\"id2label\":{\"0\":\"a\",\"1\":\"b\"},\"label2id\":{\"a\":\"1\",\"c\":\"0\"}}", &config);
    assert_string_equal(config.label_names[1], "b");
    espi_config_clear(&config);
}

static void test_scores(void **state)
{
    (void)state;
#define INNER(name) ",\"sentence_transformers\":{\"activation_fn\":\"" name "\",\"version\":\"4.0.1\"}"
#define OLD(name)   ",\"sbert_ce_default_activation_function\":\"" name "\""
    static const struct {
        const char *text;
        enum espi_scores scores;
    } cases[] = {
        {"{" BERT SEQUENCE "}", ESPI_SCORES_UNSTATED},
        {"{" BERT SEQUENCE ",\"sentence_transformers\":{}}", ESPI_SCORES_UNSTATED},
        {"{" BERT SEQUENCE ",\"sentence_transformers\":{\"activation_fn\":null}}", ESPI_SCORES_UNSTATED},
        {"{" BERT SEQUENCE INNER("torch.nn.modules.linear.Identity") "}", ESPI_SCORES_RAW},
        {"{" BERT SEQUENCE INNER("torch.nn.modules.activation.Sigmoid") "}", ESPI_SCORES_SIGMOID},
        {"{" BERT SEQUENCE INNER("torch.nn.Softmax") "}", ESPI_SCORES_SOFTMAX},
        {"{" BERT SEQUENCE OLD("torch.nn.modules.linear.Identity") "}", ESPI_SCORES_RAW},
        {"{" BERT SEQUENCE OLD("torch.nn.modules.linear.Identity") INNER("torch.nn.modules.activation.Sigmoid") "}",
         ESPI_SCORES_SIGMOID},
        {"{" BERT TOKEN INNER("torch.nn.modules.activation.Tanh") "}", ESPI_SCORES_UNSTATED},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        struct espi_config config;
        parse(cases[i].text, &config);
        assert_int_equal(config.scores, cases[i].scores);
        espi_config_clear(&config);
    }
    refuse("{" BERT SEQUENCE INNER("torch.nn.modules.activation.Tanh") "}", ESP_ERR_UNSUPPORTED,
           "sentence_transformers.activation_fn: \"torch.nn.modules.activation.Tanh\" is not supported; supported: "
           "Identity, Sigmoid, Softmax of torch.nn");
    refuse("{" BERT SEQUENCE OLD("my.Sigmoid") "}", ESP_ERR_UNSUPPORTED, "\"my.Sigmoid\" is not supported");
}

static void test_activations(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum espi_activation activation;
    } cases[] = {
        {"gelu", ESPI_GELU},           {"gelu_python", ESPI_GELU},
        {"gelu_new", ESPI_GELU_TANH},  {"gelu_pytorch_tanh", ESPI_GELU_TANH},
        {"gelu_fast", ESPI_GELU_TANH}, {"relu", ESPI_RELU},
        {"silu", ESPI_SILU},           {"swish", ESPI_SILU},
        {"tanh", ESPI_TANH},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        char text[512];
        struct espi_config config;
        snprintf(text, sizeof text, "{" DISTIL ",\"activation\":\"%s\"}", cases[i].name);
        parse(text, &config);
        assert_int_equal(config.activation, cases[i].activation);
        espi_config_clear(&config);
    }
}

static void test_head_dropout(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        float dropout;
    } cases[] = {
        {"{" BERT SEQUENCE ",\"hidden_dropout_prob\":0.3}", 0.3f},
        {"{" BERT TOKEN ",\"hidden_dropout_prob\":0.3,\"classifier_dropout\":null}", 0.3f},
        {"{" BERT SEQUENCE ",\"hidden_dropout_prob\":0.3,\"classifier_dropout\":0}", 0},
        {"{" BERT MLM ",\"classifier_dropout\":0.5}", 0},
        {"{" DISTIL ",\"architectures\":[\"DistilBertForSequenceClassification\"]}", 0.2f},
        {"{" DISTIL ",\"architectures\":[\"DistilBertForSequenceClassification\"],\"seq_classif_dropout\":0.4}", 0.4f},
        {"{" DISTIL ",\"architectures\":[\"DistilBertForQuestionAnswering\"]}", 0.1f},
        {"{" DISTIL ",\"architectures\":[\"DistilBertForTokenClassification\"],\"dropout\":0.25}", 0.25f},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        struct espi_config config;
        parse(cases[i].text, &config);
        assert_true(config.classifier_dropout == cases[i].dropout);
        espi_config_clear(&config);
    }
}

/* ---- sentence-transformers ---------------------------------------------------------------------------------------- */

#define MODULE(path, type)                                                                                             \
    "{\"idx\":0,\"name\":\"0\",\"path\":\"" path "\",\"type\":\"sentence_transformers.models." type "\"}"
#define TRANSFORMER MODULE("", "Transformer")
#define POOLING     MODULE("1_Pooling", "Pooling")
#define NORMALIZE   MODULE("2_Normalize", "Normalize")

/* A directory with the three files; NULL: no such file. */
static int read_sentence(const char *config, const char *modules, const char *pooling, const char *limit,
                         struct espi_config *out)
{
    const char *scratch = test_scratch();
    char folder[ESPI_PATH_BYTES];
    test_write(scratch, "config.json", config, strlen(config));
    if (modules)
        test_write(scratch, "modules.json", modules, strlen(modules));
    if (pooling) {
        test_ok(ctx, espi_path_join(ctx, folder, scratch, "1_Pooling"));
        assert_int_equal(mkdir(folder, 0777), 0);
        test_write(folder, "config.json", pooling, strlen(pooling));
    }
    if (limit)
        test_write(scratch, "sentence_bert_config.json", limit, strlen(limit));
    int status = espi_config_read(ctx, scratch, out);
    test_scratch_remove(scratch);
    return status;
}

static void test_sentence(void **state)
{
    (void)state;
    static const char *const all = "[" TRANSFORMER "," POOLING "," NORMALIZE "]";
    static const struct {
        const char *config, *modules, *pooling, *limit;
        enum espi_head head;
        enum espi_pooling expected;
        bool normalize;
        size_t max_sequence;
    } cases[] = {
        {"{" BERT "}", NULL, NULL, "{\"max_seq_length\":7}", ESPI_HEAD_NONE, ESPI_POOL_NONE, false, 32},
        {"{" BERT "}", all, "{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":false}", NULL,
         ESPI_HEAD_NONE, ESPI_POOL_CLS, true, 32},
        {"{" BERT MLM "}", "[" TRANSFORMER "," POOLING "]", "{\"pooling_mode\":\"max\"}", "{\"max_seq_length\":16}",
         ESPI_HEAD_NONE, ESPI_POOL_MAX, false, 16},
        {"{" DISTIL "}", all, "{\"word_embedding_dimension\":8,\"pooling_mode_mean_tokens\":true}",
         "{\"max_seq_length\":128}", ESPI_HEAD_NONE, ESPI_POOL_MEAN, true, 32},
        {"{" DISTIL "}", all, "{\"pooling_mode\":\"mean\"}", "{\"max_seq_length\":null}", ESPI_HEAD_NONE,
         ESPI_POOL_MEAN, true, 32},
        /* No mode is true: the mean; other widths and longer limits are none. */
        {"{" BERT "}", all, "{\"pooling_mode_mean_tokens\":false,\"word_embedding_dimension\":9}",
         "{\"max_seq_length\":1e30}", ESPI_HEAD_NONE, ESPI_POOL_MEAN, true, 32},
        {"{" BERT "}", all, "{}", "{}", ESPI_HEAD_NONE, ESPI_POOL_MEAN, true, 32},
        {"{" BERT "}", all, "{\"pooling_mode\":[\"cls\"],\"embedding_dimension\":8}", NULL, ESPI_HEAD_NONE,
         ESPI_POOL_CLS, true, 32},
        /* A classifier's modules do not concern it. */
        {"{" BERT SEQUENCE "}", "[1]", NULL, NULL, ESPI_HEAD_SEQUENCE, ESPI_POOL_NONE, false, 32},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        struct espi_config config;
        test_ok(ctx, read_sentence(cases[i].config, cases[i].modules, cases[i].pooling, cases[i].limit, &config));
        assert_int_equal(config.head, cases[i].head);
        assert_int_equal(config.pooling, cases[i].expected);
        assert_int_equal(config.normalize, cases[i].normalize);
        assert_int_equal(config.max_sequence, cases[i].max_sequence);
        espi_config_clear(&config);
    }
}

static void test_sentence_refused(void **state)
{
    (void)state;
    static const char *const two = "[" TRANSFORMER "," POOLING "]";
    static const struct {
        const char *modules, *pooling, *limit;
        int status;
        const char *message;
    } cases[] = {
        {"{", NULL, NULL, ESP_ERR_FORMAT, "modules.json: column 1: not valid JSON"},
        {"{}", NULL, NULL, ESP_ERR_FORMAT, "modules.json: expected an array"},
        {"[]", NULL, NULL, ESP_ERR_FORMAT, "found no Pooling"},
        {"[" TRANSFORMER "]", NULL, NULL, ESP_ERR_FORMAT, "found no Pooling"},
        {"[3]", NULL, NULL, ESP_ERR_FORMAT, "[0]: expected an object"},
        {"[{}]", NULL, NULL, ESP_ERR_FORMAT, "[0].type: expected a string"},
        {"[" POOLING "]", NULL, NULL, ESP_ERR_UNSUPPORTED, "[0].type: module \"Pooling\" is not supported here"},
        {"[" TRANSFORMER "," TRANSFORMER "]", NULL, NULL, ESP_ERR_UNSUPPORTED, "[1].type: module \"Transformer\""},
        {"[" TRANSFORMER "," NORMALIZE "]", NULL, NULL, ESP_ERR_UNSUPPORTED, "[1].type: module \"Normalize\""},
        {"[" MODULE("0_Transformer", "Transformer") "]", NULL, NULL, ESP_ERR_NOT_FOUND, "0_Transformer/config.json"},
        {"[" MODULE("../x", "Transformer") "]", NULL, NULL, ESP_ERR_FORMAT,
         "[0].path: expected the name of a folder, found \"../x\""},
        {"[" TRANSFORMER "," POOLING "," MODULE("2_Dense", "Dense") "]", "{\"pooling_mode\":\"mean\"}", NULL,
         ESP_ERR_UNSUPPORTED,
         "[2].type: module \"Dense\" is not supported here; supported: Transformer, Pooling, Normalize"},
        {"[" TRANSFORMER "," POOLING "," POOLING "]", "{\"pooling_mode\":\"mean\"}", NULL, ESP_ERR_UNSUPPORTED,
         "[2].type: module \"Pooling\""},
        {"[" TRANSFORMER "," MODULE("../1_Pooling", "Pooling") "]", NULL, NULL, ESP_ERR_FORMAT,
         "[1].path: expected the name of a folder, found \"../1_Pooling\""},
        {"[" TRANSFORMER "," MODULE("..", "Pooling") "]", NULL, NULL, ESP_ERR_FORMAT, "[1].path: expected the name"},
        {"[" TRANSFORMER "," MODULE("", "Pooling") "]", NULL, NULL, ESP_ERR_FORMAT, "[1].path: expected the name"},
        {two, NULL, NULL, ESP_ERR_NOT_FOUND,
         "1_Pooling/config.json is not there: copy the model's folder \"1_Pooling\""},
        {two, "[]", NULL, ESP_ERR_FORMAT, "1_Pooling/config.json: expected an object"},
        {two, "{\"pooling_mode_mean_tokens\":1}", NULL, ESP_ERR_FORMAT, "pooling_mode_mean_tokens: expected true or"},
        {two, "{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":true}", NULL, ESP_ERR_UNSUPPORTED,
         "pooling by cls and mean together"},
        {two, "{\"pooling_mode_mean_sqrt_len_tokens\":true}", NULL, ESP_ERR_UNSUPPORTED,
         "pooling \"mean_sqrt_len_tokens\" is not supported; supported: cls, mean, max"},
        {two, "{\"pooling_mode_weightedmean_tokens\":true}", NULL, ESP_ERR_UNSUPPORTED, "pooling \"weightedmean\""},
        {two, "{\"pooling_mode_lasttoken\":true}", NULL, ESP_ERR_UNSUPPORTED, "pooling \"lasttoken\""},
        {two, "{\"pooling_mode\":\"lasttoken\"}", NULL, ESP_ERR_UNSUPPORTED, "pooling_mode: pooling \"lasttoken\""},
        {two, "{\"pooling_mode\":[\"cls\",\"mean\"]}", NULL, ESP_ERR_UNSUPPORTED,
         "pooling_mode: pooling by 2 modes together is not supported"},
        {two, "{\"pooling_mode\":7}", NULL, ESP_ERR_FORMAT, "pooling_mode: expected a string"},
        {two, "{\"pooling_mode\":\"mean\"}", "{\"max_seq_length\":0}", ESP_ERR_FORMAT,
         "sentence_bert_config.json: max_seq_length: expected an integer from 3"},
        {two, "{\"pooling_mode\":\"mean\"}", "{\"max_seq_length\":\"512\"}", ESP_ERR_FORMAT,
         "max_seq_length: expected an integer"},
        {two, "{\"pooling_mode\":\"mean\"}", "{\"transformer_task\":\"fill-mask\"}", ESP_ERR_UNSUPPORTED,
         "transformer_task: \"fill-mask\" is not supported: only \"feature-extraction\" is"},
        {two, "{\"pooling_mode\":\"mean\"}", "[]", ESP_ERR_FORMAT, "sentence_bert_config.json: expected an object"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        struct espi_config config;
        int status = read_sentence("{" BERT "}", cases[i].modules, cases[i].pooling, cases[i].limit, &config);
        test_status(ctx, status, cases[i].status, cases[i].message, __FILE__, __LINE__);
        test_error_has(ctx, cases[i].message);
        assert_null(config.json);
    }
}

/* The settings of config_sentence_transformers.json in a model with mean pooling, or with a sequence head. */
static int read_settings(const char *config, const char *pooling, const char *settings, struct espi_config *out)
{
    static const char modules[] = "[" TRANSFORMER "," POOLING "]";
    const char *scratch = test_scratch();
    char folder[ESPI_PATH_BYTES];
    test_write(scratch, "config.json", config, strlen(config));
    test_write(scratch, "modules.json", modules, strlen(modules));
    test_write(scratch, "config_sentence_transformers.json", settings, strlen(settings));
    test_write(scratch, "sentence_xlnet_config.json", "{\"do_lower_case\":true}", 22);
    test_write(scratch, "sentence_roberta_config.json", "{\"max_seq_length\":9}", 20);
    test_ok(ctx, espi_path_join(ctx, folder, scratch, "1_Pooling"));
    assert_int_equal(mkdir(folder, 0777), 0);
    test_write(folder, "config.json", pooling, strlen(pooling));
    int status = espi_config_read(ctx, scratch, out);
    test_scratch_remove(scratch);
    return status;
}

static void test_settings(void **state)
{
    (void)state;
#define PROMPTS "\"prompts\":{\"q\":\"query: \",\"d\":\"\"}"
    struct espi_config config, copy;
    test_ok(ctx, read_settings("{" BERT "}", "{}", "{" PROMPTS ",\"default_prompt_name\":\"q\",\"truncate_dim\":5}",
                               &config));
    assert_string_equal(config.prompt, "query: ");
    assert_int_equal(config.embedding, 5);
    assert_int_equal(config.max_sequence, 9); // of the first of the files, and of it alone
    assert_true(config.sequence_stated && !config.lowercase);
    config.lowercase = true;
    test_ok(ctx, espi_config_copy(ctx, &config, NULL, &copy));
    assert_string_equal(copy.prompt, "query: ");
    assert_int_equal(copy.embedding, 5);
    assert_int_equal(copy.max_sequence, 9);
    assert_true(copy.sequence_stated && copy.lowercase);
    espi_config_clear(&copy);
    espi_config_clear(&config);
    static const struct {
        const char *pooling, *settings, *message; // NULL: accepted without a prompt and uncut
    } cases[] = {
        {"{}", "{}", NULL},
        {"{}", "{" PROMPTS ",\"default_prompt_name\":null,\"truncate_dim\":null}", NULL},
        {"{}", "{" PROMPTS ",\"default_prompt_name\":\"d\",\"truncate_dim\":99}", NULL},
        {"{\"include_prompt\":false}", "{" PROMPTS "}", NULL},
        {"{}", "{" PROMPTS ",\"default_prompt_name\":\"x\"}",
         "default_prompt_name: expected the name of a member of \"prompts\", found \"x\""},
        {"{}", "{\"default_prompt_name\":\"q\"}", "default_prompt_name: expected the name of a member"},
        {"{}", "{\"prompts\":[\"q\"],\"default_prompt_name\":\"q\"}", "prompts: expected an object"},
        {"{}", "{\"prompts\":{\"q\":3},\"default_prompt_name\":\"q\"}", "prompts.q: expected a string, found 3"},
        {"{}", "{\"default_prompt_name\":7}", "default_prompt_name: expected a string"},
        {"{}", "{\"truncate_dim\":0}", "truncate_dim: expected an integer from 1"},
        {"{}", "[]", "config_sentence_transformers.json: expected an object"},
        {"{}", "{\"model_type\":\"SparseEncoder\"}", "model_type: \"SparseEncoder\" is not supported"},
        {"{\"include_prompt\":false}", "{" PROMPTS ",\"default_prompt_name\":\"q\"}",
         "a prompt that is not pooled (include_prompt is false in "},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        int status = read_settings("{" BERT "}", cases[i].pooling, cases[i].settings, &config);
        assert_int_equal(status != ESP_OK, cases[i].message != NULL);
        if (cases[i].message) {
            test_error_has(ctx, cases[i].message);
            continue;
        }
        assert_null(config.prompt);
        assert_int_equal(config.embedding, 8);
        espi_config_clear(&config);
    }
    /* The first token is pooled with and without its prompt. */
    test_ok(ctx, read_settings("{" BERT "}", "{\"include_prompt\":false,\"pooling_mode\":\"cls\"}",
                               "{" PROMPTS ",\"default_prompt_name\":\"q\"}", &config));
    assert_string_equal(config.prompt, "query: ");
    espi_config_clear(&config);
}

static void test_cross_encoder(void **state)
{
    (void)state;
    static const char identity[] =
        "{\"model_type\":\"CrossEncoder\",\"activation_fn\":\"torch.nn.modules.linear.Identity\"}";
    struct espi_config config;
    test_ok(ctx, read_settings("{" BERT SEQUENCE "}", "{}", identity, &config));
    assert_int_equal(config.scores, ESPI_SCORES_RAW);
    assert_int_equal(config.max_sequence, 9);
    assert_int_equal(config.pooling, ESPI_POOL_NONE);
    /* It stays in what is written. */
    json_t *json = written(&config);
    char *text = json_dumps(json, 0);
    espi_config_clear(&config);
    parse(text, &config);
    assert_int_equal(config.scores, ESPI_SCORES_RAW);
    espi_config_clear(&config);
    free(text);
    json_decref(json);
    test_ok(ctx, read_settings("{" BERT SEQUENCE "}", "{}", "{\"activation_fn\":\"torch.nn.Tanh\"}", &config));
    assert_int_equal(config.scores, ESPI_SCORES_UNSTATED);
    assert_int_equal(config.max_sequence, 32);
    espi_config_clear(&config);
}

/* ---- written ------------------------------------------------------------------------------------------------------ */

static void assert_member(const json_t *json, const char *key, const char *expected)
{
    json_t *member = json_object_get(json, key);
    char *text = member ? json_dumps(member, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    assert_string_equal(text ? text : "nothing", expected);
    free(text);
}

/* Unknown fields stay, known ones keep their spelling, and the head's class is the one that is written. */
static void test_json_kept(void **state)
{
    (void)state;
    struct espi_config config;
    parse("{" BERT ",\"architectures\":[\"BertForPreTraining\"],\"hidden_act\":\"gelu_fast\",\"layer_norm_eps\":1e-12,"
          "\"my_field\":{\"a\":[1,2]},\"torch_dtype\":\"float16\",\"hidden_dropout_prob\":0.10,\"note\":null}",
          &config);
    json_t *json = written(&config);
    assert_member(json, "architectures", "[\"BertForMaskedLM\"]");
    assert_member(json, "hidden_act", "\"gelu_fast\"");
    assert_member(json, "my_field", "{\"a\":[1,2]}");
    assert_member(json, "note", "null");
    assert_member(json, "torch_dtype", "\"float32\"");
    assert_member(json, "layer_norm_eps", "1e-12");
    assert_member(json, "hidden_dropout_prob", "0.1");
    assert_member(json, "attention_probs_dropout_prob", "0.1");
    assert_member(json, "initializer_range", "0.02");
    assert_member(json, "id2label", "nothing");
    json_decref(json);
    espi_config_clear(&config);
    parse("{" BERT SEQUENCE ",\"dtype\":\"bfloat16\",\"num_labels\":3}", &config);
    json = written(&config);
    assert_member(json, "dtype", "\"float32\"");
    assert_member(json, "torch_dtype", "nothing");
    assert_member(json, "id2label", "{\"0\":\"LABEL_0\",\"1\":\"LABEL_1\",\"2\":\"LABEL_2\"}");
    assert_member(json, "label2id", "{\"LABEL_0\":0,\"LABEL_1\":1,\"LABEL_2\":2}");
    assert_member(json, "problem_type", "nothing");
    assert_member(json, "classifier_dropout", "nothing");
    json_decref(json);
    espi_config_clear(&config);
}

/* Values changed after reading (a smaller student) are written. */
static void test_json_edited(void **state)
{
    (void)state;
    struct espi_config config, again;
    parse("{" DISTIL ",\"architectures\":[\"DistilBertForSequenceClassification\"]}", &config);
    config.layers = 1;
    config.activation = ESPI_RELU;
    config.hidden_dropout = 0.3f;
    config.classifier_dropout = 0.7f;
    config.problem = ESPI_MULTI_LABEL;
    json_t *json = written(&config);
    assert_member(json, "n_layers", "1");
    assert_member(json, "activation", "\"relu\"");
    assert_member(json, "dropout", "0.3");
    assert_member(json, "seq_classif_dropout", "0.7");
    assert_member(json, "problem_type", "\"multi_label_classification\"");
    char *text = json_dumps(json, 0);
    parse(text, &again);
    assert_true(again.hidden_dropout == 0.3f && again.classifier_dropout == 0.7f);
    assert_int_equal(again.problem, ESPI_MULTI_LABEL);
    free(text);
    json_decref(json);
    espi_config_clear(&config);
    espi_config_clear(&again);
}

static void test_copy(void **state)
{
    (void)state;
    static const char *const names[] = {"x", "y"};
    struct espi_config config, copy;
    parse("{" BERT SEQUENCE ",\"id2label\":{\"0\":\"a\",\"1\":\"b\",\"2\":\"c\"},\"extra\":5,"
          "\"problem_type\":\"multi_label_classification\"}",
          &config);
    config.max_sequence = 9;
    test_ok(ctx, espi_config_copy(ctx, &config, NULL, &copy));
    assert_int_equal(copy.labels, 3);
    assert_int_equal(copy.problem, ESPI_MULTI_LABEL);
    assert_string_equal(copy.label_names[2], "c");
    assert_int_equal(copy.max_sequence, 9);
    assert_member(copy.json, "extra", "5");
    espi_config_clear(&copy);

    struct espi_head_options head = {.head = ESPI_HEAD_TOKEN, .labels = 2, .label_names = names};
    struct espi_config_changes changes = {.head = &head, .vocab_size = 50};
    test_ok(ctx, espi_config_copy(ctx, &config, &changes, &copy));
    assert_int_equal(copy.head, ESPI_HEAD_TOKEN);
    assert_int_equal(copy.labels, 2);
    assert_string_equal(copy.label_names[1], "y");
    assert_int_equal(copy.vocab_size, 50);
    assert_false(espi_config_has_pooler(&copy));
    espi_config_clear(&copy);

    head = (struct espi_head_options){.head = ESPI_HEAD_SEQUENCE, .labels = 1, .problem = ESPI_SINGLE_LABEL};
    test_ok(ctx, espi_config_copy(ctx, &config, &changes, &copy));
    assert_int_equal(copy.problem, ESPI_REGRESSION);
    assert_true(copy.problem_told);
    assert_string_equal(copy.label_names[0], "LABEL_0");
    espi_config_clear(&copy);

    /* A regression says so: one label by itself would be a classifier. */
    head = (struct espi_head_options){.head = ESPI_HEAD_SEQUENCE, .labels = 1, .problem = ESPI_REGRESSION};
    test_ok(ctx, espi_config_copy(ctx, &config, &changes, &copy));
    assert_int_equal(copy.problem, ESPI_REGRESSION);
    assert_false(copy.problem_told);
    assert_member(copy.json, "problem_type", "\"regression\"");
    espi_config_clear(&copy);

    head = (struct espi_head_options){.head = ESPI_HEAD_SEQUENCE, .labels = 4, .problem = ESPI_MULTI_LABEL};
    test_ok(ctx, espi_config_copy(ctx, &config, &changes, &copy));
    assert_int_equal(copy.problem, ESPI_MULTI_LABEL);
    assert_int_equal(copy.labels, 4);
    espi_config_clear(&copy);

    head = (struct espi_head_options){.head = ESPI_HEAD_NONE};
    test_ok(ctx, espi_config_copy(ctx, &config, &changes, &copy));
    assert_int_equal(copy.labels, 0);
    assert_member(copy.json, "id2label", "nothing");
    espi_config_clear(&copy);

    head = (struct espi_head_options){.head = ESPI_HEAD_SEQUENCE, .labels = 0};
    test_fails(ctx, espi_config_copy(ctx, &config, &changes, &copy), ESP_ERR_FORMAT);
    test_error_has(ctx, "num_labels");
    head = (struct espi_head_options){
        .head = ESPI_HEAD_SEQUENCE, .labels = 1, .label_names = (const char *const[]){"\xff"}};
    test_fails(ctx, espi_config_copy(ctx, &config, &changes, &copy), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "label 0: expected UTF-8");
    espi_config_clear(&config);
}

static void test_named(void **state)
{
    (void)state;
    const char *name;
    char description[80];
    size_t count = 0;
    struct espi_config config;
    for (; espi_config_list(count, &name, description); count++) {
        test_ok(ctx, espi_config_named(ctx, name, NULL, &config));
        assert_int_equal(config.vocab_size, 30522);
        assert_int_equal(config.max_positions, 512);
        assert_int_equal(config.hidden % config.heads, 0);
        assert_non_null(strstr(description, config.arch->model_type));
        espi_config_clear(&config);
    }
    assert_int_equal(count, 9);
    const struct espi_head_options head = {.head = ESPI_HEAD_QA};
    const struct espi_config_changes changes = {.head = &head, .vocab_size = 1000};
    test_ok(ctx, espi_config_named(ctx, "distilbert-base", &changes, &config));
    assert_string_equal(config.arch->model_type, "distilbert");
    assert_int_equal(config.layers, 6);
    assert_int_equal(config.hidden, 768);
    assert_int_equal(config.heads, 12);
    assert_int_equal(config.intermediate, 3072);
    assert_int_equal(config.vocab_size, 1000);
    assert_int_equal(config.head, ESPI_HEAD_QA);
    espi_config_clear(&config);
    test_fails(ctx, espi_config_named(ctx, "gpt", NULL, &config), ESP_ERR_NOT_FOUND);
    test_error_has(ctx, "gpt: neither a file nor a named config; there are distilbert-base, bert-base");
}

static void test_files(void **state)
{
    (void)state;
    const char *scratch = test_scratch();
    struct espi_config config;
    test_fails(ctx, espi_config_read(ctx, scratch, &config), ESP_ERR_NOT_FOUND);
    test_error_has(ctx, "config.json");
    static const char text[] = "{" BERT "}";
    test_ok(ctx, espi_config_read_file(ctx, test_write(scratch, "mine.json", text, strlen(text)), &config));
    assert_int_equal(config.hidden, 8);
    espi_config_clear(&config);
    char path[ESPI_PATH_BYTES];
    const struct espi_config_changes changes = {.vocab_size = 77};
    test_ok(ctx, espi_path_join(ctx, path, scratch, "mine.json"));
    test_ok(ctx, espi_config_named(ctx, path, &changes, &config));
    assert_int_equal(config.hidden, 8);
    assert_int_equal(config.vocab_size, 77);
    espi_config_clear(&config);
    test_fails(ctx, espi_config_named(ctx, scratch, NULL, &config), ESP_ERR_IO);
    char lengthy[ESPI_PATH_BYTES + 10];
    memset(lengthy, 'd', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = 0;
    test_fails(ctx, espi_config_read(ctx, lengthy, &config), ESP_ERR_LIMIT);
    test_scratch_remove(scratch);
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
        cmocka_unit_test(test_malformed),      cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_defaults),       cmocka_unit_test(test_harmless_options),
        cmocka_unit_test(test_heads),          cmocka_unit_test(test_pruned_heads),
        cmocka_unit_test(test_shared_dropout), cmocka_unit_test(test_labels),
        cmocka_unit_test(test_loose_labels),   cmocka_unit_test(test_scores),
        cmocka_unit_test(test_activations),    cmocka_unit_test(test_head_dropout),
        cmocka_unit_test(test_sentence),       cmocka_unit_test(test_sentence_refused),
        cmocka_unit_test(test_settings),       cmocka_unit_test(test_cross_encoder),
        cmocka_unit_test(test_json_kept),      cmocka_unit_test(test_json_edited),
        cmocka_unit_test(test_copy),           cmocka_unit_test(test_named),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
