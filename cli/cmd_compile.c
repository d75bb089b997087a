/* SPDX-License-Identifier: Apache-2.0
 * espalier compile CKPT -o FILE: one int8 file that the runtime maps. */
#include "cli.h"

#include "base/file.h"
#include "compile_report.h"
#include "create/compile/smooth.h"
#include "create/quantize/fake_quant.h"
#include "model/vocabulary.h"
#include "precision.h"
#include "task_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Steps of the activations. */
enum activations {
    ACTIVATIONS_DEFAULT, // static where there are ranges: --calibrate, or quantization-aware training
    ACTIVATIONS_STATIC,
    ACTIVATIONS_PER_TOKEN,
};

struct options {
    const char *checkpoint, *output, *calibrate;
    size_t samples; // 0: DEFAULT_SAMPLES
    enum espi_calibration method;
    double percentile;
    double smooth; // below 0: no
    enum activations activations;
    enum espi_precision precision;
    bool search; // for the layers that stay in higher precision
    bool fallback_given;
    struct cli_precision_options find;
    enum espi_sparse_choice sparse;
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
    DEFAULT_SAMPLES = 256,
    SENSITIVITY_SAMPLES = 64, // examples for the sensitivity of layers
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

#define DEFAULT_PERCENTILE 99.99

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
    const struct cli_precision_options *find = &options->find;
    if (!options->checkpoint)
        argp_error(state, "expected a CKPT: a checkpoint directory");
    if (!options->output)
        argp_error(state, "--output: expected a file to write");
    if (options->search != (options->find.data != NULL))
        argp_error(state, "--max-drop and --eval go together: how much may be lost, and on which data");
    if (!options->search && (find->limit || find->search.seconds > 0 || options->fallback_given))
        argp_error(state, "--eval-limit, --fallback and --time-limit need --max-drop: the search they are of");
    if (options->search && options->precision != ESPI_INT8)
        argp_error(state, "--max-drop chooses the precisions: --precision does not go with it");
    if (options->smooth >= 0 && !options->calibrate)
        argp_error(state, "--smooth needs --calibrate: the data to find uneven channels on");
    if ((options->method != ESPI_CALIBRATE_MINMAX || options->samples) && !options->calibrate)
        argp_error(state, "--method, --percentile and --samples need --calibrate: the data to find ranges on");
}

static error_t parse_search_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    struct cli_precision_options *find = &options->find;
    switch (key) {
    case OPTION_MAX_DROP:
        options->search = true;
        find->search.max_drop = parse_share(state, "max-drop", argument);
        break;
    case OPTION_EVAL:
        find->data = argument;
        break;
    case OPTION_EVAL_LIMIT:
        find->limit = cli_parse_size(state, "eval-limit", argument, 1, SIZE_MAX);
        break;
    case OPTION_FALLBACK:
        find->search.fallback = cli_parse_word(state, "fallback", argument) ? ESPI_BF16 : ESPI_FP32;
        options->fallback_given = true;
        break;
    case OPTION_TIME_LIMIT:
        find->search.seconds = cli_parse_number(state, "time-limit", argument, 0.001, 1e9);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = state->child_inputs[1] = &options->task;
        break;
    case 'o':
        options->output = argument;
        break;
    case 'c':
        options->calibrate = argument;
        break;
    case OPTION_SAMPLES:
        options->samples = cli_parse_size(state, "samples", argument, 1, 1 << 20);
        break;
    case OPTION_METHOD:
        options->method = (enum espi_calibration)cli_parse_word(state, "method", argument);
        break;
    case OPTION_PERCENTILE:
        options->method = ESPI_CALIBRATE_PERCENTILE;
        options->percentile = cli_parse_number(state, "percentile", argument, 50.001, 100);
        break;
    case OPTION_ACTIVATIONS:
        options->activations = (enum activations)(1 + cli_parse_word(state, "activations", argument));
        break;
    case OPTION_SMOOTH:
        options->smooth = cli_parse_number(state, "smooth", argument, 0, 1);
        break;
    case OPTION_PRECISION:
        options->precision = (enum espi_precision)cli_parse_word(state, "precision", argument);
        break;
    case OPTION_SPARSE:
        options->sparse = (enum espi_sparse_choice)cli_parse_word(state, "sparse", argument);
        break;
    case 'j':
        options->json = true;
        break;
    case 'q':
        options->quiet = true;
        break;
    case ARGP_KEY_ARG:
        cli_take_argument(state, "CKPT", argument, &options->checkpoint);
        break;
    case ARGP_KEY_END:
        check_options(state, options);
        break;
    default:
        return parse_search_option(key, argument, state);
    }
    return 0;
}

/* ---- all together ------------------------------------------------------------------------------------------------------- */

/* What compiling works on. */
struct work {
    const struct options *options;
    struct espi_checkpoint checkpoint;
    esp_tokenizer *tokenizer; // NULL: for raw ids
    struct espi_warnings warnings;
    struct espi_team *team;
    struct espi_job job; // when data is read
    struct espi_scale (*points)[ESPI_POINT_COUNT];
    float *factors; // of --smooth
    enum espi_precision *precisions;
    struct cli_compile_report report;
};

/* The ranges of quantization-aware training, when the checkpoint has them. */
static int read_points(esp_context *ctx, struct work *work)
{
    const struct options *options = work->options;
    int status = espi_quantization_read(ctx, options->checkpoint, &work->checkpoint.config, &work->points);
    if (status == 0 && options->activations == ACTIVATIONS_STATIC)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "%s has no ranges of quantization-aware training: --activations static needs --calibrate",
                         options->checkpoint);
    work->report.trained = status > 0;
    return status > 0 ? ESP_OK : status;
}

static int calibrate(esp_context *ctx, struct work *work, const struct espi_examples *examples)
{
    const struct options *options = work->options;
    struct espi_calibrate_options how = {
        .method = options->method,
        .percentile = options->percentile,
        .pass = {.team = work->team, .progress = options->quiet ? NULL : stderr, .interrupted = cli_interrupted}};
    int status = ESP_OK;
    if (options->smooth >= 0)
        status = espi_smooth(ctx, &work->checkpoint, examples->batches, examples->count, options->smooth, &how.pass,
                             &work->factors);
    if (status || options->activations == ACTIVATIONS_PER_TOKEN)
        return status;
    how.factors = work->factors;
    work->points = espi_calloc(ctx, work->checkpoint.config.layers, sizeof *work->points);
    return work->points ? espi_calibrate(ctx, &work->checkpoint, examples->batches, examples->count, &how, work->points)
                        : ESP_ERR_MEMORY;
}

/* Steps of the activations, trained or found on the data; none: a scale per token. */
static int find_points(esp_context *ctx, struct work *work)
{
    const struct options *options = work->options;
    struct espi_examples examples;
    if (!options->calibrate)
        return options->activations == ACTIVATIONS_PER_TOKEN ? ESP_OK : read_points(ctx, work);
    int status = espi_examples_read(ctx, &work->job, options->calibrate,
                                    options->samples ? options->samples : DEFAULT_SAMPLES, &examples);
    if (!status)
        status = calibrate(ctx, work, &examples);
    espi_examples_clear(&examples);
    return status;
}

static int find_precisions(esp_context *ctx, struct work *work, const struct espi_compile_options *how)
{
    struct cli_precision_options find = work->options->find;
    struct espi_examples examples;
    int status = espi_examples_read(ctx, &work->job, find.data, SENSITIVITY_SAMPLES, &examples);
    if (status)
        return status;
    find.examples = &examples;
    find.batch_tokens = work->options->task.batch_tokens;
    find.progress = work->options->quiet ? NULL : stderr;
    find.may_per_token = work->options->activations == ACTIVATIONS_DEFAULT;
    status = cli_precision_find(ctx, &work->checkpoint, how, &work->job, work->team, &find, work->precisions,
                                &work->report.reference, &work->report.per_token, &work->report.search);
    espi_examples_clear(&examples);
    return status;
}

static int compile(esp_context *ctx, struct work *work)
{
    const struct options *options = work->options;
    size_t linears = work->checkpoint.config.layers * ESPI_LINEAR_COUNT;
    work->precisions = espi_calloc(ctx, linears, sizeof *work->precisions);
    if (!work->precisions)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < linears; i++)
        work->precisions[i] = options->precision;
    int status = find_points(ctx, work);
    struct espi_compile_options how = {.sparse = options->sparse,
                                       .precisions = work->precisions,
                                       .points = (const struct espi_scale(*)[ESPI_POINT_COUNT])work->points,
                                       .factors = work->factors,
                                       .tokenizer = work->tokenizer,
                                       .warnings = &work->warnings};
    work->report.per_token = !work->points;
    if (!status && options->search)
        status = find_precisions(ctx, work, &how);
    if (work->report.per_token)
        how.points = NULL;
    if (!status && cli_interrupted())
        status = espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted; nothing was written");
    return status ? status : espi_compile(ctx, &work->checkpoint, &how, options->output, &work->report.file);
}

/* Asked before the work, so that a bad name does not cost it, nor a slip of the hand the weights of a model. */
static int check_output(esp_context *ctx, const char *path)
{
    struct espi_map there = {0};
    if (!espi_map_open(NULL, path, &there) && there.bytes && !espi_esp_is_file(path)) {
        espi_map_close(&there);
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "--output: %s: expected a new file, or a compiled one to replace, found another file", path);
    }
    espi_map_close(&there);
    int status = espi_output_check(ctx, path);
    return status ? espi_fail_prefix(ctx, status, "--output") : ESP_OK;
}

/* What the files say that is not applied goes into the compiled file, too. */
static int read_files(esp_context *ctx, struct work *work, bool need_tokenizer)
{
    const char *directory = work->options->checkpoint;
    const struct espi_task *task = work->options->task.task;
    espi_warnings_keep(ctx, directory, &work->warnings);
    int status = espi_checkpoint_read_for(ctx, directory, task ? task->head : ESPI_HEAD_NONE, &work->checkpoint);
    if (!status) {
        status = esp_tokenizer_open(ctx, directory, &work->tokenizer);
        if (!status)
            espi_vocabulary_check(ctx, directory, &work->checkpoint.config, work->tokenizer);
        if (status == ESP_ERR_UNSUPPORTED && !need_tokenizer) {
            espi_log(ctx, ESP_LOG_WARNING, "%s; compiled without it, for ids of your own (run --raw)",
                     esp_last_error(ctx));
            status = ESP_OK;
        }
        if (status == ESP_ERR_NOT_FOUND && !need_tokenizer) // for raw ids
            status = ESP_OK;
    }
    int kept = espi_warnings_stop(ctx);
    return status ? status : kept;
}

static int prepare(esp_context *ctx, struct work *work)
{
    const struct options *options = work->options;
    const struct espi_config *config = &work->checkpoint.config;
    bool reads = options->calibrate || options->search;
    int status = espi_input_add(ctx, options->calibrate);
    if (!status)
        status = espi_input_add(ctx, options->find.data);
    if (!status)
        status = check_output(ctx, options->output);
    if (!status)
        status = read_files(ctx, work, reads);
    if (!status && reads) {
        struct espi_task_options task_options = options->task.task_options;
        task_options.evaluate = true; // windows as eval makes them
        const struct espi_task *task = options->task.task ? options->task.task : espi_task_for_head(config->head);
        status = espi_job_init(ctx, &work->job, task, work->tokenizer, config, &task_options);
    }
    return status ? status : espi_team_new(ctx, options->task.threads, &work->team);
}

static int run(esp_context *ctx, const struct options *options)
{
    struct work work = {.options = options,
                        .report = {.path = options->output, .smooth = options->smooth, .searched = options->search}};
    int status = prepare(ctx, &work);
    if (!status)
        status = compile(ctx, &work);
    if (!status && !espi_path_same(options->output, "/dev/stdout")) // the file itself has gone there
        status = cli_compile_report_print(ctx, &work.report, options->json);
    cli_compile_report_clear(&work.report);
    free(work.precisions);
    free(work.points);
    free(work.factors);
    espi_team_free(work.team);
    esp_tokenizer_free(work.tokenizer);
    espi_warnings_clear(&work.warnings);
    espi_checkpoint_clear(&work.checkpoint);
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
    struct options options = {.percentile = DEFAULT_PERCENTILE, .smooth = -1, .find.search.fallback = ESPI_FP32};
    cli_parse(&argp, "compile", argc, argv, &options);
    cli_catch_signals();
    esp_context *ctx = cli_context_new("compile");
    int code = cli_exit_code(ctx, "compile", run(ctx, &options));
    esp_context_free(ctx);
    return code;
}
