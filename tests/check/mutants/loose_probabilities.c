/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "kernels/attention.h"
#include "kernels/c/product_c.h"

#include <stdlib.h>

/* Σ p v of keys 0, 1, 4, 5 or 2, 3, 6, 7 of eight, as AVX2 forms it when the probabilities are thought to be small enough. */
static int32_t four(const int16_t *p, const int8_t *v, int32_t most)
{
    static const int at[] = {0, 1, 4, 5};
    int32_t sum = 0, load = 0;
    for (int i = 0; i < 4; i++) {
        sum += p[at[i]] * v[at[i]];
        load += p[at[i]];
    }
    return load <= 264 * 128 / most ? (int16_t)(uint16_t)sum : sum;
}

static int32_t score(const struct espi_packed_head *head, const uint8_t *q, size_t width, size_t key, uint32_t shift)
{
    const int8_t *k = head->k + (key - key % ESPI_KEY_BLOCK) * head->size + key % ESPI_KEY_BLOCK * 4;
    int32_t sum = head->start[key];
    for (size_t feature = 0; feature < head->size; feature++)
        sum += q[feature / 4 * width * 4 + feature % 4] * k[feature / 4 * ESPI_KEY_BLOCK * 4 + feature % 4];
    return clamp(sum >> shift, INT16_MIN, INT16_MAX);
}

/* Fills p (0 past the last key) and returns its sum. */
static int32_t softmax(const struct espi_packed_head *head, const struct espi_attention *attention, const uint8_t *q,
                       size_t width, int16_t *p)
{
    int32_t top = INT16_MIN, sum = 0;
    for (size_t key = 0; key < head->count; key++) {
        p[key] = (int16_t)score(head, q, width, key, attention->shift);
        top = p[key] > top ? p[key] : top;
    }
    top = clamp(top + (attention->multiplier ? 32767 / attention->multiplier : 0), INT16_MIN, INT16_MAX);
    for (size_t key = 0; key < head->count; key++) {
        uint32_t index = (uint32_t)(top - p[key]) * attention->multiplier >> 16;
        p[key] = espi_softmax_table[key % ESPI_SOFTMAX_DITHERS][index < 255 ? index : 255];
        sum += p[key];
    }
    return sum;
}

static void weigh(const struct espi_packed_head *head, const struct espi_attention *attention, size_t token,
                  const int16_t *p, int32_t total)
{
    size_t keys = (head->count + ESPI_KEY_BLOCK - 1) / ESPI_KEY_BLOCK * ESPI_KEY_BLOCK;
    size_t width, at = espi_span_at(&attention->span, token, &width);
    int32_t most = 1;
    for (size_t i = 0; i < keys * head->size; i++)
        most = abs(head->v[i]) > most ? abs(head->v[i]) : most;
    for (size_t row = 0; row < head->size; row++) {
        int32_t sum = 0;
        for (size_t key = 0; key < keys; key += 8)
            sum += four(p + key, head->v + row * keys + key, most) +
                   four(p + key + 2, head->v + row * keys + key + 2, most);
        float y = fmaf((float)sum * (1.0f / (float)total), attention->scale[row], attention->bias[row]);
        size_t out = at + (attention->row + row) * width;
        if (attention->kind == ESPI_EPILOGUE_U8)
            ((uint8_t *)attention->out)[out] = (uint8_t)clamp(round_to_int(y), 0, 255);
        else
            ((float *)attention->out)[out] = y;
    }
}

void mutant_loose_probabilities(const struct espi_packed_head *head, size_t first_block, size_t end_block,
                                const struct espi_attention *attention, void *scratch)
{
    int16_t *p = scratch;
    for (size_t key = head->count; key % ESPI_KEY_BLOCK; key++)
        p[key] = 0;
    for (size_t block = first_block; block < end_block; block++) {
        size_t width = espi_query_width(head->count, block), first = block * ESPI_PANEL_TOKENS;
        for (size_t lane = 0; lane < width && first + lane < head->count; lane++) {
            const uint8_t *q = head->q + first * head->size + lane * 4;
            int32_t total = softmax(head, attention, q, width, p);
            weigh(head, attention, first + lane, p, total);
        }
    }
}
