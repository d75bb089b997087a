/* SPDX-License-Identifier: Apache-2.0
 * SQuAD 1.1 and 2.0: {"version", "data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers":
 * [{"text", "answer_start"}], "is_impossible"}]}]}]}. The whole file is held as a document; examples copy their texts. */
#include "tasks/dataset.h"

#include "base/size.h"
#include "tasks/pytext.h"

#include <stdlib.h>
#include <string.h>

struct squad {
    struct espi_dataset base;
    struct espi_json document;
    char *path;
    bool version_2;
    size_t article, paragraph, question; // of the next question
};

static void squad_close(struct espi_dataset *dataset)
{
    struct squad *squad = (struct squad *)dataset;
    espi_json_close(&squad->document);
    free(squad->path);
    free(squad);
}

/* The list `key` of an object, checked. */
static int list(esp_context *ctx, const struct espi_json *object, const char *key, struct espi_json *out)
{
    int status = espi_json_expect_object(ctx, object);
    if (status)
        return status;
    *out = espi_json_at(object, key);
    return espi_json_expect_array(ctx, out);
}

static int read_string(esp_context *ctx, const struct espi_json *object, const char *key, struct espi_example *example,
                       struct espi_text *out)
{
    const char *data;
    size_t bytes;
    int status = espi_json_get_string(ctx, object, key, &data, &bytes);
    return status ? status : espi_example_text(ctx, example, data, bytes, out);
}

static int read_answers(esp_context *ctx, const struct espi_json *qa, struct espi_example *example)
{
    struct espi_json answers;
    int status = list(ctx, qa, "answers", &answers);
    if (status)
        return status;
    size_t count = espi_json_length(&answers);
    size_t context_length = espi_utf8_length(example->pair.data, example->pair.bytes);
    example->answers = espi_arena_alloc(ctx, &example->arena, count, sizeof(*example->answers));
    if (!example->answers)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct espi_json item = espi_json_item(&answers, i);
        struct espi_gold_answer *answer = &example->answers[i];
        if ((status = espi_json_expect_object(ctx, &item)) ||
            (status = read_string(ctx, &item, "text", example, &answer->text)) ||
            (status = espi_json_get_size(ctx, &item, "answer_start", 0, context_length, &answer->start)))
            return status;
        size_t length = espi_utf8_length(answer->text.data, answer->text.bytes);
        if (length > context_length - answer->start) {
            return espi_json_fail(ctx, &item,
                                  "expected an answer inside the context of %zu code points, found %zu from %zu",
                                  context_length, length, answer->start);
        }
    }
    example->answer_count = count;
    return ESP_OK;
}

static int read_question(esp_context *ctx, const struct squad *squad, const struct espi_json *paragraph,
                         const struct espi_json *qa, struct espi_example *example)
{
    const char *id;
    size_t id_bytes;
    int status;
    if ((status = espi_json_expect_object(ctx, qa)) || (status = espi_json_get_string(ctx, qa, "id", &id, &id_bytes)) ||
        (status = read_string(ctx, qa, "question", example, &example->text)) ||
        (status = read_string(ctx, paragraph, "context", example, &example->pair)))
        return status;
    example->id = json_stringn(id, id_bytes);
    example->source = espi_arena_format(ctx, &example->arena, "%s: question \"%s\"", squad->path, id);
    if (!example->id || !example->source)
        return espi_fail_memory(ctx, id_bytes);
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
    struct espi_json articles = espi_json_at(&squad->document, "data");
    for (; squad->article < espi_json_length(&articles); squad->article++, squad->paragraph = 0) {
        struct espi_json article = espi_json_item(&articles, squad->article), paragraphs;
        int status = list(ctx, &article, "paragraphs", &paragraphs);
        if (status)
            return status;
        for (; squad->paragraph < espi_json_length(&paragraphs); squad->paragraph++, squad->question = 0) {
            struct espi_json paragraph = espi_json_item(&paragraphs, squad->paragraph), qas;
            if ((status = list(ctx, &paragraph, "qas", &qas)))
                return status;
            if (squad->question == espi_json_length(&qas))
                continue;
            struct espi_json qa = espi_json_item(&qas, squad->question++);
            struct espi_example *example = NULL;
            if ((status = espi_example_new(ctx, squad->path, 0, &example)))
                return status;
            if ((status = read_question(ctx, squad, &paragraph, &qa, example))) {
                espi_example_free(example);
                return status;
            }
            *out = example;
            return 1;
        }
    }
    return 0;
}

/* Counts the questions, and finds out whether any of them says that it may have no answer. */
static int survey(esp_context *ctx, struct squad *squad)
{
    struct espi_json articles;
    int status = list(ctx, &squad->document, "data", &articles);
    for (size_t i = 0; !status && i < espi_json_length(&articles); i++) {
        struct espi_json article = espi_json_item(&articles, i), paragraphs;
        if ((status = list(ctx, &article, "paragraphs", &paragraphs)))
            return status;
        for (size_t j = 0; j < espi_json_length(&paragraphs); j++) {
            struct espi_json paragraph = espi_json_item(&paragraphs, j), qas;
            if ((status = list(ctx, &paragraph, "qas", &qas)))
                return status;
            squad->base.total += espi_json_length(&qas);
            for (size_t k = 0; k < espi_json_length(&qas) && !squad->version_2; k++) {
                struct espi_json qa = espi_json_item(&qas, k);
                squad->version_2 = json_is_object(qa.value) && espi_json_has(&qa, "is_impossible");
            }
        }
    }
    return status;
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
    int status = ESP_ERR_MEMORY;
    squad->path = espi_calloc(ctx, strlen(path) + 1, 1);
    if (!squad->path)
        goto fail;
    memcpy(squad->path, path, strlen(path));
    if ((status = espi_json_open_file(ctx, squad->path, &squad->document)) || (status = survey(ctx, squad)))
        goto fail;
    *out = &squad->base;
    return ESP_OK;
fail:
    squad_close(&squad->base);
    return status;
}
