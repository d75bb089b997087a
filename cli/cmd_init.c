/* SPDX-License-Identifier: Apache-2.0
 * espalier init CONFIG --head H --seed N -o DIR: a checkpoint with random weights. */
#include "cli.h"

#include "base/memory.h"
#include "model/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    esp_init_options init;
    char *labels;
    bool random_vocab, problem_given;
};

enum { OPTION_RANDOM_VOCAB = 1000, OPTION_LABELS, OPTION_PROBLEM, OPTION_MIMETIC };

static const struct argp_option option_table[] = {
    {"head", 'H', "none|qa|sequence|token|mlm", 0, "the kind (default: what the config says; none for a name)", 0},
    {"labels", OPTION_LABELS, "LIST", 0, "label names with commas between them, or their number (sequence, token)", 0},
    {"problem", OPTION_PROBLEM, "single-label|multi-label|regression", 0, "of --head sequence (default single-label)",
     0},
    {"vocab", 'v', "PATH", 0, "the tokenizer: a directory with tokenizer.json or vocab.txt, or such a file", 0},
    {"random-vocab", OPTION_RANDOM_VOCAB, NULL, 0, "make up a vocabulary of the config's size", 0},
    {"mimetic", OPTION_MIMETIC, NULL, 0,
     "attention that begins as in pre-trained encoders, heads for equal words and for neighbours: to train from "
     "scratch on "
     "little data (sets initializer_range)",
     0},
    {"seed", 's', "N", 0, "of the weights (default 0)", 0},
    {"output", 'o', "DIR", 0, "where to write; a new or empty directory (required)", 0},
    {0},
};

static void check_options(struct argp_state *state, const struct options *options)
{
    const esp_init_options *o = &options->init;
    if (!o->config)
        argp_error(state, "expected a CONFIG: a config.json, or a name that `espalier init --help` lists");
    if (!o->output)
        argp_error(state, "--output: expected a directory to write");
    if (!o->tokenizer == !options->random_vocab)
        argp_error(state, "expected either --vocab or --random-vocab");
    bool sequence = o->head == ESP_HEAD_SEQUENCE;
    if (options->labels && !sequence && o->head != ESP_HEAD_TOKEN)
        argp_error(state, "--labels goes with --head sequence or token");
    if (options->problem_given && !sequence)
        argp_error(state, "--problem goes with --head sequence");
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    esp_init_options *o = &options->init;
    switch (key) {
    case 'H':
        o->head = (esp_head)(ESP_HEAD_NONE + cli_parse_word(state, "head", argument));
        break;
    case OPTION_LABELS:
        options->labels = argument;
        break;
    case OPTION_PROBLEM:
        o->problem = (esp_problem)cli_parse_word(state, "problem", argument);
        options->problem_given = true;
        break;
    case 'v':
        o->tokenizer = argument;
        break;
    case OPTION_RANDOM_VOCAB:
        options->random_vocab = true;
        break;
    case OPTION_MIMETIC:
        o->mimetic = true;
        break;
    case 's':
        o->seed = cli_parse_size(state, "seed", argument, 0, SIZE_MAX);
        break;
    case 'o':
        o->output = cli_parse_output_directory(state, argument);
        break;
    case ARGP_KEY_ARG:
        cli_take_argument(state, "CONFIG", argument, &o->config);
        break;
    case ARGP_KEY_END:
        check_options(state, options);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Splits "a,b,c" in place, or takes a plain number as the count. */
static int read_labels(esp_context *ctx, struct options *options, struct espi_arena *arena)
{
    esp_init_options *o = &options->init;
    o->labels = 1;
    if (options->labels[strspn(options->labels, "0123456789")] == 0) {
        o->labels = strtoul(options->labels, NULL, 10);
        return o->labels ? ESP_OK
                         : espi_fail(ctx, ESP_ERR_ARGUMENT,
                                     "--labels: expected names, or their number from 1, found \"%s\"", options->labels);
    }
    for (const char *p = options->labels; *p; p++)
        o->labels += *p == ',';
    const char **names = espi_arena_alloc(ctx, arena, o->labels, sizeof *names);
    if (!names)
        return ESP_ERR_MEMORY;
    char *rest = options->labels;
    for (size_t i = 0; i < o->labels; i++)
        names[i] = strsep(&rest, ",");
    o->label_names = names;
    return ESP_OK;
}

static int init(esp_context *ctx, struct options *options)
{
    struct espi_arena arena = {0};
    int status = options->labels ? read_labels(ctx, options, &arena) : ESP_OK;
    if (!status)
        status = esp_checkpoint_init(ctx, &options->init);
    espi_arena_clear(&arena);
    return status;
}

/* Adds the named configs to the help. argp frees what differs from `text`. */
static char *list_configs(int key, const char *text, void *input)
{
    (void)input;
    char *help = NULL;
    size_t bytes;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)(uintptr_t)text;
    FILE *stream = open_memstream(&help, &bytes);
    if (!stream)
        return (char *)(uintptr_t)text;
    fprintf(stream, "Names of configs:\n");
    const char *name;
    char description[80];
    for (size_t i = 0; espi_config_list(i, &name, description); i++)
        fprintf(stream, "  %-16s %s\n", name, description);
    fclose(stream);
    return help;
}

int cmd_init(int argc, char **argv)
{
    static const struct argp argp = {option_table,
                                     parse_option,
                                     "CONFIG",
                                     "Writes a checkpoint directory with random weights, as the start of training or "
                                     "for benchmarks. CONFIG is a config.json or a name."
                                     "\vNames",
                                     NULL,
                                     list_configs,
                                     NULL};
    struct options options = {.init.watch = cli_watch(true)};
    cli_parse(&argp, "init", argc, argv, &options);
    cli_catch_signals(); // no temporary directory may stay behind
    esp_context *ctx = cli_context_new("init");
    int code = cli_exit_code(ctx, "init", init(ctx, &options));
    esp_context_free(ctx);
    return code;
}
