/* SPDX-License-Identifier: Apache-2.0
 * espalier eval MODEL --task T --data F: the task's official metric. */
#include "cli.h"
#include "task_options.h"

#include "base/json.h"

struct options {
    esp_evaluate_options evaluate;
    bool json, quiet;
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
    esp_evaluate_options *o = &options->evaluate;
    switch (key) {
    case 'd':
        o->data_set = argument;
        break;
    case 'p':
        o->predictions = argument;
        break;
    case OPTION_SAVE:
        o->save = argument;
        break;
    case OPTION_LIMIT:
        o->limit = cli_parse_size(state, "limit", argument, 1, SIZE_MAX);
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
        cli_take_argument(state, "MODEL", argument, &o->model);
        break;
    case ARGP_KEY_END:
        if (!o->data_set)
            argp_error(state, "--data: expected a data file");
        if (!o->model && !o->predictions)
            argp_error(state, "expected a MODEL, or --predictions with a file to score");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
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

static int evaluate(esp_context *ctx, struct options *options)
{
    esp_evaluation evaluation;
    struct espi_json report;
    options->evaluate.threads = options->task.threads;
    options->evaluate.batch_tokens = options->task.batch_tokens;
    options->evaluate.data = cli_data_options(&options->task);
    options->evaluate.watch = cli_watch(options->quiet);
    int status = esp_evaluate(ctx, &options->evaluate, &evaluation);
    if (!status && options->json)
        puts(evaluation.json);
    if (!status && !options->json &&
        !(status = espi_json_open_text(ctx, "report", evaluation.json, strlen(evaluation.json), &report))) {
        print_report(report.value, 0);
        espi_json_close(&report);
    }
    esp_evaluation_clear(&evaluation);
    return status;
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
    int code = cli_exit_code(ctx, "eval", evaluate(ctx, &options));
    esp_context_free(ctx);
    return code;
}
