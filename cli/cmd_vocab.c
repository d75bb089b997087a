/* SPDX-License-Identifier: Apache-2.0
 * espalier vocab TEXT...: trains a vocabulary. */
#include "cli.h"

struct options {
    esp_vocabulary_options vocabulary;
    bool quiet;
};

enum {
    OPTION_CASED = 1000,
    OPTION_KEEP_ACCENTS,
    OPTION_STRIP_ACCENTS,
    OPTION_MIN_FREQUENCY,
    OPTION_LIMIT_ALPHABET,
    OPTION_MODEL
};

static const struct argp_option option_table[] = {
    {"size", 'n', "N", 0, "tokens, the special ones included (default 30522)", 0},
    {"output", 'o', "DIR", 0, "where to write; a new or empty directory (required)", 0},
    {"model", OPTION_MODEL, "wordpiece|bpe|unigram", 0,
     "as BERT's (default wordpiece), as RoBERTa's (over bytes) or as XLM-RoBERTa's", 0},
    {"cased", OPTION_CASED, NULL, 0, "keep upper case (and accents); the other models always do", 0},
    {"keep-accents", OPTION_KEEP_ACCENTS, NULL, 0, "keep accents in lower case too", 0},
    {"strip-accents", OPTION_STRIP_ACCENTS, NULL, 0, "strip accents with --cased too", 0},
    {"min-frequency", OPTION_MIN_FREQUENCY, "N", 0, "a pair must occur so often to be merged (default 2)", 0},
    {"limit-alphabet", OPTION_LIMIT_ALPHABET, "N", 0, "most characters kept, the frequent ones (default 1000; 0: all)",
     0},
    {"quiet", 'q', NULL, 0, "no progress on standard error", 0},
    {0},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    esp_vocabulary_options *o = &options->vocabulary;
    switch (key) {
    case 'n':
        o->size = cli_parse_size(state, "size", argument, 6, 1 << 24);
        break;
    case 'o':
        o->output = cli_parse_output_directory(state, argument);
        break;
    case OPTION_MODEL:
        o->model = (esp_vocabulary_model)cli_parse_word(state, "model", argument);
        break;
    case OPTION_CASED:
        o->cased = true;
        break;
    case OPTION_KEEP_ACCENTS:
        o->keep_accents = true;
        break;
    case OPTION_STRIP_ACCENTS:
        o->strip_accents = true;
        break;
    case OPTION_MIN_FREQUENCY:
        o->min_frequency = cli_parse_size(state, "min-frequency", argument, 1, SIZE_MAX);
        break;
    case OPTION_LIMIT_ALPHABET:
        o->limit_alphabet = cli_parse_size(state, "limit-alphabet", argument, 0, 0x110000);
        o->limit_alphabet = o->limit_alphabet ? o->limit_alphabet : ESP_ALL;
        break;
    case 'q':
        options->quiet = true;
        break;
    case ARGP_KEY_ARGS:
        o->texts = (const char *const *)state->argv + state->next;
        o->text_count = (size_t)(state->argc - state->next);
        break;
    case ARGP_KEY_END:
        if (!o->text_count)
            argp_error(state, "expected text files (\"-\": standard input)");
        if (!o->output)
            argp_error(state, "--output: expected a directory to write");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int cmd_vocab(int argc, char **argv)
{
    static const struct argp argp = {option_table,
                                     parse_option,
                                     "TEXT...",
                                     "Trains a vocabulary from text files and writes tokenizer.json, "
                                     "tokenizer_config.json and, of WordPiece, vocab.txt."
                                     "\vThe result depends on the text only: the same words give the same files.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct options options = {0};
    cli_parse(&argp, "vocab", argc, argv, &options);
    cli_catch_signals();
    esp_context *ctx = cli_context_new("vocab");
    options.vocabulary.watch = cli_watch(options.quiet);
    int code = cli_exit_code(ctx, "vocab", esp_vocabulary_train(ctx, &options.vocabulary));
    esp_context_free(ctx);
    return code;
}
