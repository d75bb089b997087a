/* SPDX-License-Identifier: Apache-2.0 */
#include "text/unigram.h"

#include "base/size.h"
#include "text/tokenizer_tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNKNOWN_PENALTY = 10, NO_ID = -1 };

struct unigram {
    bool byte_fallback;
    size_t unk;             // its id
    double *list;           // (count) while it is read
    size_t capacity, count; // tokens
    const double *scores;   // (count) by id
    struct espi_trie trie;  // values: ids
    double unk_score;
    int32_t byte_ids[256]; // of tokens like "<0x0A>"; -1: there is none
};

/* ---- a word ------------------------------------------------------------------------------------------------------------- */

/* The best way to what ends at a place of the word: its last token. */
struct node {
    double score;
    uint32_t begin;
    int32_t id; // NO_ID: nothing ends here
};

static inline void offer(struct node *node, double score, uint32_t begin, int32_t id)
{
    if (node->id == NO_ID || score > node->score)
        *node = (struct node){score, begin, id};
}

static size_t char_bytes(unsigned char first)
{
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* nodes: (bytes + 1), of which the first is there. A character that is no token is unknown. */
static void find_ways(const struct unigram *model, const unsigned char *text, size_t bytes, struct node *nodes)
{
    for (size_t i = 1; i <= bytes; i++)
        nodes[i].id = NO_ID;
    for (size_t at = 0, length; at < bytes; at += length) {
        double before = nodes[at].score;
        uint64_t node = model->trie.nodes[0];
        bool single = false;
        length = espi_size_min(char_bytes(text[at]), bytes - at);
        for (size_t end = at; end < bytes && espi_trie_step(&model->trie, node, text[end], &node);) {
            int32_t id = espi_trie_value(node);
            end++;
            if (id < 0)
                continue;
            offer(&nodes[end], model->scores[id] + before, (uint32_t)at, id);
            single |= end - at == length;
        }
        if (!single)
            offer(&nodes[at + length], model->unk_score + before, (uint32_t)at, (int32_t)model->unk);
    }
}

/* Tokens are found from the end on and written to the end of the arrays. */
struct backwards {
    struct espi_pieces *out;
    size_t at;
};

static void push(struct backwards *b, int32_t id, size_t end)
{
    b->out->ids[--b->at] = id;
    b->out->ends[b->at] = (uint32_t)end;
}

/* Unknown characters that follow each other: one token, or one for each byte, all at the place of the whole. */
static void push_unknown(const struct unigram *model, const unsigned char *text, size_t begin, size_t end,
                         struct backwards *b)
{
    int32_t id = espi_trie_find(&model->trie, 0, text + begin, end - begin);
    bool bytes = id < 0 && model->byte_fallback;
    for (size_t i = begin; i < end && bytes; i++)
        bytes = model->byte_ids[text[i]] >= 0;
    if (!bytes)
        push(b, id < 0 ? (int32_t)model->unk : id, end);
    for (size_t i = end; i-- > begin && bytes;)
        push(b, model->byte_ids[text[i]], end);
}

static size_t split(esp_context *ctx, const void *self, const struct espi_word *word, struct espi_pieces *out)
{
    const struct unigram *model = self;
    if (espi_grow(ctx, &out->scratch, &out->scratch_capacity, word->count + 1, sizeof(struct node)))
        return 0;
    struct node *nodes = out->scratch;
    struct backwards b = {out, word->count};
    nodes[0].score = 0;
    find_ways(model, word->bytes, word->count, nodes);
    for (size_t end = word->count, begin; end > 0; end = begin) {
        begin = nodes[end].begin;
        if ((size_t)nodes[end].id != model->unk) {
            push(&b, nodes[end].id, end);
            continue;
        }
        while (begin > 0 && (size_t)nodes[begin].id == model->unk)
            begin = nodes[begin].begin;
        push_unknown(model, word->bytes, begin, end, &b);
    }
    size_t count = word->count - b.at;
    memmove(out->ids, out->ids + b.at, count * sizeof *out->ids);
    memmove(out->ends, out->ends + b.at, count * sizeof *out->ends);
    return count;
}

static int32_t find(const void *self, const char *text, size_t bytes)
{
    return espi_trie_find(&((const struct unigram *)self)->trie, 0, text, bytes);
}

/* ---- made of its tokens ------------------------------------------------------------------------------------------------- */

/* What follows from scores and trie. */
static void note(struct unigram *model)
{
    double least = model->scores[0];
    for (size_t id = 0; id < model->count; id++)
        least = model->scores[id] < least ? model->scores[id] : least;
    model->unk_score = least - UNKNOWN_PENALTY;
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        model->byte_ids[byte] = find(model, name, (size_t)snprintf(name, sizeof name, "<0x%02X>", byte));
    }
}

/* Of two equal tokens the later counts. */
static int build_trie(esp_context *ctx, const esp_tokenizer *tokenizer, struct unigram *model,
                      struct espi_trie_set *set)
{
    size_t kept = 0;
    for (size_t id = 0; id < model->count; id++) {
        const char *text = tokenizer->tokens[id];
        if (*text)
            set->keys[set->count++] = (struct espi_trie_key){(const unsigned char *)text, strlen(text), (uint32_t)id};
    }
    qsort(set->keys, set->count, sizeof *set->keys, espi_trie_compare);
    for (size_t i = 0; i < set->count; i++) {
        struct espi_trie_key *last = kept ? &set->keys[kept - 1] : NULL;
        if (!last || espi_trie_compare(last, &set->keys[i]) != 0)
            set->keys[kept++] = set->keys[i];
        else if (set->keys[i].value > last->value)
            last->value = set->keys[i].value;
    }
    set->count = kept;
    return espi_trie_build(ctx, &model->trie, set, 1);
}

static int index_tokens(esp_context *ctx, esp_tokenizer *tokenizer, const char *source, void *self)
{
    struct unigram *model = self;
    struct espi_trie_set set = {.keys = espi_calloc(ctx, model->count, sizeof *set.keys)};
    (void)source;
    int status = set.keys ? build_trie(ctx, tokenizer, model, &set) : ESP_ERR_MEMORY;
    free(set.keys);
    if (status)
        return status;
    model->scores = model->list;
    tokenizer->special.unk = (int32_t)model->unk;
    note(model);
    return ESP_OK;
}

static void clear(void *self)
{
    struct unigram *model = self;
    espi_trie_clear(&model->trie);
    free(model->list);
}

static int add_token(esp_context *ctx, esp_tokenizer *tokenizer, const char *source, const char *text, size_t bytes,
                     double score, struct unigram *model)
{
    int status = espi_grow(ctx, &model->list, &model->capacity, model->count + 1, sizeof *model->list);
    if (!status)
        status = espi_tokenizer_add_token(ctx, tokenizer, source, text, bytes, (int64_t)model->count);
    if (!status)
        model->list[model->count++] = score;
    return status;
}

/* ---- tokenizer.json ------------------------------------------------------------------------------------------------------- */

static int read_token(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *item, struct unigram *model)
{
    const json_t *text = json_array_get(item->value, 0), *score = json_array_get(item->value, 1);
    if (json_array_size(item->value) != 2 || !json_is_string(text) || !json_is_number(score))
        return espi_json_fail(ctx, item, "expected a token and its score");
    return add_token(ctx, tokenizer, item->source, json_string_value(text), json_string_length(text),
                     json_number_value(score), model);
}

static int read(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    struct unigram *model = self;
    struct espi_json vocab = espi_json_at(json, "vocab");
    int status = espi_json_expect_array(ctx, &vocab);
    for (size_t i = 0; !status && i < espi_json_length(&vocab); i++) {
        struct espi_json item = espi_json_item(&vocab, i);
        status = read_token(ctx, tokenizer, &item, model);
    }
    if (status)
        return status;
    if (!espi_json_has(json, "unk_id")) {
        espi_json_fail(ctx, json, "Unigram without an unk_id is not supported");
        return ESP_ERR_UNSUPPORTED;
    }
    if (model->count)
        status = espi_json_get_size(ctx, json, "unk_id", 0, model->count - 1, &model->unk);
    return status ? status : espi_json_get_optional_bool(ctx, json, "byte_fallback", &model->byte_fallback);
}

static void write(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    const struct unigram *model = self;
    espi_put_size(w, "unk_id", model->unk);
    espi_put_array(w, "vocab");
    for (size_t id = 0; id < model->count; id++) {
        espi_put_array(w, NULL);
        espi_put_string(w, NULL, esp_tokenizer_token(tokenizer, (int32_t)id));
        espi_put_number(w, NULL, model->scores[id]);
        espi_put_array_end(w);
    }
    espi_put_array_end(w);
    espi_put_bool(w, "byte_fallback", model->byte_fallback);
}

/* ---- compiled file ------------------------------------------------------------------------------------------------------- */

enum { ARRAY_TRIE, ARRAY_SCORES, ARRAYS };

static int put(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    const struct unigram *model = self;
    record->flags = model->byte_fallback;
    record->numbers[0] = (uint32_t)model->unk;
    espi_tables_put_array(writer, ARRAY_TRIE, model->trie.nodes, model->trie.count, sizeof *model->trie.nodes);
    espi_tables_put_array(writer, ARRAY_SCORES, model->scores, model->count, sizeof *model->scores);
    return ESP_OK;
}

static int take(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    struct unigram *model = self;
    const void *scores = NULL;
    int status = espi_tables_shape(reader, record, 1, 1, ARRAYS);
    if (!status)
        status = espi_tables_view(reader, record, ARRAY_SCORES, "scores", sizeof(double), 1, reader->tokenizer->size,
                                  &scores, &model->count);
    if (!status)
        status = espi_tables_trie(reader, record, ARRAY_TRIE, "trie", model->count, &model->trie);
    if (status)
        return status;
    model->byte_fallback = record->flags;
    model->unk = record->numbers[0];
    model->scores = scores;
    if (model->unk >= model->count || reader->tokenizer->special.unk != (int32_t)model->unk)
        return espi_tables_fail(reader, "unknown token", "an id below ", (int64_t)model->count, (int64_t)model->unk);
    for (size_t id = 0; id < model->count; id++)
        if (!isfinite(model->scores[id]))
            return espi_fail(reader->ctx, ESP_ERR_FORMAT,
                             "%s: tokenizer: score of a token: expected a number, of id %zu", reader->source, id);
    note(model);
    return ESP_OK;
}

const struct espi_stage_form espi_unigram = {
    .place = ESPI_PLACE_MODEL,
    .kind = 3,
    .type = "Unigram",
    .size = sizeof(struct unigram),
    .read = read,
    .write = write,
    .put = put,
    .take = take,
    .model = &(const struct espi_model_calls){index_tokens, find, split, clear, false},
};
