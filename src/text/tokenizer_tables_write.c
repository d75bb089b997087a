/* SPDX-License-Identifier: Apache-2.0
 * From a tokenizer to its tables. */
#include "text/tokenizer_tables.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>

int espi_tables_put_text(struct espi_tables_writer *writer, const char *text, uint32_t *at)
{
    if (writer->texts.length >= ESPI_NO_TEXT)
        return espi_fail(writer->ctx, ESP_ERR_LIMIT, "the tokenizer is too large: %zu bytes of texts",
                         writer->texts.length);
    *at = (uint32_t)writer->texts.length;
    return espi_string_add(writer->ctx, &writer->texts, text, strlen(text) + 1);
}

void espi_tables_put_array(struct espi_tables_writer *writer, size_t which, const void *data, size_t count, size_t size)
{
    size_t record = writer->count - 1;
    writer->records[record].arrays[which].bytes = count * size;
    writer->arrays[record][which] = data;
}

static struct espi_stage_record *add_record(struct espi_tables_writer *writer, enum espi_stage_place place,
                                            uint32_t kind)
{
    struct espi_stage_record *record = &writer->records[writer->count++];
    *record = (struct espi_stage_record){.place = place, .kind = kind};
    return record;
}

/* ---- the parts ------------------------------------------------------------------------------------------------------- */

static int put_vocabulary(struct espi_tables_writer *writer)
{
    const esp_tokenizer *tokenizer = writer->tokenizer;
    struct espi_stage_record *record = add_record(writer, ESPI_PLACE_VOCABULARY, 1);
    uint32_t *offsets = espi_arena_alloc(writer->ctx, &writer->arena, tokenizer->size, sizeof *offsets);
    int status = offsets ? ESP_OK : ESP_ERR_MEMORY;
    for (size_t id = 0; id < tokenizer->size && !status; id++) {
        const char *text = esp_tokenizer_token(tokenizer, (int32_t)id);
        offsets[id] = ESPI_NO_TEXT;
        if (text)
            status = espi_tables_put_text(writer, text, &offsets[id]);
    }
    record->numbers[0] = (uint32_t)tokenizer->model_tokens;
    espi_tables_put_array(writer, ESPI_VOCABULARY_OFFSETS, offsets, tokenizer->size, sizeof *offsets);
    return status;
}

static int put_added(struct espi_tables_writer *writer)
{
    const esp_tokenizer *tokenizer = writer->tokenizer;
    size_t count = tokenizer->added_count;
    add_record(writer, ESPI_PLACE_ADDED, 1);
    struct espi_tables_added *out = espi_arena_alloc(writer->ctx, &writer->arena, count, sizeof *out);
    int status = out ? ESP_OK : ESP_ERR_MEMORY;
    for (size_t i = 0; i < count && !status; i++) {
        const struct espi_added_token *token = &tokenizer->added[i];
        out[i].id = token->id;
        out[i].flags = (token->single_word ? ESPI_ADDED_SINGLE_WORD : 0) | (token->lstrip ? ESPI_ADDED_LSTRIP : 0) |
                       (token->rstrip ? ESPI_ADDED_RSTRIP : 0) | (token->normalized ? ESPI_ADDED_IS_NORMALIZED : 0) |
                       (token->special ? ESPI_ADDED_SPECIAL : 0);
        status = espi_tables_put_text(writer, token->content, &out[i].text);
    }
    espi_tables_put_array(writer, ESPI_ADDED_TRIE, tokenizer->added_trie.nodes, tokenizer->added_trie.count,
                          sizeof *tokenizer->added_trie.nodes);
    espi_tables_put_array(writer, ESPI_ADDED_TOKENS, out, count, sizeof *out);
    return status;
}

static int put_template(struct espi_tables_writer *writer)
{
    const struct espi_template *templates[] = {&writer->tokenizer->single, &writer->tokenizer->pair};
    struct espi_stage_record *record = add_record(writer, ESPI_PLACE_TEMPLATE, 1);
    struct espi_tables_piece *out = espi_arena_alloc(writer->ctx, &writer->arena, 2 * ESPI_MAX_TEMPLATE, sizeof *out);
    size_t count = 0;
    if (!out)
        return ESP_ERR_MEMORY;
    for (size_t t = 0; t < ESPI_COUNT(templates); t++)
        for (size_t i = 0; i < templates[t]->count; i++) {
            const struct espi_piece *piece = &templates[t]->pieces[i];
            out[count++] = (struct espi_tables_piece){piece->sequence, piece->id, piece->type_id};
        }
    record->flags = (writer->tokenizer->has_template ? ESPI_TEMPLATE_STATED : 0) |
                    (writer->tokenizer->trim_offsets ? ESPI_TEMPLATE_TRIM : 0) |
                    (writer->tokenizer->trim_keeps_first ? ESPI_TEMPLATE_KEEP_FIRST : 0);
    record->numbers[0] = (uint32_t)templates[0]->count;
    espi_tables_put_array(writer, ESPI_TEMPLATE_PIECES, out, count, sizeof *out);
    return ESP_OK;
}

static void put_split_table(struct espi_tables_writer *writer)
{
    const struct espi_split_table *table = &writer->tokenizer->table;
    if (!writer->tokenizer->has_table)
        return;
    add_record(writer, ESPI_PLACE_SPLIT_TABLE, 1);
    espi_tables_put_array(writer, ESPI_SPLIT_BLOCK_OF, table->block_of, ESPI_CODE_POINTS / ESPI_TABLE_BLOCK,
                          sizeof *table->block_of);
    espi_tables_put_array(writer, ESPI_SPLIT_ACTIONS, table->actions, table->blocks * ESPI_TABLE_BLOCK,
                          sizeof *table->actions);
    espi_tables_put_array(writer, ESPI_SPLIT_SEVERAL, table->several, table->several_count, sizeof *table->several);
}

static int put_stage(struct espi_tables_writer *writer, const struct espi_stage *stage)
{
    if (!stage->form)
        return ESP_OK;
    struct espi_stage_record *record = add_record(writer, stage->form->place, stage->form->kind);
    return stage->form->put ? stage->form->put(writer, stage->self, record) : ESP_OK;
}

static int put_stages(struct espi_tables_writer *writer, const struct espi_stages *stages)
{
    int status = ESP_OK;
    for (size_t i = 0; i < stages->count && !status; i++)
        status = put_stage(writer, &stages->data[i]);
    return status;
}

/* ---- all together ---------------------------------------------------------------------------------------------------- */

static int put_all(struct espi_tables_writer *writer)
{
    const esp_tokenizer *tokenizer = writer->tokenizer;
    int status = put_vocabulary(writer);
    if (!status)
        status = put_added(writer);
    if (!status)
        status = put_stages(writer, &tokenizer->normalizers);
    if (!status)
        status = put_stages(writer, &tokenizer->pre_tokenizers);
    if (!status)
        status = put_stage(writer, &tokenizer->model);
    if (!status)
        status = put_template(writer);
    if (!status)
        status = put_stage(writer, &tokenizer->decoder);
    if (status)
        return status;
    put_split_table(writer);
    writer->records[0].arrays[ESPI_VOCABULARY_TEXTS].bytes = writer->texts.length; // now that all are there
    writer->arrays[0][ESPI_VOCABULARY_TEXTS] = writer->texts.data;
    return ESP_OK;
}

static size_t align(size_t bytes)
{
    return (bytes + ESPI_TABLES_ALIGN - 1) / ESPI_TABLES_ALIGN * ESPI_TABLES_ALIGN;
}

/* Gives each array its place; returns the bytes of the whole. */
static size_t lay_out(struct espi_tables_writer *writer)
{
    size_t end = sizeof(struct espi_tables_header) + writer->count * sizeof *writer->records;
    for (size_t i = 0; i < writer->count; i++)
        for (size_t k = 0; k < ESPI_STAGE_ARRAYS; k++) {
            struct espi_tables_array *array = &writer->records[i].arrays[k];
            if (!array->bytes)
                continue;
            array->offset = align(end);
            end = array->offset + array->bytes;
        }
    return align(end);
}

static void fill(const struct espi_tables_writer *writer, unsigned char *data)
{
    const esp_tokenizer *tokenizer = writer->tokenizer;
    struct espi_tables_header header = {
        .max_length = tokenizer->max_length,
        .flags = (tokenizer->truncate_left ? ESPI_TABLES_TRUNCATE_LEFT : 0) |
                 (tokenizer->keep_spaces ? ESPI_TABLES_KEEP_SPACES : 0),
        .size = (uint32_t)tokenizer->size,
        .stages = (uint32_t)writer->count,
    };
    memset(header.special, 0xff, sizeof header.special); // -1
    memcpy(header.special, tokenizer->special.of_role, sizeof tokenizer->special.of_role);
    memcpy(data, &header, sizeof header);
    memcpy(data + sizeof header, writer->records, writer->count * sizeof *writer->records);
    for (size_t i = 0; i < writer->count; i++)
        for (size_t k = 0; k < ESPI_STAGE_ARRAYS; k++)
            if (writer->records[i].arrays[k].bytes)
                memcpy(data + writer->records[i].arrays[k].offset, writer->arrays[i][k],
                       writer->records[i].arrays[k].bytes);
}

int espi_tokenizer_tables(esp_context *ctx, const esp_tokenizer *tokenizer, unsigned char **data, size_t *bytes)
{
    struct espi_tables_writer *writer = espi_calloc(ctx, 1, sizeof *writer);
    *data = NULL;
    if (!writer)
        return ESP_ERR_MEMORY;
    writer->ctx = ctx;
    writer->tokenizer = tokenizer;
    int status = put_all(writer);
    if (!status) {
        *bytes = lay_out(writer);
        *data = espi_calloc_aligned(ctx, *bytes, 1);
        status = *data ? ESP_OK : ESP_ERR_MEMORY;
    }
    if (!status)
        fill(writer, *data);
    free(writer->texts.data);
    espi_arena_clear(&writer->arena);
    free(writer);
    return status;
}
