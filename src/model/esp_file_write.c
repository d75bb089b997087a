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

/* Errors stay in the stream for commit to report. */
static void write_all(FILE *stream, const struct espi_esp_header *header, const struct espi_esp_section *table,
                      const struct espi_esp_source *sources, size_t count)
{
    static const unsigned char zeros[ESPI_ESP_ALIGN];
    fwrite(header, sizeof *header, 1, stream);
    fwrite(table, sizeof *table, count, stream);
    for (size_t i = 0; i < count; i++) {
        size_t bytes = table[i].bytes;
        fwrite(sources[i].data, 1, bytes, stream);
        fwrite(zeros, 1, espi_round_up(bytes, ESPI_ESP_ALIGN) - bytes, stream);
    }
}

int espi_esp_file_write(esp_context *ctx, const char *path, const struct espi_esp_source *sources, size_t count)
{
    if (!count || count > ESPI_ESP_MAX_SECTIONS)
        return espi_fail(ctx, ESP_ERR_LIMIT, "%s: expected 1 to %d sections, found %zu", path, ESPI_ESP_MAX_SECTIONS,
                         count);
    struct espi_esp_section *table = espi_calloc(ctx, count, sizeof *table);
    if (!table)
        return ESP_ERR_MEMORY;
    struct espi_esp_header header = {
        .version = ESPI_ESP_VERSION,
        .header_bytes = sizeof header,
        .section_count = (uint32_t)count,
        .section_bytes = sizeof *table,
    };
    size_t bytes = 0;
    int status = lay_out(ctx, path, sources, count, table, &bytes);
    struct espi_output output = {0};
    if (!status)
        status = espi_output_create(ctx, &output, path);
    if (!status) {
        memcpy(header.magic, ESPI_ESP_MAGIC, sizeof header.magic);
        header.file_bytes = bytes;
        header.table_crc = espi_crc32c(0, table, count * sizeof *table);
        header.header_crc = espi_crc32c(0, &header, offsetof(struct espi_esp_header, header_crc));
        write_all(output.stream, &header, table, sources, count);
        status = espi_output_commit(ctx, &output);
    }
    free(table);
    return status;
}
