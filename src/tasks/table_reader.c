/* SPDX-License-Identifier: Apache-2.0
 * Tables of texts and labels: TSV as GLUE has it (no quoting: a quote is a quote), CSV (RFC 4180) and JSON Lines. */
#include "tasks/columns.h"
#include "tasks/dataset.h"
#include "tasks/pytext.h"

#include "base/file.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct table {
    struct espi_dataset base;
    char *path;
    struct espi_lines lines;
    enum espi_format format;
    struct espi_task_options options; // the column names, borrowed from the copies below
    char *names[3];
    struct espi_columns columns;
    bool begun, pending; // pending: the first record is data and was not handed out yet

    /* the current record of TSV and CSV */
    struct espi_string record; // the fields, each zero-terminated
    size_t *begins;            // (field_count) offsets into record
    struct espi_text *fields;  // (field_count)
    size_t field_count, begin_capacity, field_capacity;
    size_t number; // of its first line
};

static void table_close(struct espi_dataset *dataset)
{
    struct table *table = (struct table *)dataset;
    espi_lines_close(&table->lines);
    for (size_t i = 0; i < ESPI_COUNT(table->names); i++)
        free(table->names[i]);
    free(table->record.data);
    free(table->begins);
    free(table->fields);
    free(table->path);
    free(table);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static int field_begin(esp_context *ctx, struct table *table)
{
    int status = espi_grow(ctx, &table->begins, &table->begin_capacity, table->field_count + 1, sizeof(*table->begins));
    if (!status)
        table->begins[table->field_count++] = table->record.length;
    return status;
}

static int field_end(esp_context *ctx, struct table *table)
{
    return espi_string_add(ctx, &table->record, "", 1);
}

static int split_tsv(esp_context *ctx, struct table *table)
{
    const char *text = table->lines.text, *end = text + table->lines.length;
    for (bool last = false; !last; text++) {
        const char *tab = memchr(text, '\t', (size_t)(end - text));
        last = !tab;
        size_t bytes = (size_t)((last ? end : tab) - text);
        int status = field_begin(ctx, table);
        if (!status)
            status = espi_string_add(ctx, &table->record, text, bytes);
        if (!status)
            status = field_end(ctx, table);
        if (status)
            return status;
        text += bytes;
    }
    return ESP_OK;
}

static int csv_fail(esp_context *ctx, const struct table *table, const char *text)
{
    return espi_fail(ctx, ESP_ERR_FORMAT, "%s: line %zu: column %zu: %s", table->path, table->lines.number,
                     table->field_count, text);
}

/* A field in quotes, which may go on over line ends; *at stands behind the opening quote and ends behind the closing
 * one. */
static int quoted_field(esp_context *ctx, struct table *table, size_t *at)
{
    for (;;) {
        const char *text = table->lines.text;
        size_t begin = *at, length = table->lines.length;
        while (*at < length && text[*at] != '"')
            ++*at;
        int status = espi_string_add(ctx, &table->record, text + begin, *at - begin);
        if (status)
            return status;
        if (*at < length) {
            ++*at;
            if (*at == length || text[*at] != '"')
                return ESP_OK;
            ++*at;
            status = espi_string_add(ctx, &table->record, "\"", 1);
        } else {
            status = espi_string_add(ctx, &table->record, "\n", 1);
            if (!status)
                status = espi_lines_next(ctx, &table->lines);
            if (status == 0)
                return espi_fail(ctx, ESP_ERR_FORMAT,
                                 "%s: line %zu: column %zu: expected a closing quote, found the end of the file",
                                 table->path, table->number, table->field_count);
            status = status > 0 ? ESP_OK : status;
            *at = 0;
        }
        if (status)
            return status;
    }
}

static int split_csv(esp_context *ctx, struct table *table)
{
    for (size_t at = 0;; at++) {
        int status = field_begin(ctx, table);
        if (status)
            return status;
        if (at < table->lines.length && table->lines.text[at] == '"') {
            at++;
            status = quoted_field(ctx, table, &at);
            if (!status && at < table->lines.length && table->lines.text[at] != ',')
                status = csv_fail(ctx, table, "expected a comma behind the closing quote");
        } else {
            size_t begin = at;
            while (at < table->lines.length && table->lines.text[at] != ',' && table->lines.text[at] != '"')
                at++;
            if (at < table->lines.length && table->lines.text[at] == '"')
                return csv_fail(ctx, table, "expected quotes around the whole field, found one inside it");
            status = espi_string_add(ctx, &table->record, table->lines.text + begin, at - begin);
        }
        if (!status)
            status = field_end(ctx, table);
        if (status || at >= table->lines.length)
            return status;
    }
}

/* The next line that is not empty. */
static int next_line(esp_context *ctx, struct table *table)
{
    int status;
    do {
        status = espi_lines_next(ctx, &table->lines);
    } while (status > 0 && table->lines.length == 0);
    table->number = table->lines.number;
    return status;
}

static int next_record(esp_context *ctx, struct table *table)
{
    int status = next_line(ctx, table);
    if (status <= 0)
        return status;
    table->record.length = table->field_count = 0;
    status = table->format == ESPI_FORMAT_CSV ? split_csv(ctx, table) : split_tsv(ctx, table);
    if (!status)
        status = espi_grow(ctx, &table->fields, &table->field_capacity, table->field_count, sizeof(*table->fields));
    if (status)
        return status;
    for (size_t i = 0; i < table->field_count; i++) {
        size_t end = i + 1 < table->field_count ? table->begins[i + 1] : table->record.length;
        table->fields[i] = (struct espi_text){table->record.data + table->begins[i], end - table->begins[i] - 1};
    }
    return 1;
}

/* ---- examples ---------------------------------------------------------------------------------------------------- */

static int add_label(esp_context *ctx, struct espi_example *example, size_t capacity, const char *data, size_t bytes)
{
    if (!example->labels) {
        example->labels = espi_arena_alloc(ctx, &example->arena, capacity, sizeof(*example->labels));
        if (!example->labels)
            return ESP_ERR_MEMORY;
    }
    struct espi_text label;
    int status = espi_example_text(ctx, example, data, bytes, &label);
    if (status)
        return status;
    if (strlen(label.data) != bytes)
        return espi_example_fail(ctx, example, "expected a label without a zero character");
    example->labels[example->label_count++] = label.data;
    example->labelled = true;
    return ESP_OK;
}

static int record_example(esp_context *ctx, const struct table *table, struct espi_example *example)
{
    const struct espi_columns *columns = &table->columns;
    if (table->field_count != columns->count) {
        return espi_example_fail(ctx, example, "expected %zu columns, found %zu", columns->count, table->field_count);
    }
    const struct espi_text *fields = table->fields;
    int status =
        espi_example_text(ctx, example, fields[columns->text].data, fields[columns->text].bytes, &example->text);
    if (!status && columns->pair != ESPI_NO_COLUMN)
        status =
            espi_example_text(ctx, example, fields[columns->pair].data, fields[columns->pair].bytes, &example->pair);
    if (!status && columns->label != ESPI_NO_COLUMN)
        status = add_label(ctx, example, 1, fields[columns->label].data, fields[columns->label].bytes);
    return status;
}

static int json_label(esp_context *ctx, struct espi_example *example, size_t capacity, const struct espi_json *label)
{
    char number[64];
    switch (label->value ? json_typeof(label->value) : JSON_NULL) {
    case JSON_STRING:
        return add_label(ctx, example, capacity, json_string_value(label->value), json_string_length(label->value));
    case JSON_INTEGER:
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(label->value));
        break;
    case JSON_REAL:
        snprintf(number, sizeof(number), "%.17g", json_real_value(label->value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(number, sizeof(number), "%s", json_is_true(label->value) ? "true" : "false");
        break;
    default:
        return espi_json_fail(ctx, label, "expected a label: a string or a number");
    }
    return add_label(ctx, example, capacity, number, strlen(number));
}

static int object_example(esp_context *ctx, const struct espi_task_options *options, const struct espi_json *object,
                          struct espi_example *example)
{
    const char *text_key, *pair_key, *label_key, *data;
    size_t bytes;
    int status = espi_json_expect_object(ctx, object);
    if (status || (status = espi_columns_find_members(ctx, options, object, &text_key, &pair_key, &label_key)) ||
        (status = espi_json_get_string(ctx, object, text_key, &data, &bytes)) ||
        (status = espi_example_text(ctx, example, data, bytes, &example->text)))
        return status;
    if (pair_key && ((status = espi_json_get_string(ctx, object, pair_key, &data, &bytes)) ||
                     (status = espi_example_text(ctx, example, data, bytes, &example->pair))))
        return status;
    if (!label_key)
        return ESP_OK;
    struct espi_json label = espi_json_at(object, label_key);
    if (!json_is_array(label.value))
        return json_label(ctx, example, 1, &label);
    example->labelled = true;
    for (size_t i = 0; !status && i < espi_json_length(&label); i++) {
        struct espi_json item = espi_json_item(&label, i);
        status = json_label(ctx, example, espi_json_length(&label), &item);
    }
    return status;
}

static int line_example(esp_context *ctx, struct table *table, struct espi_example *example)
{
    char source[ESPI_PATH_BYTES + 32];
    snprintf(source, sizeof(source), "%s: line %zu", table->path, table->number);
    struct espi_json object;
    int status = espi_json_open_text(ctx, source, table->lines.text, table->lines.length, &object);
    if (!status)
        status = object_example(ctx, &table->options, &object, example);
    espi_json_close(&object);
    return status;
}

/* The first record of TSV and CSV decides about the columns. */
static int begin(esp_context *ctx, struct table *table)
{
    table->begun = true;
    if (table->format == ESPI_FORMAT_JSONL)
        return ESP_OK;
    int status = next_record(ctx, table);
    if (status <= 0)
        return status ? status
                      : espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected records, found an empty file", table->path);
    status = espi_columns_find(ctx, table->path, &table->options, table->fields, table->field_count, &table->columns);
    table->pending = !table->columns.header;
    return status;
}

static int table_next(esp_context *ctx, struct espi_dataset *dataset, struct espi_example **out)
{
    struct table *table = (struct table *)dataset;
    int status = table->begun ? ESP_OK : begin(ctx, table);
    if (status)
        return status;
    if (table->pending)
        status = 1;
    else
        status = table->format == ESPI_FORMAT_JSONL ? next_line(ctx, table) : next_record(ctx, table);
    table->pending = false;
    if (status <= 0)
        return status;
    struct espi_example *example = NULL;
    status = espi_example_new(ctx, table->path, table->number, &example);
    if (!status)
        status = table->format == ESPI_FORMAT_JSONL ? line_example(ctx, table, example)
                                                    : record_example(ctx, table, example);
    if (status) {
        espi_example_free(example);
        return status;
    }
    *out = example;
    return 1;
}

static enum espi_format format_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot && !strcasecmp(dot, ".csv"))
        return ESPI_FORMAT_CSV;
    if (dot && (!strcasecmp(dot, ".jsonl") || !strcasecmp(dot, ".ndjson") || !strcasecmp(dot, ".json")))
        return ESPI_FORMAT_JSONL;
    return ESPI_FORMAT_TSV;
}

static int copy_option(esp_context *ctx, const char *option, char **copy)
{
    if (!option)
        return ESP_OK;
    *copy = strdup(option);
    return *copy ? ESP_OK : espi_fail_memory(ctx, strlen(option));
}

int espi_table_open(esp_context *ctx, const char *path, const struct espi_task_options *options,
                    struct espi_dataset **out)
{
    *out = NULL;
    struct table *table = espi_calloc(ctx, 1, sizeof(*table));
    if (!table)
        return ESP_ERR_MEMORY;
    table->base.next = table_next;
    table->base.close = table_close;
    table->format = options->format ? options->format : format_of(path);
    int status;
    if ((status = copy_option(ctx, path, &table->path)) ||
        (status = copy_option(ctx, options->text_column, &table->names[0])) ||
        (status = copy_option(ctx, options->pair_column, &table->names[1])) ||
        (status = copy_option(ctx, options->label_column, &table->names[2])))
        goto fail;
    table->options = (struct espi_task_options){
        .text_column = table->names[0], .pair_column = table->names[1], .label_column = table->names[2]};
    if ((status = espi_lines_open(ctx, table->path, &table->lines)))
        goto fail;
    *out = &table->base;
    return ESP_OK;
fail:
    table_close(&table->base);
    return status;
}
