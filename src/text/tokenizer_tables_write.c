/* SPDX-License-Identifier: Apache-2.0
 * From a tokenizer to its tables. */
#include "text/tokenizer_tables.h"

#include "base/size.h"

#include <string.h>

/* Texts one behind the other in the order of use, without `out` measured only. */
struct texts {
    char *out;
    size_t bytes;
};

static uint32_t put_text(struct texts *texts, const char *text)
{
    size_t at = texts->bytes, bytes = strlen(text) + 1;
    if (texts->out)
        memcpy(texts->out + at, text, bytes);
    texts->bytes += bytes;
    return (uint32_t)at;
}

/* ---- the parts ------------------------------------------------------------------------------------------------------- */

static void put_tokens(const esp_tokenizer *tokenizer, struct texts *texts, uint32_t *out)
{
    for (size_t id = 0; id < tokenizer->size; id++) {
        const char *text = esp_tokenizer_token(tokenizer, (int32_t)id);
        uint32_t at = text ? put_text(texts, text) : ESPI_NO_TEXT;
        if (out)
            out[id] = at;
    }
}

static void put_added(const esp_tokenizer *tokenizer, struct texts *texts, struct espi_tables_added *out)
{
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        const struct espi_added_token *token = &tokenizer->added[i];
        struct espi_tables_added added = {.text = put_text(texts, token->content), .id = token->id};
        added.flags = (token->single_word ? ESPI_ADDED_SINGLE_WORD : 0) | (token->lstrip ? ESPI_ADDED_LSTRIP : 0) |
                      (token->rstrip ? ESPI_ADDED_RSTRIP : 0) | (token->normalized ? ESPI_ADDED_IS_NORMALIZED : 0) |
                      (token->special ? ESPI_ADDED_SPECIAL : 0);
        if (out)
            out[i] = added;
    }
}

static struct espi_tables_piece *put_pieces(const struct espi_template *template, struct espi_tables_piece *out)
{
    for (size_t i = 0; i < template->count; i++)
        *out++ = (struct espi_tables_piece){template->pieces[i].sequence, template->pieces[i].id,
                                            template->pieces[i].type_id};
    return out;
}

static uint32_t flags_of(const esp_tokenizer *tokenizer)
{
    const struct espi_normalizer_options *options = &tokenizer->options;
    return (options->clean_text ? ESPI_TABLES_CLEAN_TEXT : 0) |
           (options->handle_chinese_chars ? ESPI_TABLES_CHINESE : 0) |
           (options->strip_accents ? ESPI_TABLES_STRIP_ACCENTS : 0) | (options->lowercase ? ESPI_TABLES_LOWERCASE : 0) |
           (tokenizer->strip_accents_stated ? ESPI_TABLES_ACCENTS_STATED : 0) |
           (tokenizer->has_template ? ESPI_TABLES_TEMPLATE : 0) | (tokenizer->has_decoder ? ESPI_TABLES_DECODER : 0) |
           (tokenizer->cleanup ? ESPI_TABLES_CLEANUP : 0) | (tokenizer->truncate_left ? ESPI_TABLES_TRUNCATE_LEFT : 0) |
           (tokenizer->keep_spaces ? ESPI_TABLES_KEEP_SPACES : 0);
}

/* ---- all together ---------------------------------------------------------------------------------------------------- */

static struct espi_tables_header header_of(const esp_tokenizer *tokenizer, struct texts *texts)
{
    const struct espi_special_ids *special = &tokenizer->special;
    uint32_t unk_token = put_text(texts, tokenizer->unk_token);
    uint32_t prefix = put_text(texts, tokenizer->prefix);
    uint32_t decoder_prefix = put_text(texts, tokenizer->decoder_prefix);
    return (struct espi_tables_header){
        .max_length = tokenizer->max_length,
        .flags = flags_of(tokenizer),
        .size = (uint32_t)tokenizer->size,
        .model_tokens = (uint32_t)tokenizer->model_tokens,
        .max_word_chars = (uint32_t)tokenizer->max_word_chars,
        .unk_token = unk_token,
        .prefix = prefix,
        .decoder_prefix = decoder_prefix,
        .special = {special->pad, special->unk, special->cls, special->sep, special->mask},
        .added_count = (uint32_t)tokenizer->added_count,
        .single_pieces = (uint32_t)tokenizer->single.count,
        .pair_pieces = (uint32_t)tokenizer->pair.count,
        .trie_nodes = (uint32_t)tokenizer->trie.count,
        .added_nodes = (uint32_t)tokenizer->added_trie.count,
        .step_blocks = (uint32_t)tokenizer->normalizer.blocks,
        .several_counts = (uint32_t)tokenizer->normalizer.several_count,
    };
}

static void fill(const esp_tokenizer *tokenizer, unsigned char *data, const size_t offsets[ESPI_TABLES_ARRAYS])
{
    const struct espi_normalizer *normalizer = &tokenizer->normalizer;
    struct texts texts = {.out = (char *)data + offsets[ESPI_TABLES_TEXTS]};
    header_of(tokenizer, &texts);
    put_tokens(tokenizer, &texts, (uint32_t *)(void *)(data + offsets[ESPI_TABLES_TOKENS]));
    put_added(tokenizer, &texts, (void *)(data + offsets[ESPI_TABLES_ADDED]));
    put_pieces(&tokenizer->pair, put_pieces(&tokenizer->single, (void *)(data + offsets[ESPI_TABLES_PIECES])));
    const struct {
        enum espi_tables_array array;
        const void *data;
        size_t bytes;
    } copies[] = {
        {ESPI_TABLES_TRIE, tokenizer->trie.nodes, tokenizer->trie.count * sizeof(uint64_t)},
        {ESPI_TABLES_ADDED_TRIE, tokenizer->added_trie.nodes, tokenizer->added_trie.count * sizeof(uint64_t)},
        {ESPI_TABLES_BLOCK_OF, normalizer->block_of, ESPI_CODE_POINTS / ESPI_TABLE_BLOCK * sizeof(uint16_t)},
        {ESPI_TABLES_STEPS, normalizer->steps, normalizer->blocks * ESPI_TABLE_BLOCK * sizeof(uint32_t)},
        {ESPI_TABLES_SEVERAL, normalizer->several, normalizer->several_count * sizeof(uint32_t)},
    };
    for (size_t i = 0; i < ESPI_COUNT(copies); i++)
        if (copies[i].bytes)
            memcpy(data + offsets[copies[i].array], copies[i].data, copies[i].bytes);
}

int espi_tokenizer_tables(esp_context *ctx, const esp_tokenizer *tokenizer, unsigned char **data, size_t *bytes)
{
    struct texts texts = {0};
    size_t offsets[ESPI_TABLES_ARRAYS];
    struct espi_tables_header header = header_of(tokenizer, &texts);
    *data = NULL;
    put_tokens(tokenizer, &texts, NULL);
    put_added(tokenizer, &texts, NULL);
    if (texts.bytes >= ESPI_NO_TEXT || tokenizer->trie.count > UINT32_MAX)
        return espi_fail(ctx, ESP_ERR_LIMIT, "the tokenizer is too large: %zu bytes of texts", texts.bytes);
    header.text_bytes = (uint32_t)texts.bytes;
    *bytes = espi_tables_lay_out(&header, offsets);
    *data = espi_calloc_aligned(ctx, *bytes, 1);
    if (!*data)
        return ESP_ERR_MEMORY;
    memcpy(*data, &header, sizeof header);
    fill(tokenizer, *data, offsets);
    return ESP_OK;
}
