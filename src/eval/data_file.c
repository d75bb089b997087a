/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/data_file.h"

#include "base/foreign.h"
#include "base/memory.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- what it is -------------------------------------------------------------------------------------------------- */

static size_t skip_space(const char *data, size_t bytes, size_t at)
{
    while (at < bytes && memchr(" \t\r\n", data[at], 4))
        at++;
    return at;
}

static bool named_json(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (!strcasecmp(dot, ".json") || !strcasecmp(dot, ".jsonl") || !strcasecmp(dot, ".ndjson"));
}

/* Whether an object is the frame of its records: {"data": […]} and no record itself. */
static bool is_frame(const struct espi_json *object)
{
    return json_is_array(json_object_get(object->value, "data"));
}

/* A file that begins with an object: a record a line when its first line is one. */
static int look_at_object(esp_context *ctx, struct espi_data_file *file, enum espi_content expected)
{
    const char *data;
    size_t bytes, wanted = 1 << 16;
    const char *end;
    do {
        int status = espi_lines_peek(ctx, &file->lines, wanted, &data, &bytes);
        if (status)
            return status;
        size_t begin = skip_space(data, bytes, 0);
        end = memchr(data + begin, '\n', bytes - begin);
        wanted *= 2;
    } while (!end && bytes >= wanted / 2);
    const char *begin = data + skip_space(data, bytes, 0);
    size_t length = (size_t)((end ? end : data + bytes) - begin);
    struct espi_json first;
    esp_context *quiet = NULL; // a line that is none is no failure
    int status = espi_json_open_text(quiet, file->path, begin, length, &first);
    if (!status)
        file->content = json_is_object(first.value) && !is_frame(&first) ? ESPI_CONTENT_LINES : ESPI_CONTENT_DOCUMENT;
    else if (skip_space(begin, length, 1) == length)
        file->content = ESPI_CONTENT_DOCUMENT; // its brace stands alone: written for people
    else if (expected == ESPI_CONTENT_TEXT && named_json(file->path))
        file->content = ESPI_CONTENT_LINES;
    else
        file->content = expected;
    espi_json_close(&first);
    return status == ESP_ERR_MEMORY ? espi_fail_memory(ctx, length) : ESP_OK;
}

static int look(esp_context *ctx, struct espi_data_file *file, const char *forms, enum espi_content expected,
                bool stated)
{
    const char *data;
    size_t bytes;
    int status = espi_lines_peek(ctx, &file->lines, 4096, &data, &bytes);
    if (!status)
        status = espi_foreign_check(ctx, file->path, forms, "write it as JSON Lines", data, bytes);
    file->content = expected;
    if (status || stated)
        return status;
    size_t first = skip_space(data, bytes, 0), second = skip_space(data, bytes, first + 1);
    char opening = first < bytes ? data[first] : 0, next = second < bytes ? data[second] : 0;
    if (opening == '{' && (next == '"' || next == '}'))
        return look_at_object(ctx, file, expected);
    if (opening == '[' && (next == '{' || (next == ']' && skip_space(data, bytes, second + 1) == bytes)))
        file->content = ESPI_CONTENT_DOCUMENT;
    return ESP_OK;
}

static int read_document(esp_context *ctx, struct espi_data_file *file)
{
    const char *data;
    size_t bytes;
    int status = espi_lines_peek(ctx, &file->lines, SIZE_MAX, &data, &bytes);
    return status ? status : espi_json_open_text(ctx, file->path, data, bytes, &file->document);
}

int espi_data_file_open(esp_context *ctx, const char *path, const char *forms, enum espi_content expected, bool stated,
                        struct espi_data_file *out)
{
    *out = (struct espi_data_file){0};
    out->path = strdup(path);
    int status = out->path ? espi_lines_open(ctx, out->path, &out->lines) : espi_fail_memory(ctx, strlen(path));
    if (!status)
        status = look(ctx, out, forms, expected, stated);
    if (!status && out->content == ESPI_CONTENT_DOCUMENT) {
        status = read_document(ctx, out);
        espi_lines_close(&out->lines);
    }
    if (status)
        espi_data_file_close(out);
    return status;
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static int next_of_document(struct espi_data_file *file, struct espi_json *record)
{
    file->list = is_frame(&file->document) ? espi_json_at(&file->document, "data") : file->document;
    if (!json_is_array(file->list.value)) {
        *record = file->document;
        return file->next++ == 0;
    }
    if (file->next == espi_json_length(&file->list))
        return 0;
    *record = espi_json_item(&file->list, file->next++);
    return 1;
}

/* "file: line 12", for messages about what stands there. */
static int name_line(esp_context *ctx, struct espi_data_file *file)
{
    size_t room = strlen(file->path) + 32;
    if (!file->source && !(file->source = espi_calloc(ctx, room, 1)))
        return ESP_ERR_MEMORY;
    snprintf(file->source, room, "%s: line %zu", file->path, file->number);
    return ESP_OK;
}

static int next_of_lines(esp_context *ctx, struct espi_data_file *file, struct espi_json *record)
{
    int status;
    do {
        status = espi_lines_next(ctx, &file->lines);
    } while (status > 0 && skip_space(file->lines.text, file->lines.length, 0) == file->lines.length);
    if (status <= 0)
        return status;
    file->number = file->lines.number;
    espi_json_close(&file->document);
    if ((status = name_line(ctx, file)))
        return status;
    status = espi_json_open_text(ctx, file->source, file->lines.text, file->lines.length, &file->document);
    *record = file->document;
    return status ? status : 1;
}

static int next_of_held(esp_context *ctx, struct espi_data_file *file, struct espi_json *record)
{
    if (file->next == file->held_count)
        return 0;
    const struct espi_held_record *held = &file->held[file->next++];
    file->number = held->number;
    int status = name_line(ctx, file);
    *record = (struct espi_json){.value = held->value, .source = file->source};
    return status ? status : 1;
}

int espi_data_file_record(esp_context *ctx, struct espi_data_file *file, struct espi_json *record)
{
    if (file->content == ESPI_CONTENT_DOCUMENT)
        return next_of_document(file, record);
    return file->held ? next_of_held(ctx, file, record) : next_of_lines(ctx, file, record);
}

int espi_data_file_hold(esp_context *ctx, struct espi_data_file *file)
{
    struct espi_json record;
    int status;
    if (file->content == ESPI_CONTENT_DOCUMENT)
        return ESP_OK;
    while ((status = next_of_lines(ctx, file, &record)) > 0) {
        status = espi_grow(ctx, &file->held, &file->held_room, file->held_count + 1, sizeof *file->held);
        if (status)
            return status;
        file->held[file->held_count++] = (struct espi_held_record){json_incref(record.value), file->number};
    }
    return status;
}

void espi_data_file_close(struct espi_data_file *file)
{
    espi_lines_close(&file->lines);
    espi_json_close(&file->document);
    for (size_t i = 0; i < file->held_count; i++)
        json_decref(file->held[i].value);
    free(file->held);
    free(file->source);
    free(file->path);
    *file = (struct espi_data_file){0};
}
