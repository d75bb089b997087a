/* SPDX-License-Identifier: Apache-2.0 */
#include "base/warnings.h"

#include <stdlib.h>
#include <string.h>

void espi_warnings_keep(esp_context *ctx, const char *directory, struct espi_warnings *out)
{
    *out = (struct espi_warnings){0};
    ctx->warnings = out;
    ctx->warnings_directory = directory;
}

int espi_warnings_stop(esp_context *ctx)
{
    bool incomplete = ctx->warnings->incomplete;
    ctx->warnings = NULL;
    ctx->warnings_directory = NULL;
    return incomplete ? espi_fail(ctx, ESP_ERR_MEMORY, "out of memory for a warning") : ESP_OK;
}

void espi_warnings_note(esp_context *ctx, const char *text)
{
    const char *directory = ctx->warnings_directory;
    size_t length = directory ? strlen(directory) : 0;
    while (length && directory[length - 1] == '/')
        length--;
    if (length && strncmp(text, directory, length) == 0 && strchr("/:", text[length]))
        text += length + strspn(text + length, "/: ");
    if (espi_warnings_add(ctx, ctx->warnings, text))
        ctx->warnings->incomplete = true;
}

int espi_warnings_add(esp_context *ctx, struct espi_warnings *warnings, const char *text)
{
    int status = espi_grow(ctx, &warnings->texts, &warnings->capacity, warnings->count + 1, sizeof *warnings->texts);
    if (status)
        return status;
    const char *copy = espi_arena_copy(ctx, &warnings->arena, text, strlen(text));
    if (!copy)
        return ESP_ERR_MEMORY;
    warnings->texts[warnings->count++] = copy;
    return ESP_OK;
}

void espi_warnings_clear(struct espi_warnings *warnings)
{
    free(warnings->texts);
    espi_arena_clear(&warnings->arena);
    *warnings = (struct espi_warnings){0};
}
