/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct espi_inputs {
    struct input {
        dev_t device;
        ino_t number;
        char *path; // for messages
    } * items;      // (count)
    size_t count, capacity;
};

int espi_inputs_keep(esp_context *ctx)
{
    if (!ctx->inputs)
        ctx->inputs = espi_calloc(ctx, 1, sizeof *ctx->inputs);
    return ctx->inputs ? ESP_OK : ESP_ERR_MEMORY;
}

void espi_inputs_free(struct espi_inputs *inputs)
{
    for (size_t i = 0; inputs && i < inputs->count; i++)
        free(inputs->items[i].path);
    if (inputs)
        free(inputs->items);
    free(inputs);
}

static bool is_input(const struct input *input, const struct stat *info)
{
    return input->device == info->st_dev && input->number == info->st_ino;
}

int espi_input_note(esp_context *ctx, const char *path, const struct stat *info)
{
    struct espi_inputs *inputs = ctx ? ctx->inputs : NULL;
    if (!inputs || !S_ISREG(info->st_mode))
        return ESP_OK;
    for (size_t i = 0; i < inputs->count; i++)
        if (is_input(&inputs->items[i], info) && strcmp(inputs->items[i].path, path) == 0)
            return ESP_OK;
    int status = espi_grow(ctx, &inputs->items, &inputs->capacity, inputs->count + 1, sizeof *inputs->items);
    char *copy = status ? NULL : strdup(path);
    if (!copy)
        return status ? status : espi_fail_memory(ctx, strlen(path));
    inputs->items[inputs->count++] = (struct input){info->st_dev, info->st_ino, copy};
    return ESP_OK;
}

int espi_input_add(esp_context *ctx, const char *path)
{
    struct stat info;
    return path && stat(path, &info) == 0 ? espi_input_note(ctx, path, &info) : ESP_OK;
}

int espi_input_refuse(esp_context *ctx, const char *path, const struct stat *target)
{
    const struct espi_inputs *inputs = ctx ? ctx->inputs : NULL;
    for (size_t i = 0; inputs && S_ISREG(target->st_mode) && i < inputs->count; i++) {
        const struct input *input = &inputs->items[i];
        struct stat now; // an input that has gone since may have left its number to another file
        if (is_input(input, target) && stat(input->path, &now) == 0 && is_input(input, &now))
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "expected another file than %s, which is read, found %s",
                             input->path, path);
    }
    return ESP_OK;
}
