/* SPDX-License-Identifier: Apache-2.0
 * JSON over jansson: values that know the file and path they came from, so that every complaint names them:
 *   "config.json: hidden_size: expected an integer from 1 to 65536, found -3".
 *
 * A struct espi_json is a borrowed view: the document owns the values. Text is UTF-8 (jansson refuses anything else);
 * duplicate keys are refused. Thread rule: a document may be read by many threads at once. */
#ifndef ESPI_BASE_JSON_H
#define ESPI_BASE_JSON_H

#include "base/json_writer.h"

#include <jansson.h>

struct espi_json {
    json_t *value;                  // NULL: absent
    const char *source;             // file name or "line 12", for messages; outlives the view
    const struct espi_json *parent; // NULL at the top; outlives the view
    const char *key;                // within parent; NULL when an array element
    size_t index;                   // within parent, when an array element
};

/* Parses a document; `source` must outlive it. Release with espi_json_close. Invalid UTF-8, duplicate keys, trailing text
 * and more than ESPI_JSON_DEPTH levels are ESP_ERR_FORMAT with line and column. \u0000 in strings is allowed, and so is a
 * byte order mark at the beginning of a file. Numbers may have any size: an integer beyond 64 bits is a real, and what is
 * 1e308 or more is that. */
int espi_json_open_file(esp_context *ctx, const char *path, struct espi_json *out) ESPI_NODISCARD;
int espi_json_open_text(esp_context *ctx, const char *source, const char *text, size_t bytes,
                        struct espi_json *out) ESPI_NODISCARD;
void espi_json_close(struct espi_json *document);

/* Member or element; the result's value is NULL when absent (or null). Parent must be an object / array for these. */
struct espi_json espi_json_at(const struct espi_json *object, const char *key);
struct espi_json espi_json_item(const struct espi_json *array, size_t index);
size_t espi_json_length(const struct espi_json *array_or_object);

/* ESP_OK when the value has that type, else ESP_ERR_FORMAT that says what was expected at which path. */
int espi_json_expect_object(esp_context *ctx, const struct espi_json *json) ESPI_NODISCARD;
int espi_json_expect_array(esp_context *ctx, const struct espi_json *json) ESPI_NODISCARD;

/* Required members. Integers must lie in [low, high] and may be written with a fraction of zero (512.0). The string stays owned by the document;
 * length may be NULL, in which case a string with a zero byte is refused. */
int espi_json_get_string(esp_context *ctx, const struct espi_json *object, const char *key, const char **out,
                         size_t *length) ESPI_NODISCARD;
int espi_json_get_integer(esp_context *ctx, const struct espi_json *object, const char *key, int64_t low, int64_t high,
                          int64_t *out) ESPI_NODISCARD;
int espi_json_get_size(esp_context *ctx, const struct espi_json *object, const char *key, size_t low, size_t high,
                       size_t *out) ESPI_NODISCARD;
/* A limit: an integer of at least `low`; one beyond 64 bits, as transformers writes it, is none: SIZE_MAX. */
int espi_json_get_limit(esp_context *ctx, const struct espi_json *object, const char *key, size_t low,
                        size_t *out) ESPI_NODISCARD;
int espi_json_get_number(esp_context *ctx, const struct espi_json *object, const char *key, double low, double high,
                         double *out) ESPI_NODISCARD;
int espi_json_get_bool(esp_context *ctx, const struct espi_json *object, const char *key, bool *out) ESPI_NODISCARD;

/* Sets *out when the member is there and not null. */
int espi_json_get_optional_bool(esp_context *ctx, const struct espi_json *object, const char *key,
                                bool *out) ESPI_NODISCARD;

/* True when the member is there and not null; the getters above then fetch it:
 *   if (espi_json_has(&o, "stride") && (status = espi_json_get_size(ctx, &o, "stride", 0, 512, &stride))) ... */
bool espi_json_has(const struct espi_json *object, const char *key);

/* The value itself (an item of an array) as an integer in [low, high]. */
int espi_json_integer(esp_context *ctx, const struct espi_json *json, int64_t low, int64_t high,
                      int64_t *out) ESPI_NODISCARD;
/* Whether a value is an integer of 64 bits; 512.0 is one. */
bool espi_json_is_integer(const json_t *value, int64_t *out);

/* The names of an object's members, "text, id", for messages; "none" of an empty one. Cut to fit. Returns `text`. */
const char *espi_json_member_names(const struct espi_json *object, char *text, size_t bytes);

/* A complaint about this value: "source: path: text". */
int espi_json_fail(esp_context *ctx, const struct espi_json *json, const char *format, ...) ESPI_PRINTF(3, 4);

/* The same as a warning in the log. */
void espi_json_warn(esp_context *ctx, const struct espi_json *json, const char *format, ...) ESPI_PRINTF(3, 4);

/* Ends a writer without a stream: what was written, as a value to look things up in. As espi_json_writer_end. */
int espi_json_written(esp_context *ctx, struct espi_json_writer *writer, json_t **out) ESPI_NODISCARD;
/* A copy of an object that can be changed; of NULL an empty one. */
int espi_json_copy(esp_context *ctx, const json_t *object, json_t **out) ESPI_NODISCARD;
/* As espi_json_written for an object, whose members take the place of the object's, or come behind them. */
int espi_json_update(esp_context *ctx, json_t *object, struct espi_json_writer *writer) ESPI_NODISCARD;
/* A value as one line of text, the caller's to free; NULL when out of memory. */
char *espi_json_text(esp_context *ctx, const json_t *value) ESPI_NODISCARD;
/* Writes a value that was read, as one compact line with a line end (or indented, for files). */
int espi_json_print(esp_context *ctx, const json_t *value, bool indent, FILE *stream) ESPI_NODISCARD;
/* The same as a file that appears complete or not at all. Takes the value over. */
int espi_json_write(esp_context *ctx, json_t *value, bool indent, const char *path) ESPI_NODISCARD;

#endif
