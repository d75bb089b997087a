/* SPDX-License-Identifier: Apache-2.0
 * A task on a model that is made up: a small vocabulary, and an engine whose results a test writes itself. */
#ifndef ESPI_TEST_TASK_FIXTURE_H
#define ESPI_TEST_TASK_FIXTURE_H

#include "support.h"

#include "eval/dataset.h"
#include "eval/metric.h"
#include "tasks/pipeline.h"

struct fixture;

/* Writes the results of a batch into wanted->out. */
typedef void fixture_fill(struct fixture *fixture, const struct espi_batch *batch, const struct espi_wanted *wanted);

struct fixture {
    struct espi_engine engine; // first: the engine is the fixture
    esp_context *ctx;
    const char *directory;
    esp_tokenizer *tokenizer;
    struct espi_config config;
    struct espi_job job;
    fixture_fill *fill;
    size_t runs, most_tokens, most_sequences; // batches seen
    json_t *results;                          // of fixture_run: one per example, a string for an error
};

/* Words of the vocabulary, from id 5 on: "the cat sat on a mat who is it play ##ing ##ed . , ' s 1 2 3 4 john smith
 * lives in new york ##s ##er". Ids 0 to 4: [PAD] [UNK] [CLS] [SEP] [MASK]. */
void fixture_open(struct fixture *fixture, enum espi_head head, size_t labels, const char *const *label_names,
                  fixture_fill *fill);
void fixture_close(struct fixture *fixture);
/* The id of a word of the vocabulary. */
int32_t fixture_id(const struct fixture *fixture, const char *word);

/* Initialises fixture->job; fails the test when that fails. */
void fixture_job(struct fixture *fixture, const char *task, const struct espi_task_options *options);
/* Runs lines of JSON through a pipeline (batch_tokens as given) and returns fixture->results. */
const json_t *fixture_run(struct fixture *fixture, size_t batch_tokens, const char *const *lines, size_t count);
/* The only result of one line. */
const json_t *fixture_run_one(struct fixture *fixture, const char *line);
/* Runs a data set through pipeline and metric; the caller owns the report. */
json_t *fixture_evaluate(struct fixture *fixture, const char *path);

/* Compares a value with JSON text (single quotes for double ones); reals may differ by 1e-7. */
void test_json(const json_t *value, const char *expected);
/* Asserts that two numbers differ by at most 1e-12 of the second. */
#define test_near(found, expected) test_nearly(found, expected, __FILE__, __LINE__)
void test_nearly(double found, double expected, const char *file, int line);

/* Asserts that an answer's "score", printed as a float, is that one. */
#define test_score(answer, expected) test_score_nearly(answer, expected, __FILE__, __LINE__)
void test_score_nearly(const json_t *object, double expected, const char *file, int line);

double test_number(const json_t *object, const char *key);

#endif
