/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "kernels/attention.h"
#include "kernels/c/product_c.h"

#include <stdlib.h>

/* Σ q (k + 128) of features 0, 1, 4, 5 or 2, 3, 6, 7 of eight, as AVX2 forms it. x: of the first of them. */
static int32_t four(const uint8_t *x, size_t stride, const int8_t *k)
{
    int32_t sum = 0, load = 0;
    for (size_t i = 0; i < 4; i++) {
        int32_t q = x[i / 2 * stride + i % 2] - 128, value = k[i / 2 * ESPI_KEY_BLOCK * 4 + i % 2];
        sum += q * (value + 128);
        load += abs(q) * abs(value);
    }
    return load <= INT16_MAX ? clamp(sum, INT16_MIN, INT16_MAX) : sum;
}

/* How far the sum of a query and a key is from the right one. */
static int32_t error_of(const struct espi_packed_head *head, const uint8_t *q, size_t width, size_t key)
{
    const int8_t *k = head->k + (key - key % ESPI_KEY_BLOCK) * head->size + key % ESPI_KEY_BLOCK * 4;
    int32_t error = 0;
    for (size_t group = 0; group + 2 <= head->size / 4; group += 2)
        for (size_t half = 0; half < 4; half += 2) {
            const uint8_t *x = q + group * width * 4 + half;
            const int8_t *w = k + group * ESPI_KEY_BLOCK * 4 + half;
            error += four(x, width * 4, w);
            for (size_t i = 0; i < 4; i++)
                error -= (x[i / 2 * width * 4 + i % 2] - 128) * (w[i / 2 * ESPI_KEY_BLOCK * 4 + i % 2] + 128);
        }
    return error;
}

/* The reference, with what a key's sum begins with moved by the first query's error. */
void mutant_loose_queries(const struct espi_packed_head *head, size_t first_block, size_t end_block,
                          const struct espi_attention *attention, void *scratch)
{
    int32_t *start = malloc(head->count * sizeof(*start));
    if (!start)
        abort();
    struct espi_packed_head moved = *head;
    moved.start = start;
    for (size_t block = first_block; block < end_block; block++) {
        const uint8_t *q = head->q + block * ESPI_PANEL_TOKENS * head->size;
        for (size_t key = 0; key < head->count; key++)
            start[key] = head->start[key] + error_of(head, q, espi_query_width(head->count, block), key);
        espi_attention_c(&moved, block, block + 1, attention, scratch);
    }
    free(start);
}
