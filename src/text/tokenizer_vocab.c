/* SPDX-License-Identifier: Apache-2.0
 * Reads vocab.txt and the files that may stand beside it: tokenizer_config.json, special_tokens_map.json,
 * added_tokens.json. */
#include "text/tokenizer_state.h"

#include "base/file.h"
#include "base/size.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The JSON files beside a vocab.txt; value NULL where there is none. */
struct side_files {
    struct espi_json config, special_map, added;
    char paths[3][ESPI_PATH_BYTES];
};

static int open_side_files(esp_context *ctx, const char *directory, struct side_files *files)
{
    static const char *const names[] = {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"};
    struct espi_json *documents[] = {&files->config, &files->special_map, &files->added};
    *files = (struct side_files){0};
    for (size_t i = 0; directory && i < ESPI_COUNT(names); i++) {
        int status = espi_path_join(ctx, files->paths[i], directory, names[i]);
        if (status)
            return status;
        if (!espi_path_exists(files->paths[i]))
            continue;
        status = espi_json_open_file(ctx, files->paths[i], documents[i]);
        if (!status)
            status = espi_json_expect_object(ctx, documents[i]);
        if (status)
            return status;
    }
    return ESP_OK;
}

static void close_side_files(struct side_files *files)
{
    espi_json_close(&files->config);
    espi_json_close(&files->special_map);
    espi_json_close(&files->added);
}

int espi_tokenizer_read_max_length(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *config)
{
    const char *key = "model_max_length";
    return espi_json_has(config, key) ? espi_json_get_limit(ctx, config, key, 1, &tokenizer->max_length) : ESP_OK;
}

static int read_config(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *config)
{
    static const char *const classes[] = {"BertTokenizer",       "DistilBertTokenizer", "ElectraTokenizer",
                                          "MobileBertTokenizer", "ConvBertTokenizer",   "SqueezeBertTokenizer"};
    const char *class = classes[0];
    int status = espi_tokenizer_read_max_length(ctx, tokenizer, config);
    if (!status && espi_json_has(config, "tokenizer_class"))
        status = espi_json_get_string(ctx, config, "tokenizer_class", &class, NULL);
    bool known = false;
    for (size_t i = 0; i < ESPI_COUNT(classes) && !status; i++) {
        size_t length = strlen(classes[i]);
        known |= strncmp(class, classes[i], length) == 0 && (!class[length] || strcmp(class + length, "Fast") == 0);
    }
    if (!status && !known)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED,
                         "%s: tokenizer_class \"%s\" is not supported with a vocab.txt, only those of BERT",
                         config->source, class);
    static const char *const names[] = {"do_lower_case", "tokenize_chinese_chars", "strip_accents",
                                        "do_basic_tokenize"};
    bool basic = true;
    bool *flags[] = {&tokenizer->options.lowercase, &tokenizer->options.handle_chinese_chars,
                     &tokenizer->options.strip_accents, &basic};
    for (size_t i = 0; i < ESPI_COUNT(names) && !status; i++)
        if (espi_json_has(config, names[i]))
            status = espi_json_get_bool(ctx, config, names[i], flags[i]);
    tokenizer->strip_accents_stated = espi_json_has(config, "strip_accents");
    if (!status && !basic)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "%s: do_basic_tokenize false is not supported", config->source);
    return status;
}

static int read_lines(esp_context *ctx, esp_tokenizer *tokenizer, const char *path)
{
    struct espi_map map;
    int status = espi_map_open(ctx, path, &map);
    if (status)
        return status;
    const char *text = (const char *)map.data;
    int64_t line = 0;
    for (size_t at = 0; at < map.bytes && !status; line++) {
        const char *end = memchr(text + at, '\n', map.bytes - at);
        size_t length = end ? (size_t)(end - text) - at : map.bytes - at, next = at + length + 1;
        if (length && text[at + length - 1] == '\r')
            length--;
        if (!length && next < map.bytes)
            status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: line %lld is empty", path, (long long)line + 1);
        else if (length) // a blank last line is no token
            status = espi_tokenizer_add_token(ctx, tokenizer, path, text + at, length, line);
        at = next;
    }
    espi_map_close(&map);
    return status ? status : espi_tokenizer_index(ctx, tokenizer, path);
}

/* ---- special and added tokens ------------------------------------------------------------------------------------ */

static const struct espi_added_token *find_added(const esp_tokenizer *tokenizer, const char *content)
{
    for (size_t i = 0; i < tokenizer->added_count; i++)
        if (strcmp(tokenizer->added[i].content, content) == 0)
            return &tokenizer->added[i];
    return NULL;
}

/* A token as these files write it: a string, or an object with flags. */
static int parse_token(esp_context *ctx, const struct espi_json *json, struct espi_added_token *token)
{
    if (json_is_string(json->value)) {
        token->content = json_string_value(json->value);
        token->bytes = json_string_length(json->value);
        return ESP_OK;
    }
    int status = espi_json_expect_object(ctx, json);
    if (!status)
        status = espi_json_get_string(ctx, json, "content", &token->content, &token->bytes);
    static const char *const names[] = {"single_word", "lstrip", "rstrip", "normalized", "special"};
    bool *flags[] = {&token->single_word, &token->lstrip, &token->rstrip, &token->normalized, &token->special};
    for (size_t i = 0; i < ESPI_COUNT(names) && !status; i++)
        if (espi_json_has(json, names[i]))
            status = espi_json_get_bool(ctx, json, names[i], flags[i]);
    return status;
}

/* added_tokens_decoder of tokenizer_config.json: {"103": {"content": "[MASK]", ...}} */
static int read_decoder_tokens(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *config)
{
    struct espi_json list = espi_json_at(config, "added_tokens_decoder");
    if (!list.value)
        return ESP_OK;
    int status = espi_json_expect_object(ctx, &list);
    if (status)
        return status;
    const char *key;
    json_t *value;
    json_object_foreach(list.value, key, value)
    {
        struct espi_json item = espi_json_at(&list, key);
        struct espi_added_token token = {.normalized = true};
        char *end;
        errno = 0;
        long id = strtol(key, &end, 10);
        if (end == key || *end || errno || id < 0 || id >= ESPI_MAX_TOKENS)
            return espi_json_fail(ctx, &list, "\"%s\": expected an id from 0 to %d", key, ESPI_MAX_TOKENS - 1);
        if (!item.value)
            return espi_json_fail(ctx, &list, "\"%s\": expected an object, found null", key);
        token.id = (int32_t)id;
        status = parse_token(ctx, &item, &token);
        if (!status)
            status = espi_tokenizer_add_added(ctx, tokenizer, config->source, &token);
        if (status)
            return status;
    }
    return ESP_OK;
}

/* added_tokens.json: {"[NEW]": 30522}, in the order of ids. */
static int read_added_file(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *added)
{
    int64_t last = -1;
    for (size_t count = espi_json_length(added); count > 0; count--) {
        const char *key, *next = NULL;
        json_t *value;
        int64_t next_id = ESPI_MAX_TOKENS;
        json_object_foreach(added->value, key, value)
        {
            int64_t id;
            if (!espi_json_is_integer(value, &id) || id < 0 || id >= ESPI_MAX_TOKENS)
                return espi_json_fail(ctx, added, "\"%s\": expected an id from 0 to %d", key, ESPI_MAX_TOKENS - 1);
            if (id > last && id < next_id) {
                next_id = id;
                next = key;
            }
        }
        if (!next)
            return espi_json_fail(ctx, added, "two tokens have the same id");
        last = next_id;
        struct espi_added_token token = {
            .content = next, .bytes = strlen(next), .id = (int32_t)next_id, .normalized = true};
        int status =
            find_added(tokenizer, next) ? ESP_OK : espi_tokenizer_add_added(ctx, tokenizer, added->source, &token);
        if (status)
            return status;
    }
    return ESP_OK;
}

/* A special token such as "cls_token": named in the map, else in the config, else `standard`. Not in the vocabulary:
 * an error when it is needed, else left out. */
static int add_special(esp_context *ctx, esp_tokenizer *tokenizer, const struct side_files *files, const char *vocab,
                       const char *key, const char *standard, bool needed, int32_t *id)
{
    struct espi_json json = espi_json_at(&files->special_map, key);
    struct espi_added_token token = {.content = standard, .bytes = strlen(standard), .id = -1, .special = true};
    if (!json.value)
        json = espi_json_at(&files->config, key);
    int status = json.value ? parse_token(ctx, &json, &token) : ESP_OK;
    if (status)
        return status;
    token.special = true;
    *id = strlen(token.content) == token.bytes ? esp_tokenizer_id(tokenizer, token.content) : -1;
    if (*id < 0)
        return needed ? espi_fail(ctx, ESP_ERR_FORMAT, "%s: the %s \"%s\" is not in the vocabulary", vocab, key,
                                  token.content)
                      : ESP_OK;
    return find_added(tokenizer, token.content) ? ESP_OK : espi_tokenizer_add_added(ctx, tokenizer, vocab, &token);
}

static int add_additional(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *document)
{
    struct espi_json list = espi_json_at(document, "additional_special_tokens");
    if (!list.value)
        return ESP_OK;
    int status = espi_json_expect_array(ctx, &list);
    for (size_t i = 0; !status && i < espi_json_length(&list); i++) {
        struct espi_json item = espi_json_item(&list, i);
        struct espi_added_token token = {.id = -1};
        status = parse_token(ctx, &item, &token);
        token.special = true;
        if (!status && !find_added(tokenizer, token.content))
            status = espi_tokenizer_add_added(ctx, tokenizer, document->source, &token);
    }
    return status;
}

static int read_unk_name(esp_context *ctx, esp_tokenizer *tokenizer, const struct side_files *files)
{
    struct espi_json json = espi_json_at(&files->special_map, "unk_token");
    struct espi_added_token token = {.content = "[UNK]", .bytes = 5};
    if (!json.value)
        json = espi_json_at(&files->config, "unk_token");
    int status = json.value ? parse_token(ctx, &json, &token) : ESP_OK;
    if (status)
        return status;
    tokenizer->unk_token = espi_arena_copy(ctx, &tokenizer->arena, token.content, token.bytes);
    return tokenizer->unk_token ? ESP_OK : ESP_ERR_MEMORY;
}

static int add_specials(esp_context *ctx, esp_tokenizer *tokenizer, const struct side_files *files, const char *vocab)
{
    struct espi_special_ids *ids = &tokenizer->special;
    const struct {
        const char *key, *standard;
        bool needed;
        int32_t *id;
    } specials[] = {
        {"unk_token", "[UNK]", true, &ids->unk},     {"sep_token", "[SEP]", true, &ids->sep},
        {"pad_token", "[PAD]", false, &ids->pad},    {"cls_token", "[CLS]", true, &ids->cls},
        {"mask_token", "[MASK]", false, &ids->mask},
    };
    int status = ESP_OK;
    for (size_t i = 0; i < ESPI_COUNT(specials) && !status; i++)
        status = add_special(ctx, tokenizer, files, vocab, specials[i].key, specials[i].standard, specials[i].needed,
                             specials[i].id);
    return status;
}

int espi_tokenizer_read_vocab(esp_context *ctx, esp_tokenizer *tokenizer, const char *path, const char *directory)
{
    struct side_files files;
    int status = open_side_files(ctx, directory, &files);
    if (!status && files.config.value)
        status = read_config(ctx, tokenizer, &files.config);
    if (!status)
        status = read_unk_name(ctx, tokenizer, &files);
    if (!status)
        status = read_lines(ctx, tokenizer, path);
    if (!status)
        status = read_decoder_tokens(ctx, tokenizer, &files.config);
    if (!status && files.added.value)
        status = read_added_file(ctx, tokenizer, &files.added);
    if (!status)
        status = add_specials(ctx, tokenizer, &files, path);
    if (!status)
        status = add_additional(ctx, tokenizer, files.special_map.value ? &files.special_map : &files.config);
    close_side_files(&files);
    if (status)
        return status;
    espi_tokenizer_bert_template(tokenizer, tokenizer->special.cls, tokenizer->special.sep);
    return espi_tokenizer_finish(ctx, tokenizer, path);
}
