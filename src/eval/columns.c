/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/columns.h"

#include "base/size.h"
#include "eval/label_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Known names, the more telling first: with "question" and "sentence" both there, the pair is meant. */
static const struct {
    const char *text, *pair;
} text_names[] = {
    {"sentence1", "sentence2"},
    {"question1", "question2"},
    {"premise", "hypothesis"},
    {"question", "sentence"},
    {"question", "passage"},
    {"text1", "text2"},
    {"#1 String", "#2 String"}, // MRPC
    {"text", "pair"},
    {"text", "text_pair"},
    {"text_a", "text_b"},
    {"sentence_A", "sentence_B"}, // SICK
    {"query", "passage"},
    {"sentence", NULL},
    {"text", NULL},
    {"review", NULL},
    {"content", NULL},
    {"document", NULL},
    {"tweet", NULL},
    {"comment_text", NULL},
    {"comment", NULL},
    {"utterance", NULL},
    {"question", NULL},
};

static const char *const label_names[] = {"label",        "labels",     "gold_label",       "score",
                                          "is_duplicate", "quality",    "category",         "class",
                                          "sentiment",    "similarity", "similarity_score", "relatedness_score"};

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

static size_t find_label(const struct espi_text *fields, size_t count)
{
    size_t label = ESPI_NO_COLUMN;
    for (size_t i = 0; label == ESPI_NO_COLUMN && i < ESPI_COUNT(label_names); i++)
        label = find(fields, count, label_names[i]);
    return label;
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
        out->label = find_label(fields, count);
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

/* A first record that names no text, but a label or, between other separators than ours, a text: no data. */
static int check_no_header(esp_context *ctx, const char *path, const struct espi_text *fields, size_t count)
{
    struct espi_text names[64];
    struct espi_columns columns = {ESPI_NO_COLUMN, ESPI_NO_COLUMN, ESPI_NO_COLUMN, 0, false};
    if (count > 1 && find_label(fields, count) != ESPI_NO_COLUMN)
        return espi_fail(
            ctx, ESP_ERR_FORMAT,
            "%s: line 1: a header, by its column \"%s\", but no column has a name that texts have, such as "
            "\"sentence\" or \"text\": name the text column, or give the columns' numbers when it is data",
            path, fields[find_label(fields, count)].data);
    char copy[1024];
    if (count > 1 || fields[0].bytes >= sizeof(copy))
        return ESP_OK;
    static const char separators[] = ";|,\t";
    for (const char *separator = separators; *separator; separator++) {
        size_t parts = 0;
        memcpy(copy, fields[0].data, fields[0].bytes + 1);
        for (char *at = copy; at && parts < ESPI_COUNT(names); parts++) {
            names[parts].data = at;
            if ((at = strchr(at, *separator)))
                *at++ = '\0';
        }
        if (parts > 1 && known_names(names, parts, &columns))
            return espi_fail(
                ctx, ESP_ERR_FORMAT,
                "%s: line 1: expected columns between tabs (--format tsv) or commas (--format csv), found a "
                "header with \"%c\" between its names",
                path, *separator);
    }
    return ESP_OK;
}

/* The next of several names between commas; false behind the last. */
static bool next_name(const char **at, struct espi_text *name)
{
    if (!**at)
        return false;
    *name = (struct espi_text){*at, strcspn(*at, ",")};
    *at += name->bytes;
    *at += **at == ',';
    return true;
}

static bool is_name(const struct espi_text *name, const char *column)
{
    return strlen(column) == name->bytes && !strncasecmp(name->data, column, name->bytes);
}

static bool is_text_name(const char *name)
{
    for (size_t i = 0; i < ESPI_COUNT(text_names); i++) {
        if (!strcasecmp(text_names[i].text, name) || (text_names[i].pair && !strcasecmp(text_names[i].pair, name)))
            return true;
    }
    return false;
}

/* Those that the option names. */
static int named_flags(esp_context *ctx, const char *path, const char *option, const struct espi_columns *columns,
                       char *const *header, bool *flags, size_t *flag_count)
{
    struct espi_text name;
    while (next_name(&option, &name)) {
        size_t column = 0;
        while (column < columns->count && !is_name(&name, header[column]))
            column++;
        if (column == columns->count)
            return espi_fail(ctx, ESP_ERR_FORMAT, "%s: line 1: expected a label column \"%.*s\", found none", path,
                             (int)name.bytes, name.data);
        *flag_count += !flags[column];
        flags[column] = true;
    }
    return ESP_OK;
}

int espi_columns_find_flags(esp_context *ctx, const char *path, const struct espi_task_options *options,
                            const struct espi_columns *columns, char *const *header, const struct espi_text *record,
                            bool *flags, size_t *flag_count)
{
    *flag_count = 0;
    if (options->label_column)
        return named_flags(ctx, path, options->label_column, columns, header, flags, flag_count);
    for (size_t i = 0; i < columns->count; i++) {
        bool flag;
        flags[i] = i != columns->text && i != columns->pair && !is_text_name(header[i]) &&
                   !espi_label_is_number_column(header[i]) &&
                   espi_label_flag_text(record[i].data, record[i].bytes, &flag);
        *flag_count += flags[i];
    }
    *flag_count = *flag_count > 1 ? *flag_count : 0; // one of an unknown name may be anything
    return ESP_OK;
}

bool espi_columns_is_flag_member(const struct espi_task_options *options, const char *name, const json_t *value)
{
    bool flag;
    struct espi_text wanted;
    for (const char *at = options->label_column; at && next_name(&at, &wanted);) {
        if (is_name(&wanted, name))
            return true;
    }
    return !options->label_column && !is_text_name(name) && !espi_label_is_number_column(name) &&
           espi_label_flag_json(value, &flag);
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
    if (!known && !wanted[0]) {
        int status = check_no_header(ctx, path, fields, count);
        if (status)
            return status;
    }
    if (!known && !wanted[0] && !by_count(fields, count, out)) {
        return espi_fail(ctx, ESP_ERR_FORMAT,
                         "%s: line 1: expected a header with a column such as \"sentence\" or \"text\", or at most 3 "
                         "columns; found %zu columns, \"%s\" first: name the text, pair and label columns",
                         path, count, fields[0].data);
    }
    for (size_t i = 0; i < ESPI_COUNT(wanted); i++) {
        if (i == 2 && wanted[i] && strchr(wanted[i], ',') && find(fields, count, wanted[i]) == ESPI_NO_COLUMN) {
            out->label = ESPI_NO_COLUMN; // several, a column for each label
            out->header = true;
            continue;
        }
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
    char names[128];
    return *text ? ESP_OK
                 : espi_json_fail(ctx, object,
                                  "expected a member such as \"text\" or \"sentence\" (--text-column names another), "
                                  "found %s",
                                  espi_json_member_names(object, names, sizeof names));
}
