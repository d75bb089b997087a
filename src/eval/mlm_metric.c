/* SPDX-License-Identifier: Apache-2.0
 * Loss, perplexity and accuracy of masked tokens, over all tokens of a data set. */
#include "base/memory.h"
#include "eval/evaluator.h"

#include <math.h>
#include <stdlib.h>

struct mlm_metric {
    struct espi_metric base;
    double loss, predicted, correct;
};

static void metric_free(struct espi_metric *metric)
{
    free(metric);
}

static int metric_add(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example,
                      const struct espi_found *prediction)
{
    (void)ctx, (void)example;
    struct mlm_metric *m = (struct mlm_metric *)metric;
    if (!prediction)
        return ESP_OK;
    m->loss += prediction->loss;
    m->predicted += (double)prediction->predicted;
    m->correct += (double)prediction->correct;
    return ESP_OK;
}

static int metric_finish(esp_context *ctx, struct espi_metric *metric, struct espi_json_writer *report)
{
    (void)ctx;
    const struct mlm_metric *m = (const struct mlm_metric *)metric;
    double loss = m->loss / m->predicted;
    espi_put_number(report, "loss", loss);
    espi_put_number(report, "perplexity", exp(loss));
    espi_put_number(report, "accuracy", m->correct / m->predicted);
    espi_put_size(report, "predicted", (size_t)m->predicted);
    return ESP_OK;
}

int espi_mlm_metric_new(esp_context *ctx, const struct espi_job *job, struct espi_metric **out)
{
    (void)job;
    struct mlm_metric *m = espi_calloc(ctx, 1, sizeof(*m));
    *out = NULL;
    if (!m)
        return ESP_ERR_MEMORY;
    m->base.add = metric_add;
    m->base.finish = metric_finish;
    m->base.free = metric_free;
    m->base.main = "accuracy";
    *out = &m->base;
    return ESP_OK;
}
