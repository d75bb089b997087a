/* SPDX-License-Identifier: Apache-2.0
 * From text to windows of tokens: added tokens, words, model, truncation, template. */
#include "text/tokenizer_state.h"

#include "base/size.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

/* The text being encoded. */
struct encoder {
    esp_context *ctx;
    const esp_tokenizer *tokenizer;
    const unsigned char *text;
    struct espi_encode_workspace *workspace;
    struct espi_token_list *list;
    size_t limit; // tokens at which encoding stops
    const void *model;
    espi_model_split_fn *split;
    bool trims;
};

enum { FULL = 1 }; // a word (not an added token) has reached the limit

/* ---- words and added tokens --------------------------------------------------------------------------------------- */

static int reserve_tokens(struct encoder *encoder, size_t more)
{
    struct espi_token_list *list = encoder->list;
    return espi_grow(encoder->ctx, &list->data, &list->capacity, list->count + more, sizeof *list->data);
}

/* Takes code points off both ends of a token's place, but for one space that the tokenizer may have put before the text. */
static void trim(const struct encoder *encoder, struct espi_token *token, size_t leading, size_t trailing)
{
    uint32_t code;
    bool first = encoder->list->count == 0 && token == encoder->list->data;
    if (leading && encoder->tokenizer->trim_keeps_first && (first || token->char_begin == 0))
        leading--;
    for (; leading && token->char_begin < token->char_end; leading--, token->char_begin++)
        token->byte_begin +=
            (uint32_t)espi_utf8_decode(encoder->text + token->byte_begin, token->byte_end - token->byte_begin, &code);
    for (; trailing && token->char_begin < token->char_end; trailing--, token->char_end--)
        token->byte_end -= (uint32_t)espi_utf8_decode_before(encoder->text, token->byte_end, &code);
}

/* The white space that an added token has taken in. */
static void trim_added(const struct encoder *encoder, struct espi_token *token)
{
    size_t leading = 0, trailing = 0, begin = token->byte_begin, end = token->byte_end;
    for (uint32_t code; begin < end; leading++) {
        size_t length = espi_utf8_decode(encoder->text + begin, end - begin, &code);
        if (!espi_char_is(ESPI_CHAR_SPACE, code))
            break;
        begin += length;
    }
    for (uint32_t code; end > token->byte_begin; trailing++) {
        size_t length = espi_utf8_decode_before(encoder->text, end, &code);
        if (!espi_char_is(ESPI_CHAR_SPACE, code))
            break;
        end -= length;
    }
    trim(encoder, token, leading, trailing);
}

/* The spaces at the ends of a word's tokens. */
static void trim_word(const struct encoder *encoder, const struct espi_word *word, const struct espi_pieces *pieces,
                      size_t count, struct espi_token *tokens)
{
    for (size_t i = 0, at = 0; i < count; at = pieces->ends[i++]) {
        size_t leading = 0, trailing = 0, bytes = pieces->ends[i] - at;
        while (leading < bytes && word->bytes[at + leading] == ' ')
            leading++;
        while (trailing < bytes && word->bytes[pieces->ends[i] - trailing - 1] == ' ')
            trailing++;
        if (leading || trailing)
            trim(encoder, &tokens[i], leading, trailing);
    }
}

static int add_added(struct encoder *encoder, size_t which, const struct espi_unit *first, const struct espi_unit *last)
{
    int status = reserve_tokens(encoder, 1);
    struct espi_token_list *list = encoder->list;
    if (status)
        return status;
    struct espi_token *token = &list->data[list->count];
    *token = (struct espi_token){
        encoder->tokenizer->added[which].id, list->words, first->begin, last->end, first->index, last->index + 1};
    if (encoder->tokenizer->trim_offsets)
        trim_added(encoder, token);
    list->count++;
    return ESP_OK;
}

/* Places of the pieces of an ASCII word follow from its own. */
static void place_ascii(const struct espi_pieces *pieces, size_t count, const struct espi_word *word, uint32_t number,
                        struct espi_token *tokens)
{
    uint32_t begin = word->first.begin, index = word->first.index, at = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t end = pieces->ends[i];
        tokens[i] = (struct espi_token){pieces->ids[i], number, begin + at, begin + end, index + at, index + end};
        at = end;
    }
}

static void place(const struct espi_pieces *pieces, size_t count, const struct espi_word *word, uint32_t number,
                  struct espi_token *tokens)
{
    for (size_t i = 0, at = 0; i < count; at = pieces->ends[i++]) {
        if (i && pieces->ends[i] == at) {
            tokens[i] = tokens[i - 1];
            tokens[i].id = pieces->ids[i];
            continue;
        }
        const struct espi_unit *first = i == 0 ? &word->first : &word->from[at];
        const struct espi_unit *last = pieces->ends[i] == word->count ? &word->last : &word->from[pieces->ends[i] - 1];
        tokens[i] = (struct espi_token){pieces->ids[i], number, first->begin, last->end, first->index, last->index + 1};
    }
}

static int add_word(void *cookie, const struct espi_word *word)
{
    struct encoder *encoder = cookie;
    struct espi_pieces *pieces = &encoder->workspace->pieces;
    struct espi_token_list *list = encoder->list;
    if (word->added >= 0) {
        int status = word->chars ? add_added(encoder, (size_t)word->added, &word->first, &word->last) : ESP_OK;
        list->words++;
        return status;
    }
    int status = ESP_OK;
    if (list->capacity - list->count <= word->count)
        status = reserve_tokens(encoder, word->count + 1);
    if (!status && pieces->capacity <= word->count)
        status = espi_pieces_reserve(encoder->ctx, pieces, word->count);
    if (status)
        return status;
    size_t count = encoder->split(encoder->ctx, encoder->model, word, pieces);
    if (!count)
        return ESP_ERR_MEMORY;
    struct espi_token *tokens = list->data + list->count;
    if (count == 1 && !word->from && !encoder->trims) // most words
        *tokens = (struct espi_token){pieces->ids[0],    list->words++,
                                      word->first.begin, word->first.begin + (uint32_t)word->count,
                                      word->first.index, word->first.index + (uint32_t)word->count};
    else if (word->from)
        place(pieces, count, word, list->words++, tokens);
    else
        place_ascii(pieces, count, word, list->words++, tokens);
    if (encoder->trims)
        trim_word(encoder, word, pieces, count, tokens);
    list->count += count;
    return list->count >= encoder->limit ? FULL : ESP_OK;
}

/* An added token of the raw text. */
static int add_match(struct encoder *encoder, const struct espi_match *match, size_t *shift)
{
    if (match->begin == match->end)
        return ESP_OK;
    uint32_t code, index = (uint32_t)(match->begin - *shift);
    for (size_t at = match->begin, length; at < match->end; at += length) {
        length = espi_utf8_decode(encoder->text + at, match->end - at, &code);
        *shift += length - 1;
    }
    struct espi_unit first = {.begin = (uint32_t)match->begin, .index = index};
    struct espi_unit last = {.end = (uint32_t)match->end, .index = (uint32_t)(match->end - *shift - 1)};
    int status = add_added(encoder, match->added, &first, &last);
    encoder->list->words++;
    return status;
}

int espi_encode_text(esp_context *ctx, const esp_tokenizer *tokenizer, const char *text, size_t bytes, size_t limit,
                     struct espi_encode_workspace *workspace, struct espi_token_list *out)
{
    struct encoder encoder = {ctx,
                              tokenizer,
                              (const unsigned char *)text,
                              workspace,
                              out,
                              limit,
                              tokenizer->model.self,
                              tokenizer->model.form->model->split,
                              tokenizer->trim_offsets};
    const unsigned char *data = (const unsigned char *)text;
    struct espi_splitter *splitter = &workspace->splitter;
    size_t at = 0, shift = 0;
    struct espi_match match = {0};
    out->count = out->words = 0;
    int status = ESP_OK;
    while (!status && tokenizer->any_raw && espi_added_find_raw(tokenizer, data, bytes, &match)) {
        status = espi_split(ctx, tokenizer, data, at, match.begin, &shift, splitter, add_word, &encoder);
        if (!status)
            status = add_match(&encoder, &match, &shift);
        at = match.end;
    }
    if (!status)
        status = espi_split(ctx, tokenizer, data, at, bytes, &shift, splitter, add_word, &encoder);
    return status == FULL ? ESP_OK : status;
}

enum { KEPT_TOKENS = 1 << 16 }; // for which a workspace keeps its lists: they are copied into the encoding

/* ---- windows ----------------------------------------------------------------------------------------------------- */

static int reserve_tokens_out(esp_context *ctx, struct espi_encode_workspace *workspace, size_t tokens,
                              esp_encoding *out)
{
    if (tokens <= workspace->token_capacity)
        return ESP_OK;
    struct {
        void *array;
        size_t size;
    } arrays[] = {
        {&out->ids, sizeof *out->ids},           {&out->type_ids, sizeof *out->type_ids},
        {&out->special, sizeof *out->special},   {&out->sequences, sizeof *out->sequences},
        {&out->words, sizeof *out->words},       {&out->byte_begin, sizeof *out->byte_begin},
        {&out->byte_end, sizeof *out->byte_end}, {&out->char_begin, sizeof *out->char_begin},
        {&out->char_end, sizeof *out->char_end},
    };
    size_t capacity = workspace->token_capacity;
    for (size_t i = 0; i < ESPI_COUNT(arrays); i++) {
        capacity = workspace->token_capacity;
        int status = espi_grow(ctx, arrays[i].array, &capacity, tokens, arrays[i].size);
        if (status)
            return status;
    }
    workspace->token_capacity = capacity;
    return ESP_OK;
}

/* Tokens of all windows: every window of the text with every one of the pair. */
static int count_tokens(esp_context *ctx, const struct espi_encode_workspace *workspace, size_t added, size_t *tokens,
                        size_t *windows)
{
    size_t counts[2], sums[2] = {0};
    for (size_t s = 0; s < 2; s++) {
        counts[s] = workspace->windows[s].count;
        for (size_t i = 0; i < counts[s]; i++)
            sums[s] += workspace->windows[s].data[i].end - workspace->windows[s].data[i].begin;
    }
    size_t first, second, special;
    bool fits = espi_size_mul(counts[0], counts[1], windows) && espi_size_mul(sums[0], counts[1], &first) &&
                espi_size_mul(sums[1], counts[0], &second) && espi_size_mul(*windows, added, &special) &&
                espi_size_add(first, second, tokens) && espi_size_add(*tokens, special, tokens);
    if (!fits || *tokens > INT32_MAX || *windows > INT32_MAX)
        return espi_fail(ctx, ESP_ERR_LIMIT, "the windows have more than %d tokens together", INT32_MAX);
    return ESP_OK;
}

static void write_special(esp_encoding *out, const struct espi_piece *piece)
{
    size_t at = out->tokens++;
    out->ids[at] = piece->id;
    out->type_ids[at] = piece->type_id;
    out->special[at] = 1;
    out->sequences[at] = ESP_NO_SEQUENCE;
    out->words[at] = ESP_NO_WORD;
    out->byte_begin[at] = out->byte_end[at] = out->char_begin[at] = out->char_end[at] = 0;
}

static void write_range(esp_encoding *out, const struct espi_piece *piece, const struct espi_token_list *list,
                        struct espi_token_range range)
{
    size_t first = out->tokens, count = range.end - range.begin;
    if (!count)
        return; // there may be no arrays yet
    const struct espi_token *tokens = list->data + range.begin;
    for (size_t i = 0; i < count; i++) {
        out->ids[first + i] = tokens[i].id;
        out->words[first + i] = tokens[i].word;
        out->byte_begin[first + i] = tokens[i].byte_begin;
        out->byte_end[first + i] = tokens[i].byte_end;
        out->char_begin[first + i] = tokens[i].char_begin;
        out->char_end[first + i] = tokens[i].char_end;
    }
    memset(out->type_ids + first, piece->type_id, count);
    memset(out->special + first, 0, count);
    memset(out->sequences + first, piece->sequence, count);
    out->tokens += count;
}

/* One window: part numbers[s] of sequence s, in the template. */
static void write_window(const struct espi_template *template, bool special, const size_t numbers[2],
                         const struct espi_encode_workspace *workspace, esp_encoding *out)
{
    for (size_t i = 0; i < template->count; i++) {
        const struct espi_piece *piece = &template->pieces[i];
        if (piece->sequence == ESPI_PIECE_SPECIAL) {
            if (special)
                write_special(out, piece);
            continue;
        }
        struct espi_token_range range = workspace->windows[piece->sequence].data[numbers[piece->sequence]];
        write_range(out, piece, &workspace->lists[piece->sequence], range);
    }
    out->starts[++out->windows] = (uint32_t)out->tokens;
}

/* The peer's order: the first window of both; then the later parts of the sequence the template names first, each with
 * every part of the other; then its first part with the later parts of the other. */
static void write_windows(const struct espi_template *template, bool special,
                          const struct espi_encode_workspace *workspace, esp_encoding *out)
{
    size_t outer = 0;
    for (size_t i = template->count; i-- > 0;)
        if (template->pieces[i].sequence != ESPI_PIECE_SPECIAL)
            outer = (size_t) template->pieces[i].sequence;
    size_t numbers[2] = {0}, outer_count = workspace->windows[outer].count;
    size_t inner_count = workspace->windows[!outer].count;
    out->windows = out->tokens = 0;
    out->starts[0] = 0;
    write_window(template, special, numbers, workspace, out);
    for (numbers[outer] = 1; numbers[outer] < outer_count; numbers[outer]++)
        for (numbers[!outer] = 0; numbers[!outer] < inner_count; numbers[!outer]++)
            write_window(template, special, numbers, workspace, out);
    numbers[outer] = 0;
    for (numbers[!outer] = 1; numbers[!outer] < inner_count; numbers[!outer]++)
        write_window(template, special, numbers, workspace, out);
}

int espi_encoding_prepare(esp_context *ctx, esp_encoding *out)
{
    out->windows = out->tokens = 0;
    if (!out->workspace)
        out->workspace = espi_calloc(ctx, 1, sizeof(struct espi_encode_workspace));
    return out->workspace ? ESP_OK : ESP_ERR_MEMORY;
}

int espi_encoding_write(esp_context *ctx, const struct espi_template *template, bool special,
                        struct espi_encode_workspace *workspace, esp_encoding *out)
{
    size_t tokens = 0, windows = 0;
    int status = count_tokens(ctx, workspace, special ? template->special : 0, &tokens, &windows);
    if (!status)
        status = reserve_tokens_out(ctx, workspace, espi_size_max(tokens, 1), out);
    if (!status)
        status = espi_grow(ctx, &out->starts, &workspace->start_capacity, windows + 1, sizeof *out->starts);
    if (!status)
        write_windows(template, special, workspace, out);
    for (size_t s = 0; s < 2; s++) {
        struct espi_token_list *list = &workspace->lists[s];
        if (list->capacity > KEPT_TOKENS) {
            free(list->data);
            *list = (struct espi_token_list){0};
        }
    }
    return status;
}

static bool cuts_left(const esp_tokenizer *tokenizer, const esp_encode_options *options)
{
    return options->truncation_side == ESP_TRUNCATE_DEFAULT ? tokenizer->truncate_left
                                                            : options->truncation_side == ESP_TRUNCATE_LEFT;
}

/* Tokens at which each text may be left: what lies behind max_length of them cannot show in the first window, but only
 * a text that may be truncated, at its end, can be left. */
static void get_limits(const esp_encode_options *options, bool left, size_t limits[2])
{
    bool stop =
        !left && options->truncation != ESP_TRUNCATE_NONE && (!options->overflow || options->stop_at_max_length);
    limits[0] = stop && options->truncation != ESP_TRUNCATE_ONLY_SECOND ? options->max_length : SIZE_MAX;
    limits[1] = stop && options->truncation != ESP_TRUNCATE_ONLY_FIRST ? options->max_length : SIZE_MAX;
}

int esp_encode(esp_context *ctx, const esp_tokenizer *tokenizer, const char *text, size_t text_bytes, const char *pair,
               size_t pair_bytes, const esp_encode_options *options, esp_encoding *out)
{
    static const esp_encode_options plain = {0};
    if (!text && text_bytes == 0)
        text = "";
    if (!tokenizer || !text || !out)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_encode: the tokenizer, text or encoding is NULL");
    if (text_bytes > INT32_MAX || (pair && pair_bytes > INT32_MAX))
        return espi_fail(ctx, ESP_ERR_LIMIT, "esp_encode: a text has more than %d bytes", INT32_MAX);
    if (!options)
        options = &plain;
    if (options->truncation > ESP_TRUNCATE_ONLY_SECOND)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_encode: unknown truncation %d", (int)options->truncation);
    if (options->truncation_side > ESP_TRUNCATE_LEFT)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_encode: unknown truncation_side %d",
                         (int)options->truncation_side);
    int status = ESPI_RESERVED_CHECK(ctx, "esp_encode_options", options, reserved_flags);
    if (!status)
        status = espi_encoding_prepare(ctx, out);
    if (status)
        return status;
    struct espi_encode_workspace *workspace = out->workspace;
    const struct espi_template *template = pair ? &tokenizer->pair : &tokenizer->single;
    bool special = !options->no_special_tokens, left = cuts_left(tokenizer, options);
    size_t added = special ? template->special : 0, limits[2];
    get_limits(options, left, limits);
    status = espi_encode_text(ctx, tokenizer, text, text_bytes, limits[0], workspace, &workspace->lists[0]);
    workspace->lists[1].count = 0;
    if (!status && pair)
        status = espi_encode_text(ctx, tokenizer, pair, pair_bytes, limits[1], workspace, &workspace->lists[1]);
    if (!status)
        status = espi_truncate(ctx, options, left, added, pair, workspace);
    return status ? status : espi_encoding_write(ctx, template, special, workspace, out);
}

void esp_encoding_clear(esp_encoding *encoding)
{
    if (!encoding)
        return;
    struct espi_encode_workspace *workspace = encoding->workspace;
    if (workspace) {
        for (size_t i = 0; i < 2; i++) {
            free(workspace->lists[i].data);
            free(workspace->windows[i].data);
        }
        espi_splitter_clear(&workspace->splitter);
        espi_pieces_clear(&workspace->pieces);
        free(workspace);
    }
    void *arrays[] = {encoding->starts,     encoding->ids,     encoding->type_ids,   encoding->special,
                      encoding->sequences,  encoding->words,   encoding->byte_begin, encoding->byte_end,
                      encoding->char_begin, encoding->char_end};
    for (size_t i = 0; i < ESPI_COUNT(arrays); i++)
        free(arrays[i]);
    *encoding = (esp_encoding){0};
}
