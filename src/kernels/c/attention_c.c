/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attention.h"
#include "kernels/c/product_c.h"

/* s[key] of one query; returns the largest. */
static int32_t score_keys(const struct espi_packed_head *head, const uint8_t *q, size_t width, uint32_t shift,
                          int16_t *s)
{
    int32_t largest = INT16_MIN;
    for (size_t key = 0; key < head->count; key++) {
        const int8_t *k = head->k + (key - key % ESPI_KEY_BLOCK) * head->size + key % ESPI_KEY_BLOCK * 4;
        int32_t sum = head->start[key];
        for (size_t feature = 0; feature < head->size; feature++)
            sum += q[feature / 4 * width * 4 + feature % 4] * k[feature / 4 * ESPI_KEY_BLOCK * 4 + feature % 4];
        sum = clamp(sum >> shift, INT16_MIN, INT16_MAX);
        s[key] = (int16_t)sum;
        largest = sum > largest ? sum : largest;
    }
    return largest;
}

/* The same with what is added by distance. */
static int32_t add_distances(size_t count, const int16_t *distances, size_t query, int16_t *s)
{
    int32_t largest = INT16_MIN;
    for (size_t key = 0; key < count; key++) {
        s[key] = (int16_t)clamp(s[key] + distances[(ptrdiff_t)query - (ptrdiff_t)key], INT16_MIN, INT16_MAX);
        largest = s[key] > largest ? s[key] : largest;
    }
    return largest;
}

/* s becomes p; returns its sum. */
static int32_t softmax(size_t count, int32_t largest, uint32_t multiplier, int16_t *s)
{
    int32_t sum = 0, top = clamp(largest + (multiplier ? (int32_t)(32767 / multiplier) : 0), INT16_MIN, INT16_MAX);
    for (size_t key = 0; key < count; key++) {
        uint32_t index = (uint32_t)(top - s[key]) * multiplier >> 16;
        s[key] = espi_softmax_table[key % ESPI_SOFTMAX_DITHERS][index < 255 ? index : 255];
        sum += s[key];
    }
    return sum;
}

static void weigh_values(const struct espi_packed_head *head, const struct espi_attention *attention, size_t token,
                         const int16_t *p, int32_t total)
{
    size_t keys = (head->count + ESPI_KEY_BLOCK - 1) / ESPI_KEY_BLOCK * ESPI_KEY_BLOCK;
    size_t width, at = espi_span_at(&attention->span, token, &width);
    float factor = 1.0f / (float)total;
    for (size_t row = 0; row < head->size; row++) {
        int32_t sum = 0;
        for (size_t key = 0; key < head->count; key++)
            sum += p[key] * head->v[row * keys + key];
        float y = fmaf((float)sum * factor, attention->scale[row], attention->bias[row]);
        size_t out = at + (attention->row + row) * width;
        if (attention->kind == ESPI_EPILOGUE_U8)
            ((uint8_t *)attention->out)[out] = (uint8_t)clamp(round_to_int(y), 0, 255);
        else
            ((float *)attention->out)[out] = y;
    }
}

void espi_attention_c(const struct espi_packed_head *head, size_t first_block, size_t end_block,
                      const struct espi_attention *attention, void *scratch)
{
    for (size_t block = first_block; block < end_block; block++) {
        size_t width = espi_query_width(head->count, block), first = block * ESPI_PANEL_TOKENS;
        for (size_t lane = 0; lane < width && first + lane < head->count; lane++) {
            const uint8_t *q = head->q + first * head->size + lane * 4;
            int16_t *s = scratch;
            int32_t largest = score_keys(head, q, width, attention->shift, s);
            if (attention->distances)
                largest = add_distances(head->count, attention->distances, first + lane, s);
            int32_t total = softmax(head->count, largest, attention->multiplier, s);
            weigh_values(head, attention, first + lane, s, total);
        }
    }
}
