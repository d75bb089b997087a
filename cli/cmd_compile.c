/* SPDX-License-Identifier: Apache-2.0
 * espalier compile CKPT -o FILE: one int8 file that the runtime maps. */
#include "cli.h"

#include "base/file.h"
#include "compile_report.h"
#include "task_options.h"

#include <stdio.h>
#include <string.h>

struct options {
    esp_compile_options compilation;
    bool search, search_given; // --max-drop; one of the options that need it
    bool json, quiet;
    struct cli_task_options task;
};

enum {
    OPTION_SAMPLES = 1000,
    OPTION_METHOD,
    OPTION_PERCENTILE,
    OPTION_ACTIVATIONS,
    OPTION_SMOOTH,
    OPTION_PRECISION,
    OPTION_SPARSE,
    OPTION_MAX_DROP,
    OPTION_EVAL,
    OPTION_EVAL_LIMIT,
    OPTION_FALLBACK,
    OPTION_TIME_LIMIT,
};

static const struct argp_option option_table[] = {
    {"output", 'o', "FILE", 0, "the compiled file (required)", 0},
    {"calibrate", 'c', "DATA", 0, "data of the task to find the activations' ranges on (default: a range per token)",
     0},
    {"samples", OPTION_SAMPLES, "N", 0, "examples (mlm: windows) of the data to use (default 256)", 0},
    {"method", OPTION_METHOD, "minmax|percentile|entropy|mse", 0, "of the ranges (default minmax)", 0},
    {"percentile", OPTION_PERCENTILE, "P", 0, "leave out values beyond this percentile (default 99.99)", 0},
    {"activations", OPTION_ACTIVATIONS, "static|per-token", 0,
     "their ranges: fixed (default with --calibrate and after train --qat) or found while running (default without)",
     0},
    {"smooth", OPTION_SMOOTH, "ALPHA", 0,
     "migrate uneven channels from activations to weights before they are rounded (SmoothQuant), from 0 to 1, for "
     "example 0.5; needs --calibrate",
     0},
    {"precision", OPTION_PRECISION, "int8|bf16|fp32", 0,
     "of the linear layers (default int8); attention and embeddings stay as they are", 0},
    {"sparse", OPTION_SPARSE, "auto|always|never", 0,
     "leave 4x1 blocks of zeros out (default auto: of layers that keep at most half of them)", 0},
    {"max-drop", OPTION_MAX_DROP, "D", 0,
     "keep as few linear layers as possible in higher precision so that the metric on --eval loses at most this much "
     "of fp32's, for example 1% or 0.01",
     1},
    {"eval", OPTION_EVAL, "DATA", 0, "data set of the metric for --max-drop", 1},
    {"eval-limit", OPTION_EVAL_LIMIT, "N", 0, "use only its first N examples (mlm: documents)", 1},
    {"fallback", OPTION_FALLBACK, "fp32|bf16", 0, "the higher precision (default fp32)", 1},
    {"time-limit", OPTION_TIME_LIMIT, "S", 0, "stop searching after this many seconds and take the best found", 1},
    {"json", 'j', NULL, 0, "print one JSON object", 0},
    {"quiet", 'q', NULL, 0, "no progress on standard error", 0},
    {0},
};

/* "1%" or "0.01" */
static double parse_share(struct argp_state *state, const char *option, const char *text)
{
    char number[32];
    size_t length = strlen(text);
    bool percent = length > 1 && length < sizeof number && text[length - 1] == '%';
    snprintf(number, sizeof number, "%.*s", (int)(percent ? length - 1 : length), text);
    double value = cli_parse_number(state, option, number, 0, percent ? 100 : 1);
    if (!percent && value == 1) // hardly all of it
        argp_error(state, "--%s: expected per cent (1%%) or a share below 1 (0.01), found \"%s\"", option, text);
    return percent ? value / 100 : value;
}

static void check_options(struct argp_state *state, const struct options *options)
{
    const esp_compile_options *how = &options->compilation;
    if (!how->checkpoint)
        argp_error(state, "expected a CKPT: a checkpoint directory");
    if (!how->output)
        argp_error(state, "--output: expected a file to write");
    if (options->search != (how->eval != NULL))
        argp_error(state, "--max-drop and --eval go together: how much may be lost, and on which data");
    if (!options->search && options->search_given)
        argp_error(state, "--eval-limit, --fallback and --time-limit need --max-drop: the search they are of");
}

static error_t parse_search_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    esp_compile_options *how = &options->compilation;
    switch (key) {
    case OPTION_MAX_DROP:
        options->search = true;
        how->max_drop = parse_share(state, "max-drop", argument);
        return 0;
    case OPTION_EVAL:
        how->eval = argument;
        return 0;
    case OPTION_EVAL_LIMIT:
        how->eval_limit = cli_parse_size(state, "eval-limit", argument, 1, SIZE_MAX);
        break;
    case OPTION_FALLBACK:
        how->fallback = cli_parse_word(state, "fallback", argument) ? ESP_PRECISION_BF16 : ESP_PRECISION_FP32;
        break;
    case OPTION_TIME_LIMIT:
        how->time_limit = cli_parse_number(state, "time-limit", argument, 0.001, 1e9);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    options->search_given = true;
    return 0;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    esp_compile_options *how = &options->compilation;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = state->child_inputs[1] = &options->task;
        break;
    case 'o':
        how->output = argument;
        break;
    case 'c':
        how->calibrate = argument;
        break;
    case OPTION_SAMPLES:
        how->samples = cli_parse_size(state, "samples", argument, 1, 1 << 20);
        break;
    case OPTION_METHOD:
        how->method = (esp_calibration)cli_parse_word(state, "method", argument);
        break;
    case OPTION_PERCENTILE:
        how->method = ESP_CALIBRATE_PERCENTILE;
        how->percentile = cli_parse_number(state, "percentile", argument, 50.001, 100);
        break;
    case OPTION_ACTIVATIONS:
        how->activations = (esp_activations)(1 + cli_parse_word(state, "activations", argument));
        break;
    case OPTION_SMOOTH:
        how->smooth = true;
        how->smooth_alpha = cli_parse_number(state, "smooth", argument, 0, 1);
        break;
    case OPTION_PRECISION:
        how->precision = (esp_precision)(ESP_PRECISION_INT8 + cli_parse_word(state, "precision", argument));
        break;
    case OPTION_SPARSE:
        how->sparse = (esp_sparse)cli_parse_word(state, "sparse", argument);
        break;
    case 'j':
        options->json = true;
        break;
    case 'q':
        options->quiet = true;
        break;
    case ARGP_KEY_ARG:
        cli_take_argument(state, "CKPT", argument, &how->checkpoint);
        break;
    case ARGP_KEY_END:
        check_options(state, options);
        break;
    default:
        return parse_search_option(key, argument, state);
    }
    return 0;
}

static int compile(esp_context *ctx, struct options *options)
{
    esp_compile_options *how = &options->compilation;
    esp_compile_report report;
    how->data = cli_data_options(&options->task);
    how->threads = options->task.threads;
    how->batch_tokens = options->task.batch_tokens;
    how->watch = cli_watch(options->quiet);
    int status = esp_compile(ctx, how, &report);
    if (!status && !espi_path_same(how->output, "/dev/stdout")) // the file itself has gone there
        status = cli_compile_report_print(ctx, how, &report, options->json);
    esp_compile_report_clear(&report);
    return status;
}

int cmd_compile(int argc, char **argv)
{
    static const struct argp_child children[] = {
        {&cli_task_argp, 0, "Data for --calibrate and --eval:", 0}, {&cli_data_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {option_table,
                                     parse_option,
                                     "CKPT",
                                     "Compiles a checkpoint directory into one int8 file that eval and run take in its "
                                     "place.",
                                     children,
                                     NULL,
                                     NULL};
    struct options options = {.json = false};
    cli_parse(&argp, "compile", argc, argv, &options);
    cli_catch_signals();
    esp_context *ctx = cli_context_new("compile");
    int code = cli_exit_code(ctx, "compile", compile(ctx, &options));
    esp_context_free(ctx);
    return code;
}
