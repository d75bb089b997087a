/* SPDX-License-Identifier: Apache-2.0
 * The options of a training stage: from the command line, from a recipe, and into the record of a run. */
#ifndef ESPI_CREATE_TRAIN_OPTIONS_H
#define ESPI_CREATE_TRAIN_OPTIONS_H

#include "base/json.h"
#include "base/json_writer.h"
#include "base/memory.h"

/* Words of the WORD options, NULL-terminated, by the enum they stand for. */
extern const char *const espi_problem_words[],
    *const espi_schedule_words[], *const espi_hidden_loss_words[], *const espi_pattern_words[],
                                                                       *const espi_score_words[],
                                                                           *const espi_scope_words[],
                                                                               *const espi_qat_words[],
                                                                                   *const espi_compute_words[];

enum { ESPI_TRAIN_FILES = 64 }; // of a LIST at most

struct espi_text_list {
    const char *items[ESPI_TRAIN_FILES]; // (count)
    size_t count;
};

/* Texts are borrowed. */
struct espi_train_options {
#define TEXT(field, name, argument, help)          const char *field;
#define LIST(field, name, argument, help)          struct espi_text_list field;
#define SIZE(field, name, preset, low, high, help) size_t field;
#define REAL(field, name, preset, low, high, help) double field;
#define WORD(field, name, preset, words, help)     size_t field;
#define FLAG(field, name, help)                    bool field;
#define GROUP(title)
#include "create/train/train_options.inc"
    bool length_strict; // max_length is what the command line asks for: not to be cut to what the model takes
};

enum espi_option_kind {
    ESPI_OPTION_TEXT,
    ESPI_OPTION_LIST,
    ESPI_OPTION_SIZE,
    ESPI_OPTION_REAL,
    ESPI_OPTION_WORD,
    ESPI_OPTION_FLAG,
    ESPI_OPTION_GROUP,
};

struct espi_train_option {
    enum espi_option_kind kind;
    const char *name; // GROUP: the title
    const char *argument;
    const char *help;
    size_t offset; // in struct espi_train_options
    double preset, low, high;
    const char *const *words;
    bool free; // may change when a run is resumed
};

/* The rows of train_options.inc, groups among them. */
extern const struct espi_train_option espi_train_option_table[];
extern const size_t espi_train_option_count;

/* The row of that name; NULL when there is none. */
const struct espi_train_option *espi_train_option_find(const char *name);

void espi_train_options_default(struct espi_train_options *options);
/* From a flag's argument (NULL for a FLAG). ESP_ERR_ARGUMENT names the option and what was expected. */
int espi_train_option_parse(esp_context *ctx, const struct espi_train_option *option, const char *text,
                            struct espi_train_options *options) ESPI_NODISCARD;
/* From a recipe's member, which outlives the options. ESP_ERR_FORMAT names file, path and what was expected. */
int espi_train_option_read(esp_context *ctx, const struct espi_train_option *option, const struct espi_json *object,
                           struct espi_train_options *options) ESPI_NODISCARD;
/* All of them as members of an object; as a document, to be closed. */
void espi_put_train_options(struct espi_json_writer *w, const struct espi_train_options *options);
int espi_train_options_json(esp_context *ctx, const struct espi_train_options *options,
                            struct espi_json *out) ESPI_NODISCARD;
/* ESP_ERR_ARGUMENT that names the first option (those that are free aside) in which `before`, as it was written, differs
 * from `now`. */
int espi_train_options_same(esp_context *ctx, const json_t *before, const json_t *now) ESPI_NODISCARD;

/* ESP_ERR_ARGUMENT when options contradict each other or a required one is missing. */
int espi_train_options_check(esp_context *ctx, const struct espi_train_options *options) ESPI_NODISCARD;

/* "0,2,4" into numbers; "0:0,3:6" into pairs (width 2). ESP_ERR_ARGUMENT names the option. */
int espi_train_numbers(esp_context *ctx, const char *option, const char *text, size_t width, size_t *numbers,
                       size_t room, size_t *count) ESPI_NODISCARD;

#endif
