/* SPDX-License-Identifier: Apache-2.0
 * The labels of one record of a table, in all the ways data sets write them. */
#ifndef ESPI_EVAL_LABEL_READER_H
#define ESPI_EVAL_LABEL_READER_H

#include "tasks/task.h"

/* Of one file. Zero-initialise. */
struct espi_label_reader {
    size_t first_list; // places of its first list of numbers that is not empty
};

/* A label in a column: a name or a number, or a list in brackets: [1, 0, 1], [1. 0.], ['a', 'b']. */
int espi_label_read_text(esp_context *ctx, struct espi_label_reader *reader, struct espi_example *example,
                         const char *data, size_t bytes) ESPI_NODISCARD;
/* A label in a JSON member: a string, number or boolean, or a list of them. */
int espi_label_read_json(esp_context *ctx, struct espi_label_reader *reader, struct espi_example *example,
                         const struct espi_json *label) ESPI_NODISCARD;

/* A column or member for each label: whether a value is one of 0, 1, 0.0, 1.0, true and false, and which. */
bool espi_label_flag_text(const char *data, size_t bytes, bool *flag);
bool espi_label_flag_json(const json_t *value, bool *flag);
/* Adds one of at most `capacity` labels with its flag. */
int espi_label_add_flag(esp_context *ctx, struct espi_example *example, size_t capacity, const char *name,
                        bool flag) ESPI_NODISCARD;
/* Columns that number records and are no labels: id, idx, index, …. */
bool espi_label_is_number_column(const char *name);

#endif
