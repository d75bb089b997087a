/* SPDX-License-Identifier: Apache-2.0
 * The file of a data set, opened by what stands in it, not by what its name ends in: lines of text, or JSON records in any
 * of their usual shapes. What no reader takes (Parquet, an archive, UTF-16, …) is refused by name. */
#ifndef ESPI_EVAL_DATA_FILE_H
#define ESPI_EVAL_DATA_FILE_H

#include "base/file.h"
#include "base/json.h"

enum espi_content {
    ESPI_CONTENT_TEXT,     // no JSON: the lines are the reader's
    ESPI_CONTENT_LINES,    // JSON Lines: a record a line
    ESPI_CONTENT_DOCUMENT, // one JSON value, however many lines it takes: [records], {"data": [records]} or a record
};

/* Owner: the reader, zero-initialised. A plain value: it may be moved while no record is looked at. Thread rule: one thread
 * at a time. */
struct espi_data_file {
    char *path;
    struct espi_lines lines;
    enum espi_content content;

    struct espi_json document; // the whole file, or the line of the current record
    struct espi_json list;     // the records in a document
    size_t next;               // of them
    struct espi_held_record {
        json_t *value;
        size_t number;
    } * held; // (held_count) all records of JSON Lines
    size_t held_count, held_room;
    char *source;  // of the current line: "file: line 12"
    size_t number; // line of the current record; 0 in a document, whose records are named by their place
};

/* Opens a file, or standard input ("-"), and looks at its beginning. `forms` says what the reader takes, for messages;
 * `expected` is what a file is taken for that is not JSON by its looks, or whatever its looks when that was `stated`.
 * Errors: those of espi_lines_open; ESP_ERR_FORMAT that says what the file is and which forms are read. */
int espi_data_file_open(esp_context *ctx, const char *path, const char *forms, enum espi_content expected, bool stated,
                        struct espi_data_file *out) ESPI_NODISCARD;
/* The next record of a file that is JSON: 1, 0 at the end, or negative. The record lives until the next call. */
int espi_data_file_record(esp_context *ctx, struct espi_data_file *file, struct espi_json *record) ESPI_NODISCARD;
/* Reads all of a file that is JSON, so that its records can be gone through again from the first (`next` = 0). */
int espi_data_file_hold(esp_context *ctx, struct espi_data_file *file) ESPI_NODISCARD;
void espi_data_file_close(struct espi_data_file *file);

#endif
