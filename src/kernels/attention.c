/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attention.h"

#include "base/size.h"

#include <math.h>

int espi_head_bytes(esp_context *ctx, size_t tokens, size_t size, size_t *bytes)
{
    *bytes = 0;
    if (!tokens || tokens > ESPI_MAX_KEYS)
        return espi_fail(ctx, ESP_ERR_LIMIT, "sequence: expected 1 to %d tokens, found %zu", ESPI_MAX_KEYS, tokens);
    if (!size || size % 4 || size > ESPI_MAX_HEAD_SIZE)
        return espi_fail(ctx, ESP_ERR_LIMIT,
                         "attention head: expected a size from 4 to %d that is a multiple of 4, found %zu",
                         ESPI_MAX_HEAD_SIZE, size);
    size_t keys = espi_round_up(tokens, ESPI_KEY_BLOCK); // the products below stay under 2^35
    *bytes = espi_query_blocks(tokens) * ESPI_PANEL_TOKENS * size + 2 * keys * size + keys * sizeof(int32_t);
    *bytes = espi_round_up(*bytes, 64);
    return ESP_OK;
}

void espi_head_place(struct espi_packed_head *head, size_t tokens, size_t size, void *memory)
{
    size_t keys = espi_round_up(tokens, ESPI_KEY_BLOCK);
    uint8_t *at = memory;
    *head = (struct espi_packed_head){.count = tokens, .size = size, .q = at};
    at += espi_query_blocks(tokens) * ESPI_PANEL_TOKENS * size;
    head->k = (int8_t *)at;
    head->v = (int8_t *)(at + keys * size);
    head->start = (int32_t *)(void *)(at + 2 * keys * size);
}

size_t espi_attention_scratch(size_t tokens, size_t size)
{
    size_t keys = espi_round_up(tokens, ESPI_KEY_BLOCK);
    /* scores and probabilities of a query block; for AVX2 K once more and what is found out about a head and 16 queries */
    size_t block = keys * ESPI_PANEL_TOKENS * (sizeof(int16_t) + sizeof(uint8_t));
    return espi_round_up(block + (keys + 80) * size, 64);
}

static const double score_range = 64; // exponents that 16 bits have to hold

static void set_multiplier(struct espi_attention *attention, double unit)
{
    double multiplier = rint(65536 * unit / ESPI_SOFTMAX_STEP);
    attention->multiplier = (uint16_t)(multiplier < INT16_MAX ? multiplier : INT16_MAX);
}

void espi_attention_scores(struct espi_attention *attention, size_t size, float scale)
{
    double largest = 128.0 * 128.0 * (double)size, unit = (double)scale;
    attention->shift = 0;
    while (unit * INT16_MAX < score_range && ldexp(INT16_MAX, (int)attention->shift) < largest) {
        unit *= 2;
        attention->shift++;
    }
    set_multiplier(attention, unit);
}

float espi_attention_biased_scores(struct espi_attention *attention, float scale)
{
    double unit = (double)scale;
    attention->shift = 0;
    while (unit * INT16_MAX < score_range && attention->shift < 15) {
        unit *= 2;
        attention->shift++;
    }
    /* Where q and k are that small, a unit more of their product says nothing. */
    set_multiplier(attention, unit * INT16_MAX < score_range ? score_range / INT16_MAX : unit);
    return (float)(attention->multiplier * (ESPI_SOFTMAX_STEP / 65536));
}

const uint16_t espi_softmax_factors[2][ESPI_SOFTMAX_FACTORS] = {
    {65458, 40500, 25059, 15505, 9597, 5943, 3674, 2267, 1403, 868, 537, 335, 210, 129, 73, 50},
    {65364, 63439, 61559, 59748, 57980, 56256, 54608, 53011, 51404, 49897, 48427, 46991, 45601, 44264, 42961, 41681},
};
const uint8_t espi_softmax_rounding[ESPI_SOFTMAX_DITHERS] = {32, 160, 96, 224};

/* clang-format off */
const uint8_t espi_softmax_table[ESPI_SOFTMAX_DITHERS][ESPI_SOFTMAX_ENTRIES] = {
    {
        255, 247, 240, 233, 226, 219, 213, 206, 200, 194, 189, 183, 178, 172, 167, 162,
        157, 153, 148, 144, 140, 135, 131, 128, 124, 120, 117, 113, 110, 106, 103, 100,
        97, 94, 92, 89, 86, 84, 81, 79, 76, 74, 72, 70, 68, 66, 64, 62,
        60, 58, 57, 55, 53, 52, 50, 49, 47, 46, 44, 43, 42, 41, 39, 38,
        37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 27, 26, 25, 24, 23,
        23, 22, 21, 21, 20, 20, 19, 18, 18, 17, 17, 16, 16, 15, 15, 14,
        14, 14, 13, 13, 12, 12, 12, 11, 11, 11, 10, 10, 10, 9, 9, 9,
        8, 8, 8, 8, 7, 7, 7, 7, 7, 6, 6, 6, 6, 6, 5, 5,
        5, 5, 5, 5, 4, 4, 4, 4, 4, 4, 4, 4, 3, 3, 3, 3,
        3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
        2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    },
    {
        255, 248, 240, 233, 226, 220, 213, 207, 201, 195, 189, 183, 178, 173, 168, 163,
        158, 153, 149, 144, 140, 136, 132, 128, 124, 121, 117, 114, 110, 107, 104, 101,
        98, 95, 92, 89, 87, 84, 82, 79, 77, 75, 72, 70, 68, 66, 64, 62,
        61, 59, 57, 55, 54, 52, 51, 49, 48, 46, 45, 44, 42, 41, 40, 39,
        38, 36, 35, 34, 33, 32, 31, 30, 30, 29, 28, 27, 26, 25, 25, 24,
        23, 23, 22, 21, 21, 20, 19, 19, 18, 18, 17, 17, 16, 16, 15, 15,
        14, 14, 14, 13, 13, 12, 12, 12, 11, 11, 11, 10, 10, 10, 10, 9,
        9, 9, 8, 8, 8, 8, 8, 7, 7, 7, 7, 6, 6, 6, 6, 6,
        6, 5, 5, 5, 5, 5, 5, 5, 4, 4, 4, 4, 4, 4, 4, 4,
        4, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2,
        2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    },
    {
        255, 247, 240, 233, 226, 219, 213, 207, 200, 195, 189, 183, 178, 173, 167, 162,
        158, 153, 148, 144, 140, 136, 132, 128, 124, 120, 117, 113, 110, 107, 104, 100,
        98, 95, 92, 89, 86, 84, 81, 79, 77, 74, 72, 70, 68, 66, 64, 62,
        60, 59, 57, 55, 53, 52, 50, 49, 47, 46, 45, 43, 42, 41, 40, 38,
        37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 28, 27, 26, 25, 24, 24,
        23, 22, 22, 21, 20, 20, 19, 19, 18, 18, 17, 17, 16, 16, 15, 15,
        14, 14, 13, 13, 13, 12, 12, 11, 11, 11, 10, 10, 10, 10, 9, 9,
        9, 8, 8, 8, 8, 7, 7, 7, 7, 7, 6, 6, 6, 6, 6, 6,
        5, 5, 5, 5, 5, 5, 4, 4, 4, 4, 4, 4, 4, 4, 3, 3,
        3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2,
        2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    },
    {
        255, 248, 241, 233, 227, 220, 213, 207, 201, 195, 189, 184, 178, 173, 168, 163,
        158, 154, 149, 145, 140, 136, 132, 128, 124, 121, 117, 114, 110, 107, 104, 101,
        98, 95, 92, 90, 87, 84, 82, 80, 77, 75, 73, 71, 68, 66, 65, 63,
        61, 59, 57, 56, 54, 52, 51, 49, 48, 46, 45, 44, 43, 41, 40, 39,
        38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 26, 25, 24,
        24, 23, 22, 22, 21, 20, 20, 19, 19, 18, 18, 17, 17, 16, 16, 15,
        15, 14, 14, 13, 13, 13, 12, 12, 12, 11, 11, 11, 10, 10, 10, 10,
        9, 9, 9, 8, 8, 8, 8, 8, 7, 7, 7, 7, 7, 6, 6, 6,
        6, 6, 6, 5, 5, 5, 5, 5, 5, 5, 4, 4, 4, 4, 4, 4,
        4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3,
        2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
        2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0,
    },
};
/* clang-format on */
