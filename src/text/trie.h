/* SPDX-License-Identifier: Apache-2.0
 * Several byte tries in one double array (Aoe, "An efficient digital search algorithm by using a double-array
 * structure", 1989; children by XOR as in Yata et al.). One 8-byte load per byte of text. */
#ifndef ESPI_TEXT_TRIE_H
#define ESPI_TEXT_TRIE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { ESPI_TRIE_VALUES = 0xffffff }; // values lie below this

/* A node: base (31 bits) << 33 | label (9 bits) << 24 | value + 1 (24 bits; 0: no key ends here). The child by byte c
 * is node base ^ c, when its label is c. Immutable after building. */
struct espi_trie {
    uint64_t *nodes; // (count)
    size_t count;    // a multiple of 256
};

struct espi_trie_key {
    const unsigned char *bytes;
    size_t length; // > 0
    uint32_t value;
};

/* Orders two struct espi_trie_key by their bytes, for qsort. */
int espi_trie_compare(const void *a, const void *b);

/* Keys of one root: ascending, without duplicates. */
struct espi_trie_set {
    struct espi_trie_key *keys;
    size_t count;
};

/* Root r (0 to 255) is node r. */
int espi_trie_build(esp_context *ctx, struct espi_trie *trie, const struct espi_trie_set *sets,
                    size_t roots) ESPI_NODISCARD;
void espi_trie_clear(struct espi_trie *trie);

/* The child of a node, or 0 when there is none (0 is a root, never a child). */
static inline uint32_t espi_trie_step(const struct espi_trie *trie, uint64_t node, unsigned char byte, uint64_t *child)
{
    uint32_t index = (uint32_t)(node >> 33) ^ byte;
    *child = trie->nodes[index];
    return (*child >> 24 & 0x1ff) == byte ? index : 0;
}

static inline int32_t espi_trie_value(uint64_t node)
{
    return (int32_t)(node & 0xffffff) - 1;
}

/* The longest key of a root that is a prefix of text: its length and value, or length 0. */
static inline size_t espi_trie_longest(const struct espi_trie *trie, uint32_t root, const unsigned char *text,
                                       size_t bytes, int32_t *value)
{
    uint64_t node = trie->nodes[root];
    size_t longest = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (!espi_trie_step(trie, node, text[i], &node))
            break;
        int32_t found = espi_trie_value(node);
        if (found >= 0) {
            longest = i + 1;
            *value = found;
        }
    }
    return longest;
}

/* Value of a key, or -1. */
int32_t espi_trie_find(const struct espi_trie *trie, uint32_t root, const void *key, size_t bytes);

#endif
