/* SPDX-License-Identifier: Apache-2.0
 * The figures of the demo's models, and answers of the last one, through the functions behind eval and run. */
#include "demo.h"

#include "base/clock.h"
#include "cli.h"
#include "create/open/any_model.h"
#include "eval/evaluate.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ROUNDS = 3, QUESTION = 32 }; // rounds over the rows; every so manieth dev question is shown

static const char *const row_names[DEMO_ROWS] = {ESPI_DEMO_PATH_BASELINE, ESPI_DEMO_PATH_TEACHER, ESPI_DEMO_PATH_DENSE,
                                                 ESPI_DEMO_PATH_STUDENT, ESPI_DEMO_PATH_SPARSE};
static const char *const row_titles[DEMO_ROWS] = {"bag of words", "teacher, fp32 checkpoint", "teacher, int8 dense",
                                                  "student, fp32 checkpoint", "student, int8 sparse"};

/* ---- a model and its job ------------------------------------------------------------------------------------------------ */

struct subject {
    char path[ESPI_PATH_BYTES];
    struct espi_any_model model;
    struct espi_job job;
};

static int open_subject(esp_context *ctx, const struct espi_demo *demo, const char *name, size_t threads, bool evaluate,
                        struct subject *subject)
{
    const struct espi_task_options options = {.evaluate = evaluate};
    int status = espi_path_join(ctx, subject->path, demo->directory, name);
    if (!status)
        status = espi_any_model_open(ctx, subject->path, NULL, threads, true, &subject->model);
    return status ? status
                  : espi_job_init(ctx, &subject->job, espi_task_find("qa"), subject->model.tokenizer,
                                  subject->model.engine->config, &options);
}

/* ---- EM and F1 ---------------------------------------------------------------------------------------------------------- */

static int evaluate(esp_context *ctx, const struct espi_demo *demo, const char *dev, const char *name, json_t **report)
{
    struct subject subject = {.path = ""};
    int status = open_subject(ctx, demo, name, demo->threads, true, &subject);
    const struct espi_evaluation how = {
        .job = &subject.job, .engine = subject.model.engine, .path = dev, .watch = demo->watch};
    if (!status)
        status = espi_evaluate(ctx, &how, report);
    espi_any_model_close(&subject.model);
    return status;
}

static int score_baseline(esp_context *ctx, const struct espi_demo *demo, const char *dev, json_t **report)
{
    const struct espi_task_options options = {.evaluate = true};
    char predictions[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, predictions, demo->directory, ESPI_DEMO_PATH_BASELINE);
    return status ? status
                  : espi_metric_score_file(ctx, espi_task_find("qa"), dev, predictions, &options, NULL, report);
}

/* Bytes of a compiled file, or of a checkpoint's weights. */
static size_t model_bytes(esp_context *ctx, const struct espi_demo *demo, const char *name)
{
    char path[ESPI_PATH_BYTES], weights[ESPI_PATH_BYTES];
    struct stat info;
    if (espi_path_join(ctx, path, demo->directory, name) || espi_path_join(ctx, weights, path, "model.safetensors"))
        return 0;
    return stat(espi_path_is_directory(path) ? weights : path, &info) == 0 ? (size_t)info.st_size : 0;
}

static int score_row(esp_context *ctx, const struct espi_demo *demo, const char *dev, size_t index,
                     struct demo_row *row)
{
    json_t *report = NULL;
    *row = (struct demo_row){.title = row_titles[index], .name = row_names[index]};
    int status = index == 0 ? score_baseline(ctx, demo, dev, &report) : evaluate(ctx, demo, dev, row->name, &report);
    if (status)
        return status;
    row->exact_match = json_number_value(json_object_get(report, "exact_match"));
    row->f1 = json_number_value(json_object_get(report, "f1"));
    row->questions_per_s = json_number_value(json_object_get(report, "examples_per_s"));
    row->bytes = index == 0 ? 0 : model_bytes(ctx, demo, row->name);
    json_decref(report);
    return ESP_OK;
}

/* ---- time of one question ----------------------------------------------------------------------------------------------- */

static int ignore(void *cookie, esp_context *ctx, const struct espi_answer *answer)
{
    (void)cookie;
    return answer->status ? espi_fail(ctx, answer->status, "%s", answer->error) : ESP_OK;
}

/* The first questions of the file, one after another, each alone: seconds (count). */
static int time_questions(esp_context *ctx, const struct subject *subject, const char *dev, size_t count,
                          double *seconds)
{
    struct espi_dataset *dataset = NULL;
    struct espi_pipeline *pipeline = NULL;
    struct espi_example *example;
    int status = espi_dataset_open(ctx, subject->job.task, dev, &subject->job.options, &dataset);
    if (!status)
        status = espi_pipeline_new(ctx, &subject->job, subject->model.engine, 0, ignore, NULL, &pipeline);
    for (size_t i = 0; !status && i < count; i++) {
        if ((status = espi_dataset_next(ctx, dataset, &example)) <= 0)
            break;
        double started = espi_clock();
        status = espi_pipeline_push(pipeline, ctx, example, NULL);
        if (!status)
            status = espi_pipeline_flush(pipeline, ctx);
        seconds[i] = espi_clock() - started;
    }
    espi_pipeline_free(pipeline);
    espi_dataset_close(dataset);
    return status;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* All models are open, one thread each, and take turns, so that what else the machine does meets them alike. */
static int time_rows(esp_context *ctx, const struct espi_demo *demo, const char *dev, struct demo_row rows[DEMO_ROWS])
{
    size_t count = demo->size->timed, samples = ROUNDS * count;
    struct subject *subjects = espi_calloc(ctx, DEMO_ROWS, sizeof *subjects);
    double *seconds = espi_calloc(ctx, DEMO_ROWS * samples, sizeof *seconds);
    int status = subjects && seconds ? ESP_OK : ESP_ERR_MEMORY;
    for (size_t i = 1; !status && i < DEMO_ROWS; i++)
        status = open_subject(ctx, demo, rows[i].name, 1, true, &subjects[i]);
    for (size_t round = 0; !status && round < ROUNDS; round++)
        for (size_t i = 1; !status && i < DEMO_ROWS; i++) {
            status = time_questions(ctx, &subjects[i], dev, count, seconds + i * samples + round * count);
            if (!status && cli_interrupted())
                status = espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted while measuring");
        }
    for (size_t i = 1; !status && i < DEMO_ROWS; i++) {
        qsort(seconds + i * samples, samples, sizeof *seconds, by_value);
        rows[i].ms = 1e3 * seconds[i * samples + samples / 2];
    }
    for (size_t i = 1; subjects && i < DEMO_ROWS; i++)
        espi_any_model_close(&subjects[i].model);
    free(subjects);
    free(seconds);
    return status;
}

int demo_measure(esp_context *ctx, const struct espi_demo *demo, struct demo_row rows[DEMO_ROWS])
{
    char dev[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, dev, demo->directory, ESPI_DEMO_PATH_DEV);
    for (size_t i = 0; !status && i < DEMO_ROWS; i++)
        status = score_row(ctx, demo, dev, i, &rows[i]);
    return status ? status : time_rows(ctx, demo, dev, rows);
}

/* ---- answers ------------------------------------------------------------------------------------------------------------ */

static int keep(void *cookie, esp_context *ctx, const struct espi_answer *given)
{
    struct demo_answer *answer = cookie;
    const struct espi_example *example = given->example;
    if (given->status)
        return espi_fail(ctx, given->status, "%s", given->error);
    const esp_item *item = &given->found->items[0];
    answer->score = item->score;
    answer->context = strndup(example->pair.data, example->pair.bytes);
    answer->question = strndup(example->text.data, example->text.bytes);
    answer->expected = strndup(example->answers[0].text.data, example->answers[0].text.bytes);
    answer->answer = strndup(item->text, item->text_bytes);
    return answer->context && answer->question && answer->expected && answer->answer ? ESP_OK
                                                                                     : espi_fail_memory(ctx, 0);
}

static int ask(esp_context *ctx, struct subject *subject, const char *dev, struct demo_answer answers[DEMO_ANSWERS])
{
    struct espi_dataset *dataset = NULL;
    int status = espi_dataset_open(ctx, subject->job.task, dev, &subject->job.options, &dataset);
    for (size_t asked = 0, read = 0; !status && asked < DEMO_ANSWERS; read++) {
        struct espi_pipeline *pipeline = NULL;
        struct espi_example *example;
        if ((status = espi_dataset_next(ctx, dataset, &example)) <= 0)
            break;
        if (read % QUESTION != 0) {
            espi_example_free(example);
            status = ESP_OK;
            continue;
        }
        status = espi_pipeline_new(ctx, &subject->job, subject->model.engine, 0, keep, &answers[asked++], &pipeline);
        if (status)
            espi_example_free(example);
        else
            status = espi_pipeline_push(pipeline, ctx, example, NULL);
        if (!status)
            status = espi_pipeline_flush(pipeline, ctx);
        espi_pipeline_free(pipeline);
    }
    espi_dataset_close(dataset);
    return status;
}

int demo_ask(esp_context *ctx, const struct espi_demo *demo, struct demo_answer answers[DEMO_ANSWERS])
{
    struct subject subject = {.path = ""};
    char dev[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, dev, demo->directory, ESPI_DEMO_PATH_DEV);
    if (!status)
        status = open_subject(ctx, demo, ESPI_DEMO_PATH_SPARSE, demo->threads, false, &subject);
    if (!status)
        status = ask(ctx, &subject, dev, answers);
    espi_any_model_close(&subject.model);
    return status;
}

void demo_answers_clear(struct demo_answer answers[DEMO_ANSWERS])
{
    for (size_t i = 0; i < DEMO_ANSWERS; i++) {
        free(answers[i].context);
        free(answers[i].question);
        free(answers[i].expected);
        free(answers[i].answer);
    }
}
