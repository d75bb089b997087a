/* SPDX-License-Identifier: Apache-2.0 */
#include "text/normalizer.h"

#include "base/memory.h"
#include "base/size.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

/* ---- the table -------------------------------------------------------------------------------------------------- */

static uint32_t step(enum espi_step_kind kind, uint32_t payload)
{
    return payload << ESPI_STEP_BITS | kind;
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
static uint32_t final_step(uint8_t flags, uint32_t code)
{
    if (has(flags, ESPI_CHAR_SPACE))
        return ESPI_STEP_SPACE;
    return step(has(flags, ESPI_CHAR_PUNCTUATION) ? ESPI_STEP_ALONE : ESPI_STEP_LETTER, code);
}

static int add_several(esp_context *ctx, struct espi_normalizer *normalizer, const uint32_t *steps, size_t count,
                       uint32_t *out)
{
    size_t at = normalizer->several_count;
    int status = espi_grow(ctx, &normalizer->several, &normalizer->several_capacity, at + 1 + count, sizeof *steps);
    if (status)
        return status;
    normalizer->several[at] = (uint32_t)count;
    memcpy(normalizer->several + at + 1, steps, count * sizeof *steps);
    normalizer->several_count += 1 + count;
    *out = step(ESPI_STEP_SEVERAL, (uint32_t)at);
    return ESP_OK;
}

/* From here on no code point decomposes or has a lower case. */
enum { PLAIN_FROM = 0x30000 };

static int code_step(esp_context *ctx, struct espi_normalizer *normalizer, const uint8_t *flags, uint32_t code,
                     uint32_t *out)
{
    const struct espi_normalizer_options *options = &normalizer->options;
    if (options->clean_text && has(flags[code], ESPI_CHAR_REMOVED)) {
        *out = ESPI_STEP_DROP;
        return ESP_OK;
    }
    if (code >= PLAIN_FROM && !flags[code]) {
        *out = ESPI_STEP_LETTER;
        return ESP_OK;
    }
    uint32_t parts[ESPI_DECOMPOSED] = {code}, steps[ESPI_STEPS_OF_ONE];
    size_t part_count = options->strip_accents ? espi_char_decompose(code, parts) : 1, count = 0;
    bool chinese = options->handle_chinese_chars && has(flags[code], ESPI_CHAR_CHINESE);
    if (chinese)
        steps[count++] = ESPI_STEP_SPACE;
    for (size_t i = 0; i < part_count; i++) {
        uint32_t lowered[ESPI_LOWERED] = {parts[i]};
        if (options->strip_accents && has(flags[parts[i]], ESPI_CHAR_MARK))
            continue;
        if (options->strip_accents && has(flags[parts[i]], ESPI_CHAR_KEPT_MARK)) {
            *out = ESPI_STEP_ORDER;
            return ESP_OK;
        }
        size_t lowered_count = options->lowercase ? espi_char_lower(parts[i], lowered) : 1;
        for (size_t k = 0; k < lowered_count; k++)
            steps[count++] = final_step(flags[lowered[k]], lowered[k] == code ? 0 : lowered[k]);
    }
    if (chinese && count == 2 && (steps[1] & ESPI_STEP_KIND) == ESPI_STEP_LETTER) {
        *out = steps[1] - ESPI_STEP_LETTER + ESPI_STEP_ALONE; // spaces on both sides: a word by itself
        return ESP_OK;
    }
    if (chinese)
        steps[count++] = ESPI_STEP_SPACE;
    if (count == 0)
        *out = ESPI_STEP_DROP;
    else if (count == 1)
        *out = steps[0];
    else
        return add_several(ctx, normalizer, steps, count, out);
    return ESP_OK;
}

/* Blocks of one step for every code point are shared: one for each kind. */
static int add_block(esp_context *ctx, struct espi_normalizer *normalizer, const uint32_t block[ESPI_TABLE_BLOCK],
                     uint16_t uniform[ESPI_STEP_KIND + 1], uint16_t *number)
{
    bool same = block[0] <= ESPI_STEP_KIND;
    for (size_t i = 1; i < ESPI_TABLE_BLOCK && same; i++)
        same = block[i] == block[0];
    if (same && uniform[block[0]]) {
        *number = uniform[block[0]];
        return ESP_OK;
    }
    size_t at = normalizer->blocks;
    int status =
        espi_grow(ctx, &normalizer->steps, &normalizer->block_capacity, (at + 1) * ESPI_TABLE_BLOCK, sizeof *block);
    if (status)
        return status;
    memcpy(normalizer->steps + at * ESPI_TABLE_BLOCK, block, ESPI_TABLE_BLOCK * sizeof *block);
    *number = (uint16_t)at;
    normalizer->blocks++;
    if (same)
        uniform[block[0]] = *number; // never block 0: ASCII is not uniform
    return ESP_OK;
}

int espi_normalizer_init(esp_context *ctx, struct espi_normalizer *normalizer,
                         const struct espi_normalizer_options *options)
{
    *normalizer = (struct espi_normalizer){.options = *options};
    uint8_t *flags = class_flags(ctx);
    int status = flags ? ESP_OK : ESP_ERR_MEMORY;
    normalizer->block_of = espi_calloc(ctx, ESPI_CODE_POINTS / ESPI_TABLE_BLOCK, sizeof *normalizer->block_of);
    if (!normalizer->block_of)
        status = ESP_ERR_MEMORY;
    uint16_t uniform[ESPI_STEP_KIND + 1] = {0};
    for (uint32_t first = 0; first < ESPI_CODE_POINTS && !status; first += ESPI_TABLE_BLOCK) {
        uint32_t block[ESPI_TABLE_BLOCK];
        for (uint32_t i = 0; i < ESPI_TABLE_BLOCK && !status; i++)
            status = code_step(ctx, normalizer, flags, first + i, &block[i]);
        if (!status)
            status = add_block(ctx, normalizer, block, uniform, &normalizer->block_of[first / ESPI_TABLE_BLOCK]);
    }
    free(flags);
    if (status) {
        espi_normalizer_clear(normalizer);
        return status;
    }
    espi_normalizer_note_ascii(normalizer);
    return ESP_OK;
}

void espi_normalizer_note_ascii(struct espi_normalizer *normalizer)
{
    memset(normalizer->ascii_kind, ESPI_STEP_SEVERAL, sizeof normalizer->ascii_kind);
    for (uint32_t code = 0; code < 128; code++) {
        uint32_t ascii = espi_normalizer_step(normalizer, code), payload = ascii >> ESPI_STEP_BITS;
        normalizer->ascii_kind[code] = ascii & ESPI_STEP_KIND;
        normalizer->ascii_out[code] = (uint8_t)(payload ? payload : code);
    }
}

void espi_normalizer_clear(struct espi_normalizer *normalizer)
{
    free(normalizer->block_of);
    free(normalizer->steps);
    free(normalizer->several);
    *normalizer = (struct espi_normalizer){0};
}

/* ---- the passes, one after another ------------------------------------------------------------------------------ */

void espi_units_clear(struct espi_units *units)
{
    free(units->data);
    free(units->scratch);
    *units = (struct espi_units){0};
}

static int decode(esp_context *ctx, const unsigned char *text, size_t begin, size_t end, uint32_t index,
                  struct espi_units *units)
{
    units->count = 0;
    int status = espi_grow(ctx, &units->data, &units->capacity, end - begin, sizeof *units->data);
    for (size_t at = begin; at < end && !status;) {
        struct espi_unit *unit = &units->data[units->count++];
        unit->begin = (uint32_t)at;
        at += espi_utf8_decode(text + at, end - at, &unit->code);
        unit->end = (uint32_t)at;
        unit->index = index++;
    }
    return status;
}

static void clean(struct espi_units *units)
{
    size_t kept = 0;
    for (size_t i = 0; i < units->count; i++) {
        struct espi_unit unit = units->data[i];
        if (espi_char_is(ESPI_CHAR_REMOVED, unit.code))
            continue;
        if (espi_char_is(ESPI_CHAR_SPACE, unit.code))
            unit.code = ' ';
        units->data[kept++] = unit;
    }
    units->count = kept;
}

/* Makes `scratch`, with room for `count` units, the place a pass writes to; swap_scratch makes it the text. */
static int reserve_scratch(esp_context *ctx, struct espi_units *units, size_t count)
{
    return espi_grow(ctx, &units->scratch, &units->scratch_capacity, count, sizeof *units->scratch);
}

static void swap_scratch(struct espi_units *units, size_t count)
{
    struct espi_unit *data = units->data;
    size_t capacity = units->capacity;
    units->data = units->scratch;
    units->capacity = units->scratch_capacity;
    units->scratch = data;
    units->scratch_capacity = capacity;
    units->count = count;
}

/* An inserted code point has the place of the one before it in the old text; the first has an empty one. */
static struct espi_unit inserted(const struct espi_units *units, size_t before, uint32_t code)
{
    struct espi_unit unit = {.code = code};
    if (before > 0) {
        unit = units->data[before - 1];
        unit.code = code;
    } else if (units->count > 0) {
        unit.begin = unit.end = units->data[0].begin;
        unit.index = units->data[0].index;
    }
    return unit;
}

static int space_chinese(esp_context *ctx, struct espi_units *units)
{
    int status = reserve_scratch(ctx, units, 3 * units->count);
    if (status)
        return status;
    size_t count = 0;
    for (size_t i = 0; i < units->count; i++) {
        struct espi_unit unit = units->data[i], space = unit; // the spaces have the place of what they surround
        space.code = ' ';
        bool chinese = espi_char_is(ESPI_CHAR_CHINESE, unit.code);
        if (chinese)
            units->scratch[count++] = space;
        units->scratch[count++] = unit;
        if (chinese)
            units->scratch[count++] = space;
    }
    swap_scratch(units, count);
    return ESP_OK;
}

/* While the decomposition is put in order, a unit's fields hold what to sort by and whether it was inserted. */
static struct espi_unit part_unit(uint32_t code, size_t position, bool added)
{
    return (struct espi_unit){code, espi_char_combining(code), added, (uint32_t)position};
}

static bool part_before(const struct espi_unit *a, const struct espi_unit *b)
{
    return a->begin != b->begin ? a->begin < b->begin : a->index < b->index;
}

static void sift_down(struct espi_unit *heap, size_t root, size_t count)
{
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && part_before(&heap[child], &heap[child + 1]))
            child++;
        if (!part_before(&heap[root], &heap[child]))
            return;
        struct espi_unit unit = heap[root];
        heap[root] = heap[child];
        heap[child] = unit;
    }
}

/* Sorts by combining class, then by position: a heap sort, which a text of nothing but marks cannot slow down. */
static void order_marks(struct espi_unit *marks, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        sift_down(marks, i, count);
    for (size_t last = count; last-- > 1;) {
        struct espi_unit unit = marks[0];
        marks[0] = marks[last];
        marks[last] = unit;
        sift_down(marks, 0, last);
    }
}

/* Canonical decomposition and ordering. Places go by position, as in the peer: the k-th code point that is not an
 * inserted one has the place of the k-th old one, an inserted one that of the old one before it. */
static int decompose(esp_context *ctx, struct espi_units *units)
{
    int status = reserve_scratch(ctx, units, ESPI_DECOMPOSED * units->count);
    if (status)
        return status;
    struct espi_unit *parts = units->scratch;
    size_t count = 0, first_mark = 0, old = 0;
    for (size_t i = 0; i < units->count; i++) {
        uint32_t codes[ESPI_DECOMPOSED];
        size_t code_count = espi_char_decompose(units->data[i].code, codes);
        for (size_t k = 0; k < code_count; k++, count++) {
            parts[count] = part_unit(codes[k], count, k > 0);
            if (parts[count].begin == 0) {
                order_marks(parts + first_mark, count - first_mark);
                first_mark = count + 1;
            }
        }
    }
    order_marks(parts + first_mark, count - first_mark);
    for (size_t i = 0; i < count; i++) {
        uint32_t code = parts[i].code;
        bool added = parts[i].end;
        parts[i] = added ? inserted(units, old, code) : units->data[old++];
        parts[i].code = code;
    }
    swap_scratch(units, count);
    return ESP_OK;
}

static void strip_marks(struct espi_units *units)
{
    size_t kept = 0;
    for (size_t i = 0; i < units->count; i++)
        if (!espi_char_is(ESPI_CHAR_MARK, units->data[i].code))
            units->data[kept++] = units->data[i];
    units->count = kept;
}

static int lower(esp_context *ctx, struct espi_units *units)
{
    int status = reserve_scratch(ctx, units, ESPI_LOWERED * units->count);
    if (status)
        return status;
    size_t count = 0;
    for (size_t i = 0; i < units->count; i++) {
        uint32_t lowered[ESPI_LOWERED];
        size_t lowered_count = espi_char_lower(units->data[i].code, lowered);
        for (size_t k = 0; k < lowered_count; k++) {
            units->scratch[count] = units->data[i];
            units->scratch[count++].code = lowered[k];
        }
    }
    swap_scratch(units, count);
    return ESP_OK;
}

int espi_normalize(esp_context *ctx, const struct espi_normalizer *normalizer, const unsigned char *text, size_t begin,
                   size_t end, uint32_t index, struct espi_units *units)
{
    const struct espi_normalizer_options *options = &normalizer->options;
    int status = decode(ctx, text, begin, end, index, units);
    if (!status && options->clean_text)
        clean(units);
    if (status || !units->count)
        return status;
    if (options->handle_chinese_chars)
        status = space_chinese(ctx, units);
    if (!status && options->strip_accents) {
        status = decompose(ctx, units);
        if (!status)
            strip_marks(units);
    }
    if (!status && options->lowercase)
        status = lower(ctx, units);
    return status;
}
