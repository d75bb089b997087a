/* SPDX-License-Identifier: Apache-2.0
 * From text to windows of tokens: added tokens, words, WordPiece, truncation, template. */
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
    size_t limit;                  // tokens at which encoding stops
    bool full;                     // a word (not an added token) has reached the limit
    size_t word_bytes, word_chars; // of the pending word; bytes past max_word_chars are not kept
    struct espi_unit first, last;  // of the pending word
};

/* ---- words ------------------------------------------------------------------------------------------------------- */

/* Greedy longest match first. Returns the number of pieces, their ids and ends; 0 when the word is unknown. */
static size_t split_word(const esp_tokenizer *tokenizer, const unsigned char *word, size_t bytes, int32_t *ids,
                         uint32_t *ends)
{
    size_t count = 0;
    uint32_t root = ESPI_ROOT_START;
    for (size_t at = 0; at < bytes; root = ESPI_ROOT_CONTINUE) {
        size_t length = espi_trie_longest(&tokenizer->trie, root, word + at, bytes - at, &ids[count]);
        if (!length)
            return 0;
        at += length;
        ends[count++] = (uint32_t)at;
    }
    return count;
}

static int reserve_tokens(struct encoder *encoder, size_t more)
{
    struct espi_token_list *list = encoder->list;
    return espi_grow(encoder->ctx, &list->data, &list->capacity, list->count + more, sizeof *list->data);
}

/* One token for all of a word or of an added token; end_word or list->words++ is the caller's. */
static int add_word_token(struct encoder *encoder, int32_t id, const struct espi_unit *first,
                          const struct espi_unit *last)
{
    int status = reserve_tokens(encoder, 1);
    struct espi_token_list *list = encoder->list;
    if (!status)
        list->data[list->count++] =
            (struct espi_token){id, list->words, first->begin, last->end, first->index, last->index + 1};
    return status;
}

static void end_word(struct encoder *encoder)
{
    encoder->list->words++;
    encoder->full = encoder->list->count >= encoder->limit;
}

/* A word of ASCII letters text[begin .. end): places follow from the position; `shift` is bytes minus code points. */
static int add_ascii_word(struct encoder *encoder, size_t begin, size_t end, size_t shift)
{
    const esp_tokenizer *tokenizer = encoder->tokenizer;
    struct espi_encode_workspace *workspace = encoder->workspace;
    size_t bytes = end - begin, count = 0;
    int status = reserve_tokens(encoder, bytes);
    if (status)
        return status;
    if (bytes <= tokenizer->max_word_chars) {
        for (size_t i = 0; i < bytes; i++)
            workspace->word[i] = tokenizer->normalizer.ascii_out[encoder->text[begin + i]];
        count = split_word(tokenizer, workspace->word, bytes, workspace->piece_ids, workspace->piece_ends);
    }
    if (!count) {
        workspace->piece_ids[0] = tokenizer->special.unk;
        workspace->piece_ends[0] = (uint32_t)bytes;
        count = 1;
    }
    struct espi_token_list *list = encoder->list;
    struct espi_token *tokens = list->data + list->count;
    uint32_t at = (uint32_t)begin;
    for (size_t i = 0; i < count; i++) {
        uint32_t next = (uint32_t)begin + workspace->piece_ends[i];
        tokens[i] = (struct espi_token){workspace->piece_ids[i], list->words,           at, next,
                                        at - (uint32_t)shift,    next - (uint32_t)shift};
        at = next;
    }
    list->count += count;
    end_word(encoder);
    return ESP_OK;
}

static void push_code(struct encoder *encoder, uint32_t code, const struct espi_unit *unit)
{
    struct espi_encode_workspace *workspace = encoder->workspace;
    if (encoder->word_chars++ == 0)
        encoder->first = *unit;
    encoder->last = *unit;
    if (encoder->word_chars > encoder->tokenizer->max_word_chars)
        return;
    size_t length = espi_utf8_encode(code, workspace->word + encoder->word_bytes);
    for (size_t i = 0; i < length; i++)
        workspace->from[encoder->word_bytes++] = *unit;
}

/* Ends the pending word, if any. */
static int flush_word(struct encoder *encoder)
{
    const esp_tokenizer *tokenizer = encoder->tokenizer;
    struct espi_encode_workspace *workspace = encoder->workspace;
    size_t chars = encoder->word_chars, bytes = encoder->word_bytes;
    encoder->word_chars = encoder->word_bytes = 0;
    if (!chars || encoder->full)
        return ESP_OK;
    size_t count = chars > tokenizer->max_word_chars
                       ? 0
                       : split_word(tokenizer, workspace->word, bytes, workspace->piece_ids, workspace->piece_ends);
    if (!count) {
        int status = add_word_token(encoder, tokenizer->special.unk, &encoder->first, &encoder->last);
        end_word(encoder);
        return status;
    }
    int status = reserve_tokens(encoder, count);
    if (status)
        return status;
    struct espi_token_list *list = encoder->list;
    for (size_t i = 0, at = 0; i < count; at = workspace->piece_ends[i++]) {
        const struct espi_unit *first = &workspace->from[at], *last = &workspace->from[workspace->piece_ends[i] - 1];
        list->data[list->count++] = (struct espi_token){
            workspace->piece_ids[i], list->words, first->begin, last->end, first->index, last->index + 1};
    }
    end_word(encoder);
    return ESP_OK;
}

static int apply_step(struct encoder *encoder, uint32_t step, const struct espi_unit *unit)
{
    uint32_t payload = step >> ESPI_STEP_BITS, code = payload ? payload : unit->code;
    int status = ESP_OK;
    switch (step & ESPI_STEP_KIND) {
    case ESPI_STEP_LETTER:
        push_code(encoder, code, unit);
        break;
    case ESPI_STEP_SPACE:
        status = flush_word(encoder);
        break;
    case ESPI_STEP_ALONE:
        status = flush_word(encoder);
        push_code(encoder, code, unit);
        if (!status)
            status = flush_word(encoder);
        break;
    default:
        break;
    }
    return status;
}

/* ---- segments between added tokens ------------------------------------------------------------------------------- */

/* Code points up to the end of the word at *at, one by one. *shift is bytes minus code points so far. *order is set
 * where only espi_normalize knows what comes out. */
static int encode_word(struct encoder *encoder, size_t *at, size_t end, size_t *shift, bool *order)
{
    const struct espi_normalizer *normalizer = &encoder->tokenizer->normalizer;
    int status = ESP_OK;
    do {
        struct espi_unit unit = {.begin = (uint32_t)*at, .index = (uint32_t)(*at - *shift)};
        size_t length = espi_utf8_decode(encoder->text + *at, end - *at, &unit.code);
        *at += length;
        *shift += length - 1;
        unit.end = (uint32_t)*at;
        uint32_t step = espi_normalizer_step(normalizer, unit.code);
        switch (step & ESPI_STEP_KIND) {
        case ESPI_STEP_SEVERAL: {
            const uint32_t *several = normalizer->several + (step >> ESPI_STEP_BITS);
            for (uint32_t i = 1; i <= several[0] && !status; i++)
                status = apply_step(encoder, several[i], &unit);
            break;
        }
        case ESPI_STEP_ORDER:
            *order = true;
            return ESP_OK;
        default:
            status = apply_step(encoder, step, &unit);
            break;
        }
    } while (!status && *at < end && encoder->word_chars);
    return status ? status : flush_word(encoder);
}

/* text[*at .. end); *shift is bytes minus code points of what lies before. ASCII words take a short way. */
static int encode_by_table(struct encoder *encoder, size_t begin, size_t end, size_t *shift, bool *order)
{
    const struct espi_normalizer *normalizer = &encoder->tokenizer->normalizer;
    const unsigned char *text = encoder->text;
    int status = ESP_OK;
    for (size_t at = begin; at < end && !status && !*order && !encoder->full;) {
        switch (normalizer->ascii_kind[text[at]]) {
        case ESPI_STEP_SPACE:
        case ESPI_STEP_DROP:
            at++;
            continue;
        case ESPI_STEP_ALONE: {
            struct espi_unit unit = {0, (uint32_t)at, (uint32_t)at + 1, (uint32_t)(at - *shift)};
            status = add_word_token(encoder, encoder->tokenizer->ascii_alone[text[at]], &unit, &unit);
            end_word(encoder);
            at++;
            continue;
        }
        default:
            break;
        }
        size_t stop = at;
        while (stop < end && normalizer->ascii_kind[text[stop]] == ESPI_STEP_LETTER)
            stop++;
        uint8_t next = stop < end ? normalizer->ascii_kind[text[stop]] : ESPI_STEP_SPACE;
        if (next == ESPI_STEP_SPACE || next == ESPI_STEP_ALONE) {
            status = add_ascii_word(encoder, at, stop, *shift);
            at = stop;
        } else {
            status = encode_word(encoder, &at, end, shift, order);
        }
    }
    return status;
}

/* Units [begin, end) of the normalized text. */
static int encode_units(struct encoder *encoder, size_t begin, size_t end)
{
    int status = ESP_OK;
    for (size_t i = begin; i < end && !status && !encoder->full; i++) {
        const struct espi_unit *unit = &encoder->workspace->units.data[i];
        uint32_t step = ESPI_STEP_LETTER;
        if (espi_char_is(ESPI_CHAR_SPACE, unit->code))
            step = ESPI_STEP_SPACE;
        else if (espi_char_is(ESPI_CHAR_PUNCTUATION, unit->code))
            step = ESPI_STEP_ALONE;
        status = apply_step(encoder, step, unit);
    }
    return status ? status : flush_word(encoder);
}

/* The long way: all passes of the normalizer, then added tokens of the normalized text. */
static int encode_by_passes(struct encoder *encoder, size_t begin, size_t end, size_t *shift)
{
    const esp_tokenizer *tokenizer = encoder->tokenizer;
    struct espi_units *units = &encoder->workspace->units;
    uint32_t index = (uint32_t)(begin - *shift), code;
    int status = espi_normalize(encoder->ctx, &tokenizer->normalizer, encoder->text, begin, end, index, units);
    for (size_t at = begin, length; at < end; at += length) {
        length = espi_utf8_decode(encoder->text + at, end - at, &code);
        *shift += length - 1;
    }
    size_t at = 0;
    struct espi_match match = {0};
    while (!status && tokenizer->any_normalized && espi_added_find_normalized(tokenizer, units, &match)) {
        status = encode_units(encoder, at, match.begin);
        if (!status && match.begin < match.end && !encoder->full)
            status = add_word_token(encoder, tokenizer->added[match.added].id, &units->data[match.begin],
                                    &units->data[match.end - 1]);
        encoder->list->words++;
        at = match.end;
    }
    return status ? status : encode_units(encoder, at, units->count);
}

static int encode_segment(struct encoder *encoder, size_t begin, size_t end, size_t *shift)
{
    if (encoder->tokenizer->any_normalized)
        return encode_by_passes(encoder, begin, end, shift);
    struct espi_token_list *list = encoder->list;
    size_t count = list->count, old_shift = *shift;
    uint32_t words = list->words;
    bool order = false;
    int status = encode_by_table(encoder, begin, end, shift, &order);
    if (status || !order)
        return status;
    list->count = count;
    list->words = words;
    *shift = old_shift;
    encoder->word_chars = encoder->word_bytes = 0;
    encoder->full = false;
    return encode_by_passes(encoder, begin, end, shift);
}

static int add_match(struct encoder *encoder, const struct espi_match *match, size_t *shift)
{
    if (match->begin == match->end || encoder->full)
        return ESP_OK;
    uint32_t code, index = (uint32_t)(match->begin - *shift);
    for (size_t at = match->begin, length; at < match->end; at += length) {
        length = espi_utf8_decode(encoder->text + at, match->end - at, &code);
        *shift += length - 1;
    }
    struct espi_unit first = {.begin = (uint32_t)match->begin, .index = index};
    struct espi_unit last = {.end = (uint32_t)match->end, .index = (uint32_t)(match->end - *shift - 1)};
    int status = add_word_token(encoder, encoder->tokenizer->added[match->added].id, &first, &last);
    encoder->list->words++;
    return status;
}

/* Buffers for one word: max_word_chars code points of up to 4 bytes. */
static int reserve_word(esp_context *ctx, const esp_tokenizer *tokenizer, struct espi_encode_workspace *workspace)
{
    size_t bytes = 4 * tokenizer->max_word_chars + 1, from_capacity = workspace->word_capacity;
    size_t ends_capacity = workspace->piece_capacity;
    int status = espi_grow(ctx, &workspace->from, &from_capacity, bytes, sizeof *workspace->from);
    if (!status)
        status = espi_grow(ctx, &workspace->word, &workspace->word_capacity, bytes, 1);
    if (!status)
        status = espi_grow(ctx, &workspace->piece_ends, &ends_capacity, bytes, sizeof *workspace->piece_ends);
    if (!status)
        status = espi_grow(ctx, &workspace->piece_ids, &workspace->piece_capacity, bytes, sizeof *workspace->piece_ids);
    return status;
}

int espi_encode_text(esp_context *ctx, const esp_tokenizer *tokenizer, const char *text, size_t bytes, size_t limit,
                     struct espi_encode_workspace *workspace, struct espi_token_list *out)
{
    struct encoder encoder = {ctx,         tokenizer, (const unsigned char *)text, workspace, out, .limit = limit,
                              .first = {0}};
    size_t at = 0, shift = 0;
    struct espi_match match = {0};
    out->count = out->words = 0;
    int status = reserve_word(ctx, tokenizer, workspace);
    while (!status && !encoder.full && tokenizer->any_raw &&
           espi_added_find_raw(tokenizer, encoder.text, bytes, &match)) {
        status = encode_segment(&encoder, at, match.begin, &shift);
        if (!status)
            status = add_match(&encoder, &match, &shift);
        at = match.end;
    }
    return status ? status : encode_segment(&encoder, at, bytes, &shift);
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

static void write_span(esp_encoding *out, const struct espi_piece *piece, const struct espi_token_list *list,
                       struct espi_span span)
{
    size_t first = out->tokens, count = span.end - span.begin;
    if (!count)
        return; // there may be no arrays yet
    const struct espi_token *tokens = list->data + span.begin;
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
        struct espi_span span = workspace->windows[piece->sequence].data[numbers[piece->sequence]];
        write_span(out, piece, &workspace->lists[piece->sequence], span);
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
    int status = espi_encoding_prepare(ctx, out);
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
        espi_units_clear(&workspace->units);
        free(workspace->word);
        free(workspace->from);
        free(workspace->piece_ids);
        free(workspace->piece_ends);
        free(workspace);
    }
    void *arrays[] = {encoding->starts,     encoding->ids,     encoding->type_ids,   encoding->special,
                      encoding->sequences,  encoding->words,   encoding->byte_begin, encoding->byte_end,
                      encoding->char_begin, encoding->char_end};
    for (size_t i = 0; i < ESPI_COUNT(arrays); i++)
        free(arrays[i]);
    *encoding = (esp_encoding){0};
}
