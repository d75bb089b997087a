/* SPDX-License-Identifier: Apache-2.0
 * What the C references that pack a head share: the layout of struct espi_packed_head, value by value. */
#ifndef ESPI_KERNELS_HEAD_C_H
#define ESPI_KERNELS_HEAD_C_H

#include "kernels/attention.h"

/* The u8 of a feature of a token, of Q (which = 0), K (1) or V (2). */
typedef uint8_t head_value_fn(const void *argument, int which, size_t feature, size_t token);

static inline void pack_queries(head_value_fn *value, const void *argument, struct espi_packed_head *head)
{
    for (size_t block = 0; block < espi_query_blocks(head->count); block++) {
        size_t width = espi_query_width(head->count, block), first = block * ESPI_PANEL_TOKENS;
        uint8_t *q = head->q + first * head->size;
        for (size_t feature = 0; feature < head->size; feature++)
            for (size_t lane = 0; lane < width; lane++)
                q[(feature / 4 * width + lane) * 4 + feature % 4] =
                    first + lane < head->count ? value(argument, 0, feature, first + lane) : 0;
    }
}

static inline void pack_keys(head_value_fn *value, const void *argument, struct espi_packed_head *head)
{
    size_t keys = (head->count + ESPI_KEY_BLOCK - 1) / ESPI_KEY_BLOCK * ESPI_KEY_BLOCK;
    for (size_t key = 0; key < keys; key++) {
        int8_t *k = head->k + (key - key % ESPI_KEY_BLOCK) * head->size + key % ESPI_KEY_BLOCK * 4;
        int32_t sum = 0;
        for (size_t feature = 0; feature < head->size; feature++) {
            int32_t byte = key < head->count ? value(argument, 1, feature, key) - 128 : 0;
            k[feature / 4 * ESPI_KEY_BLOCK * 4 + feature % 4] = (int8_t)byte;
            sum += byte;
        }
        head->start[key] = key < head->count ? -128 * sum : INT32_MIN / 2;
    }
    for (size_t feature = 0; feature < head->size; feature++)
        for (size_t key = 0; key < keys; key++)
            head->v[feature * keys + key] = (int8_t)(key < head->count ? value(argument, 2, feature, key) - 128 : 0);
}

static inline void pack_head(head_value_fn *value, const void *argument, struct espi_packed_head *head)
{
    pack_queries(value, argument, head);
    pack_keys(value, argument, head);
}

#endif
