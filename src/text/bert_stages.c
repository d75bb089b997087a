/* SPDX-License-Identifier: Apache-2.0 */
#include "text/bert_stages.h"

#include "base/members.h"
#include "text/tokenizer_tables.h"

/* ---- normalizer --------------------------------------------------------------------------------------------------- */

struct espi_bert_options espi_bert_options(const struct espi_bert_normalizer *normalizer)
{
    struct espi_bert_options options = normalizer->options;
    if (!normalizer->strip_accents_stated)
        options.strip_accents = options.lowercase;
    return options;
}

static void init(void *self)
{
    struct espi_bert_normalizer *normalizer = self;
    normalizer->options = (struct espi_bert_options){true, true, true, true};
}

static int read(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    (void)tokenizer;
    struct espi_bert_normalizer *normalizer = self;
    struct espi_bert_options *options = &normalizer->options;
    normalizer->strip_accents_stated = espi_json_has(json, "strip_accents");
    int status = espi_json_get_optional_bool(ctx, json, "clean_text", &options->clean_text);
    if (!status)
        status = espi_json_get_optional_bool(ctx, json, "handle_chinese_chars", &options->handle_chinese_chars);
    if (!status)
        status = espi_json_get_optional_bool(ctx, json, "strip_accents", &options->strip_accents);
    return status ? status : espi_json_get_optional_bool(ctx, json, "lowercase", &options->lowercase);
}

static void write(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    (void)tokenizer;
    const struct espi_bert_normalizer *normalizer = self;
    espi_put_bool(w, "clean_text", normalizer->options.clean_text);
    espi_put_bool(w, "handle_chinese_chars", normalizer->options.handle_chinese_chars);
    if (normalizer->strip_accents_stated)
        espi_put_bool(w, "strip_accents", normalizer->options.strip_accents);
    else
        espi_put_null(w, "strip_accents");
    espi_put_bool(w, "lowercase", normalizer->options.lowercase);
}

enum { CLEAN_TEXT = 1, CHINESE = 2, STRIP_ACCENTS = 4, LOWERCASE = 8, ACCENTS_STATED = 16, ALL_FLAGS = 31 };

static int put(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    (void)writer;
    const struct espi_bert_normalizer *normalizer = self;
    struct espi_bert_options options = espi_bert_options(normalizer);
    record->flags = (options.clean_text ? CLEAN_TEXT : 0) | (options.handle_chinese_chars ? CHINESE : 0) |
                    (options.strip_accents ? STRIP_ACCENTS : 0) | (options.lowercase ? LOWERCASE : 0) |
                    (normalizer->strip_accents_stated ? ACCENTS_STATED : 0);
    return ESP_OK;
}

static int take(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    struct espi_bert_normalizer *normalizer = self;
    normalizer->options = (struct espi_bert_options){.clean_text = record->flags & CLEAN_TEXT,
                                                     .handle_chinese_chars = record->flags & CHINESE,
                                                     .strip_accents = record->flags & STRIP_ACCENTS,
                                                     .lowercase = record->flags & LOWERCASE};
    normalizer->strip_accents_stated = record->flags & ACCENTS_STATED;
    return espi_tables_shape(reader, record, ALL_FLAGS, 0, 0);
}

static void clean(struct espi_units *units)
{
    espi_units_drop(units, ESPI_CHAR_REMOVED);
    for (size_t i = 0; i < units->count; i++)
        if (espi_char_is(ESPI_CHAR_SPACE, units->data[i].code))
            units->data[i].code = ' ';
}

static int space_chinese(esp_context *ctx, struct espi_units *units)
{
    int status = espi_units_reserve(ctx, units, 3 * units->count);
    if (status)
        return status;
    size_t count = 0;
    for (size_t i = 0; i < units->count; i++) {
        struct espi_unit unit = units->data[i], space = unit; // the spaces have the place of what they surround
        space.code = ' ';
        bool chinese = espi_char_is(ESPI_CHAR_CHINESE, unit.code);
        if (chinese)
            units->scratch[count++] = space;
        units->scratch[count++] = unit;
        if (chinese)
            units->scratch[count++] = space;
    }
    espi_units_swap(units, count);
    return ESP_OK;
}

static int normalize(esp_context *ctx, const void *self, struct espi_units *units)
{
    struct espi_bert_options options = espi_bert_options(self);
    int status = ESP_OK;
    if (options.clean_text)
        clean(units);
    if (options.handle_chinese_chars)
        status = space_chinese(ctx, units);
    if (!status && options.strip_accents) {
        status = espi_units_decompose(ctx, units);
        if (!status)
            espi_units_drop(units, ESPI_CHAR_MARK);
    }
    return !status && options.lowercase ? espi_units_lower(ctx, units) : status;
}

const struct espi_stage_form espi_bert_normalizer = {
    .place = ESPI_PLACE_NORMALIZER,
    .kind = 1,
    .type = "BertNormalizer",
    .size = sizeof(struct espi_bert_normalizer),
    .init = init,
    .read = read,
    .write = write,
    .put = put,
    .take = take,
    .normalize = normalize,
};

/* ---- pre-tokenizer ------------------------------------------------------------------------------------------------ */

/* Words end at white space, which is dropped, and at punctuation, which is a word by itself. */
static enum espi_part_class class_of(const void *self, uint32_t code)
{
    (void)self;
    if (espi_char_is(ESPI_CHAR_SPACE, code))
        return ESPI_PART_DROPPED;
    return espi_char_is(ESPI_CHAR_PUNCTUATION, code) ? ESPI_PART_ALONE : ESPI_PART_RUN;
}

static int pre_tokenize(esp_context *ctx, const void *self, struct espi_parts *parts, struct espi_part part)
{
    return espi_parts_split(ctx, parts, part, class_of, self);
}

const struct espi_stage_form espi_bert_pre_tokenizer = {
    .place = ESPI_PLACE_PRE_TOKENIZER, .kind = 1, .type = "BertPreTokenizer", .pre_tokenize = pre_tokenize};
