/* SPDX-License-Identifier: Apache-2.0
 * The public C API from a compiled file to answers: facts, raw ids, every task, wrong use, threads, memory. */
#include "create/compile/compile.h"
#include "run/session.h"
#include "text/tokenizer.h"

#include "random_model.h"

#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- what a run must not call ------------------------------------------------------------------------------------------ */

static size_t allocations, locks;

#ifndef TEST_SANITIZED
#include <dlfcn.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);

void *malloc(size_t bytes)
{
    allocations++;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    allocations++;
    return __libc_calloc(count, bytes);
}

void *realloc(void *block, size_t bytes)
{
    allocations++;
    return __libc_realloc(block, bytes);
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    static int (*real)(pthread_mutex_t *);
    if (!real) {
        void *found = dlsym(RTLD_NEXT, "pthread_mutex_lock");
        memcpy(&real, &found, sizeof real);
    }
    locks++;
    return real(mutex);
}
#endif

/* ---- models ------------------------------------------------------------------------------------------------------------ */

#define BERT(architecture, more)                                                                                       \
    "{\"model_type\":\"bert\",\"architectures\":[\"" architecture "\"],\"vocab_size\":24,\"hidden_size\":16,"          \
    "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"intermediate_size\":20,\"max_position_embeddings\":32,"       \
    "\"initializer_range\":0.4" more "}"

enum { QA, CLASSIFY, TAG, EMBED, MLM, MODELS };

static const char *const configs[MODELS] = {
    [QA] = BERT("BertForQuestionAnswering", ""),
    [CLASSIFY] = BERT("BertForSequenceClassification", ",\"id2label\":{\"0\":\"bad\",\"1\":\"fair\",\"2\":\"good\"},"
                                                       "\"label2id\":{\"bad\":0,\"fair\":1,\"good\":2}"),
    [TAG] = BERT("BertForTokenClassification",
                 ",\"id2label\":{\"0\":\"O\",\"1\":\"B-X\",\"2\":\"I-X\"},\"label2id\":{\"O\":0,\"B-X\":1,\"I-X\":2}"),
    [EMBED] = BERT("BertModel", ""),
    [MLM] = BERT("BertForMaskedLM", ""),
};

static const char *const vocabulary[] = {"[PAD]",
                                         "[UNK]",
                                         "[CLS]",
                                         "[SEP]",
                                         "[MASK]",
                                         "who",
                                         "wrote",
                                         "it",
                                         "?",
                                         "ada",
                                         "love",
                                         "##lace",
                                         "in",
                                         "1843",
                                         ".",
                                         "the",
                                         "day",
                                         "was",
                                         "\xc3\xa9t\xc3\xa9",
                                         "##s",
                                         "cold",
                                         "ete",
                                         "##d",
                                         "old"};

static const char question[] = "Who wrote it?";
static const char context[] = "The \xc3\xa9t\xc3\xa9 was cold. Ada Lovelace wrote it in 1843. The old day was cold, "
                              "the cold \xc3\xa9t\xc3\xa9 was old, and Ada wrote in the cold, in the day.";

static struct {
    esp_context *ctx;
    const char *scratch;
    char paths[MODELS][ESPI_PATH_BYTES];
    char bare[ESPI_PATH_BYTES]; // without a tokenizer
    esp_model *models[MODELS];
    esp_session *sessions[MODELS]; // of one thread
} t;

static int set_up(void **state)
{
    (void)state;
    t.ctx = esp_context_new();
    t.scratch = test_scratch();
    esp_tokenizer *tokenizer;
    const struct espi_vocab_settings settings = {.lowercase = true, .strip_accents = 0, .max_length = SIZE_MAX};
    test_ok(t.ctx, espi_tokenizer_from_vocab(t.ctx, vocabulary, ESPI_COUNT(vocabulary), &settings, &tokenizer));
    for (size_t i = 0; i < MODELS; i++) {
        struct espi_checkpoint checkpoint;
        struct espi_compile_options options = {.tokenizer = tokenizer, .sparse = ESPI_SPARSE_ALWAYS};
        test_random_model(t.ctx, configs[i], 0.5, 20 + i, &checkpoint);
        snprintf(t.paths[i], sizeof t.paths[i], "%.200s/%zu.esp", t.scratch, i);
        test_ok(t.ctx, espi_compile(t.ctx, &checkpoint, &options, t.paths[i], NULL));
        test_ok(t.ctx, esp_model_load(t.ctx, t.paths[i], NULL, &t.models[i]));
        test_ok(t.ctx, esp_session_new(t.ctx, t.models[i], &(esp_session_options){.threads = 1}, &t.sessions[i]));
        options.tokenizer = NULL;
        snprintf(t.bare, sizeof t.bare, "%.200s/bare.esp", t.scratch);
        test_ok(t.ctx, espi_compile(t.ctx, &checkpoint, &options, t.bare, NULL));
        espi_checkpoint_clear(&checkpoint);
    }
    esp_tokenizer_free(tokenizer);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < MODELS; i++) {
        esp_session_free(t.sessions[i]);
        esp_model_free(t.models[i]);
    }
    test_scratch_remove(t.scratch);
    esp_context_free(t.ctx);
    return 0;
}

static const esp_answer *answer(int model, const char *text, const char *pair, const esp_answer_options *options)
{
    const esp_answer *answers;
    esp_input input = {.text = esp_text_of(text), .pair = esp_text_of(pair)};
    test_ok(t.ctx, esp_session_answer(t.ctx, t.sessions[model], &input, 1, options, &answers));
    assert_string_equal(answers->error, "");
    assert_int_equal(answers->status, ESP_OK);
    return answers;
}

/* ---- facts -------------------------------------------------------------------------------------------------------------- */

static void test_facts(void **state)
{
    (void)state;
    static const esp_task tasks[MODELS] = {ESP_TASK_QA, ESP_TASK_CLASSIFY, ESP_TASK_TAG, ESP_TASK_EMBED, ESP_TASK_MLM};
    for (size_t i = 0; i < MODELS; i++) {
        const esp_model_facts *facts = esp_model_get_facts(t.models[i]);
        assert_int_equal(facts->task, tasks[i]);
        assert_int_equal(facts->hidden, 16);
        assert_int_equal(facts->layers, 2);
        assert_int_equal(facts->vocabulary, ESPI_COUNT(vocabulary));
        assert_int_equal(facts->token_types, 2);
        assert_int_equal(facts->max_length, 32);
        assert_true(facts->has_tokenizer && facts->file_bytes > 0);
        assert_int_equal(esp_tokenizer_id(esp_model_get_tokenizer(t.models[i]), "love"), 10);
    }
    assert_int_equal(esp_model_get_facts(t.models[QA])->labels, 2);
    assert_int_equal(esp_model_get_facts(t.models[MLM])->labels, 0);
    assert_string_equal(esp_model_get_facts(t.models[CLASSIFY])->label_names[2], "good");
    assert_true(esp_model_get_facts(t.models[CLASSIFY])->has_pooler);
    assert_string_equal(esp_task_name(ESP_TASK_TAG), "tag");
    assert_string_equal(esp_task_name(ESP_TASK_DEFAULT), "default");
    assert_string_equal(esp_task_name((esp_task)99), "default");
}

/* ---- raw ids ------------------------------------------------------------------------------------------------------------- */

static const uint32_t starts[] = {0, 5, 12, 13};
static const int32_t ids[] = {2, 5, 6, 7, 3, 2, 9, 10, 11, 14, 20, 3, 2};
static const uint32_t positions[] = {3, 12};
static const esp_batch batch = {.sequences = 3,
                                .tokens = ESPI_COUNT(ids),
                                .starts = starts,
                                .ids = ids,
                                .positions = positions,
                                .position_count = ESPI_COUNT(positions)};

static bool has_output(int model, esp_output output)
{
    switch (output) {
    case ESP_OUTPUT_HIDDEN:
    case ESP_OUTPUT_EMBEDDING:
        return true;
    case ESP_OUTPUT_POOLED:
        return esp_model_get_facts(t.models[model])->has_pooler;
    case ESP_OUTPUT_TOKEN_LOGITS:
        return model == QA || model == TAG;
    case ESP_OUTPUT_SEQUENCE_LOGITS:
        return model == CLASSIFY;
    case ESP_OUTPUT_VOCAB_LOGITS:
        return model == MLM;
    }
    return false;
}

/* Every output is what a session of the layer below gives; nothing behind it is written; no allocation, no lock. */
static void test_run(void **state)
{
    (void)state;
    for (int model = 0; model < MODELS; model++) {
        struct espi_esp_model file;
        struct espi_plan plan;
        struct espi_engine *engine;
        test_ok(t.ctx, espi_esp_model_open(t.ctx, t.paths[model], &file));
        test_ok(t.ctx, espi_plan_make(t.ctx, &file, &plan));
        test_ok(t.ctx, espi_session_new(t.ctx, &plan, NULL, 0, &engine));
        for (esp_output output = 0; output <= ESP_OUTPUT_VOCAB_LOGITS; output++) {
            size_t size = esp_output_size(t.models[model], &batch, output);
            float out[512], expected[512];
            out[size] = 77;
            size_t allocated = allocations, locked = locks;
            int status = esp_session_run(t.ctx, t.sessions[model], &batch, output, out, size);
            assert_int_equal(allocations, allocated);
            assert_int_equal(locks, locked);
            assert_int_equal(status, has_output(model, output) ? ESP_OK : ESP_ERR_UNSUPPORTED);
            if (status)
                continue;
            struct espi_batch below = {.sequences = 3, .tokens = batch.tokens, .starts = starts, .ids = ids};
            struct espi_wanted wanted = {.result = (enum espi_result)output,
                                         .positions = positions,
                                         .position_count = ESPI_COUNT(positions),
                                         .out = expected};
            test_ok(t.ctx, engine->run(engine, t.ctx, &below, &wanted));
            assert_memory_equal(out, expected, size * sizeof *out);
            assert_true(out[size] == 77);
        }
        engine->free(engine);
        espi_plan_clear(&plan);
        espi_esp_model_close(&file);
    }
}

/* X(what is changed, status, text of the error) */
#define BATCH_CASES(X)                                                                                                 \
    X(b.tokens--, ARGUMENT, "sequence 2: ends at token 13 of 12")                                                      \
    X(b.tokens++, ARGUMENT, "batch: expected 14 tokens, found 13")                                                     \
    X(b.starts = NULL, ARGUMENT, "an array of it is NULL")                                                             \
    X(b.ids = NULL, ARGUMENT, "an array of it is NULL")                                                                \
    X(b.ids = bad_ids, ARGUMENT, "sequence 0, token 1: expected an id from 0 to 23, found 24")                         \
    X(b.type_ids = bad_types, ARGUMENT, "sequence 0, token 0: expected a type from 0 to 1, found 2")                   \
    X(b.starts = no_zero, ARGUMENT, "expected the first sequence to start at token 0")                                 \
    X(b.starts = empty, ARGUMENT, "sequence 1: has no tokens")                                                         \
    X(output = (esp_output)9, ARGUMENT, "unknown output 9")                                                            \
    X(size = 25, ARGUMENT, "out: expected room for 26 floats, found 25")                                               \
    X(out = NULL, ARGUMENT, "out: expected room for 26 floats, found 0")                                               \
    X(session = NULL, ARGUMENT, "the session, the batch or an array of it is NULL")                                    \
    X(output = ESP_OUTPUT_SEQUENCE_LOGITS, UNSUPPORTED, "no sequence classification head")

static void test_wrong_batches(void **state)
{
    (void)state;
    static const int32_t bad_ids[ESPI_COUNT(ids)] = {2, 24};
    static const uint8_t bad_types[ESPI_COUNT(ids)] = {2};
    static const uint32_t no_zero[] = {1, 5, 12, 13}, empty[] = {0, 5, 5, 13};
    float room[64];
#define X(change, status, text)                                                                                        \
    {                                                                                                                  \
        esp_batch b = batch;                                                                                           \
        esp_session *session = t.sessions[QA];                                                                         \
        esp_output output = ESP_OUTPUT_TOKEN_LOGITS;                                                                   \
        float *out = room;                                                                                             \
        size_t size = 64;                                                                                              \
        change;                                                                                                        \
        test_fails(t.ctx, esp_session_run(t.ctx, session, &b, output, out, size), ESP_ERR_##status);                   \
        test_error_has(t.ctx, text);                                                                                   \
        assert_int_equal(esp_session_run(NULL, session, &b, output, out, size), ESP_ERR_##status);                     \
    }
    BATCH_CASES(X)
#undef X
    const esp_batch nothing = {0};
    test_ok(t.ctx, esp_session_run(t.ctx, t.sessions[QA], &nothing, ESP_OUTPUT_HIDDEN, NULL, 0));
}

/* ---- answers ------------------------------------------------------------------------------------------------------------- */

static size_t code_points(const char *text, size_t bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += (text[i] & 0xc0) != 0x80;
    return count;
}

static void assert_place(const esp_item *item, const char *text)
{
    assert_true(item->byte_begin <= item->byte_end && item->byte_end <= strlen(text));
    assert_int_equal(code_points(text, item->byte_begin), item->char_begin);
    assert_int_equal(code_points(text, item->byte_end), item->char_end);
}

static void test_question(void **state)
{
    (void)state;
    const esp_answer *found = answer(QA, question, context, &(esp_answer_options){.top_k = 5, .json = true});
    assert_true(found->count > 1 && found->count <= 5 && found->json && found->json[0] == '[');
    for (size_t i = 0; i < found->count; i++) {
        const esp_item *item = &found->items[i];
        assert_place(item, context);
        assert_int_equal(strlen(item->text), item->byte_end - item->byte_begin);
        assert_memory_equal(item->text, context + item->byte_begin, strlen(item->text));
        assert_true(item->score > 0 && item->score <= 1 && (i == 0 || item->score <= item[-1].score));
        assert_null(item->label);
        assert_null(item->sequence);
    }
    char first[200], *behind;
    assert_memory_equal(found->json, "[{\"score\":", 10);
    assert_true(strtof(found->json + 10, &behind) == (float)found->items[0].score);
    snprintf(first, sizeof first, ",\"start\":%zu,\"end\":%zu,\"answer\":\"%s\"}", found->items[0].char_begin,
             found->items[0].char_end, found->items[0].text);
    assert_memory_equal(behind, first, strlen(first));
    found = answer(QA, question, context, NULL);
    assert_int_equal(found->count, 1);
    assert_true(!found->json && !found->embedding && !found->embedding_size && !found->embedding_numbers);
    assert_place(&found->items[0], context);
}

static void test_labels(void **state)
{
    (void)state;
    const esp_answer *found = answer(CLASSIFY, "The day was cold.", NULL, &(esp_answer_options){.top_k = ESP_ALL});
    double sum = 0;
    assert_int_equal(found->count, 3);
    for (size_t i = 0; i < 3; i++) {
        sum += found->items[i].score;
        assert_true(i == 0 || found->items[i].score <= found->items[i - 1].score);
    }
    assert_true(fabs(sum - 1) < 1e-6);
    char best[8];
    snprintf(best, sizeof best, "%s", found->items[0].label);
    double alone = found->items[0].score;
    found = answer(CLASSIFY, "The day was cold.", NULL, NULL);
    assert_int_equal(found->count, 1);
    assert_string_equal(found->items[0].label, best);
    found = answer(CLASSIFY, "The day was cold.", "It was in 1843.", NULL);
    assert_true(found->items[0].score != alone);
    found = answer(CLASSIFY, "it", NULL, &(esp_answer_options){.scores = ESP_SCORES_SIGMOID, .top_k = ESP_ALL});
    sum = found->items[0].score + found->items[1].score + found->items[2].score;
    assert_true(fabs(sum - 1) > 1e-6);
}

static void test_tags(void **state)
{
    (void)state;
    const esp_answer *found = answer(TAG, context, NULL, NULL);
    assert_true(found->count > 0);
    for (size_t i = 0; i < found->count; i++) {
        const esp_item *item = &found->items[i];
        assert_place(item, context);
        assert_true(strcmp(item->label, "B-X") == 0 || strcmp(item->label, "I-X") == 0);
        assert_non_null(item->text);
        assert_true(i == 0 || item->byte_begin >= item[-1].byte_begin);
    }
    found = answer(TAG, context, NULL, &(esp_answer_options){.merge = ESP_MERGE_SIMPLE});
    for (size_t i = 0; i < found->count; i++) {
        assert_place(&found->items[i], context);
        assert_string_equal(found->items[i].label, "X");
    }
}

/* The vector is what the raw call gives for the text's ids, bit for bit, with and without JSON. */
static void test_embedding(void **state)
{
    (void)state;
    static const char text[] = "Ada wrote it.";
    esp_encoding encoding = {0};
    float expected[16];
    test_ok(t.ctx,
            esp_encode(t.ctx, esp_model_get_tokenizer(t.models[EMBED]), text, strlen(text), NULL, 0, NULL, &encoding));
    const esp_batch one = {.sequences = encoding.windows,
                           .tokens = encoding.tokens,
                           .starts = encoding.starts,
                           .ids = encoding.ids,
                           .type_ids = encoding.type_ids};
    test_ok(t.ctx, esp_session_run(t.ctx, t.sessions[EMBED], &one, ESP_OUTPUT_EMBEDDING, expected, 16));
    const esp_answer *found = answer(EMBED, text, NULL, NULL);
    assert_memory_equal(found->embedding, expected, sizeof expected);
    assert_int_equal(found->embedding_size, ESPI_COUNT(expected));
    assert_int_equal(found->embedding_numbers, ESP_NUMBERS_FLOAT32);
    assert_true(found->count == 0 && !found->json);
    found = answer(EMBED, text, NULL, &(esp_answer_options){.json = true});
    assert_memory_equal(found->embedding, expected, sizeof expected);
    assert_memory_equal(found->json, "{\"embedding\":[", 14);
    found = answer(QA, text, NULL, &(esp_answer_options){.task = ESP_TASK_EMBED}); // any model gives one
    assert_non_null(found->embedding);
    esp_encoding_clear(&encoding);
}

/* A session on a model of its own, after `change` of its config. */
static esp_session *changed_model(const char *config, uint64_t seed, void (*change)(struct espi_config *),
                                  esp_model **model)
{
    struct espi_checkpoint checkpoint;
    struct espi_compile_options options = {.sparse = ESPI_SPARSE_ALWAYS};
    char path[ESPI_PATH_BYTES];
    esp_session *session;
    esp_tokenizer *tokenizer;
    const struct espi_vocab_settings settings = {.lowercase = true, .strip_accents = 0, .max_length = SIZE_MAX};
    test_ok(t.ctx, espi_tokenizer_from_vocab(t.ctx, vocabulary, ESPI_COUNT(vocabulary), &settings, &tokenizer));
    options.tokenizer = tokenizer;
    test_random_model(t.ctx, config, 0.5, seed, &checkpoint);
    change(&checkpoint.config);
    snprintf(path, sizeof path, "%.200s/changed.esp", t.scratch);
    test_ok(t.ctx, espi_compile(t.ctx, &checkpoint, &options, path, NULL));
    espi_checkpoint_clear(&checkpoint);
    esp_tokenizer_free(tokenizer);
    test_ok(t.ctx, esp_model_load(t.ctx, path, NULL, model));
    test_ok(t.ctx, esp_session_new(t.ctx, *model, &(esp_session_options){.threads = 1}, &session));
    return session;
}

static void set_prompt(struct espi_config *config)
{
    config->prompt = "who wrote ";
    config->embedding = 5;
}

static void test_prompt(void **state)
{
    (void)state;
    esp_model *model;
    esp_session *session = changed_model(configs[EMBED], 20 + EMBED, set_prompt, &model);
    const esp_answer_options json = {.json = true};
    const esp_answer *found;
    const esp_input input = {.text = esp_text_of("ada")};
    assert_int_equal(esp_model_get_facts(model)->embedding, 5);
    assert_int_equal(esp_model_get_facts(t.models[EMBED])->embedding, 16);
    test_ok(t.ctx, esp_session_answer(t.ctx, session, &input, 1, &json, &found));
    assert_memory_equal(found->embedding, answer(EMBED, "who wrote ada", NULL, NULL)->embedding, 5 * sizeof(float));
    size_t numbers = 1;
    for (const char *at = found->json; *at; at++)
        numbers += *at == ',';
    assert_int_equal(numbers, 5);
    esp_session_free(session);
    esp_model_free(model);
}

static void change_nothing(struct espi_config *config)
{
    (void)config;
}

static void state_problem(struct espi_config *config)
{
    config->problem_told = false;
}

/* One label is a probability, unless the model's files call it a regression. */
static void test_one_label(void **state)
{
    (void)state;
    static const char config[] = BERT("BertForSequenceClassification", ",\"num_labels\":1");
    const esp_answer_options raw = {.scores = ESP_SCORES_RAW};
    const esp_input input = {.text = esp_text_of("ada")};
    for (int regression = 0; regression < 2; regression++) {
        const esp_answer *found;
        esp_model *model;
        esp_session *session = changed_model(config, 3, regression ? state_problem : change_nothing, &model);
        test_ok(t.ctx, esp_session_answer(t.ctx, session, &input, 1, &raw, &found));
        double logit = found->items[0].score;
        test_ok(t.ctx, esp_session_answer(t.ctx, session, &input, 1, NULL, &found));
        double difference = found->items[0].score - (regression ? logit : 1 / (1 + exp(-logit)));
        assert_true(fabs(difference) < 1e-6);
        esp_session_free(session);
        esp_model_free(model);
    }
}

static void test_masks(void **state)
{
    (void)state;
    const esp_answer *found = answer(MLM, "Ada [MASK] it.", NULL, NULL);
    assert_int_equal(found->count, 5);
    assert_true(found->items[0].mask == 0 && found->items[0].text && found->items[0].sequence);
    assert_true(found->items[0].score >= found->items[1].score);
    found = answer(MLM, "Ada [MASK] it in [MASK].", NULL, &(esp_answer_options){.top_k = 2});
    assert_int_equal(found->count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(found->items[i].mask, i / 2);
        const char *token = esp_tokenizer_token(esp_model_get_tokenizer(t.models[MLM]), found->items[i].token);
        assert_non_null(token);
    }
}

/* Many inputs at once give what each gives alone; those that cannot be answered fail alone. */
static void test_batches_of_texts(void **state)
{
    (void)state;
    enum { INPUTS = 40 };
    esp_input inputs[INPUTS];
    double scores[INPUTS];
    char texts[INPUTS][32];
    const esp_answer *found;
    for (size_t i = 0; i < INPUTS; i++) {
        inputs[i] = (esp_input){.text = esp_text_of(question),
                                .pair = {context + i % 3, sizeof context - 1 - i % 3 - i % 5 * 6}};
        test_ok(t.ctx, esp_session_answer(t.ctx, t.sessions[QA], &inputs[i], 1, NULL, &found));
        scores[i] = found->items[0].score;
        snprintf(texts[i], sizeof texts[i], "%.31s", found->items[0].text);
    }
    inputs[3].pair.bytes = 0;
    inputs[13].pair = esp_text_of("\xff\xfe");
    inputs[23].text = (esp_text){NULL, 0};
    test_ok(t.ctx, esp_session_answer(t.ctx, t.sessions[QA], inputs, INPUTS, NULL, &found));
    for (size_t i = 0; i < INPUTS; i++) {
        bool wrong = i < 30 && i % 10 == 3;
        assert_int_equal(found[i].status, wrong ? ESP_ERR_FORMAT : ESP_OK);
        assert_int_equal(found[i].count, !wrong);
        if (wrong)
            continue;
        assert_true(found[i].items[0].score == scores[i]);
        assert_memory_equal(found[i].items[0].text, texts[i], strlen(texts[i]));
    }
    assert_string_equal(found[3].error, "input 3: context: expected a text, found an empty one");
    assert_non_null(strstr(found[13].error, "input 13: expected UTF-8, found the byte 0xff"));
    assert_string_equal(found[23].error, "input 23: question: expected a text, found none");
    test_ok(t.ctx, esp_session_answer(t.ctx, t.sessions[QA], NULL, 0, NULL, &found));

    const esp_answer_options short_texts = {.max_text_bytes = inputs[0].pair.bytes - 1};
    test_ok(t.ctx, esp_session_answer(t.ctx, t.sessions[QA], inputs, 1, &short_texts, &found));
    assert_int_equal(found[0].status, ESP_ERR_LIMIT);
    assert_non_null(strstr(found[0].error, "input 0: context: expected at most"));
}

static void test_inputs_that_do_not_fit(void **state)
{
    (void)state;
    const esp_answer *found;
    esp_input input = {.text = esp_text_of("the day"), .pair = esp_text_of("was cold")};
    test_ok(t.ctx, esp_session_answer(NULL, t.sessions[TAG], &input, 1, NULL, &found));
    assert_string_equal(found->error, "input 0: pair: expected none for the task tag, which takes one text");
    input.pair.data = NULL;
    test_ok(t.ctx, esp_session_answer(NULL, t.sessions[MLM], &input, 1, NULL, &found));
    assert_int_equal(found->status, ESP_ERR_FORMAT);
    assert_non_null(strstr(found->error, "input 0: "));
    assert_int_equal(found->count, 0);
}

static void test_wrong_calls(void **state)
{
    (void)state;
    const esp_answer *found;
    esp_model *model;
    esp_session *session;
    esp_input input = {.text = esp_text_of(question), .pair = esp_text_of(context)};
    test_fails(t.ctx, esp_model_load(t.ctx, NULL, NULL, &model), ESP_ERR_ARGUMENT);
    test_fails(t.ctx, esp_model_load(t.ctx, t.paths[0], NULL, NULL), ESP_ERR_ARGUMENT);
    test_fails(t.ctx, esp_model_load(t.ctx, "/nowhere.esp", NULL, &model), ESP_ERR_NOT_FOUND);
    assert_null(model);
    test_fails(t.ctx, esp_session_new(t.ctx, NULL, NULL, &session), ESP_ERR_ARGUMENT);
    test_fails(t.ctx, esp_session_new(t.ctx, t.models[0], NULL, NULL), ESP_ERR_ARGUMENT);
    test_fails(t.ctx, esp_session_new(t.ctx, t.models[0], &(esp_session_options){.threads = 9999}, &session),
               ESP_ERR_ARGUMENT);
    assert_null(session);
    test_fails(
        t.ctx,
        esp_session_new(t.ctx, t.models[0], &(esp_session_options){.threads = 1, .capacity = SIZE_MAX}, &session),
        ESP_ERR_LIMIT);
    test_fails(t.ctx, esp_session_answer(t.ctx, t.sessions[QA], &input, 1, NULL, NULL), ESP_ERR_ARGUMENT);
    test_fails(t.ctx, esp_session_answer(t.ctx, NULL, &input, 1, NULL, &found), ESP_ERR_ARGUMENT);
    test_fails(t.ctx, esp_session_answer(t.ctx, t.sessions[QA], NULL, 1, NULL, &found), ESP_ERR_ARGUMENT);
    const esp_answer_options task = {.task = (esp_task)77}, head = {.task = ESP_TASK_TAG}, length = {.max_length = 2};
    test_fails(t.ctx, esp_session_answer(t.ctx, t.sessions[QA], &input, 1, &task, &found), ESP_ERR_ARGUMENT);
    test_error_has(t.ctx, "unknown task 77");
    test_fails(t.ctx, esp_session_answer(t.ctx, t.sessions[QA], &input, 1, &head, &found), ESP_ERR_UNSUPPORTED);
    test_error_has(t.ctx, "task tag needs a model with a token-classification head");
    test_fails(t.ctx, esp_session_answer(t.ctx, t.sessions[QA], &input, 1, &length, &found), ESP_ERR_ARGUMENT);
    test_error_has(t.ctx, "max_length: expected at least 3, found 2");
    assert_null(found);
    answer(QA, question, context, NULL); // and the session goes on

    test_ok(t.ctx, esp_model_load(t.ctx, t.bare, NULL, &model));
    assert_false(esp_model_get_facts(model)->has_tokenizer);
    assert_null(esp_model_get_tokenizer(model));
    test_ok(t.ctx, esp_session_new(t.ctx, model, NULL, &session));
    test_fails(t.ctx, esp_session_answer(t.ctx, session, &input, 1, NULL, &found), ESP_ERR_NOT_FOUND);
    test_error_has(t.ctx, "bare.esp: it was compiled without a tokenizer");
    esp_session_free(session);
    esp_model_free(model);
    esp_session_free(NULL);
    esp_model_free(NULL);
}

/* Every byte that is reserved in a struct of the caller's is seen when it is not zero, none of those in front of them. */
#define RESERVED_CASES(X)                                                                                              \
    X(esp_encode_options, reserved_flags,                                                                              \
      esp_encode(t.ctx, esp_model_get_tokenizer(t.models[QA]), "ada", 3, NULL, 0, &object, &encoding))                 \
    X(esp_model_options, reserved_flags, esp_model_load(t.ctx, t.paths[QA], &object, &model))                          \
    X(esp_session_options, reserved, esp_session_new(t.ctx, t.models[QA], &object, &session))                          \
    X(esp_batch, reserved, esp_session_run(t.ctx, t.sessions[QA], &object, ESP_OUTPUT_HIDDEN, NULL, 0))                \
    X(esp_input, reserved, esp_session_answer(t.ctx, t.sessions[QA], &object, 1, NULL, &found))                        \
    X(esp_answer_options, reserved_flags, esp_session_answer(t.ctx, t.sessions[QA], NULL, 0, &object, &found))

static void test_reserved_members(void **state)
{
    (void)state;
    esp_encoding encoding = {0};
    esp_model *model = NULL;
    esp_session *session = NULL;
    const esp_answer *found;
#define X(type, from, call)                                                                                            \
    for (size_t i = offsetof(type, from); i < sizeof(type); i++) {                                                     \
        type object;                                                                                                   \
        memset(&object, 0, sizeof object);                                                                             \
        ((char *)&object)[i] = 1;                                                                                      \
        test_fails(t.ctx, call, ESP_ERR_ARGUMENT);                                                                     \
        test_error_has(t.ctx, #type ": expected zeros in its reserved members");                                       \
    }                                                                                                                  \
    assert_true(offsetof(type, from) + 32 <= sizeof(type));
    RESERVED_CASES(X)
#undef X
    assert_true(!model && !session && !found);
    esp_encoding_clear(&encoding);
}

/* ---- models in memory ---------------------------------------------------------------------------------------------------- */

/* A file's bytes `shift` behind a multiple of 64, with nothing behind them that may be read. */
static unsigned char *file_in_memory(const char *path, size_t shift, unsigned char **block, size_t *bytes)
{
    struct espi_map map;
    test_ok(t.ctx, espi_map_open(t.ctx, path, &map));
    *bytes = map.bytes;
    *block = aligned_alloc(ESP_MODEL_ALIGN, map.bytes + ESP_MODEL_ALIGN);
    assert_non_null(*block);
    memcpy(*block + shift, map.data, map.bytes);
    espi_map_close(&map);
    return *block + shift;
}

static void answers_as_from_file(const esp_model *model)
{
    esp_session *session;
    const esp_answer *found;
    const esp_answer_options options = {.json = true, .top_k = 5};
    const esp_input input = {.text = esp_text_of(question), .pair = esp_text_of(context)};
    test_ok(t.ctx, esp_session_new(t.ctx, model, &(esp_session_options){.threads = 1}, &session));
    test_ok(t.ctx, esp_session_answer(t.ctx, session, &input, 1, &options, &found));
    assert_string_equal(found->json, answer(QA, question, context, &options)->json);
    assert_int_equal(esp_model_get_facts(model)->file_bytes, esp_model_get_facts(t.models[QA])->file_bytes);
    esp_session_free(session);
}

static void test_memory_in_its_place(void **state)
{
    (void)state;
    unsigned char *block;
    size_t bytes;
    esp_model *model;
    unsigned char *data = file_in_memory(t.paths[QA], 0, &block, &bytes);
    test_ok(t.ctx, esp_model_load_memory(t.ctx, data, bytes, NULL, &model));
    answers_as_from_file(model);
    esp_model_free(model); // leaves the data to its owner
    assert_memory_equal(data, ESPI_ESP_MAGIC, sizeof ESPI_ESP_MAGIC - 1);
    free(block);
}

static void test_memory_copied(void **state)
{
    (void)state;
    const esp_model_options copy = {.copy = true};
    unsigned char *block;
    size_t bytes;
    esp_model *model;
    unsigned char *data = file_in_memory(t.paths[QA], 1, &block, &bytes);
    test_fails(t.ctx, esp_model_load_memory(t.ctx, data, bytes, NULL, &model), ESP_ERR_ARGUMENT);
    test_error_has(t.ctx, "memory: expected the address of data to be a multiple of 64, or options.copy, found 0x");
    assert_null(model);
    test_ok(t.ctx, esp_model_load_memory(t.ctx, data, bytes, &copy, &model));
    memset(data, 0xff, bytes);
    free(block);
    answers_as_from_file(model);
    esp_model_free(model);
}

/* Cut anywhere, or with a wrong byte anywhere, it is refused or, where the checksums are not asked for, can be loaded. */
static void test_memory_damaged(void **state)
{
    (void)state;
    const esp_model_options plain = {0}, copy = {.copy = true}, skip = {.skip_checksums = true};
    unsigned char *block;
    size_t bytes;
    esp_model *model;
    unsigned char *data = file_in_memory(t.paths[TAG], 0, &block, &bytes);
    for (size_t cut = 0; cut < bytes; cut += cut < 256 ? 1 : 61) {
        unsigned char *part = aligned_alloc(ESP_MODEL_ALIGN, espi_round_up(cut + 1, ESP_MODEL_ALIGN));
        assert_non_null(part);
        memcpy(part, data, cut);
        test_fails(t.ctx, esp_model_load_memory(t.ctx, part, cut, cut % 2 ? &copy : &plain, &model), ESP_ERR_FORMAT);
        free(part);
    }
    for (size_t i = 0; i < bytes; i += i < 4096 ? 1 : 61) {
        data[i] ^= 0x41;
        assert_int_not_equal(esp_model_load_memory(t.ctx, data, bytes, i % 2 ? &copy : &plain, &model), ESP_OK);
        assert_memory_equal(esp_last_error(t.ctx), "memory: ", 8);
        if (esp_model_load_memory(t.ctx, data, bytes, &skip, &model) == ESP_OK)
            esp_model_free(model);
        data[i] ^= 0x41;
    }
    test_fails(t.ctx, esp_model_load_memory(t.ctx, NULL, bytes, NULL, &model), ESP_ERR_ARGUMENT);
    test_fails(t.ctx, esp_model_load_memory(t.ctx, data, bytes, NULL, NULL), ESP_ERR_ARGUMENT);
    free(block);
}

/* A damaged weight is noticed by its checksum, unless that is not asked for; a bad index is refused in both cases. */
static void test_checksums(void **state)
{
    (void)state;
    struct espi_map map;
    esp_model *model;
    test_ok(t.ctx, espi_map_open(t.ctx, t.paths[EMBED], &map));
    unsigned char *copy = malloc(map.bytes);
    assert_non_null(copy);
    memcpy(copy, map.data, map.bytes);
    const struct espi_esp_header *header = (const void *)map.data;
    const struct espi_esp_section *sections = (const void *)(map.data + sizeof *header);
    const struct espi_esp_section *word = NULL, *qkv = NULL;
    for (size_t i = 0; i < header->section_count; i++) {
        word = sections[i].kind == ESPI_ESP_EMBED_WORD ? &sections[i] : word;
        qkv = sections[i].kind == ESPI_ESP_QKV && !qkv ? &sections[i] : qkv;
    }
    assert_true(word && qkv && qkv->encoding == ESPI_ESP_QUADS_SPARSE);
    const esp_model_options skip = {.skip_checksums = true};
    copy[word->offset + 5] ^= 1;
    const char *path = test_write(t.scratch, "damaged.esp", copy, map.bytes);
    test_fails(t.ctx, esp_model_load(t.ctx, path, NULL, &model), ESP_ERR_FORMAT);
    test_error_has(t.ctx, "word embeddings: damaged");
    test_ok(t.ctx, esp_model_load(t.ctx, path, &skip, &model));
    esp_model_free(model);
    struct espi_packing packing;
    test_ok(t.ctx, espi_esp_packing(t.ctx, qkv, &packing));
    copy[qkv->offset + packing.indices] = 200; // a column of 16
    path = test_write(t.scratch, "damaged.esp", copy, map.bytes);
    test_fails(t.ctx, esp_model_load(t.ctx, path, &skip, &model), ESP_ERR_FORMAT);
    test_error_has(t.ctx, "expected a column below 16, found 200");
    free(copy);
    espi_map_close(&map);
}

/* ---- threads ------------------------------------------------------------------------------------------------------------- */

struct shared {
    double score;
    size_t threads;
    bool same;
};

static void *answer_in_thread(void *argument)
{
    struct shared *shared = argument;
    esp_context *ctx = esp_context_new();
    esp_session *session;
    const esp_answer *found;
    esp_input input = {.text = esp_text_of(question), .pair = esp_text_of(context)};
    int status = esp_session_new(ctx, t.models[QA], &(esp_session_options){.threads = shared->threads}, &session);
    shared->same = !status;
    for (int i = 0; i < 20 && !status; i++) {
        status = esp_session_answer(ctx, session, &input, 1, NULL, &found);
        shared->same &= !status && found->items[0].score == shared->score;
    }
    esp_session_free(session);
    esp_context_free(ctx);
    return NULL;
}

static void test_threads_share_a_model(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct shared shared[THREADS];
    double score = answer(QA, question, context, NULL)->items[0].score;
    for (size_t i = 0; i < THREADS; i++) {
        shared[i] = (struct shared){.score = score, .threads = 1 + i % 2};
        assert_int_equal(pthread_create(&threads[i], NULL, answer_in_thread, &shared[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(shared[i].same);
    }
}

/* ---- memory -------------------------------------------------------------------------------------------------------------- */

/* Neither the vocabulary nor the normalizer nor the weights are copied or built: what a second process allocates is little
 * and does not grow with the file. */
static void test_loading_allocates_little(void **state)
{
    (void)state;
    esp_model *model;
    struct mallinfo2 before = mallinfo2();
    test_ok(t.ctx, esp_model_load(t.ctx, t.paths[QA], NULL, &model));
    struct mallinfo2 after = mallinfo2();
    assert_true(after.uordblks + after.hblkhd <= before.uordblks + before.hblkhd + (64 << 10));
    esp_model_free(model);
}

/* The workspace is what the layer below states (whose test holds the formula); after a trim answers are the same. */
static void test_workspace(void **state)
{
    (void)state;
    struct espi_esp_model file;
    struct espi_plan plan;
    size_t bytes;
    test_ok(t.ctx, espi_esp_model_open(t.ctx, t.paths[QA], &file));
    test_ok(t.ctx, espi_plan_make(t.ctx, &file, &plan));
    for (size_t threads = 1; threads < 4; threads++) {
        esp_session *session;
        const esp_session_options options = {.threads = threads, .capacity = 100 * threads};
        test_ok(t.ctx, esp_session_new(t.ctx, t.models[QA], &options, &session));
        test_ok(t.ctx, espi_session_bytes(t.ctx, &plan, 100 * threads, threads, &bytes));
        assert_int_equal(esp_session_workspace(session), bytes);
        esp_session_free(session);
    }
    espi_plan_clear(&plan);
    espi_esp_model_close(&file);
    double score = answer(QA, question, context, NULL)->items[0].score;
    for (int i = 0; i < 3; i++) {
        esp_session_trim(t.sessions[QA]);
        if (i)
            assert_true(answer(QA, question, context, NULL)->items[0].score == score);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_wrong_batches),
        cmocka_unit_test(test_question),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_prompt),
        cmocka_unit_test(test_one_label),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_batches_of_texts),
        cmocka_unit_test(test_inputs_that_do_not_fit),
        cmocka_unit_test(test_wrong_calls),
        cmocka_unit_test(test_reserved_members),
        cmocka_unit_test(test_memory_in_its_place),
        cmocka_unit_test(test_memory_copied),
        cmocka_unit_test(test_memory_damaged),
        cmocka_unit_test(test_checksums),
        cmocka_unit_test(test_threads_share_a_model),
        cmocka_unit_test(test_loading_allocates_little),
        cmocka_unit_test(test_workspace),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
