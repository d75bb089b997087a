/* SPDX-License-Identifier: Apache-2.0
 * Answers that outlive the texts they were found in. */
#include "api/api_private.h"

#include <stdlib.h>
#include <string.h>

static int keep_text(esp_context *ctx, struct espi_arena *arena, const char **text, size_t bytes)
{
    if (*text)
        *text = espi_arena_copy(ctx, arena, *text, bytes);
    return *text || !bytes ? ESP_OK : ESP_ERR_MEMORY;
}

static int keep_items(esp_context *ctx, struct espi_arena *arena, const struct espi_found *found, esp_answer *to)
{
    esp_item *items = espi_arena_alloc(ctx, arena, found->count, sizeof *items);
    int status = items ? ESP_OK : ESP_ERR_MEMORY;
    for (size_t i = 0; !status && i < found->count; i++) {
        items[i] = found->items[i];
        status = keep_text(ctx, arena, &items[i].text, items[i].text_bytes);
        if (!status)
            status = keep_text(ctx, arena, &items[i].sequence, items[i].sequence_bytes);
    }
    to->items = items;
    to->count = found->count;
    return status;
}

static int keep_embedding(esp_context *ctx, struct espi_arena *arena, const struct espi_found *found, esp_answer *to)
{
    float *embedding = espi_arena_alloc(ctx, arena, found->width, sizeof *embedding);
    if (embedding)
        memcpy(embedding, found->vector, found->width * sizeof *embedding);
    to->embedding = embedding;
    to->embedding_size = found->width;
    to->embedding_numbers = ESP_NUMBERS_FLOAT32;
    return embedding ? ESP_OK : ESP_ERR_MEMORY;
}

static int keep_json(esp_context *ctx, struct esp_session *session, const struct espi_found *found, esp_answer *to)
{
    struct espi_json_writer w = {0};
    espi_answer_put(&w, &session->job, found, (struct espi_text){0});
    int status = espi_json_writer_end(ctx, &w);
    if (status)
        return status;
    to->json = espi_arena_copy(ctx, &session->arena, w.data, w.length);
    free(w.data);
    return to->json ? ESP_OK : ESP_ERR_MEMORY;
}

int espi_api_answer(esp_context *ctx, struct esp_session *session, const struct espi_found *found, esp_answer *to)
{
    int status = session->json ? keep_json(ctx, session, found, to) : ESP_OK;
    if (status)
        return status;
    return found->vector ? keep_embedding(ctx, &session->arena, found, to)
                         : keep_items(ctx, &session->arena, found, to);
}
