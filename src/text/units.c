/* SPDX-License-Identifier: Apache-2.0 */
#include "text/units.h"

#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>

void espi_units_clear(struct espi_units *units)
{
    free(units->data);
    free(units->scratch);
    *units = (struct espi_units){0};
}

int espi_units_decode(esp_context *ctx, const unsigned char *text, size_t begin, size_t end, uint32_t index,
                      struct espi_units *units)
{
    units->count = 0;
    int status = espi_grow(ctx, &units->data, &units->capacity, end - begin, sizeof *units->data);
    for (size_t at = begin; at < end && !status;) {
        struct espi_unit *unit = &units->data[units->count++];
        unit->begin = (uint32_t)at;
        unit->code = text[at];
        at += unit->code < 128 ? 1 : espi_utf8_decode(text + at, end - at, &unit->code);
        unit->end = (uint32_t)at;
        unit->index = index++;
    }
    return status;
}

int espi_units_reserve(esp_context *ctx, struct espi_units *units, size_t count)
{
    return espi_grow(ctx, &units->scratch, &units->scratch_capacity, count, sizeof *units->scratch);
}

void espi_units_swap(struct espi_units *units, size_t count)
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

void espi_units_place(struct espi_units *units, size_t count)
{
    size_t old = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t code = units->scratch[i].code, taken = units->scratch[i].index;
        assert(!taken || old < units->count);
        units->scratch[i] = taken ? units->data[old] : inserted(units, old, code);
        units->scratch[i].code = code;
        old += taken;
    }
    espi_units_swap(units, count);
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

typedef size_t decompose_fn(uint32_t code, uint32_t *out);

/* Room in `scratch` for what becomes of all units. */
static int reserve_parts(esp_context *ctx, struct espi_units *units, decompose_fn *function)
{
    uint32_t codes[ESPI_DECOMPOSED_COMPATIBLE];
    size_t count = 0;
    for (size_t i = 0; i < units->count; i++)
        count += units->data[i].code < 0x80 ? 1 : function(units->data[i].code, codes);
    return espi_units_reserve(ctx, units, count);
}

/* The parts of all units, decomposed and in order, in `scratch`; room for them is there. */
static size_t decompose(struct espi_units *units, decompose_fn *function)
{
    struct espi_unit *parts = units->scratch;
    size_t count = 0, first_mark = 0;
    for (size_t i = 0; i < units->count; i++) {
        uint32_t codes[ESPI_DECOMPOSED_COMPATIBLE] = {units->data[i].code};
        size_t code_count = codes[0] < 0x80 ? 1 : function(codes[0], codes);
        for (size_t k = 0; k < code_count; k++, count++) {
            parts[count] = part_unit(codes[k], count, k > 0);
            if (parts[count].begin == 0) {
                order_marks(parts + first_mark, count - first_mark);
                first_mark = count + 1;
            }
        }
    }
    order_marks(parts + first_mark, count - first_mark);
    return count;
}

/* Joins parts; what a part has taken in beyond those that were inserted is counted in `index`. */
static size_t compose(struct espi_unit *parts, size_t count)
{
    size_t kept = 0, starter = SIZE_MAX;
    uint32_t last_class = 0;
    for (size_t i = 0; i < count; i++) {
        struct espi_unit part = parts[i];
        uint32_t class = part.begin;
        bool blocked = starter == SIZE_MAX || (kept > starter + 1 && (class == 0 || last_class >= class));
        uint32_t joined = blocked ? 0 : espi_char_compose(parts[starter].code, part.code);
        if (joined) {
            parts[starter].code = joined;
            parts[starter].index += !part.end;
            continue;
        }
        part.index = 0;
        if (class == 0)
            starter = kept;
        last_class = class;
        parts[kept++] = part;
    }
    return kept;
}

static bool is_ascii(const struct espi_units *units)
{
    uint32_t all = 0;
    for (size_t i = 0; i < units->count; i++)
        all |= units->data[i].code;
    return all < 0x80;
}

static int transform(esp_context *ctx, struct espi_units *units, decompose_fn *function, bool composed)
{
    if (is_ascii(units))
        return ESP_OK;
    int status = reserve_parts(ctx, units, function);
    if (status)
        return status;
    struct espi_unit *parts = units->scratch;
    size_t count = decompose(units, function);
    if (composed)
        count = compose(parts, count);
    for (size_t i = 0; i < count; i++)
        parts[i].index = !parts[i].end + (composed ? parts[i].index : 0);
    espi_units_place(units, count);
    return ESP_OK;
}

int espi_units_decompose(esp_context *ctx, struct espi_units *units)
{
    return transform(ctx, units, espi_char_decompose, false);
}

int espi_units_compose(esp_context *ctx, struct espi_units *units)
{
    return transform(ctx, units, espi_char_decompose, true);
}

int espi_units_decompose_compatible(esp_context *ctx, struct espi_units *units)
{
    return transform(ctx, units, espi_char_decompose_compatible, false);
}

int espi_units_compose_compatible(esp_context *ctx, struct espi_units *units)
{
    return transform(ctx, units, espi_char_decompose_compatible, true);
}

void espi_units_drop(struct espi_units *units, enum espi_char_class which)
{
    size_t kept = 0;
    for (size_t i = 0; i < units->count; i++)
        if (!espi_char_is(which, units->data[i].code))
            units->data[kept++] = units->data[i];
    units->count = kept;
}

int espi_units_lower(esp_context *ctx, struct espi_units *units)
{
    int status = espi_units_reserve(ctx, units, ESPI_LOWERED * units->count);
    if (status)
        return status;
    size_t count = 0;
    for (size_t i = 0; i < units->count; i++) {
        uint32_t lowered[ESPI_LOWERED];
        uint32_t code = units->data[i].code;
        if (code < 0x80) {
            units->scratch[count] = units->data[i];
            units->scratch[count++].code = code >= 'A' && code <= 'Z' ? code + 32 : code;
            continue;
        }
        size_t lowered_count = espi_char_lower(code, lowered);
        for (size_t k = 0; k < lowered_count; k++) {
            units->scratch[count] = units->data[i];
            units->scratch[count++].code = lowered[k];
        }
    }
    espi_units_swap(units, count);
    return ESP_OK;
}
