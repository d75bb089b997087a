/* SPDX-License-Identifier: Apache-2.0
 * The creating half of the demo: corpus, vocabulary, teacher, student, compiled files, through the functions behind the
 * commands vocab, train and compile. */
#include "demo.h"

#include "cli.h"

#include "base/json.h"
#include "base/size.h"
#include "create/compile/compile.h"
#include "create/demo/demo_baseline.h"
#include "create/demo/demo_corpus.h"
#include "create/feed/examples.h"
#include "create/init/initial.h"
#include "create/train/trainer.h"
#include "create/vocab/vocab_trainer.h"

#include <stdlib.h>

enum { VOCABULARY = 1500, CALIBRATION = 128, POSITIONS = 160 };

/* The path of something in the demo's directory. */
struct place {
    char path[ESPI_PATH_BYTES];
};

static int find(esp_context *ctx, const struct demo *demo, const char *name, struct place *place)
{
    return espi_path_join(ctx, place->path, demo->directory, name);
}

static int find_two(esp_context *ctx, const struct demo *demo, const char *a, struct place *place_a, const char *b,
                    struct place *place_b)
{
    int status = find(ctx, demo, a, place_a);
    return status ? status : find(ctx, demo, b, place_b);
}

/* ---- data --------------------------------------------------------------------------------------------------------------- */

static int write_train(esp_context *ctx, const struct demo *demo, const char *path)
{
    struct place text;
    const struct espi_demo_corpus corpus = {.seed = demo->seed,
                                            .split = ESPI_DEMO_TRAIN,
                                            .passages = demo->size->train_passages,
                                            .questions = demo->size->train_questions,
                                            .people = ESPI_DEMO_PEOPLE};
    int status = find(ctx, demo, DEMO_TEXT, &text);
    return status ? status : espi_demo_corpus_write(ctx, &corpus, path, text.path, NULL);
}

/* Short passages: a fact about each of two people. */
static int write_tags(esp_context *ctx, const struct demo *demo, const char *path)
{
    const struct espi_demo_corpus corpus = {.seed = demo->seed + 1,
                                            .split = ESPI_DEMO_TRAIN,
                                            .passages = demo->size->train_passages,
                                            .questions = demo->size->train_questions,
                                            .people = 2};
    return espi_demo_corpus_write(ctx, &corpus, NULL, NULL, path);
}

static int write_dev(esp_context *ctx, const struct demo *demo, const char *path)
{
    const struct espi_demo_corpus corpus = {
        .seed = demo->seed, .split = ESPI_DEMO_DEV, .passages = demo->size->dev_passages, .people = ESPI_DEMO_PEOPLE};
    return espi_demo_corpus_write(ctx, &corpus, path, NULL, NULL);
}

static int write_baseline(esp_context *ctx, const struct demo *demo, const char *path)
{
    struct place dev;
    int status = find(ctx, demo, DEMO_DEV, &dev);
    return status ? status : espi_demo_baseline(ctx, dev.path, path);
}

static int add_text(esp_context *ctx, struct espi_vocab_trainer *trainer, const char *path)
{
    struct espi_lines lines;
    int status = espi_lines_open(ctx, path, &lines);
    while (!status && (status = espi_lines_next(ctx, &lines)) > 0)
        status = espi_vocab_trainer_add(ctx, trainer, lines.text, lines.length);
    espi_lines_close(&lines);
    return status;
}

static int train_vocabulary(esp_context *ctx, const struct demo *demo, const char *path)
{
    struct place text;
    struct espi_vocab_trainer *trainer = NULL;
    struct espi_vocab_options options;
    espi_vocab_options_default(&options);
    options.size = VOCABULARY;
    int status = find(ctx, demo, DEMO_TEXT, &text);
    if (!status)
        status = espi_vocab_trainer_new(ctx, &options, &trainer);
    if (!status)
        status = add_text(ctx, trainer, text.path);
    if (!status)
        status = espi_vocab_trainer_train(ctx, trainer, NULL);
    if (!status)
        status = espi_vocab_trainer_write(ctx, trainer, path);
    espi_vocab_trainer_free(trainer);
    return status;
}

/* ---- training ----------------------------------------------------------------------------------------------------------- */

static int write_config(esp_context *ctx, const struct demo *demo, const char *path)
{
    const struct demo_size *size = demo->size;
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

static int write_initial(esp_context *ctx, const struct demo *demo, const char *path)
{
    const struct espi_initial initial = {.seed = demo->seed, .mimetic = true, .interrupted = cli_interrupted};
    const struct espi_head_options head = {.head = ESPI_HEAD_NONE};
    struct espi_config_changes changes = {.head = &head};
    struct espi_config config = {0};
    struct place shape, vocabulary;
    int status = find_two(ctx, demo, DEMO_CONFIG, &shape, DEMO_VOCABULARY, &vocabulary);
    if (!status)
        status = espi_initial_vocab_size(ctx, vocabulary.path, &changes.vocab_size);
    if (!status)
        status = espi_config_named(ctx, shape.path, &changes, &config);
    if (!status)
        status = espi_initial_write(ctx, &config, vocabulary.path, &initial, path);
    espi_config_clear(&config);
    return status;
}

/* What all stages of training have in common. */
static struct espi_train_options options_for(const struct demo *demo, const char *task, const char *train, size_t steps)
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

static int train(esp_context *ctx, const struct demo *demo, const struct espi_train_options *options, const char *path)
{
    char partial[ESPI_PATH_BYTES + 16];
    snprintf(partial, sizeof partial, "%s.partial", path);
    const struct espi_train_run run = {.directory = path,
                                       .resume = demo->resume && espi_path_exists(partial),
                                       .progress = demo->progress,
                                       .interrupted = cli_interrupted};
    struct espi_train_report report = {0};
    return espi_train(ctx, options, &run, &report);
}

/* Learns to find the sentence and the words that answer a question: a loss on every token, from which a small model
 * learns to match words in a fraction of the examples that two tokens of an answer would take. */
static int train_reader(esp_context *ctx, const struct demo *demo, const char *path)
{
    struct place tags, initial;
    int status = find_two(ctx, demo, DEMO_TAGS, &tags, DEMO_INITIAL, &initial);
    if (status)
        return status;
    struct espi_train_options options = options_for(demo, "tag", tags.path, demo->size->reader_steps);
    options.model = initial.path;
    options.schedule = 0; // constant
    return train(ctx, demo, &options, path);
}

static int train_teacher(esp_context *ctx, const struct demo *demo, const char *path)
{
    struct place data, reader;
    int status = find_two(ctx, demo, DEMO_TRAIN, &data, DEMO_READER, &reader);
    if (status)
        return status;
    struct espi_train_options options = options_for(demo, "qa", data.path, demo->size->teacher_steps);
    options.model = reader.path;
    return train(ctx, demo, &options, path);
}

static int train_student(esp_context *ctx, const struct demo *demo, const char *path)
{
    struct place data, teacher;
    int status = find_two(ctx, demo, DEMO_TRAIN, &data, DEMO_TEACHER, &teacher);
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

struct compiling {
    struct espi_checkpoint checkpoint;
    esp_tokenizer *tokenizer;
    struct espi_team *team;
    struct espi_examples examples;
    struct espi_scale (*points)[ESPI_POINT_COUNT];
};

static int calibrate(esp_context *ctx, const struct demo *demo, const char *data, struct compiling *c)
{
    const struct espi_task_options windows = {.evaluate = true};
    struct espi_job job;
    int status = espi_job_init(ctx, &job, espi_task_find("qa"), c->tokenizer, &c->checkpoint.config, &windows);
    if (!status)
        status = espi_examples_read(ctx, &job, data, CALIBRATION, &c->examples);
    if (!status)
        status = espi_team_new(ctx, demo->threads, &c->team);
    if (status)
        return status;
    const struct espi_calibrate_options how = {.method = ESPI_CALIBRATE_MINMAX,
                                               .pass = {.team = c->team, .interrupted = cli_interrupted}};
    c->points = espi_calloc(ctx, c->checkpoint.config.layers, sizeof *c->points);
    return c->points ? espi_calibrate(ctx, &c->checkpoint, c->examples.batches, c->examples.count, &how, c->points)
                     : ESP_ERR_MEMORY;
}

static int compile(esp_context *ctx, const struct demo *demo, const char *checkpoint, const char *path)
{
    struct compiling c = {0};
    struct place from, data;
    int status = find_two(ctx, demo, checkpoint, &from, DEMO_TRAIN, &data);
    if (!status)
        status = espi_checkpoint_read(ctx, from.path, &c.checkpoint);
    if (!status)
        status = esp_tokenizer_open(ctx, from.path, &c.tokenizer);
    if (!status)
        status = calibrate(ctx, demo, data.path, &c);
    const struct espi_compile_options how = {.sparse = ESPI_SPARSE_AUTO,
                                             .points = (const struct espi_scale(*)[ESPI_POINT_COUNT])c.points,
                                             .tokenizer = c.tokenizer};
    if (!status)
        status = espi_compile(ctx, &c.checkpoint, &how, path, NULL);
    free(c.points);
    espi_examples_clear(&c.examples);
    espi_team_free(c.team);
    esp_tokenizer_free(c.tokenizer);
    espi_checkpoint_clear(&c.checkpoint);
    return status;
}

static int compile_dense(esp_context *ctx, const struct demo *demo, const char *path)
{
    return compile(ctx, demo, DEMO_TEACHER, path);
}

static int compile_sparse(esp_context *ctx, const struct demo *demo, const char *path)
{
    return compile(ctx, demo, DEMO_STUDENT, path);
}

/* ---- all stages --------------------------------------------------------------------------------------------------------- */

/* Each makes one thing from those before; `path` is where it goes. */
static const struct stage {
    const char *name, *title;
    int (*make)(esp_context *ctx, const struct demo *demo, const char *path);
} stages[] = {
    {DEMO_TRAIN, "training questions from the grammar", write_train},
    {DEMO_TAGS, "shorter passages with tags for a first lesson", write_tags},
    {DEMO_DEV, "dev questions from the grammar", write_dev},
    {DEMO_BASELINE, "a bag of words answers the dev questions", write_baseline},
    {DEMO_VOCABULARY, "WordPiece vocabulary", train_vocabulary},
    {DEMO_CONFIG, "shape of the model", write_config},
    {DEMO_INITIAL, "random weights", write_initial},
    {DEMO_READER, "first lesson: find the words a question is about", train_reader},
    {DEMO_TEACHER, "teacher: answer questions", train_teacher},
    {DEMO_STUDENT, "student: learn from the teacher while 80 % of the weights go, in blocks of 4x1", train_student},
    {DEMO_DENSE, "compile the teacher", compile_dense},
    {DEMO_SPARSE, "compile the student", compile_sparse},
};

int demo_create(esp_context *ctx, const struct demo *demo)
{
    int status = ESP_OK;
    for (size_t i = 0; !status && i < ESPI_COUNT(stages); i++) {
        struct place place;
        status = find(ctx, demo, stages[i].name, &place);
        if (!status && demo->resume && espi_path_exists(place.path))
            continue;
        if (demo->progress)
            espi_log(ctx, ESP_LOG_INFO, "%zu of %zu: %s (%s)", i + 1, ESPI_COUNT(stages), stages[i].title, place.path);
        if (!status)
            status = stages[i].make(ctx, demo, place.path);
        if (cli_interrupted()) // a stage that was not finished has left what resuming needs
            status = espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted; the same command with --resume goes on");
    }
    return status;
}
