/* SPDX-License-Identifier: Apache-2.0 */
#include "create/demo/demo_create.h"

#include "base/file.h"
#include "base/json.h"
#include "base/size.h"
#include "create/demo/demo_baseline.h"
#include "create/demo/demo_corpus.h"
#include "create/train/trainer.h"

enum { VOCABULARY = 1500, CALIBRATION = 128, POSITIONS = 160 };

const struct espi_demo_size espi_demo_full = {.train_passages = 8000,
                                              .train_questions = 3,
                                              .dev_passages = 100,
                                              .hidden = 128,
                                              .layers = 4,
                                              .heads = 4,
                                              .intermediate = 512,
                                              .batch = 32,
                                              .reader_steps = 400,
                                              .teacher_steps = 800,
                                              .student_steps = 400,
                                              .timed = 100};
const struct espi_demo_size espi_demo_quick = {.train_passages = 60,
                                               .train_questions = 2,
                                               .dev_passages = 8,
                                               .hidden = 32,
                                               .layers = 2,
                                               .heads = 2,
                                               .intermediate = 64,
                                               .batch = 8,
                                               .reader_steps = 4,
                                               .teacher_steps = 4,
                                               .student_steps = 10,
                                               .timed = 5};

/* The path of something in the demo's directory. */
struct place {
    char path[ESPI_PATH_BYTES];
};

static int find(esp_context *ctx, const struct espi_demo *demo, const char *name, struct place *place)
{
    return espi_path_join(ctx, place->path, demo->directory, name);
}

static int find_two(esp_context *ctx, const struct espi_demo *demo, const char *a, struct place *place_a, const char *b,
                    struct place *place_b)
{
    int status = find(ctx, demo, a, place_a);
    return status ? status : find(ctx, demo, b, place_b);
}

/* For work that is too short to be shown. */
static esp_watch silent(const struct espi_demo *demo)
{
    return (esp_watch){.stop = demo->watch.stop, .cookie = demo->watch.cookie};
}

/* ---- data --------------------------------------------------------------------------------------------------------------- */

static int write_train(esp_context *ctx, const struct espi_demo *demo, const char *path)
{
    struct place text;
    const struct espi_demo_corpus corpus = {.seed = demo->seed,
                                            .split = ESPI_DEMO_TRAIN,
                                            .passages = demo->size->train_passages,
                                            .questions = demo->size->train_questions,
                                            .people = ESPI_DEMO_PEOPLE};
    int status = find(ctx, demo, ESPI_DEMO_PATH_TEXT, &text);
    return status ? status : espi_demo_corpus_write(ctx, &corpus, path, text.path, NULL);
}

/* Short passages: a fact about each of two people. */
static int write_tags(esp_context *ctx, const struct espi_demo *demo, const char *path)
{
    const struct espi_demo_corpus corpus = {.seed = demo->seed + 1,
                                            .split = ESPI_DEMO_TRAIN,
                                            .passages = demo->size->train_passages,
                                            .questions = demo->size->train_questions,
                                            .people = 2};
    return espi_demo_corpus_write(ctx, &corpus, NULL, NULL, path);
}

static int write_dev(esp_context *ctx, const struct espi_demo *demo, const char *path)
{
    const struct espi_demo_corpus corpus = {
        .seed = demo->seed, .split = ESPI_DEMO_DEV, .passages = demo->size->dev_passages, .people = ESPI_DEMO_PEOPLE};
    return espi_demo_corpus_write(ctx, &corpus, path, NULL, NULL);
}

static int write_baseline(esp_context *ctx, const struct espi_demo *demo, const char *path)
{
    struct place dev;
    int status = find(ctx, demo, ESPI_DEMO_PATH_DEV, &dev);
    return status ? status : espi_demo_baseline(ctx, dev.path, path);
}

static int train_vocabulary(esp_context *ctx, const struct espi_demo *demo, const char *path)
{
    struct place text;
    int status = find(ctx, demo, ESPI_DEMO_PATH_TEXT, &text);
    const char *const texts[] = {text.path};
    const esp_vocabulary_options options = {
        .texts = texts, .text_count = 1, .output = path, .size = VOCABULARY, .watch = silent(demo)};
    return status ? status : esp_vocabulary_train(ctx, &options);
}

/* ---- training ----------------------------------------------------------------------------------------------------------- */

static int write_config(esp_context *ctx, const struct espi_demo *demo, const char *path)
{
    const struct espi_demo_size *size = demo->size;
    struct espi_json_writer w = {.indent = true};
    espi_put_object(&w, NULL);
    espi_put_string(&w, "model_type", "distilbert");
    espi_put_size(&w, "vocab_size", VOCABULARY);
    espi_put_size(&w, "dim", size->hidden);
    espi_put_size(&w, "n_layers", size->layers);
    espi_put_size(&w, "n_heads", size->heads);
    espi_put_size(&w, "hidden_dim", size->intermediate);
    espi_put_size(&w, "max_position_embeddings", POSITIONS);
    espi_put_string(&w, "activation", "gelu");
    espi_put_number(&w, "dropout", 0);
    espi_put_number(&w, "attention_dropout", 0);
    espi_put_number(&w, "qa_dropout", 0);
    espi_put_integer(&w, "pad_token_id", 0);
    espi_put_object_end(&w);
    return espi_json_writer_file(ctx, &w, path);
}

static int write_initial(esp_context *ctx, const struct espi_demo *demo, const char *path)
{
    struct place shape, vocabulary;
    int status = find_two(ctx, demo, ESPI_DEMO_PATH_CONFIG, &shape, ESPI_DEMO_PATH_VOCABULARY, &vocabulary);
    const esp_init_options initial = {.config = shape.path,
                                      .tokenizer = vocabulary.path,
                                      .output = path,
                                      .seed = demo->seed,
                                      .head = ESP_HEAD_NONE,
                                      .mimetic = true,
                                      .watch = silent(demo)};
    return status ? status : esp_checkpoint_init(ctx, &initial);
}

/* What all stages of training have in common. */
static struct espi_train_options options_for(const struct espi_demo *demo, const char *task, const char *train,
                                             size_t steps)
{
    struct espi_train_options options;
    espi_train_options_default(&options);
    options.task = task;
    options.train = (struct espi_text_list){.items = {train}, .count = 1};
    options.max_steps = steps;
    options.batch_size = demo->size->batch;
    options.learning_rate = 1.5e-3;
    options.warmup = 0.05;
    options.seed = demo->seed;
    options.threads = demo->threads;
    options.save_every = 0; // an interruption saves
    return options;
}

static int train(esp_context *ctx, const struct espi_demo *demo, const struct espi_train_options *options,
                 const char *path)
{
    char partial[ESPI_PATH_BYTES + 16];
    snprintf(partial, sizeof partial, "%s.partial", path);
    const struct espi_train_run run = {
        .directory = path, .resume = demo->resume && espi_path_exists(partial), .keep = true, .watch = demo->watch};
    esp_train_report report = {0};
    return espi_train(ctx, options, &run, &report);
}

/* Learns to find the sentence and the words that answer a question: a loss on every token, from which a small model
 * learns to match words in a fraction of the examples that two tokens of an answer would take. */
static int train_reader(esp_context *ctx, const struct espi_demo *demo, const char *path)
{
    struct place tags, initial;
    int status = find_two(ctx, demo, ESPI_DEMO_PATH_TAGS, &tags, ESPI_DEMO_PATH_INITIAL, &initial);
    if (status)
        return status;
    struct espi_train_options options = options_for(demo, "tag", tags.path, demo->size->reader_steps);
    options.model = initial.path;
    options.schedule = 0; // constant
    return train(ctx, demo, &options, path);
}

static int train_teacher(esp_context *ctx, const struct espi_demo *demo, const char *path)
{
    struct place data, reader;
    int status = find_two(ctx, demo, ESPI_DEMO_PATH_TRAIN, &data, ESPI_DEMO_PATH_READER, &reader);
    if (status)
        return status;
    struct espi_train_options options = options_for(demo, "qa", data.path, demo->size->teacher_steps);
    options.model = reader.path;
    return train(ctx, demo, &options, path);
}

static int train_student(esp_context *ctx, const struct espi_demo *demo, const char *path)
{
    struct place data, teacher;
    int status = find_two(ctx, demo, ESPI_DEMO_PATH_TRAIN, &data, ESPI_DEMO_PATH_TEACHER, &teacher);
    if (status)
        return status;
    struct espi_train_options options = options_for(demo, "qa", data.path, demo->size->student_steps);
    options.model = options.teacher = teacher.path;
    options.hidden_weight = 1;
    options.learning_rate = 1e-3;
    options.sparsity = 0.8;
    options.prune_begin = 0.02;
    options.prune_end = 0.6;
    options.prune_every = 5;
    return train(ctx, demo, &options, path);
}

/* ---- compiling ---------------------------------------------------------------------------------------------------------- */

static int compile(esp_context *ctx, const struct espi_demo *demo, const char *checkpoint, const char *path)
{
    struct place from, data;
    int status = find_two(ctx, demo, checkpoint, &from, ESPI_DEMO_PATH_TRAIN, &data);
    const esp_compile_options how = {.checkpoint = from.path,
                                     .output = path,
                                     .threads = demo->threads,
                                     .calibrate = data.path,
                                     .samples = CALIBRATION,
                                     .watch = silent(demo)};
    return status ? status : esp_compile(ctx, &how, NULL);
}

static int compile_dense(esp_context *ctx, const struct espi_demo *demo, const char *path)
{
    return compile(ctx, demo, ESPI_DEMO_PATH_TEACHER, path);
}

static int compile_sparse(esp_context *ctx, const struct espi_demo *demo, const char *path)
{
    return compile(ctx, demo, ESPI_DEMO_PATH_STUDENT, path);
}

/* ---- the run's record --------------------------------------------------------------------------------------------------- */

#define RECORD "demo.json" // what a run was begun with

static bool is_quick(const struct espi_demo *demo)
{
    return demo->size == &espi_demo_quick;
}

static int write_record(esp_context *ctx, const struct espi_demo *demo, const char *path)
{
    struct espi_json_writer w = {.indent = true};
    espi_put_object(&w, NULL);
    espi_put_size(&w, "seed", demo->seed);
    espi_put_bool(&w, "quick", is_quick(demo));
    espi_put_object_end(&w);
    return espi_json_writer_file(ctx, &w, path);
}

/* What is there was begun with the same options. */
static int check_record(esp_context *ctx, const struct espi_demo *demo, const char *path)
{
    struct espi_json record;
    int64_t seed;
    bool quick;
    int status = espi_json_open_file(ctx, path, &record);
    if (status)
        return status;
    status = espi_json_get_integer(ctx, &record, "seed", 0, UINT32_MAX, &seed);
    if (!status)
        status = espi_json_get_bool(ctx, &record, "quick", &quick);
    if (!status && ((uint64_t)seed != demo->seed || quick != is_quick(demo)))
        status = espi_fail(ctx, ESP_ERR_ARGUMENT, "--resume: %s was begun with --seed %lld%s", demo->directory,
                           (long long)seed, quick ? " --quick" : "");
    espi_json_close(&record);
    return status;
}

/* A new or empty directory, or with --resume one that a demo has begun. */
static int open_directory(esp_context *ctx, const struct espi_demo *demo)
{
    char record[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, record, demo->directory, RECORD);
    if (status)
        return status;
    if (espi_path_exists(record))
        return demo->resume
                   ? check_record(ctx, demo, record)
                   : espi_fail(ctx, ESP_ERR_ARGUMENT,
                               "%s: a demo has been here; --resume goes on with it, -o takes another directory",
                               demo->directory);
    struct espi_output_dir dir; // an empty directory takes the place of a missing one
    status = espi_output_dir_create(ctx, &dir, demo->directory);
    if (!status)
        status = espi_output_dir_commit(ctx, &dir);
    return status ? status : write_record(ctx, demo, record);
}

/* ---- all stages --------------------------------------------------------------------------------------------------------- */

/* Each makes one thing from those before; `path` is where it goes. */
static const struct stage {
    const char *name, *title;
    int (*make)(esp_context *ctx, const struct espi_demo *demo, const char *path);
} stages[] = {
    {ESPI_DEMO_PATH_TRAIN, "training questions from the grammar", write_train},
    {ESPI_DEMO_PATH_TAGS, "shorter passages with tags for a first lesson", write_tags},
    {ESPI_DEMO_PATH_DEV, "dev questions from the grammar", write_dev},
    {ESPI_DEMO_PATH_BASELINE, "a bag of words answers the dev questions", write_baseline},
    {ESPI_DEMO_PATH_VOCABULARY, "WordPiece vocabulary", train_vocabulary},
    {ESPI_DEMO_PATH_CONFIG, "shape of the model", write_config},
    {ESPI_DEMO_PATH_INITIAL, "random weights", write_initial},
    {ESPI_DEMO_PATH_READER, "first lesson: find the words a question is about", train_reader},
    {ESPI_DEMO_PATH_TEACHER, "teacher: answer questions", train_teacher},
    {ESPI_DEMO_PATH_STUDENT, "student: learn from the teacher while 80 % of the weights go, in blocks of 4x1",
     train_student},
    {ESPI_DEMO_PATH_DENSE, "compile the teacher", compile_dense},
    {ESPI_DEMO_PATH_SPARSE, "compile the student", compile_sparse},
};

int espi_demo_create(esp_context *ctx, const struct espi_demo *demo)
{
    int status = open_directory(ctx, demo);
    for (size_t i = 0; !status && i < ESPI_COUNT(stages); i++) {
        struct place place;
        status = find(ctx, demo, stages[i].name, &place);
        if (!status && demo->resume && espi_path_exists(place.path))
            continue;
        if (demo->watch.show)
            espi_log(ctx, ESP_LOG_INFO, "%zu of %zu: %s (%s)", i + 1, ESPI_COUNT(stages), stages[i].title, place.path);
        if (!status)
            status = stages[i].make(ctx, demo, place.path);
        if (espi_watch_stops(&demo->watch)) // a stage that was not finished has left what resuming needs
            status = espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted; the same command with --resume goes on");
    }
    return status;
}
