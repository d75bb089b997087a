/* SPDX-License-Identifier: Apache-2.0
 * espalier train CKPT --task T --train F --dev F -o DIR: fine-tuning, pre-training, distillation, pruning.
 *
 * The options are those of src/create/train/train_options.inc; they go through the same functions as a recipe's keys. */
#include "cli.h"

#include "base/file.h"
#include "create/train/recipe.h"
#include "task_options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTION_FIRST = 2000,
    OPTION_RECIPE = 1000,
    OPTION_RESUME,
    OPTION_CHECK,
    OWN_OPTIONS = 7,
    MOST_OPTIONS = 120,
    MOST_SET = 256
};

/* An option as it was given, in order. */
struct given {
    const struct espi_train_option *option;
    const char *text;
};

struct options {
    const char *checkpoint, *output, *recipe;
    bool resume, check, json, quiet;
    struct given given[MOST_SET]; // (count)
    size_t count;
};

static const struct argp_option own_options[OWN_OPTIONS] = {
    {"output", 'o', "DIR", 0, "where the result goes; a new or empty directory (required)", 0},
    {"recipe", OPTION_RECIPE, "FILE", 0, "run the stages of this JSON file; options override its own", 0},
    {"resume", OPTION_RESUME, NULL, 0, "go on with the run that stopped in DIR; begin it when there is none", 0},
    {"check", OPTION_CHECK, NULL, 0, "check the options and the recipe, print all options of each stage, and stop", 0},
    {"json", 'j', NULL, 0, "print the report as one JSON object", 0},
    {"quiet", 'q', NULL, 0, "no progress on standard error", 0},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    if (key >= OPTION_FIRST && key < OPTION_FIRST + (int)espi_train_option_count) {
        if (options->count == MOST_SET)
            argp_error(state, "expected at most %d options", MOST_SET);
        options->given[options->count++] = (struct given){&espi_train_option_table[key - OPTION_FIRST], argument};
        return 0;
    }
    switch (key) {
    case 'o':
        options->output = cli_parse_output_directory(state, argument);
        break;
    case OPTION_RECIPE:
        options->recipe = argument;
        break;
    case OPTION_CHECK:
        options->check = true;
        break;
    case OPTION_RESUME:
        options->resume = true;
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
        if (!options->output)
            argp_error(state, "--output: expected a directory to write");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* The command's options and a row for each of training, group by group. */
static void make_table(struct argp_option table[MOST_OPTIONS])
{
    size_t at = 0;
    int group = 1;
    for (size_t i = 0; own_options[i].name; i++)
        table[at++] = own_options[i];
    for (size_t i = 0; i < espi_train_option_count && at + 1 < MOST_OPTIONS; i++) {
        const struct espi_train_option *option = &espi_train_option_table[i];
        if (option->kind == ESPI_OPTION_GROUP)
            table[at++] = (struct argp_option){.doc = option->name, .group = ++group};
        else if (strcmp(option->name, "model") != 0)
            table[at++] = (struct argp_option){.name = option->name,
                                               .key = OPTION_FIRST + (int)i,
                                               .arg = cli_training_argument(option),
                                               .doc = option->help,
                                               .group = group};
    }
    table[at] = (struct argp_option){0};
}

/* The help of an option with its default, where the text does not say it. argp frees what differs from `text`. */
static char *add_default(int key, const char *text, void *input)
{
    (void)input;
    char *help = NULL, *unchanged = (char *)(uintptr_t)text;
    if (!text || key < OPTION_FIRST || key >= OPTION_FIRST + (int)espi_train_option_count)
        return unchanged;
    const struct espi_train_option *option = &espi_train_option_table[key - OPTION_FIRST];
    int written = -1;
    if (option->kind == ESPI_OPTION_WORD)
        written = asprintf(&help, "%s (default %s)", text, option->words[(size_t)option->preset]);
    else if ((option->kind == ESPI_OPTION_SIZE || option->kind == ESPI_OPTION_REAL) && option->preset != 0)
        written = asprintf(&help, "%s (default %.10g)", text, option->preset);
    return written < 0 ? unchanged : help;
}

/* Puts what was given over a stage's options; a list replaces the recipe's. */
static int apply(void *argument, esp_context *ctx, struct espi_train_options *to)
{
    const struct options *options = argument;
    int status = ESP_OK;
    bool begun = false;
    for (size_t i = 0; !status && i < options->count; i++) {
        const struct given *given = &options->given[i];
        if (given->option->kind == ESPI_OPTION_LIST && !begun) {
            to->train.count = 0;
            begun = true;
        }
        status = espi_train_option_parse(ctx, given->option, given->text, to);
    }
    return status;
}

/* --check: {"stages": [{"name": …, every option}]} */
static int print_stages(esp_context *ctx, const struct espi_stage *stages, size_t count)
{
    struct espi_json_writer w = {.stream = stdout, .indent = true};
    espi_put_object(&w, NULL);
    espi_put_array(&w, "stages");
    for (size_t i = 0; i < count; i++) {
        int status = espi_train_options_check(ctx, &stages[i].options);
        if (status) {
            free(w.data);
            return status;
        }
        espi_put_object(&w, NULL);
        espi_put_string(&w, "name", stages[i].name);
        espi_put_train_options(&w, &stages[i].options);
        espi_put_object_end(&w);
    }
    espi_put_array_end(&w);
    espi_put_object_end(&w);
    return espi_json_writer_end(ctx, &w);
}

static int run_stage(esp_context *ctx, const struct options *options, const struct espi_train_run *run,
                     struct espi_train_report *report)
{
    struct espi_train_options stage;
    espi_train_options_default(&stage);
    stage.model = options->checkpoint;
    int status = espi_parallel_agree(ctx, run->parallel, apply((void *)(uintptr_t)options, ctx, &stage));
    if (!status && options->check)
        return print_stages(ctx, &(struct espi_stage){.name = options->output, .options = stage}, 1);
    return status ? status : espi_train(ctx, &stage, run, report);
}

static int run_recipe(esp_context *ctx, const struct options *options, const struct espi_train_run *run,
                      struct espi_train_report *report, char result[ESPI_PATH_BYTES])
{
    struct espi_recipe recipe;
    const char *stage = NULL;
    int status = espi_recipe_read(ctx, options->recipe, options->output, options->checkpoint, apply,
                                  (void *)(uintptr_t)options, &recipe);
    status = espi_parallel_agree(ctx, run->parallel, status);
    if (status)
        return status;
    if (options->check)
        status = print_stages(ctx, recipe.stages, recipe.count);
    else
        status = espi_recipe_run(ctx, &recipe, run, report, &stage);
    if (!status && stage)
        status = espi_path_join(ctx, result, options->output, stage);
    espi_recipe_clear(&recipe);
    return status;
}

static int print_json(esp_context *ctx, const char *result, const struct espi_train_report *report)
{
    struct espi_json_writer w = {.stream = stdout};
    espi_put_object(&w, NULL);
    espi_put_string(&w, "directory", result);
    espi_put_bool(&w, "already_done", report->already_done);
    espi_put_bool(&w, "interrupted", report->interrupted);
    if (!report->already_done) {
        espi_put_size(&w, "steps", report->steps);
        espi_put_number(&w, "loss", report->loss);
        espi_put_number(&w, "sparsity", report->sparsity);
        espi_put_number(&w, "seconds", report->seconds);
        espi_put_number(&w, "tokens_per_s", report->tokens_per_s);
    }
    if (report->best_step != UINT64_MAX && report->metric[0]) {
        espi_put_string(&w, "metric", report->metric);
        espi_put_number(&w, "best", report->best);
        espi_put_size(&w, "best_step", report->best_step);
    }
    espi_put_object_end(&w);
    return espi_json_writer_end(ctx, &w);
}

static void print_text(const char *result, const struct espi_train_report *report)
{
    if (report->interrupted) {
        printf("stopped after %" PRIu64 " steps; the same command with --resume goes on\n", report->steps);
        return;
    }
    if (report->already_done) {
        printf("%s: is done already\n", result);
        return;
    }
    printf("%s: %" PRIu64 " steps, loss %.4f", result, report->steps, report->loss);
    if (report->metric[0] && report->best_step != UINT64_MAX)
        printf(", %s %.6g at step %" PRIu64, report->metric, report->best, report->best_step);
    if (report->sparsity > 0)
        printf(", sparsity %.2f %%", 100 * report->sparsity);
    printf(", %.0f tokens/s, %.0f s\n", report->tokens_per_s, report->seconds);
}

static int train(esp_context *ctx, const struct options *options, struct espi_parallel *parallel)
{
    struct espi_train_run run = {.directory = options->output,
                                 .parallel = parallel,
                                 .resume = options->resume,
                                 .watch = cli_watch(options->quiet)};
    struct espi_train_report report = {0};
    char result[ESPI_PATH_BYTES];
    snprintf(result, sizeof result, "%s", options->output);
    int status =
        options->recipe ? run_recipe(ctx, options, &run, &report, result) : run_stage(ctx, options, &run, &report);
    if (status || espi_parallel_rank(parallel) > 0 || options->check)
        return status;
    if (options->json)
        return print_json(ctx, result, &report);
    print_text(result, &report);
    return ESP_OK;
}

int cmd_train(int argc, char **argv)
{
    static struct argp_option table[MOST_OPTIONS];
    make_table(table);
    const struct argp argp = {
        table,
        parse_option,
        "[CKPT]",
        "Trains a checkpoint: fine-tuning, pre-training (--task mlm), distillation (--teacher), "
        "pruning (--sparsity), quantization-aware training (--qat)."
        "\vSIGINT, SIGTERM and SIGHUP write a checkpoint and end the run; --resume goes on to the same "
        "weights, bit for bit.",
        NULL,
        add_default,
        NULL};
    struct options options = {0};
    cli_parse(&argp, "train", argc, argv, &options);
    cli_catch_signals();
    esp_context *ctx = cli_context_new("train");
    struct espi_parallel *parallel = NULL;
    int status = espi_parallel_new(ctx, &parallel);
    if (espi_parallel_rank(parallel) > 0)
        esp_context_set_log(ctx, NULL, NULL); // rank 0 says the same
    if (!status)
        status = train(ctx, &options, parallel);
    int code = status ? CLI_FAILED : CLI_OK;
    if (!espi_parallel_is_quiet(parallel))
        code = cli_finish("train", cli_exit_code(ctx, "train", status));
    if (code != CLI_OK)
        espi_parallel_abort(parallel, code); // the other ranks wait for this one
    espi_parallel_free(parallel);
    esp_context_free(ctx);
    return code;
}
