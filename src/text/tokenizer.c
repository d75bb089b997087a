/* SPDX-License-Identifier: Apache-2.0
 * A tokenizer: opened, asked, released. */
#include "text/tokenizer_files.h"

#include "base/file.h"
#include "base/floats.h"
#include "base/size.h"
#include "text/bert_stages.h"
#include "text/encoder_folder.h"
#include "text/wordpiece.h"

#include <stdlib.h>
#include <string.h>

/* ---- building ---------------------------------------------------------------------------------------------------- */

int espi_tokenizer_new(esp_context *ctx, esp_tokenizer **out)
{
    esp_tokenizer *tokenizer = espi_calloc(ctx, 1, sizeof *tokenizer);
    *out = tokenizer;
    if (!tokenizer)
        return ESP_ERR_MEMORY;
    memset(&tokenizer->special, 0xff, sizeof tokenizer->special); // -1
    tokenizer->max_length = SIZE_MAX;
    tokenizer->raw_only_first = -1;
    tokenizer->longest_word = SIZE_MAX;
    return ESP_OK;
}

void esp_tokenizer_free(esp_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    if (!tokenizer->borrowed) {
        espi_split_table_clear(&tokenizer->table);
        espi_trie_clear(&tokenizer->added_trie);
        if (tokenizer->model.form)
            tokenizer->model.form->model->clear(tokenizer->model.self);
    }
    espi_arena_clear(&tokenizer->arena);
    free(tokenizer->tokens);
    free(tokenizer->added);
    free(tokenizer);
}

int espi_tokenizer_bert_stages(esp_context *ctx, esp_tokenizer *tokenizer)
{
    struct espi_arena *arena = &tokenizer->arena;
    struct espi_stage normalizer, pre_tokenizer;
    int status = espi_stage_new(ctx, arena, &espi_bert_normalizer, &normalizer);
    if (!status)
        status = espi_stages_add(ctx, &normalizer, &tokenizer->normalizers);
    if (!status)
        status = espi_stage_new(ctx, arena, &espi_bert_pre_tokenizer, &pre_tokenizer);
    if (!status)
        status = espi_stages_add(ctx, &pre_tokenizer, &tokenizer->pre_tokenizers);
    if (!status)
        status = espi_stage_new(ctx, arena, &espi_wordpiece, &tokenizer->model);
    return status ? status : espi_stage_new(ctx, arena, &espi_wordpiece_decoder, &tokenizer->decoder);
}

struct espi_bert_normalizer *espi_tokenizer_bert_normalizer(const esp_tokenizer *tokenizer)
{
    const struct espi_stages *stages = &tokenizer->normalizers;
    return stages->count == 1 && stages->data[0].form == &espi_bert_normalizer ? stages->data[0].self : NULL;
}

bool espi_tokenizer_wants_table(const esp_tokenizer *tokenizer)
{
    const struct espi_stages *split = &tokenizer->pre_tokenizers;
    return split->count == 1 && split->data[0].form == &espi_bert_pre_tokenizer &&
           (!tokenizer->normalizers.count || espi_tokenizer_bert_normalizer(tokenizer));
}

static int claim_id(esp_context *ctx, esp_tokenizer *tokenizer, const char *source, const char *text, int64_t id)
{
    if (id < 0 || id >= ESPI_MAX_TOKENS)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: token \"%s\": expected an id from 0 to %d, found %lld", source, text,
                         ESPI_MAX_TOKENS - 1, (long long)id);
    size_t size = tokenizer->size, needed = (size_t)id + 1;
    int status = espi_grow(ctx, &tokenizer->tokens, &tokenizer->capacity, needed, sizeof *tokenizer->tokens);
    if (status)
        return status;
    if (needed > size) {
        memset(tokenizer->tokens + size, 0, (needed - size) * sizeof *tokenizer->tokens);
        tokenizer->size = needed;
    }
    if (tokenizer->tokens[id])
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: tokens \"%s\" and \"%s\" have the same id %lld", source,
                         tokenizer->tokens[id], text, (long long)id);
    tokenizer->tokens[id] = text;
    return ESP_OK;
}

int espi_tokenizer_add_token(esp_context *ctx, esp_tokenizer *tokenizer, const char *source, const char *text,
                             size_t bytes, int64_t id)
{
    bool possible = !memchr(text, 0, bytes);
    char *copy = espi_arena_copy(ctx, &tokenizer->arena, text, possible ? bytes : 0);
    int status = copy ? claim_id(ctx, tokenizer, source, copy, id) : ESP_ERR_MEMORY;
    if (!status)
        tokenizer->model_tokens++;
    return status;
}

int32_t espi_tokenizer_find_model(const esp_tokenizer *tokenizer, const char *text)
{
    const struct espi_stage *model = &tokenizer->model;
    return model->form ? model->form->model->find(model->self, text, strlen(text)) : -1;
}

int espi_tokenizer_index(esp_context *ctx, esp_tokenizer *tokenizer, const char *source)
{
    if (!tokenizer->model_tokens)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: the vocabulary is empty", source);
    return tokenizer->model.form->model->index(ctx, tokenizer, source, tokenizer->model.self);
}

int espi_tokenizer_check_unknown(esp_context *ctx, const char *source, const char *token, int32_t id)
{
    return id >= 0
               ? ESP_OK
               : espi_fail(ctx, ESP_ERR_FORMAT, "%s: the unknown token \"%s\" is not in the vocabulary", source, token);
}

static bool is_taken(const esp_tokenizer *tokenizer, int64_t id)
{
    return (size_t)id < tokenizer->size && tokenizer->tokens[id];
}

/* The id the peer gives an added token: the model's, else one behind all others by their number. Where ids have gaps, that
 * may be another token's: then the one that is stated, or a free one. */
static int64_t next_added_id(const esp_tokenizer *tokenizer, const char *content, int64_t stated)
{
    int64_t id = espi_tokenizer_find_model(tokenizer, content), next = (int64_t)tokenizer->model_tokens;
    if (id >= 0)
        return id;
    for (size_t i = 0; i < tokenizer->added_count; i++)
        if (tokenizer->added[i].id >= next)
            next = tokenizer->added[i].id + 1;
    if (!is_taken(tokenizer, next))
        return next;
    return stated >= 0 && !is_taken(tokenizer, stated) ? stated : (int64_t)tokenizer->size;
}

int espi_tokenizer_add_added(esp_context *ctx, esp_tokenizer *tokenizer, const char *source,
                             const struct espi_added_token *token)
{
    if (!token->bytes || memchr(token->content, 0, token->bytes))
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: an added token is empty or has a zero byte", source);
    if (token->bytes > ESPI_MAX_ADDED_BYTES)
        return espi_fail(ctx, ESP_ERR_LIMIT, "%s: an added token has %zu bytes, the limit is %d", source, token->bytes,
                         ESPI_MAX_ADDED_BYTES);
    if (tokenizer->added_count == ESPI_MAX_ADDED)
        return espi_fail(ctx, ESP_ERR_LIMIT, "%s: more than %d added tokens", source, ESPI_MAX_ADDED);
    struct espi_added_token added = *token;
    added.content = espi_arena_copy(ctx, &tokenizer->arena, token->content, token->bytes);
    if (!added.content)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < tokenizer->added_count; i++)
        if (strcmp(tokenizer->added[i].content, added.content) == 0)
            return espi_fail(ctx, ESP_ERR_FORMAT, "%s: added token \"%s\" stands twice", source, added.content);
    int64_t id = next_added_id(tokenizer, added.content, added.id);
    if (added.id >= 0 && added.id != id)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: added token \"%s\": expected the id %lld, found %d", source,
                         added.content, (long long)id, (int)added.id);
    if (espi_tokenizer_find_model(tokenizer, added.content) < 0) {
        int status = claim_id(ctx, tokenizer, source, added.content, id);
        if (status)
            return status;
    }
    added.id = (int32_t)id;
    int status = espi_grow(ctx, &tokenizer->added, &tokenizer->added_capacity, tokenizer->added_count + 1,
                           sizeof *tokenizer->added);
    if (!status)
        tokenizer->added[tokenizer->added_count++] = added;
    return status;
}

void espi_tokenizer_bert_template(esp_tokenizer *tokenizer, int32_t cls, int32_t sep)
{
    const struct espi_piece pieces[] = {
        {ESPI_PIECE_SPECIAL, cls, 0}, {0, 0, 0}, {ESPI_PIECE_SPECIAL, sep, 0}, {1, 0, 1}, {ESPI_PIECE_SPECIAL, sep, 1},
    };
    tokenizer->has_template = true;
    tokenizer->single.count = 3;
    tokenizer->single.special = 2;
    memcpy(tokenizer->single.pieces, pieces, 3 * sizeof *pieces);
    tokenizer->pair.count = 5;
    tokenizer->pair.special = 3;
    memcpy(tokenizer->pair.pieces, pieces, sizeof pieces);
}

void espi_tokenizer_roberta_template(esp_tokenizer *tokenizer, int32_t cls, int32_t sep)
{
    const struct espi_piece end = {ESPI_PIECE_SPECIAL, sep, 0};
    const struct espi_piece pieces[] = {{ESPI_PIECE_SPECIAL, cls, 0}, {0, 0, 0}, end, end, {1, 0, 0}, end};
    tokenizer->has_template = true;
    tokenizer->single = (struct espi_template){.count = 3, .special = 2};
    tokenizer->pair = (struct espi_template){.count = 6, .special = 4};
    memcpy(tokenizer->single.pieces, pieces, 3 * sizeof *pieces);
    memcpy(tokenizer->pair.pieces, pieces, sizeof pieces);
}

static int build_table(esp_context *ctx, esp_tokenizer *tokenizer)
{
    const struct espi_bert_normalizer *normalizer = espi_tokenizer_bert_normalizer(tokenizer);
    struct espi_bert_options options = {0};
    if (!espi_tokenizer_wants_table(tokenizer))
        return ESP_OK;
    if (normalizer)
        options = espi_bert_options(normalizer);
    tokenizer->has_table = true;
    return espi_split_table_build(ctx, &options, &tokenizer->table);
}

int espi_tokenizer_finish(esp_context *ctx, esp_tokenizer *tokenizer, const char *source)
{
    int status = build_table(ctx, tokenizer);
    if (!status)
        status = espi_added_index(ctx, tokenizer, source);
    static const char *const *const names[] = {espi_bert_specials, espi_roberta_specials};
    size_t lists = espi_tokenizer_marks_words(tokenizer) ? 1 : ESPI_COUNT(names); // WordPiece: BERT's alone
    for (size_t role = 0; role < ESPI_SPECIAL_ROLES && !status; role++)
        for (size_t i = 0; i < lists && tokenizer->special.of_role[role] < 0; i++)
            tokenizer->special.of_role[role] = esp_tokenizer_id(tokenizer, names[i][role]);
    return status;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static int read_json(esp_context *ctx, esp_tokenizer *tokenizer, const char *path, struct espi_tokenizer_files *files)
{
    struct espi_json document;
    int status = espi_json_open_file(ctx, path, &document);
    if (status)
        return status;
    status = espi_tokenizer_read_json(ctx, tokenizer, &document);
    if (!status)
        status = espi_tokenizer_files_over_json(ctx, files, &document, tokenizer);
    espi_json_close(&document);
    return status ? status : espi_tokenizer_files_tokens(ctx, files, path, false, tokenizer);
}

static int read_vocab(esp_context *ctx, esp_tokenizer *tokenizer, const char *path, struct espi_tokenizer_files *files)
{
    int status = espi_tokenizer_bert_stages(ctx, tokenizer);
    if (!status)
        status = espi_tokenizer_files_options(ctx, files, tokenizer);
    if (!status)
        status = espi_tokenizer_files_unknown(ctx, files, tokenizer);
    if (!status)
        status = espi_tokenizer_read_vocab(ctx, tokenizer, path);
    if (!status)
        status = espi_tokenizer_files_tokens(ctx, files, path, true, tokenizer);
    if (status)
        return status;
    if (espi_tokenizer_is_mpnet(files))
        espi_tokenizer_roberta_template(tokenizer, tokenizer->special.cls, tokenizer->special.sep);
    else
        espi_tokenizer_bert_template(tokenizer, tokenizer->special.cls, tokenizer->special.sep);
    return ESP_OK;
}

typedef int read_fn(esp_context *ctx, esp_tokenizer *tokenizer, const char *path, struct espi_tokenizer_files *files);

/* `directory`: of the files beside it; NULL: they are not looked at. */
static int read_all(esp_context *ctx, esp_tokenizer *tokenizer, const char *path, read_fn *read, const char *directory)
{
    struct espi_tokenizer_files files;
    int status = espi_tokenizer_files_open(ctx, directory, &files);
    if (!status)
        status = read(ctx, tokenizer, path, &files);
    if (!status)
        status = espi_tokenizer_files_settings(ctx, &files, tokenizer);
    espi_tokenizer_files_close(&files);
    return status ? status : espi_tokenizer_finish(ctx, tokenizer, path);
}

/* Vocabularies, the first that is there counts. */
static const struct {
    const char *name;
    read_fn *read;
} kinds[] = {
    {"tokenizer.json", read_json},
    {"vocab.txt", read_vocab},
    {"vocab.json", espi_tokenizer_read_merges},
    {"sentencepiece.bpe.model", espi_tokenizer_read_spm},
    {"spiece.model", espi_tokenizer_read_spm},
    {"spm.model", espi_tokenizer_read_spm},
    {"tokenizer.model", espi_tokenizer_read_spm},
};

bool espi_tokenizer_is_there(const char *directory)
{
    char path[ESPI_PATH_BYTES];
    for (size_t i = 0; i < ESPI_COUNT(kinds); i++)
        if (!espi_path_join(NULL, path, directory, kinds[i].name) && espi_path_exists(path))
            return true;
    return false;
}

static int open_directory(esp_context *ctx, esp_tokenizer *tokenizer, const char *model)
{
    char directory[ESPI_PATH_BYTES], path[ESPI_PATH_BYTES];
    int status = espi_encoder_folder(ctx, model, directory);
    for (size_t i = 0; i < ESPI_COUNT(kinds) && !status; i++) {
        status = espi_path_join(ctx, path, directory, kinds[i].name);
        int found = status ? status : espi_path_find(ctx, path);
        if (found > 0)
            return read_all(ctx, tokenizer, path, kinds[i].read, directory);
        status = found;
    }
    return status ? status
                  : espi_fail(ctx, ESP_ERR_NOT_FOUND,
                              "%s: neither tokenizer.json, vocab.txt, vocab.json nor a SentencePiece model is there",
                              directory);
}

/* A file of the one kind or the other, by its name, else by its first byte. */
static int looks_like_json(esp_context *ctx, const char *path, bool *json)
{
    const char *dot = strrchr(path, '.');
    struct espi_map map;
    *json = dot && strcmp(dot, ".json") == 0;
    if (*json || (dot && strcmp(dot, ".txt") == 0))
        return ESP_OK;
    int status = espi_map_open(ctx, path, &map);
    if (status)
        return status;
    size_t at = 0;
    while (at < map.bytes && strchr(" \t\r\n", map.data[at]) && map.data[at])
        at++;
    *json = at < map.bytes && map.data[at] == '{';
    espi_map_close(&map);
    return ESP_OK;
}

static int open_file(esp_context *ctx, esp_tokenizer *tokenizer, const char *path)
{
    bool json;
    int status = looks_like_json(ctx, path, &json);
    return status ? status : read_all(ctx, tokenizer, path, json ? read_json : read_vocab, NULL);
}

int esp_tokenizer_open(esp_context *ctx, const char *path, esp_tokenizer **out)
{
    if (!out)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_tokenizer_open: out is NULL");
    *out = NULL;
    if (!path)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_tokenizer_open: the path is NULL");
    esp_tokenizer *tokenizer;
    enum espi_path_kind kind;
    int status = espi_tokenizer_new(ctx, &tokenizer);
    fenv_t caller;
    espi_floats_enter(&caller);
    if (!status)
        status = espi_path_look(ctx, path, &kind);
    if (!status)
        status = kind == ESPI_PATH_DIRECTORY ? open_directory(ctx, tokenizer, path) : open_file(ctx, tokenizer, path);
    espi_floats_leave(&caller);
    if (status)
        esp_tokenizer_free(tokenizer);
    else
        *out = tokenizer;
    return status;
}

int espi_tokenizer_open_text(esp_context *ctx, const char *source, const char *text, size_t bytes, esp_tokenizer **out)
{
    struct espi_json document;
    esp_tokenizer *tokenizer;
    *out = NULL;
    int status = espi_json_open_text(ctx, source, text, bytes, &document);
    if (status)
        return status;
    status = espi_tokenizer_new(ctx, &tokenizer);
    if (!status)
        status = espi_tokenizer_read_json(ctx, tokenizer, &document);
    if (!status)
        status = espi_tokenizer_finish(ctx, tokenizer, source);
    espi_json_close(&document);
    if (status)
        esp_tokenizer_free(tokenizer);
    else
        *out = tokenizer;
    return status;
}

/* Empty, with the stages of BERT as the settings have them. */
static int new_bert(esp_context *ctx, const struct espi_vocab_settings *settings, esp_tokenizer **out)
{
    int status = espi_tokenizer_new(ctx, out);
    if (!status)
        status = espi_tokenizer_bert_stages(ctx, *out);
    if (status)
        return status;
    struct espi_bert_normalizer *normalizer = espi_tokenizer_bert_normalizer(*out);
    normalizer->options.lowercase = settings->lowercase;
    normalizer->strip_accents_stated = settings->strip_accents >= 0;
    normalizer->options.strip_accents = settings->strip_accents > 0;
    (*out)->max_length = settings->max_length;
    return ESP_OK;
}

int espi_tokenizer_of_words(esp_context *ctx, const struct espi_vocab_settings *settings, size_t longest_word,
                            esp_tokenizer **out)
{
    int status = new_bert(ctx, settings, out);
    if (!status)
        status = build_table(ctx, *out);
    if (!status) {
        (*out)->longest_word = longest_word;
        return ESP_OK;
    }
    esp_tokenizer_free(*out);
    *out = NULL;
    return status;
}

static int fill_vocab(esp_context *ctx, esp_tokenizer *tokenizer, const char *const *tokens, size_t count)
{
    static const char source[] = "vocabulary";
    int status = ESP_OK;
    for (size_t i = 0; i < count && !status; i++)
        status = espi_tokenizer_add_token(ctx, tokenizer, source, tokens[i], strlen(tokens[i]), (int64_t)i);
    if (!status)
        status = espi_tokenizer_index(ctx, tokenizer, source);
    for (size_t role = 0; role < ESPI_SPECIAL_ROLES && !status; role++) {
        const char *content = espi_bert_specials[role];
        struct espi_added_token token = {.content = content, .bytes = strlen(content), .id = -1, .special = true};
        if (espi_tokenizer_find_model(tokenizer, content) < 0)
            return espi_fail(ctx, ESP_ERR_FORMAT, "%s: the token \"%s\" is missing", source, content);
        status = espi_tokenizer_add_added(ctx, tokenizer, source, &token);
    }
    if (status)
        return status;
    espi_tokenizer_bert_template(tokenizer, espi_tokenizer_find_model(tokenizer, espi_bert_specials[ESPI_SPECIAL_CLS]),
                                 espi_tokenizer_find_model(tokenizer, espi_bert_specials[ESPI_SPECIAL_SEP]));
    return espi_tokenizer_finish(ctx, tokenizer, source);
}

int espi_tokenizer_from_vocab(esp_context *ctx, const char *const *tokens, size_t count,
                              const struct espi_vocab_settings *settings, esp_tokenizer **out)
{
    int status = new_bert(ctx, settings, out);
    if (!status)
        status = fill_vocab(ctx, *out, tokens, count);
    if (status) {
        esp_tokenizer_free(*out);
        *out = NULL;
    }
    return status;
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

size_t esp_tokenizer_size(const esp_tokenizer *tokenizer)
{
    return tokenizer ? tokenizer->size : 0;
}

const char *esp_tokenizer_token(const esp_tokenizer *tokenizer, int32_t id)
{
    if (!tokenizer || id < 0 || (size_t)id >= tokenizer->size)
        return NULL;
    if (!tokenizer->borrowed)
        return tokenizer->tokens[id];
    uint32_t offset = tokenizer->offsets[id];
    return offset == ESPI_NO_TEXT ? NULL : tokenizer->texts + offset;
}

int32_t esp_tokenizer_id(const esp_tokenizer *tokenizer, const char *token)
{
    if (!tokenizer || !token)
        return -1;
    int32_t id = espi_tokenizer_find_model(tokenizer, token);
    for (size_t i = 0; i < tokenizer->added_count && id < 0; i++)
        if (strcmp(tokenizer->added[i].content, token) == 0)
            id = tokenizer->added[i].id;
    return id;
}

size_t esp_tokenizer_max_length(const esp_tokenizer *tokenizer)
{
    return tokenizer ? tokenizer->max_length : 0;
}

void espi_tokenizer_set_max_length(esp_tokenizer *tokenizer, size_t max_length)
{
    tokenizer->max_length = max_length;
}

const struct espi_special_ids *espi_tokenizer_special(const esp_tokenizer *tokenizer)
{
    return &tokenizer->special;
}

size_t espi_tokenizer_added(const esp_tokenizer *tokenizer, bool pair)
{
    return pair ? tokenizer->pair.special : tokenizer->single.special;
}

const char *espi_tokenizer_model(const esp_tokenizer *tokenizer)
{
    return tokenizer->model.form->type;
}

bool espi_tokenizer_marks_words(const esp_tokenizer *tokenizer)
{
    return tokenizer->model.form->model->marks_words;
}

bool espi_tokenizer_truncates_left(const esp_tokenizer *tokenizer)
{
    return tokenizer->truncate_left;
}

bool espi_tokenizer_keeps_spaces(const esp_tokenizer *tokenizer)
{
    return tokenizer->keep_spaces;
}

bool espi_tokenizer_is_special(const esp_tokenizer *tokenizer, int32_t id)
{
    for (size_t i = 0; i < tokenizer->added_count; i++)
        if (tokenizer->added[i].id == id)
            return tokenizer->added[i].special;
    return false;
}
