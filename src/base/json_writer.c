/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_writer.h"

#include "base/file.h"
#include "base/json_number.h"
#include "base/memory.h"
#include "base/size.h"
#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 1 << 12, FLUSH_BYTES = 1 << 16 };

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

static void flush(struct espi_json_writer *w)
{
    if (!w->status && w->length && fwrite(w->data, 1, w->length, w->stream) != w->length) {
        w->status = ESP_ERR_IO;
        w->errnum = errno;
    }
    w->length = 0;
}

/* Room for some bytes, or NULL once anything has failed. */
static char *reserve(struct espi_json_writer *w, size_t bytes)
{
    if (w->stream && w->length >= FLUSH_BYTES)
        flush(w);
    if (w->status)
        return NULL;
    size_t needed;
    if (!espi_size_add(w->length, bytes, &needed) ||
        espi_grow(NULL, &w->data, &w->capacity, espi_size_max(needed, FIRST_ROOM), 1)) {
        w->status = ESP_ERR_MEMORY;
        return NULL;
    }
    return w->data + w->length;
}

static void add(struct espi_json_writer *w, const char *bytes, size_t count)
{
    char *out = count ? reserve(w, count) : NULL;
    if (!out)
        return;
    memcpy(out, bytes, count);
    w->length += count;
}

static void add_text(struct espi_json_writer *w, const char *text)
{
    add(w, text, strlen(text));
}

static void break_line(struct espi_json_writer *w)
{
    add_text(w, "\n");
    for (size_t i = 0; i < w->depth; i++)
        add_text(w, "  ");
}

static void add_unfit(struct espi_json_writer *w, const char *instead)
{
    if (!w->exact)
        add_text(w, instead);
    else if (!w->status)
        w->status = ESP_ERR_FORMAT;
}

/* ---- strings ----------------------------------------------------------------------------------------------------- */

static void add_escape(struct espi_json_writer *w, unsigned char c)
{
    static const char shorts[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
    char escape[8];
    if (shorts[c])
        snprintf(escape, sizeof escape, "\\%c", shorts[c]);
    else
        snprintf(escape, sizeof escape, "\\u%04x", c);
    add_text(w, escape);
}

/* Bytes at the beginning that stand for themselves. */
static size_t plain_bytes(const char *text, size_t bytes)
{
    size_t at = 0;
    while (at < bytes && (unsigned char)text[at] >= 0x20 && text[at] != '"' && text[at] != '\\')
        at++;
    return at;
}

static void add_quoted(struct espi_json_writer *w, const char *text, size_t bytes)
{
    add_text(w, "\"");
    while (bytes) {
        struct espi_utf8_part part = espi_utf8_part(text, plain_bytes(text, bytes));
        add(w, text, part.valid);
        if (part.invalid)
            add_unfit(w, ESPI_REPLACEMENT_UTF8);
        text += part.valid + part.invalid;
        bytes -= part.valid + part.invalid;
        if (bytes && !part.invalid) {
            add_escape(w, (unsigned char)*text++);
            bytes--;
        }
    }
    add_text(w, "\"");
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* What stands in front of a value. */
static void begin_value(struct espi_json_writer *w, const char *key)
{
    if (w->begun)
        add_text(w, ",");
    if (w->indent && w->depth)
        break_line(w);
    w->begun = true;
    if (key) {
        if (w->exact && !w->status)
            snprintf(w->key, sizeof w->key, "%s", key);
        add_quoted(w, key, strlen(key));
        add_text(w, w->indent ? ": " : ":");
    }
}

static void begin_list(struct espi_json_writer *w, const char *key, const char *bracket)
{
    begin_value(w, key);
    add_text(w, bracket);
    w->depth++;
    w->begun = false;
}

static void end_list(struct espi_json_writer *w, const char *bracket)
{
    w->depth--;
    if (w->indent && w->begun)
        break_line(w);
    add_text(w, bracket);
    w->begun = true;
}

void espi_put_object(struct espi_json_writer *w, const char *key)
{
    begin_list(w, key, "{");
}

void espi_put_object_end(struct espi_json_writer *w)
{
    end_list(w, "}");
}

void espi_put_array(struct espi_json_writer *w, const char *key)
{
    begin_list(w, key, "[");
}

void espi_put_array_end(struct espi_json_writer *w)
{
    end_list(w, "]");
}

void espi_put_string(struct espi_json_writer *w, const char *key, const char *text)
{
    if (text)
        espi_put_text(w, key, text, strlen(text));
    else
        espi_put_null(w, key);
}

void espi_put_text(struct espi_json_writer *w, const char *key, const char *text, size_t bytes)
{
    begin_value(w, key);
    add_quoted(w, text, bytes);
}

void espi_put_integer(struct espi_json_writer *w, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    espi_put_raw(w, key, text, strlen(text));
}

void espi_put_size(struct espi_json_writer *w, const char *key, size_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%zu", value);
    espi_put_raw(w, key, text, strlen(text));
}

void espi_put_number(struct espi_json_writer *w, const char *key, double value)
{
    begin_value(w, key);
    char text[ESPI_NUMBER_BYTES];
    if (isfinite(value))
        add(w, text, espi_format_double(text, value));
    else
        add_unfit(w, "null");
}

void espi_put_float(struct espi_json_writer *w, const char *key, float value)
{
    begin_value(w, key);
    char *out = reserve(w, ESPI_NUMBER_BYTES);
    if (out && isfinite(value))
        w->length += espi_format_float(out, value);
    else if (out)
        add_unfit(w, "null");
}

/* The next values of a list, all in one go, at a fraction of what espi_put_float costs each. How many: 0 where that does not
 * go, as at the beginning. */
static size_t add_floats(struct espi_json_writer *w, const float *values, size_t count, size_t stride)
{
    char *out = w->begun && !w->indent ? reserve(w, count * (1 + ESPI_NUMBER_BYTES)) : NULL;
    size_t done = 0, length = 0;
    for (; out && done < count && isfinite(values[done * stride]); done++) {
        out[length++] = ',';
        length += espi_format_float(out + length, values[done * stride]);
    }
    w->length += length;
    return done;
}

void espi_put_floats(struct espi_json_writer *w, const char *key, const float *values, size_t count, size_t stride)
{
    enum { AT_ONCE = 64 };
    espi_put_array(w, key);
    for (size_t i = 0; i < count;) {
        size_t added = add_floats(w, values + i * stride, espi_size_min(count - i, AT_ONCE), stride);
        if (!added)
            espi_put_float(w, NULL, values[i * stride]);
        i += added ? added : 1;
    }
    espi_put_array_end(w);
}

void espi_put_bool(struct espi_json_writer *w, const char *key, bool value)
{
    begin_value(w, key);
    add_text(w, value ? "true" : "false");
}

void espi_put_null(struct espi_json_writer *w, const char *key)
{
    begin_value(w, key);
    add_text(w, "null");
}

void espi_put_raw(struct espi_json_writer *w, const char *key, const char *json, size_t bytes)
{
    begin_value(w, key);
    add(w, json, bytes);
}

void espi_put_written(struct espi_json_writer *w, const char *key, struct espi_json_writer *part)
{
    espi_put_raw(w, key, part->data, part->length);
    if (!w->status) {
        w->status = part->status;
        w->errnum = part->errnum;
    }
    free(part->data);
    part->data = NULL;
}

static void put_object_value(struct espi_json_writer *w, const char *key, const json_t *value)
{
    espi_put_object(w, key);
    json_t *object = (json_t *)(uintptr_t)value; // jansson's iterators are not const
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i))
        espi_put_value(w, json_object_iter_key(i), json_object_iter_value(i));
    espi_put_object_end(w);
}

void espi_put_value(struct espi_json_writer *w, const char *key, const json_t *value)
{
    if (json_is_object(value)) {
        put_object_value(w, key, value);
    } else if (json_is_array(value)) {
        espi_put_array(w, key);
        for (size_t i = 0; i < json_array_size(value); i++)
            espi_put_value(w, NULL, json_array_get(value, i));
        espi_put_array_end(w);
    } else if (json_is_string(value)) {
        espi_put_text(w, key, json_string_value(value), json_string_length(value));
    } else if (json_is_integer(value)) {
        espi_put_integer(w, key, json_integer_value(value));
    } else if (json_is_real(value)) {
        espi_put_number(w, key, json_real_value(value));
    } else if (json_is_boolean(value)) {
        espi_put_bool(w, key, json_is_true(value));
    } else {
        espi_put_null(w, key);
    }
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

int espi_json_writer_end(esp_context *ctx, struct espi_json_writer *w)
{
    if (w->stream) {
        add_text(w, "\n");
        flush(w);
    } else {
        add(w, "", 1);
        w->length -= !w->status;
    }
    if (w->stream || w->status) {
        free(w->data);
        w->data = NULL;
    }
    switch (w->status) {
    case ESP_OK:
        return ESP_OK;
    case ESP_ERR_MEMORY:
        return espi_fail_memory(ctx, w->length);
    case ESP_ERR_IO:
        return espi_fail_errno(ctx, ESP_ERR_IO, w->errnum, "cannot write JSON");
    default:
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: it cannot be written as JSON: expected UTF-8 and finite numbers",
                         w->key);
    }
}

int espi_json_writer_file(esp_context *ctx, struct espi_json_writer *w, const char *path)
{
    add_text(w, "\n");
    int status = espi_json_writer_end(ctx, w);
    status = status ? espi_fail_prefix(ctx, status, "%s", path) : espi_output_write_file(ctx, path, w->data, w->length);
    free(w->data);
    w->data = NULL;
    return status;
}
