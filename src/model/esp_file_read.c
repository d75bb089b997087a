/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"
#include "base/size.h"
#include "model/esp_file.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* ---- names --------------------------------------------------------------------------------------------------------- */

static const char *kind_name(uint32_t kind)
{
    switch (kind) {
    case ESPI_ESP_CONFIG:
        return "config";
    case ESPI_ESP_MODEL:
        return "model";
    case ESPI_ESP_TOKENIZER:
        return "tokenizer";
#define SECTION(name, number, text)                                                                                    \
    case number:                                                                                                       \
        return text;
#define TENSOR(...)
#include "model/tensors.inc"
#undef SECTION
#undef TENSOR
    default:
        return NULL;
    }
}

const char *espi_esp_section_name(uint32_t kind, uint32_t layer, char text[ESPI_ESP_NAME_BYTES])
{
    const char *name = kind_name(kind);
    if (!name)
        snprintf(text, ESPI_ESP_NAME_BYTES, "section of kind %" PRIu32, kind);
    else if (kind >= ESPI_ESP_QKV && kind <= ESPI_ESP_FFN_NORM)
        snprintf(text, ESPI_ESP_NAME_BYTES, "layer %" PRIu32 ": %s", layer, name);
    else
        snprintf(text, ESPI_ESP_NAME_BYTES, "%s", name);
    return text;
}

const char *espi_esp_encoding_name(uint32_t encoding)
{
    switch (encoding) {
#define X(name, number, text, what)                                                                                    \
    case number:                                                                                                       \
        return text;
        ESPI_ESP_ENCODING_MAP(X)
#undef X
    default:
        return "unknown";
    }
}

bool espi_esp_kind_known(uint32_t kind)
{
    return kind_name(kind) != NULL;
}

bool espi_esp_encoding_known(uint32_t encoding)
{
    return strcmp(espi_esp_encoding_name(encoding), "unknown") != 0;
}

/* ---- header and table ---------------------------------------------------------------------------------------------- */

static int bad(esp_context *ctx, const char *source, const char *field, uint64_t expected, uint64_t found)
{
    return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %s: expected %" PRIu64 ", found %" PRIu64, source, field, expected,
                     found);
}

static int bad_crc(esp_context *ctx, const char *source, const char *part, uint32_t stated, uint32_t found)
{
    return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %s: damaged: its checksum is %08" PRIx32 ", the file says %08" PRIx32,
                     source, part, found, stated);
}

static int check_header(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes)
{
    const struct espi_esp_header *header = (const void *)data;
    if (bytes < sizeof header->magic || memcmp(header->magic, ESPI_ESP_MAGIC, sizeof header->magic) != 0)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: not a compiled model: it does not start with the magic bytes",
                         source);
    if (bytes < sizeof *header)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: cut short: %zu bytes are less than its header", source, bytes);
    if (header->version < ESPI_ESP_VERSION) // of a later version everything is read that this one knows
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED,
                         "%s: version: expected %d or later, found %" PRIu32
                         "; make it again from its checkpoint: espalier compile CHECKPOINT -o %s",
                         source, ESPI_ESP_VERSION, header->version, source);
    uint32_t crc = espi_crc32c(0, data, offsetof(struct espi_esp_header, header_crc));
    if (crc != header->header_crc)
        return bad_crc(ctx, source, "header", header->header_crc, crc);
    if (header->header_bytes != sizeof *header)
        return bad(ctx, source, "header_bytes", sizeof *header, header->header_bytes);
    if (header->section_bytes != sizeof(struct espi_esp_section))
        return bad(ctx, source, "section_bytes", sizeof(struct espi_esp_section), header->section_bytes);
    for (size_t i = 0; i < ESPI_COUNT(header->reserved); i++)
        if (header->reserved[i])
            return bad(ctx, source, "reserved field of the header", 0, header->reserved[i]);
    if (header->file_bytes != bytes)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %s: the file has %zu bytes, its header says %" PRIu64, source,
                         bytes < header->file_bytes ? "cut short" : "has bytes behind its end", bytes,
                         header->file_bytes);
    if (!header->section_count || header->section_count > ESPI_ESP_MAX_SECTIONS)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: section_count: expected 1 to %d, found %" PRIu32, source,
                         ESPI_ESP_MAX_SECTIONS, header->section_count);
    return ESP_OK;
}

static int check_table(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes)
{
    const struct espi_esp_header *header = (const void *)data;
    size_t table_bytes = header->section_count * sizeof(struct espi_esp_section);
    if (table_bytes > bytes - sizeof *header)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: section table: %" PRIu32 " sections do not fit into %zu bytes",
                         source, header->section_count, bytes);
    uint32_t crc = espi_crc32c(0, data + sizeof *header, table_bytes);
    return crc == header->table_crc ? ESP_OK : bad_crc(ctx, source, "section table", header->table_crc, crc);
}

/* ---- sections ------------------------------------------------------------------------------------------------------ */

static int section_fail(esp_context *ctx, const char *source, const struct espi_esp_section *section, const char *field,
                        uint64_t expected, uint64_t found)
{
    char name[ESPI_ESP_NAME_BYTES];
    return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %s: %s: expected %" PRIu64 ", found %" PRIu64, source,
                     espi_esp_section_name(section->kind, section->layer, name), field, expected, found);
}

/* The section's bytes and the zeros behind it, up to the next multiple of 64, which `*end` moves to. */
static int check_section(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes,
                         const struct espi_esp_section *section, bool checksums, size_t *end)
{
    char name[ESPI_ESP_NAME_BYTES];
    espi_esp_section_name(section->kind, section->layer, name);
    if (section->offset != *end)
        return section_fail(ctx, source, section, "offset", *end, section->offset);
    if (section->reserved)
        return section_fail(ctx, source, section, "reserved field", 0, section->reserved);
    if (section->bytes > bytes - *end)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %s: %" PRIu64 " bytes at %zu reach past the end of the file at %zu",
                         source, name, section->bytes, *end, bytes);
    const unsigned char *begin = data + section->offset;
    uint32_t crc = checksums ? espi_crc32c(0, begin, section->bytes) : section->crc;
    if (crc != section->crc)
        return bad_crc(ctx, source, name, section->crc, crc);
    *end = espi_round_up(section->offset + section->bytes, ESPI_ESP_ALIGN);
    if (*end > bytes)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %s: the zeros behind it are missing", source, name);
    for (size_t i = section->offset + section->bytes; i < *end; i++)
        if (data[i])
            return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %s: expected zeros behind it, found %u at %zu", source, name,
                             data[i], i);
    return ESP_OK;
}

int espi_esp_file_parse(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes, bool checksums,
                        struct espi_esp_file *out)
{
    *out = (struct espi_esp_file){0};
    assert(bytes == 0 || (uintptr_t)data % ESPI_ESP_ALIGN == 0);
    int status = check_header(ctx, source, data, bytes);
    if (!status)
        status = check_table(ctx, source, data, bytes);
    if (status)
        return status;
    const struct espi_esp_header *header = (const void *)data;
    const struct espi_esp_section *sections = (const void *)(data + sizeof *header);
    size_t end = sizeof *header + header->section_count * sizeof *sections;
    for (size_t i = 0; i < header->section_count; i++) {
        status = check_section(ctx, source, data, bytes, &sections[i], checksums, &end);
        if (status)
            return status;
    }
    if (end != bytes)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected the last section to end at %zu, found %zu", source, bytes,
                         end);
    *out = (struct espi_esp_file){
        .source = source, .data = data, .bytes = bytes, .sections = sections, .count = header->section_count};
    return ESP_OK;
}

/* The result owns `map`, which is closed when it fails. */
static int parse_map(esp_context *ctx, const char *source, struct espi_map *map, const struct espi_esp_opening *how,
                     struct espi_esp_file *out)
{
    int status = espi_esp_file_parse(ctx, source, map->data, map->bytes, !how->skip_checksums, out);
    if (status)
        espi_map_close(map);
    else
        out->map = *map;
    return status;
}

int espi_esp_file_open(esp_context *ctx, const char *path, const struct espi_esp_opening *how,
                       struct espi_esp_file *out)
{
    struct espi_map map;
    *out = (struct espi_esp_file){0};
    if (espi_path_is_directory(path))
        return espi_fail(
            ctx, ESP_ERR_FORMAT,
            "%s: expected a compiled file, found a directory; `espalier compile` makes a file of a checkpoint", path);
    int status = how->copy ? espi_map_copy(ctx, path, &map) : espi_map_open(ctx, path, &map);
    return status ? status : parse_map(ctx, path, &map, how, out);
}

int espi_esp_file_load(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes,
                       const struct espi_esp_opening *how, struct espi_esp_file *out)
{
    struct espi_map map;
    *out = (struct espi_esp_file){0};
    if (!how->copy)
        return espi_esp_file_parse(ctx, source, data, bytes, !how->skip_checksums, out);
    int status = espi_map_copy_memory(ctx, source, data, bytes, &map);
    return status ? status : parse_map(ctx, source, &map, how, out);
}

void espi_esp_file_close(struct espi_esp_file *file)
{
    if (file->map.data)
        espi_map_close(&file->map);
    *file = (struct espi_esp_file){0};
}

int espi_esp_recognize(esp_context *ctx, const char *path, bool *compiled)
{
    const size_t length = sizeof ESPI_ESP_MAGIC - 1;
    struct espi_map map;
    *compiled = false;
    int status = espi_map_open(ctx, path, &map); // neither waits for a pipe nor takes anything out of it
    if (status)
        return status;
    *compiled = map.bytes >= length && !memcmp(map.data, ESPI_ESP_MAGIC, length);
    espi_map_close(&map);
    return ESP_OK;
}

bool espi_esp_is_file(const char *path)
{
    bool compiled;
    return !espi_esp_recognize(NULL, path, &compiled) && compiled;
}
