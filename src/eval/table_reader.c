/* SPDX-License-Identifier: Apache-2.0
 * Tables of texts and labels: TSV as GLUE has it (no quoting: a quote is a quote), CSV (RFC 4180) and JSON records. */
#include "eval/columns.h"
#include "eval/data_file.h"
#include "eval/evaluator.h"
#include "eval/label_reader.h"
#include "tasks/pytext.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char forms[] = "TSV, CSV, JSON Lines or a JSON array of objects";

struct table {
    struct espi_dataset base;
    struct espi_data_file file;
    enum espi_format format;
    struct espi_label_reader labels;
    struct espi_task_options options; // the column names, borrowed from the copies below
    char *names[3];
    struct espi_columns columns;
    bool begun, pending; // pending: the first record is data and was not handed out yet
    char **header;       // (columns.count) the names of the columns of a file without a label column
    bool *flags;         // (columns.count) the columns that say whether a label holds
    size_t flag_count;

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
    espi_data_file_close(&table->file);
    for (size_t i = 0; i < ESPI_COUNT(table->names); i++)
        free(table->names[i]);
    for (size_t i = 0; table->header && i < table->columns.count; i++)
        free(table->header[i]);
    free(table->header);
    free(table->flags);
    free(table->record.data);
    free(table->begins);
    free(table->fields);
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
    const char *text = table->file.lines.text, *end = text + table->file.lines.length;
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
    return espi_fail(ctx, ESP_ERR_FORMAT, "%s: line %zu: column %zu: %s", table->file.path, table->file.lines.number,
                     table->field_count, text);
}

/* A field in quotes, which may go on over line ends; *at stands behind the opening quote and ends behind the closing
 * one. */
static int quoted_field(esp_context *ctx, struct table *table, size_t *at)
{
    for (;;) {
        const char *text = table->file.lines.text;
        size_t begin = *at, length = table->file.lines.length;
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
                status = espi_lines_next(ctx, &table->file.lines);
            if (status == 0)
                return espi_fail(ctx, ESP_ERR_FORMAT,
                                 "%s: line %zu: column %zu: expected a closing quote, found the end of the file",
                                 table->file.path, table->number, table->field_count);
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
        if (at < table->file.lines.length && table->file.lines.text[at] == '"') {
            at++;
            status = quoted_field(ctx, table, &at);
            if (!status && at < table->file.lines.length && table->file.lines.text[at] != ',')
                status = csv_fail(ctx, table, "expected a comma behind the closing quote");
        } else {
            size_t begin = at;
            while (at < table->file.lines.length && table->file.lines.text[at] != ',' &&
                   table->file.lines.text[at] != '"')
                at++;
            if (at < table->file.lines.length && table->file.lines.text[at] == '"')
                return csv_fail(ctx, table, "expected quotes around the whole field, found one inside it");
            status = espi_string_add(ctx, &table->record, table->file.lines.text + begin, at - begin);
        }
        if (!status)
            status = field_end(ctx, table);
        if (status || at >= table->file.lines.length)
            return status;
    }
}

/* The next line that is not empty. */
static int next_line(esp_context *ctx, struct table *table)
{
    int status;
    do {
        status = espi_lines_next(ctx, &table->file.lines);
    } while (status > 0 && table->file.lines.length == 0);
    table->number = table->file.lines.number;
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

/* The labels of a file with a column for each. */
static int read_flags(esp_context *ctx, const struct table *table, struct espi_example *example)
{
    for (size_t i = 0; i < table->columns.count; i++) {
        bool flag;
        if (!table->flags[i])
            continue;
        if (!espi_label_flag_text(table->fields[i].data, table->fields[i].bytes, &flag))
            return espi_example_fail(ctx, example, "column \"%s\": expected 0 or 1, found \"%.40s\"", table->header[i],
                                     table->fields[i].data);
        int status = espi_label_add_flag(ctx, example, table->flag_count, table->header[i], flag);
        if (status)
            return status;
    }
    return ESP_OK;
}

static int record_example(esp_context *ctx, struct table *table, struct espi_example *example)
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
        status = espi_label_read_text(ctx, &table->labels, example, fields[columns->label].data,
                                      fields[columns->label].bytes);
    else if (!status && table->flag_count)
        status = read_flags(ctx, table, example);
    return status;
}

/* The labels of an object with a member for each; one alone of an unknown name may be anything. */
static int read_flag_members(esp_context *ctx, const struct table *table, const struct espi_json *object,
                             struct espi_example *example)
{
    const char *key;
    json_t *value;
    size_t count = 0;
    json_object_foreach(object->value, key, value)
    {
        count += espi_columns_is_flag_member(&table->options, key, value);
    }
    if (count < 2)
        return ESP_OK;
    json_object_foreach(object->value, key, value)
    {
        bool flag;
        if (!espi_columns_is_flag_member(&table->options, key, value))
            continue;
        struct espi_json member = espi_json_at(object, key);
        int status = espi_label_flag_json(value, &flag)
                         ? espi_label_add_flag(ctx, example, count, key, flag)
                         : espi_json_fail(ctx, &member, "expected 0 or 1, as a member for each label has");
        if (status)
            return status;
    }
    return ESP_OK;
}

static int object_example(esp_context *ctx, struct table *table, const struct espi_json *object,
                          struct espi_example *example)
{
    const char *text_key, *pair_key, *label_key, *data;
    size_t bytes;
    int status = espi_json_expect_object(ctx, object);
    if (status ||
        (status = espi_columns_find_members(ctx, &table->options, object, &text_key, &pair_key, &label_key)) ||
        (status = espi_json_get_string(ctx, object, text_key, &data, &bytes)) ||
        (status = espi_example_text(ctx, example, data, bytes, &example->text)))
        return status;
    if (pair_key && ((status = espi_json_get_string(ctx, object, pair_key, &data, &bytes)) ||
                     (status = espi_example_text(ctx, example, data, bytes, &example->pair))))
        return status;
    if (!label_key)
        return read_flag_members(ctx, table, object, example);
    struct espi_json label = espi_json_at(object, label_key);
    return espi_label_read_json(ctx, &table->labels, example, &label);
}

static int json_next(esp_context *ctx, struct table *table, struct espi_example **out)
{
    struct espi_json object;
    struct espi_example *example = NULL;
    int status = espi_data_file_record(ctx, &table->file, &object);
    if (status <= 0)
        return status;
    size_t number = table->file.number ? table->file.number : table->file.next; // in a document records are counted
    if ((status = espi_example_new(ctx, table->file.path, number, &example)))
        return status;
    if (!table->file.number) {
        example->number = 0;
        example->source = espi_arena_format(ctx, &example->arena, "%s: record %zu", table->file.path, number);
        status = example->source ? ESP_OK : ESP_ERR_MEMORY;
    }
    if (!status)
        status = object_example(ctx, table, &object, example);
    if (status) {
        espi_example_free(example);
        return status;
    }
    *out = example;
    return 1;
}

/* ---- the data set ------------------------------------------------------------------------------------------------ */

/* Keeps the names of the header; the first record behind it says which columns stand for labels. */
static int begin_flags(esp_context *ctx, struct table *table)
{
    size_t count = table->columns.count;
    table->header = espi_calloc(ctx, count, sizeof(*table->header));
    table->flags = espi_calloc(ctx, count, sizeof(*table->flags));
    if (!table->header || !table->flags)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        if (!(table->header[i] = strdup(table->fields[i].data)))
            return espi_fail_memory(ctx, table->fields[i].bytes);
    }
    int status = next_record(ctx, table);
    table->pending = status > 0;
    if (status <= 0 || table->field_count != count) // the wrong number of columns is found where the record is read
        return status < 0 ? status : ESP_OK;
    return espi_columns_find_flags(ctx, table->file.path, &table->options, &table->columns, table->header,
                                   table->fields, table->flags, &table->flag_count);
}

/* The first record of TSV and CSV decides about the columns. */
static int begin(esp_context *ctx, struct table *table)
{
    table->begun = true;
    int status = next_record(ctx, table);
    if (status <= 0)
        return status ? status
                      : espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected records, found an empty file", table->file.path);
    status =
        espi_columns_find(ctx, table->file.path, &table->options, table->fields, table->field_count, &table->columns);
    table->pending = !table->columns.header;
    if (!status && table->columns.header && table->columns.label == ESPI_NO_COLUMN)
        status = begin_flags(ctx, table);
    return status;
}

static int table_next(esp_context *ctx, struct espi_dataset *dataset, struct espi_example **out)
{
    struct table *table = (struct table *)dataset;
    if (table->file.content != ESPI_CONTENT_TEXT)
        return json_next(ctx, table, out);
    int status = table->begun ? ESP_OK : begin(ctx, table);
    if (status)
        return status;
    status = table->pending ? 1 : next_record(ctx, table);
    table->pending = false;
    if (status <= 0)
        return status;
    struct espi_example *example = NULL;
    status = espi_example_new(ctx, table->file.path, table->number, &example);
    if (!status)
        status = record_example(ctx, table, example);
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
    if ((status = copy_option(ctx, options->text_column, &table->names[0])) ||
        (status = copy_option(ctx, options->pair_column, &table->names[1])) ||
        (status = copy_option(ctx, options->label_column, &table->names[2])))
        goto fail;
    table->options = (struct espi_task_options){
        .text_column = table->names[0], .pair_column = table->names[1], .label_column = table->names[2]};
    enum espi_content expected = table->format == ESPI_FORMAT_JSONL ? ESPI_CONTENT_LINES : ESPI_CONTENT_TEXT;
    bool stated = options->format == ESPI_FORMAT_TSV || options->format == ESPI_FORMAT_CSV;
    if ((status = espi_data_file_open(ctx, path, forms, expected, stated, &table->file)))
        goto fail;
    *out = &table->base;
    return ESP_OK;
fail:
    table_close(&table->base);
    return status;
}
