/* SPDX-License-Identifier: Apache-2.0
 * A tokenizer: opened, asked, released. */
#include "text/tokenizer_files.h"

#include "base/file.h"
#include "base/floats.h"
#include "base/size.h"
#include "text/encoder_folder.h"

#include <stdlib.h>
#include <string.h>

/* ---- building ---------------------------------------------------------------------------------------------------- */

int espi_tokenizer_new(esp_context *ctx, esp_tokenizer **out)
{
    esp_tokenizer *tokenizer = espi_calloc(ctx, 1, sizeof *tokenizer);
    *out = tokenizer;
    if (!tokenizer)
        return ESP_ERR_MEMORY;
    tokenizer->options = (struct espi_normalizer_options){true, true, true, true};
    tokenizer->unk_token = "[UNK]";
    tokenizer->prefix = tokenizer->decoder_prefix = "##";
    tokenizer->prefix_bytes = 2;
    tokenizer->max_word_chars = 100;
    tokenizer->special = (struct espi_special_ids){-1, -1, -1, -1, -1};
    tokenizer->max_length = SIZE_MAX;
    tokenizer->cleanup = tokenizer->has_decoder = true;
    tokenizer->raw_only_first = -1;
    return ESP_OK;
}

void esp_tokenizer_free(esp_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    if (!tokenizer->borrowed) {
        espi_normalizer_clear(&tokenizer->normalizer);
        espi_trie_clear(&tokenizer->trie);
        espi_trie_clear(&tokenizer->added_trie);
    }
    espi_arena_clear(&tokenizer->arena);
    free(tokenizer->tokens);
    free(tokenizer->added);
    free(tokenizer);
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

/* Of two equal tokens the later one, in the order of ids, is the token; the other id has no text. */
static void drop_repeated(esp_tokenizer *tokenizer, struct espi_trie_set *sorted)
{
    size_t kept = 0;
    for (size_t i = 0; i < sorted->count; i++) {
        struct espi_trie_key *key = &sorted->keys[i], *last = kept ? &sorted->keys[kept - 1] : NULL;
        if (!last || espi_trie_compare(last, key) != 0) {
            sorted->keys[kept++] = *key;
            continue;
        }
        uint32_t earlier = last->value < key->value ? last->value : key->value;
        if (last->value == earlier)
            *last = *key;
        tokenizer->tokens[earlier] = NULL;
        tokenizer->model_tokens--;
    }
    sorted->count = kept;
}

static int build_trie(esp_context *ctx, esp_tokenizer *tokenizer, struct espi_trie_set sets[ESPI_MODEL_ROOTS])
{
    struct espi_trie_set *start = &sets[ESPI_ROOT_START], *inside = &sets[ESPI_ROOT_CONTINUE];
    for (size_t id = 0; id < tokenizer->size; id++)
        if (tokenizer->tokens[id] && *tokenizer->tokens[id])
            start->keys[start->count++] = (struct espi_trie_key){(const unsigned char *)tokenizer->tokens[id],
                                                                 strlen(tokenizer->tokens[id]), (uint32_t)id};
    qsort(start->keys, start->count, sizeof *start->keys, espi_trie_compare);
    drop_repeated(tokenizer, start);
    size_t prefix = tokenizer->prefix_bytes;
    for (size_t i = 0; i < start->count; i++) { // what follows a common prefix is in order, too
        struct espi_trie_key key = start->keys[i];
        if (key.length > prefix && memcmp(key.bytes, tokenizer->prefix, prefix) == 0)
            inside->keys[inside->count++] = (struct espi_trie_key){key.bytes + prefix, key.length - prefix, key.value};
    }
    return espi_trie_build(ctx, &tokenizer->trie, sets, ESPI_MODEL_ROOTS);
}

static int32_t find_model_token(const esp_tokenizer *tokenizer, const char *text)
{
    return espi_trie_find(&tokenizer->trie, ESPI_ROOT_START, text, strlen(text));
}

int espi_tokenizer_index(esp_context *ctx, esp_tokenizer *tokenizer, const char *source)
{
    if (!tokenizer->model_tokens)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: the vocabulary is empty", source);
    struct espi_trie_set sets[ESPI_MODEL_ROOTS] = {{0}};
    int status = ESP_OK;
    for (size_t i = 0; i < ESPI_MODEL_ROOTS; i++) {
        sets[i].keys = espi_calloc(ctx, tokenizer->model_tokens, sizeof *sets[i].keys);
        if (!sets[i].keys)
            status = ESP_ERR_MEMORY;
    }
    if (!status)
        status = build_trie(ctx, tokenizer, sets);
    for (size_t i = 0; i < ESPI_MODEL_ROOTS; i++)
        free(sets[i].keys);
    if (status)
        return status;
    tokenizer->special.unk = find_model_token(tokenizer, tokenizer->unk_token);
    if (tokenizer->special.unk < 0)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: the unknown token \"%s\" is not in the vocabulary", source,
                         tokenizer->unk_token);
    return ESP_OK;
}

static bool is_taken(const esp_tokenizer *tokenizer, int64_t id)
{
    return (size_t)id < tokenizer->size && tokenizer->tokens[id];
}

/* The id the peer gives an added token: the model's, else one behind all others by their number. Where ids have gaps, that
 * may be another token's: then the one that is stated, or a free one. */
static int64_t next_added_id(const esp_tokenizer *tokenizer, const char *content, int64_t stated)
{
    int64_t id = find_model_token(tokenizer, content), next = (int64_t)tokenizer->model_tokens;
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
    if (find_model_token(tokenizer, added.content) < 0) {
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

void espi_tokenizer_note_ascii(esp_tokenizer *tokenizer)
{
    for (size_t code = 0; code < ESPI_COUNT(tokenizer->ascii_alone); code++) {
        char text = (char)code;
        int32_t id = espi_trie_find(&tokenizer->trie, ESPI_ROOT_START, &text, 1);
        tokenizer->ascii_alone[code] = id < 0 || tokenizer->max_word_chars == 0 ? tokenizer->special.unk : id;
    }
}

int espi_tokenizer_finish(esp_context *ctx, esp_tokenizer *tokenizer, const char *source)
{
    if (!tokenizer->strip_accents_stated)
        tokenizer->options.strip_accents = tokenizer->options.lowercase;
    int status = espi_normalizer_init(ctx, &tokenizer->normalizer, &tokenizer->options);
    if (!status)
        status = espi_added_index(ctx, tokenizer, source);
    if (status)
        return status;
    espi_tokenizer_note_ascii(tokenizer);
    struct espi_special_ids *special = &tokenizer->special;
    int32_t *ids[] = {&special->pad, &special->cls, &special->sep, &special->mask};
    static const char *const names[] = {"[PAD]", "[CLS]", "[SEP]", "[MASK]"};
    for (size_t i = 0; i < ESPI_COUNT(ids); i++)
        if (*ids[i] < 0)
            *ids[i] = esp_tokenizer_id(tokenizer, names[i]);
    return ESP_OK;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static int read_json(esp_context *ctx, esp_tokenizer *tokenizer, const char *path,
                     const struct espi_tokenizer_files *files)
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

static int read_vocab(esp_context *ctx, esp_tokenizer *tokenizer, const char *path,
                      const struct espi_tokenizer_files *files)
{
    int status = espi_tokenizer_files_options(ctx, files, tokenizer);
    if (!status)
        status = espi_tokenizer_files_unknown(ctx, files, tokenizer);
    if (!status)
        status = espi_tokenizer_read_vocab(ctx, tokenizer, path);
    if (!status)
        status = espi_tokenizer_files_tokens(ctx, files, path, true, tokenizer);
    if (!status)
        espi_tokenizer_bert_template(tokenizer, tokenizer->special.cls, tokenizer->special.sep);
    return status;
}

/* `directory`: of the files beside it; NULL: they are not looked at. */
static int read_all(esp_context *ctx, esp_tokenizer *tokenizer, const char *path, bool json, const char *directory)
{
    struct espi_tokenizer_files files;
    int status = espi_tokenizer_files_open(ctx, directory, &files);
    if (!status)
        status = json ? read_json(ctx, tokenizer, path, &files) : read_vocab(ctx, tokenizer, path, &files);
    if (!status)
        status = espi_tokenizer_files_settings(ctx, &files, tokenizer);
    espi_tokenizer_files_close(&files);
    return status ? status : espi_tokenizer_finish(ctx, tokenizer, path);
}

static int open_directory(esp_context *ctx, esp_tokenizer *tokenizer, const char *model)
{
    char directory[ESPI_PATH_BYTES], path[ESPI_PATH_BYTES];
    int status = espi_encoder_folder(ctx, model, directory);
    if (!status)
        status = espi_path_join(ctx, path, directory, "tokenizer.json");
    int found = status ? status : espi_path_find(ctx, path);
    bool json = found > 0;
    if (!found && !(found = espi_path_join(ctx, path, directory, "vocab.txt")))
        found = espi_path_find(ctx, path);
    if (found < 0)
        return found;
    if (!found)
        return espi_fail(ctx, ESP_ERR_NOT_FOUND, "%s: neither tokenizer.json nor vocab.txt is there", directory);
    return read_all(ctx, tokenizer, path, json, directory);
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
    return status ? status : read_all(ctx, tokenizer, path, json, NULL);
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

int espi_tokenizer_from_vocab(esp_context *ctx, const char *const *tokens, size_t count,
                              const struct espi_vocab_settings *settings, esp_tokenizer **out)
{
    static const char *const specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    static const char source[] = "vocabulary";
    esp_tokenizer *tokenizer;
    *out = NULL;
    int status = espi_tokenizer_new(ctx, &tokenizer);
    if (status)
        return status;
    tokenizer->options.lowercase = settings->lowercase;
    tokenizer->strip_accents_stated = settings->strip_accents >= 0;
    tokenizer->options.strip_accents = settings->strip_accents > 0;
    tokenizer->max_length = settings->max_length;
    for (size_t i = 0; i < count && !status; i++)
        status = espi_tokenizer_add_token(ctx, tokenizer, source, tokens[i], strlen(tokens[i]), (int64_t)i);
    if (!status)
        status = espi_tokenizer_index(ctx, tokenizer, source);
    for (size_t i = 0; i < ESPI_COUNT(specials) && !status; i++) {
        struct espi_added_token token = {
            .content = specials[i], .bytes = strlen(specials[i]), .id = -1, .special = true};
        if (find_model_token(tokenizer, specials[i]) < 0)
            status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: the token \"%s\" is missing", source, specials[i]);
        else
            status = espi_tokenizer_add_added(ctx, tokenizer, source, &token);
    }
    if (!status) {
        espi_tokenizer_bert_template(tokenizer, find_model_token(tokenizer, "[CLS]"),
                                     find_model_token(tokenizer, "[SEP]"));
        status = espi_tokenizer_finish(ctx, tokenizer, source);
    }
    if (status)
        esp_tokenizer_free(tokenizer);
    else
        *out = tokenizer;
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
    int32_t id = find_model_token(tokenizer, token);
    for (size_t i = 0; i < tokenizer->added_count && id < 0; i++)
        if (strcmp(tokenizer->added[i].content, token) == 0)
            id = tokenizer->added[i].id;
    return id;
}

size_t esp_tokenizer_max_length(const esp_tokenizer *tokenizer)
{
    return tokenizer ? tokenizer->max_length : 0;
}

const struct espi_special_ids *espi_tokenizer_special(const esp_tokenizer *tokenizer)
{
    return &tokenizer->special;
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
