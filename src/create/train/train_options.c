/* SPDX-License-Identifier: Apache-2.0 */
#include "create/train/train_options.h"

#include "base/size.h"
#include "eval/dataset.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const espi_problem_words[] = {"single-label", "multi-label", "regression", NULL};
const char *const espi_schedule_words[] = {"constant", "linear", "cosine", "cyclic", NULL};
const char *const espi_hidden_loss_words[] = {"mse", "cosine", NULL};
const char *const espi_pattern_words[] = {"4x1", "1x4", "2:4", "unstructured", NULL};
const char *const espi_score_words[] = {"magnitude", "snip-momentum", "movement", "obert", NULL};
const char *const espi_scope_words[] = {"global", "uniform", NULL};
const char *const espi_qat_words[] = {"static", "per-token", NULL};
const char *const espi_compute_words[] = {"auto", "fp32", "bf16", NULL};

#define AT(field) offsetof(struct espi_train_options, field)
#define FREE(row) FREE_##row

const struct espi_train_option espi_train_option_table[] = {
#define GROUP(title)                 {.kind = ESPI_OPTION_GROUP, .name = title},
#define TEXT(field, key, what, text) {ESPI_OPTION_TEXT, key, what, text, AT(field), 0, 0, 0, NULL, false},
#define LIST(field, key, what, text) {ESPI_OPTION_LIST, key, what, text, AT(field), 0, 0, 0, NULL, false},
#define SIZE(field, key, preset, low, high, text)                                                                      \
    {ESPI_OPTION_SIZE, key, "N", text, AT(field), (double)(preset), (double)(low), (double)(high), NULL, false},
#define REAL(field, key, preset, low, high, text)                                                                      \
    {ESPI_OPTION_REAL, key, "X", text, AT(field), preset, low, (double)(high), NULL, false},
#define WORD(field, key, preset, list, text)                                                                           \
    {ESPI_OPTION_WORD, key, "WORD", text, AT(field), preset, 0, 0, list, false},
#define FLAG(field, key, text)            {ESPI_OPTION_FLAG, key, NULL, text, AT(field), 0, 0, 0, NULL, false},
#define FREE_TEXT(field, key, what, text) {ESPI_OPTION_TEXT, key, what, text, AT(field), 0, 0, 0, NULL, true},
#define FREE_SIZE(field, key, preset, low, high, text)                                                                 \
    {ESPI_OPTION_SIZE, key, "N", text, AT(field), (double)(preset), (double)(low), (double)(high), NULL, true},
#include "create/train/train_options.inc"
};

const size_t espi_train_option_count = ESPI_COUNT(espi_train_option_table);

const struct espi_train_option *espi_train_option_find(const char *name)
{
    for (size_t i = 0; i < espi_train_option_count; i++) {
        const struct espi_train_option *option = &espi_train_option_table[i];
        if (option->kind != ESPI_OPTION_GROUP && strcmp(option->name, name) == 0)
            return option;
    }
    return NULL;
}

static void *field_of(const struct espi_train_option *option, const struct espi_train_options *options)
{
    return (char *)(uintptr_t)options + option->offset;
}

void espi_train_options_default(struct espi_train_options *options)
{
    memset(options, 0, sizeof *options);
    for (size_t i = 0; i < espi_train_option_count; i++) {
        const struct espi_train_option *option = &espi_train_option_table[i];
        if (option->kind == ESPI_OPTION_SIZE || option->kind == ESPI_OPTION_WORD)
            *(size_t *)field_of(option, options) = (size_t)option->preset;
        else if (option->kind == ESPI_OPTION_REAL)
            *(double *)field_of(option, options) = option->preset;
    }
}

/* ---- setting ------------------------------------------------------------------------------------------------------------ */

static bool in_range(const struct espi_train_option *option, double value)
{
    return value >= option->low && value <= option->high;
}

/* Index of a word; SIZE_MAX when it is none of them. */
static size_t find_word(const struct espi_train_option *option, const char *text)
{
    for (size_t i = 0; option->words[i]; i++)
        if (strcmp(option->words[i], text) == 0)
            return i;
    return SIZE_MAX;
}

/* "4x1, 1x4, 2:4 or unstructured" */
static const char *list_words(const struct espi_train_option *option, char text[160])
{
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; option->words[i] && at < 150; i++)
        at += (size_t)snprintf(text + at, 160 - at, "%s%s",
                               i == 0                 ? ""
                               : option->words[i + 1] ? ", "
                                                      : " or ",
                               option->words[i]);
    return text;
}

static int add_text(esp_context *ctx, const struct espi_train_option *option, const char *text,
                    struct espi_text_list *list)
{
    if (list->count == ESPI_TRAIN_FILES)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--%s: expected at most %d files", option->name, ESPI_TRAIN_FILES);
    list->items[list->count++] = text;
    return ESP_OK;
}

static int parse_number(esp_context *ctx, const struct espi_train_option *option, const char *text, double *value)
{
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    bool whole = option->kind != ESPI_OPTION_SIZE || *value == floor(*value);
    if (end == text || *end || errno == ERANGE || !isfinite(*value) || !whole || !in_range(option, *value))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--%s: expected a%s number from %.10g to %.10g, found \"%s\"",
                         option->name, option->kind == ESPI_OPTION_SIZE ? " whole" : "", option->low, option->high,
                         text);
    return ESP_OK;
}

int espi_train_option_parse(esp_context *ctx, const struct espi_train_option *option, const char *text,
                            struct espi_train_options *options)
{
    void *field = field_of(option, options);
    char words[160];
    double value;
    size_t index;
    int status;
    switch (option->kind) {
    case ESPI_OPTION_TEXT:
        *(const char **)field = text;
        return ESP_OK;
    case ESPI_OPTION_LIST:
        return add_text(ctx, option, text, field);
    case ESPI_OPTION_FLAG:
        *(bool *)field = true;
        return ESP_OK;
    case ESPI_OPTION_WORD:
        index = find_word(option, text);
        if (index == SIZE_MAX)
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "--%s: expected %s, found \"%s\"", option->name,
                             list_words(option, words), text);
        *(size_t *)field = index;
        return ESP_OK;
    case ESPI_OPTION_SIZE:
    case ESPI_OPTION_REAL:
        status = parse_number(ctx, option, text, &value);
        if (!status && option->kind == ESPI_OPTION_SIZE)
            *(size_t *)field = (size_t)value;
        else if (!status)
            *(double *)field = value;
        options->length_strict |= field == &options->max_length;
        return status;
    case ESPI_OPTION_GROUP:
        break;
    }
    return ESP_ERR_INTERNAL;
}

static int read_list(esp_context *ctx, const struct espi_train_option *option, const struct espi_json *object,
                     struct espi_text_list *list)
{
    struct espi_json value = espi_json_at(object, option->name);
    list->count = 0;
    if (json_is_string(value.value))
        return add_text(ctx, option, json_string_value(value.value), list);
    int status = espi_json_expect_array(ctx, &value);
    for (size_t i = 0; !status && i < espi_json_length(&value); i++) {
        struct espi_json item = espi_json_item(&value, i);
        status = json_is_string(item.value) ? add_text(ctx, option, json_string_value(item.value), list)
                                            : espi_json_fail(ctx, &item, "expected a text");
    }
    return status;
}

int espi_train_option_read(esp_context *ctx, const struct espi_train_option *option, const struct espi_json *object,
                           struct espi_train_options *options)
{
    void *field = field_of(option, options);
    struct espi_json value = espi_json_at(object, option->name);
    char words[160];
    const char *text;
    int status;
    switch (option->kind) {
    case ESPI_OPTION_TEXT:
        return espi_json_get_string(ctx, object, option->name, field, NULL);
    case ESPI_OPTION_LIST:
        return read_list(ctx, option, object, field);
    case ESPI_OPTION_FLAG:
        return espi_json_get_bool(ctx, object, option->name, field);
    case ESPI_OPTION_WORD:
        status = espi_json_get_string(ctx, object, option->name, &text, NULL);
        if (!status && find_word(option, text) == SIZE_MAX)
            status = espi_json_fail(ctx, &value, "expected %s, found \"%s\"", list_words(option, words), text);
        if (!status)
            *(size_t *)field = find_word(option, text);
        return status;
    case ESPI_OPTION_SIZE:
        return espi_json_get_size(ctx, object, option->name, (size_t)option->low,
                                  option->high >= 1e18 ? SIZE_MAX / 4 : (size_t)option->high, field);
    case ESPI_OPTION_REAL:
        return espi_json_get_number(ctx, object, option->name, option->low, option->high, field);
    case ESPI_OPTION_GROUP:
        break;
    }
    return ESP_ERR_INTERNAL;
}

/* ---- record ------------------------------------------------------------------------------------------------------------- */

static void put_option(struct espi_json_writer *w, const struct espi_train_option *option,
                       const struct espi_train_options *options)
{
    const void *field = field_of(option, options);
    const struct espi_text_list *list = field;
    switch (option->kind) {
    case ESPI_OPTION_TEXT:
        espi_put_string(w, option->name, *(const char *const *)field);
        break;
    case ESPI_OPTION_LIST:
        espi_put_array(w, option->name);
        for (size_t i = 0; i < list->count; i++)
            espi_put_string(w, NULL, list->items[i]);
        espi_put_array_end(w);
        break;
    case ESPI_OPTION_FLAG:
        espi_put_bool(w, option->name, *(const bool *)field);
        break;
    case ESPI_OPTION_WORD:
        espi_put_string(w, option->name, option->words[*(const size_t *)field]);
        break;
    case ESPI_OPTION_SIZE:
        espi_put_size(w, option->name, *(const size_t *)field);
        break;
    case ESPI_OPTION_REAL:
        espi_put_number(w, option->name, *(const double *)field);
        break;
    case ESPI_OPTION_GROUP:
        break;
    }
}

void espi_put_train_options(struct espi_json_writer *w, const struct espi_train_options *options)
{
    for (size_t i = 0; i < espi_train_option_count; i++)
        put_option(w, &espi_train_option_table[i], options);
}

int espi_train_options_json(esp_context *ctx, const struct espi_train_options *options, struct espi_json *out)
{
    struct espi_json_writer w = {0};
    espi_put_object(&w, NULL);
    espi_put_train_options(&w, options);
    espi_put_object_end(&w);
    int status = espi_json_writer_end(ctx, &w);
    if (!status)
        status = espi_json_open_text(ctx, "options", w.data, w.length, out);
    free(w.data);
    return status;
}

/* Numbers may have gone through 15 digits. */
static bool same_value(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return fabs(json_number_value(a) - json_number_value(b)) <= 1e-12 * fabs(json_number_value(a));
    return json_equal(a, b);
}

int espi_train_options_same(esp_context *ctx, const json_t *before, const json_t *now)
{
    for (size_t i = 0; i < espi_train_option_count; i++) {
        const struct espi_train_option *option = &espi_train_option_table[i];
        if (option->kind == ESPI_OPTION_GROUP || option->free)
            continue;
        const json_t *a = json_object_get(before, option->name), *b = json_object_get(now, option->name);
        if (same_value(a, b))
            continue;
        char *was = a ? espi_json_text(ctx, a) : NULL, *is = b ? espi_json_text(ctx, b) : NULL;
        int status = espi_fail(ctx, ESP_ERR_ARGUMENT, "--resume: --%s was %s when the run began, now it is %s",
                               option->name, was ? was : "not there", is ? is : "not there");
        free(was);
        free(is);
        return status;
    }
    return ESP_OK;
}

/* ---- checks ------------------------------------------------------------------------------------------------------------- */

int espi_train_numbers(esp_context *ctx, const char *option, const char *text, size_t width, size_t *numbers,
                       size_t room, size_t *count)
{
    const char *at = text;
    *count = 0;
    for (;;) {
        char *end;
        errno = 0;
        unsigned long long value = strtoull(at, &end, 10);
        bool pair_open = width == 2 && *count % 2 == 0;
        if (end == at || *at < '0' || *at > '9' || errno || *count == room ||
            (*end && *end != (pair_open ? ':' : ',')) || (!*end && pair_open))
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "--%s: expected %s, found \"%s\"", option,
                             width == 2 ? "pairs of numbers as 0:0,3:6" : "numbers as 0,2,4", text);
        numbers[(*count)++] = (size_t)value;
        if (!*end)
            return ESP_OK;
        at = end + 1;
    }
}

static int required(esp_context *ctx, bool there, const char *what)
{
    return there ? ESP_OK : espi_fail(ctx, ESP_ERR_ARGUMENT, "%s", what);
}

static int check_model(esp_context *ctx, const struct espi_train_options *o)
{
    int starts = (o->model != NULL) + (o->init != NULL) + (o->init_from != NULL);
    int status = required(ctx, starts > 0, "expected one of CKPT, --init and --init-from: what to start from");
    if (!status)
        status = required(ctx, starts == 1,
                          "expected one of CKPT, --init and --init-from to start from, found more than one");
    if (!status)
        status = required(ctx, !o->init == !o->tokenizer, "--init and --tokenizer go together");
    if (!status)
        status = required(ctx, !o->init_from == !o->layers, "--init-from and --layers go together");
    return status;
}

int espi_train_options_check(esp_context *ctx, const struct espi_train_options *o)
{
    int status = required(ctx, o->task != NULL, "--task: expected qa, classify, tag, embed or mlm");
    if (!status)
        status = required(ctx, o->train.count > 0, "--train: expected a file of training data");
    if (!status)
        status = check_model(ctx, o);
    if (!status && o->sparsity >= 1)
        status = espi_fail(ctx, ESP_ERR_ARGUMENT, "--sparsity: expected a share below 1, found %g", o->sparsity);
    if (!status)
        status = required(ctx, o->sparsity_start <= o->sparsity, "--sparsity-start: expected at most --sparsity");
    if (!status)
        status = required(ctx, !(o->keep_mask && o->sparsity > 0), "--keep-mask and --sparsity exclude each other");
    if (!status)
        status =
            required(ctx, o->teacher || o->hard_weight > 0, "--hard-weight: expected more than 0 without --teacher");
    if (!status)
        status = required(ctx, !(o->qat && o->compute == 2), "--qat needs fp32 products: --compute auto or fp32");
    if (!status)
        status = required(ctx, !o->patience || o->dev, "--patience needs --dev");
    return status;
}
