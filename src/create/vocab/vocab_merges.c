/* SPDX-License-Identifier: Apache-2.0 */
#include "create/vocab/vocab_merges.h"

#include "base/memory.h"
#include "base/size.h"

#include <assert.h>
#include <stdlib.h>

struct word {
    size_t begin; // in symbols
    uint32_t length;
    uint64_t count;
};

/* A pair of symbols, its exact count, and the words it may stand in (some perhaps twice, or no longer). */
struct pair {
    uint32_t left, right;
    uint64_t count;
    uint32_t *words; // (word_count)
    size_t word_count, word_capacity;
    bool touched; // its count has grown since it was last put into the heap
};

struct heap_entry {
    uint64_t count; // when it was put there; the pair's own may have shrunk since
    uint32_t pair, left, right;
};

struct espi_merges {
    uint32_t *symbols; // of all words
    size_t symbol_count, symbol_capacity;
    struct word *words;
    size_t word_count, word_capacity;

    struct pair *pairs;
    size_t pair_count, pair_capacity;
    uint32_t *slots;   // (slot_count) hash table: pair number + 1, 0 where empty
    size_t slot_count; // a power of two

    struct heap_entry *heap;
    size_t heap_count, heap_capacity;
    uint32_t *touched; // pairs to put into the heap
    size_t touched_count, touched_capacity;
};

int espi_merges_new(esp_context *ctx, struct espi_merges **out)
{
    *out = espi_calloc(ctx, 1, sizeof **out);
    return *out ? ESP_OK : ESP_ERR_MEMORY;
}

void espi_merges_free(struct espi_merges *merges)
{
    if (!merges)
        return;
    for (size_t i = 0; i < merges->pair_count; i++)
        free(merges->pairs[i].words);
    free(merges->symbols);
    free(merges->words);
    free(merges->pairs);
    free(merges->slots);
    free(merges->heap);
    free(merges->touched);
    free(merges);
}

/* ---- pairs ------------------------------------------------------------------------------------------------------- */

static size_t hash_pair(uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    return (size_t)(key ^ key >> 32);
}

static size_t find_slot(const struct espi_merges *merges, uint32_t left, uint32_t right)
{
    size_t mask = merges->slot_count - 1, slot = hash_pair(left, right) & mask;
    for (; merges->slots[slot]; slot = (slot + 1) & mask) {
        const struct pair *pair = &merges->pairs[merges->slots[slot] - 1];
        if (pair->left == left && pair->right == right)
            break;
    }
    return slot;
}

static int grow_slots(esp_context *ctx, struct espi_merges *merges)
{
    if (2 * (merges->pair_count + 1) <= merges->slot_count)
        return ESP_OK;
    size_t count = espi_size_max(1 << 12, 2 * merges->slot_count);
    uint32_t *slots = espi_calloc(ctx, count, sizeof *slots);
    if (!slots)
        return ESP_ERR_MEMORY;
    free(merges->slots);
    merges->slots = slots;
    merges->slot_count = count;
    for (size_t i = 0; i < merges->pair_count; i++)
        slots[find_slot(merges, merges->pairs[i].left, merges->pairs[i].right)] = (uint32_t)i + 1;
    return ESP_OK;
}

/* The pair's number; a new pair has count 0. */
static int get_pair(esp_context *ctx, struct espi_merges *merges, uint32_t left, uint32_t right, uint32_t *number)
{
    int status = grow_slots(ctx, merges);
    if (status)
        return status;
    size_t slot = find_slot(merges, left, right);
    if (!merges->slots[slot]) {
        if (merges->pair_count == UINT32_MAX - 1)
            return espi_fail(ctx, ESP_ERR_LIMIT, "too many pairs of symbols");
        status = espi_grow(ctx, &merges->pairs, &merges->pair_capacity, merges->pair_count + 1, sizeof *merges->pairs);
        if (status)
            return status;
        merges->pairs[merges->pair_count++] = (struct pair){.left = left, .right = right};
        merges->slots[slot] = (uint32_t)merges->pair_count;
    }
    *number = merges->slots[slot] - 1;
    return ESP_OK;
}

/* The pair stands once more in the word. */
static int gain(esp_context *ctx, struct espi_merges *merges, uint32_t left, uint32_t right, uint32_t word)
{
    uint32_t number = 0;
    int status = get_pair(ctx, merges, left, right, &number);
    if (status)
        return status;
    struct pair *pair = &merges->pairs[number];
    pair->count += merges->words[word].count;
    if (!pair->word_count || pair->words[pair->word_count - 1] != word) {
        status = espi_grow(ctx, &pair->words, &pair->word_capacity, pair->word_count + 1, sizeof *pair->words);
        if (status)
            return status;
        pair->words[pair->word_count++] = word;
    }
    if (pair->touched)
        return ESP_OK;
    status =
        espi_grow(ctx, &merges->touched, &merges->touched_capacity, merges->touched_count + 1, sizeof *merges->touched);
    if (status)
        return status;
    pair->touched = true;
    merges->touched[merges->touched_count++] = number;
    return ESP_OK;
}

static void lose(struct espi_merges *merges, uint32_t left, uint32_t right, uint32_t word)
{
    size_t slot = find_slot(merges, left, right);
    assert(merges->slots[slot]);
    struct pair *pair = &merges->pairs[merges->slots[slot] - 1];
    assert(pair->count >= merges->words[word].count);
    pair->count -= merges->words[word].count;
}

int espi_merges_add_word(esp_context *ctx, struct espi_merges *merges, const uint32_t *symbols, size_t length,
                         uint64_t count)
{
    if (length > UINT32_MAX || merges->word_count == UINT32_MAX)
        return espi_fail(ctx, ESP_ERR_LIMIT, "too many words");
    int status = espi_grow(ctx, &merges->symbols, &merges->symbol_capacity, merges->symbol_count + length,
                           sizeof *merges->symbols);
    if (!status)
        status = espi_grow(ctx, &merges->words, &merges->word_capacity, merges->word_count + 1, sizeof *merges->words);
    if (status)
        return status;
    uint32_t word = (uint32_t)merges->word_count++;
    merges->words[word] = (struct word){merges->symbol_count, (uint32_t)length, count};
    for (size_t i = 0; i < length; i++)
        merges->symbols[merges->symbol_count++] = symbols[i];
    for (size_t i = 1; i < length && !status; i++)
        status = gain(ctx, merges, symbols[i - 1], symbols[i], word);
    return status;
}

/* ---- heap: the greatest count first, then the smallest pair ------------------------------------------------------- */

static bool goes_before(const struct heap_entry *a, const struct heap_entry *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    return a->left != b->left ? a->left < b->left : a->right < b->right;
}

static int push_heap(esp_context *ctx, struct espi_merges *merges, uint32_t number)
{
    const struct pair *pair = &merges->pairs[number];
    struct heap_entry entry = {pair->count, number, pair->left, pair->right};
    int status = espi_grow(ctx, &merges->heap, &merges->heap_capacity, merges->heap_count + 1, sizeof *merges->heap);
    if (status)
        return status;
    size_t at = merges->heap_count++;
    for (; at && goes_before(&entry, &merges->heap[(at - 1) / 2]); at = (at - 1) / 2)
        merges->heap[at] = merges->heap[(at - 1) / 2];
    merges->heap[at] = entry;
    return ESP_OK;
}

static struct heap_entry pop_heap(struct espi_merges *merges)
{
    struct heap_entry *heap = merges->heap, top = heap[0], last = heap[--merges->heap_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < merges->heap_count; at = child) {
        if (child + 1 < merges->heap_count && goes_before(&heap[child + 1], &heap[child]))
            child++;
        if (!goes_before(&heap[child], &last))
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

static int push_touched(esp_context *ctx, struct espi_merges *merges)
{
    int status = ESP_OK;
    for (size_t i = 0; i < merges->touched_count && !status; i++) {
        merges->pairs[merges->touched[i]].touched = false;
        status = push_heap(ctx, merges, merges->touched[i]);
    }
    merges->touched_count = 0;
    return status;
}

int espi_merges_next(esp_context *ctx, struct espi_merges *merges, struct espi_merge *merge, bool *found)
{
    *found = false;
    int status = push_touched(ctx, merges);
    while (!status && merges->heap_count && !*found) {
        struct heap_entry top = pop_heap(merges);
        const struct pair *pair = &merges->pairs[top.pair];
        if (!pair->count)
            continue;
        if (pair->count != top.count) { // it has shrunk; when it grew, a newer entry stands before this one
            if (pair->count < top.count)
                status = push_heap(ctx, merges, top.pair);
            continue;
        }
        *merge = (struct espi_merge){pair->left, pair->right, pair->count};
        *found = true;
    }
    return status;
}

/* ---- merging ----------------------------------------------------------------------------------------------------- */

static int merge_in_word(esp_context *ctx, struct espi_merges *merges, uint32_t word, const struct espi_merge *merge,
                         uint32_t symbol)
{
    struct word *at = &merges->words[word];
    uint32_t *symbols = merges->symbols + at->begin, length = at->length, kept = 0;
    int status = ESP_OK;
    for (uint32_t i = 0; i < length && !status; i++) {
        if (i + 1 == length || symbols[i] != merge->left || symbols[i + 1] != merge->right) {
            symbols[kept++] = symbols[i];
            continue;
        }
        lose(merges, merge->left, merge->right, word);
        if (kept) {
            lose(merges, symbols[kept - 1], merge->left, word);
            status = gain(ctx, merges, symbols[kept - 1], symbol, word);
        }
        if (i + 2 < length && !status) {
            lose(merges, merge->right, symbols[i + 2], word);
            status = gain(ctx, merges, symbol, symbols[i + 2], word);
        }
        symbols[kept++] = symbol;
        i++;
    }
    at->length = kept;
    return status;
}

int espi_merges_apply(esp_context *ctx, struct espi_merges *merges, const struct espi_merge *merge, uint32_t symbol)
{
    size_t slot = find_slot(merges, merge->left, merge->right);
    assert(merges->slots[slot]);
    struct pair *pair = &merges->pairs[merges->slots[slot] - 1];
    uint32_t *words = pair->words;
    size_t count = pair->word_count;
    pair->words = NULL; // merging may add pairs, and words to this one
    pair->word_count = pair->word_capacity = 0;
    int status = ESP_OK;
    for (size_t i = 0; i < count && !status; i++)
        status = merge_in_word(ctx, merges, words[i], merge, symbol);
    free(words);
    return status;
}
