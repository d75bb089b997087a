/* SPDX-License-Identifier: Apache-2.0
 * espalier eval MODEL --task T --data F: the task's official metric. */
#include "cli.h"
#include "model.h"
#include "predictions.h"
#include "task_options.h"

#include "base/clock.h"
#include "base/progress.h"
#include "tasks/metric.h"
#include "tasks/pipeline.h"

#include <string.h>

struct options {
    const char *model, *data, *predictions, *save;
    bool json, quiet;
    size_t limit;
    struct cli_task_options task;
};

enum { OPTION_SAVE = 2000, OPTION_LIMIT };

static const struct argp_option option_table[] = {
    {"data", 'd', "FILE", 0, "the data set (required)", 0},
    {"predictions", 'p', "FILE", 0, "score this prediction file; a MODEL is not run, it tells the labels", 0},
    {"save", OPTION_SAVE, "FILE", 0, "write the model's predictions, as --predictions reads them", 0},
    {"limit", OPTION_LIMIT, "N", 0, "use only the first N examples", 0},
    {"json", 'j', NULL, 0, "print the report as one JSON object", 0},
    {"quiet", 'q', NULL, 0, "no progress on standard error", 0},
    {0},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'd':
        options->data = argument;
        break;
    case 'p':
        options->predictions = argument;
        break;
    case OPTION_SAVE:
        options->save = argument;
        break;
    case OPTION_LIMIT:
        options->limit = cli_parse_size(state, "limit", argument, 1, SIZE_MAX);
        break;
    case 'j':
        options->json = true;
        break;
    case 'q':
        options->quiet = true;
        break;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->task;
        break;
    case ARGP_KEY_ARG:
        cli_take_argument(state, "MODEL", argument, &options->model);
        break;
    case ARGP_KEY_END:
        if (!options->data)
            argp_error(state, "--data: expected a data file");
        if (!options->model && !options->predictions)
            argp_error(state, "expected a MODEL, or --predictions with a file to score");
        if (options->predictions && (options->save || options->limit))
            argp_error(state, "--predictions scores a file: neither --save nor --limit goes with it");
        if (options->predictions && !options->model && !options->task.task)
            argp_error(state, "--task: expected qa, classify, tag or embed with --predictions");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

struct evaluating {
    const struct options *options;
    struct espi_job job;
    struct espi_dataset *dataset;
    struct espi_metric *metric;
    struct espi_pipeline *pipeline;
    struct cli_predictions predictions;
    struct espi_progress progress;
    size_t failed; // examples without an answer: they count as wrong
};

static int deliver(void *cookie, esp_context *ctx, const struct espi_answer *answer)
{
    struct evaluating *e = cookie;
    if (answer->status) {
        espi_log(ctx, ESP_LOG_WARNING, "%s", answer->error);
        e->failed++;
    }
    int status = espi_metric_add(ctx, e->metric, answer->example, answer->result);
    if (!status && e->options->save)
        status = cli_predictions_add(ctx, &e->predictions, answer->example, answer->result);
    espi_progress_update(&e->progress, e->progress.done + 1, NULL);
    return status;
}

/* Reads to the end, the limit or an interruption. */
static int push_examples(esp_context *ctx, struct evaluating *e)
{
    size_t pushed = 0;
    while (!e->options->limit || pushed < e->options->limit) {
        struct espi_example *example;
        if (cli_interrupted())
            return espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted after %zu examples", e->progress.done);
        int status = espi_dataset_next(ctx, e->dataset, &example);
        if (status <= 0)
            return status;
        status = espi_pipeline_push(e->pipeline, ctx, example, NULL);
        if (status)
            return status;
        pushed++;
    }
    return ESP_OK;
}

static int evaluate(esp_context *ctx, struct evaluating *e, json_t **report)
{
    double started = espi_clock();
    int status = push_examples(ctx, e);
    if (!status)
        status = espi_pipeline_flush(e->pipeline, ctx);
    espi_progress_end(&e->progress, NULL);
    double seconds = espi_clock() - started;
    if (!status && e->progress.done == 0)
        status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected examples, found none", e->options->data);
    if (!status && e->failed == e->progress.done)
        status =
            espi_fail(ctx, ESP_ERR_FORMAT, "%s: none of the %zu examples could be used", e->options->data, e->failed);
    if (!status)
        status = espi_metric_finish(ctx, e->metric, report);
    if (status)
        return status;
    json_object_set_new(*report, "task", json_string(e->job.task->name));
    json_object_set_new(*report, "failed", json_integer((json_int_t)e->failed));
    json_object_set_new(*report, "seconds", json_real(seconds));
    json_object_set_new(*report, "examples_per_s", json_real((double)e->progress.done / seconds));
    return e->options->save ? cli_predictions_commit(ctx, &e->predictions) : ESP_OK;
}

static int prepare(esp_context *ctx, struct evaluating *e, struct cli_model *model)
{
    const struct options *options = e->options;
    const struct espi_task *task =
        options->task.task ? options->task.task : espi_task_for_head(model->engine->config->head);
    struct espi_task_options task_options = options->task.task_options;
    task_options.evaluate = true;
    int status = espi_job_init(ctx, &e->job, task, model->tokenizer, model->engine->config, &task_options);
    if (!status)
        status = espi_dataset_open(ctx, task, options->data, &task_options, &e->dataset);
    if (!status)
        status = espi_metric_new(ctx, task, &e->job, &e->metric);
    if (!status)
        status = espi_pipeline_new(ctx, &e->job, model->engine, options->task.batch_tokens, deliver, e, &e->pipeline);
    if (!status && options->save)
        status = cli_predictions_create(ctx, &e->predictions, task, options->save);
    if (status)
        return status;
    size_t total = options->limit && e->dataset->total > options->limit ? options->limit : e->dataset->total;
    e->progress = (struct espi_progress){
        .stream = options->quiet ? NULL : stderr, .label = "eval", .unit = "examples", .total = total};
    espi_progress_update(&e->progress, 0, NULL);
    return ESP_OK;
}

static int evaluate_model(esp_context *ctx, const struct options *options, json_t **report)
{
    struct evaluating e = {.options = options};
    struct cli_model model = {0};
    int status = cli_model_open(ctx, options->model, options->task.threads, true, &model);
    if (!status)
        status = prepare(ctx, &e, &model);
    if (!status)
        status = evaluate(ctx, &e, report);
    cli_predictions_abort(&e.predictions);
    espi_pipeline_free(e.pipeline);
    espi_metric_free(e.metric);
    espi_dataset_close(e.dataset);
    cli_model_close(&model);
    return status;
}

/* Scores a file of predictions; the model, when there is one, says what its labels mean. */
static int evaluate_predictions(esp_context *ctx, const struct options *options, json_t **report)
{
    struct cli_model model = {0};
    struct espi_job job;
    const struct espi_task *task = options->task.task;
    int status = options->model ? cli_model_open(ctx, options->model, 1, true, &model) : ESP_OK;
    if (!status && options->model) {
        task = task ? task : espi_task_for_head(model.engine->config->head);
        status = espi_job_init(ctx, &job, task, model.tokenizer, model.engine->config, &options->task.task_options);
    }
    if (!status)
        status = espi_metric_score_file(ctx, task, options->data, options->predictions, &options->task.task_options,
                                        options->model ? &job : NULL, report);
    cli_model_close(&model);
    return status;
}

/* "exact_match     86.206", one figure a line; nested figures indented below their name. */
static void print_report(const json_t *report, int indent)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)report, key, value)
    {
        printf("%*s%-*s", indent, "", 20 - indent, key);
        if (json_is_object(value)) {
            putchar('\n');
            print_report(value, indent + 2);
        } else if (json_is_real(value)) {
            printf(" %.6g\n", json_real_value(value));
        } else if (json_is_integer(value)) {
            printf(" %lld\n", (long long)json_integer_value(value));
        } else {
            printf(" %s\n", json_is_string(value) ? json_string_value(value) : "");
        }
    }
}

int cmd_eval(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cli_task_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        option_table,
        parse_option,
        "[MODEL]",
        "Scores a model, or an existing prediction file, on a data set with the task's official metric."
        "\vData sets: qa SQuAD 1.1 or 2 JSON; classify and embed TSV, CSV or JSON Lines; tag CoNLL or CoNLL-U columns; "
        "mlm plain text.",
        children,
        NULL,
        NULL};
    struct options options = {0};
    cli_parse(&argp, "eval", argc, argv, &options);
    cli_catch_signals();
    esp_context *ctx = cli_context_new("eval");
    json_t *report = NULL;
    int status =
        options.predictions ? evaluate_predictions(ctx, &options, &report) : evaluate_model(ctx, &options, &report);
    if (!status && options.json)
        status = espi_json_print(ctx, report, false, stdout);
    else if (!status)
        print_report(report, 0);
    int code = cli_exit_code(ctx, "eval", status);
    json_decref(report);
    esp_context_free(ctx);
    return code;
}
