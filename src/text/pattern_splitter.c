/* SPDX-License-Identifier: Apache-2.0 */
#include "text/pattern_splitter.h"

#include "text/pattern_stage.h"
#include "text/tokenizer_tables.h"

#include <string.h>

/* ---- behaviors ---------------------------------------------------------------------------------------------------------- */

static const char *const behaviors[ESPI_BEHAVIORS] = {[ESPI_REMOVED] = "Removed",
                                                      [ESPI_ISOLATED] = "Isolated",
                                                      [ESPI_CONTIGUOUS] = "Contiguous",
                                                      [ESPI_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
                                                      [ESPI_MERGED_WITH_NEXT] = "MergedWithNext"};

int espi_behavior_read(esp_context *ctx, const struct espi_json *json, enum espi_behavior *out)
{
    const char *text;
    if (!espi_json_has(json, "behavior"))
        return ESP_OK;
    int status = espi_json_get_string(ctx, json, "behavior", &text, NULL);
    if (status)
        return status;
    for (enum espi_behavior behavior = ESPI_REMOVED; behavior < ESPI_BEHAVIORS; behavior++)
        if (behaviors[behavior] && strcmp(behaviors[behavior], text) == 0) {
            *out = behavior;
            return ESP_OK;
        }
    espi_json_fail(ctx, json,
                   "behavior \"%.40s\" is not supported, only Removed, Isolated, Contiguous, MergedWithPrevious and "
                   "MergedWithNext",
                   text);
    return ESP_ERR_UNSUPPORTED;
}

void espi_behavior_write(struct espi_json_writer *w, enum espi_behavior behavior)
{
    espi_put_string(w, "behavior", behaviors[behavior]);
}

int espi_behavior_take(const struct espi_tables_reader *reader, uint32_t number, enum espi_behavior *out)
{
    if (number >= ESPI_BEHAVIORS || !behaviors[number])
        return espi_tables_fail(reader, "behavior of a pre-tokenizer", "at most ", ESPI_BEHAVIORS - 1, number);
    *out = number;
    return ESP_OK;
}

/* ---- Split -------------------------------------------------------------------------------------------------------------- */

struct splitter {
    struct espi_stage_pattern pattern;
    enum espi_behavior behavior;
    bool invert;
};

static int read(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    struct splitter *splitter = self;
    int status = espi_stage_pattern_read(ctx, tokenizer, json, &splitter->pattern);
    if (!status)
        status = espi_behavior_read(ctx, json, &splitter->behavior);
    return status ? status : espi_json_get_optional_bool(ctx, json, "invert", &splitter->invert);
}

static void write(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    (void)tokenizer;
    const struct splitter *splitter = self;
    espi_stage_pattern_write(w, &splitter->pattern);
    espi_behavior_write(w, splitter->behavior);
    espi_put_bool(w, "invert", splitter->invert);
}

enum { REGEX = 1, INVERT = 2, ALL_FLAGS = 3 };
enum { NUMBER_PATTERN, NUMBER_BEHAVIOR, NUMBERS };

static int put(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    const struct splitter *splitter = self;
    record->flags = (splitter->pattern.regex ? REGEX : 0) | (splitter->invert ? INVERT : 0);
    record->numbers[NUMBER_BEHAVIOR] = splitter->behavior;
    return espi_tables_put_text(writer, splitter->pattern.text, &record->numbers[NUMBER_PATTERN]);
}

static int take(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    struct splitter *splitter = self;
    splitter->pattern.regex = record->flags & REGEX;
    splitter->invert = record->flags & INVERT;
    int status = espi_tables_shape(reader, record, ALL_FLAGS, NUMBERS, 0);
    if (!status)
        status = espi_behavior_take(reader, record->numbers[NUMBER_BEHAVIOR], &splitter->behavior);
    return status ? status : espi_stage_pattern_take(reader, record->numbers[NUMBER_PATTERN], &splitter->pattern);
}

static bool find(const void *self, const struct espi_unit *units, size_t at, size_t end, size_t *begin, size_t *stop)
{
    return espi_pattern_find(((const struct splitter *)self)->pattern.pattern, units, at, end, begin, stop);
}

static int pre_tokenize(esp_context *ctx, const void *self, struct espi_parts *parts, struct espi_part part)
{
    const struct splitter *splitter = self;
    return espi_parts_split_at(ctx, parts, part, splitter->behavior, splitter->invert, find, self);
}

const struct espi_stage_form espi_split_pre_tokenizer = {
    .place = ESPI_PLACE_PRE_TOKENIZER,
    .kind = 8,
    .type = "Split",
    .size = sizeof(struct splitter),
    .read = read,
    .write = write,
    .put = put,
    .take = take,
    .pre_tokenize = pre_tokenize,
};
