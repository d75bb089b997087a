/* SPDX-License-Identifier: Apache-2.0 */
#include "text/trie.h"

#include "base/memory.h"
#include "base/size.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 256,
    NO_LABEL = 0x1ff,  // of a slot that is no child
    OPEN_BLOCKS = 16,  // blocks whose free slots are still tried
    MAX_ATTEMPTS = 512 // bases tried for a node before a new block is made
};

/* A node whose children are still to be placed: the keys [low, high) share its first `depth` bytes. */
struct item {
    uint32_t node;
    uint32_t set;
    size_t low, high, depth;
};

/* Free slots form a ring through slot 0 (block 0 is never given to children, so that base 0 has none). */
struct slot {
    uint32_t next, previous;
    bool taken, is_base;
};

struct builder {
    esp_context *ctx;
    struct espi_trie *trie;
    size_t node_capacity;
    struct slot *slots; // (trie->count)
    size_t slot_capacity;
    size_t closed; // blocks before this one have no slot in the ring
    struct item *items;
    size_t item_count, item_capacity;
    const struct espi_trie_set *sets;
};

static uint64_t pack(uint32_t base, uint32_t label, uint32_t value_plus_one)
{
    return (uint64_t)base << 33 | (uint64_t)label << 24 | value_plus_one;
}

static bool is_sorted(const struct espi_trie_set *set)
{
    for (size_t i = 1; i < set->count; i++)
        if (espi_trie_compare(&set->keys[i - 1], &set->keys[i]) >= 0)
            return false;
    return true;
}

static void unlink_slot(struct builder *builder, uint32_t index)
{
    struct slot *slots = builder->slots;
    slots[slots[index].previous].next = slots[index].next;
    slots[slots[index].next].previous = slots[index].previous;
}

static void close_block(struct builder *builder, size_t block)
{
    for (size_t i = block * BLOCK; i < (block + 1) * BLOCK; i++)
        if (!builder->slots[i].taken)
            unlink_slot(builder, (uint32_t)i);
}

/* Appends a block; its slots join the ring (block 0's do not), and the oldest open block leaves it. */
static int add_block(struct builder *builder)
{
    struct espi_trie *trie = builder->trie;
    size_t first = trie->count, count = first + BLOCK;
    if (count >= (size_t)1 << 31)
        return espi_fail(builder->ctx, ESP_ERR_LIMIT, "the vocabulary is too large");
    int status = espi_grow(builder->ctx, &trie->nodes, &builder->node_capacity, count, sizeof *trie->nodes);
    if (!status)
        status = espi_grow(builder->ctx, &builder->slots, &builder->slot_capacity, count, sizeof *builder->slots);
    if (status)
        return status;
    trie->count = count;
    for (size_t i = first; i < count; i++) {
        trie->nodes[i] = pack(0, NO_LABEL, 0);
        builder->slots[i] = (struct slot){.taken = first == 0};
        if (first == 0)
            continue;
        uint32_t tail = builder->slots[0].previous;
        builder->slots[i].previous = tail;
        builder->slots[tail].next = (uint32_t)i;
        builder->slots[i].next = 0;
        builder->slots[0].previous = (uint32_t)i;
    }
    if (first / BLOCK > builder->closed + OPEN_BLOCKS)
        close_block(builder, builder->closed++);
    return ESP_OK;
}

static bool base_fits(const struct builder *builder, uint32_t base, const unsigned char *labels, size_t count)
{
    if (builder->slots[base].is_base) // labels tell children apart only while every base is used once
        return false;
    for (size_t i = 0; i < count; i++)
        if (builder->slots[base ^ labels[i]].taken)
            return false;
    return true;
}

static int find_base(struct builder *builder, const unsigned char *labels, size_t count, uint32_t *base)
{
    size_t attempts = 0;
    for (uint32_t at = builder->slots[0].next; at && attempts < MAX_ATTEMPTS; at = builder->slots[at].next) {
        *base = at ^ labels[0];
        if (base_fits(builder, *base, labels, count))
            return ESP_OK;
        attempts++;
    }
    *base = (uint32_t)builder->trie->count;
    return add_block(builder);
}

static int push_item(struct builder *builder, struct item item)
{
    int status = espi_grow(builder->ctx, &builder->items, &builder->item_capacity, builder->item_count + 1,
                           sizeof *builder->items);
    if (!status)
        builder->items[builder->item_count++] = item;
    return status;
}

static int place_children(struct builder *builder, struct item item)
{
    const struct espi_trie_key *keys = builder->sets[item.set].keys;
    unsigned char labels[BLOCK];
    size_t starts[BLOCK + 1], count = 0;
    uint32_t value = 0;
    if (keys[item.low].length == item.depth)
        value = keys[item.low++].value + 1;
    for (size_t i = item.low; i < item.high; i++) {
        assert(keys[i].length > item.depth);
        if (count == 0 || labels[count - 1] != keys[i].bytes[item.depth]) {
            starts[count] = i;
            labels[count++] = keys[i].bytes[item.depth];
        }
    }
    starts[count] = item.high;
    uint64_t *node = &builder->trie->nodes[item.node];
    *node |= value;
    if (!count)
        return ESP_OK;

    uint32_t base;
    int status = find_base(builder, labels, count, &base);
    if (status)
        return status;
    builder->slots[base].is_base = true;
    builder->trie->nodes[item.node] |= (uint64_t)base << 33;
    for (size_t i = 0; i < count && !status; i++) {
        uint32_t child = base ^ labels[i];
        builder->slots[child].taken = true;
        unlink_slot(builder, child);
        builder->trie->nodes[child] = pack(0, labels[i], 0);
        status = push_item(builder, (struct item){child, item.set, starts[i], starts[i + 1], item.depth + 1});
    }
    return status;
}

int espi_trie_compare(const void *a, const void *b)
{
    const struct espi_trie_key *left = a, *right = b;
    int order = memcmp(left->bytes, right->bytes, espi_size_min(left->length, right->length));
    return order ? order : (left->length > right->length) - (left->length < right->length);
}

int espi_trie_build(esp_context *ctx, struct espi_trie *trie, const struct espi_trie_set *sets, size_t roots)
{
    *trie = (struct espi_trie){0};
    struct builder builder = {.ctx = ctx, .trie = trie, .sets = sets, .closed = 1};
    assert(roots <= BLOCK);
    int status = add_block(&builder);
    for (size_t root = 0; root < roots && !status; root++) {
        if (!sets[root].count)
            continue;
        assert(is_sorted(&sets[root]));
        status = push_item(&builder, (struct item){(uint32_t)root, (uint32_t)root, 0, sets[root].count, 0});
    }
    while (builder.item_count && !status)
        status = place_children(&builder, builder.items[--builder.item_count]);
    free(builder.items);
    free(builder.slots);
    if (status)
        espi_trie_clear(trie);
    return status;
}

void espi_trie_clear(struct espi_trie *trie)
{
    free(trie->nodes);
    *trie = (struct espi_trie){0};
}

int32_t espi_trie_find(const struct espi_trie *trie, uint32_t root, const void *key, size_t bytes)
{
    int32_t value = -1;
    return bytes && espi_trie_longest(trie, root, key, bytes, &value) == bytes ? value : -1;
}
