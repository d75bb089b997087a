/* SPDX-License-Identifier: Apache-2.0
 * espalier_create.h as a program uses it: each call in its turn, stopped at each of its points, and asked for what cannot be. */
#include "espalier_create.h"

#include "base/size.h"
#include "create/demo/demo_corpus.h"
#include "support.h"

#include <dirent.h>
#include <pthread.h>
#include <string.h>

static esp_context *ctx;
static const char *directory;
static char text[ESPI_PATH_BYTES], data[ESPI_PATH_BYTES], config[ESPI_PATH_BYTES], vocabulary[ESPI_PATH_BYTES],
    initial[ESPI_PATH_BYTES], trained[ESPI_PATH_BYTES];

static void name(char path[ESPI_PATH_BYTES], const char *file)
{
    test_ok(ctx, espi_path_join(ctx, path, directory, file));
}

/* ---- stopping ----------------------------------------------------------------------------------------------------------- */

/* Stops a call when it asks for the `at`th time. */
struct stopper {
    size_t asked, at;
    size_t shown;
    bool ended; // the last pass that was shown
};

static bool stop(void *cookie)
{
    struct stopper *stopper = cookie;
    return stopper->asked++ >= stopper->at;
}

static void show(void *cookie, const esp_progress *progress)
{
    struct stopper *stopper = cookie;
    assert_true(progress->label && *progress->label && progress->unit && progress->note);
    assert_true(progress->done >= progress->first && progress->seconds >= 0);
    stopper->shown++;
    stopper->ended = progress->last;
}

static size_t count_files(void)
{
    size_t count = 0;
    DIR *d = opendir(directory);
    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

typedef int call_fn(esp_context *context, const esp_watch *watch);

/* Once for each point at which the call can be stopped (of many, at ever greater distances): it says that it was, and what
 * was there before is there, nothing else. Then to its end. */
static void stop_everywhere(call_fn *call)
{
    struct stopper stopper = {0};
    const esp_watch watch = {.show = show, .stop = stop, .cookie = &stopper};
    size_t before = count_files();
    for (;;) {
        int status = call(ctx, &watch);
        if (!status)
            break;
        test_fails(ctx, status, ESP_ERR_CANCELLED);
        test_error_has(ctx, "interrupted");
        assert_int_equal(count_files(), before);
        stopper = (struct stopper){.at = stopper.at + 1 + stopper.at / 2};
    }
    assert_true(stopper.asked > 0);
    assert_int_equal(count_files(), before + 1);
}

/* ---- the calls ---------------------------------------------------------------------------------------------------------- */

static int train_vocabulary(esp_context *context, const esp_watch *watch)
{
    const char *const texts[] = {text};
    const esp_vocabulary_options options = {
        .texts = texts, .text_count = 1, .output = vocabulary, .size = 300, .watch = *watch};
    return esp_vocabulary_train(context, &options);
}

static int train_bpe(esp_context *context, const esp_watch *watch)
{
    const char *const texts[] = {text};
    char output[ESPI_PATH_BYTES];
    name(output, "bpe");
    const esp_vocabulary_options options = {
        .texts = texts, .text_count = 1, .output = output, .size = 300, .model = ESP_VOCABULARY_BPE, .watch = *watch};
    return esp_vocabulary_train(context, &options);
}

static int train_unigram(esp_context *context, const esp_watch *watch)
{
    const char *const texts[] = {text};
    char output[ESPI_PATH_BYTES];
    name(output, "unigram");
    const esp_vocabulary_options options = {.texts = texts,
                                            .text_count = 1,
                                            .output = output,
                                            .size = 300,
                                            .model = ESP_VOCABULARY_UNIGRAM,
                                            .watch = *watch};
    return esp_vocabulary_train(context, &options);
}

static int init(esp_context *context, const esp_watch *watch)
{
    const esp_init_options options = {.config = config,
                                      .tokenizer = vocabulary,
                                      .output = initial,
                                      .head = ESP_HEAD_QA,
                                      .mimetic = true,
                                      .watch = *watch};
    return esp_checkpoint_init(context, &options);
}

static int compile(esp_context *context, const esp_watch *watch)
{
    char output[ESPI_PATH_BYTES];
    name(output, "initial.esp");
    const esp_compile_options options = {.checkpoint = initial,
                                         .output = output,
                                         .threads = 2,
                                         .calibrate = data,
                                         .samples = 8,
                                         .smooth = true,
                                         .smooth_alpha = 0.5,
                                         .eval = data,
                                         .eval_limit = 8,
                                         .max_drop = 0.5,
                                         .watch = *watch};
    esp_compile_report report;
    int status = esp_compile(context, &options, &report);
    if (status) {
        assert_null(report.layers);
        assert_int_equal(report.layer_count, 0);
        return status;
    }
    assert_int_equal(report.layer_count, 8);
    assert_string_equal(report.layers[0].name, "query_key_value");
    assert_true(report.file_bytes > 0 && report.evaluations > 0);
    esp_compile_report_clear(&report);
    esp_compile_report_clear(&report);
    return status;
}

/* A recipe of two stages, the second of which is distilled and pruned. */
static int train(esp_context *context, const esp_watch *watch)
{
    const esp_setting settings[] = {{"train", data}, {"dev", data}, {"dev-limit", "4"}, {"threads", "2"}};
    char recipe[ESPI_PATH_BYTES];
    esp_train_report report;
    name(recipe, "recipe.json");
    const esp_train_options options = {.checkpoint = initial,
                                       .output = trained,
                                       .recipe = recipe,
                                       .settings = settings,
                                       .setting_count = ESPI_COUNT(settings),
                                       .watch = *watch};
    int status = esp_train(context, &options, &report);
    if (status)
        return status;
    assert_string_equal(report.stage, "student");
    assert_string_equal(report.metric, "f1");
    assert_int_equal(report.steps, 4);
    assert_true(report.sparsity > 0.49 && report.loss > 0);
    return status;
}

static int prune(esp_context *context, const esp_watch *watch)
{
    const esp_setting settings[] = {
        {"sparsity", "0.5"}, {"pattern", "4x1"}, {"score", "snip-momentum"}, {"train", data}, {"max-examples", "8"}};
    char output[ESPI_PATH_BYTES];
    name(output, "pruned");
    const esp_prune_options options = {.checkpoint = initial,
                                       .output = output,
                                       .settings = settings,
                                       .setting_count = ESPI_COUNT(settings),
                                       .watch = *watch};
    return esp_prune(context, &options);
}

static int evaluate(esp_context *context, const esp_watch *watch)
{
    char output[ESPI_PATH_BYTES];
    name(output, "predictions.json");
    const esp_evaluate_options options = {
        .model = initial, .data_set = data, .save = output, .limit = 20, .threads = 2, .watch = *watch};
    esp_evaluation evaluation;
    int status = esp_evaluate(context, &options, &evaluation);
    if (status) {
        assert_null(evaluation.json);
        return status;
    }
    assert_non_null(strstr(evaluation.json, "\"f1\""));
    assert_true(evaluation.figure >= 0 && evaluation.figure <= 100);
    esp_evaluation_clear(&evaluation);
    esp_evaluation_clear(&evaluation);
    return status;
}

static void test_stopped(void **state)
{
    (void)state;
    stop_everywhere(train_vocabulary);
    stop_everywhere(train_bpe);
    stop_everywhere(train_unigram);
    stop_everywhere(init);
    stop_everywhere(train);
    stop_everywhere(prune);
    stop_everywhere(compile);
    stop_everywhere(evaluate);
}

/* Two calls at once, each with a context of its own. */
static void *prune_another(void *output)
{
    const esp_setting settings[] = {
        {"sparsity", "0.5"}, {"score", "snip-momentum"}, {"train", data}, {"max-examples", "8"}};
    const esp_prune_options options = {
        .checkpoint = initial, .output = output, .settings = settings, .setting_count = ESPI_COUNT(settings)};
    esp_context *own = esp_context_new();
    int status = esp_prune(own, &options);
    esp_context_free(own);
    return status ? NULL : output;
}

static void test_at_once(void **state)
{
    (void)state;
    char one[ESPI_PATH_BYTES], two[ESPI_PATH_BYTES];
    pthread_t thread;
    void *made;
    name(one, "one");
    name(two, "two");
    assert_int_equal(pthread_create(&thread, NULL, prune_another, one), 0);
    assert_ptr_equal(prune_another(two), two);
    assert_int_equal(pthread_join(thread, &made), 0);
    assert_ptr_equal(made, one);
}

/* With `keep` a run that was stopped goes on to the same weights. */
static void test_kept(void **state)
{
    (void)state;
    struct stopper stopper = {0};
    char output[ESPI_PATH_BYTES];
    const esp_setting settings[] = {{"task", "qa"}, {"train", data}, {"max-steps", "3"}, {"threads", "1"}};
    esp_train_options options = {.checkpoint = initial,
                                 .output = output,
                                 .settings = settings,
                                 .setting_count = ESPI_COUNT(settings),
                                 .keep = true,
                                 .watch = {.stop = stop, .cookie = &stopper}};
    esp_train_report whole, report;
    name(output, "kept");
    options.resume = true;
    do { // until it is stopped behind a step
        stopper.asked = 0;
        stopper.at++;
        test_fails(ctx, esp_train(ctx, &options, &report), ESP_ERR_CANCELLED);
        assert_true(report.interrupted && report.steps < 3);
    } while (report.steps == 0);
    options.watch = (esp_watch){0};
    options.resume = false;
    test_fails(ctx, esp_train(ctx, &options, &report), ESP_ERR_ARGUMENT);
    options.resume = true;
    test_ok(ctx, esp_train(ctx, &options, &report));
    assert_int_equal(report.steps, 3);
    test_ok(ctx, esp_train(ctx, &options, &report));
    assert_true(report.already_done);
    options.resume = options.keep = false;
    name(output, "whole");
    test_ok(ctx, esp_train(ctx, &options, &whole));
    options.resume = true;
    test_ok(ctx, esp_train(NULL, &options, NULL));
}

/* What was made answers. */
static void test_made(void **state)
{
    (void)state;
    char path[ESPI_PATH_BYTES];
    esp_model *model;
    esp_session *session;
    const esp_answer *answers;
    const esp_input input = {.text = esp_text_of("Who was it?"), .pair = esp_text_of("It was a painter of Rome.")};
    name(path, "initial.esp");
    test_ok(ctx, esp_model_load(ctx, path, NULL, &model));
    test_ok(ctx, esp_session_new(ctx, model, NULL, &session));
    test_ok(ctx, esp_session_answer(ctx, session, &input, 1, NULL, &answers));
    assert_int_equal(answers[0].status, ESP_OK);
    assert_int_equal(answers[0].count, 1);
    esp_session_free(session);
    esp_model_free(model);
}

/* ---- what cannot be ----------------------------------------------------------------------------------------------------- */

static void test_vocabulary_refuses(void **state)
{
    (void)state;
    const char *const texts[] = {text}, *const nothing[] = {"/nowhere/text.txt"}, *const blank[] = {"/dev/null"};
    char output[ESPI_PATH_BYTES];
    name(output, "refused");
    const esp_vocabulary_options good = {.texts = texts, .text_count = 1, .output = output};
    esp_vocabulary_options bad = good;
    test_fails(ctx, esp_vocabulary_train(ctx, NULL), ESP_ERR_ARGUMENT);
    test_fails(NULL, esp_vocabulary_train(NULL, NULL), ESP_ERR_ARGUMENT);
    bad.output = NULL;
    test_fails(ctx, esp_vocabulary_train(ctx, &bad), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "texts or output are NULL");
    bad = good;
    bad.size = 5;
    test_fails(ctx, esp_vocabulary_train(ctx, &bad), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "--size: expected a whole number from 6 to 16777216, found 5");
    bad = good;
    bad.reserved[3] = 1;
    test_fails(ctx, esp_vocabulary_train(ctx, &bad), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "esp_vocabulary_options: expected zeros in its reserved members");
    bad = good;
    bad.watch.reserved[0] = 1;
    test_fails(ctx, esp_vocabulary_train(ctx, &bad), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "esp_watch");
    bad = good;
    bad.texts = nothing;
    test_fails(ctx, esp_vocabulary_train(ctx, &bad), ESP_ERR_NOT_FOUND);
    test_error_has(ctx, "/nowhere/text.txt");
    bad.texts = blank;
    test_fails(ctx, esp_vocabulary_train(ctx, &bad), ESP_ERR_FORMAT);
    test_error_has(ctx, "found no words");
    bad = good;
    bad.output = vocabulary;
    test_fails(ctx, esp_vocabulary_train(ctx, &bad), ESP_ERR_ARGUMENT);
    test_fails(NULL, esp_vocabulary_train(NULL, &bad), ESP_ERR_ARGUMENT);
    assert_false(espi_path_exists(output));
}

static void test_init_refuses(void **state)
{
    (void)state;
    char output[ESPI_PATH_BYTES];
    name(output, "refused");
    static const char *const twice[] = {"yes", "yes"};
    const esp_init_options good = {.config = config, .tokenizer = vocabulary, .output = output};
    esp_init_options bad = good;
    test_fails(ctx, esp_checkpoint_init(ctx, NULL), ESP_ERR_ARGUMENT);
    bad.config = NULL;
    test_fails(ctx, esp_checkpoint_init(ctx, &bad), ESP_ERR_ARGUMENT);
    bad = good;
    bad.head = (esp_head)17;
    test_fails(ctx, esp_checkpoint_init(ctx, &bad), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "unknown head 17");
    bad = good;
    bad.labels = 2;
    test_fails(ctx, esp_checkpoint_init(ctx, &bad), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "--labels goes with --head sequence or token");
    bad.head = ESP_HEAD_SEQUENCE;
    bad.label_names = twice;
    test_fails(ctx, esp_checkpoint_init(ctx, &bad), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "expected another name for each, found \"yes\" as name 2");
    bad = good;
    bad.tokenizer = "/nowhere";
    test_fails(ctx, esp_checkpoint_init(ctx, &bad), ESP_ERR_NOT_FOUND);
    bad = good;
    bad.config = "no-such-model";
    assert_int_not_equal(esp_checkpoint_init(ctx, &bad), ESP_OK);
    test_error_has(ctx, "no-such-model");
    assert_false(espi_path_exists(output));
}

static void test_train_refuses(void **state)
{
    (void)state;
    static const struct {
        esp_setting setting;
        const char *says;
    } bad[] = {{{"no-such", "1"}, "settings[2]: expected an option of training, found \"no-such\""},
               {{NULL, "1"}, "settings[2]: expected an option of training"},
               {{"epochs", NULL}, "--epochs: expected a value"},
               {{"epochs", "many"}, "--epochs: expected a number"},
               {{"qat", "yes"}, "--qat: expected no value"},
               {{"schedule", "up"}, "--schedule: expected"},
               {{"sparsity", "1"}, "--sparsity: expected a share below 1"},
               {{"init", "config.json"}, "found more than one"}};
    char output[ESPI_PATH_BYTES];
    name(output, "refused");
    esp_setting settings[3] = {{"task", "qa"}, {"train", data}};
    esp_train_options options = {
        .checkpoint = initial, .output = output, .settings = settings, .setting_count = ESPI_COUNT(settings)};
    for (size_t i = 0; i < ESPI_COUNT(bad); i++) {
        settings[2] = bad[i].setting;
        test_fails(ctx, esp_train(ctx, &options, NULL), ESP_ERR_ARGUMENT);
        test_error_has(ctx, bad[i].says);
        test_fails(NULL, esp_train(NULL, &options, NULL), ESP_ERR_ARGUMENT);
    }
    options.setting_count = 2;
    options.output = vocabulary;
    test_fails(ctx, esp_train(ctx, &options, NULL), ESP_ERR_ARGUMENT);
    options.output = output;
    options.reserved[0] = 1;
    test_fails(ctx, esp_train(ctx, &options, NULL), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "esp_train_options: expected zeros");
    test_fails(ctx, esp_train(ctx, NULL, NULL), ESP_ERR_ARGUMENT);
    const esp_prune_options nothing = {.checkpoint = initial, .output = output};
    test_fails(ctx, esp_prune(ctx, &nothing), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "--sparsity: expected a share above 0 and below 1, found 0");
    test_fails(NULL, esp_prune(NULL, NULL), ESP_ERR_ARGUMENT);
    assert_false(espi_path_exists(output));
}

static void test_compile_refuses(void **state)
{
    (void)state;
    char output[ESPI_PATH_BYTES];
    name(output, "refused.esp");
    const esp_compile_options good = {.checkpoint = initial, .output = output};
    esp_compile_options bad = good;
    esp_compile_report report;
    memset(&report, 1, sizeof report);
    test_fails(ctx, esp_compile(ctx, NULL, &report), ESP_ERR_ARGUMENT);
    assert_null(report.layers);
    esp_compile_report_clear(NULL);
    bad.output = text;
    test_fails(ctx, esp_compile(ctx, &bad, NULL), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "expected a new file, or a compiled one to replace, found another file");
    bad = good;
    bad.smooth = true;
    test_fails(ctx, esp_compile(ctx, &bad, NULL), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "--smooth needs --calibrate");
    bad = good;
    bad.activations = ESP_ACTIVATIONS_STATIC;
    test_fails(ctx, esp_compile(ctx, &bad, NULL), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "--activations static needs --calibrate");
    bad = good;
    bad.eval = data;
    bad.max_drop = 1.5;
    test_fails(ctx, esp_compile(ctx, &bad, NULL), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "--max-drop: expected a share from 0 to 1, found 1.5");
    bad.max_drop = 0;
    bad.precision = ESP_PRECISION_FP32;
    test_fails(ctx, esp_compile(ctx, &bad, NULL), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "--precision does not go with it");
    bad = good;
    bad.data.task = (esp_task)9;
    test_fails(ctx, esp_compile(ctx, &bad, NULL), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "unknown task 9");
    bad = good;
    bad.data.reserved[7] = 1;
    test_fails(ctx, esp_compile(ctx, &bad, NULL), ESP_ERR_ARGUMENT);
    bad = good;
    bad.checkpoint = "/nowhere";
    test_fails(NULL, esp_compile(NULL, &bad, NULL), ESP_ERR_NOT_FOUND);
    assert_false(espi_path_exists(output));
}

static void test_evaluate_refuses(void **state)
{
    (void)state;
    char predictions[ESPI_PATH_BYTES];
    name(predictions, "predictions.json");
    const esp_evaluate_options good = {.model = initial, .data_set = data};
    esp_evaluate_options bad = good;
    esp_evaluation evaluation;
    test_fails(ctx, esp_evaluate(ctx, &good, NULL), ESP_ERR_ARGUMENT);
    test_fails(ctx, esp_evaluate(ctx, NULL, &evaluation), ESP_ERR_ARGUMENT);
    esp_evaluation_clear(NULL);
    bad.model = NULL;
    test_fails(ctx, esp_evaluate(ctx, &bad, &evaluation), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "data_set, or model and predictions, are NULL");
    bad.predictions = predictions;
    test_fails(ctx, esp_evaluate(ctx, &bad, &evaluation), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "--task: expected");
    bad.data.task = ESP_TASK_QA;
    bad.limit = 3;
    test_fails(ctx, esp_evaluate(ctx, &bad, &evaluation), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "neither --save nor --limit");
    bad = good;
    bad.data.task = ESP_TASK_TAG;
    test_fails(ctx, esp_evaluate(ctx, &bad, &evaluation), ESP_ERR_UNSUPPORTED);
    bad = good;
    bad.save = data; // which it reads
    test_fails(ctx, esp_evaluate(ctx, &bad, &evaluation), ESP_ERR_ARGUMENT);
    bad = good;
    bad.data_set = "/nowhere";
    test_fails(NULL, esp_evaluate(NULL, &bad, &evaluation), ESP_ERR_NOT_FOUND);
    assert_null(evaluation.json);
}

/* ---- all together ------------------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    static const char shape[] =
        "{\"model_type\":\"distilbert\",\"vocab_size\":300,\"dim\":32,\"n_layers\":2,\"n_heads\":2,"
        "\"hidden_dim\":64,\"max_position_embeddings\":160}";
    static const char recipe[] =
        "{\"task\": \"qa\", \"batch-size\": 8, \"max-steps\": 4, \"stages\": [{\"name\": \"teacher\"}, {\"name\": "
        "\"student\", \"teacher\": \"stage:teacher\", \"hidden-weight\": 1, \"sparsity\": 0.5, \"prune-begin\": 1, "
        "\"prune-end\": 3, \"prune-every\": 1}]}";
    const struct espi_demo_corpus corpus = {
        .seed = 1, .split = ESPI_DEMO_TRAIN, .passages = 12, .questions = 2, .people = ESPI_DEMO_PEOPLE};
    ctx = esp_context_new();
    directory = test_scratch();
    name(text, "text.txt");
    name(data, "data.json");
    name(config, "config.json");
    name(vocabulary, "vocabulary");
    name(initial, "initial");
    name(trained, "trained");
    test_write(directory, "config.json", shape, strlen(shape));
    test_write(directory, "recipe.json", recipe, strlen(recipe));
    test_ok(ctx, espi_demo_corpus_write(ctx, &corpus, data, text, NULL));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_scratch_remove(directory);
    esp_context_free(ctx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_at_once),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_vocabulary_refuses),
        cmocka_unit_test(test_init_refuses),
        cmocka_unit_test(test_train_refuses),
        cmocka_unit_test(test_compile_refuses),
        cmocka_unit_test(test_evaluate_refuses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
