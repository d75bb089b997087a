/* SPDX-License-Identifier: Apache-2.0 */
#include "tasks/metric.h"

#include <math.h>

int espi_metric_new(esp_context *ctx, const struct espi_task *task, const struct espi_job *job,
                    struct espi_metric **out)
{
    *out = NULL;
    int status = task->metric_new(ctx, job, out);
    if (!status) {
        (*out)->task = task;
        (*out)->job = job;
    }
    return status;
}

int espi_metric_add(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example,
                    const json_t *prediction)
{
    metric->examples++;
    metric->missing += !prediction;
    return metric->add(ctx, metric, example, prediction);
}

int espi_metric_finish(esp_context *ctx, struct espi_metric *metric, json_t **report)
{
    *report = NULL;
    if (metric->examples == 0)
        return espi_fail(ctx, ESP_ERR_FORMAT, "expected examples to score, found none");
    json_t *object =
        json_pack("{s:I, s:I}", "examples", (json_int_t)metric->examples, "missing", (json_int_t)metric->missing);
    if (!object)
        return espi_fail_memory(ctx, sizeof(json_t));
    int status = metric->finish(ctx, metric, object);
    if (status) {
        json_decref(object);
        return status;
    }
    *report = object;
    return ESP_OK;
}

void espi_metric_free(struct espi_metric *metric)
{
    if (metric)
        metric->free(metric);
}

int espi_metric_put(esp_context *ctx, json_t *report, const char *name, double value)
{
    /* NaN and infinity have no place in JSON: an undefined figure is null. */
    json_t *number = isfinite(value) ? json_real(value) : json_null();
    return json_object_set_new(report, name, number) ? espi_fail_memory(ctx, sizeof(json_t)) : ESP_OK;
}

int espi_metric_score_file(esp_context *ctx, const struct espi_task *task, const char *data, const char *predictions,
                           const struct espi_task_options *options, json_t **report)
{
    *report = NULL;
    if (!task->score)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "task %s cannot score a file of predictions", task->name);
    struct espi_dataset *dataset = NULL;
    struct espi_metric *metric = NULL;
    int status = espi_dataset_open(ctx, task, data, options, &dataset);
    if (!status)
        status = espi_metric_new(ctx, task, NULL, &metric);
    if (!status)
        status = task->score(ctx, metric, dataset, predictions);
    if (!status)
        status = espi_metric_finish(ctx, metric, report);
    espi_metric_free(metric);
    espi_dataset_close(dataset);
    return status;
}
