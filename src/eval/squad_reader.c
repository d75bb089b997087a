/* SPDX-License-Identifier: Apache-2.0
 * Questions on contexts, in JSON or JSON Lines of any nesting: SQuAD 1.1 and 2.0 ({"data": [{"paragraphs": [{"context",
 * "qas": [{"id", "question", "answers": [{"text", "answer_start"}], "is_impossible"}]}]}]}), exports of annotation tools in
 * that form, and the flat records of the library `datasets` ({"id", "question", "context", "answers": {"text": […],
 * "answer_start": […]}}). The whole file is held; examples copy their texts. */
#include "eval/data_file.h"
#include "eval/evaluator.h"

#include "base/size.h"
#include "tasks/pytext.h"

#include <stdlib.h>
#include <string.h>

static const char forms[] =
    "SQuAD JSON, or JSON (an array, or an object a line) of {\"question\", \"context\", \"answers\"}";

/* The next question: each of these may be one, or hold the one below it. */
struct cursor {
    struct espi_json record;     // with "paragraphs", with "qas", or itself a question
    struct espi_json paragraphs; // of the record
    struct espi_json paragraph;  // with "qas"
    struct espi_json qas;
    struct espi_json question;
    const struct espi_json *context_in; // paragraph, or the question itself when flat
    size_t next_paragraph, next_question;
};

struct squad {
    struct espi_dataset base;
    struct espi_data_file file;
    bool version_2;
    struct cursor cursor;
    size_t number; // of the question, from 1
};

static void squad_close(struct espi_dataset *dataset)
{
    struct squad *squad = (struct squad *)dataset;
    espi_data_file_close(&squad->file);
    free(squad);
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

/* The list `key` of an object, checked. */
static int list(esp_context *ctx, const struct espi_json *object, const char *key, struct espi_json *out)
{
    int status = espi_json_expect_object(ctx, object);
    if (status)
        return status;
    *out = espi_json_at(object, key);
    return espi_json_expect_array(ctx, out);
}

/* The next of the record's questions in its list of paragraphs: 1, 0 behind the last, or negative. */
static int next_of_paragraphs(esp_context *ctx, struct cursor *c)
{
    for (;;) {
        if (c->qas.value && c->next_question < espi_json_length(&c->qas)) {
            c->question = espi_json_item(&c->qas, c->next_question++);
            c->context_in = &c->paragraph;
            return 1;
        }
        if (c->next_paragraph == espi_json_length(&c->paragraphs))
            return 0;
        c->paragraph = espi_json_item(&c->paragraphs, c->next_paragraph++);
        c->next_question = 0;
        int status = list(ctx, &c->paragraph, "qas", &c->qas);
        if (status)
            return status;
    }
}

/* Goes to the first question of a record. */
static int enter_record(esp_context *ctx, struct cursor *c)
{
    char members[128];
    int status = espi_json_expect_object(ctx, &c->record);
    if (status)
        return status;
    if (espi_json_has(&c->record, "paragraphs"))
        return list(ctx, &c->record, "paragraphs", &c->paragraphs);
    if (espi_json_has(&c->record, "qas")) {
        c->paragraph = c->record;
        return list(ctx, &c->paragraph, "qas", &c->qas);
    }
    if (!espi_json_has(&c->record, "question"))
        return espi_json_fail(ctx, &c->record, "expected %s, found an object with the members %s", forms,
                              espi_json_member_names(&c->record, members, sizeof members));
    c->question = c->record;
    c->context_in = &c->question;
    return 1;
}

static int next_question(esp_context *ctx, struct squad *squad)
{
    struct cursor *c = &squad->cursor;
    for (;;) {
        int status = next_of_paragraphs(ctx, c);
        if (status)
            return status;
        *c = (struct cursor){0};
        status = espi_data_file_record(ctx, &squad->file, &c->record);
        if (status > 0)
            status = enter_record(ctx, c);
        else
            return status;
        if (status)
            return status;
    }
}

/* Counts the questions, and finds out whether any of them says that it may have no answer; flat records say so by an
 * empty list of answers. */
static int survey(esp_context *ctx, struct squad *squad)
{
    int status = espi_data_file_hold(ctx, &squad->file);
    while (!status && (status = next_question(ctx, squad)) > 0) {
        const struct cursor *c = &squad->cursor;
        status = espi_json_expect_object(ctx, &c->question);
        if (status)
            break;
        struct espi_json answers = espi_json_at(&c->question, "answers");
        struct espi_json texts = json_is_object(answers.value) ? espi_json_at(&answers, "text") : answers;
        squad->base.total++;
        squad->version_2 |= espi_json_has(&c->question, "is_impossible") ||
                            (c->context_in == &c->question && json_is_array(texts.value) && !espi_json_length(&texts));
    }
    squad->cursor = (struct cursor){0};
    squad->file.next = 0;
    return status;
}

/* ---- examples ---------------------------------------------------------------------------------------------------- */

static int read_string(esp_context *ctx, const struct espi_json *object, const char *key, struct espi_example *example,
                       struct espi_text *out)
{
    const char *data;
    size_t bytes;
    int status = espi_json_get_string(ctx, object, key, &data, &bytes);
    return status ? status : espi_example_text(ctx, example, data, bytes, out);
}

/* An answer of the texts and places: items of a list of objects, or of two lists. */
static int check_answer(esp_context *ctx, const struct espi_json *place, size_t context_length,
                        const struct espi_gold_answer *answer)
{
    size_t length = espi_utf8_length(answer->text.data, answer->text.bytes);
    if (length <= context_length - answer->start)
        return ESP_OK;
    return espi_json_fail(ctx, place, "expected an answer inside the context of %zu code points, found %zu from %zu",
                          context_length, length, answer->start);
}

/* [{"text", "answer_start"}] */
static int read_answer_objects(esp_context *ctx, const struct espi_json *answers, size_t context_length,
                               struct espi_example *example)
{
    for (size_t i = 0; i < espi_json_length(answers); i++) {
        struct espi_json item = espi_json_item(answers, i);
        struct espi_gold_answer *answer = &example->answers[i];
        int status;
        if ((status = espi_json_expect_object(ctx, &item)) ||
            (status = read_string(ctx, &item, "text", example, &answer->text)) ||
            (status = espi_json_get_size(ctx, &item, "answer_start", 0, context_length, &answer->start)) ||
            (status = check_answer(ctx, &item, context_length, answer)))
            return status;
    }
    return ESP_OK;
}

/* {"text": […], "answer_start": […]} */
static int read_answer_lists(esp_context *ctx, const struct espi_json *texts, const struct espi_json *starts,
                             size_t context_length, struct espi_example *example)
{
    for (size_t i = 0; i < espi_json_length(texts); i++) {
        struct espi_json text = espi_json_item(texts, i), start = espi_json_item(starts, i);
        struct espi_gold_answer *answer = &example->answers[i];
        int64_t at;
        if (!json_is_string(text.value))
            return espi_json_fail(ctx, &text, "expected the text of an answer");
        int status = espi_json_integer(ctx, &start, 0, (int64_t)context_length, &at);
        if (status)
            return status;
        answer->start = (size_t)at;
        status = espi_example_text(ctx, example, json_string_value(text.value), json_string_length(text.value),
                                   &answer->text);
        if (!status)
            status = check_answer(ctx, &text, context_length, answer);
        if (status)
            return status;
    }
    return ESP_OK;
}

static int read_answers(esp_context *ctx, const struct espi_json *qa, struct espi_example *example)
{
    struct espi_json answers = espi_json_at(qa, "answers"), texts = answers, starts = {0};
    bool lists = json_is_object(answers.value);
    int status = ESP_OK;
    if (!lists)
        status = espi_json_expect_array(ctx, &answers);
    else if (!(status = list(ctx, &answers, "text", &texts)))
        status = list(ctx, &answers, "answer_start", &starts);
    if (status)
        return status;
    size_t count = espi_json_length(&texts);
    if (lists && espi_json_length(&starts) != count)
        return espi_json_fail(ctx, &answers, "expected as many answer_start as text, found %zu and %zu",
                              espi_json_length(&starts), count);
    example->answers = espi_arena_alloc(ctx, &example->arena, count, sizeof(*example->answers));
    if (!example->answers)
        return ESP_ERR_MEMORY;
    size_t context_length = espi_utf8_length(example->pair.data, example->pair.bytes);
    status = lists ? read_answer_lists(ctx, &texts, &starts, context_length, example)
                   : read_answer_objects(ctx, &answers, context_length, example);
    example->answer_count = status ? 0 : count;
    return status;
}

/* The id as predictions name it: a string; whole numbers as their digits; a question without one has its number. */
static int read_id(esp_context *ctx, const struct squad *squad, const struct espi_json *qa,
                   struct espi_example *example)
{
    struct espi_json id = espi_json_at(qa, "id");
    int64_t number = (int64_t)squad->number;
    if (json_is_string(id.value)) {
        example->id = json_incref(id.value);
    } else if (!id.value || espi_json_is_integer(id.value, &number)) {
        char digits[24];
        snprintf(digits, sizeof digits, "%lld", (long long)number);
        struct espi_json_writer w = {0};
        espi_put_string(&w, NULL, digits);
        int status = espi_json_written(ctx, &w, &example->id);
        if (status)
            return status;
    } else {
        char *found = espi_json_text(ctx, id.value);
        int status = found ? espi_json_fail(ctx, &id, "expected a string or an integer of 64 bits, found %.40s", found)
                           : ESP_ERR_MEMORY;
        free(found);
        return status;
    }
    example->source = espi_arena_format(ctx, &example->arena, "%s: question \"%s\"", squad->file.path,
                                        json_string_value(example->id));
    return example->source ? ESP_OK : ESP_ERR_MEMORY;
}

static int read_question(esp_context *ctx, const struct squad *squad, struct espi_example *example)
{
    const struct espi_json *qa = &squad->cursor.question;
    int status;
    if ((status = espi_json_expect_object(ctx, qa)) || (status = read_id(ctx, squad, qa, example)) ||
        (status = read_string(ctx, qa, "question", example, &example->text)) ||
        (status = read_string(ctx, squad->cursor.context_in, "context", example, &example->pair)))
        return status;
    bool impossible = false;
    example->answerable_stated = squad->version_2;
    if (espi_json_has(qa, "is_impossible") && (status = espi_json_get_bool(ctx, qa, "is_impossible", &impossible)))
        return status;
    if (impossible || (squad->version_2 && !espi_json_has(qa, "answers")))
        return ESP_OK;
    return read_answers(ctx, qa, example);
}

static int squad_next(esp_context *ctx, struct espi_dataset *dataset, struct espi_example **out)
{
    struct squad *squad = (struct squad *)dataset;
    struct espi_example *example = NULL;
    int status = next_question(ctx, squad);
    if (status <= 0)
        return status;
    squad->number++;
    if ((status = espi_example_new(ctx, squad->file.path, 0, &example)))
        return status;
    if ((status = read_question(ctx, squad, example))) {
        espi_example_free(example);
        return status;
    }
    *out = example;
    return 1;
}

int espi_squad_open(esp_context *ctx, const char *path, const struct espi_task_options *options,
                    struct espi_dataset **out)
{
    (void)options;
    *out = NULL;
    struct squad *squad = espi_calloc(ctx, 1, sizeof(*squad));
    if (!squad)
        return ESP_ERR_MEMORY;
    squad->base.next = squad_next;
    squad->base.close = squad_close;
    int status = espi_data_file_open(ctx, path, forms, ESPI_CONTENT_DOCUMENT, false, &squad->file);
    if (!status)
        status = survey(ctx, squad);
    if (status) {
        squad_close(&squad->base);
        return status;
    }
    *out = &squad->base;
    return ESP_OK;
}
