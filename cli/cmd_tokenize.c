/* SPDX-License-Identifier: Apache-2.0
 * espalier tokenize MODEL: {"text","pair"?} lines in, tokens and offsets out. */
#include "cli.h"
#include "create/open/any_model.h"
#include "jsonl.h"

#include <string.h>

struct options {
    const char *model, *input;
    bool strict, truncation_given;
    size_t max_line;
    esp_encode_options encode;
};

enum { OPTION_MAX_LINE = 2000 };

static const struct argp_option option_table[] = {
    {"input", 'i', "FILE", 0, "read JSON Lines from FILE instead of standard input", 0},
    {"max-length", 'l', "N", 0, "tokens of a window, special tokens included (default: no limit)", 0},
    {"stride", 's', "N", 0, "tokens that consecutive windows share (default 0)", 0},
    {"truncation", 't', "longest_first|only_first|only_second", 0,
     "what is cut of two texts (default with --max-length longest_first)", 0},
    {"whole-text", 'w', NULL, 0,
     "windows to the end of the text (as run and eval do); without it a text longer than --max-length is cut first, as "
     "Hugging Face tokenizers 0.23 does",
     0},
    {"no-special-tokens", 'n', NULL, 0, "add neither [CLS] nor [SEP]", 0},
    {"max-line", OPTION_MAX_LINE, "BYTES", 0,
     "bytes a line may have (default 16777216); a longer one is answered by an error", 0},
    {"strict", 'S', NULL, 0, "stop at the first line that cannot be used", 0},
    {0},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'i':
        options->input = argument;
        break;
    case 'l':
        options->encode.max_length = cli_parse_size(state, "max-length", argument, 1, INT32_MAX);
        break;
    case 's':
        options->encode.stride = cli_parse_size(state, "stride", argument, 0, INT32_MAX);
        break;
    case 't':
        options->encode.truncation =
            (esp_truncation)(ESP_TRUNCATE_LONGEST_FIRST + cli_parse_word(state, "truncation", argument));
        options->truncation_given = true;
        break;
    case 'w':
        options->encode.stop_at_max_length = false;
        break;
    case 'n':
        options->encode.no_special_tokens = true;
        break;
    case OPTION_MAX_LINE:
        options->max_line = cli_parse_size(state, "max-line", argument, 1, 1 << 30);
        break;
    case 'S':
        options->strict = true;
        break;
    case ARGP_KEY_ARG:
        cli_take_argument(state, "MODEL", argument, &options->model);
        break;
    case ARGP_KEY_END:
        if (!options->model)
            argp_error(state, "expected a MODEL: a checkpoint directory, compiled file, tokenizer.json or vocab.txt");
        if (!options->encode.max_length && (options->truncation_given || options->encode.stride))
            argp_error(state, "--truncation and --stride need --max-length");
        if (options->encode.max_length && !options->truncation_given)
            options->encode.truncation = ESP_TRUNCATE_LONGEST_FIRST;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void put_integers(struct espi_json_writer *w, const char *key, const struct esp_encoding *encoding,
                         size_t window, int32_t (*of)(const esp_encoding *, size_t token))
{
    espi_put_array(w, key);
    for (size_t t = encoding->starts[window]; t < encoding->starts[window + 1]; t++)
        espi_put_integer(w, NULL, of(encoding, t));
    espi_put_array_end(w);
}

static int32_t id_of(const esp_encoding *encoding, size_t token)
{
    return encoding->ids[token];
}

static int32_t type_of(const esp_encoding *encoding, size_t token)
{
    return encoding->type_ids[token];
}

static int32_t special_of(const esp_encoding *encoding, size_t token)
{
    return encoding->special[token];
}

/* The members "ids", "type_ids", "tokens", "offsets", "special_tokens_mask" of one window. */
static void put_window(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const esp_encoding *encoding,
                       size_t window)
{
    size_t begin = encoding->starts[window], end = encoding->starts[window + 1];
    put_integers(w, "ids", encoding, window, id_of);
    put_integers(w, "type_ids", encoding, window, type_of);
    espi_put_array(w, "tokens");
    for (size_t t = begin; t < end; t++)
        espi_put_string(w, NULL, esp_tokenizer_token(tokenizer, encoding->ids[t]));
    espi_put_array_end(w);
    espi_put_array(w, "offsets");
    for (size_t t = begin; t < end; t++) {
        espi_put_array(w, NULL);
        espi_put_integer(w, NULL, encoding->char_begin[t]);
        espi_put_integer(w, NULL, encoding->char_end[t]);
        espi_put_array_end(w);
    }
    espi_put_array_end(w);
    put_integers(w, "special_tokens_mask", encoding, window, special_of);
}

static int print_encoding(esp_context *ctx, struct espi_text id, const esp_tokenizer *tokenizer,
                          const esp_encoding *encoding)
{
    struct espi_json_writer w = {.stream = stdout};
    cli_jsonl_begin(&w, id);
    put_window(&w, tokenizer, encoding, 0);
    espi_put_array(&w, "overflow");
    for (size_t window = 1; window < encoding->windows; window++) {
        espi_put_object(&w, NULL);
        put_window(&w, tokenizer, encoding, window);
        espi_put_object_end(&w);
    }
    espi_put_array_end(&w);
    espi_put_object_end(&w);
    return espi_json_writer_end(ctx, &w);
}

struct tokenizing {
    const struct options *options;
    const esp_tokenizer *tokenizer;
    struct cli_jsonl in;
    esp_encoding encoding;
};

static int encode_line(esp_context *ctx, struct tokenizing *work, const struct espi_json *line)
{
    const char *text, *pair = NULL;
    size_t text_bytes, pair_bytes = 0;
    int status = espi_json_get_string(ctx, line, "text", &text, &text_bytes);
    if (!status && espi_json_has(line, "pair"))
        status = espi_json_get_string(ctx, line, "pair", &pair, &pair_bytes);
    if (status)
        return status;
    status =
        esp_encode(ctx, work->tokenizer, text, text_bytes, pair, pair_bytes, &work->options->encode, &work->encoding);
    return status ? espi_fail_prefix(ctx, status, "%s", line->source) : ESP_OK;
}

static int tokenize_line(void *cookie, esp_context *ctx, size_t number, const struct espi_json *line, int status)
{
    struct tokenizing *work = cookie;
    struct espi_text id = cli_jsonl_id(&work->in, line);
    if (!status)
        status = encode_line(ctx, work, line);
    if (status)
        return cli_jsonl_error(ctx, &work->in, number, id, status, esp_last_error(ctx));
    return print_encoding(ctx, id, work->tokenizer, &work->encoding);
}

int cmd_tokenize(int argc, char **argv)
{
    static const struct argp argp = {
        option_table,
        parse_option,
        "MODEL",
        "Tokenizes JSON Lines {\"text\", \"pair\"?, \"id\"?} as the model's tokenizer does."
        "\vAnswers are {\"ids\", \"type_ids\", \"tokens\", \"offsets\", \"special_tokens_mask\", \"overflow\"}, a line "
        "for "
        "each line, in order; offsets count code points of the original text. A line that cannot be used is answered "
        "by "
        "{\"line\", \"error\"}, and the exit status is then 1.",
        NULL,
        NULL,
        NULL};
    struct options options = {.encode = {.overflow = true, .stop_at_max_length = true}};
    cli_parse(&argp, "tokenize", argc, argv, &options);
    cli_catch_signals();
    esp_context *ctx = cli_context_new("tokenize");
    struct espi_any_model model;
    static const char *const members[] = {"text", "pair", NULL};
    struct tokenizing work = {.options = &options,
                              .in = {.command = "tokenize", .strict = options.strict, .members = members}};
    int status = espi_any_tokenizer_open(ctx, options.model, &model);
    work.tokenizer = model.tokenizer;
    if (!status)
        status = cli_jsonl_open(ctx, &work.in, options.input, options.max_line);
    if (!status)
        status = cli_jsonl_each(ctx, &work.in, tokenize_line, &work);
    int code = cli_jsonl_exit_code(ctx, &work.in, status);
    espi_lines_close(&work.in.lines);
    esp_encoding_clear(&work.encoding);
    espi_any_model_close(&model);
    esp_context_free(ctx);
    return code;
}
