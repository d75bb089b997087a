/* SPDX-License-Identifier: Apache-2.0
 * Added and special tokens as the files beside a vocabulary name them. */
#include "text/tokenizer_files.h"

#include "base/size.h"
#include "text/wordpiece.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct espi_added_token *find_added(esp_tokenizer *tokenizer, const char *content)
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
    } else {
        int status = espi_json_expect_object(ctx, json);
        if (!status)
            status = espi_json_get_string(ctx, json, "content", &token->content, &token->bytes);
        static const char *const names[] = {"single_word", "lstrip", "rstrip", "normalized", "special"};
        bool *flags[] = {&token->single_word, &token->lstrip, &token->rstrip, &token->normalized, &token->special};
        for (size_t i = 0; i < ESPI_COUNT(names) && !status; i++)
            status = espi_json_get_optional_bool(ctx, json, names[i], flags[i]);
        if (status)
            return status;
    }
    return token->bytes && strlen(token->content) == token->bytes
               ? ESP_OK
               : espi_json_fail(ctx, json, "a token is empty or has a zero byte");
}

/* ---- special tokens by role --------------------------------------------------------------------------------------- */

const char *const espi_bert_specials[ESPI_SPECIAL_ROLES] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

const char *const espi_roberta_specials[ESPI_SPECIAL_ROLES] = {"<pad>", "<unk>", "<s>", "</s>", "<mask>"};

/* In the order in which transformers adds them. */
static const struct named_role {
    const char *key;
    int role;    // -1: nothing here asks for it
    bool needed; // by the template of a vocab.txt
} roles[] = {
    {"bos_token", -1, false},
    {"eos_token", -1, false},
    {"unk_token", ESPI_SPECIAL_UNK, true},
    {"sep_token", ESPI_SPECIAL_SEP, true},
    {"pad_token", ESPI_SPECIAL_PAD, false},
    {"cls_token", ESPI_SPECIAL_CLS, true},
    {"mask_token", ESPI_SPECIAL_MASK, false},
};

/* The file that has the last word on a key: special_tokens_map.json, when it is looked at. */
static struct espi_json named_token(const struct espi_tokenizer_files *files, const char *key)
{
    struct espi_json json = espi_json_at(&files->special_map, key);
    return json.value ? json : espi_json_at(&files->config, key);
}

/* *stated: a file names it; content NULL: neither a file nor the class does. */
static int read_role(esp_context *ctx, const struct espi_tokenizer_files *files, const struct named_role *role,
                     const char *const *standards, struct espi_added_token *token, bool *stated)
{
    struct espi_json json = named_token(files, role->key);
    *token = (struct espi_added_token){.id = -1, .special = true};
    *stated = json.value;
    bool mask = role->role == ESPI_SPECIAL_MASK, plain = !json_is_object(json.value);
    int status = json.value ? parse_token(ctx, &json, token) : ESP_OK;
    token->special = true;
    if (!json.value && standards && role->role >= 0) {
        token->content = standards[role->role];
        token->bytes = strlen(token->content);
    }
    token->lstrip |= plain && mask && files->mask_takes_space;
    token->normalized |=
        plain && ((mask && files->mask_normalized) || (role->role == ESPI_SPECIAL_UNK && files->unk_normalized));
    return status;
}

int espi_tokenizer_files_unknown(esp_context *ctx, const struct espi_tokenizer_files *files, esp_tokenizer *tokenizer)
{
    static const struct named_role unknown = {"unk_token", ESPI_SPECIAL_UNK, true};
    struct espi_added_token token;
    bool stated;
    int status = read_role(ctx, files, &unknown, espi_bert_specials, &token, &stated);
    return status ? status : espi_wordpiece_set_unknown(ctx, tokenizer, token.content, token.bytes);
}

/* A token that is there stays as it is, but is special. One that a file names and that is nowhere gets an id of its own,
 * as in transformers; a standard one is left out. */
static int add_special(esp_context *ctx, esp_tokenizer *tokenizer, const char *source,
                       const struct espi_added_token *token, bool stated)
{
    struct espi_added_token *there = find_added(tokenizer, token->content);
    if (there) {
        there->special = true;
        return ESP_OK;
    }
    if (!stated && esp_tokenizer_id(tokenizer, token->content) < 0)
        return ESP_OK;
    return espi_tokenizer_add_added(ctx, tokenizer, source, token);
}

static int add_roles(esp_context *ctx, const struct espi_tokenizer_files *files, const char *source, bool vocab,
                     esp_tokenizer *tokenizer)
{
    const char *const *standards = files->standards       ? files->standards
                                   : vocab || files->bert ? espi_bert_specials
                                                          : NULL;
    for (size_t i = 0; i < ESPI_COUNT(roles); i++) {
        struct espi_added_token token;
        bool stated;
        int status = read_role(ctx, files, &roles[i], standards, &token, &stated);
        if (status)
            return status;
        if (!token.content)
            continue;
        if (vocab && roles[i].needed && esp_tokenizer_id(tokenizer, token.content) < 0)
            return espi_fail(ctx, ESP_ERR_FORMAT, "%s: the %s \"%s\" is not in the vocabulary", source, roles[i].key,
                             token.content);
        status = add_special(ctx, tokenizer, source, &token, stated || files->adds_standards);
        if (status)
            return status;
        if (files->adds_standards) // a piece of the user, perhaps
            find_added(tokenizer, token.content)->lstrip |= token.lstrip;
        if (roles[i].role >= 0 && roles[i].role != ESPI_SPECIAL_UNK) // the unknown token is the model's
            tokenizer->special.of_role[roles[i].role] = esp_tokenizer_id(tokenizer, token.content);
    }
    return ESP_OK;
}

/* ---- further special tokens --------------------------------------------------------------------------------------- */

static int add_one_more(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *item)
{
    struct espi_added_token token = {.id = -1};
    int status = parse_token(ctx, item, &token);
    token.special = true;
    return status ? status : add_special(ctx, tokenizer, item->source, &token, true);
}

/* A list of tokens, or an object that gives them names. */
static int add_more(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *document, const char *key)
{
    struct espi_json list = espi_json_at(document, key);
    int status = ESP_OK;
    if (!list.value)
        return ESP_OK;
    if (!json_is_object(list.value)) {
        status = espi_json_expect_array(ctx, &list);
        for (size_t i = 0; !status && i < espi_json_length(&list); i++) {
            struct espi_json item = espi_json_item(&list, i);
            status = add_one_more(ctx, tokenizer, &item);
        }
        return status;
    }
    const char *name;
    json_t *value;
    json_object_foreach(list.value, name, value)
    {
        struct espi_json item = espi_json_at(&list, name);
        if (!status && item.value)
            status = add_one_more(ctx, tokenizer, &item);
    }
    return status;
}

/* ---- added tokens ------------------------------------------------------------------------------------------------- */

/* The id of a token that is there already is the vocabulary's. `over`: its flags are those of this file. */
static int add_listed(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *where, bool over,
                      struct espi_added_token *token)
{
    struct espi_added_token *there = find_added(tokenizer, token->content);
    int32_t id = esp_tokenizer_id(tokenizer, token->content);
    if (id >= 0 && id != token->id) {
        espi_json_warn(ctx, where, "\"%s\" has the id %d here, but %d in the vocabulary, which counts", token->content,
                       (int)token->id, (int)id);
        token->id = id;
    }
    if (!there)
        return espi_tokenizer_add_added(ctx, tokenizer, where->source, token);
    if (over) {
        token->content = there->content;
        *there = *token;
    }
    return ESP_OK;
}

/* An item of added_tokens_decoder: "103": {"content": ..., ...} */
static int read_listed(esp_context *ctx, const struct espi_json *list, const char *key, struct espi_added_token *token)
{
    struct espi_json item = espi_json_at(list, key);
    char *end;
    errno = 0;
    long id = strtol(key, &end, 10);
    if (end == key || *end || errno || id < 0 || id >= ESPI_MAX_TOKENS)
        return espi_json_fail(ctx, list, "\"%s\": expected an id from 0 to %d", key, ESPI_MAX_TOKENS - 1);
    if (!item.value)
        return espi_json_fail(ctx, list, "\"%s\": expected an object, found null", key);
    *token = (struct espi_added_token){.normalized = true, .id = (int32_t)id};
    int status = parse_token(ctx, &item, token);
    if (!status && json_is_object(item.value) && !espi_json_has(&item, "normalized"))
        token->normalized = !token->special;
    if (!status && json_is_object(item.value))
        status = espi_members_check(ctx, &item, &espi_added_token_members, NULL);
    return status;
}

static bool lists(const struct espi_json *document, const char *content)
{
    struct espi_json list = espi_json_at(document, "additional_special_tokens");
    for (size_t i = 0; i < json_array_size(list.value); i++) {
        const json_t *item = json_array_get(list.value, i);
        const char *text = json_string_value(json_is_object(item) ? json_object_get(item, "content") : item);
        if (text && strcmp(text, content) == 0)
            return true;
    }
    return false;
}

static int is_named_special(esp_context *ctx, const struct espi_tokenizer_files *files, const char *content,
                            bool *special)
{
    *special = lists(&files->config, content) || lists(&files->special_map, content);
    for (size_t i = 0; i < ESPI_COUNT(roles) && !*special; i++) {
        struct espi_added_token role;
        bool stated;
        int status = read_role(ctx, files, &roles[i], espi_bert_specials, &role, &stated);
        if (status)
            return status;
        *special = role.content && strcmp(role.content, content) == 0;
    }
    return ESP_OK;
}

/* An item of added_tokens.json: "[NEW]": 30522 */
static int read_filed(esp_context *ctx, const struct espi_tokenizer_files *files, const char *key,
                      struct espi_added_token *token)
{
    int64_t id;
    bool special;
    if (!espi_json_is_integer(json_object_get(files->added.value, key), &id) || id < 0 || id >= ESPI_MAX_TOKENS)
        return espi_json_fail(ctx, &files->added, "\"%s\": expected an id from 0 to %d", key, ESPI_MAX_TOKENS - 1);
    int status = is_named_special(ctx, files, key, &special);
    *token = (struct espi_added_token){
        .content = key, .bytes = strlen(key), .id = (int32_t)id, .normalized = !special, .special = special};
    return status;
}

static int by_id(const void *a, const void *b)
{
    const struct espi_added_token *left = a, *right = b;
    return (left->id > right->id) - (left->id < right->id);
}

/* Adds the tokens of a file in the order of their ids, as each new one takes the next id. */
static int add_in_order(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *where, bool over,
                        struct espi_added_token *tokens, size_t count)
{
    int status = ESP_OK;
    qsort(tokens, count, sizeof *tokens, by_id);
    for (size_t i = 0; i < count && !status; i++) {
        if (i && tokens[i].id == tokens[i - 1].id)
            return espi_json_fail(ctx, where, "\"%s\" and \"%s\" have the same id %d", tokens[i - 1].content,
                                  tokens[i].content, (int)tokens[i].id);
        status = add_listed(ctx, tokenizer, where, over, &tokens[i]);
    }
    return status;
}

/* added_tokens_decoder of the config, else added_tokens.json. */
static int add_files_tokens(esp_context *ctx, const struct espi_tokenizer_files *files, esp_tokenizer *tokenizer)
{
    struct espi_json list = espi_json_at(&files->config, "added_tokens_decoder");
    bool filed = !list.value;
    const struct espi_json *where = filed ? &files->added : &list;
    if (!where->value)
        return ESP_OK;
    int status = espi_json_expect_object(ctx, where);
    if (status)
        return status;
    size_t count = 0;
    struct espi_added_token *tokens = espi_calloc(ctx, espi_json_length(where) + 1, sizeof *tokens);
    if (!tokens)
        return ESP_ERR_MEMORY;
    const char *key;
    json_t *value;
    json_object_foreach(where->value, key, value)
    {
        struct espi_added_token *token = &tokens[count++];
        if (!status)
            status = filed ? read_filed(ctx, files, key, token) : read_listed(ctx, where, key, token);
    }
    if (!status)
        status = add_in_order(ctx, tokenizer, where, !filed, tokens, count);
    free(tokens);
    return status;
}

int espi_tokenizer_files_tokens(esp_context *ctx, const struct espi_tokenizer_files *files, const char *source,
                                bool vocab, esp_tokenizer *tokenizer)
{
    int status = add_files_tokens(ctx, files, tokenizer);
    if (!status)
        status = add_roles(ctx, files, source, vocab, tokenizer);
    if (!status)
        status = add_more(ctx, tokenizer, &files->config, "additional_special_tokens");
    if (!status)
        status = add_more(ctx, tokenizer, &files->config, "extra_special_tokens");
    return status ? status : add_more(ctx, tokenizer, &files->special_map, "additional_special_tokens");
}
