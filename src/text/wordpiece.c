/* SPDX-License-Identifier: Apache-2.0 */
#include "text/wordpiece.h"

#include "base/size.h"
#include "text/tokenizer_tables.h"

#include <stdlib.h>
#include <string.h>

/* Roots of the trie: every token as it is written, which is what a word can begin with; and the tokens with the prefix,
 * without it. */
enum { ROOT_START, ROOT_CONTINUE, ROOTS };

enum { MAX_WORD_CHARS = 1 << 14 };

struct wordpiece {
    const char *unk_token, *prefix;
    size_t max_word_chars;
    struct espi_trie trie; // values: ids
    int32_t unk;
    int32_t ascii_alone[128]; // id of a word of one ASCII character
};

/* ---- a word ------------------------------------------------------------------------------------------------------- */

/* Greedy longest match first; a word that is not all of tokens is unknown. */
static size_t split(esp_context *ctx, const void *self, const struct espi_word *word, struct espi_pieces *out)
{
    (void)ctx;
    const struct wordpiece *model = self;
    const unsigned char *text = word->bytes;
    int32_t *ids = out->ids;
    uint32_t *ends = out->ends;
    size_t count = 0, bytes = text ? word->count : 0, at = 0;
    if (bytes == 1 && text[0] < ESPI_COUNT(model->ascii_alone)) {
        ids[0] = model->ascii_alone[text[0]];
        ends[0] = 1;
        return 1;
    }
    for (uint32_t root = ROOT_START; at < bytes; root = ROOT_CONTINUE) {
        size_t length = espi_trie_longest(&model->trie, root, text + at, bytes - at, &ids[count]);
        if (!length)
            break;
        at += length;
        ends[count++] = (uint32_t)at;
    }
    if (count && at == bytes)
        return count;
    ids[0] = model->unk;
    ends[0] = (uint32_t)word->count;
    return 1;
}

static int32_t find(const void *self, const char *text, size_t bytes)
{
    const struct wordpiece *model = self;
    return espi_trie_find(&model->trie, ROOT_START, text, bytes);
}

/* ---- made of its tokens ------------------------------------------------------------------------------------------- */

static void note_ascii(struct wordpiece *model)
{
    for (size_t code = 0; code < ESPI_COUNT(model->ascii_alone); code++) {
        char text = (char)code;
        int32_t id = find(model, &text, 1);
        model->ascii_alone[code] = id < 0 || model->max_word_chars == 0 ? model->unk : id;
    }
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

static int build_trie(esp_context *ctx, esp_tokenizer *tokenizer, struct wordpiece *model,
                      struct espi_trie_set sets[ROOTS])
{
    struct espi_trie_set *start = &sets[ROOT_START], *inside = &sets[ROOT_CONTINUE];
    for (size_t id = 0; id < tokenizer->size; id++)
        if (tokenizer->tokens[id] && *tokenizer->tokens[id])
            start->keys[start->count++] = (struct espi_trie_key){(const unsigned char *)tokenizer->tokens[id],
                                                                 strlen(tokenizer->tokens[id]), (uint32_t)id};
    qsort(start->keys, start->count, sizeof *start->keys, espi_trie_compare);
    drop_repeated(tokenizer, start);
    size_t prefix = strlen(model->prefix);
    for (size_t i = 0; i < start->count; i++) { // what follows a common prefix is in order, too
        struct espi_trie_key key = start->keys[i];
        if (key.length > prefix && memcmp(key.bytes, model->prefix, prefix) == 0)
            inside->keys[inside->count++] = (struct espi_trie_key){key.bytes + prefix, key.length - prefix, key.value};
    }
    return espi_trie_build(ctx, &model->trie, sets, ROOTS);
}

static int index_tokens(esp_context *ctx, esp_tokenizer *tokenizer, const char *source, void *self)
{
    struct wordpiece *model = self;
    struct espi_trie_set sets[ROOTS] = {{0}};
    int status = ESP_OK;
    for (size_t i = 0; i < ROOTS; i++) {
        sets[i].keys = espi_calloc(ctx, tokenizer->model_tokens, sizeof *sets[i].keys);
        if (!sets[i].keys)
            status = ESP_ERR_MEMORY;
    }
    if (!status)
        status = build_trie(ctx, tokenizer, model, sets);
    for (size_t i = 0; i < ROOTS; i++)
        free(sets[i].keys);
    if (status)
        return status;
    model->unk = tokenizer->special.unk = find(model, model->unk_token, strlen(model->unk_token));
    status = espi_tokenizer_check_unknown(ctx, source, model->unk_token, model->unk);
    if (status)
        return status;
    tokenizer->longest_word = model->max_word_chars;
    note_ascii(model);
    return ESP_OK;
}

int espi_wordpiece_set_unknown(esp_context *ctx, esp_tokenizer *tokenizer, const char *text, size_t bytes)
{
    struct wordpiece *model = tokenizer->model.self;
    model->unk_token = espi_arena_copy(ctx, &tokenizer->arena, text, bytes);
    return model->unk_token ? ESP_OK : ESP_ERR_MEMORY;
}

static void clear(void *self)
{
    struct wordpiece *model = self;
    espi_trie_clear(&model->trie);
}

/* ---- tokenizer.json ------------------------------------------------------------------------------------------------ */

static void init(void *self)
{
    struct wordpiece *model = self;
    *model = (struct wordpiece){
        .unk_token = espi_bert_specials[ESPI_SPECIAL_UNK], .prefix = ESPI_WORDPIECE_PREFIX, .max_word_chars = 100};
}

static int read(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    struct wordpiece *model = self;
    int status = espi_tokenizer_read_text(ctx, tokenizer, json, "unk_token", &model->unk_token);
    if (!status)
        status = espi_tokenizer_read_text(ctx, tokenizer, json, "continuing_subword_prefix", &model->prefix);
    if (!status && espi_json_has(json, "max_input_chars_per_word"))
        status = espi_json_get_size(ctx, json, "max_input_chars_per_word", 0, MAX_WORD_CHARS, &model->max_word_chars);
    struct espi_json vocab = espi_json_at(json, "vocab");
    return status ? status : espi_tokenizer_read_vocabulary(ctx, tokenizer, json, &vocab);
}

static void write(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    const struct wordpiece *model = self;
    espi_put_string(w, "unk_token", model->unk_token);
    espi_put_string(w, "continuing_subword_prefix", model->prefix);
    espi_put_size(w, "max_input_chars_per_word", model->max_word_chars);
    espi_tokenizer_write_vocabulary(w, tokenizer);
}

/* ---- compiled file ------------------------------------------------------------------------------------------------- */

enum { NUMBER_UNK, NUMBER_PREFIX, NUMBER_MAX_WORD_CHARS, NUMBERS };

static int put(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    const struct wordpiece *model = self;
    record->numbers[NUMBER_MAX_WORD_CHARS] = (uint32_t)model->max_word_chars;
    espi_tables_put_array(writer, 0, model->trie.nodes, model->trie.count, sizeof *model->trie.nodes);
    int status = espi_tables_put_text(writer, model->unk_token, &record->numbers[NUMBER_UNK]);
    return status ? status : espi_tables_put_text(writer, model->prefix, &record->numbers[NUMBER_PREFIX]);
}

static int take(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    struct wordpiece *model = self;
    esp_tokenizer *tokenizer = reader->tokenizer;
    int status = espi_tables_shape(reader, record, 0, NUMBERS, 1);
    if (!status)
        status = espi_tables_text(reader, "unk_token", record->numbers[NUMBER_UNK], &model->unk_token);
    if (!status)
        status = espi_tables_text(reader, "prefix", record->numbers[NUMBER_PREFIX], &model->prefix);
    if (!status && record->numbers[NUMBER_MAX_WORD_CHARS] > MAX_WORD_CHARS)
        status = espi_tables_fail(reader, "max_word_chars", "at most ", MAX_WORD_CHARS,
                                  record->numbers[NUMBER_MAX_WORD_CHARS]);
    if (!status && tokenizer->special.unk < 0)
        status = espi_tables_fail(reader, "unknown token", "an id from ", 0, tokenizer->special.unk);
    if (!status)
        status = espi_tables_trie(reader, record, 0, "trie", tokenizer->size, &model->trie);
    if (status)
        return status;
    model->unk = tokenizer->special.unk;
    model->max_word_chars = tokenizer->longest_word = record->numbers[NUMBER_MAX_WORD_CHARS];
    note_ascii(model);
    return ESP_OK;
}

const struct espi_stage_form espi_wordpiece = {
    .place = ESPI_PLACE_MODEL,
    .kind = 1,
    .type = "WordPiece",
    .size = sizeof(struct wordpiece),
    .init = init,
    .read = read,
    .write = write,
    .put = put,
    .take = take,
    .model = &(const struct espi_model_calls){index_tokens, find, split, clear, true},
};

/* ---- decoder ------------------------------------------------------------------------------------------------------- */

struct decoder {
    const char *prefix;
    bool cleanup;
};

static void init_decoder(void *self)
{
    *(struct decoder *)self = (struct decoder){ESPI_WORDPIECE_PREFIX, true};
}

static int read_decoder(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    struct decoder *decoder = self;
    int status = espi_tokenizer_read_text(ctx, tokenizer, json, "prefix", &decoder->prefix);
    return status ? status : espi_json_get_optional_bool(ctx, json, "cleanup", &decoder->cleanup);
}

static void write_decoder(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    (void)tokenizer;
    const struct decoder *decoder = self;
    espi_put_string(w, "prefix", decoder->prefix);
    espi_put_bool(w, "cleanup", decoder->cleanup);
}

static int put_decoder(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    const struct decoder *decoder = self;
    record->flags = decoder->cleanup;
    return espi_tables_put_text(writer, decoder->prefix, &record->numbers[0]);
}

static int take_decoder(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    struct decoder *decoder = self;
    decoder->cleanup = record->flags & 1;
    int status = espi_tables_shape(reader, record, 1, 1, 0);
    return status ? status : espi_tables_text(reader, "decoder_prefix", record->numbers[0], &decoder->prefix);
}

/* What continues a word loses the prefix, anything else follows a space; spaces before punctuation are cleaned up one token
 * at a time. */
static int decode(esp_context *ctx, const void *self, const char *token, size_t bytes, bool first,
                  struct espi_string *out)
{
    const struct decoder *decoder = self;
    size_t from = out->length, prefix = strlen(decoder->prefix);
    bool continues = !first && prefix && bytes >= prefix && memcmp(token, decoder->prefix, prefix) == 0;
    int status = first || continues ? ESP_OK : espi_string_add(ctx, out, " ", 1);
    if (!status)
        status = continues ? espi_string_add(ctx, out, token + prefix, bytes - prefix)
                           : espi_string_add(ctx, out, token, bytes);
    if (!status && decoder->cleanup)
        out->length = from + espi_clean_up(out->data + from, out->length - from, true);
    return status;
}

const struct espi_stage_form espi_wordpiece_decoder = {
    .place = ESPI_PLACE_DECODER,
    .kind = 1,
    .type = "WordPiece",
    .size = sizeof(struct decoder),
    .init = init_decoder,
    .read = read_decoder,
    .write = write_decoder,
    .put = put_decoder,
    .take = take_decoder,
    .decode = decode,
};
