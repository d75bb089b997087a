/* SPDX-License-Identifier: Apache-2.0 */
#include "text/wordlevel.h"

#include "text/tokenizer_tables.h"

#include <stdlib.h>
#include <string.h>

struct wordlevel {
    const char *unk_token;
    struct espi_trie trie; // values: ids
    int32_t unk;
};

static size_t split(esp_context *ctx, const void *self, const struct espi_word *word, struct espi_pieces *out)
{
    (void)ctx;
    const struct wordlevel *model = self;
    int32_t id = espi_trie_find(&model->trie, 0, word->bytes, word->count);
    out->ids[0] = id < 0 ? model->unk : id;
    out->ends[0] = (uint32_t)word->count;
    return 1;
}

static int32_t find(const void *self, const char *text, size_t bytes)
{
    return espi_trie_find(&((const struct wordlevel *)self)->trie, 0, text, bytes);
}

static int index_tokens(esp_context *ctx, esp_tokenizer *tokenizer, const char *source, void *self)
{
    struct wordlevel *model = self;
    struct espi_trie_set set = {.keys = espi_calloc(ctx, tokenizer->model_tokens, sizeof *set.keys)};
    if (!set.keys)
        return ESP_ERR_MEMORY;
    for (size_t id = 0; id < tokenizer->size; id++)
        if (tokenizer->tokens[id] && *tokenizer->tokens[id])
            set.keys[set.count++] = (struct espi_trie_key){(const unsigned char *)tokenizer->tokens[id],
                                                           strlen(tokenizer->tokens[id]), (uint32_t)id};
    qsort(set.keys, set.count, sizeof *set.keys, espi_trie_compare);
    int status = espi_trie_build(ctx, &model->trie, &set, 1);
    free(set.keys);
    if (status)
        return status;
    model->unk = tokenizer->special.unk = find(model, model->unk_token, strlen(model->unk_token));
    return espi_tokenizer_check_unknown(ctx, source, model->unk_token, model->unk);
}

static void clear(void *self)
{
    espi_trie_clear(&((struct wordlevel *)self)->trie);
}

static void init(void *self)
{
    ((struct wordlevel *)self)->unk_token = "<unk>";
}

static int read(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    struct espi_json vocab = espi_json_at(json, "vocab");
    int status = espi_tokenizer_read_text(ctx, tokenizer, json, "unk_token", &((struct wordlevel *)self)->unk_token);
    return status ? status : espi_tokenizer_read_vocabulary(ctx, tokenizer, json, &vocab);
}

static void write(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    espi_put_string(w, "unk_token", ((const struct wordlevel *)self)->unk_token);
    espi_tokenizer_write_vocabulary(w, tokenizer);
}

static int put(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    const struct wordlevel *model = self;
    espi_tables_put_array(writer, 0, model->trie.nodes, model->trie.count, sizeof *model->trie.nodes);
    return espi_tables_put_text(writer, model->unk_token, &record->numbers[0]);
}

static int take(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    struct wordlevel *model = self;
    int status = espi_tables_shape(reader, record, 0, 1, 1);
    if (!status)
        status = espi_tables_text(reader, "unk_token", record->numbers[0], &model->unk_token);
    if (!status)
        status = espi_tables_trie(reader, record, 0, "trie", reader->tokenizer->size, &model->trie);
    model->unk = reader->tokenizer->special.unk;
    if (!status && model->unk < 0)
        status = espi_tables_fail(reader, "unknown token", "an id from ", 0, model->unk);
    return status;
}

const struct espi_stage_form espi_wordlevel = {
    .place = ESPI_PLACE_MODEL,
    .kind = 4,
    .type = "WordLevel",
    .size = sizeof(struct wordlevel),
    .init = init,
    .read = read,
    .write = write,
    .put = put,
    .take = take,
    .model = &(const struct espi_model_calls){index_tokens, find, split, clear, false},
};
