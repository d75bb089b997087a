/* SPDX-License-Identifier: Apache-2.0
 * Checkpoint directories: names old and new, types of numbers, what is missing or too much, writing. */
#include "support.h"

#include "base/size.h"
#include "model/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;
static char logged[4096]; // all lines of the log

static void keep_log(void *cookie, esp_log_level level, const char *text)
{
    (void)cookie;
    size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%d %s\n", (int)level, text);
}

/* ---- checkpoints made by hand ------------------------------------------------------------------------------------- */

struct item {
    char name[160];
    const char *dtype;
    size_t dims, shape[2], bytes;
    unsigned char *data;
};

/* A model and the tensors of its file, which a test changes before they are saved. */
struct fixture {
    char directory[ESPI_PATH_BYTES];
    struct espi_config config;
    struct espi_params params;
    struct item items[128];
    size_t length;
};

static void add_item(struct fixture *f, const char *name, size_t dims, size_t rows, size_t cols, const float *data)
{
    struct item *item = &f->items[f->length++];
    assert_true(f->length <= ESPI_COUNT(f->items));
    *item = (struct item){.dtype = "F32", .dims = dims, .shape = {rows, cols}};
    snprintf(item->name, sizeof item->name, "%s", name);
    item->bytes = rows * (dims > 1 ? cols : 1) * sizeof(float);
    item->data = malloc(item->bytes + 1);
    assert_non_null(item->data);
    memcpy(item->data, data, item->bytes);
}

static struct item *find_item(struct fixture *f, const char *name)
{
    for (size_t i = 0; i < f->length; i++) {
        if (strcmp(f->items[i].name, name) == 0)
            return &f->items[i];
    }
    fail_msg("no item %s", name);
    return NULL;
}

static void remove_item(struct fixture *f, const char *name)
{
    struct item *item = find_item(f, name);
    free(item->data);
    *item = f->items[--f->length];
}

static void open_fixture(struct fixture *f, const char *class_name)
{
    bool bert = strncmp(class_name, "Bert", 4) == 0;
    char text[640];
    *f = (struct fixture){0};
    snprintf(f->directory, sizeof f->directory, "%s", test_scratch());
    snprintf(text, sizeof text,
             "{\"model_type\":\"%s\",\"vocab_size\":12,\"%s\":4,\"%s\":2,\"%s\":2,\"%s\":6,"
             "\"max_position_embeddings\":8,\"num_labels\":3,\"architectures\":[\"%s\"]}",
             bert ? "bert" : "distilbert", bert ? "hidden_size" : "dim", bert ? "num_hidden_layers" : "n_layers",
             bert ? "num_attention_heads" : "n_heads", bert ? "intermediate_size" : "hidden_dim", class_name);
    test_ok(ctx, espi_config_parse(ctx, "test", text, strlen(text), &f->config));
    test_ok(ctx, espi_params_init(ctx, &f->config, true, &f->params));
    espi_params_randomize(&f->params, &f->config, 3);
    for (size_t i = 0; i < f->params.length; i++) {
        const struct espi_param *param = &f->params.list[i];
        add_item(f, param->name, param->cols ? 2 : 1, param->rows, param->cols, f->params.slab + param->offset);
    }
    test_write(f->directory, "config.json", text, strlen(text));
}

static void save_items(struct fixture *f, const char *name, size_t first, size_t end)
{
    json_t *header = json_object();
    size_t offset = 0;
    char path[ESPI_PATH_BYTES];
    test_ok(ctx, espi_path_join(ctx, path, f->directory, name));
    for (size_t i = first; i < end; i++) {
        const struct item *item = &f->items[i];
        json_t *entry = json_pack("{s:s, s:[I], s:[I,I]}", "dtype", item->dtype, "shape", (json_int_t)item->shape[0],
                                  "data_offsets", (json_int_t)offset, (json_int_t)(offset + item->bytes));
        assert_non_null(entry);
        if (item->dims > 1)
            json_array_append_new(json_object_get(entry, "shape"), json_integer((json_int_t)item->shape[1]));
        json_object_set_new(header, item->name, entry);
        offset += item->bytes;
    }
    char *text = json_dumps(header, JSON_COMPACT);
    uint64_t length = strlen(text);
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    fwrite(&length, 1, 8, stream);
    fwrite(text, 1, length, stream);
    for (size_t i = first; i < end; i++)
        fwrite(f->items[i].data, 1, f->items[i].bytes, stream);
    assert_int_equal(fclose(stream), 0);
    free(text);
    json_decref(header);
}

static void close_fixture(struct fixture *f)
{
    test_scratch_remove(f->directory);
    for (size_t i = 0; i < f->length; i++)
        free(f->items[i].data);
    espi_params_clear(&f->params);
    espi_config_clear(&f->config);
}

/* Saves and reads; the parameters must be the fixture's own. The log of the reading is kept. */
static void reads_same(struct fixture *f)
{
    struct espi_checkpoint out;
    save_items(f, "model.safetensors", 0, f->length);
    logged[0] = 0;
    test_ok(ctx, espi_checkpoint_read(ctx, f->directory, &out));
    assert_string_equal(out.directory, f->directory);
    assert_int_equal(out.params.elements, f->params.elements);
    assert_memory_equal(out.params.slab, f->params.slab, f->params.elements * sizeof(float));
    espi_checkpoint_clear(&out);
}

static void refuses(struct fixture *f, int status, const char *message)
{
    struct espi_checkpoint out;
    save_items(f, "model.safetensors", 0, f->length);
    test_status(ctx, espi_checkpoint_read(ctx, f->directory, &out), status, message, __FILE__, __LINE__);
    test_error_has(ctx, message);
    test_error_has(ctx, f->directory);
    assert_null(out.params.slab);
    assert_null(out.config.json);
}

static const char *const classes[] = {
    "BertModel",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForMaskedLM",
    "DistilBertModel",
    "DistilBertForQuestionAnswering",
    "DistilBertForSequenceClassification",
    "DistilBertForTokenClassification",
    "DistilBertForMaskedLM",
};

/* ---- names -------------------------------------------------------------------------------------------------------- */

/* Every class reads what it writes, with the encoder's prefix there, missing, or added. */
static void test_prefixes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ESPI_COUNT(classes); i++) {
        struct fixture f;
        open_fixture(&f, classes[i]);
        reads_same(&f);
        assert_string_equal(logged, "");
        const char *prefix = strncmp(classes[i], "Bert", 4) == 0 ? "bert." : "distilbert.";
        size_t length = strlen(prefix);
        for (size_t k = 0; k < f.length; k++) {
            char *name = f.items[k].name;
            bool encoder = strstr(name, "embeddings.") || strstr(name, "layer.") || strstr(name, "pooler.");
            if (strncmp(name, prefix, length) == 0) {
                memmove(name, name + length, strlen(name + length) + 1);
            } else if (encoder) {
                char copy[128];
                snprintf(copy, sizeof copy, "%.100s", name);
                snprintf(name, sizeof f.items[k].name, "%s%s", prefix, copy);
            }
        }
        reads_same(&f);
        assert_string_equal(logged, "");
        close_fixture(&f);
    }
}

static void test_gamma_beta(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, "BertForMaskedLM");
    size_t renamed = 0;
    for (size_t i = 0; i < f.length; i++) {
        char *norm = strstr(f.items[i].name, "LayerNorm.");
        if (norm) {
            strcpy(norm + strlen("LayerNorm."), strstr(norm, "weight") ? "gamma" : "beta");
            renamed++;
        }
    }
    assert_int_equal(renamed, 2 + 2 * 4 + 2);
    reads_same(&f);
    assert_string_equal(logged, "");
    close_fixture(&f);
}

static void test_buffers_ignored(void **state)
{
    (void)state;
    static const char *const names[] = {"embeddings.position_ids", "bert.embeddings.position_ids",
                                        "bert.embeddings.token_type_ids"};
    const float zeros[16] = {0};
    struct fixture f;
    open_fixture(&f, "BertForQuestionAnswering");
    for (size_t i = 0; i < ESPI_COUNT(names); i++) {
        add_item(&f, names[i], 2, 1, 16, zeros);
        f.items[f.length - 1].dtype = "I64";
        f.items[f.length - 1].shape[1] = 8;
    }
    reads_same(&f);
    assert_string_equal(logged, "");
    close_fixture(&f);
}

static void test_unused_warned(void **state)
{
    (void)state;
    const float zero = 0;
    struct fixture f;
    open_fixture(&f, "BertForQuestionAnswering");
    add_item(&f, "bert.encoder.other", 1, 1, 0, &zero);
    add_item(&f, "bert.pooler.dense.bias", 1, 1, 0, &zero); // published beside many heads: not worth a word
    add_item(&f, "extra", 1, 1, 0, &zero);
    f.items[f.length - 1].dtype = "I32";
    reads_same(&f);
    assert_non_null(strstr(logged, "1 "));
    assert_non_null(strstr(logged, "unused tensors (2): bert.encoder.other, extra\n"));
    close_fixture(&f);
}

static void test_bare_without_pooler(void **state)
{
    (void)state;
    struct fixture f;
    struct espi_checkpoint out;
    open_fixture(&f, "BertModel");
    remove_item(&f, "pooler.dense.weight");
    refuses(&f, ESP_ERR_FORMAT, "missing tensors (1): pooler.dense.weight");
    remove_item(&f, "pooler.dense.bias");
    save_items(&f, "model.safetensors", 0, f.length);
    test_ok(ctx, espi_checkpoint_read(ctx, f.directory, &out));
    assert_false(espi_config_has_pooler(&out.config));
    assert_null(espi_params_find(&out.params, ESPI_HEAD_DENSE_W, 0));
    espi_checkpoint_clear(&out);
    close_fixture(&f);
}

/* ---- masked-LM decoder -------------------------------------------------------------------------------------------- */

static void test_decoder(void **state)
{
    (void)state;
    static const struct {
        const char *class_name, *decoder, *word;
    } cases[] = {
        {"BertForMaskedLM", "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"},
        {"DistilBertForMaskedLM", "vocab_projector.weight", "distilbert.embeddings.word_embeddings.weight"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        struct fixture f;
        open_fixture(&f, cases[i].class_name);
        const float *words = espi_params_data(&f.params, ESPI_EMBED_WORD, 0);
        add_item(&f, cases[i].decoder, 2, 12, 4, words);
        reads_same(&f);
        assert_string_equal(logged, "");
        f.items[f.length - 1].data[100] ^= 1;
        refuses(&f, ESP_ERR_UNSUPPORTED, "a decoder untied from the embeddings is not supported");
        test_error_has(ctx, cases[i].decoder);
        f.items[f.length - 1].data[100] ^= 1;
        remove_item(&f, cases[i].word);
        reads_same(&f);
        close_fixture(&f);
    }
}

static void test_decoder_bias(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, "BertForMaskedLM");
    const float *bias = espi_params_data(&f.params, ESPI_DECODER_B, 0);
    add_item(&f, "cls.predictions.decoder.bias", 1, 12, 0, bias);
    reads_same(&f);
    f.items[f.length - 1].data[2] ^= 1;
    refuses(&f, ESP_ERR_UNSUPPORTED, "cls.predictions.decoder.bias: differs from cls.predictions.bias");
    f.items[f.length - 1].data[2] ^= 1;
    remove_item(&f, "cls.predictions.bias");
    reads_same(&f);
    close_fixture(&f);
}

/* ---- refused ------------------------------------------------------------------------------------------------------ */

static void test_missing(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, "DistilBertForSequenceClassification");
    remove_item(&f, "classifier.bias");
    refuses(&f, ESP_ERR_FORMAT, "missing tensors (1): classifier.bias");
    remove_item(&f, "distilbert.transformer.layer.1.attention.q_lin.weight");
    refuses(&f, ESP_ERR_FORMAT,
            "missing tensors (2): distilbert.transformer.layer.1.attention.q_lin.weight, classifier.bias");
    while (f.length)
        remove_item(&f, f.items[0].name);
    refuses(&f, ESP_ERR_FORMAT, "missing tensors (40): distilbert.embeddings.word_embeddings.weight, ");
    test_error_has(ctx, " more");
    close_fixture(&f);
}

static void test_shapes(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, "BertForTokenClassification");
    struct item *item = find_item(&f, "bert.encoder.layer.0.output.dense.weight");
    item->shape[0] = 6;
    item->shape[1] = 4;
    refuses(&f, ESP_ERR_FORMAT,
            "model.safetensors: bert.encoder.layer.0.output.dense.weight: expected shape (4, 6), found (6, 4)");
    item->dims = 1;
    item->shape[0] = 24;
    refuses(&f, ESP_ERR_FORMAT, "expected shape (4, 6), found (24)");
    item->dims = 2;
    item->shape[0] = 4;
    item->shape[1] = 6;
    item = find_item(&f, "classifier.bias");
    item->dims = 2;
    item->shape[1] = 1;
    refuses(&f, ESP_ERR_FORMAT, "classifier.bias: expected shape (3), found (3, 1)");
    close_fixture(&f);
}

static void test_values(void **state)
{
    (void)state;
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    struct fixture f;
    open_fixture(&f, "BertModel");
    struct item *item = find_item(&f, "encoder.layer.1.output.dense.weight");
    for (size_t i = 0; i < ESPI_COUNT(bad); i++) {
        memcpy(item->data + item->bytes - 4, &bad[i], 4);
        refuses(&f, ESP_ERR_FORMAT,
                "model.safetensors: encoder.layer.1.output.dense.weight: holds values that are infinite or not a");
    }
    close_fixture(&f);
}

static void test_types(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, "BertModel");
    struct item *item = find_item(&f, "embeddings.LayerNorm.bias");
    item->dtype = "I32";
    refuses(&f, ESP_ERR_UNSUPPORTED,
            "embeddings.LayerNorm.bias: weights of type I32 are not supported; supported: F32, F16, BF16");
    item->dtype = "F64";
    item->data = realloc(item->data, 32);
    memset(item->data, 0, 32);
    item->bytes = 32;
    refuses(&f, ESP_ERR_UNSUPPORTED, "weights of type F64 are not supported");
    close_fixture(&f);
}

/* The bits of values that fit a half exactly, as F16 and BF16. */
static void test_halves(void **state)
{
    (void)state;
    for (size_t brain = 0; brain < 2; brain++) {
        struct fixture f;
        open_fixture(&f, "DistilBertModel");
        for (size_t i = 0; i < f.params.length; i++) {
            const struct espi_param *param = &f.params.list[i];
            struct item *item = find_item(&f, param->name);
            item->dtype = brain ? "BF16" : "F16";
            item->bytes = param->count * 2;
            for (size_t k = 0; k < param->count; k++) {
                /* 1 + k / 64, sign by turns: both formats hold it for k < 64. */
                float value = (k % 2 ? -1.0f : 1.0f) * (1.0f + (float)(k % 64) / 64.0f);
                uint32_t bits;
                memcpy(&bits, &value, 4);
                uint16_t half =
                    brain ? (uint16_t)(bits >> 16) : (uint16_t)((bits >> 16 & 0x8000) | 0x3c00 | (bits >> 13 & 0x3ff));
                memcpy(item->data + 2 * k, &half, 2);
                f.params.slab[param->offset + k] = value;
            }
        }
        reads_same(&f);
        close_fixture(&f);
    }
}

static void test_sharded(void **state)
{
    (void)state;
    struct fixture f;
    struct espi_checkpoint out;
    open_fixture(&f, "BertForQuestionAnswering");
    json_t *map = json_object();
    for (size_t i = 0; i < f.length; i++)
        json_object_set_new(map, f.items[i].name, json_string(i < 9 ? "a.safetensors" : "b.safetensors"));
    json_t *index = json_pack("{s:o}", "weight_map", map);
    char *text = json_dumps(index, 0);
    test_write(f.directory, "model.safetensors.index.json", text, strlen(text));
    save_items(&f, "a.safetensors", 0, 9);
    save_items(&f, "b.safetensors", 9, f.length);
    test_ok(ctx, espi_checkpoint_read(ctx, f.directory, &out));
    assert_memory_equal(out.params.slab, f.params.slab, f.params.elements * sizeof(float));
    espi_checkpoint_clear(&out);
    find_item(&f, "qa_outputs.bias")->dtype = "I32";
    save_items(&f, "b.safetensors", 9, f.length);
    test_fails(ctx, espi_checkpoint_read(ctx, f.directory, &out), ESP_ERR_UNSUPPORTED);
    test_error_has(ctx, "/b.safetensors: qa_outputs.bias");
    free(text);
    json_decref(index);
    close_fixture(&f);
}

static void test_no_weights(void **state)
{
    (void)state;
    struct fixture f;
    struct espi_checkpoint out;
    open_fixture(&f, "BertModel");
    test_fails(ctx, espi_checkpoint_read(ctx, f.directory, &out), ESP_ERR_NOT_FOUND);
    test_write(f.directory, "pytorch_model.bin", "", 0);
    test_fails(ctx, espi_checkpoint_read(ctx, f.directory, &out), ESP_ERR_UNSUPPORTED);
    test_error_has(ctx, "convert the model to safetensors");
    close_fixture(&f);
    test_fails(ctx, espi_checkpoint_read(ctx, f.directory, &out), ESP_ERR_NOT_FOUND);
    test_error_has(ctx, "expected a checkpoint directory");
}

/* A model that claims to be huge is refused before memory is taken for it. */
static void test_huge_claim(void **state)
{
    (void)state;
    static const char text[] = "{\"model_type\":\"bert\",\"vocab_size\":67108864,\"hidden_size\":65536,"
                               "\"num_hidden_layers\":1024,\"num_attention_heads\":2,\"intermediate_size\":1048576,"
                               "\"max_position_embeddings\":16777216}";
    struct fixture f;
    open_fixture(&f, "BertModel");
    test_write(f.directory, "config.json", text, strlen(text));
    refuses(&f, ESP_ERR_FORMAT, "embeddings.word_embeddings.weight: expected shape (67108864, 65536), found (12, 4)");
    close_fixture(&f);
}

/* ---- another head ------------------------------------------------------------------------------------------------- */

static void test_new_head(void **state)
{
    (void)state;
    const struct espi_head_options head = {.head = ESPI_HEAD_SEQUENCE, .labels = 5, .problem = ESPI_MULTI_LABEL};
    const struct espi_config_changes changes = {.head = &head};
    struct fixture f;
    struct espi_checkpoint out;
    open_fixture(&f, "BertForTokenClassification");
    save_items(&f, "model.safetensors", 0, f.length);
    logged[0] = 0;
    test_ok(ctx, espi_checkpoint_read_as(ctx, f.directory, &changes, 9, &out));
    assert_non_null(strstr(logged, "new tensors of the head (4): bert.pooler.dense.weight, bert.pooler.dense.bias, "
                                   "classifier.weight, classifier.bias\n"));
    assert_non_null(strstr(logged, "unused tensors (2): classifier.bias, classifier.weight\n"));
    assert_int_equal(out.config.problem, ESPI_MULTI_LABEL);
    assert_memory_equal(espi_params_data(&out.params, ESPI_FFN_IN_W, 1), espi_params_data(&f.params, ESPI_FFN_IN_W, 1),
                        24 * sizeof(float));
    assert_true(espi_params_data(&out.params, ESPI_CLASSIFIER_W, 0)[0] != 0);
    espi_checkpoint_clear(&out);

    /* The encoder itself must be there. */
    remove_item(&f, "bert.encoder.layer.0.output.dense.bias");
    save_items(&f, "model.safetensors", 0, f.length);
    test_fails(ctx, espi_checkpoint_read_as(ctx, f.directory, &changes, 9, &out), ESP_ERR_FORMAT);
    test_error_has(ctx, "missing tensors (1): bert.encoder.layer.0.output.dense.bias");
    close_fixture(&f);
}

/* The same head: its tensors are taken where they fit, and new where the number of labels differs. */
static void test_same_head(void **state)
{
    (void)state;
    struct espi_head_options head = {.head = ESPI_HEAD_SEQUENCE, .labels = 3};
    const struct espi_config_changes changes = {.head = &head};
    struct fixture f;
    struct espi_checkpoint out;
    open_fixture(&f, "DistilBertForSequenceClassification");
    save_items(&f, "model.safetensors", 0, f.length);
    logged[0] = 0;
    test_ok(ctx, espi_checkpoint_read_as(ctx, f.directory, &changes, 9, &out));
    assert_memory_equal(out.params.slab, f.params.slab, f.params.elements * sizeof(float));
    assert_string_equal(logged, "");
    espi_checkpoint_clear(&out);
    head.labels = 2;
    test_ok(ctx, espi_checkpoint_read_as(ctx, f.directory, &changes, 9, &out));
    assert_non_null(strstr(logged, "new tensors of the head (2): classifier.weight, classifier.bias\n"));
    assert_memory_equal(espi_params_data(&out.params, ESPI_HEAD_DENSE_W, 0),
                        espi_params_data(&f.params, ESPI_HEAD_DENSE_W, 0), 16 * sizeof(float));
    espi_checkpoint_clear(&out);
    close_fixture(&f);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static bool has_file(const char *directory, const char *name)
{
    char path[ESPI_PATH_BYTES];
    test_ok(ctx, espi_path_join(ctx, path, directory, name));
    return espi_path_exists(path);
}

static void test_write_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < ESPI_COUNT(classes); i++) {
        struct fixture f;
        struct espi_checkpoint out;
        char target[ESPI_PATH_BYTES];
        open_fixture(&f, classes[i]);
        test_write(f.directory, "vocab.txt", "[PAD]\n", 6);
        test_write(f.directory, "tokenizer_config.json", "{}", 2);
        test_write(f.directory, "other.txt", "x", 1);
        test_ok(ctx, espi_path_join(ctx, target, f.directory, "written"));
        test_ok(ctx, espi_checkpoint_write(ctx, &f.config, &f.params, f.directory, target));
        assert_true(has_file(target, "vocab.txt") && has_file(target, "tokenizer_config.json"));
        assert_false(has_file(target, "other.txt") || has_file(target, "tokenizer.json"));
        assert_false(has_file(target, "modules.json"));
        logged[0] = 0;
        test_ok(ctx, espi_checkpoint_read(ctx, target, &out));
        assert_string_equal(logged, "");
        assert_int_equal(out.config.head, f.config.head);
        assert_memory_equal(out.params.slab, f.params.slab, f.params.elements * sizeof(float));
        espi_checkpoint_clear(&out);
        /* A directory with files in it is not written over. */
        test_fails(ctx, espi_checkpoint_write(ctx, &f.config, &f.params, NULL, target), ESP_ERR_ARGUMENT);
        test_error_has(ctx, "expected a new or empty directory");
        close_fixture(&f);
    }
}

static void test_write_sentence(void **state)
{
    (void)state;
    static const char limit[] = "{\"max_seq_length\": 99, \"do_lower_case\": true}";
    static const enum espi_pooling poolings[] = {ESPI_POOL_CLS, ESPI_POOL_MEAN, ESPI_POOL_MAX};
    for (size_t i = 0; i < 6; i++) {
        struct fixture f;
        struct espi_config again;
        char target[ESPI_PATH_BYTES];
        open_fixture(&f, "DistilBertModel");
        f.config.pooling = poolings[i % 3];
        f.config.normalize = i >= 3;
        f.config.max_sequence = 4 + i / 2;
        f.config.sequence_stated = true;
        f.config.lowercase = i >= 3;
        test_write(f.directory, "sentence_bert_config.json", limit, strlen(limit));
        test_write(f.directory, "config_sentence_transformers.json", "{}", 2);
        test_ok(ctx, espi_path_join(ctx, target, f.directory, "written"));
        test_ok(ctx, espi_checkpoint_write(ctx, &f.config, &f.params, i % 2 ? f.directory : NULL, target));
        test_ok(ctx, espi_config_read(ctx, target, &again));
        assert_int_equal(again.pooling, f.config.pooling);
        assert_int_equal(again.normalize, f.config.normalize);
        assert_int_equal(again.max_sequence, f.config.max_sequence);
        assert_int_equal(again.lowercase, f.config.lowercase);
        assert_int_equal(has_file(target, "config_sentence_transformers.json"), i % 2);
        espi_config_clear(&again);
        close_fixture(&f);
    }
}

static void test_write_errors(void **state)
{
    (void)state;
    struct fixture f;
    char target[ESPI_PATH_BYTES], tokenizer[ESPI_PATH_BYTES];
    open_fixture(&f, "BertModel");
    test_ok(ctx, espi_path_join(ctx, target, f.directory, "none/written"));
    test_fails(ctx, espi_checkpoint_write(ctx, &f.config, &f.params, NULL, target), ESP_ERR_IO);
    /* A failure in the middle leaves nothing behind: vocab.txt is a directory here. */
    test_ok(ctx, espi_path_join(ctx, tokenizer, f.directory, "tokenizer"));
    test_ok(ctx, espi_checkpoint_write(ctx, &f.config, &f.params, NULL, tokenizer));
    test_ok(ctx, espi_path_join(ctx, target, tokenizer, "vocab.txt"));
    test_ok(ctx, espi_checkpoint_write(ctx, &f.config, &f.params, NULL, target));
    test_ok(ctx, espi_path_join(ctx, target, f.directory, "written"));
    test_fails(ctx, espi_checkpoint_write(ctx, &f.config, &f.params, tokenizer, target), ESP_ERR_IO);
    test_error_has(ctx, "vocab.txt: expected a regular file");
    assert_false(espi_path_exists(target));
    close_fixture(&f);
}

static int setup(void **state)
{
    (void)state;
    ctx = esp_context_new();
    esp_context_set_log(ctx, keep_log, NULL);
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
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_gamma_beta),
        cmocka_unit_test(test_buffers_ignored),
        cmocka_unit_test(test_unused_warned),
        cmocka_unit_test(test_bare_without_pooler),
        cmocka_unit_test(test_decoder),
        cmocka_unit_test(test_decoder_bias),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_sharded),
        cmocka_unit_test(test_no_weights),
        cmocka_unit_test(test_huge_claim),
        cmocka_unit_test(test_new_head),
        cmocka_unit_test(test_same_head),
        cmocka_unit_test(test_write_all),
        cmocka_unit_test(test_write_sentence),
        cmocka_unit_test(test_write_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
