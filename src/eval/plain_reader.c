/* SPDX-License-Identifier: Apache-2.0
 * Running text: a paragraph a line, blank lines between documents. */
#include "base/memory.h"
#include "eval/data_file.h"
#include "eval/evaluator.h"

#include <stdlib.h>
#include <string.h>

const char *const espi_pack_words[] = {"document", "file", "line", NULL};

/* A document is handed on in parts of about so many bytes, at ends of lines: a book would be too long a wait between two
 * signs of life, and nobody's memory has to hold all of a file. */
enum { PART_BYTES = 1 << 16 };

struct plain {
    struct espi_dataset base;
    struct espi_data_file file;
    enum espi_pack pack;
    char *part; // (part_room) lines, each with its end
    size_t part_room;
};

static void plain_close(struct espi_dataset *dataset)
{
    struct plain *plain = (struct plain *)dataset;
    espi_data_file_close(&plain->file);
    free(plain->part);
    free(plain);
}

static int add_line(esp_context *ctx, struct plain *plain, size_t *bytes)
{
    const struct espi_lines *lines = &plain->file.lines;
    const struct espi_example place = {.source = plain->file.path, .number = lines->number};
    int status = espi_example_check_text(ctx, &place, lines->text, lines->length);
    if (!status)
        status = espi_grow(ctx, &plain->part, &plain->part_room, *bytes + lines->length + 1, 1);
    if (status)
        return status;
    memcpy(plain->part + *bytes, lines->text, lines->length);
    *bytes += lines->length;
    plain->part[(*bytes)++] = '\n';
    return ESP_OK;
}

/* Gathers lines up to the end of what a window may not leave. 1, 0 at the end of the file, or negative. */
static int gather(esp_context *ctx, struct plain *plain, size_t *bytes, size_t *number)
{
    int found;
    *bytes = *number = 0;
    while ((found = espi_lines_next(ctx, &plain->file.lines)) > 0) {
        bool blank = strspn(plain->file.lines.text, " \t") == plain->file.lines.length;
        if (blank && *bytes > 0 && plain->pack == ESPI_PACK_DOCUMENT)
            break;
        if (blank)
            continue;
        if (*bytes == 0)
            *number = plain->file.lines.number;
        int status = add_line(ctx, plain, bytes);
        if (status)
            return status;
        if (plain->pack == ESPI_PACK_LINE || *bytes >= PART_BYTES)
            break;
    }
    return found < 0 ? found : *bytes > 0;
}

/* A paragraph a line; blank lines stand between documents. */
static int plain_next(esp_context *ctx, struct espi_dataset *dataset, struct espi_example **out)
{
    struct plain *plain = (struct plain *)dataset;
    struct espi_example *example = NULL;
    size_t bytes, number;
    int found = gather(ctx, plain, &bytes, &number);
    if (found <= 0)
        return found;
    int status = espi_example_new(ctx, plain->file.path, number, &example);
    if (!status)
        status = espi_example_text(ctx, example, plain->part, bytes - 1, &example->text);
    if (status) {
        espi_example_free(example);
        return status;
    }
    *out = example;
    return 1;
}

int espi_plain_open(esp_context *ctx, const char *path, const struct espi_task_options *options,
                    struct espi_dataset **out)
{
    *out = NULL;
    struct plain *plain = espi_calloc(ctx, 1, sizeof(*plain));
    if (!plain)
        return ESP_ERR_MEMORY;
    plain->base.next = plain_next;
    plain->base.close = plain_close;
    plain->pack = options->pack;
    static const char forms[] = "plain text";
    int status = espi_data_file_open(ctx, path, forms, ESPI_CONTENT_TEXT, false, &plain->file);
    if (!status && plain->file.content != ESPI_CONTENT_TEXT)
        status = espi_fail(ctx, ESP_ERR_FORMAT,
                           "%s: expected %s, a paragraph a line, found JSON: write out the texts alone", path, forms);
    if (status) {
        plain_close(&plain->base);
        return status;
    }
    *out = &plain->base;
    return ESP_OK;
}
