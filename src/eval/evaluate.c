/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/evaluate.h"

#include "base/clock.h"

#include <stdlib.h>

struct evaluating {
    const struct espi_evaluation *how;
    struct espi_dataset *dataset;
    struct espi_metric *metric;
    struct espi_pipeline *pipeline;
    struct espi_progress progress;
    size_t failed; // examples without an answer
};

static int deliver(void *cookie, esp_context *ctx, const struct espi_answer *answer)
{
    struct evaluating *e = cookie;
    if (answer->status == ESP_ERR_MEMORY) // that says nothing about the model
        return espi_fail(ctx, ESP_ERR_MEMORY, "%s", answer->error);
    if (answer->status) {
        espi_log(ctx, ESP_LOG_WARNING, "%s", answer->error);
        e->failed++;
    }
    int status = espi_metric_add(ctx, e->metric, answer->example, answer->found);
    if (!status && e->how->see)
        status = e->how->see(e->how->cookie, ctx, answer);
    espi_progress_update(&e->progress, e->progress.done + 1, NULL);
    return status;
}

/* Reads to the end, the limit or an interruption. */
static int push_examples(esp_context *ctx, struct evaluating *e)
{
    for (size_t pushed = 0; !e->how->limit || pushed < e->how->limit; pushed++) {
        struct espi_example *example;
        if (espi_watch_stops(&e->how->watch))
            return espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted after %zu examples", e->progress.done);
        int status = espi_dataset_next(ctx, e->dataset, &example);
        if (status <= 0)
            return status;
        status = espi_pipeline_push(e->pipeline, ctx, example, NULL);
        if (status)
            return status;
    }
    return ESP_OK;
}

static int report_on(esp_context *ctx, struct evaluating *e, double seconds, json_t **report)
{
    struct espi_json_writer w = {0};
    espi_put_object(&w, NULL);
    int status = espi_metric_put(ctx, e->metric, &w);
    espi_put_string(&w, "task", e->how->job->task->name);
    espi_put_size(&w, "failed", e->failed);
    espi_put_number(&w, "seconds", seconds);
    espi_put_number(&w, "examples_per_s", (double)e->progress.done / seconds);
    espi_put_object_end(&w);
    if (!status)
        return espi_json_written(ctx, &w, report);
    free(w.data);
    return status;
}

static int run_all(esp_context *ctx, struct evaluating *e, json_t **report)
{
    double started = espi_clock();
    int status = push_examples(ctx, e);
    if (!status)
        status = espi_pipeline_flush(e->pipeline, ctx);
    espi_progress_end(&e->progress, NULL);
    double seconds = espi_clock() - started;
    if (!status && e->progress.done == 0)
        status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected examples, found none", e->how->path);
    if (!status && e->failed == e->progress.done)
        status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: none of the %zu examples could be used", e->how->path, e->failed);
    return status ? status : report_on(ctx, e, seconds, report);
}

static int prepare(esp_context *ctx, struct evaluating *e)
{
    const struct espi_evaluation *how = e->how;
    const struct espi_task *task = how->job->task;
    int status = espi_dataset_open(ctx, task, how->path, &how->job->options, &e->dataset);
    if (!status)
        status = espi_metric_new(ctx, task, how->job, &e->metric);
    if (!status)
        status = espi_pipeline_new(ctx, how->job, how->engine, how->batch_tokens, deliver, e, &e->pipeline);
    if (status)
        return status;
    size_t total = how->limit && e->dataset->total > how->limit ? how->limit : e->dataset->total;
    e->progress = (struct espi_progress){.watch = how->watch, .label = "eval", .unit = "examples", .total = total};
    espi_progress_update(&e->progress, 0, NULL);
    return ESP_OK;
}

int espi_evaluate(esp_context *ctx, const struct espi_evaluation *evaluation, json_t **report)
{
    struct evaluating e = {.how = evaluation};
    *report = NULL;
    int status = prepare(ctx, &e);
    if (!status)
        status = run_all(ctx, &e, report);
    espi_pipeline_free(e.pipeline);
    espi_metric_free(e.metric);
    espi_dataset_close(e.dataset);
    return status;
}

double espi_report_main(const json_t *report)
{
    return json_number_value(json_object_get(report, json_string_value(json_object_get(report, "metric"))));
}
