/* SPDX-License-Identifier: Apache-2.0 */
#include "text/split_table.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static uint32_t action(enum espi_char_action kind, uint32_t payload)
{
    return payload << ESPI_ACTION_BITS | kind;
}

static bool has(uint8_t flags, enum espi_char_class which)
{
    return flags >> which & 1;
}

/* (0x110000) for each code point one bit per class, so that building asks no searches. */
static uint8_t *class_flags(esp_context *ctx)
{
    uint8_t *flags = espi_calloc(ctx, ESPI_CODE_POINTS, 1);
    for (enum espi_char_class which = 0; flags && which < ESPI_CHAR_CLASSES; which++) {
        size_t count;
        const struct espi_range *ranges = espi_char_ranges(which, &count);
        for (size_t i = 0; i < count; i++)
            for (uint32_t code = ranges[i].first; code <= ranges[i].last; code++)
                flags[code] |= (uint8_t)(1u << which);
    }
    return flags;
}

/* What a normalized code point is to the pre-tokenizer. */
static uint32_t final_action(uint8_t flags, uint32_t code)
{
    if (has(flags, ESPI_CHAR_SPACE))
        return ESPI_ACTION_SPACE;
    return action(has(flags, ESPI_CHAR_PUNCTUATION) ? ESPI_ACTION_ALONE : ESPI_ACTION_LETTER, code);
}

static int add_several(esp_context *ctx, struct espi_split_table *table, const uint32_t *actions, size_t count,
                       uint32_t *out)
{
    size_t at = table->several_count;
    int status = espi_grow(ctx, &table->several, &table->several_capacity, at + 1 + count, sizeof *actions);
    if (status)
        return status;
    table->several[at] = (uint32_t)count;
    memcpy(table->several + at + 1, actions, count * sizeof *actions);
    table->several_count += 1 + count;
    *out = action(ESPI_ACTION_SEVERAL, (uint32_t)at);
    return ESP_OK;
}

/* From here on no code point decomposes or has a lower case. */
enum { PLAIN_FROM = 0x30000 };

static int code_action(esp_context *ctx, const struct espi_bert_options *options, struct espi_split_table *table,
                       const uint8_t *flags, uint32_t code, uint32_t *out)
{
    if (options->clean_text && has(flags[code], ESPI_CHAR_REMOVED)) {
        *out = ESPI_ACTION_DROP;
        return ESP_OK;
    }
    if (code >= PLAIN_FROM && !flags[code]) {
        *out = ESPI_ACTION_LETTER;
        return ESP_OK;
    }
    uint32_t parts[ESPI_DECOMPOSED] = {code}, actions[ESPI_ACTIONS_OF_ONE];
    size_t part_count = options->strip_accents ? espi_char_decompose(code, parts) : 1, count = 0;
    bool chinese = options->handle_chinese_chars && has(flags[code], ESPI_CHAR_CHINESE);
    if (chinese)
        actions[count++] = ESPI_ACTION_SPACE;
    for (size_t i = 0; i < part_count; i++) {
        uint32_t lowered[ESPI_LOWERED] = {parts[i]};
        if (options->strip_accents && has(flags[parts[i]], ESPI_CHAR_MARK))
            continue;
        if (options->strip_accents && has(flags[parts[i]], ESPI_CHAR_KEPT_MARK)) {
            *out = ESPI_ACTION_ORDER;
            return ESP_OK;
        }
        size_t lowered_count = options->lowercase ? espi_char_lower(parts[i], lowered) : 1;
        for (size_t k = 0; k < lowered_count; k++)
            actions[count++] = final_action(flags[lowered[k]], lowered[k] == code ? 0 : lowered[k]);
    }
    if (chinese && count == 2 && (actions[1] & ESPI_ACTION_KIND) == ESPI_ACTION_LETTER) {
        *out = actions[1] - ESPI_ACTION_LETTER + ESPI_ACTION_ALONE; // spaces on both sides: a word by itself
        return ESP_OK;
    }
    if (chinese)
        actions[count++] = ESPI_ACTION_SPACE;
    if (count == 0)
        *out = ESPI_ACTION_DROP;
    else if (count == 1)
        *out = actions[0];
    else
        return add_several(ctx, table, actions, count, out);
    return ESP_OK;
}

/* Blocks of one action for every code point are shared: one for each kind. */
static int add_block(esp_context *ctx, struct espi_split_table *table, const uint32_t block[ESPI_TABLE_BLOCK],
                     uint16_t uniform[ESPI_ACTION_KIND + 1], uint16_t *number)
{
    bool same = block[0] <= ESPI_ACTION_KIND;
    for (size_t i = 1; i < ESPI_TABLE_BLOCK && same; i++)
        same = block[i] == block[0];
    if (same && uniform[block[0]]) {
        *number = uniform[block[0]];
        return ESP_OK;
    }
    size_t at = table->blocks;
    int status = espi_grow(ctx, &table->actions, &table->block_capacity, (at + 1) * ESPI_TABLE_BLOCK, sizeof *block);
    if (status)
        return status;
    memcpy(table->actions + at * ESPI_TABLE_BLOCK, block, ESPI_TABLE_BLOCK * sizeof *block);
    *number = (uint16_t)at;
    table->blocks++;
    if (same)
        uniform[block[0]] = *number; // never block 0: ASCII is not uniform
    return ESP_OK;
}

int espi_split_table_build(esp_context *ctx, const struct espi_bert_options *options, struct espi_split_table *table)
{
    *table = (struct espi_split_table){0};
    uint8_t *flags = class_flags(ctx);
    int status = flags ? ESP_OK : ESP_ERR_MEMORY;
    table->block_of = espi_calloc(ctx, ESPI_CODE_POINTS / ESPI_TABLE_BLOCK, sizeof *table->block_of);
    if (!table->block_of)
        status = ESP_ERR_MEMORY;
    uint16_t uniform[ESPI_ACTION_KIND + 1] = {0};
    for (uint32_t first = 0; first < ESPI_CODE_POINTS && !status; first += ESPI_TABLE_BLOCK) {
        uint32_t block[ESPI_TABLE_BLOCK];
        for (uint32_t i = 0; i < ESPI_TABLE_BLOCK && !status; i++)
            status = code_action(ctx, options, table, flags, first + i, &block[i]);
        if (!status)
            status = add_block(ctx, table, block, uniform, &table->block_of[first / ESPI_TABLE_BLOCK]);
    }
    free(flags);
    if (status) {
        espi_split_table_clear(table);
        return status;
    }
    espi_split_table_note_ascii(table);
    return ESP_OK;
}

void espi_split_table_note_ascii(struct espi_split_table *table)
{
    for (uint32_t code = 0; code < 256; code++) {
        uint32_t ascii = code < 128 ? espi_split_action(table, code) : ESPI_ACTION_SEVERAL;
        uint32_t payload = ascii >> ESPI_ACTION_BITS;
        table->ascii[code] = (uint16_t)((ascii & ESPI_ACTION_KIND) << 8 | ((payload ? payload : code) & 0xff));
    }
}

void espi_split_table_clear(struct espi_split_table *table)
{
    free(table->block_of);
    free(table->actions);
    free(table->several);
    *table = (struct espi_split_table){0};
}
