/* SPDX-License-Identifier: Apache-2.0
 * espalier compile CKPT -o FILE: one int8 file that the runtime maps. */
#include "cli.h"

#include "base/size.h"
#include "create/compile.h"
#include "task_options.h"
#include "tasks/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const char *checkpoint, *output, *calibrate;
    size_t samples;
    double percentile; // 0: the whole range
    enum espi_precision precision;
    bool json;
    struct cli_task_options task;
};

enum { OPTION_SAMPLES = 1000, OPTION_PERCENTILE, OPTION_PRECISION, DEFAULT_SAMPLES = 256, BATCH_TOKENS = 4096 };

static const struct argp_option option_table[] = {
    {"output", 'o', "FILE", 0, "the compiled file (required)", 0},
    {"calibrate", 'c', "DATA", 0, "data of the task to find the activations' ranges on (default: a range per token)",
     0},
    {"samples", OPTION_SAMPLES, "N", 0, "examples of the data to use (default 256)", 0},
    {"percentile", OPTION_PERCENTILE, "P", 0, "leave out values beyond this percentile, for example 99.99", 0},
    {"precision", OPTION_PRECISION, "P", 0,
     "of the linear layers: int8 (default), bf16 or fp32; attention and embeddings stay as they are", 0},
    {"json", 'j', NULL, 0, "print one JSON object", 0},
    {0},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    static const char *const precisions[] = {"int8", "bf16", "fp32", NULL}; // by enum espi_precision
    struct options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->task;
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
    case OPTION_PERCENTILE:
        options->percentile = cli_parse_number(state, "percentile", argument, 50.001, 100);
        break;
    case OPTION_PRECISION:
        options->precision = (enum espi_precision)cli_parse_word(state, "precision", argument, precisions);
        break;
    case 'j':
        options->json = true;
        break;
    case ARGP_KEY_ARG:
        if (options->checkpoint)
            argp_error(state, "expected one CKPT, found also \"%s\"", argument);
        options->checkpoint = argument;
        break;
    case ARGP_KEY_END:
        if (!options->checkpoint)
            argp_error(state, "expected a CKPT: a checkpoint directory");
        if (!options->output)
            argp_error(state, "--output: expected a file to write");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---- calibration examples ----------------------------------------------------------------------------------------------- */

/* Windows of tokens one after another. */
struct windows {
    int32_t *ids;     // (tokens)
    uint8_t *types;   // (tokens)
    uint32_t *starts; // (count + 1)
    size_t tokens, count, id_room, type_room, start_room;
};

static void clear_windows(struct windows *windows)
{
    free(windows->ids);
    free(windows->types);
    free(windows->starts);
}

static int add_windows(esp_context *ctx, const struct espi_features *features, struct windows *to)
{
    int status = ESP_OK;
    for (size_t i = 0; !status && i < espi_features_windows(features); i++) {
        struct espi_window window = espi_features_window(features, i);
        if ((status = espi_grow(ctx, &to->ids, &to->id_room, to->tokens + window.tokens, sizeof *to->ids)) ||
            (status = espi_grow(ctx, &to->types, &to->type_room, to->tokens + window.tokens, sizeof *to->types)) ||
            (status = espi_grow(ctx, &to->starts, &to->start_room, to->count + 2, sizeof *to->starts)))
            break;
        memcpy(to->ids + to->tokens, window.ids, window.tokens * sizeof *to->ids);
        memcpy(to->types + to->tokens, window.types, window.tokens * sizeof *to->types);
        to->starts[to->count++] = (uint32_t)to->tokens;
        to->tokens += window.tokens;
        to->starts[to->count] = (uint32_t)to->tokens;
    }
    return status;
}

static int read_windows(esp_context *ctx, const struct options *options, const struct espi_job *job,
                        struct windows *windows)
{
    struct espi_dataset *dataset = NULL;
    struct espi_features features = {0};
    size_t used = 0;
    int status = espi_dataset_open(ctx, job->task, options->calibrate, &job->options, &dataset);
    while (!status && used < options->samples && windows->tokens < UINT32_MAX / 2) {
        struct espi_example *example;
        int found = espi_dataset_next(ctx, dataset, &example);
        if (found <= 0) {
            status = found;
            break;
        }
        status = espi_features_encode(ctx, job, example, &features);
        if (!status)
            status = add_windows(ctx, &features, windows);
        else if (status == ESP_ERR_ARGUMENT) // an example that cannot be encoded
            status = ESP_OK;
        espi_example_free(example);
        used++;
    }
    espi_features_clear(&features);
    espi_dataset_close(dataset);
    if (!status && !windows->count)
        status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected examples, found none", options->calibrate);
    return status;
}

/* Cuts the windows into batches; their starts are rewritten to begin at 0. */
static int cut_batches(esp_context *ctx, struct windows *windows, uint32_t **starts, struct espi_batch **batches,
                       size_t *count)
{
    *count = 0;
    *batches = espi_calloc(ctx, windows->count, sizeof **batches);
    *starts = espi_calloc(ctx, 2 * windows->count, sizeof **starts); // every batch has one more than windows
    if (!*batches || !*starts)
        return ESP_ERR_MEMORY;
    uint32_t *next = *starts;
    for (size_t first = 0, end; first < windows->count; first = end) {
        uint32_t begin = windows->starts[first];
        struct espi_batch *batch = &(*batches)[(*count)++];
        for (end = first + 1; end < windows->count && windows->starts[end + 1] - begin <= BATCH_TOKENS; end++)
            continue;
        *batch = (struct espi_batch){.sequences = end - first,
                                     .tokens = windows->starts[end] - begin,
                                     .starts = next,
                                     .ids = windows->ids + begin,
                                     .types = windows->types + begin};
        for (size_t i = first; i <= end; i++)
            *next++ = windows->starts[i] - begin;
    }
    return ESP_OK;
}

/* ---- report --------------------------------------------------------------------------------------------------------------- */

static int print_json(esp_context *ctx, const struct options *options, const struct espi_compile_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->linear_count; i++) {
        const struct espi_compiled_linear *l = &report->linears[i];
        json_array_append_new(list, json_pack("{s:I,s:s,s:I,s:I,s:s,s:f,s:I}", "layer", (json_int_t)l->layer, "name",
                                              espi_linear_names[l->kind], "rows", (json_int_t)l->rows, "cols",
                                              (json_int_t)l->columns, "precision", l->precision, "kept_blocks_4x1",
                                              l->kept, "bytes", (json_int_t)l->bytes));
    }
    json_t *json = json_pack("{s:s,s:I,s:s,s:o}", "file", options->output, "bytes", (json_int_t)report->file_bytes,
                             "activations", options->calibrate ? "static" : "per_token", "linear_layers", list);
    int status = json ? espi_json_print(ctx, json, false, stdout) : espi_fail_memory(ctx, 0);
    json_decref(json);
    return status;
}

static void print_table(const struct options *options, const struct espi_compile_report *report)
{
    printf("layer name              rows   cols  precision    kept 4x1 %%\n");
    for (size_t i = 0; i < report->linear_count; i++) {
        const struct espi_compiled_linear *l = &report->linears[i];
        printf("%5zu %-16s %5zu  %5zu  %-11s  %9.1f\n", l->layer, espi_linear_names[l->kind], l->rows, l->columns,
               l->precision, 100 * l->kept);
    }
    printf("\n%s: %.1f MB, activations %s\n", options->output, (double)report->file_bytes * 1e-6,
           options->calibrate ? "static (calibrated)" : "per token");
}

/* ---- all together ------------------------------------------------------------------------------------------------------- */

static int compile(esp_context *ctx, const struct options *options, const struct espi_checkpoint *checkpoint,
                   struct espi_compile_options *how, struct espi_compile_report *report)
{
    struct windows windows = {0};
    struct espi_batch *batches = NULL;
    uint32_t *starts = NULL;
    size_t linears = checkpoint->config.layers * ESPI_LINEAR_COUNT;
    enum espi_precision *precisions = espi_calloc(ctx, linears, sizeof *precisions);
    int status = precisions ? ESP_OK : ESP_ERR_MEMORY;
    for (size_t i = 0; precisions && i < linears; i++)
        precisions[i] = options->precision;
    how->precisions = precisions;
    if (!status && options->calibrate) {
        struct espi_job job;
        struct espi_task_options task_options = options->task.task_options;
        task_options.evaluate = true; // windows as eval makes them
        const struct espi_task *task =
            options->task.task ? options->task.task : espi_task_for_head(checkpoint->config.head);
        status = espi_job_init(ctx, &job, task, how->tokenizer, &checkpoint->config, &task_options);
        if (!status)
            status = read_windows(ctx, options, &job, &windows);
        if (!status)
            status = cut_batches(ctx, &windows, &starts, &batches, &how->example_count);
        how->examples = batches;
    }
    if (!status)
        status = espi_compile(ctx, checkpoint, how, options->output, report);
    clear_windows(&windows);
    free(precisions);
    free(starts);
    free(batches);
    return status;
}

static int run(esp_context *ctx, const struct options *options)
{
    struct espi_checkpoint checkpoint = {0};
    struct espi_compile_report report = {0};
    struct espi_team *team = NULL;
    esp_tokenizer *tokenizer = NULL;
    int status = espi_checkpoint_read(ctx, options->checkpoint, &checkpoint);
    if (!status) {
        status = esp_tokenizer_open(ctx, options->checkpoint, &tokenizer);
        if (status == ESP_ERR_NOT_FOUND && !options->calibrate) // for raw ids
            status = ESP_OK;
    }
    if (!status)
        status = espi_team_new(ctx, options->task.threads, &team);
    struct espi_compile_options how = {
        .tokenizer = tokenizer,
        .calibrate = {.method = options->percentile > 0 ? ESPI_CALIBRATE_PERCENTILE : ESPI_CALIBRATE_MINMAX,
                      .percentile = options->percentile,
                      .team = team}};
    if (!status)
        status = compile(ctx, options, &checkpoint, &how, &report);
    if (!status && options->json)
        status = print_json(ctx, options, &report);
    else if (!status)
        print_table(options, &report);
    free(report.linears);
    espi_team_free(team);
    esp_tokenizer_free(tokenizer);
    espi_checkpoint_clear(&checkpoint);
    return status;
}

int cmd_compile(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cli_task_argp, 0, "Calibration data:", 0}, {0}};
    static const struct argp argp = {option_table,
                                     parse_option,
                                     "CKPT",
                                     "Compiles a checkpoint directory into one int8 file that eval and run take in its "
                                     "place.",
                                     children,
                                     NULL,
                                     NULL};
    struct options options = {.samples = DEFAULT_SAMPLES};
    cli_parse(&argp, "compile", argc, argv, &options);
    esp_context *ctx = cli_context_new("compile");
    int code = cli_finish("compile", cli_exit_code(ctx, "compile", run(ctx, &options)));
    esp_context_free(ctx);
    return code;
}
