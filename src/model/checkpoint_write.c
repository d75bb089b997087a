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

/* Takes `json` over. */
static int write_json(esp_context *ctx, const char *directory, const char *name, json_t *json)
{
    char path[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, path, directory, name);
    if (!status)
        return espi_json_write(ctx, json, true, path);
    json_decref(json);
    return status;
}

/* Ends the writer. */
static int write_written(esp_context *ctx, const char *directory, const char *name, struct espi_json_writer *w)
{
    char path[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, path, directory, name);
    if (!status)
        return espi_json_writer_file(ctx, w, path);
    free(w->data);
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
    static const char *const names[] = {"tokenizer.json",    "tokenizer_config.json",
                                        "vocab.txt",         "vocab.json",
                                        "merges.txt",        "special_tokens_map.json",
                                        "added_tokens.json", "sentencepiece.bpe.model",
                                        "spiece.model",      "spm.model",
                                        "tokenizer.model"};
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

static void put_module(struct espi_json_writer *w, size_t number, const char *folder, const char *type)
{
    char name[24], class_name[80];
    snprintf(name, sizeof name, "%zu", number);
    snprintf(class_name, sizeof class_name, "sentence_transformers.models.%s", type);
    espi_put_object(w, NULL);
    espi_put_size(w, "idx", number);
    espi_put_string(w, "name", name);
    espi_put_string(w, "path", folder);
    espi_put_string(w, "type", class_name);
    espi_put_object_end(w);
}

static int write_modules(esp_context *ctx, const struct espi_config *config, const char *directory)
{
    struct espi_json_writer w = {.indent = true, .exact = true};
    espi_put_array(&w, NULL);
    put_module(&w, 0, "", "Transformer");
    put_module(&w, 1, "1_Pooling", "Pooling");
    if (config->normalize)
        put_module(&w, 2, "2_Normalize", "Normalize");
    espi_put_array_end(&w);
    return write_written(ctx, directory, "modules.json", &w);
}

static int write_pooling(esp_context *ctx, const struct espi_config *config, const char *directory)
{
    struct espi_json_writer w = {.indent = true, .exact = true};
    espi_put_object(&w, NULL);
    espi_put_size(&w, "word_embedding_dimension", config->hidden);
    espi_put_bool(&w, "pooling_mode_cls_token", config->pooling == ESPI_POOL_CLS);
    espi_put_bool(&w, "pooling_mode_mean_tokens", config->pooling == ESPI_POOL_MEAN);
    espi_put_bool(&w, "pooling_mode_max_tokens", config->pooling == ESPI_POOL_MAX);
    espi_put_bool(&w, "pooling_mode_mean_sqrt_len_tokens", false);
    espi_put_object_end(&w);
    return write_written(ctx, directory, "config.json", &w);
}

/* Length limit and lower case, beside whatever else the file said before. */
static int write_transformer_file(esp_context *ctx, const struct espi_config *config, const char *from,
                                  const char *directory)
{
    json_t *json = NULL;
    int status = from ? read_transformer_file(ctx, from, &json) : ESP_OK;
    if (!status && !json)
        status = espi_json_copy(ctx, NULL, &json);
    if (status)
        return status;
    struct espi_json_writer w = {.exact = true};
    espi_put_object(&w, NULL);
    if (config->sequence_stated)
        espi_put_size(&w, "max_seq_length", config->max_sequence);
    else
        espi_put_null(&w, "max_seq_length");
    espi_put_bool(&w, "do_lower_case", config->lowercase);
    espi_put_object_end(&w);
    status = espi_json_update(ctx, json, &w);
    if (!status)
        return write_json(ctx, directory, transformer_file, json);
    json_decref(json);
    return status;
}

/* The modules are written from the config, which training may have changed; the rest is copied. */
static int write_sentence(esp_context *ctx, const struct espi_config *config, const char *from, const char *directory)
{
    char folder[ESPI_PATH_BYTES];
    int status = write_modules(ctx, config, directory);
    if (!status)
        status = espi_path_join(ctx, folder, directory, "1_Pooling");
    if (!status && mkdir(folder, 0777) != 0)
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot create", folder);
    if (!status)
        status = write_pooling(ctx, config, folder);
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
    json_t *json;
    status = espi_config_json(ctx, config, &json);
    if (!status)
        status = write_json(ctx, dir.temporary, "config.json", json);
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
