/* SPDX-License-Identifier: Apache-2.0
 * espalier init CONFIG --head H --seed N -o DIR: a checkpoint with random weights. */
#include "cli.h"

#include "base/file.h"
#include "base/file_temporary.h"
#include "base/memory.h"
#include "create/init/initial.h"
#include "create/train/train_options.h"
#include "create/vocab/random_vocab.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
    const char *config, *output, *vocab;
    char *labels;
    bool random_vocab, head_given, problem_given;
    struct espi_head_options head;
    struct espi_initial initial;
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
    if (!options->config)
        argp_error(state, "expected a CONFIG: a config.json, or a name that `espalier init --help` lists");
    if (!options->output)
        argp_error(state, "--output: expected a directory to write");
    if (!options->vocab == !options->random_vocab)
        argp_error(state, "expected either --vocab or --random-vocab");
    bool sequence = options->head_given && options->head.head == ESPI_HEAD_SEQUENCE;
    if (options->labels && !sequence && !(options->head_given && options->head.head == ESPI_HEAD_TOKEN))
        argp_error(state, "--labels goes with --head sequence or token");
    if (options->problem_given && !sequence)
        argp_error(state, "--problem goes with --head sequence");
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'H':
        options->head.head = (enum espi_head)cli_parse_word(state, "head", argument);
        options->head_given = true;
        break;
    case OPTION_LABELS:
        options->labels = argument;
        break;
    case OPTION_PROBLEM:
        options->head.problem = (enum espi_problem)cli_parse_word(state, "problem", argument);
        options->problem_given = true;
        break;
    case 'v':
        options->vocab = argument;
        break;
    case OPTION_RANDOM_VOCAB:
        options->random_vocab = true;
        break;
    case OPTION_MIMETIC:
        options->initial.mimetic = true;
        break;
    case 's':
        options->initial.seed = cli_parse_size(state, "seed", argument, 0, SIZE_MAX);
        break;
    case 'o':
        options->output = cli_parse_output_directory(state, argument);
        break;
    case ARGP_KEY_ARG:
        cli_take_argument(state, "CONFIG", argument, &options->config);
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
    if (!options->labels) {
        options->head.labels = options->head.problem == ESPI_REGRESSION ? 1 : 2;
        return ESP_OK;
    }
    if (options->labels[strspn(options->labels, "0123456789")] == 0) {
        options->head.labels = strtoul(options->labels, NULL, 10);
        return ESP_OK;
    }
    size_t count = 1;
    for (const char *p = options->labels; *p; p++)
        count += *p == ',';
    const char **names = espi_arena_alloc(ctx, arena, count, sizeof *names);
    if (!names)
        return ESP_ERR_MEMORY;
    char *rest = options->labels;
    for (size_t i = 0; i < count; i++) {
        names[i] = strsep(&rest, ",");
        bool other = *names[i] != 0;
        for (size_t j = 0; other && j < i; j++)
            other = strcmp(names[i], names[j]) != 0;
        if (!other)
            return espi_fail(ctx, ESP_ERR_ARGUMENT,
                             "--labels: expected another name for each, found \"%s\" as name %zu", names[i], i + 1);
    }
    options->head.labels = count;
    options->head.label_names = names;
    return ESP_OK;
}

/* The config of a file or of a well-known name, with the head and vocabulary size asked for. */
static int make_config(esp_context *ctx, const struct options *options, size_t vocab_size, struct espi_config *out)
{
    struct espi_config_changes changes = {.vocab_size = vocab_size};
    if (options->head_given)
        changes.head = &options->head;
    return espi_config_named(ctx, options->config, &changes, out);
}

/* The tokenizer's files in a directory of their own: made up, or those of a single file such as vocab.txt. */
static int write_tokenizer(esp_context *ctx, const struct options *options, size_t vocab_size, const char *directory)
{
    if (options->random_vocab)
        return espi_random_vocab_write(ctx, vocab_size, directory);
    esp_tokenizer *tokenizer;
    int status = esp_tokenizer_open(ctx, options->vocab, &tokenizer);
    if (status)
        return status;
    status = espi_tokenizer_write_directory(ctx, tokenizer, directory);
    esp_tokenizer_free(tokenizer);
    return status;
}

static int write_with_tokenizer(esp_context *ctx, const struct options *options, struct espi_config *config)
{
    if (options->vocab && espi_path_is_directory(options->vocab))
        return espi_initial_write(ctx, config, options->vocab, &options->initial, options->output);
    const char *base = getenv("TMPDIR");
    struct espi_temporary directory;
    int status = espi_temporary_directory(ctx, base && *base ? base : "/tmp", "espalier-vocab", &directory);
    if (status)
        return espi_fail_prefix(ctx, status, "TMPDIR");
    status = write_tokenizer(ctx, options, config->vocab_size, directory.path);
    if (!status)
        status = espi_initial_write(ctx, config, directory.path, &options->initial, options->output);
    int removed = espi_remove_tree(status ? NULL : ctx, directory.path);
    close(directory.fd);
    return status ? status : removed;
}

static int init(esp_context *ctx, struct options *options)
{
    struct espi_arena arena = {0};
    struct espi_config config = {0};
    size_t vocab_size = 0;
    int status = espi_output_dir_check(ctx, options->output);
    if (!status)
        status = read_labels(ctx, options, &arena);
    if (!status && options->vocab)
        status = espi_initial_vocab_size(ctx, options->vocab, &vocab_size);
    if (!status)
        status = make_config(ctx, options, vocab_size, &config);
    if (!status)
        status = write_with_tokenizer(ctx, options, &config);
    espi_config_clear(&config);
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
    struct options options = {.initial.watch = cli_watch(true)};
    cli_parse(&argp, "init", argc, argv, &options);
    cli_catch_signals(); // no temporary directory may stay behind
    esp_context *ctx = cli_context_new("init");
    int code = cli_exit_code(ctx, "init", init(ctx, &options));
    esp_context_free(ctx);
    return code;
}
