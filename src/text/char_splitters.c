/* SPDX-License-Identifier: Apache-2.0 */
#include "text/char_splitters.h"

#include "text/pattern_splitter.h"
#include "text/tokenizer_tables.h"

/* ---- by white space -------------------------------------------------------------------------------------------------- */

/* Words of word characters and words of others. */
static enum espi_part_class word_class(const void *self, uint32_t code)
{
    (void)self;
    if (espi_char_is_word(code))
        return ESPI_PART_RUN;
    return espi_char_is(ESPI_CHAR_SPACE, code) ? ESPI_PART_DROPPED : ESPI_PART_OTHER_RUN;
}

static int split_words(esp_context *ctx, const void *self, struct espi_parts *parts, struct espi_part part)
{
    return espi_parts_split(ctx, parts, part, word_class, self);
}

static enum espi_part_class space_class(const void *self, uint32_t code)
{
    (void)self;
    return espi_char_is(ESPI_CHAR_SPACE, code) ? ESPI_PART_DROPPED : ESPI_PART_RUN;
}

static int split_spaces(esp_context *ctx, const void *self, struct espi_parts *parts, struct espi_part part)
{
    return espi_parts_split(ctx, parts, part, space_class, self);
}

const struct espi_stage_form espi_whitespace = {
    .place = ESPI_PLACE_PRE_TOKENIZER, .kind = 3, .type = "Whitespace", .pre_tokenize = split_words};
const struct espi_stage_form espi_whitespace_split = {
    .place = ESPI_PLACE_PRE_TOKENIZER, .kind = 4, .type = "WhitespaceSplit", .pre_tokenize = split_spaces};

/* ---- by a class of characters ------------------------------------------------------------------------------------------ */

/* What becomes of its characters. */
struct splitter {
    enum espi_behavior behavior;
};

static int put(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    (void)writer;
    record->numbers[0] = ((const struct splitter *)self)->behavior;
    return ESP_OK;
}

static int take(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    int status = espi_behavior_take(reader, record->numbers[0], &((struct splitter *)self)->behavior);
    return status ? status : espi_tables_shape(reader, record, 0, 1, 0);
}

static void init_punctuation(void *self)
{
    ((struct splitter *)self)->behavior = ESPI_ISOLATED;
}

static int read_punctuation(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    (void)tokenizer;
    return espi_behavior_read(ctx, json, &((struct splitter *)self)->behavior);
}

static void write_punctuation(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    (void)tokenizer;
    espi_behavior_write(w, ((const struct splitter *)self)->behavior);
}

static bool find_punctuation(const void *self, const struct espi_unit *units, size_t at, size_t end, size_t *begin,
                             size_t *stop)
{
    (void)self;
    while (at < end && !espi_char_is(ESPI_CHAR_PUNCTUATION, units[at].code))
        at++;
    *begin = at;
    *stop = at + 1;
    return at < end;
}

static int split_punctuation(esp_context *ctx, const void *self, struct espi_parts *parts, struct espi_part part)
{
    return espi_parts_split_at(ctx, parts, part, ((const struct splitter *)self)->behavior, false, find_punctuation,
                               NULL);
}

const struct espi_stage_form espi_punctuation = {
    .place = ESPI_PLACE_PRE_TOKENIZER,
    .kind = 5,
    .type = "Punctuation",
    .size = sizeof(struct splitter),
    .init = init_punctuation,
    .read = read_punctuation,
    .write = write_punctuation,
    .put = put,
    .take = take,
    .pre_tokenize = split_punctuation,
};

static int read_digits(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    (void)tokenizer;
    bool individual = false;
    int status = espi_json_get_optional_bool(ctx, json, "individual_digits", &individual);
    ((struct splitter *)self)->behavior = individual ? ESPI_ISOLATED : ESPI_CONTIGUOUS;
    return status;
}

static void write_digits(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    (void)tokenizer;
    espi_put_bool(w, "individual_digits", ((const struct splitter *)self)->behavior == ESPI_ISOLATED);
}

static bool find_digit(const void *self, const struct espi_unit *units, size_t at, size_t end, size_t *begin,
                       size_t *stop)
{
    (void)self;
    while (at < end && espi_char_kind(units[at].code) != ESPI_KIND_NUMBER)
        at++;
    *begin = at;
    *stop = at + 1;
    return at < end;
}

static int split_digits(esp_context *ctx, const void *self, struct espi_parts *parts, struct espi_part part)
{
    return espi_parts_split_at(ctx, parts, part, ((const struct splitter *)self)->behavior, false, find_digit, NULL);
}

const struct espi_stage_form espi_digits = {
    .place = ESPI_PLACE_PRE_TOKENIZER,
    .kind = 6,
    .type = "Digits",
    .size = sizeof(struct splitter),
    .read = read_digits,
    .write = write_digits,
    .put = put,
    .take = take,
    .pre_tokenize = split_digits,
};
