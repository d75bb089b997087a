/* SPDX-License-Identifier: Apache-2.0 */
#include "text/split.h"

#include "base/size.h"
#include "text/tokenizer_state.h"

#include <stdlib.h>
#include <string.h>

/* A text being split. */
struct split {
    esp_context *ctx;
    const esp_tokenizer *tokenizer;
    const unsigned char *text;
    struct espi_splitter *splitter;
    espi_word_fn *function;
    void *cookie;
    struct espi_word word;  // the pending one; bytes past longest_word are not kept
    struct espi_word ascii; // what is sent of ASCII words
};

void espi_splitter_clear(struct espi_splitter *splitter)
{
    espi_parts_clear(&splitter->parts);
    free(splitter->word);
    free(splitter->from);
    *splitter = (struct espi_splitter){0};
}

/* ---- words -------------------------------------------------------------------------------------------------------- */

static int reserve_word(struct split *split, size_t bytes)
{
    struct espi_splitter *splitter = split->splitter;
    size_t capacity = splitter->word_capacity;
    if (bytes <= capacity)
        return ESP_OK;
    int status = espi_grow(split->ctx, &splitter->from, &capacity, bytes, sizeof *splitter->from);
    return status ? status : espi_grow(split->ctx, &splitter->word, &splitter->word_capacity, bytes, 1);
}

static int push_code(struct split *split, uint32_t code, const struct espi_unit *unit)
{
    struct espi_word *word = &split->word;
    if (word->chars++ == 0)
        word->first = *unit;
    word->last = *unit;
    if (word->chars > split->tokenizer->longest_word)
        return ESP_OK;
    int status = reserve_word(split, word->count + 4);
    if (status)
        return status;
    size_t length = espi_utf8_encode(code, split->splitter->word + word->count);
    for (size_t i = 0; i < length; i++)
        split->splitter->from[word->count++] = *unit;
    return ESP_OK;
}

/* Ends the pending word, if any. */
static int flush_word(struct split *split)
{
    struct espi_word word = split->word;
    split->word.chars = split->word.count = 0;
    if (!word.chars)
        return ESP_OK;
    word.bytes = word.chars > split->tokenizer->longest_word ? NULL : split->splitter->word;
    word.from = split->splitter->from;
    word.added = -1;
    return split->function(split->cookie, &word);
}

/* The word of ASCII that stands in the buffer: text[begin .. begin + count), each byte as the table has it. */
static int send_ascii(struct split *split, size_t begin, size_t count, size_t shift)
{
    struct espi_word *word = &split->ascii;
    word->bytes = count > split->tokenizer->longest_word ? NULL : split->splitter->word;
    word->count = word->chars = count;
    word->first.begin = (uint32_t)begin;
    word->first.index = (uint32_t)(begin - shift);
    return split->function(split->cookie, word);
}

/* ---- by the table ------------------------------------------------------------------------------------------------- */

static int act(struct split *split, uint32_t action, const struct espi_unit *unit)
{
    uint32_t payload = action >> ESPI_ACTION_BITS, code = payload ? payload : unit->code;
    int status = ESP_OK;
    switch (action & ESPI_ACTION_KIND) {
    case ESPI_ACTION_LETTER:
        return push_code(split, code, unit);
    case ESPI_ACTION_SPACE:
        return flush_word(split);
    case ESPI_ACTION_ALONE:
        status = flush_word(split);
        if (!status)
            status = push_code(split, code, unit);
        return status ? status : flush_word(split);
    default:
        return ESP_OK;
    }
}

enum { ORDER = 1 << 20 }; // what the table does not know: not a status, nor what a function returns

/* Code points up to the end of the word at *at, one by one. */
static int split_word(struct split *split, size_t *at, size_t end, size_t *shift)
{
    const struct espi_split_table *table = &split->tokenizer->table;
    int status = ESP_OK;
    do {
        struct espi_unit unit = {.begin = (uint32_t)*at, .index = (uint32_t)(*at - *shift)};
        size_t length = espi_utf8_decode(split->text + *at, end - *at, &unit.code);
        *at += length;
        *shift += length - 1;
        unit.end = (uint32_t)*at;
        uint32_t action = espi_split_action(table, unit.code);
        switch (action & ESPI_ACTION_KIND) {
        case ESPI_ACTION_SEVERAL: {
            const uint32_t *several = table->several + (action >> ESPI_ACTION_BITS);
            for (uint32_t i = 1; i <= several[0] && !status; i++)
                status = act(split, several[i], &unit);
            break;
        }
        case ESPI_ACTION_ORDER:
            return ORDER;
        default:
            status = act(split, action, &unit);
            break;
        }
    } while (!status && *at < end && split->word.chars);
    return status ? status : flush_word(split);
}

/* From where the stages must go on when the word at `at` has a code point whose place depends on its neighbours: marks that
 * were dropped before it may be among those. */
static size_t order_begin(const struct split *split, size_t begin, size_t at, size_t *shift)
{
    while (at > begin) {
        uint32_t code;
        size_t length = espi_utf8_decode_before(split->text, at, &code);
        if ((espi_split_action(&split->tokenizer->table, code) & ESPI_ACTION_KIND) != ESPI_ACTION_DROP)
            break;
        at -= length;
        *shift -= length - 1;
    }
    return at;
}

enum { WORD_BYTES = 256 }; // of a word that takes the short way

/* Short words of ASCII take a short way. Where the table is no help, *at is where the stages must go on. */
static int split_by_table(struct split *split, size_t *at, size_t end, size_t *shift)
{
    const struct espi_split_table *table = &split->tokenizer->table;
    const unsigned char *text = split->text;
    size_t begin = *at;
    int status = reserve_word(split, WORD_BYTES);
    while (*at < end && !status) {
        size_t first = *at, most = espi_size_min(end - first, WORD_BYTES), count = 0;
        unsigned char *word = split->splitter->word;
        uint16_t ascii = 0;
        for (; count < most && (ascii = table->ascii[text[first + count]]) < ESPI_ACTION_SPACE << 8; count++)
            word[count] = (unsigned char)ascii;
        if (first + count == end) // as if a space followed
            ascii = ESPI_ACTION_SPACE << 8;
        unsigned next = ascii >> 8;
        if (next == ESPI_ACTION_SPACE || (next == ESPI_ACTION_ALONE && count)) {
            *at += count + (next == ESPI_ACTION_SPACE);
            status = count ? send_ascii(split, first, count, *shift) : ESP_OK;
            continue;
        }
        if (next == ESPI_ACTION_ALONE) {
            word[0] = (unsigned char)ascii;
            ++*at;
            status = send_ascii(split, first, 1, *shift);
            continue;
        }
        size_t before = *shift;
        status = split_word(split, at, end, shift);
        if (status == ORDER) {
            split->word.chars = split->word.count = 0;
            *shift = before;
            *at = order_begin(split, begin, first, shift);
        }
    }
    return status;
}

/* ---- by the stages ------------------------------------------------------------------------------------------------- */

int espi_normalize(esp_context *ctx, const esp_tokenizer *tokenizer, const unsigned char *text, size_t begin,
                   size_t end, uint32_t index, struct espi_units *units)
{
    int status = espi_units_decode(ctx, text, begin, end, index, units);
    for (size_t i = 0; i < tokenizer->normalizers.count && units->count && !status; i++) {
        const struct espi_stage *stage = &tokenizer->normalizers.data[i];
        status = stage->form->normalize(ctx, stage->self, units);
    }
    return status;
}

/* The text between added tokens, and those. */
static int find_added(struct split *split, struct espi_parts *parts)
{
    size_t at = 0;
    struct espi_match match = {0};
    int status = ESP_OK;
    parts->scratch_count = 0;
    while (!status && split->tokenizer->any_normalized &&
           espi_added_find_normalized(split->tokenizer, &parts->units, &match)) {
        if (at < match.begin)
            status = espi_parts_add(split->ctx, parts, (struct espi_part){at, match.begin, -1});
        if (!status)
            status =
                espi_parts_add(split->ctx, parts, (struct espi_part){match.begin, match.end, (int32_t)match.added});
        at = match.end;
    }
    if (at < parts->units.count && !status)
        status = espi_parts_add(split->ctx, parts, (struct espi_part){at, parts->units.count, -1});
    espi_parts_swap(parts);
    return status;
}

static int pre_tokenize(struct split *split, const struct espi_stage *stage, struct espi_parts *parts)
{
    int status = ESP_OK;
    for (size_t i = 0; i < parts->count && !status; i++)
        status = parts->data[i].added >= 0 ? espi_parts_add(split->ctx, parts, parts->data[i])
                                           : stage->form->pre_tokenize(split->ctx, stage->self, parts, parts->data[i]);
    espi_parts_swap(parts);
    return status;
}

/* A word of so many units, at once. */
static int send_word(struct split *split, const struct espi_unit *data, size_t count)
{
    struct espi_word word = {.chars = count, .added = -1};
    if (!count)
        return ESP_OK;
    word.first = data[0];
    word.last = data[count - 1];
    bool kept = count <= split->tokenizer->longest_word;
    int status = reserve_word(split, kept ? 4 * count : 1);
    if (status)
        return status;
    word.bytes = kept ? split->splitter->word : NULL;
    word.from = split->splitter->from;
    for (size_t i = 0; i < count && kept; i++) {
        unsigned char *out = split->splitter->word + word.count;
        size_t length = 1;
        if (data[i].code < 128)
            *out = (unsigned char)data[i].code;
        else
            length = espi_utf8_encode(data[i].code, out);
        while (length-- > 0)
            split->splitter->from[word.count++] = data[i];
    }
    return split->function(split->cookie, &word);
}

static int send_part(struct split *split, const struct espi_units *units, const struct espi_part *part)
{
    const struct espi_unit *data = units->data;
    if (part->added >= 0) {
        struct espi_word word = {.chars = part->end - part->begin, .added = part->added};
        if (word.chars) {
            word.first = data[part->begin];
            word.last = data[part->end - 1];
        }
        return split->function(split->cookie, &word);
    }
    return send_word(split, data + part->begin, part->end - part->begin);
}

static int split_by_stages(struct split *split, size_t begin, size_t end, size_t *shift)
{
    const esp_tokenizer *tokenizer = split->tokenizer;
    struct espi_parts *parts = &split->splitter->parts;
    uint32_t index = (uint32_t)(begin - *shift), code;
    int status = espi_normalize(split->ctx, tokenizer, split->text, begin, end, index, &parts->units);
    for (size_t at = begin, length; at < end; at += length) {
        length = split->text[at] < 128 ? 1 : espi_utf8_decode(split->text + at, end - at, &code);
        *shift += length - 1;
    }
    if (!status)
        status = find_added(split, parts);
    for (size_t i = 0; i < tokenizer->pre_tokenizers.count && !status; i++)
        status = pre_tokenize(split, &tokenizer->pre_tokenizers.data[i], parts);
    for (size_t i = 0; i < parts->count && !status; i++)
        status = send_part(split, &parts->units, &parts->data[i]);
    return status;
}

int espi_split_by_stages(esp_context *ctx, const esp_tokenizer *tokenizer, const unsigned char *text, size_t begin,
                         size_t end, size_t *shift, struct espi_splitter *splitter, espi_word_fn *function,
                         void *cookie)
{
    struct split split = {ctx, tokenizer, text, splitter, function, cookie, .ascii = {.added = -1}};
    return split_by_stages(&split, begin, end, shift);
}

int espi_split(esp_context *ctx, const esp_tokenizer *tokenizer, const unsigned char *text, size_t begin, size_t end,
               size_t *shift, struct espi_splitter *splitter, espi_word_fn *function, void *cookie)
{
    struct split split = {ctx, tokenizer, text, splitter, function, cookie, .ascii = {.added = -1}};
    int status = ORDER;
    if (tokenizer->has_table && !tokenizer->any_normalized)
        status = split_by_table(&split, &begin, end, shift);
    return status == ORDER ? split_by_stages(&split, begin, end, shift) : status;
}
