/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/file.h"
#include "base/foreign.h"
#include "base/json_parse.h"
#include "base/memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int espi_json_open_text(esp_context *ctx, const char *source, const char *text, size_t bytes, struct espi_json *out)
{
    *out = (struct espi_json){.source = source};
    return espi_json_parse(ctx, source, text, bytes, &out->value);
}

int espi_json_open_file(esp_context *ctx, const char *path, struct espi_json *out)
{
    *out = (struct espi_json){.source = path};
    struct espi_map map;
    int status = espi_map_open(ctx, path, &map);
    if (status)
        return status;
    size_t mark = map.bytes >= 3 && !memcmp(map.data, "\xef\xbb\xbf", 3) ? 3 : 0; // byte order mark
    status = espi_json_open_text(ctx, path, (const char *)map.data + mark, map.bytes - mark, out);
    if (status == ESP_ERR_FORMAT) {
        int foreign = espi_foreign_check(ctx, path, "JSON", "fetch the file itself", map.data, map.bytes);
        status = foreign ? foreign : status;
    }
    espi_map_close(&map);
    return status;
}

void espi_json_close(struct espi_json *document)
{
    json_decref(document->value);
    document->value = NULL;
}

static json_t *present(json_t *value)
{
    return json_is_null(value) ? NULL : value;
}

struct espi_json espi_json_at(const struct espi_json *object, const char *key)
{
    return (struct espi_json){
        .value = present(json_object_get(object->value, key)), .source = object->source, .parent = object, .key = key};
}

struct espi_json espi_json_item(const struct espi_json *array, size_t index)
{
    return (struct espi_json){.value = present(json_array_get(array->value, index)),
                              .source = array->source,
                              .parent = array,
                              .index = index};
}

size_t espi_json_length(const struct espi_json *json)
{
    return json_is_array(json->value) ? json_array_size(json->value) : json_object_size(json->value);
}

bool espi_json_has(const struct espi_json *object, const char *key)
{
    return present(json_object_get(object->value, key)) != NULL;
}

const char *espi_json_member_names(const struct espi_json *object, char *text, size_t bytes)
{
    size_t used = 0;
    const char *key;
    json_t *value;
    snprintf(text, bytes, "none");
    json_object_foreach(object->value, key, value)
    {
        if (used < bytes)
            used += (size_t)snprintf(text + used, bytes - used, "%s%.40s", used ? ", " : "", key);
    }
    return text;
}

/* Appends "a.b[3]" for a value inside its document; nothing for the document itself. */
static void append_path(char *path, size_t bytes, const struct espi_json *json)
{
    if (!json->parent)
        return;
    append_path(path, bytes, json->parent);
    size_t used = strlen(path);
    if (json->key)
        snprintf(path + used, bytes - used, "%s%s", used ? "." : "", json->key);
    else
        snprintf(path + used, bytes - used, "[%zu]", json->index);
}

int espi_json_fail(esp_context *ctx, const struct espi_json *json, const char *format, ...)
{
    char path[256] = "", text[ESPI_ERROR_BYTES];
    append_path(path, sizeof path, json);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %s%s%s", json->source, path, *path ? ": " : "", text);
}

void espi_json_warn(esp_context *ctx, const struct espi_json *json, const char *format, ...)
{
    char path[256] = "", text[ESPI_ERROR_BYTES];
    append_path(path, sizeof path, json);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    espi_log(ctx, ESP_LOG_WARNING, "%s: %s%s%s", json->source, path, *path ? ": " : "", text);
}

/* "found a string" … for a message; short values are shown. */
static const char *describe(const json_t *value, char text[64])
{
    if (!value)
        return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        snprintf(text, 64, "the string \"%.32s\"", json_string_value(value));
        return text;
    case JSON_INTEGER:
        snprintf(text, 64, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return text;
    case JSON_REAL:
        if (fabs(json_real_value(value)) >= 1e308) // what a larger one is read as
            return json_real_value(value) > 0 ? "a number of 1e308 or more" : "a number of -1e308 or less";
        snprintf(text, 64, "%.15g", json_real_value(value));
        return text;
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    default:
        return "null";
    }
}

static int expected(esp_context *ctx, const struct espi_json *json, const char *what)
{
    char text[64];
    return espi_json_fail(ctx, json, "expected %s, found %s", what, describe(json->value, text));
}

int espi_json_expect_object(esp_context *ctx, const struct espi_json *json)
{
    return json_is_object(json->value) ? ESP_OK : expected(ctx, json, "an object");
}

int espi_json_expect_array(esp_context *ctx, const struct espi_json *json)
{
    return json_is_array(json->value) ? ESP_OK : expected(ctx, json, "an array");
}

int espi_json_get_string(esp_context *ctx, const struct espi_json *object, const char *key, const char **out,
                         size_t *length)
{
    struct espi_json member = espi_json_at(object, key);
    if (!json_is_string(member.value))
        return expected(ctx, &member, "a string");
    size_t bytes = json_string_length(member.value);
    if (length)
        *length = bytes;
    else if (strlen(json_string_value(member.value)) != bytes)
        return espi_json_fail(ctx, &member, "expected a string without a zero character");
    *out = json_string_value(member.value);
    return ESP_OK;
}

bool espi_json_is_integer(const json_t *value, int64_t *out)
{
    double real = json_real_value(value);
    if (json_is_integer(value))
        *out = json_integer_value(value);
    else if (json_is_real(value) && fabs(real) <= 0x1p53 && real == floor(real))
        *out = (int64_t)real;
    else
        return false;
    return true;
}

int espi_json_integer(esp_context *ctx, const struct espi_json *json, int64_t low, int64_t high, int64_t *out)
{
    int64_t value;
    if (espi_json_is_integer(json->value, &value) && value >= low && value <= high) {
        *out = value;
        return ESP_OK;
    }
    char what[96];
    snprintf(what, sizeof what, "an integer from %" PRId64 " to %" PRId64, low, high);
    return expected(ctx, json, what);
}

int espi_json_get_integer(esp_context *ctx, const struct espi_json *object, const char *key, int64_t low, int64_t high,
                          int64_t *out)
{
    struct espi_json member = espi_json_at(object, key);
    return espi_json_integer(ctx, &member, low, high, out);
}

int espi_json_get_size(esp_context *ctx, const struct espi_json *object, const char *key, size_t low, size_t high,
                       size_t *out)
{
    int64_t value;
    int status =
        espi_json_get_integer(ctx, object, key, (int64_t)low, high > INT64_MAX ? INT64_MAX : (int64_t)high, &value);
    if (!status)
        *out = (size_t)value;
    return status;
}

int espi_json_get_limit(esp_context *ctx, const struct espi_json *object, const char *key, size_t low, size_t *out)
{
    struct espi_json member = espi_json_at(object, key);
    int64_t value = 0;
    bool none = json_real_value(member.value) > 0x1p53;
    int status = none ? ESP_OK : espi_json_integer(ctx, &member, (int64_t)low, INT64_MAX, &value);
    if (!status)
        *out = none ? SIZE_MAX : (size_t)value;
    return status;
}

int espi_json_get_number(esp_context *ctx, const struct espi_json *object, const char *key, double low, double high,
                         double *out)
{
    struct espi_json member = espi_json_at(object, key);
    double value = json_number_value(member.value);
    char what[96];
    snprintf(what, sizeof what, "a number from %.9g to %.9g", low, high);
    if (!json_is_number(member.value) || !isfinite(value) || value < low || value > high)
        return expected(ctx, &member, what);
    *out = value;
    return ESP_OK;
}

int espi_json_get_bool(esp_context *ctx, const struct espi_json *object, const char *key, bool *out)
{
    struct espi_json member = espi_json_at(object, key);
    if (!json_is_boolean(member.value))
        return expected(ctx, &member, "true or false");
    *out = json_is_true(member.value);
    return ESP_OK;
}

int espi_json_get_optional_bool(esp_context *ctx, const struct espi_json *object, const char *key, bool *out)
{
    return espi_json_has(object, key) ? espi_json_get_bool(ctx, object, key, out) : ESP_OK;
}

char *espi_json_text(esp_context *ctx, const json_t *value)
{
    struct espi_json_writer writer = {0};
    espi_put_value(&writer, NULL, value);
    return espi_json_writer_end(ctx, &writer) ? NULL : writer.data;
}

int espi_json_print(esp_context *ctx, const json_t *value, bool indent, FILE *stream)
{
    struct espi_json_writer writer = {.stream = stream, .indent = indent};
    espi_put_value(&writer, NULL, value);
    return espi_json_writer_end(ctx, &writer);
}

int espi_json_write(esp_context *ctx, json_t *value, bool indent, const char *path)
{
    struct espi_json_writer writer = {.indent = indent, .exact = true};
    espi_put_value(&writer, NULL, value);
    json_decref(value);
    return espi_json_writer_file(ctx, &writer, path);
}

int espi_json_written(esp_context *ctx, struct espi_json_writer *writer, json_t **out)
{
    *out = NULL;
    int status = espi_json_writer_end(ctx, writer);
    if (!status)
        status = espi_json_parse(ctx, "report", writer->data, writer->length, out);
    free(writer->data);
    writer->data = NULL;
    return status;
}

int espi_json_copy(esp_context *ctx, const json_t *object, json_t **out)
{
    *out = object ? json_deep_copy(object) : json_object();
    return *out ? ESP_OK : espi_fail_memory(ctx, sizeof **out);
}

int espi_json_update(esp_context *ctx, json_t *object, struct espi_json_writer *writer)
{
    json_t *members;
    int status = espi_json_written(ctx, writer, &members);
    if (!status && json_object_update(object, members))
        status = espi_fail_memory(ctx, sizeof *members);
    json_decref(members);
    return status;
}
