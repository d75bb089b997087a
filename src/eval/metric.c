/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/metric.h"

#include "base/file.h"
#include "base/size.h"
#include "eval/evaluator.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int espi_metric_new(esp_context *ctx, const struct espi_task *task, const struct espi_job *job,
                    struct espi_metric **out)
{
    *out = NULL;
    int status = espi_evaluator_of(task)->metric_new(ctx, job, out);
    if (!status) {
        (*out)->task = task;
        (*out)->job = job;
    }
    return status;
}

int espi_metric_add(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example,
                    const struct espi_found *prediction)
{
    metric->examples++;
    metric->missing += !prediction;
    return metric->add(ctx, metric, example, prediction);
}

int espi_metric_put(esp_context *ctx, struct espi_metric *metric, struct espi_json_writer *report)
{
    if (metric->examples == 0)
        return espi_fail(ctx, ESP_ERR_FORMAT, "expected examples to score, found none");
    espi_put_size(report, "examples", metric->examples);
    espi_put_size(report, "missing", metric->missing);
    int status = metric->finish(ctx, metric, report);
    espi_put_string(report, "metric", metric->main);
    return status;
}

int espi_metric_finish(esp_context *ctx, struct espi_metric *metric, json_t **report)
{
    struct espi_json_writer writer = {0};
    *report = NULL;
    espi_put_object(&writer, NULL);
    int status = espi_metric_put(ctx, metric, &writer);
    espi_put_object_end(&writer);
    if (!status)
        return espi_json_written(ctx, &writer, report);
    free(writer.data);
    return status;
}

void espi_metric_free(struct espi_metric *metric)
{
    if (metric)
        metric->free(metric);
}

/* The text behind the last tab of a line; a header of a submission is told by its name. */
static const char *last_column(const struct espi_lines *lines)
{
    const char *tab = memrchr(lines->text, '\t', lines->length);
    return tab ? tab + 1 : lines->text;
}

static bool is_header(const struct espi_lines *lines)
{
    static const char *const names[] = {"prediction", "label", "labels", "score"};
    for (size_t i = 0; lines->number == 1 && i < ESPI_COUNT(names); i++) {
        if (!strcasecmp(last_column(lines), names[i]))
            return true;
    }
    return false;
}

static int score_lines(esp_context *ctx, struct espi_metric *metric, struct espi_dataset *dataset,
                       struct espi_lines *lines, espi_line_fn *add)
{
    int status = ESP_OK;
    while (!status) {
        struct espi_example *example = NULL;
        int line = espi_lines_next(ctx, lines);
        if (line > 0 && is_header(lines))
            continue;
        status = line < 0 ? line : espi_dataset_next(ctx, dataset, &example);
        if (status < 0)
            break;
        if (line != status) {
            espi_example_free(example);
            return espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected a prediction for each example, found %s", lines->name,
                             line ? "more" : "fewer");
        }
        if (status == 0)
            break;
        const char *text = last_column(lines);
        status = add(ctx, metric, example, text, lines->length - (size_t)(text - lines->text));
        if (status)
            espi_fail_prefix(ctx, status, "%s: line %zu", lines->name, lines->number);
        espi_example_free(example);
    }
    return status;
}

int espi_metric_score_lines(esp_context *ctx, struct espi_metric *metric, struct espi_dataset *dataset,
                            const char *predictions, espi_line_fn *add)
{
    struct espi_lines lines = {0};
    int status = espi_lines_open(ctx, predictions, &lines);
    if (!status)
        status = score_lines(ctx, metric, dataset, &lines, add);
    espi_lines_close(&lines);
    return status;
}

int espi_metric_score_file(esp_context *ctx, const struct espi_task *task, const char *data, const char *predictions,
                           const struct espi_task_options *options, const struct espi_job *job, json_t **report)
{
    *report = NULL;
    espi_score_fn *score = espi_evaluator_of(task)->score;
    if (!score)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "task %s cannot score a file of predictions", task->name);
    struct espi_dataset *dataset = NULL;
    struct espi_metric *metric = NULL;
    int status = espi_dataset_open(ctx, task, data, options, &dataset);
    if (!status)
        status = espi_metric_new(ctx, task, job, &metric);
    if (!status)
        status = score(ctx, metric, dataset, predictions);
    if (!status)
        status = espi_metric_finish(ctx, metric, report);
    espi_metric_free(metric);
    espi_dataset_close(dataset);
    return status;
}
