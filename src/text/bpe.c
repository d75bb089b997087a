/* SPDX-License-Identifier: Apache-2.0 */
#include "text/bpe.h"

#include "base/size.h"
#include "text/byte_level.h"
#include "text/tokenizer_tables.h"

#include <stdlib.h>
#include <string.h>

/* Roots of the trie: the tokens as bytes; and, as they are written, those that stand for no bytes. */
enum { ROOT_BYTES, ROOT_OTHER, ROOTS };

/* A slot of the table of merges, found by its pair; `id` is what becomes of it, -1 in an empty slot. */
struct merge {
    int32_t left, right;
    uint32_t rank;
    int32_t id;
};

struct bpe {
    const char *unk_token; // "": none
    bool fuse_unk, ignore_merges;
    struct merge *list; // (count) while it is read, by rank
    size_t count, capacity;

    struct espi_trie trie;   // values: id · 2, + 1 when the merges make that token of its text, or they need not
    struct merge *merges;    // (slots)
    size_t slots;            // a power of two, some of them empty
    const int32_t *byte_ids; // (256) -1: unknown
    int32_t unk;
};

/* ---- a word ----------------------------------------------------------------------------------------------------------- */

static size_t slot_of(const struct bpe *model, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return (size_t)(pair * 0x9e3779b97f4a7c15u >> 32) & (model->slots - 1);
}

static const struct merge *find_merge(const struct bpe *model, int32_t left, int32_t right)
{
    for (size_t slot = slot_of(model, left, right);; slot = (slot + 1) & (model->slots - 1)) {
        const struct merge *merge = &model->merges[slot];
        if (merge->id < 0)
            return NULL;
        if (merge->left == left && merge->right == right)
            return merge;
    }
}

#define NONE UINT32_MAX

/* A part of the word; id -1: it has become part of the one before. */
struct symbol {
    int32_t id;
    uint32_t previous, next, end;
};

/* A pair that can be joined, in a heap: the earliest merge first, then the first place. */
struct candidate {
    uint32_t rank, at;
    int32_t id;
};

struct merging {
    const struct bpe *model;
    struct symbol *symbols;
    struct candidate *heap;
    size_t count;
};

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(struct merging *m, uint32_t at)
{
    const struct symbol *left = &m->symbols[at];
    const struct merge *merge = left->next == NONE ? NULL : find_merge(m->model, left->id, m->symbols[left->next].id);
    if (!merge)
        return;
    struct candidate new = {merge->rank, at, merge->id};
    size_t child = m->count++;
    for (; child && before(&new, &m->heap[(child - 1) / 2]); child = (child - 1) / 2)
        m->heap[child] = m->heap[(child - 1) / 2];
    m->heap[child] = new;
}

static struct candidate pop(struct merging *m)
{
    struct candidate top = m->heap[0], last = m->heap[--m->count];
    size_t hole = 0;
    for (size_t child; (child = 2 * hole + 1) < m->count; hole = child) {
        if (child + 1 < m->count && before(&m->heap[child + 1], &m->heap[child]))
            child++;
        if (!before(&m->heap[child], &last))
            break;
        m->heap[hole] = m->heap[child];
    }
    m->heap[hole] = last;
    return top;
}

static void join(struct merging *m, const struct candidate *top)
{
    struct symbol *left = &m->symbols[top->at];
    if (left->id < 0 || left->next == NONE)
        return;
    struct symbol *right = &m->symbols[left->next];
    const struct merge *merge = find_merge(m->model, left->id, right->id);
    if (!merge || merge->id != top->id) // one of the two has changed since
        return;
    left->id = merge->id;
    left->end = right->end;
    left->next = right->next;
    right->id = -1;
    if (left->next != NONE)
        m->symbols[left->next].previous = top->at;
    if (left->previous != NONE)
        push(m, left->previous);
    push(m, top->at);
}

/* The bytes as symbols; neighbouring unknown ones are one when they are fused. */
static uint32_t first_symbols(const struct bpe *model, const unsigned char *word, size_t bytes, struct symbol *symbols)
{
    uint32_t count = 0;
    for (size_t i = 0; i < bytes; i++) {
        int32_t id = model->byte_ids[word[i]];
        if (id < 0 && count && model->fuse_unk && symbols[count - 1].id == model->unk) {
            symbols[count - 1].end = (uint32_t)i + 1;
            continue;
        }
        symbols[count] = (struct symbol){id < 0 ? model->unk : id, count - 1, count + 1, (uint32_t)i + 1};
        count++;
    }
    symbols[0].previous = symbols[count - 1].next = NONE;
    return count;
}

/* At most three candidates a byte: one at first, two for each join. */
enum { SCRATCH = sizeof(struct symbol) + 3 * sizeof(struct candidate) };

static size_t merge_word(esp_context *ctx, const struct bpe *model, const unsigned char *word, size_t bytes,
                         struct espi_pieces *out)
{
    if (espi_grow(ctx, &out->scratch, &out->scratch_capacity, bytes, SCRATCH))
        return 0;
    struct symbol *symbols = out->scratch;
    struct merging m = {model, symbols, (struct candidate *)(void *)(symbols + bytes), 0};
    uint32_t count = first_symbols(model, word, bytes, symbols);
    for (uint32_t i = 0; i + 1 < count; i++)
        push(&m, i);
    while (m.count) {
        struct candidate top = pop(&m);
        join(&m, &top);
    }
    size_t pieces = 0;
    for (uint32_t i = 0; i != NONE; i = symbols[i].next) {
        out->ids[pieces] = symbols[i].id;
        out->ends[pieces++] = symbols[i].end;
    }
    return pieces;
}

static size_t split(esp_context *ctx, const void *self, const struct espi_word *word, struct espi_pieces *out)
{
    const struct bpe *model = self;
    int32_t value = espi_trie_find(&model->trie, ROOT_BYTES, word->bytes, word->count);
    if (value < 0 || !(value & 1))
        return merge_word(ctx, model, word->bytes, word->count, out);
    out->ids[0] = value >> 1;
    out->ends[0] = (uint32_t)word->count;
    return 1;
}

static int32_t find(const void *self, const char *text, size_t length)
{
    const struct bpe *model = self;
    unsigned char small[256], *bytes = length <= sizeof small ? small : malloc(length);
    size_t count;
    int32_t value = -1;
    if (bytes && espi_byte_level_bytes(text, length, bytes, &count))
        value = espi_trie_find(&model->trie, ROOT_BYTES, bytes, count);
    else if (bytes)
        value = espi_trie_find(&model->trie, ROOT_OTHER, text, length);
    if (bytes != small)
        free(bytes);
    return value < 0 ? -1 : value >> 1;
}

/* ---- made of its tokens and merges --------------------------------------------------------------------------------------- */

static int build_trie(esp_context *ctx, const esp_tokenizer *tokenizer, struct bpe *model, struct espi_arena *arena,
                      struct espi_trie_set sets[ROOTS])
{
    for (size_t id = 0; id < tokenizer->size; id++) {
        const char *text = tokenizer->tokens[id];
        size_t length = text ? strlen(text) : 0, count;
        if (!length)
            continue;
        unsigned char *bytes = espi_arena_alloc(ctx, arena, length, 1);
        if (!bytes)
            return ESP_ERR_MEMORY;
        struct espi_trie_key key = {(const unsigned char *)text, length, (uint32_t)id << 1};
        bool other = !espi_byte_level_bytes(text, length, bytes, &count);
        if (!other)
            key = (struct espi_trie_key){bytes, count, (uint32_t)id << 1};
        sets[other].keys[sets[other].count++] = key;
    }
    for (size_t i = 0; i < ROOTS; i++)
        qsort(sets[i].keys, sets[i].count, sizeof *sets[i].keys, espi_trie_compare);
    return espi_trie_build(ctx, &model->trie, sets, ROOTS);
}

/* Marks the tokens that the merges make of their own text: words that are such a token need no merging. */
static int mark_whole(esp_context *ctx, struct bpe *model, struct espi_trie_set *set)
{
    struct espi_pieces pieces = {0};
    int status = ESP_OK;
    for (size_t i = 0; i < set->count && !status; i++) {
        struct espi_trie_key *key = &set->keys[i];
        status = espi_pieces_reserve(ctx, &pieces, key->length);
        size_t count = status ? 0 : merge_word(ctx, model, key->bytes, key->length, &pieces);
        if (!status && !count)
            status = ESP_ERR_MEMORY;
        else if (model->ignore_merges || (count == 1 && (uint32_t)pieces.ids[0] == key->value >> 1))
            key->value |= 1;
    }
    espi_pieces_clear(&pieces);
    return status;
}

/* Whether UTF-8 has the byte. */
static bool occurs(unsigned char byte)
{
    return byte < 0xf5 && byte != 0xc0 && byte != 0xc1;
}

static int build_bytes(esp_context *ctx, esp_tokenizer *tokenizer, const char *source, struct bpe *model)
{
    int32_t *ids = espi_arena_alloc(ctx, &tokenizer->arena, 256, sizeof *ids);
    if (!ids)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < 256; i++) {
        unsigned char byte = (unsigned char)i;
        int32_t value = espi_trie_find(&model->trie, ROOT_BYTES, &byte, 1);
        ids[i] = value < 0 ? -1 : value >> 1;
        if (value < 0 && model->unk < 0 && occurs(byte))
            return espi_fail(ctx, ESP_ERR_UNSUPPORTED,
                             "%s: the vocabulary has neither a token for the byte 0x%02x nor an unknown token", source,
                             (unsigned)i);
    }
    model->byte_ids = ids;
    return ESP_OK;
}

static int build_merges(esp_context *ctx, struct bpe *model)
{
    model->slots = 4;
    while (model->slots < 2 * model->count)
        model->slots *= 2;
    model->merges = espi_calloc(ctx, model->slots, sizeof *model->merges);
    if (!model->merges)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < model->slots; i++)
        model->merges[i].id = -1;
    for (size_t i = 0; i < model->count; i++) {
        const struct merge *merge = &model->list[i];
        size_t slot = slot_of(model, merge->left, merge->right);
        while (model->merges[slot].id >= 0 &&
               (model->merges[slot].left != merge->left || model->merges[slot].right != merge->right))
            slot = (slot + 1) & (model->slots - 1);
        model->merges[slot] = *merge; // of two equal ones the later counts
    }
    return ESP_OK;
}

static int index_tokens(esp_context *ctx, esp_tokenizer *tokenizer, const char *source, void *self)
{
    struct bpe *model = self;
    struct espi_trie_set sets[ROOTS] = {{0}};
    struct espi_arena arena = {0};
    int status = ESP_OK;
    for (size_t i = 0; i < ROOTS; i++) {
        sets[i].keys = espi_calloc(ctx, tokenizer->model_tokens, sizeof *sets[i].keys);
        if (!sets[i].keys)
            status = ESP_ERR_MEMORY;
    }
    if (!status)
        status = build_trie(ctx, tokenizer, model, &arena, sets);
    model->unk = !status && *model->unk_token ? find(model, model->unk_token, strlen(model->unk_token)) : -1;
    if (!status && *model->unk_token)
        status = espi_tokenizer_check_unknown(ctx, source, model->unk_token, model->unk);
    if (!status)
        status = build_bytes(ctx, tokenizer, source, model);
    if (!status)
        status = build_merges(ctx, model);
    if (!status)
        status = mark_whole(ctx, model, &sets[ROOT_BYTES]);
    espi_trie_clear(&model->trie);
    if (!status)
        status = espi_trie_build(ctx, &model->trie, sets, ROOTS);
    for (size_t i = 0; i < ROOTS; i++)
        free(sets[i].keys);
    espi_arena_clear(&arena);
    tokenizer->special.unk = model->unk;
    return status;
}

static void clear(void *self)
{
    struct bpe *model = self;
    espi_trie_clear(&model->trie);
    free(model->merges);
    free(model->list);
}

/* ---- tokenizer.json, vocab.json and merges.txt ------------------------------------------------------------------------------ */

static void init(void *self)
{
    ((struct bpe *)self)->unk_token = "";
}

static int token_id(esp_context *ctx, const struct espi_json *vocab, const char *text, size_t bytes, int32_t *id)
{
    int64_t number;
    const json_t *value = json_object_getn(vocab->value, text, bytes);
    if (!bytes || memchr(text, 0, bytes) || !value || !espi_json_is_integer(value, &number))
        return espi_json_fail(ctx, vocab, "a merge has the token \"%.*s\", which is not in the vocabulary",
                              (int)espi_size_min(bytes, 100), text);
    *id = (int32_t)number; // a token's: it has been checked
    return ESP_OK;
}

static int add_merge(esp_context *ctx, struct bpe *model, const struct espi_json *vocab, const char *left,
                     size_t left_bytes, const char *right, size_t right_bytes)
{
    struct espi_string joined = {0};
    struct merge merge = {.rank = (uint32_t)model->count};
    int status = espi_grow(ctx, &model->list, &model->capacity, model->count + 1, sizeof merge);
    if (!status)
        status = token_id(ctx, vocab, left, left_bytes, &merge.left);
    if (!status)
        status = token_id(ctx, vocab, right, right_bytes, &merge.right);
    if (!status)
        status = espi_string_add(ctx, &joined, left, left_bytes);
    if (!status)
        status = espi_string_add(ctx, &joined, right, right_bytes);
    if (!status)
        status = token_id(ctx, vocab, joined.data, joined.length, &merge.id);
    free(joined.data);
    if (!status)
        model->list[model->count++] = merge;
    return status;
}

int espi_bpe_add_line(esp_context *ctx, void *self, const struct espi_json *vocab, const char *line, size_t bytes)
{
    struct bpe *model = self;
    const char *space = memchr(line, ' ', bytes);
    size_t left = space ? (size_t)(space - line) : 0;
    if (bytes >= 8 && memcmp(line, "#version", 8) == 0)
        return ESP_OK;
    if (!space || memchr(space + 1, ' ', bytes - left - 1))
        return espi_json_fail(ctx, vocab, "merge %zu: expected two tokens and a space between them, found \"%.*s\"",
                              model->count + 1, (int)espi_size_min(bytes, 100), line);
    return add_merge(ctx, model, vocab, line, left, space + 1, bytes - left - 1);
}

/* "a b", or ["a", "b"] */
static int read_merge(esp_context *ctx, struct bpe *model, const struct espi_json *vocab, const struct espi_json *item)
{
    const json_t *value = item->value, *left = json_array_get(value, 0), *right = json_array_get(value, 1);
    if (json_is_string(value))
        return espi_bpe_add_line(ctx, model, vocab, json_string_value(value), json_string_length(value));
    if (!json_is_string(left) || !json_is_string(right) || json_array_size(value) != 2)
        return espi_json_fail(ctx, item, "expected a merge of two tokens");
    return add_merge(ctx, model, vocab, json_string_value(left), json_string_length(left), json_string_value(right),
                     json_string_length(right));
}

/* What is found in words, not bytes. */
static int check_affixes(esp_context *ctx, const struct espi_json *json)
{
    static const char *const names[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < ESPI_COUNT(names); i++) {
        const char *text = json_string_value(json_object_get(json->value, names[i]));
        if (text && *text) {
            espi_json_fail(ctx, json, "%s \"%.40s\" is not supported, only BPE over bytes", names[i], text);
            return ESP_ERR_UNSUPPORTED;
        }
    }
    return ESP_OK;
}

static int read(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    struct bpe *model = self;
    struct espi_json vocab = espi_json_at(json, "vocab"), merges = espi_json_at(json, "merges");
    const struct espi_stages *words = &tokenizer->pre_tokenizers;
    if (!words->count || words->data[words->count - 1].form != &espi_byte_level) {
        espi_json_fail(ctx, json, "BPE is supported behind the pre-tokenizer ByteLevel only");
        return ESP_ERR_UNSUPPORTED;
    }
    int status = check_affixes(ctx, json);
    if (!status)
        status = espi_tokenizer_read_text(ctx, tokenizer, json, "unk_token", &model->unk_token);
    if (!status)
        status = espi_json_get_optional_bool(ctx, json, "fuse_unk", &model->fuse_unk);
    if (!status)
        status = espi_json_get_optional_bool(ctx, json, "ignore_merges", &model->ignore_merges);
    if (!status)
        status = espi_tokenizer_read_vocabulary(ctx, tokenizer, json, &vocab);
    if (!status)
        status = espi_json_expect_array(ctx, &merges);
    for (size_t i = 0; !status && i < espi_json_length(&merges); i++) {
        struct espi_json item = espi_json_item(&merges, i);
        status = read_merge(ctx, model, &vocab, &item);
    }
    return status;
}

static int by_rank(const void *a, const void *b)
{
    const struct merge *left = a, *right = b;
    bool empty = left->id < 0 || right->id < 0;
    return empty ? (left->id < 0) - (right->id < 0) : (left->rank > right->rank) - (left->rank < right->rank);
}

static void write(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    const struct bpe *model = self;
    struct merge *sorted = calloc(model->slots, sizeof *sorted);
    if (!sorted) {
        w->status = ESP_ERR_MEMORY;
        return;
    }
    memcpy(sorted, model->merges, model->slots * sizeof *sorted);
    qsort(sorted, model->slots, sizeof *sorted, by_rank);
    espi_put_string(w, "unk_token", *model->unk_token ? model->unk_token : NULL);
    espi_put_bool(w, "fuse_unk", model->fuse_unk);
    espi_put_bool(w, "ignore_merges", model->ignore_merges);
    espi_tokenizer_write_vocabulary(w, tokenizer);
    espi_put_array(w, "merges");
    for (size_t i = 0; i < model->slots && sorted[i].id >= 0; i++) {
        espi_put_array(w, NULL);
        espi_put_string(w, NULL, esp_tokenizer_token(tokenizer, sorted[i].left));
        espi_put_string(w, NULL, esp_tokenizer_token(tokenizer, sorted[i].right));
        espi_put_array_end(w);
    }
    espi_put_array_end(w);
    free(sorted);
}

/* ---- compiled file ------------------------------------------------------------------------------------------------- */

enum { FUSE_UNK = 1, IGNORE_MERGES = 2, ALL_FLAGS = 3 };
enum { NUMBER_UNK, NUMBER_UNK_ID, NUMBERS }; // the id + 1
enum { ARRAY_TRIE, ARRAY_MERGES, ARRAY_BYTES, ARRAYS };

static int put(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    const struct bpe *model = self;
    record->flags = (model->fuse_unk ? FUSE_UNK : 0) | (model->ignore_merges ? IGNORE_MERGES : 0);
    record->numbers[NUMBER_UNK_ID] = (uint32_t)(model->unk + 1);
    espi_tables_put_array(writer, ARRAY_TRIE, model->trie.nodes, model->trie.count, sizeof *model->trie.nodes);
    espi_tables_put_array(writer, ARRAY_MERGES, model->merges, model->slots, sizeof *model->merges);
    espi_tables_put_array(writer, ARRAY_BYTES, model->byte_ids, 256, sizeof *model->byte_ids);
    return espi_tables_put_text(writer, model->unk_token, &record->numbers[NUMBER_UNK]);
}

/* Ids that are tokens; a slot that is empty, where searches end. */
static int check(const struct espi_tables_reader *reader, const struct bpe *model)
{
    int64_t size = (int64_t)reader->tokenizer->size;
    size_t empty = 0;
    if (model->unk >= size)
        return espi_tables_fail(reader, "unknown token", "an id below ", size, model->unk);
    for (size_t i = 0; i < 256; i++)
        if (model->byte_ids[i] >= size || (model->byte_ids[i] < 0 && model->unk < 0 && occurs((unsigned char)i)))
            return espi_tables_fail(reader, "token of a byte", "an id below ", size, model->byte_ids[i]);
    for (size_t i = 0; i < model->slots; i++) {
        const struct merge *merge = &model->merges[i];
        empty += merge->id < 0;
        if (merge->id >= size ||
            (merge->id >= 0 && (merge->left < 0 || merge->left >= size || merge->right < 0 || merge->right >= size)))
            return espi_tables_fail(reader, "merge", "ids below ", size, merge->id);
    }
    if (!empty || model->slots & (model->slots - 1))
        return espi_tables_fail(reader, "slots of merges", "a power of two and empty ones, at least ", 1,
                                (int64_t)empty);
    return ESP_OK;
}

static int take(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    struct bpe *model = self;
    const void *merges = NULL, *bytes = NULL;
    size_t count;
    int status = espi_tables_shape(reader, record, ALL_FLAGS, NUMBERS, ARRAYS);
    if (!status)
        status = espi_tables_text(reader, "unk_token", record->numbers[NUMBER_UNK], &model->unk_token);
    if (!status)
        status = espi_tables_trie(reader, record, ARRAY_TRIE, "trie", 2 * reader->tokenizer->size, &model->trie);
    if (!status)
        status = espi_tables_view(reader, record, ARRAY_MERGES, "merges", sizeof(struct merge), 2, INT32_MAX, &merges,
                                  &model->slots);
    if (!status)
        status =
            espi_tables_view(reader, record, ARRAY_BYTES, "tokens of bytes", sizeof(int32_t), 256, 256, &bytes, &count);
    if (status)
        return status;
    model->fuse_unk = record->flags & FUSE_UNK;
    model->ignore_merges = record->flags & IGNORE_MERGES;
    model->unk = (int32_t)(record->numbers[NUMBER_UNK_ID] - 1);
    model->merges = (struct merge *)(uintptr_t)merges;
    model->byte_ids = bytes;
    return check(reader, model);
}

const struct espi_stage_form espi_bpe = {
    .place = ESPI_PLACE_MODEL,
    .kind = 2,
    .type = "BPE",
    .size = sizeof(struct bpe),
    .init = init,
    .read = read,
    .write = write,
    .put = put,
    .take = take,
    .model = &(const struct espi_model_calls){index_tokens, find, split, clear, false},
};
