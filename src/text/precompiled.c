/* SPDX-License-Identifier: Apache-2.0 */
#include "text/precompiled.h"

#include "base/base64.h"
#include "text/tokenizer_tables.h"

#include <stdlib.h>
#include <string.h>

/* A unit of the double array (Darts-clone's): a leaf has the highest bit and a value, another one a label, whether a leaf
 * belongs to it, and the distance to its children. */
struct precompiled {
    const uint32_t *array; // (count), little-endian
    size_t count;          // a multiple of 256
    const char *texts;     // (text_bytes), the last byte is 0
    size_t text_bytes;
    bool ascii_plain[128]; // no key begins with it
};

enum { BLOCK = 256, WHOLE_BELOW = 6 }; // clusters of fewer bytes are looked up whole

static const uint32_t leaf = 1u << 31;

static bool has_leaf(uint32_t unit)
{
    return unit >> 8 & 1;
}

static size_t distance(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

/* ---- a text --------------------------------------------------------------------------------------------------------- */

/* What stands for the shortest key that `key` begins with, or NULL. */
static const char *look_up(const struct precompiled *map, const unsigned char *key, size_t bytes)
{
    size_t at = distance(map->array[0]);
    for (size_t i = 0; i < bytes && key[i]; i++) {
        at ^= key[i];
        uint32_t unit = map->array[at];
        if ((unit & (leaf | 0xff)) != key[i])
            return NULL;
        at ^= distance(unit);
        if (has_leaf(unit))
            return map->texts + (map->array[at] & ~leaf);
    }
    return NULL;
}

struct output {
    struct espi_units *units;
    size_t count;
    bool changed;
};

static int put(esp_context *ctx, struct output *out, uint32_t code, uint32_t taken)
{
    if (out->count == out->units->scratch_capacity) {
        int status = espi_units_reserve(ctx, out->units, out->count + 1);
        if (status)
            return status;
    }
    out->units->scratch[out->count++] = (struct espi_unit){.code = code, .index = taken};
    return ESP_OK;
}

/* In the place of `old` code points. What is gone counts with what stands before it; at the beginning it is forgotten, as in the
 * peer. */
static int put_text(esp_context *ctx, struct output *out, const char *text, uint32_t old)
{
    const unsigned char *data = (const unsigned char *)text;
    size_t bytes = strlen(text);
    uint32_t code;
    int status = ESP_OK;
    out->changed = true;
    for (size_t at = 0; at < bytes && !status; old -= old > 0) {
        at += espi_utf8_decode(data + at, bytes - at, &code);
        status = put(ctx, out, code, old > 0);
    }
    if (out->count)
        out->units->scratch[out->count - 1].index += old;
    return status;
}

/* Units [begin, end) as bytes; 0 when they are too many to be looked up. */
static size_t cluster_bytes(const struct espi_unit *data, size_t begin, size_t end, unsigned char out[WHOLE_BELOW + 4])
{
    size_t bytes = 0;
    for (size_t i = begin; i < end && bytes < WHOLE_BELOW; i++)
        bytes += espi_utf8_encode(data[i].code, out + bytes);
    return bytes < WHOLE_BELOW ? bytes : 0;
}

static int put_cluster(esp_context *ctx, const struct precompiled *map, const struct espi_unit *data, size_t begin,
                       size_t end, struct output *out)
{
    unsigned char bytes[WHOLE_BELOW + 4];
    size_t length = end - begin > 1 ? cluster_bytes(data, begin, end, bytes) : 0;
    const char *text = length ? look_up(map, bytes, length) : NULL;
    int status = ESP_OK;
    if (text)
        return put_text(ctx, out, text, (uint32_t)(end - begin));
    for (size_t i = begin; i < end && !status; i++) {
        text = look_up(map, bytes, espi_utf8_encode(data[i].code, bytes));
        status = text ? put_text(ctx, out, text, 1) : put(ctx, out, data[i].code, 1);
    }
    return status;
}

static bool is_plain(const struct precompiled *map, uint32_t code)
{
    return code < 128 && map->ascii_plain[code];
}

static int normalize(esp_context *ctx, const void *self, struct espi_units *units)
{
    const struct precompiled *map = self;
    const struct espi_unit *data = units->data;
    struct output out = {.units = units};
    int status = ESP_OK;
    for (size_t at = 0, end; at < units->count && !status; at = end) {
        int32_t state = 0;
        end = at + 1;
        if (is_plain(map, data[at].code) && (end == units->count || data[end].code < 128)) {
            status = put(ctx, &out, data[at].code, 1);
            continue;
        }
        while (end < units->count && espi_char_joins(data[end - 1].code, data[end].code, &state))
            end++;
        status = put_cluster(ctx, map, data, at, end, &out);
    }
    if (!status && out.changed)
        espi_units_place(units, out.count);
    return status;
}

/* ---- tokenizer.json --------------------------------------------------------------------------------------------------- */

/* Every step from every node stays inside, and leads to texts that are there. NULL when all is well. */
static const char *check(struct precompiled *map)
{
    if (map->count < BLOCK || map->count % BLOCK)
        return "blocks of 256 units";
    if (!map->text_bytes || map->texts[map->text_bytes - 1])
        return "texts that end with a zero byte";
    for (size_t i = 0; i < map->count; i++) {
        uint32_t unit = map->array[i];
        size_t at = i ^ distance(unit);
        if (i && unit & leaf)
            continue;
        if (at >= map->count)
            return "units that lead to others";
        if (has_leaf(unit) && (map->array[at] & ~leaf) >= map->text_bytes)
            return "units that lead to texts";
    }
    for (size_t code = 0; code < 128; code++) {
        size_t at = distance(map->array[0]) ^ code;
        map->ascii_plain[code] = (map->array[at] & (leaf | 0xff)) != code && code != '\r';
    }
    return NULL;
}

/* u32 size of the array in bytes, the array, the texts. */
static int set(esp_context *ctx, esp_tokenizer *tokenizer, const char *source, const unsigned char *charsmap,
               size_t bytes, struct precompiled *map)
{
    size_t array_bytes = bytes < 4 ? 0
                                   : (size_t)charsmap[0] | (size_t)charsmap[1] << 8 | (size_t)charsmap[2] << 16 |
                                         (size_t)charsmap[3] << 24;
    if (bytes < 4 || array_bytes > bytes - 4 || array_bytes % 4)
        return espi_fail(ctx, ESP_ERR_FORMAT,
                         "%s: precompiled_charsmap: expected a size and an array of that many bytes, found %zu bytes",
                         source, bytes);
    uint32_t *array = espi_arena_alloc(ctx, &tokenizer->arena, array_bytes / 4 + 1, 4);
    map->texts =
        espi_arena_copy(ctx, &tokenizer->arena, (const char *)charsmap + 4 + array_bytes, bytes - 4 - array_bytes);
    if (!array || !map->texts)
        return ESP_ERR_MEMORY;
    memcpy(array, charsmap + 4, array_bytes);
    map->array = array;
    map->count = array_bytes / 4;
    map->text_bytes = bytes - 4 - array_bytes + 1;
    const char *expected = check(map);
    if (expected)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: precompiled_charsmap: expected %s", source, expected);
    return ESP_OK;
}

static int read(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    const char *text;
    size_t length, bytes = 0;
    int status = espi_json_get_string(ctx, json, "precompiled_charsmap", &text, &length);
    if (status)
        return status;
    unsigned char *charsmap = espi_calloc(ctx, length + 1, 1);
    if (!charsmap)
        return ESP_ERR_MEMORY;
    if (!espi_base64_decode(text, length, charsmap, &bytes))
        status = espi_json_fail(ctx, json, "precompiled_charsmap: expected Base64");
    if (!status)
        status = set(ctx, tokenizer, json->source, charsmap, bytes, self);
    free(charsmap);
    return status;
}

static void write(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    (void)tokenizer;
    const struct precompiled *map = self;
    size_t array_bytes = 4 * map->count, bytes = 4 + array_bytes + map->text_bytes - 1;
    unsigned char *charsmap = malloc(bytes);
    char *text = malloc(espi_base64_length(bytes) + 1);
    if (charsmap && text) {
        for (size_t i = 0; i < 4; i++)
            charsmap[i] = (unsigned char)(array_bytes >> 8 * i);
        memcpy(charsmap + 4, map->array, array_bytes);
        memcpy(charsmap + 4 + array_bytes, map->texts, map->text_bytes - 1);
        espi_base64_encode(charsmap, bytes, text);
        espi_put_string(w, "precompiled_charsmap", text);
    } else {
        w->status = ESP_ERR_MEMORY;
    }
    free(charsmap);
    free(text);
}

/* ---- compiled file ---------------------------------------------------------------------------------------------------- */

enum { ARRAY_UNITS, ARRAY_TEXTS, ARRAYS };

static int put_tables(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    (void)record;
    const struct precompiled *map = self;
    espi_tables_put_array(writer, ARRAY_UNITS, map->array, map->count, sizeof *map->array);
    espi_tables_put_array(writer, ARRAY_TEXTS, map->texts, map->text_bytes, 1);
    return ESP_OK;
}

static int take(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    struct precompiled *map = self;
    const void *array = NULL, *texts = NULL;
    int status = espi_tables_shape(reader, record, 0, 0, ARRAYS);
    if (!status)
        status = espi_tables_view(reader, record, ARRAY_UNITS, "charsmap", sizeof *map->array, BLOCK, INT32_MAX, &array,
                                  &map->count);
    if (!status)
        status = espi_tables_view(reader, record, ARRAY_TEXTS, "texts of the charsmap", 1, 1, INT32_MAX, &texts,
                                  &map->text_bytes);
    if (status)
        return status;
    map->array = array;
    map->texts = texts;
    const char *expected = check(map);
    if (expected)
        return espi_fail(reader->ctx, ESP_ERR_FORMAT, "%s: tokenizer: charsmap: expected %s", reader->source, expected);
    return ESP_OK;
}

const struct espi_stage_form espi_precompiled = {
    .place = ESPI_PLACE_NORMALIZER,
    .kind = 12,
    .type = "Precompiled",
    .size = sizeof(struct precompiled),
    .read = read,
    .write = write,
    .put = put_tables,
    .take = take,
    .normalize = normalize,
};
