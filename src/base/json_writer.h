/* SPDX-License-Identifier: Apache-2.0
 * Writes JSON: everything that is printed, stored or sent goes through here.
 *
 *   struct espi_json_writer w = {.stream = stdout};
 *   espi_put_object(&w, NULL);
 *   espi_put_string(&w, "label", name);
 *   espi_put_object_end(&w);
 *   status = espi_json_writer_end(ctx, &w);
 *
 * Nothing fails before the end: the first failure is kept, and what is put behind it does nothing. What JSON cannot say is
 * written as what comes nearest, so that an answer is never lost for a byte of it: null for a number that is not finite,
 * U+FFFD for each maximal invalid part of a text. With `exact` it is a failure, for files whose meaning is in each value. */
#ifndef ESPI_BASE_JSON_WRITER_H
#define ESPI_BASE_JSON_WRITER_H

#include "base/status.h"

#include <jansson.h>

/* Zero-initialise but for the first three. Owner: the caller; espi_json_writer_end (or free(data)) releases it. */
struct espi_json_writer {
    FILE *stream; // NULL: the text stays in `data`
    bool indent;  // two spaces a level, for people; else one line
    bool exact;
    char *data; // (length) what has not gone to the stream yet
    size_t length, capacity;
    size_t depth; // private from here on
    bool begun;   // the innermost array or object has something in it
    int status, errnum;
    char key[64]; // exact: the last one, for a message
};

/* `key` is NULL within arrays and at the top. */
void espi_put_object(struct espi_json_writer *w, const char *key);
void espi_put_object_end(struct espi_json_writer *w);
void espi_put_array(struct espi_json_writer *w, const char *key);
void espi_put_array_end(struct espi_json_writer *w);
void espi_put_string(struct espi_json_writer *w, const char *key, const char *text); // NULL: null
void espi_put_text(struct espi_json_writer *w, const char *key, const char *text, size_t bytes);
void espi_put_integer(struct espi_json_writer *w, const char *key, int64_t value);
void espi_put_size(struct espi_json_writer *w, const char *key, size_t value);
void espi_put_number(struct espi_json_writer *w, const char *key, double value);
void espi_put_float(struct espi_json_writer *w, const char *key, float value);
/* An array of every stride-th value. */
void espi_put_floats(struct espi_json_writer *w, const char *key, const float *values, size_t count, size_t stride);
void espi_put_bool(struct espi_json_writer *w, const char *key, bool value);
void espi_put_null(struct espi_json_writer *w, const char *key);
/* A value that is JSON already. */
void espi_put_raw(struct espi_json_writer *w, const char *key, const char *json, size_t bytes);
/* A value that was written aside, without a stream; takes it over. */
void espi_put_written(struct espi_json_writer *w, const char *key, struct espi_json_writer *part);
/* A value that was read. */
void espi_put_value(struct espi_json_writer *w, const char *key, const json_t *value);

/* With a stream: ends the line, hands everything to the stream and releases the buffer. Without: the text is `data`,
 * zero-terminated, the caller's to free; after a failure it is NULL. ESP_ERR_MEMORY, ESP_ERR_IO; exact: ESP_ERR_FORMAT. */
int espi_json_writer_end(esp_context *ctx, struct espi_json_writer *w) ESPI_NODISCARD;
/* Without a stream: the same, as a file that appears complete or not at all. */
int espi_json_writer_file(esp_context *ctx, struct espi_json_writer *w, const char *path) ESPI_NODISCARD;

#endif
