/* SPDX-License-Identifier: Apache-2.0
 * How well the similarities of pairs follow those that people gave. */
#include "eval/correlation.h"
#include "eval/evaluator.h"
#include "tasks/classify.h"

#include <math.h>
#include <stdlib.h>

struct similarity_metric {
    struct espi_metric base;
    double *gold, *predicted; // (count)
    size_t count, gold_capacity, predicted_capacity;
};

static void metric_free(struct espi_metric *metric)
{
    struct similarity_metric *m = (struct similarity_metric *)metric;
    free(m->gold);
    free(m->predicted);
    free(m);
}

static int metric_add(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example,
                      const struct espi_found *prediction)
{
    struct similarity_metric *m = (struct similarity_metric *)metric;
    double gold;
    int status = espi_example_number(ctx, example, &gold);
    if (status || !prediction) // a correlation has no notion of a wrong value
        return status;
    status = espi_grow(ctx, &m->gold, &m->gold_capacity, m->count + 1, sizeof(*m->gold));
    if (!status)
        status = espi_grow(ctx, &m->predicted, &m->predicted_capacity, m->count + 1, sizeof(*m->predicted));
    if (status)
        return status;
    m->gold[m->count] = gold;
    m->predicted[m->count++] = prediction->items[0].score;
    return ESP_OK;
}

static int metric_finish(esp_context *ctx, struct espi_metric *metric, struct espi_json_writer *report)
{
    const struct similarity_metric *m = (const struct similarity_metric *)metric;
    double spearman;
    int status = espi_spearman(ctx, m->gold, m->predicted, m->count, &spearman);
    if (status)
        return status;
    espi_put_number(report, "pearson", espi_pearson(m->gold, m->predicted, m->count));
    espi_put_number(report, "spearman", spearman);
    return ESP_OK;
}

int espi_similarity_metric_new(esp_context *ctx, const struct espi_job *job, struct espi_metric **out)
{
    (void)job;
    struct similarity_metric *m = espi_calloc(ctx, 1, sizeof(*m));
    *out = NULL;
    if (!m)
        return ESP_ERR_MEMORY;
    m->base.add = metric_add;
    m->base.finish = metric_finish;
    m->base.free = metric_free;
    m->base.main = "spearman";
    *out = &m->base;
    return ESP_OK;
}

static int add_line(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example, const char *text,
                    size_t bytes)
{
    char *end;
    double value = strtod(text, &end);
    if (bytes == 0)
        return espi_metric_add(ctx, metric, example, NULL);
    if (end != text + bytes || !isfinite(value))
        return espi_fail(ctx, ESP_ERR_FORMAT, "expected a similarity, found \"%.40s\"", text);
    esp_item item = {.score = value};
    return espi_metric_add(ctx, metric, example, &(struct espi_found){.items = &item, .count = 1});
}

int espi_similarity_score(esp_context *ctx, struct espi_metric *metric, struct espi_dataset *dataset,
                          const char *predictions)
{
    return espi_metric_score_lines(ctx, metric, dataset, predictions, add_line);
}
