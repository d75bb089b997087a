/* SPDX-License-Identifier: Apache-2.0 */
#include "text/char_splitters.h"

#include "text/tokenizer_tables.h"

#include <string.h>

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

/* What becomes of its characters: each a part, all of a run one part, dropped. */
struct splitter {
    enum espi_part_class class; // ALONE, OTHER_RUN, DROPPED
};

static int put(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    (void)writer;
    record->numbers[0] = ((const struct splitter *)self)->class;
    return ESP_OK;
}

static int take(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    ((struct splitter *)self)->class = record->numbers[0];
    if (record->numbers[0] > ESPI_PART_OTHER_RUN)
        return espi_tables_fail(reader, "class of a pre-tokenizer", "at most ", ESPI_PART_OTHER_RUN,
                                record->numbers[0]);
    return espi_tables_shape(reader, record, 0, 1, 0);
}

static const char *const behaviors[] = {
    [ESPI_PART_DROPPED] = "Removed", [ESPI_PART_ALONE] = "Isolated", [ESPI_PART_OTHER_RUN] = "Contiguous"};

static void init_punctuation(void *self)
{
    ((struct splitter *)self)->class = ESPI_PART_ALONE;
}

static int read_punctuation(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    (void)tokenizer;
    const char *behavior;
    if (!espi_json_has(json, "behavior"))
        return ESP_OK;
    int status = espi_json_get_string(ctx, json, "behavior", &behavior, NULL);
    if (status)
        return status;
    for (enum espi_part_class class = ESPI_PART_DROPPED; class <= ESPI_PART_OTHER_RUN; class ++)
        if (behaviors[class] && strcmp(behaviors[class], behavior) == 0) {
            ((struct splitter *)self)->class = class;
            return ESP_OK;
        }
    espi_json_fail(ctx, json, "behavior \"%.40s\" is not supported, only Isolated, Contiguous and Removed", behavior);
    return ESP_ERR_UNSUPPORTED;
}

static void write_punctuation(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    (void)tokenizer;
    espi_put_string(w, "behavior", behaviors[((const struct splitter *)self)->class]);
}

static enum espi_part_class punctuation_class(const void *self, uint32_t code)
{
    return espi_char_is(ESPI_CHAR_PUNCTUATION, code) ? ((const struct splitter *)self)->class : ESPI_PART_RUN;
}

static int split_punctuation(esp_context *ctx, const void *self, struct espi_parts *parts, struct espi_part part)
{
    return espi_parts_split(ctx, parts, part, punctuation_class, self);
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
    ((struct splitter *)self)->class = individual ? ESPI_PART_ALONE : ESPI_PART_OTHER_RUN;
    return status;
}

static void write_digits(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    (void)tokenizer;
    espi_put_bool(w, "individual_digits", ((const struct splitter *)self)->class == ESPI_PART_ALONE);
}

static enum espi_part_class digit_class(const void *self, uint32_t code)
{
    return espi_char_kind(code) == ESPI_KIND_NUMBER ? ((const struct splitter *)self)->class : ESPI_PART_RUN;
}

static int split_digits(esp_context *ctx, const void *self, struct espi_parts *parts, struct espi_part part)
{
    return espi_parts_split(ctx, parts, part, digit_class, self);
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
