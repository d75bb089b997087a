/* SPDX-License-Identifier: Apache-2.0 */
#include "tasks/columns.h"

#include "base/size.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Known names, the more telling first: with "question" and "sentence" both there, the pair is meant. */
static const struct {
    const char *text, *pair;
} text_names[] = {
    {"sentence1", "sentence2"}, {"question1", "question2"}, {"premise", "hypothesis"},  {"question", "sentence"},
    {"question", "passage"},    {"text1", "text2"},         {"#1 String", "#2 String"}, // MRPC
    {"text", "pair"},           {"text", "text_pair"},      {"sentence", NULL},         {"text", NULL},
    {"review", NULL},           {"content", NULL},          {"document", NULL},         {"tweet", NULL},
    {"question", NULL},
};

static const char *const label_names[] = {"label",   "labels",   "gold_label", "score",     "is_duplicate",
                                          "quality", "category", "class",      "sentiment", "similarity"};

static size_t find(const struct espi_text *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (!strcasecmp(fields[i].data, name))
            return i;
    }
    return ESPI_NO_COLUMN;
}

/* A column number from 1, or 0 when the option is a name. */
static size_t column_number(const char *option)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(option, &end, 10);
    return *option >= '0' && *option <= '9' && !*end && !errno ? number : 0;
}

static int choose(esp_context *ctx, const char *path, const char *what, const char *option,
                  const struct espi_text *fields, size_t count, size_t *column)
{
    size_t number = column_number(option);
    size_t found = number ? number - 1 : find(fields, count, option);
    if (found >= count) {
        return espi_fail(ctx, ESP_ERR_FORMAT,
                         "%s: line 1: expected a %s column \"%s\", found %zu columns, \"%s\" first", path, what, option,
                         count, fields[0].data);
    }
    *column = found;
    return ESP_OK;
}

/* By well-known names; true when the record is a header. */
static bool known_names(const struct espi_text *fields, size_t count, struct espi_columns *out)
{
    for (size_t i = 0; i < ESPI_COUNT(text_names); i++) {
        size_t text = find(fields, count, text_names[i].text);
        size_t pair = text_names[i].pair ? find(fields, count, text_names[i].pair) : ESPI_NO_COLUMN;
        if (text == ESPI_NO_COLUMN || (text_names[i].pair && pair == ESPI_NO_COLUMN))
            continue;
        out->text = text;
        out->pair = pair;
        for (size_t j = 0; out->label == ESPI_NO_COLUMN && j < ESPI_COUNT(label_names); j++)
            out->label = find(fields, count, label_names[j]);
        return true;
    }
    return false;
}

static bool is_cola(const struct espi_text *fields, size_t count)
{
    return count == 4 && (!strcmp(fields[1].data, "0") || !strcmp(fields[1].data, "1")) &&
           (!*fields[2].data || !strcmp(fields[2].data, "*"));
}

static bool by_count(const struct espi_text *fields, size_t count, struct espi_columns *out)
{
    if (is_cola(fields, count)) {
        out->label = 1;
        out->text = 3;
        return true;
    }
    if (count > 3)
        return false;
    out->text = 0;
    out->pair = count == 3 ? 1 : ESPI_NO_COLUMN;
    out->label = count > 1 ? count - 1 : ESPI_NO_COLUMN;
    return true;
}

int espi_columns_find(esp_context *ctx, const char *path, const struct espi_task_options *options,
                      const struct espi_text *fields, size_t count, struct espi_columns *out)
{
    *out = (struct espi_columns){ESPI_NO_COLUMN, ESPI_NO_COLUMN, ESPI_NO_COLUMN, count, false};
    const char *const wanted[] = {options->text_column, options->pair_column, options->label_column};
    static const char *const what[] = {"text", "pair", "label"};
    size_t *columns[] = {&out->text, &out->pair, &out->label};
    bool known = known_names(fields, count, out);
    out->header = known;
    if (wanted[0]) // a pair is only what was asked for
        out->pair = ESPI_NO_COLUMN;
    if (!known && !wanted[0] && !by_count(fields, count, out)) {
        return espi_fail(ctx, ESP_ERR_FORMAT,
                         "%s: line 1: expected a header with a column such as \"sentence\" or \"text\", or at most 3 "
                         "columns; found %zu columns, \"%s\" first: name the text, pair and label columns",
                         path, count, fields[0].data);
    }
    for (size_t i = 0; i < ESPI_COUNT(wanted); i++) {
        int status = wanted[i] ? choose(ctx, path, what[i], wanted[i], fields, count, columns[i]) : ESP_OK;
        if (status)
            return status;
        out->header |= wanted[i] && !column_number(wanted[i]);
    }
    return ESP_OK;
}

static const char *member(const struct espi_json *object, const char *name)
{
    return name && espi_json_has(object, name) ? name : NULL;
}

int espi_columns_find_members(esp_context *ctx, const struct espi_task_options *options, const struct espi_json *object,
                              const char **text, const char **pair, const char **label)
{
    *text = options->text_column;
    *pair = options->pair_column;
    *label = options->label_column ? member(object, options->label_column) : NULL;
    for (size_t i = 0; !*text && i < ESPI_COUNT(text_names); i++) {
        if (member(object, text_names[i].text) && (!text_names[i].pair || member(object, text_names[i].pair))) {
            *text = text_names[i].text;
            *pair = *pair ? *pair : text_names[i].pair;
        }
    }
    for (size_t i = 0; !options->label_column && !*label && i < ESPI_COUNT(label_names); i++)
        *label = member(object, label_names[i]);
    return *text ? ESP_OK : espi_json_fail(ctx, object, "expected a member such as \"text\" or \"sentence\"");
}
