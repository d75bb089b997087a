/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"
#include "base/memory.h"
#include "base/size.h"
#include "model/esp_file.h"

#include <stdlib.h>
#include <string.h>

/* Fills the table and gives the size of the whole file. */
static int lay_out(esp_context *ctx, const char *path, const struct espi_esp_source *sources, size_t count,
                   struct espi_esp_section *table, size_t *bytes)
{
    size_t end = sizeof(struct espi_esp_header) + count * sizeof *table;
    for (size_t i = 0; i < count; i++) {
        table[i] = sources[i].section;
        table[i].offset = end;
        table[i].crc = espi_crc32c(0, sources[i].data, table[i].bytes);
        table[i].reserved = 0;
        if (!espi_size_add(end, table[i].bytes, &end) || end > SIZE_MAX - ESPI_ESP_ALIGN)
            return espi_fail(ctx, ESP_ERR_LIMIT, "%s: the model is too large", path);
        end = espi_round_up(end, ESPI_ESP_ALIGN);
    }
    *bytes = end;
    return ESP_OK;
}

static void put_header(const struct espi_esp_section *table, size_t count, size_t bytes, unsigned char *image)
{
    struct espi_esp_header header = {
        .version = ESPI_ESP_VERSION,
        .header_bytes = sizeof header,
        .file_bytes = bytes,
        .section_count = (uint32_t)count,
        .section_bytes = sizeof *table,
        .table_crc = espi_crc32c(0, table, count * sizeof *table),
    };
    memcpy(header.magic, ESPI_ESP_MAGIC, sizeof header.magic);
    header.header_crc = espi_crc32c(0, &header, offsetof(struct espi_esp_header, header_crc));
    memcpy(image, &header, sizeof header);
    memcpy(image + sizeof header, table, count * sizeof *table);
}

int espi_esp_file_image(esp_context *ctx, const char *name, const struct espi_esp_source *sources, size_t count,
                        unsigned char **image, size_t *bytes)
{
    *image = NULL;
    if (!count || count > ESPI_ESP_MAX_SECTIONS)
        return espi_fail(ctx, ESP_ERR_LIMIT, "%s: expected 1 to %d sections, found %zu", name, ESPI_ESP_MAX_SECTIONS,
                         count);
    struct espi_esp_section *table = espi_calloc(ctx, count, sizeof *table);
    if (!table)
        return ESP_ERR_MEMORY;
    int status = lay_out(ctx, name, sources, count, table, bytes);
    if (!status) {
        *image = espi_calloc_aligned(ctx, *bytes, 1);
        status = *image ? ESP_OK : ESP_ERR_MEMORY;
    }
    if (!status)
        put_header(table, count, *bytes, *image);
    for (size_t i = 0; !status && i < count; i++)
        memcpy(*image + table[i].offset, sources[i].data, table[i].bytes);
    free(table);
    return status;
}
