/* SPDX-License-Identifier: Apache-2.0
 * esp_evaluate: a model, or a file of predictions, against a data set. */
#include "base/call.h"
#include "create/open/any_model.h"
#include "eval/data_options.h"
#include "eval/evaluate.h"
#include "eval/predictions.h"

#include <stdlib.h>

static int save(void *cookie, esp_context *ctx, const struct espi_answer *answer)
{
    return espi_predictions_add(ctx, cookie, answer->example, answer->found);
}

static int run_model(esp_context *ctx, const esp_evaluate_options *o, const struct espi_any_model *model,
                     const struct espi_job *job, json_t **report)
{
    struct espi_predictions predictions = {0};
    const struct espi_evaluation how = {.job = job,
                                        .engine = model->engine,
                                        .path = o->data_set,
                                        .limit = o->limit,
                                        .batch_tokens = o->batch_tokens,
                                        .watch = espi_watch_of(&o->watch),
                                        .see = o->save ? save : NULL,
                                        .cookie = &predictions};
    int status = o->save ? espi_predictions_create(ctx, &predictions, job->task, o->save) : ESP_OK;
    if (!status)
        status = espi_evaluate(ctx, &how, report);
    if (!status && o->save)
        status = espi_predictions_commit(ctx, &predictions);
    espi_predictions_abort(&predictions);
    return status;
}

/* The model, when there is one, says what the labels of predictions mean. */
static int evaluate(esp_context *ctx, const esp_evaluate_options *o, json_t **report)
{
    struct espi_any_model model = {0};
    struct espi_job job;
    const struct espi_task *task = espi_data_task(&o->data);
    struct espi_task_options options = espi_data_task_options(&o->data);
    options.evaluate = !o->predictions;
    int status = espi_input_add(ctx, o->data_set);
    if (!status && o->model)
        status = espi_any_model_open(ctx, o->model, task, o->predictions ? 1 : o->threads, true, &model);
    if (!status && o->model) {
        task = task ? task : espi_task_for_head(model.engine->config->head);
        status = espi_job_init(ctx, &job, task, model.tokenizer, model.engine->config, &options);
    }
    if (!status && o->predictions)
        status =
            espi_metric_score_file(ctx, task, o->data_set, o->predictions, &options, o->model ? &job : NULL, report);
    else if (!status)
        status = run_model(ctx, o, &model, &job, report);
    espi_any_model_close(&model);
    return status;
}

static int check(esp_context *ctx, const esp_evaluate_options *o)
{
    int status = ESPI_RESERVED_CHECK(ctx, "esp_evaluate_options", o, reserved);
    if (!status)
        status = ESPI_RESERVED_CHECK(ctx, "esp_watch", &o->watch, reserved);
    if (!status)
        status = espi_data_options_check(ctx, &o->data);
    if (!status && (!o->data_set || (!o->model && !o->predictions)))
        status = espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_evaluate: data_set, or model and predictions, are NULL");
    if (!status && o->predictions && (o->save || o->limit))
        status =
            espi_fail(ctx, ESP_ERR_ARGUMENT, "--predictions scores a file: neither --save nor --limit goes with it");
    if (!status && o->predictions && !o->model && !o->data.task)
        status = espi_fail(ctx, ESP_ERR_ARGUMENT, "--task: expected qa, classify, tag or embed with --predictions");
    return status;
}

int esp_evaluate(esp_context *context, const esp_evaluate_options *options, esp_evaluation *out)
{
    if (!out)
        return espi_fail(context, ESP_ERR_ARGUMENT, "esp_evaluate: out is NULL");
    *out = (esp_evaluation){0};
    if (!options)
        return espi_fail(context, ESP_ERR_ARGUMENT, "esp_evaluate: options is NULL");
    struct espi_call call;
    json_t *report = NULL;
    int status = espi_call_begin(&call, context);
    if (!status)
        status = check(call.ctx, options);
    if (!status)
        status = evaluate(call.ctx, options, &report);
    if (!status) {
        out->json = espi_json_text(call.ctx, report);
        status = out->json ? ESP_OK : ESP_ERR_MEMORY;
    }
    if (!status)
        out->figure = espi_report_main(report);
    json_decref(report);
    return espi_call_end(&call, status);
}

void esp_evaluation_clear(esp_evaluation *evaluation)
{
    if (!evaluation)
        return;
    free(evaluation->json);
    *evaluation = (esp_evaluation){0};
}
