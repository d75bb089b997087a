/* SPDX-License-Identifier: Apache-2.0
 * A small model from nothing, without the command: vocabulary, first weights, a teacher, a student that learns from it while most
 * of its weights go, a compiled file, and what each of them is worth.
 *   create DIR         DIR has what `espalier demo` writes: text.txt, config.json, evidence.conll, train.json, dev.json
 *   create DIR STEPS   of each training; the default, 400, takes minutes
 * Everything goes to DIR/create, which is new. Ctrl-C ends it, and leaves only what was finished. */
#include <espalier_create.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    (void)signal;
    interrupted = 1;
}

static bool stop(void *cookie)
{
    (void)cookie;
    return interrupted;
}

static void show(void *cookie, const esp_progress *progress)
{
    (void)cookie;
    if (progress->last)
        printf("%s: %zu %s in %.1f s\n", progress->label, progress->done, progress->unit, progress->seconds);
}

enum { PATH_BYTES = 4096 };

/* Paths of the run. */
struct places {
    char text[PATH_BYTES], config[PATH_BYTES], tags[PATH_BYTES], train[PATH_BYTES], dev[PATH_BYTES];
    char vocabulary[PATH_BYTES], initial[PATH_BYTES], reader[PATH_BYTES], teacher[PATH_BYTES], student[PATH_BYTES],
        file[PATH_BYTES];
};

static const esp_watch watch = {.show = show, .stop = stop};

static int make_first_weights(esp_context *context, const struct places *places)
{
    const char *const texts[] = {places->text};
    int status = esp_vocabulary_train(
        context, &(esp_vocabulary_options){
                     .texts = texts, .text_count = 1, .output = places->vocabulary, .size = 1500, .watch = watch});
    if (status)
        return status;
    return esp_checkpoint_init(context, &(esp_init_options){.config = places->config,
                                                            .tokenizer = places->vocabulary,
                                                            .output = places->initial,
                                                            .head = ESP_HEAD_NONE,
                                                            .mimetic = true,
                                                            .watch = watch});
}

static int train(esp_context *context, const char *from, const char *to, const esp_setting *settings, size_t count,
                 esp_train_report *report)
{
    return esp_train(
        context,
        &(esp_train_options){
            .checkpoint = from, .output = to, .settings = settings, .setting_count = count, .watch = watch},
        report);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* First a lesson on every word of a passage, then on questions. */
static int train_teacher(esp_context *context, const struct places *places, const char *steps)
{
    const esp_setting words[] = {{"task", "tag"},
                                 {"train", places->tags},
                                 {"max-steps", steps},
                                 {"learning-rate", "1.5e-3"},
                                 {"schedule", "constant"}};
    const esp_setting questions[] = {{"task", "qa"},
                                     {"train", places->train},
                                     {"max-steps", steps},
                                     {"learning-rate", "1.5e-3"},
                                     {"warmup", "0.05"}};
    int status = train(context, places->initial, places->reader, words, COUNT(words), NULL);
    return status ? status : train(context, places->reader, places->teacher, questions, COUNT(questions), NULL);
}

/* Distillation and pruning are settings of training. */
static int train_student(esp_context *context, const struct places *places, const char *steps)
{
    const esp_setting settings[] = {{"task", "qa"},
                                    {"train", places->train},
                                    {"max-steps", steps},
                                    {"learning-rate", "1e-3"},
                                    {"teacher", places->teacher},
                                    {"hidden-weight", "1"},
                                    {"sparsity", "0.8"},
                                    {"prune-begin", "0.02"},
                                    {"prune-end", "0.6"},
                                    {"prune-every", "1"}};
    esp_train_report report;
    int status = train(context, places->teacher, places->student, settings, COUNT(settings), &report);
    if (!status)
        printf("student: %.0f %% of the weights are gone, loss %.3f\n", 100 * report.sparsity, report.loss);
    return status;
}

static int compile(esp_context *context, const struct places *places)
{
    esp_compile_report report;
    int status = esp_compile(context,
                             &(esp_compile_options){.checkpoint = places->student,
                                                    .output = places->file,
                                                    .calibrate = places->train,
                                                    .samples = 64,
                                                    .watch = watch},
                             &report);
    size_t sparse = 0;
    for (size_t i = 0; i < report.layer_count; i++)
        sparse += strcmp(report.layers[i].precision, "int8-sparse") == 0;
    if (!status)
        printf("%s: %zu bytes, %zu of %zu layers sparse\n", places->file, report.file_bytes, sparse,
               report.layer_count);
    esp_compile_report_clear(&report);
    return status;
}

static int evaluate(esp_context *context, const struct places *places, const char *model)
{
    esp_evaluation evaluation;
    int status = esp_evaluate(context, &(esp_evaluate_options){.model = model, .data_set = places->dev, .watch = watch},
                              &evaluation);
    if (!status)
        printf("%s: F1 %.1f\n", model, evaluation.figure);
    esp_evaluation_clear(&evaluation);
    return status;
}

static void find_places(const char *directory, struct places *places)
{
    snprintf(places->text, PATH_BYTES, "%s/text.txt", directory);
    snprintf(places->config, PATH_BYTES, "%s/config.json", directory);
    snprintf(places->tags, PATH_BYTES, "%s/evidence.conll", directory);
    snprintf(places->train, PATH_BYTES, "%s/train.json", directory);
    snprintf(places->dev, PATH_BYTES, "%s/dev.json", directory);
    snprintf(places->vocabulary, PATH_BYTES, "%s/create/vocabulary", directory);
    snprintf(places->initial, PATH_BYTES, "%s/create/initial", directory);
    snprintf(places->reader, PATH_BYTES, "%s/create/reader", directory);
    snprintf(places->teacher, PATH_BYTES, "%s/create/teacher", directory);
    snprintf(places->student, PATH_BYTES, "%s/create/student", directory);
    snprintf(places->file, PATH_BYTES, "%s/create/student.esp", directory);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s DIR [STEPS]\n", argv[0]);
        return 2;
    }
    const char *steps = argc > 2 ? argv[2] : "400";
    char directory[PATH_BYTES];
    struct places places;
    find_places(argv[1], &places);
    snprintf(directory, sizeof directory, "%s/create", argv[1]);
    if (mkdir(directory, 0777)) {
        perror(directory);
        return 1;
    }
    signal(SIGINT, on_signal);
    esp_context *context = esp_context_new();
    int status = make_first_weights(context, &places);
    if (!status)
        status = train_teacher(context, &places, steps);
    if (!status)
        status = train_student(context, &places, steps);
    if (!status)
        status = compile(context, &places);
    if (!status)
        status = evaluate(context, &places, places.teacher);
    if (!status)
        status = evaluate(context, &places, places.file);
    if (status)
        fprintf(stderr, "%s\n", esp_last_error(context));
    esp_context_free(context);
    return status ? 1 : 0;
}
