/* SPDX-License-Identifier: Apache-2.0 */
#include "text/text_normalizers.h"

#include "text/pattern_stage.h"
#include "text/tokenizer_tables.h"

#include <string.h>

/* ---- Strip ------------------------------------------------------------------------------------------------------------ */

struct strip {
    bool left, right;
};

enum { STRIP_LEFT = 1, STRIP_RIGHT = 2, STRIP_FLAGS = 3 };

static void init_strip(void *self)
{
    *(struct strip *)self = (struct strip){true, true};
}

static int read_strip(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    (void)tokenizer;
    struct strip *strip = self;
    int status = espi_json_get_optional_bool(ctx, json, "strip_left", &strip->left);
    return status ? status : espi_json_get_optional_bool(ctx, json, "strip_right", &strip->right);
}

static void write_strip(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    (void)tokenizer;
    const struct strip *strip = self;
    espi_put_bool(w, "strip_left", strip->left);
    espi_put_bool(w, "strip_right", strip->right);
}

static int put_strip(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    (void)writer;
    const struct strip *strip = self;
    record->flags = (strip->left ? STRIP_LEFT : 0) | (strip->right ? STRIP_RIGHT : 0);
    return ESP_OK;
}

static int take_strip(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    *(struct strip *)self = (struct strip){record->flags & STRIP_LEFT, record->flags & STRIP_RIGHT};
    return espi_tables_shape(reader, record, STRIP_FLAGS, 0, 0);
}

static int strip(esp_context *ctx, const void *self, struct espi_units *units)
{
    (void)ctx;
    const struct strip *sides = self;
    size_t begin = 0;
    while (sides->right && units->count && espi_char_is(ESPI_CHAR_SPACE, units->data[units->count - 1].code))
        units->count--;
    while (sides->left && begin < units->count && espi_char_is(ESPI_CHAR_SPACE, units->data[begin].code))
        begin++;
    units->count -= begin;
    if (begin)
        memmove(units->data, units->data + begin, units->count * sizeof *units->data);
    return ESP_OK;
}

const struct espi_stage_form espi_strip_normalizer = {
    .place = ESPI_PLACE_NORMALIZER,
    .kind = 8,
    .type = "Strip",
    .size = sizeof(struct strip),
    .init = init_strip,
    .read = read_strip,
    .write = write_strip,
    .put = put_strip,
    .take = take_strip,
    .normalize = strip,
};

/* ---- Replace ---------------------------------------------------------------------------------------------------------- */

struct replace {
    struct espi_stage_pattern pattern;
    const char *content;
};

enum { NUMBER_PATTERN, NUMBER_CONTENT, REPLACE_NUMBERS };

static int read_replace(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    struct replace *replace = self;
    replace->content = "";
    int status = espi_stage_pattern_read(ctx, tokenizer, json, &replace->pattern);
    return status ? status : espi_tokenizer_read_text(ctx, tokenizer, json, "content", &replace->content);
}

static void write_replace(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    (void)tokenizer;
    const struct replace *replace = self;
    espi_stage_pattern_write(w, &replace->pattern);
    espi_put_string(w, "content", replace->content);
}

static int put_replace(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    const struct replace *replace = self;
    record->flags = replace->pattern.regex;
    int status = espi_tables_put_text(writer, replace->pattern.text, &record->numbers[NUMBER_PATTERN]);
    return status ? status : espi_tables_put_text(writer, replace->content, &record->numbers[NUMBER_CONTENT]);
}

static int take_replace(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    struct replace *replace = self;
    replace->pattern.regex = record->flags & 1;
    int status = espi_tables_shape(reader, record, 1, REPLACE_NUMBERS, 0);
    if (!status)
        status = espi_stage_pattern_take(reader, record->numbers[NUMBER_PATTERN], &replace->pattern);
    return status ? status : espi_tables_text(reader, "content", record->numbers[NUMBER_CONTENT], &replace->content);
}

/* What comes in has the place of the last that went. */
static int replace(esp_context *ctx, const void *self, struct espi_units *units)
{
    const struct replace *rule = self;
    const unsigned char *content = (const unsigned char *)rule->content;
    size_t bytes = strlen(rule->content), count = 0, begin, stop;
    for (size_t at = 0; at < units->count; at = stop) {
        bool found = espi_pattern_find(rule->pattern.pattern, units->data, at, units->count, &begin, &stop);
        if (!found && !at)
            return ESP_OK;
        if (!found)
            begin = stop = units->count;
        int status = espi_units_reserve(ctx, units, count + begin - at + bytes);
        if (status)
            return status;
        memcpy(units->scratch + count, units->data + at, (begin - at) * sizeof *units->data);
        count += begin - at;
        for (size_t k = 0; found && k < bytes; count++) {
            units->scratch[count] = units->data[stop - 1];
            k += espi_utf8_decode(content + k, bytes - k, &units->scratch[count].code);
        }
    }
    espi_units_swap(units, count);
    return ESP_OK;
}

const struct espi_stage_form espi_replace_normalizer = {
    .place = ESPI_PLACE_NORMALIZER,
    .kind = 9,
    .type = "Replace",
    .size = sizeof(struct replace),
    .read = read_replace,
    .write = write_replace,
    .put = put_replace,
    .take = take_replace,
    .normalize = replace,
};

/* ---- Prepend ---------------------------------------------------------------------------------------------------------- */

struct prepend {
    const char *text;
};

static int read_prepend(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    struct prepend *prepend = self;
    prepend->text = "";
    return espi_tokenizer_read_text(ctx, tokenizer, json, "prepend", &prepend->text);
}

static void write_prepend(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    (void)tokenizer;
    espi_put_string(w, "prepend", ((const struct prepend *)self)->text);
}

static int put_prepend(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    return espi_tables_put_text(writer, ((const struct prepend *)self)->text, &record->numbers[0]);
}

static int take_prepend(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    int status = espi_tables_shape(reader, record, 0, 1, 0);
    return status ? status : espi_tables_text(reader, "prepend", record->numbers[0], &((struct prepend *)self)->text);
}

/* In front of a text, at the place of its first character; an empty one stays empty. */
static int prepend(esp_context *ctx, const void *self, struct espi_units *units)
{
    const char *text = ((const struct prepend *)self)->text;
    size_t bytes = strlen(text), count = 0;
    if (!units->count)
        return ESP_OK;
    int status = espi_units_reserve(ctx, units, bytes + units->count);
    if (status)
        return status;
    for (size_t at = 0; at < bytes; count++) {
        units->scratch[count] = units->data[0];
        at += espi_utf8_decode((const unsigned char *)text + at, bytes - at, &units->scratch[count].code);
    }
    memcpy(units->scratch + count, units->data, units->count * sizeof *units->data);
    espi_units_swap(units, count + units->count);
    return ESP_OK;
}

const struct espi_stage_form espi_prepend_normalizer = {
    .place = ESPI_PLACE_NORMALIZER,
    .kind = 10,
    .type = "Prepend",
    .size = sizeof(struct prepend),
    .read = read_prepend,
    .write = write_prepend,
    .put = put_prepend,
    .take = take_prepend,
    .normalize = prepend,
};

/* ---- Nmt -------------------------------------------------------------------------------------------------------------- */

static bool nmt_drops(uint32_t code)
{
    return (code >= 0x01 && code <= 0x08) || code == 0x0b || (code >= 0x0e && code <= 0x1f) || code == 0x7f ||
           code == 0x8f || code == 0x9f;
}

static bool nmt_is_space(uint32_t code)
{
    return code == 0x09 || code == 0x0a || code == 0x0c || code == 0x0d || code == 0x1680 ||
           (code >= 0x200b && code <= 0x200f) || code == 0x2028 || code == 0x2029 || code == 0x2581 || code == 0xfeff ||
           code == 0xfffd;
}

static int nmt(esp_context *ctx, const void *self, struct espi_units *units)
{
    (void)ctx, (void)self;
    size_t kept = 0;
    for (size_t i = 0; i < units->count; i++) {
        struct espi_unit unit = units->data[i];
        if (nmt_is_space(unit.code))
            unit.code = ' ';
        if (!nmt_drops(unit.code))
            units->data[kept++] = unit;
    }
    units->count = kept;
    return ESP_OK;
}

const struct espi_stage_form espi_nmt_normalizer = {
    .place = ESPI_PLACE_NORMALIZER, .kind = 11, .type = "Nmt", .normalize = nmt};
