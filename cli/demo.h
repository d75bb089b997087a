/* SPDX-License-Identifier: Apache-2.0
 * What the files of `espalier demo` share: the run, its sizes, and the figures of its models. */
#ifndef ESPI_CLI_DEMO_H
#define ESPI_CLI_DEMO_H

#include "base/file.h"
#include "create/train/train_options.h"

#include <jansson.h>

/* Sizes of a run. */
struct demo_size {
    size_t train_passages, train_questions, dev_passages;
    size_t hidden, layers, heads, intermediate;
    size_t batch, reader_steps, teacher_steps, student_steps;
    size_t timed; // questions for the time of one
};

struct demo {
    const char *directory;
    const struct demo_size *size;
    uint64_t seed;
    size_t threads; // 0: ESPALIER_THREADS, else all this process may use
    bool quick, resume;
    FILE *progress; // NULL: silent
};

/* What is made, in DIR. */
#define DEMO_TRAIN      "train.json"
#define DEMO_DEV        "dev.json"
#define DEMO_TEXT       "text.txt"
#define DEMO_TAGS       "evidence.conll"
#define DEMO_CONFIG     "config.json"
#define DEMO_BASELINE   "bag-of-words.json"
#define DEMO_VOCABULARY "vocabulary"
#define DEMO_INITIAL    "initial"
#define DEMO_READER     "reader"
#define DEMO_TEACHER    "teacher"
#define DEMO_STUDENT    "student"
#define DEMO_DENSE      "teacher.esp"
#define DEMO_SPARSE     "student.esp"

/* The stages, which leave what they make under those names, complete or not at all. ESP_ERR_CANCELLED: interrupted. */
int demo_create(esp_context *ctx, const struct demo *demo) ESPI_NODISCARD;

/* A row of the table. */
struct demo_row {
    const char *title, *name; // name: in DIR
    double exact_match, f1;   // percent
    size_t bytes;             // of the weights' file; 0: none
    double ms;                // a question, alone, one thread (median); 0: not measured
    double questions_per_s;   // many at a time, all threads
};
enum { DEMO_ROWS = 5, DEMO_ANSWERS = 3 };

/* A question answered by the sparse file. */
struct demo_answer {
    char *context, *question, *expected, *answer;
    double score;
};

/* Figures of all rows: EM and F1 of each on the dev questions, then the times, turn by turn. */
int demo_measure(esp_context *ctx, const struct demo *demo, struct demo_row rows[DEMO_ROWS]) ESPI_NODISCARD;
/* Three dev questions through the way `espalier run` takes. Free with demo_answers_clear. */
int demo_ask(esp_context *ctx, const struct demo *demo, struct demo_answer answers[DEMO_ANSWERS]) ESPI_NODISCARD;
void demo_answers_clear(struct demo_answer answers[DEMO_ANSWERS]);

#endif
