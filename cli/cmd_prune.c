/* SPDX-License-Identifier: Apache-2.0
 * espalier prune CKPT --sparsity S -o DIR: pruning without training.
 *
 * The options are rows of src/create/train/train_options.inc, some by another name. */
#include "cli.h"

#include "base/size.h"
#include "create/train/one_shot.h"
#include "describe.h"
#include "task_options.h"

#include <stdio.h>
#include <string.h>

struct options {
    const char *output;
    bool json, quiet;
    esp_context *ctx;
    struct espi_train_options train;
};

enum { OPTION_FIRST = 1000, OWN_OPTIONS = 3 };

/* A flag and the training option it sets. */
static const struct shared {
    const char *flag, *option;
    const char *argument, *help; // NULL: those of the option
    int group;
} shared[] = {
    {"sparsity", "sparsity", NULL, NULL, 1},
    {"pattern", "pattern", NULL, "what becomes zero together (default 4x1: what the runtime's kernels skip)", 1},
    {"score", "score", NULL,
     "what a weight is worth (default magnitude); the others need --calibrate, and movement is made for training", 1},
    {"scope", "prune-scope", NULL, "where (default global: matrices compete; uniform: each alike)", 1},
    {"layer-max", "layer-max", NULL, NULL, 1},
    {"remove-heads", "remove-heads", NULL, "attention heads to remove: below 1 a share, else so many a layer", 1},
    {"remove-neurons", "remove-neurons", NULL, "feed-forward neurons to remove, likewise; of each layer as many", 1},
    {"calibrate", "train", "DATA", "labelled data of the task, whose gradients the scores are made of; may be repeated",
     2},
    {"task", "task", NULL, "of --calibrate (default: what the model's head is for)", 2},
    {"samples", "max-examples", "N", "examples (mlm: windows) of each file to use (default 512); 0: all", 2},
    {"batch-size", "batch-size", "N", "windows or examples of one gradient (default 8)", 2},
    {"batch-tokens", "batch-tokens", NULL, NULL, 2},
    {"max-length", "max-length", NULL, NULL, 2},
    {"stride", "stride", NULL, NULL, 2},
    {"text-column", "text-column", NULL, NULL, 2},
    {"pair-column", "pair-column", NULL, NULL, 2},
    {"label-column", "label-column", NULL, NULL, 2},
    {"pack", "pack", NULL, NULL, 2},
    {"mask-probability", "mask-probability", NULL, NULL, 2},
    {"contrastive", "contrastive", NULL, "embed: the other pairs of a batch are negatives; no labels are needed", 2},
    {"seed", "seed", NULL, "of the order of the data and of masks", 2},
    {"threads", "threads", NULL, NULL, 3},
};

static const struct argp_option own_options[OWN_OPTIONS] = {
    {"output", 'o', "DIR", 0, "where the result goes; a new or empty directory (required)", 0},
    {"json", 'j', NULL, 0, "print the report as one JSON object", 0},
    {"quiet", 'q', NULL, 0, "no progress on standard error", 0},
};

static int take_shared(struct options *options, const struct shared *row, const char *argument)
{
    const struct espi_train_option *option = espi_train_option_find(row->option);
    struct espi_train_option named = *option;
    named.name = row->flag; // for messages
    return espi_train_option_parse(options->ctx, &named, argument, &options->train);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    if (key >= OPTION_FIRST && key < OPTION_FIRST + (int)ESPI_COUNT(shared)) {
        if (take_shared(options, &shared[key - OPTION_FIRST], argument))
            argp_error(state, "%s", esp_last_error(options->ctx));
        return 0;
    }
    switch (key) {
    case 'o':
        options->output = cli_parse_output_directory(state, argument);
        break;
    case 'j':
        options->json = true;
        break;
    case 'q':
        options->quiet = true;
        break;
    case ARGP_KEY_ARG:
        cli_take_argument(state, "CKPT", argument, &options->train.model);
        break;
    case ARGP_KEY_END:
        if (!options->train.model)
            argp_error(state, "expected a checkpoint directory");
        if (!options->output)
            argp_error(state, "--output: expected a directory to write");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void make_table(struct argp_option table[])
{
    size_t at = 0;
    for (size_t i = 0; i < OWN_OPTIONS; i++)
        table[at++] = own_options[i];
    for (size_t i = 0; i < ESPI_COUNT(shared); i++) {
        const struct espi_train_option *option = espi_train_option_find(shared[i].option);
        table[at++] =
            (struct argp_option){.name = shared[i].flag,
                                 .key = OPTION_FIRST + (int)i,
                                 .arg = shared[i].argument ? shared[i].argument : cli_training_argument(option),
                                 .doc = shared[i].help ? shared[i].help : option->help,
                                 .group = shared[i].group};
    }
    table[at] = (struct argp_option){0};
}

static void print_text(const char *output, const json_t *report)
{
    size_t i;
    json_t *layer;
    printf("layer name              rows   cols    zeros %%  zero 4x1 %%\n");
    json_array_foreach(json_object_get(report, "linear_layers"), i, layer)
    {
        printf("%5lld %-16s %5lld  %5lld  %9.2f  %10.2f\n",
               (long long)json_integer_value(json_object_get(layer, "layer")),
               json_string_value(json_object_get(layer, "name")),
               (long long)json_integer_value(json_object_get(layer, "rows")),
               (long long)json_integer_value(json_object_get(layer, "cols")),
               100 * json_number_value(json_object_get(layer, "zeros")),
               100 * json_number_value(json_object_get(layer, "zero_blocks_4x1")));
    }
    const json_t *heads = json_object_get(report, "layer_heads");
    if (heads) {
        printf("heads left in each layer:");
        json_array_foreach(heads, i, layer) printf(" %lld", (long long)json_integer_value(layer));
        putchar('\n');
    }
    printf("%s: sparsity %.2f %%, in whole 4x1 blocks %.2f %%\n", output,
           100 * json_number_value(json_object_get(report, "sparsity")),
           100 * json_number_value(json_object_get(report, "sparsity_4x1")));
}

static int print_report(esp_context *ctx, const struct options *options, const struct espi_checkpoint *checkpoint)
{
    struct espi_json_writer w = {.stream = options->json ? stdout : NULL};
    json_t *report;
    espi_put_object(&w, NULL);
    cli_put_checkpoint(&w, checkpoint, NULL);
    espi_put_string(&w, "directory", options->output);
    espi_put_string(&w, "pattern", espi_pattern_words[options->train.pattern]);
    espi_put_string(&w, "score", espi_score_words[options->train.score]);
    espi_put_object_end(&w);
    if (options->json)
        return espi_json_writer_end(ctx, &w);
    int status = espi_json_written(ctx, &w, &report);
    if (!status)
        print_text(options->output, report);
    json_decref(report);
    return status;
}

static int prune(esp_context *ctx, struct options *options)
{
    const struct espi_watch watch = cli_inner_watch(options->quiet);
    struct espi_checkpoint checkpoint;
    int status = espi_prune_one_shot(ctx, &options->train, &watch, options->output, &checkpoint);
    if (!status)
        status = print_report(ctx, options, &checkpoint);
    espi_checkpoint_clear(&checkpoint);
    return status;
}

int cmd_prune(int argc, char **argv)
{
    static struct argp_option table[OWN_OPTIONS + ESPI_COUNT(shared) + 1];
    make_table(table);
    const struct argp argp = {table,
                              parse_option,
                              "CKPT",
                              "Removes weights of a checkpoint's linear layers without training. The result is an "
                              "ordinary checkpoint with zeros in it; espalier train --keep-mask trains it on."
                              "\vespalier train --sparsity prunes step by step while it trains, and loses less.",
                              NULL,
                              NULL,
                              NULL};
    struct options options = {.ctx = cli_context_new("prune")};
    espi_prune_options_default(&options.train);
    cli_parse(&argp, "prune", argc, argv, &options);
    cli_catch_signals();
    int code = cli_exit_code(options.ctx, "prune", prune(options.ctx, &options));
    esp_context_free(options.ctx);
    return code;
}
