/* SPDX-License-Identifier: Apache-2.0
 * espalier eval MODEL --task T --data F: the task's official metric. */
#include "cli.h"
#include "create/open/any_model.h"
#include "predictions.h"
#include "task_options.h"

#include "base/file.h"
#include "eval/evaluate.h"

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
    {"limit", OPTION_LIMIT, "N", 0, "use only the first N examples (mlm: documents)", 0},
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
        state->child_inputs[0] = state->child_inputs[1] = &options->task;
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

static int save(void *cookie, esp_context *ctx, const struct espi_answer *answer)
{
    return cli_predictions_add(ctx, cookie, answer->example, answer->found);
}

static int evaluate_model(esp_context *ctx, const struct options *options, json_t **report)
{
    struct espi_any_model model = {0};
    struct cli_predictions predictions = {0};
    struct espi_job job;
    struct espi_evaluation how = {.job = &job,
                                  .path = options->data,
                                  .limit = options->limit,
                                  .batch_tokens = options->task.batch_tokens,
                                  .watch = cli_watch(options->quiet),
                                  .see = options->save ? save : NULL,
                                  .cookie = &predictions};
    int status = espi_input_add(ctx, options->data);
    if (!status)
        status = espi_any_model_open(ctx, options->model, options->task.task, options->task.threads, true, &model);
    if (!status) {
        const struct espi_config *config = model.engine->config;
        const struct espi_task *task = options->task.task ? options->task.task : espi_task_for_head(config->head);
        struct espi_task_options task_options = options->task.task_options;
        task_options.evaluate = true;
        how.engine = model.engine;
        status = espi_job_init(ctx, &job, task, model.tokenizer, config, &task_options);
    }
    if (!status && options->save)
        status = cli_predictions_create(ctx, &predictions, job.task, options->save);
    if (!status)
        status = espi_evaluate(ctx, &how, report);
    if (!status && options->save)
        status = cli_predictions_commit(ctx, &predictions);
    cli_predictions_abort(&predictions);
    espi_any_model_close(&model);
    return status;
}

/* Scores a file of predictions; the model, when there is one, says what its labels mean. */
static int evaluate_predictions(esp_context *ctx, const struct options *options, json_t **report)
{
    struct espi_any_model model = {0};
    struct espi_job job;
    const struct espi_task *task = options->task.task;
    int status = options->model ? espi_any_model_open(ctx, options->model, task, 1, true, &model) : ESP_OK;
    if (!status && options->model) {
        task = task ? task : espi_task_for_head(model.engine->config->head);
        status = espi_job_init(ctx, &job, task, model.tokenizer, model.engine->config, &options->task.task_options);
    }
    if (!status)
        status = espi_metric_score_file(ctx, task, options->data, options->predictions, &options->task.task_options,
                                        options->model ? &job : NULL, report);
    espi_any_model_close(&model);
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
    static const struct argp_child children[] = {{&cli_task_argp, 0, NULL, 0}, {&cli_data_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        option_table,
        parse_option,
        "[MODEL]",
        "Scores a model, or an existing prediction file, on a data set with the task's official metric."
        "\vData sets: qa SQuAD 1.1 or 2, or JSON Lines of questions; classify and embed TSV, CSV or JSON Lines; tag "
        "CoNLL or "
        "CoNLL-U columns, or JSON Lines of words and tags; mlm plain text, a paragraph a line, blank lines between "
        "documents.",
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
