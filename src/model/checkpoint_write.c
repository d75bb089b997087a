/* SPDX-License-Identifier: Apache-2.0 */
#include "base/size.h"
#include "model/checkpoint.h"
#include "model/config_private.h"
#include "model/safetensors.h"
#include "text/encoder_folder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- files -------------------------------------------------------------------------------------------------------- */

/* Takes `json` over; NULL is out of memory. */
static int write_json(esp_context *ctx, const char *directory, const char *name, json_t *json)
{
    char path[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, path, directory, name);
    if (!status)
        return espi_json_write(ctx, json, true, path);
    json_decref(json);
    return status;
}

/* Copies from/name to directory/name; nothing there is no error. */
static int copy_file(esp_context *ctx, const char *from, const char *directory, const char *name)
{
    char source[ESPI_PATH_BYTES], target[ESPI_PATH_BYTES];
    struct espi_map map;
    int status = espi_path_join(ctx, source, from, name);
    if (status || (status = espi_path_find(ctx, source)) <= 0)
        return status;
    if ((status = espi_path_join(ctx, target, directory, name)) || (status = espi_map_open(ctx, source, &map)))
        return status;
    status = espi_output_write_file(ctx, target, map.data, map.bytes);
    espi_map_close(&map);
    return status;
}

static const char settings_file[] = "config_sentence_transformers.json",
                  transformer_file[] = "sentence_bert_config.json";

static int copy_tokenizer(esp_context *ctx, const char *from, const char *directory)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "vocab.txt",
                                        "special_tokens_map.json", "added_tokens.json"};
    char folder[ESPI_PATH_BYTES];
    int status = espi_encoder_folder(ctx, from, folder);
    for (size_t i = 0; !status && i < ESPI_COUNT(names); i++)
        status = copy_file(ctx, folder, directory, names[i]);
    return status;
}

/* sentence_bert_config.json or what stands for it; NULL when there is none. The caller owns the result. */
static int read_transformer_file(esp_context *ctx, const char *from, json_t **out)
{
    char folder[ESPI_PATH_BYTES], path[ESPI_PATH_BYTES];
    struct espi_json json = {0};
    int status = espi_encoder_folder(ctx, from, folder);
    if (!status)
        status = espi_sentence_config_open(ctx, folder, path, &json);
    *out = json.value;
    return status;
}

int espi_checkpoint_copy_tokenizer(esp_context *ctx, const char *from, const char *directory)
{
    struct espi_output_dir dir;
    json_t *transformer = NULL;
    int status = espi_output_dir_create(ctx, &dir, directory);
    if (status)
        return status;
    status = copy_tokenizer(ctx, from, dir.temporary);
    if (!status)
        status = read_transformer_file(ctx, from, &transformer);
    if (!status && transformer)
        status = write_json(ctx, dir.temporary, transformer_file, json_incref(transformer));
    json_decref(transformer);
    if (!status)
        status = copy_file(ctx, from, dir.temporary, settings_file);
    if (!status)
        return espi_output_dir_commit(ctx, &dir);
    espi_output_dir_abort(&dir);
    return status;
}

/* ---- sentence-transformers ---------------------------------------------------------------------------------------- */

static json_t *module(int number, const char *name, const char *path, const char *type)
{
    return json_pack("{s:i, s:s, s:s, s:s+}", "idx", number, "name", name, "path", path, "type",
                     "sentence_transformers.models.", type);
}

static json_t *modules_json(const struct espi_config *config)
{
    json_t *modules = json_pack("[o,o]", module(0, "0", "", "Transformer"), module(1, "1", "1_Pooling", "Pooling"));
    if (modules && config->normalize && json_array_append_new(modules, module(2, "2", "2_Normalize", "Normalize"))) {
        json_decref(modules);
        return NULL;
    }
    return modules;
}

static json_t *pooling_json(const struct espi_config *config)
{
    enum espi_pooling pooling = config->pooling;
    return json_pack("{s:I, s:b, s:b, s:b, s:b}", "word_embedding_dimension", (json_int_t)config->hidden,
                     "pooling_mode_cls_token", pooling == ESPI_POOL_CLS, "pooling_mode_mean_tokens",
                     pooling == ESPI_POOL_MEAN, "pooling_mode_max_tokens", pooling == ESPI_POOL_MAX,
                     "pooling_mode_mean_sqrt_len_tokens", false);
}

/* Length limit and lower case, beside whatever else the file said before. */
static int write_transformer_file(esp_context *ctx, const struct espi_config *config, const char *from,
                                  const char *directory)
{
    json_t *json = NULL;
    int status = from ? read_transformer_file(ctx, from, &json) : ESP_OK;
    if (status)
        return status;
    json = json ? json : json_object();
    json_t *length = config->sequence_stated ? json_integer((json_int_t)config->max_sequence) : json_null();
    if (json_object_set_new(json, "max_seq_length", length) ||
        json_object_set_new(json, "do_lower_case", json_boolean(config->lowercase))) {
        json_decref(json);
        json = NULL;
    }
    return write_json(ctx, directory, transformer_file, json);
}

/* The modules are written from the config, which training may have changed; the rest is copied. */
static int write_sentence(esp_context *ctx, const struct espi_config *config, const char *from, const char *directory)
{
    char folder[ESPI_PATH_BYTES];
    int status = write_json(ctx, directory, "modules.json", modules_json(config));
    if (!status)
        status = espi_path_join(ctx, folder, directory, "1_Pooling");
    if (!status && mkdir(folder, 0777) != 0)
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot create", folder);
    if (!status)
        status = write_json(ctx, folder, "config.json", pooling_json(config));
    if (!status)
        status = write_transformer_file(ctx, config, from, directory);
    if (!status && from)
        status = copy_file(ctx, from, directory, settings_file);
    return status;
}

/* ---- the checkpoint ----------------------------------------------------------------------------------------------- */

static int write_weights(esp_context *ctx, const struct espi_params *params, const char *directory)
{
    char path[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, path, directory, "model.safetensors");
    if (status)
        return status;
    struct espi_tensor_source *tensors = espi_calloc(ctx, params->length, sizeof *tensors);
    if (!tensors)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < params->length; i++) {
        const struct espi_param *param = &params->list[i];
        tensors[i] = (struct espi_tensor_source){
            .name = param->name, .rows = param->rows, .cols = param->cols, .data = params->slab + param->offset};
    }
    status = espi_safetensors_write(ctx, path, tensors, params->length);
    free(tensors);
    return status;
}

int espi_checkpoint_write(esp_context *ctx, const struct espi_config *config, const struct espi_params *params,
                          const char *tokenizer_from, const char *directory)
{
    struct espi_output_dir dir;
    int status = espi_output_dir_create(ctx, &dir, directory);
    if (status)
        return status;
    json_t *json = espi_config_json(ctx, config);
    status = json ? write_json(ctx, dir.temporary, "config.json", json) : ESP_ERR_MEMORY;
    if (!status)
        status = write_weights(ctx, params, dir.temporary);
    if (!status && tokenizer_from)
        status = copy_tokenizer(ctx, tokenizer_from, dir.temporary);
    if (!status && config->head == ESPI_HEAD_NONE && config->pooling != ESPI_POOL_NONE)
        status = write_sentence(ctx, config, tokenizer_from, dir.temporary);
    if (!status)
        return espi_output_dir_commit(ctx, &dir);
    espi_output_dir_abort(&dir);
    return status;
}
