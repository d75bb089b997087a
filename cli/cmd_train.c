/* SPDX-License-Identifier: Apache-2.0
 * espalier train CKPT --task T --train F --dev F -o DIR: fine-tuning, pre-training, distillation, pruning.
 *
 * The options are those of src/create/train/train_options.inc, given as settings of espalier_create.h. */
#include "cli.h"

#include "base/file.h"
#include "create/train/train_call.h"
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

struct options {
    esp_train_options train;
    esp_setting settings[MOST_SET]; // (train.setting_count)
    bool check, json, quiet;
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
    esp_train_options *o = &options->train;
    if (key >= OPTION_FIRST && key < OPTION_FIRST + (int)espi_train_option_count) {
        if (o->setting_count == MOST_SET)
            argp_error(state, "expected at most %d options", MOST_SET);
        options->settings[o->setting_count++] =
            (esp_setting){espi_train_option_table[key - OPTION_FIRST].name, argument};
        return 0;
    }
    switch (key) {
    case 'o':
        o->output = cli_parse_output_directory(state, argument);
        break;
    case OPTION_RECIPE:
        o->recipe = argument;
        break;
    case OPTION_CHECK:
        options->check = true;
        break;
    case OPTION_RESUME:
        o->resume = true;
        break;
    case 'j':
        options->json = true;
        break;
    case 'q':
        options->quiet = true;
        break;
    case ARGP_KEY_ARG:
        cli_take_argument(state, "CKPT", argument, &o->checkpoint);
        break;
    case ARGP_KEY_END:
        if (!o->output)
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

/* --check: {"stages": [{"name": …, every option}]} */
static int print_stages(esp_context *ctx, const struct options *options, const struct espi_recipe *stages)
{
    struct espi_json_writer w = {.stream = stdout, .indent = true};
    espi_put_object(&w, NULL);
    espi_put_array(&w, "stages");
    for (size_t i = 0; i < stages->count; i++) {
        const struct espi_stage *stage = &stages->stages[i];
        espi_put_object(&w, NULL);
        espi_put_string(&w, "name", stage->name ? stage->name : options->train.output);
        espi_put_train_options(&w, &stage->options);
        espi_put_object_end(&w);
    }
    espi_put_array_end(&w);
    espi_put_object_end(&w);
    return espi_json_writer_end(ctx, &w);
}

static int print_json(esp_context *ctx, const char *result, const esp_train_report *report)
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

static void print_text(const char *result, const esp_train_report *report)
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

static int print_report(esp_context *ctx, const struct options *options, const esp_train_report *report)
{
    char result[ESPI_PATH_BYTES];
    snprintf(result, sizeof result, "%s", options->train.output);
    int status = *report->stage ? espi_path_join(ctx, result, options->train.output, report->stage) : ESP_OK;
    if (!status && options->json)
        return print_json(ctx, result, report);
    if (!status)
        print_text(result, report);
    return status;
}

static int train(esp_context *ctx, const struct options *options, struct espi_parallel *parallel)
{
    struct espi_recipe stages = {0};
    esp_train_report report = {0};
    int status = espi_parallel_agree(ctx, parallel, espi_train_stages(ctx, &options->train, &stages));
    if (!status && options->check)
        status = print_stages(ctx, options, &stages);
    else if (!status)
        status = espi_train_run_stages(ctx, &options->train, &stages, parallel, &report);
    espi_recipe_clear(&stages);
    if (status || espi_parallel_rank(parallel) > 0 || options->check)
        return status;
    return print_report(ctx, options, &report);
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
    struct options options = {.train.keep = true};
    options.train.settings = options.settings;
    cli_parse(&argp, "train", argc, argv, &options);
    options.train.watch = cli_watch(options.quiet);
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
