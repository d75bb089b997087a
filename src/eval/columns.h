/* SPDX-License-Identifier: Apache-2.0
 * Which column of a table is the text, its pair and the label. */
#ifndef ESPI_EVAL_COLUMNS_H
#define ESPI_EVAL_COLUMNS_H

#include "tasks/task.h"

#define ESPI_NO_COLUMN SIZE_MAX

struct espi_columns {
    size_t text, pair, label; // ESPI_NO_COLUMN: not there
    size_t count;             // a record has this many
    bool header;              // the first record names the columns
};

/* Decides from the options and the first record of a file:
 *   - options name columns (then the first record must hold these names) or give their numbers from 1;
 *   - else the first record is a header when it holds a name that data sets use for texts: sentence1/sentence2,
 *     question1/question2, premise/hypothesis, question/sentence, text/pair, sentence, text, …;
 *   - else there is no header: one column is the text; two are text, label; three are text, pair, label; four whose
 *     second is 0 or 1 and third empty or * are CoLA's source, label, star, sentence.
 * ESP_ERR_FORMAT that says what the first record holds, and which options would help. */
int espi_columns_find(esp_context *ctx, const char *path, const struct espi_task_options *options,
                      const struct espi_text *fields, size_t count, struct espi_columns *out) ESPI_NODISCARD;

/* Of a header without a label column: marks in `flags` (count) the columns that say 0 or 1 for a label each. They are those
 * the option names, separated by commas, else all whose value in the first record behind the header is 0 or 1, when these
 * are several. *flag_count says how many. */
int espi_columns_find_flags(esp_context *ctx, const char *path, const struct espi_task_options *options,
                            const struct espi_columns *columns, char *const *header, const struct espi_text *record,
                            bool *flags, size_t *flag_count) ESPI_NODISCARD;

/* Whether a member of a JSON object that has no label member says 0 or 1 for a label, by the same rule. */
bool espi_columns_is_flag_member(const struct espi_task_options *options, const char *name, const json_t *value);

/* The same for JSON objects: member names. *pair and *label are NULL when there is no such member. */
int espi_columns_find_members(esp_context *ctx, const struct espi_task_options *options, const struct espi_json *object,
                              const char **text, const char **pair, const char **label) ESPI_NODISCARD;

#endif
