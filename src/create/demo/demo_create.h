/* SPDX-License-Identifier: Apache-2.0
 * The demo's models from nothing: corpus, vocabulary, teacher, student, compiled files. */
#ifndef ESPI_CREATE_DEMO_CREATE_H
#define ESPI_CREATE_DEMO_CREATE_H

#include "base/progress.h"

/* Sizes of a run. */
struct espi_demo_size {
    size_t train_passages, train_questions, dev_passages;
    size_t hidden, layers, heads, intermediate;
    size_t batch, reader_steps, teacher_steps, student_steps;
    size_t timed; // questions for the time of one
};
extern const struct espi_demo_size espi_demo_full, espi_demo_quick; // the latter is too small to learn anything

struct espi_demo {
    const char *directory;
    const struct espi_demo_size *size;
    uint64_t seed;
    size_t threads; // 0: ESPALIER_THREADS, else all this process may use
    bool resume;
    struct espi_watch watch;
};

/* What is made, in the directory. */
#define ESPI_DEMO_PATH_TRAIN      "train.json"
#define ESPI_DEMO_PATH_DEV        "dev.json"
#define ESPI_DEMO_PATH_TEXT       "text.txt"
#define ESPI_DEMO_PATH_TAGS       "evidence.conll"
#define ESPI_DEMO_PATH_CONFIG     "config.json"
#define ESPI_DEMO_PATH_BASELINE   "bag-of-words.json"
#define ESPI_DEMO_PATH_VOCABULARY "vocabulary"
#define ESPI_DEMO_PATH_INITIAL    "initial"
#define ESPI_DEMO_PATH_READER     "reader"
#define ESPI_DEMO_PATH_TEACHER    "teacher"
#define ESPI_DEMO_PATH_STUDENT    "student"
#define ESPI_DEMO_PATH_DENSE      "teacher.esp"
#define ESPI_DEMO_PATH_SPARSE     "student.esp"

/* The stages, which leave what they make under those names, complete or not at all, in a new or empty directory or, with
 * resume, in one that a demo of the same seed and size has begun. */
int espi_demo_create(esp_context *ctx, const struct espi_demo *demo) ESPI_NODISCARD;

#endif
