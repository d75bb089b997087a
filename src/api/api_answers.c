/* SPDX-License-Identifier: Apache-2.0
 * From what a task answers (the JSON that `espalier run` prints, see tasks/task.h) to typed items. */
#include "api/api_private.h"

#include "base/json.h"
#include "tasks/pytext.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct maker {
    esp_context *ctx;
    struct espi_arena *arena;
    struct espi_text source; // what offsets count in
    size_t chars, bytes;     // a place in it: that of the last offset
    esp_item *items;
    size_t count;
    int status;
};

/* A member's text in the arena, or NULL. */
static const char *text_of(struct maker *maker, const json_t *object, const char *key)
{
    const json_t *member = json_object_get(object, key);
    if (!json_is_string(member))
        return NULL;
    const char *copy = espi_arena_copy(maker->ctx, maker->arena, json_string_value(member), json_string_length(member));
    if (!copy)
        maker->status = ESP_ERR_MEMORY;
    return copy;
}

/* Bytes in front of a code point; fast when places ascend. */
static size_t bytes_before(struct maker *maker, size_t chars)
{
    if (chars < maker->chars)
        maker->chars = maker->bytes = 0;
    maker->bytes +=
        espi_utf8_offset(maker->source.data + maker->bytes, maker->source.bytes - maker->bytes, chars - maker->chars);
    maker->chars = chars;
    return maker->bytes;
}

static void add_item(struct maker *maker, const json_t *object, size_t mask)
{
    esp_item *item = &maker->items[maker->count++];
    const char *label = json_object_get(object, "label")    ? "label"
                        : json_object_get(object, "entity") ? "entity"
                                                            : "entity_group";
    const char *text = json_object_get(object, "answer") ? "answer"
                       : json_object_get(object, "word") ? "word"
                                                         : "token_str";
    *item = (esp_item){.score = json_number_value(json_object_get(object, "score")),
                       .text = text_of(maker, object, text),
                       .label = text_of(maker, object, label),
                       .sequence = text_of(maker, object, "sequence"),
                       .token = (int32_t)json_integer_value(json_object_get(object, "token")),
                       .mask = mask};
    if (!json_object_get(object, "start"))
        return;
    item->char_begin = (size_t)json_integer_value(json_object_get(object, "start"));
    item->char_end = (size_t)json_integer_value(json_object_get(object, "end"));
    item->byte_begin = bytes_before(maker, item->char_begin);
    item->byte_end = bytes_before(maker, item->char_end);
}

/* One object, a list of them, or (masks) a list of lists. */
static void add_items(struct maker *maker, const json_t *result)
{
    if (json_is_object(result)) {
        add_item(maker, result, 0);
        return;
    }
    for (size_t i = 0; i < json_array_size(result); i++) {
        const json_t *entry = json_array_get(result, i);
        if (json_is_object(entry))
            add_item(maker, entry, 0);
        for (size_t k = 0; json_is_array(entry) && k < json_array_size(entry); k++)
            add_item(maker, json_array_get(entry, k), i);
    }
}

static size_t count_items(const json_t *result)
{
    size_t count = json_is_object(result);
    for (size_t i = 0; i < json_array_size(result); i++) {
        const json_t *entry = json_array_get(result, i);
        count += json_is_array(entry) ? json_array_size(entry) : 1;
    }
    return count;
}

static int make_json(struct maker *maker, const json_t *result, esp_answer *to)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);
    int status =
        stream ? espi_json_print(maker->ctx, result, false, stream) : espi_fail_memory(maker->ctx, sizeof(FILE));
    if (stream && fclose(stream) != 0 && !status)
        status = espi_fail_memory(maker->ctx, bytes);
    if (!status) {
        bytes -= bytes && text[bytes - 1] == '\n';
        to->json = espi_arena_copy(maker->ctx, maker->arena, text, bytes);
        status = to->json ? ESP_OK : ESP_ERR_MEMORY;
    }
    free(text);
    return status;
}

int espi_api_answer(esp_context *ctx, struct esp_session *session, const struct espi_answer *from, esp_answer *to)
{
    const struct espi_example *example = from->example;
    struct maker maker = {
        .ctx = ctx, .arena = &session->arena, .source = example->pair.data ? example->pair : example->text};
    int status = session->json ? make_json(&maker, from->result, to) : ESP_OK;
    if (status)
        return status;
    if (from->vector) {
        size_t width = session->model->facts.embedding;
        float *embedding = espi_arena_alloc(ctx, maker.arena, width, sizeof *embedding);
        if (embedding)
            memcpy(embedding, from->vector, width * sizeof *embedding);
        to->embedding = embedding;
        return embedding ? ESP_OK : ESP_ERR_MEMORY;
    }
    maker.items = espi_arena_alloc(ctx, maker.arena, count_items(from->result), sizeof *maker.items);
    if (!maker.items)
        return ESP_ERR_MEMORY;
    add_items(&maker, from->result);
    to->items = maker.items;
    to->count = maker.count;
    return maker.status;
}
