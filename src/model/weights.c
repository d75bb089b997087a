/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weights.h"

#include "base/json.h"
#include "base/size.h"
#include "text/encoder_folder.h"

#include <stdlib.h>
#include <string.h>

static int add_file(esp_context *ctx, const char *directory, const char *name, struct espi_weights *out)
{
    char path[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, path, directory, name);
    if (status)
        return status;
    char *kept = espi_arena_copy(ctx, &out->arena, path, strlen(path));
    if (!kept)
        return ESP_ERR_MEMORY;
    status = espi_safetensors_open(ctx, kept, &out->files[out->length]);
    if (!status)
        out->length++;
    return status;
}

/* ---- shards ------------------------------------------------------------------------------------------------------- */

/* The part of a path that the index names. */
static const char *file_name(const struct espi_safetensors *file)
{
    const char *slash = strrchr(file->source, '/');
    return slash ? slash + 1 : file->source;
}

static const struct espi_safetensors *find_file(const struct espi_weights *weights, const char *name)
{
    for (size_t i = 0; i < weights->length; i++) {
        if (strcmp(file_name(&weights->files[i]), name) == 0)
            return &weights->files[i];
    }
    return NULL;
}

static int expect_shard(esp_context *ctx, const char *directory, const struct espi_json *at, const char *name)
{
    char path[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, path, directory, name);
    if (!status)
        status = espi_path_find(ctx, path);
    if (status)
        return status > 0 ? ESP_OK : status;
    espi_json_fail(ctx, at, "the file %s it names is not there: copy all files of the model into %s", name, directory);
    return ESP_ERR_NOT_FOUND;
}

/* Opens the files that the map's values name. */
static int open_shards(esp_context *ctx, const char *directory, const struct espi_json *map, struct espi_weights *out)
{
    const char *key;
    json_t *value;
    enum { MAX_SHARDS = 1024 };
    out->files = espi_calloc(ctx, MAX_SHARDS, sizeof *out->files);
    if (!out->files)
        return ESP_ERR_MEMORY;
    json_object_foreach(map->value, key, value)
    {
        const char *name;
        struct espi_json at = espi_json_at(map, key);
        int status = espi_json_get_string(ctx, map, key, &name, NULL);
        if (status)
            return status;
        if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            return espi_json_fail(ctx, &at, "expected the name of a file in this directory, found \"%.64s\"", name);
        if (find_file(out, name))
            continue;
        if ((status = expect_shard(ctx, directory, &at, name)))
            return status;
        if (out->length == MAX_SHARDS)
            return espi_json_fail(ctx, map, "more than %d files", MAX_SHARDS);
        if ((status = add_file(ctx, directory, name, out)))
            return status;
    }
    return ESP_OK;
}

/* Every tensor stands in the file the map names for it, and nowhere else. */
static int check_shards(esp_context *ctx, const struct espi_json *map, const struct espi_weights *weights)
{
    const char *key;
    json_t *value;
    json_object_foreach(map->value, key, value)
    {
        struct espi_json at = espi_json_at(map, key);
        const struct espi_safetensors *file = find_file(weights, json_string_value(value));
        if (!espi_safetensors_find(file, key))
            return espi_json_fail(ctx, &at, "%s holds no such tensor", file_name(file));
    }
    for (size_t i = 0; i < weights->length; i++) {
        const struct espi_safetensors *file = &weights->files[i];
        for (size_t j = 0; j < file->length; j++) {
            const char *name = file->tensors[j].name, *stated = json_string_value(json_object_get(map->value, name));
            if (!stated)
                return espi_json_fail(ctx, map, "the tensor %.128s of %s is missing here", name, file_name(file));
            if (strcmp(stated, file_name(file)) != 0)
                return espi_json_fail(ctx, map, "the tensor %.128s stands twice, in %s and in %s", name, stated,
                                      file_name(file));
        }
    }
    return ESP_OK;
}

static int open_index(esp_context *ctx, const char *directory, const char *path, struct espi_weights *out)
{
    struct espi_json json;
    int status = espi_json_open_file(ctx, path, &json);
    if (status)
        return status;
    struct espi_json map = espi_json_at(&json, "weight_map");
    status = espi_json_expect_object(ctx, &json);
    if (!status)
        status = espi_json_expect_object(ctx, &map);
    if (!status)
        status = open_shards(ctx, directory, &map, out);
    if (!status)
        status = check_shards(ctx, &map, out);
    espi_json_close(&json);
    return status;
}

/* ---- entry points ------------------------------------------------------------------------------------------------- */

static int explain_absence(esp_context *ctx, const char *directory)
{
    static const char *const others[] = {
        "pytorch_model.bin",     "pytorch_model.bin.index.json", "tf_model.h5",   "model.ckpt.index",
        "bert_model.ckpt.index", "flax_model.msgpack",           "rust_model.ot", "model.onnx",
        "onnx/model.onnx"};
    for (size_t i = 0; i < ESPI_COUNT(others); i++) {
        char path[ESPI_PATH_BYTES];
        int status = espi_path_join(ctx, path, directory, others[i]);
        if (!status)
            status = espi_path_find(ctx, path);
        if (status < 0)
            return status;
        if (status)
            return espi_fail(ctx, ESP_ERR_UNSUPPORTED,
                             "%s: this format is not read; convert the model to safetensors "
                             "(in transformers: model.save_pretrained(directory, safe_serialization=True))",
                             path);
    }
    return espi_fail(ctx, ESP_ERR_NOT_FOUND,
                     "%s: expected model.safetensors or model.safetensors.index.json, found neither", directory);
}

int espi_weights_open(esp_context *ctx, const char *model, struct espi_weights *out)
{
    char directory[ESPI_PATH_BYTES], single[ESPI_PATH_BYTES], index[ESPI_PATH_BYTES];
    *out = (struct espi_weights){0};
    int status = espi_encoder_folder(ctx, model, directory);
    if (!status)
        status = espi_path_join(ctx, single, directory, "model.safetensors");
    if (!status)
        status = espi_path_join(ctx, index, directory, "model.safetensors.index.json");
    int found = status ? status : espi_path_find(ctx, single);
    if (found > 0) {
        out->files = espi_calloc(ctx, 1, sizeof *out->files);
        status = out->files ? add_file(ctx, directory, "model.safetensors", out) : ESP_ERR_MEMORY;
    } else if (!found && (found = espi_path_find(ctx, index)) > 0) {
        status = open_index(ctx, directory, index, out);
    } else {
        status = found ? found : explain_absence(ctx, directory);
    }
    if (status)
        espi_weights_clear(out);
    return status;
}

void espi_weights_clear(struct espi_weights *weights)
{
    for (size_t i = 0; i < weights->length; i++)
        espi_safetensors_clear(&weights->files[i]);
    free(weights->files);
    espi_arena_clear(&weights->arena);
    *weights = (struct espi_weights){0};
}

struct espi_tensor *espi_weights_find(const struct espi_weights *weights, const char *name,
                                      const struct espi_safetensors **file)
{
    for (size_t i = 0; i < weights->length; i++) {
        struct espi_tensor *tensor = espi_safetensors_find(&weights->files[i], name);
        if (tensor) {
            if (file)
                *file = &weights->files[i];
            return tensor;
        }
    }
    return NULL;
}
