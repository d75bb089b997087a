/* SPDX-License-Identifier: Apache-2.0 */
#include "text/encoder_folder.h"

#include "base/json.h"
#include "base/size.h"

#include <string.h>

bool espi_is_plain_name(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

bool espi_is_encoder_module(const char *type)
{
    static const char *const names[] = {"Transformer", "BERT", "DistilBERT"}; // the last two before version 0.3
    const char *dot = strrchr(type, '.'), *name = dot ? dot + 1 : type;
    for (size_t i = 0; i < ESPI_COUNT(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Whoever reads the modules complains of what is not as it should be. */
static int first_path(esp_context *ctx, const struct espi_json *modules, const char **path)
{
    struct espi_json first = espi_json_item(modules, 0);
    *path = "";
    const char *type = json_string_value(json_object_get(first.value, "type"));
    if (!type || !espi_is_encoder_module(type) || !espi_json_has(&first, "path"))
        return ESP_OK;
    int status = espi_json_get_string(ctx, &first, "path", path, NULL);
    if (!status && **path && !espi_is_plain_name(*path)) {
        struct espi_json at = espi_json_at(&first, "path");
        return espi_json_fail(ctx, &at, "expected the name of a folder, found \"%.64s\"", *path);
    }
    return status;
}

int espi_encoder_folder(esp_context *ctx, const char *directory, char folder[ESPI_PATH_BYTES])
{
    char path[ESPI_PATH_BYTES];
    struct espi_json modules;
    const char *name;
    int status = espi_path_join(ctx, path, directory, "modules.json");
    int found = status ? status : espi_path_find(ctx, path);
    if (found < 0)
        return found;
    if (!found) {
        memcpy(folder, directory, strlen(directory) + 1); // shorter than the path that was made of it
        return ESP_OK;
    }
    if ((status = espi_json_open_file(ctx, path, &modules)))
        return status;
    status = first_path(ctx, &modules, &name);
    if (!status && *name)
        status = espi_path_join(ctx, folder, directory, name);
    else if (!status)
        memcpy(folder, directory, strlen(directory) + 1);
    espi_json_close(&modules);
    return status;
}
