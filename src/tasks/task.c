/* SPDX-License-Identifier: Apache-2.0 */
#include "tasks/task.h"

#include "base/size.h"
#include "tasks/pytext.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the table --------------------------------------------------------------------------------------------------- */

static const struct espi_task *const tasks[] = {
#define TASK(name) &espi_task_##name,
#include "tasks/tasks.inc"
#undef TASK
};

const struct espi_task *espi_task_find(const char *name)
{
    for (size_t i = 0; i < ESPI_COUNT(tasks); i++) {
        if (!strcmp(tasks[i]->name, name))
            return tasks[i];
    }
    return NULL;
}

const struct espi_task *espi_task_for_head(enum espi_head head)
{
    for (size_t i = 0; i < ESPI_COUNT(tasks); i++) {
        if (tasks[i]->head == head)
            return tasks[i];
    }
    return NULL;
}

/* ---- examples ---------------------------------------------------------------------------------------------------- */

int espi_example_new(esp_context *ctx, const char *source, size_t number, struct espi_example **out)
{
    *out = NULL;
    struct espi_example *example = espi_calloc(ctx, 1, sizeof(*example));
    if (!example)
        return ESP_ERR_MEMORY;
    example->number = number;
    example->source = espi_arena_copy(ctx, &example->arena, source, strlen(source));
    if (!example->source) {
        espi_example_free(example);
        return ESP_ERR_MEMORY;
    }
    *out = example;
    return ESP_OK;
}

void espi_example_free(struct espi_example *example)
{
    if (!example)
        return;
    json_decref(example->id);
    espi_arena_clear(&example->arena);
    free(example);
}

int espi_example_fail(esp_context *ctx, const struct espi_example *example, const char *format, ...)
{
    char text[ESPI_ERROR_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (example->number == 0)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %s", example->source, text);
    return espi_fail(ctx, ESP_ERR_FORMAT, "%s: line %zu: %s", example->source, example->number, text);
}

int espi_example_fail_prefix(esp_context *ctx, const struct espi_example *example, int status)
{
    if (example->number == 0)
        return espi_fail_prefix(ctx, status, "%s", example->source);
    return espi_fail_prefix(ctx, status, "%s: line %zu", example->source, example->number);
}

int espi_example_check_text(esp_context *ctx, const struct espi_example *example, const char *data, size_t bytes)
{
    size_t valid = espi_utf8_valid(data, bytes);
    if (valid == bytes)
        return ESP_OK;
    return espi_example_fail(ctx, example, "expected UTF-8, found the byte 0x%02x at offset %zu",
                             (unsigned)(unsigned char)data[valid], valid);
}

int espi_example_text(esp_context *ctx, struct espi_example *example, const char *data, size_t bytes,
                      struct espi_text *out)
{
    int status = espi_example_check_text(ctx, example, data, bytes);
    if (status)
        return status;
    out->data = espi_arena_copy(ctx, &example->arena, data, bytes);
    out->bytes = bytes;
    return out->data ? ESP_OK : ESP_ERR_MEMORY;
}

int espi_example_encode(esp_context *ctx, const struct espi_example *example, const esp_tokenizer *tokenizer,
                        const struct espi_text *text, const struct espi_text *pair, const esp_encode_options *options,
                        esp_encoding *out)
{
    static const struct espi_text none;
    pair = pair ? pair : &none;
    int status = esp_encode(ctx, tokenizer, text->data, text->bytes, pair->data, pair->bytes, options, out);
    return status ? espi_example_fail_prefix(ctx, example, status) : ESP_OK;
}

int espi_example_member(esp_context *ctx, const struct espi_json *object, const char *key, struct espi_example *example,
                        struct espi_text *out)
{
    const char *data;
    size_t bytes;
    char members[128];
    struct espi_json member = espi_json_at(object, key);
    if (!member.value && json_is_object(object->value)) // under another name, maybe
        return espi_json_fail(ctx, &member, "expected a string, found nothing; the members are %s",
                              espi_json_member_names(object, members, sizeof members));
    int status = espi_json_get_string(ctx, object, key, &data, &bytes);
    return status ? status : espi_example_text(ctx, example, data, bytes, out);
}

const char *const espi_text_members[] = {"text", "pair", "text_pair", NULL};

int espi_example_text_members(esp_context *ctx, const struct espi_json *object, struct espi_example *example)
{
    int status = espi_example_member(ctx, object, "text", example, &example->text);
    const char *pair = espi_json_has(object, "pair") ? "pair" : "text_pair";
    if (!status && espi_json_has(object, pair))
        status = espi_example_member(ctx, object, pair, example, &example->pair);
    return status;
}

int espi_task_example_from_json(esp_context *ctx, const struct espi_task *task, const struct espi_json *object,
                                struct espi_example **out)
{
    *out = NULL;
    int status = espi_json_expect_object(ctx, object);
    if (status)
        return status;
    struct espi_example *example = NULL;
    if ((status = espi_example_new(ctx, object->source, 0, &example)))
        return status;
    struct espi_json id = espi_json_at(object, "id");
    if (id.value)
        example->id = json_incref(id.value);
    if ((status = task->parse(ctx, object, example))) {
        espi_example_free(example);
        return status;
    }
    *out = example;
    return ESP_OK;
}

/* ---- jobs -------------------------------------------------------------------------------------------------------- */

static const char *head_name(enum espi_head head)
{
    switch (head) {
    case ESPI_HEAD_QA:
        return "question-answering";
    case ESPI_HEAD_SEQUENCE:
        return "sequence-classification";
    case ESPI_HEAD_TOKEN:
        return "token-classification";
    case ESPI_HEAD_MLM:
        return "masked-LM";
    case ESPI_HEAD_NONE:
        break;
    }
    return "no";
}

int espi_job_init(esp_context *ctx, struct espi_job *job, const struct espi_task *task, const esp_tokenizer *tokenizer,
                  const struct espi_config *config, const struct espi_task_options *options)
{
    *job = (struct espi_job){.task = task, .tokenizer = tokenizer, .config = config, .options = *options};
    if (task->head != ESPI_HEAD_NONE && task->head != config->head) {
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "task %s needs a model with a %s head, found one with %s head",
                         task->name, head_name(task->head), head_name(config->head));
    }
    job->special = *espi_tokenizer_special(tokenizer);

    struct espi_task_options *o = &job->options;
    size_t limit = config->sequence_stated ? SIZE_MAX : esp_tokenizer_max_length(tokenizer);
    size_t most = espi_size_min(config->max_sequence, limit);
    if (task->default_length)
        most = espi_size_min(most, task->default_length);
    if (o->max_length > config->max_positions) {
        if (o->length_strict)
            return espi_fail(ctx, ESP_ERR_ARGUMENT,
                             "--max-length: expected at most the model's %zu positions, found %zu",
                             config->max_positions, o->max_length);
        espi_log(ctx, ESP_LOG_WARNING, "max_length %zu is more than the model's %zu positions: using %zu",
                 o->max_length, config->max_positions, config->max_positions);
    }
    o->max_length = o->max_length ? espi_size_min(o->max_length, config->max_positions) : most;
    if (o->max_length < 3)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "max_length: expected at least 3, found %zu", o->max_length);
    return task->configure(ctx, job);
}

/* The label a number means: "2", "2.0" or "LABEL_2"; "true" and "false" of two labels. -1: none. */
static int32_t label_number(const struct espi_config *config, const char *label)
{
    if (config->labels == 2 && (!strcasecmp(label, "true") || !strcasecmp(label, "false")))
        return !strcasecmp(label, "true");
    const char *digits = !strncmp(label, "LABEL_", 6) ? label + 6 : label;
    if (*digits < '0' || *digits > '9' || strspn(digits, "0123456789.") != strlen(digits))
        return -1;
    char *end;
    double number = strtod(digits, &end);
    return !*end && number == floor(number) && number < (double)config->labels ? (int32_t)number : -1;
}

int espi_job_find_label(esp_context *ctx, const struct espi_job *job, const char *label, int32_t *out)
{
    const struct espi_config *config = job->config;
    for (size_t i = 0; i < config->labels; i++) {
        if (!strcmp(config->label_names[i], label)) {
            *out = (int32_t)i;
            return ESP_OK;
        }
    }
    if ((*out = label_number(config, label)) >= 0)
        return ESP_OK;
    char known[256] = "";
    for (size_t i = 0, used = 0; i < config->labels && used < sizeof(known); i++)
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "", config->label_names[i]);
    return espi_fail(ctx, ESP_ERR_FORMAT, "expected one of the model's %zu labels (%s), found \"%.80s\"",
                     config->labels, known, label);
}

int espi_job_tag(esp_context *ctx, const struct espi_job *job, const struct espi_example *example, size_t word,
                 int32_t *out)
{
    if (!example->tag_numbers)
        return espi_job_label(ctx, job, example, example->tags[word], out);
    char *end;
    long long number = strtoll(example->tags[word], &end, 10);
    if (number < 0 || (unsigned long long)number >= job->config->labels)
        return espi_example_fail(ctx, example,
                                 "expected a tag's number from 0 to %zu, as the model has labels, found %s",
                                 job->config->labels - 1, example->tags[word]);
    *out = (int32_t)number;
    return ESP_OK;
}

int espi_job_label(esp_context *ctx, const struct espi_job *job, const struct espi_example *example, const char *label,
                   int32_t *out)
{
    int status = espi_job_find_label(ctx, job, label, out);
    return status ? espi_example_fail_prefix(ctx, example, status) : ESP_OK;
}

int espi_job_check_ids(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                       const esp_encoding *encoding)
{
    size_t limit = job->config->vocab_size;
    if (esp_tokenizer_size(job->tokenizer) <= limit)
        return ESP_OK;
    for (size_t i = 0; i < encoding->tokens; i++)
        if ((size_t)encoding->ids[i] >= limit)
            return espi_example_fail(
                ctx, example, "the token \"%s\" has the id %d, but the model has embeddings for ids below %zu only",
                esp_tokenizer_token(job->tokenizer, encoding->ids[i]), (int)encoding->ids[i], limit);
    return ESP_OK;
}

/* ---- features ---------------------------------------------------------------------------------------------------- */

int espi_features_encode(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                         struct espi_features *features)
{
    features->encoding.windows = features->encoding.tokens = 0;
    features->second.windows = features->second.tokens = 0;
    features->position_count = features->target_count = features->value_count = 0;
    features->question_tokens = 0;
    features->found = (struct espi_found){.items = features->found.items, .capacity = features->found.capacity};
    enum espi_head head = job->task->head;
    if (example->pair.data && head != ESPI_HEAD_QA && head != ESPI_HEAD_SEQUENCE && !job->options.evaluate)
        return espi_example_fail(ctx, example, "pair: expected none for the task %s, which takes one text",
                                 job->task->name);
    int status = job->task->encode(ctx, job, example, features);
    if (!status)
        status = espi_job_check_ids(ctx, job, example, &features->encoding);
    return status ? status : espi_job_check_ids(ctx, job, example, &features->second);
}

int espi_features_targets(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                          struct espi_features *features)
{
    features->target_count = features->value_count = 0;
    return job->task->targets(ctx, job, example, features);
}

void espi_features_say_cut(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                           const struct espi_features *features, bool *said)
{
    size_t most = job->options.max_question_length;
    if (*said || features->question_tokens <= most)
        return;
    *said = true;
    espi_log(ctx, ESP_LOG_WARNING,
             "%s: the question has %zu tokens and is cut to %zu, as other long ones are (max_question_length)",
             example->source, features->question_tokens, most);
}

void espi_features_release(struct espi_features *features)
{
    if (features->state)
        features->release(features);
}

void espi_features_clear(struct espi_features *features)
{
    espi_features_release(features);
    esp_encoding_clear(&features->encoding);
    esp_encoding_clear(&features->second);
    free(features->positions);
    free(features->targets);
    free(features->values);
    free(features->found.items);
    *features = (struct espi_features){0};
}

int espi_features_grow_targets(esp_context *ctx, struct espi_features *features, size_t count)
{
    return espi_grow(ctx, &features->targets, &features->target_capacity, count, sizeof(*features->targets));
}

int espi_features_grow_values(esp_context *ctx, struct espi_features *features, size_t count)
{
    return espi_grow(ctx, &features->values, &features->value_capacity, count, sizeof(*features->values));
}

int espi_found_add(esp_context *ctx, struct espi_found *found, const esp_item *item)
{
    int status = espi_grow(ctx, &found->items, &found->capacity, found->count + 1, sizeof(*found->items));
    if (!status)
        found->items[found->count++] = *item;
    return status;
}

size_t espi_features_windows(const struct espi_features *features)
{
    return features->encoding.windows + features->second.windows;
}

/* Index of the first wanted position that is not before `token`. */
static size_t position_from(const struct espi_features *features, size_t token)
{
    size_t low = 0, high = features->position_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (features->positions[middle] < token)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct espi_window espi_features_window(const struct espi_features *features, size_t window)
{
    const esp_encoding *encoding = &features->encoding;
    bool second = window >= encoding->windows;
    if (second) {
        window -= encoding->windows;
        encoding = &features->second;
    }
    size_t first = encoding->starts[window], end = encoding->starts[window + 1];
    struct espi_window view = {
        .ids = encoding->ids + first, .types = encoding->type_ids + first, .tokens = end - first, .first = first};
    if (!second && features->position_count > 0) {
        size_t from = position_from(features, first);
        view.positions = features->positions + from;
        view.position_count = position_from(features, end) - from;
    }
    return view;
}
