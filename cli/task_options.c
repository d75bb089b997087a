/* SPDX-License-Identifier: Apache-2.0 */
#include "task_options.h"

#include "cli.h"

#include "base/size.h"
#include "eval/dataset.h"

#include <stdio.h>
#include <string.h>

enum {
    OPTION_MAX_LENGTH = 1000,
    OPTION_STRIDE,
    OPTION_THREADS,
    OPTION_BATCH_TOKENS,
    OPTION_TOP_K,
    OPTION_MAX_QUESTION,
    OPTION_MAX_ANSWER,
    OPTION_N_BEST,
    OPTION_IMPOSSIBLE,
    OPTION_NULL_THRESHOLD,
    OPTION_NO_ALIGN,
    OPTION_FUNCTION,
    OPTION_AGGREGATION,
    OPTION_IGNORE_LABEL,
    OPTION_FORMAT,
    OPTION_TEXT,
    OPTION_PAIR,
    OPTION_LABEL,
    OPTION_WORD,
    OPTION_PACK,
    OPTION_MASK_PROBABILITY,
    OPTION_SEED,
};

static const char bar_and_tasks[] = ""
#define TASK(name) "|" #name
#include "tasks/tasks.inc"
#undef TASK
    ;
#define TASK_WORDS (bar_and_tasks + 1)

static const struct argp_option task_table[] = {
    {"task", 't', TASK_WORDS, 0,
     "what is asked of the model (default: what its head is for; it says the head where config.json does not)", 1},
    {"threads", OPTION_THREADS, "N", 0, "threads (default: ESPALIER_THREADS, else all cores this process may use)", 1},
    {"batch-tokens", OPTION_BATCH_TOKENS, "N", 0, "most tokens of a batch (default 4096)", 1},
    {"max-length", OPTION_MAX_LENGTH, "N", 0, "tokens of a window (default: qa 384, else what the model takes)", 1},
    {"stride", OPTION_STRIDE, "N", 0, "tokens that windows of one text share (default: qa 128)", 1},
    {"top-k", OPTION_TOP_K, "N", 0, "answers wanted (default 1, mlm 5); \"all\": every label", 1},
    {0, 0, NULL, 0, "Question answering:", 2},
    {"max-question-length", OPTION_MAX_QUESTION, "N", 0, "tokens a question may have (default 64)", 2},
    {"max-answer-length", OPTION_MAX_ANSWER, "N", 0, "tokens an answer may have (default 15; eval 30)", 2},
    {"handle-impossible", OPTION_IMPOSSIBLE, NULL, 0, "\"\" is a possible answer", 2},
    {"null-threshold", OPTION_NULL_THRESHOLD, "X", 0, "\"\" must score higher by more than this (default 0)", 2},
    {"no-align-words", OPTION_NO_ALIGN, NULL, 0, "answers may begin or end inside a word", 2},
    {0, 0, NULL, 0, "Classification and tagging:", 3},
    {"function", OPTION_FUNCTION, "softmax|sigmoid|none", 0,
     "from outputs to scores (default: what the model's files say)", 3},
    {"aggregation", OPTION_AGGREGATION, "none|simple|first|average|max", 0, "of tags to entities (default none)", 3},
    {"ignore-label", OPTION_IGNORE_LABEL, "LABEL", 0, "tag left out of answers (default O); may be repeated", 3},
    {0},
};

/* What is read or scored only with a data set. */
static const struct argp_option data_table[] = {
    {"n-best", OPTION_N_BEST, "N", 0, "spans considered of a window when evaluating (default 20)", 2},
    {0, 0, NULL, 0, "Data files (a column is a name, or a number from 1):", 4},
    {"format", OPTION_FORMAT, "auto|tsv|csv|jsonl", 0, "of the file (default auto: by its content)", 4},
    {"text-column", OPTION_TEXT, "COLUMN", 0, "the text (default: by well-known names)", 4},
    {"pair-column", OPTION_PAIR, "COLUMN", 0, "the second text", 4},
    {"label-column", OPTION_LABEL, "COLUMN", 0, "the label or tag", 4},
    {"word-column", OPTION_WORD, "COLUMN", 0, "the word (tag)", 4},
    {0, 0, NULL, 0, "Masked language model:", 5},
    {"pack", OPTION_PACK, "document|file|line", 0,
     "what a window of text does not reach beyond (default document; blank lines part documents)", 5},
    {"mask-probability", OPTION_MASK_PROBABILITY, "P", 0, "share of tokens masked (default 0.15)", 5},
    {"seed", OPTION_SEED, "N", 0, "of the masking (default 0)", 5},
    {0},
};

/* --ignore-label may be repeated; the list lives as long as the program's arguments do. */
static void add_ignored_label(struct argp_state *state, struct espi_task_options *options, const char *label)
{
    enum { MOST = 64 };
    static const char *labels[MOST];
    if (options->ignored_label_count == MOST)
        argp_error(state, "--ignore-label: expected at most %d of them", MOST);
    labels[options->ignored_label_count++] = label;
    options->ignored_labels = labels;
}

static bool parse_qa(struct espi_task_options *o, int key, char *argument, struct argp_state *state)
{
    switch (key) {
    case OPTION_MAX_QUESTION:
        o->max_question_length = cli_parse_size(state, "max-question-length", argument, 1, 1 << 20);
        return true;
    case OPTION_MAX_ANSWER:
        o->max_answer_length = cli_parse_size(state, "max-answer-length", argument, 1, 1 << 20);
        return true;
    case OPTION_IMPOSSIBLE:
        o->handle_impossible = true;
        return true;
    case OPTION_NULL_THRESHOLD:
        o->null_threshold = cli_parse_number(state, "null-threshold", argument, -1e6, 1e6);
        return true;
    case OPTION_NO_ALIGN:
        o->no_align_words = true;
        return true;
    default:
        return false;
    }
}

static bool parse_labels(struct espi_task_options *o, int key, char *argument, struct argp_state *state)
{
    switch (key) {
    case OPTION_FUNCTION:
        o->function = (enum espi_function)(ESPI_FUNCTION_SOFTMAX + cli_parse_word(state, "function", argument));
        return true;
    case OPTION_AGGREGATION:
        o->aggregation = (enum espi_aggregation)cli_parse_word(state, "aggregation", argument);
        return true;
    case OPTION_IGNORE_LABEL:
        add_ignored_label(state, o, argument);
        return true;
    default:
        return false;
    }
}

static error_t parse_task_option(int key, char *argument, struct argp_state *state)
{
    struct cli_task_options *options = state->input;
    struct espi_task_options *o = &options->task_options;
    switch (key) {
    case 't':
        cli_parse_word(state, "task", argument);
        options->task = espi_task_find(argument);
        return 0;
    case OPTION_THREADS:
        options->threads = cli_parse_size(state, "threads", argument, 1, 1024);
        return 0;
    case OPTION_BATCH_TOKENS:
        options->batch_tokens = cli_parse_size(state, "batch-tokens", argument, 1, 1 << 24);
        return 0;
    case OPTION_MAX_LENGTH:
        o->max_length = cli_parse_size(state, "max-length", argument, 1, 1 << 20);
        o->length_strict = true;
        return 0;
    case OPTION_STRIDE:
        o->stride = cli_parse_size(state, "stride", argument, 0, 1 << 20);
        o->no_stride = o->stride == 0;
        return 0;
    case OPTION_TOP_K:
        o->top_k = strcmp(argument, "all") == 0 ? ESPI_ALL : cli_parse_size(state, "top-k", argument, 1, 1 << 20);
        return 0;
    default:
        return parse_qa(o, key, argument, state) || parse_labels(o, key, argument, state) ? 0 : ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_data_option(int key, char *argument, struct argp_state *state)
{
    struct cli_task_options *options = state->input;
    struct espi_task_options *o = &options->task_options;
    switch (key) {
    case OPTION_N_BEST:
        o->n_best = cli_parse_size(state, "n-best", argument, 1, 1000);
        return 0;
    case OPTION_FORMAT:
        o->format = (enum espi_format)cli_parse_word(state, "format", argument);
        return 0;
    case OPTION_TEXT:
        o->text_column = argument;
        return 0;
    case OPTION_PAIR:
        o->pair_column = argument;
        return 0;
    case OPTION_LABEL:
        o->label_column = argument;
        return 0;
    case OPTION_WORD:
        o->word_column = argument;
        return 0;
    case OPTION_PACK:
        o->pack = (enum espi_pack)cli_parse_word(state, "pack", argument);
        return 0;
    case OPTION_MASK_PROBABILITY:
        o->mask_probability = cli_parse_number(state, "mask-probability", argument, 0.001, 1);
        return 0;
    case OPTION_SEED:
        o->seed = cli_parse_size(state, "seed", argument, 0, SIZE_MAX);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp cli_task_argp = {task_table, parse_task_option, NULL, NULL, NULL, NULL, NULL};
const struct argp cli_data_argp = {data_table, parse_data_option, NULL, NULL, NULL, NULL, NULL};

esp_data_options cli_data_options(const struct cli_task_options *options)
{
    const struct espi_task_options *o = &options->task_options;
    esp_data_options data = {.scores = (esp_scores)o->function,
                             .format = (esp_format)o->format,
                             .pack = (esp_pack)o->pack,
                             .no_stride = o->no_stride,
                             .may_be_empty = o->handle_impossible,
                             .max_length = o->max_length,
                             .stride = o->stride,
                             .max_question_length = o->max_question_length,
                             .max_answer_length = o->max_answer_length,
                             .n_best = o->n_best,
                             .null_threshold = o->null_threshold,
                             .mask_probability = o->mask_probability,
                             .seed = o->seed,
                             .text_column = o->text_column,
                             .pair_column = o->pair_column,
                             .label_column = o->label_column,
                             .word_column = o->word_column};
    for (esp_task task = ESP_TASK_QA; options->task && task <= ESP_TASK_MLM; task++)
        if (strcmp(esp_task_name(task), options->task->name) == 0)
            data.task = task;
    return data;
}

const char *cli_training_argument(const struct espi_train_option *option)
{
    char *text = NULL;
    size_t bytes;
    if (strcmp(option->name, "task") == 0)
        return TASK_WORDS;
    FILE *stream = option->words ? open_memstream(&text, &bytes) : NULL;
    if (!stream)
        return option->argument;
    for (size_t i = 0; option->words[i]; i++)
        fprintf(stream, "%s%s", i ? "|" : "", option->words[i]);
    fclose(stream);
    return text ? text : option->argument;
}
