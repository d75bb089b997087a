/* SPDX-License-Identifier: Apache-2.0 */
#include "model/safetensors.h"

#include "base/foreign.h"
#include "base/json.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_LIMIT = 100000000, NAME_LIMIT = 512 };

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
#define X(name, bytes) {#name, bytes},
    ESPI_DTYPE_MAP(X)
#undef X
};

const char *espi_dtype_name(enum espi_dtype dtype)
{
    return dtypes[dtype].name;
}

/* ---- header ------------------------------------------------------------------------------------------------------- */

static int parse_dtype(esp_context *ctx, const struct espi_json *entry, struct espi_tensor *tensor)
{
    const char *name;
    int status = espi_json_get_string(ctx, entry, "dtype", &name, NULL);
    if (status)
        return status;
    for (size_t i = 0; i < ESPI_COUNT(dtypes); i++) {
        if (strcmp(dtypes[i].name, name) == 0) {
            tensor->dtype = (enum espi_dtype)i;
            return ESP_OK;
        }
    }
    struct espi_json at = espi_json_at(entry, "dtype");
    espi_json_fail(ctx, &at, "\"%.32s\" is not a known type of numbers", name);
    return ESP_ERR_UNSUPPORTED;
}

static int parse_shape(esp_context *ctx, const struct espi_json *entry, struct espi_tensor *tensor)
{
    struct espi_json shape = espi_json_at(entry, "shape");
    int status = espi_json_expect_array(ctx, &shape);
    if (status)
        return status;
    tensor->dims = espi_json_length(&shape);
    if (tensor->dims > ESPI_TENSOR_DIMS)
        return espi_json_fail(ctx, &shape, "expected at most %d dimensions, found %zu", ESPI_TENSOR_DIMS, tensor->dims);
    tensor->count = 1;
    bool fits = true;
    for (size_t i = 0; i < tensor->dims; i++) {
        struct espi_json extent = espi_json_item(&shape, i);
        int64_t size;
        if ((status = espi_json_integer(ctx, &extent, 0, INT64_MAX, &size)))
            return status;
        tensor->shape[i] = (size_t)size;
        fits = espi_size_mul(tensor->count, tensor->shape[i], &tensor->count) && fits;
    }
    if (!fits || !espi_size_mul(tensor->count, dtypes[tensor->dtype].bytes, &tensor->bytes))
        return espi_json_fail(ctx, &shape, "the product of the sizes is too large");
    return ESP_OK;
}

/* "data_offsets": [begin, end), which must hold exactly the bytes of the shape. */
static int parse_offsets(esp_context *ctx, const struct espi_json *entry, size_t available, struct espi_tensor *tensor)
{
    struct espi_json offsets = espi_json_at(entry, "data_offsets");
    int status = espi_json_expect_array(ctx, &offsets);
    if (status)
        return status;
    struct espi_json begin = espi_json_item(&offsets, 0), end = espi_json_item(&offsets, 1);
    int64_t low, high;
    if (espi_json_length(&offsets) != 2 || !espi_json_is_integer(begin.value, &low) ||
        !espi_json_is_integer(end.value, &high))
        return espi_json_fail(ctx, &offsets, "expected two integers, begin and end");
    if (low < 0 || high < low || (size_t)high > available)
        return espi_json_fail(ctx, &offsets, "expected offsets within the %zu bytes of data, found [%lld, %lld]",
                              available, (long long)low, (long long)high);
    if ((size_t)(high - low) != tensor->bytes)
        return espi_json_fail(ctx, &offsets, "expected the %zu bytes of the shape, found %lld", tensor->bytes,
                              (long long)(high - low));
    tensor->begin = (size_t)low;
    return ESP_OK;
}

static int parse_tensor(esp_context *ctx, const struct espi_json *entry, size_t available, struct espi_tensor *tensor)
{
    int status = espi_json_expect_object(ctx, entry);
    if (status || (status = parse_dtype(ctx, entry, tensor)) || (status = parse_shape(ctx, entry, tensor)))
        return status;
    return parse_offsets(ctx, entry, available, tensor);
}

static int check_metadata(esp_context *ctx, const struct espi_json *metadata)
{
    int status = espi_json_expect_object(ctx, metadata);
    const char *key;
    json_t *value;
    json_object_foreach(metadata->value, key, value)
    {
        struct espi_json at = espi_json_at(metadata, key);
        if (!status && !json_is_string(value))
            status = espi_json_fail(ctx, &at, "expected a string");
    }
    return status;
}

static int parse_entries(esp_context *ctx, const struct espi_json *header, size_t available,
                         struct espi_safetensors *out)
{
    out->tensors = espi_calloc(ctx, espi_json_length(header), sizeof *out->tensors);
    if (!out->tensors)
        return ESP_ERR_MEMORY;
    for (void *i = json_object_iter(header->value); i; i = json_object_iter_next(header->value, i)) {
        const char *key = json_object_iter_key(i);
        size_t length = strlen(key); // JSON text with a zero byte in a key was refused before
        struct espi_json entry = {
            .value = json_object_iter_value(i), .source = header->source, .parent = header, .key = key};
        int status;
        if (length == 0 || length > NAME_LIMIT)
            return espi_fail(ctx, ESP_ERR_FORMAT,
                             "%s: expected tensor names of 1 to %d bytes, found \"%.64s\" (%zu bytes)", out->source,
                             NAME_LIMIT, key, length);
        if (strcmp(key, "__metadata__") == 0) {
            if ((status = check_metadata(ctx, &entry)))
                return status;
            continue;
        }
        struct espi_tensor *tensor = &out->tensors[out->length];
        if ((status = parse_tensor(ctx, &entry, available, tensor)))
            return status;
        tensor->name = espi_arena_copy(ctx, &out->arena, key, length);
        if (!tensor->name)
            return ESP_ERR_MEMORY;
        out->length++;
    }
    return ESP_OK;
}

static int by_offset(const void *left, const void *right)
{
    const struct espi_tensor *a = left, *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static int by_name(const void *left, const void *right)
{
    const struct espi_tensor *a = left, *b = right;
    return strcmp(a->name, b->name);
}

/* The tensors must cover the data once: no overlap, no hole, nothing behind. */
static int check_cover(esp_context *ctx, struct espi_safetensors *file, size_t available)
{
    size_t end = 0;
    qsort(file->tensors, file->length, sizeof *file->tensors, by_offset);
    for (size_t i = 0; i < file->length; i++) {
        const struct espi_tensor *tensor = &file->tensors[i];
        if (tensor->begin < end)
            return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %.128s: overlaps %.128s", file->source, tensor->name,
                             file->tensors[i - 1].name);
        if (tensor->begin > end)
            return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %.128s: %zu bytes before it belong to no tensor", file->source,
                             tensor->name, tensor->begin - end);
        end += tensor->bytes;
    }
    if (end != available)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %zu bytes at the end belong to no tensor", file->source,
                         available - end);
    return ESP_OK;
}

/* Length of the header, which stands in the first eight bytes. */
static int read_length(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes, uint64_t *length)
{
    *length = 0;
    if (bytes < 8)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected a safetensors file, found only %zu bytes", source, bytes);
    for (size_t i = 0; i < 8; i++)
        *length |= (uint64_t)data[i] << 8 * i;
    if (*length > HEADER_LIMIT)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected a header of at most %d bytes, found %llu", source,
                         HEADER_LIMIT, (unsigned long long)*length);
    if (*length > bytes - 8)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: the header's %llu bytes end behind the file's %zu", source,
                         (unsigned long long)*length, bytes);
    if (*length == 0 || data[8] != '{')
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected a header that starts with '{'", source);
    return ESP_OK;
}

int espi_safetensors_parse(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes,
                           struct espi_safetensors *out)
{
    static const char advice[] = "save the model as safetensors (in transformers: model.save_pretrained(directory, "
                                 "safe_serialization=True))";
    *out = (struct espi_safetensors){.source = source};
    uint64_t length;
    int status = read_length(ctx, source, data, bytes, &length);
    if (status) {
        int foreign = espi_foreign_check(ctx, source, "a safetensors file", advice, data, bytes);
        if (!foreign && bytes >= 8 && data[0] == '{' && data[7]) // no length is that great; a hub may answer so
            foreign =
                espi_fail(ctx, ESP_ERR_FORMAT,
                          "%s: expected a safetensors file, found JSON text, such as the message of a failed download: "
                          "fetch the file itself",
                          source);
        return foreign ? foreign : status;
    }
    size_t start = 8 + (size_t)length, available = bytes - start;
    struct espi_json header;
    status = espi_json_open_text(ctx, source, (const char *)data + 8, (size_t)length, &header);
    if (status)
        return status;
    status = parse_entries(ctx, &header, available, out);
    espi_json_close(&header);
    if (!status)
        status = check_cover(ctx, out, available);
    if (status) {
        espi_safetensors_clear(out);
        return status;
    }
    for (size_t i = 0; i < out->length; i++)
        out->tensors[i].data = data + start + out->tensors[i].begin;
    qsort(out->tensors, out->length, sizeof *out->tensors, by_name);
    return ESP_OK;
}

int espi_safetensors_open(esp_context *ctx, const char *path, struct espi_safetensors *out)
{
    struct espi_map map;
    *out = (struct espi_safetensors){0};
    int status = espi_map_open(ctx, path, &map);
    if (status)
        return status;
    status = espi_safetensors_parse(ctx, path, map.data, map.bytes, out);
    if (status)
        espi_map_close(&map);
    else
        out->map = map;
    return status;
}

void espi_safetensors_clear(struct espi_safetensors *file)
{
    free(file->tensors);
    espi_map_close(&file->map);
    espi_arena_clear(&file->arena);
    *file = (struct espi_safetensors){0};
}

struct espi_tensor *espi_safetensors_find(const struct espi_safetensors *file, const char *name)
{
    struct espi_tensor key = {.name = name};
    return file->length ? bsearch(&key, file->tensors, file->length, sizeof key, by_name) : NULL;
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

static uint32_t widen_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    uint32_t bits;
    if (exponent == 31)
        bits = 0x7f800000u | fraction << 13;
    else if (exponent)
        bits = (exponent + 112) << 23 | fraction << 13;
    else {
        float value = (float)fraction * 0x1p-24f; // exact: a subnormal half is a normal float
        memcpy(&bits, &value, sizeof bits);
    }
    return sign | bits;
}

enum { BLOCK = 1024 }; // values handled while they are in the first cache

static void widen_block(const struct espi_tensor *tensor, size_t first, size_t count, float *out)
{
    if (tensor->dtype == ESPI_DTYPE_F32) {
        memcpy(out, tensor->data + 4 * first, 4 * count);
        return;
    }
    uint16_t halves[BLOCK];
    memcpy(halves, tensor->data + 2 * first, 2 * count);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = tensor->dtype == ESPI_DTYPE_F16 ? widen_f16(halves[i]) : (uint32_t)halves[i] << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

/* Non-zero when one of 16 values is infinite or not a number: all bits of its exponent are set. */
static uint32_t not_finite(const float values[16])
{
    uint32_t bits[16], bad = 0;
    memcpy(bits, values, sizeof bits);
    for (size_t i = 0; i < 16; i++)
        bad |= (bits[i] & 0x7f800000u) == 0x7f800000u;
    return bad;
}

bool espi_tensor_widen(const struct espi_tensor *tensor, float *out)
{
    uint32_t bad = 0;
    for (size_t first = 0; first < tensor->count; first += BLOCK) {
        size_t count = espi_size_min(BLOCK, tensor->count - first), i = 0;
        float *block = out + first, rest[16] = {0};
        widen_block(tensor, first, count, block);
        for (; i + 16 <= count; i += 16)
            bad |= not_finite(block + i);
        memcpy(rest, block + i, (count - i) * sizeof *rest);
        bad |= not_finite(rest);
    }
    return !bad;
}
