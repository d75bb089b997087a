/* SPDX-License-Identifier: Apache-2.0
 * The files sentence-transformers puts beside a checkpoint: modules.json lists Transformer, Pooling and Normalize. */
#include "base/file.h"
#include "base/size.h"
#include "model/config_private.h"

#include <string.h>

static const struct {
    const char *flag, *mode; // boolean keys of older files, values of "pooling_mode" in newer ones
    enum espi_pooling pooling;
} modes[] = {
    {"pooling_mode_cls_token", "cls", ESPI_POOL_CLS},
    {"pooling_mode_mean_tokens", "mean", ESPI_POOL_MEAN},
    {"pooling_mode_max_tokens", "max", ESPI_POOL_MAX},
    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", ESPI_POOL_NONE},
    {"pooling_mode_weightedmean_tokens", "weightedmean", ESPI_POOL_NONE},
    {"pooling_mode_lasttoken", "lasttoken", ESPI_POOL_NONE},
};

static int set_pooling(esp_context *ctx, const struct espi_json *at, const char *mode, struct espi_config *config)
{
    for (size_t i = 0; i < ESPI_COUNT(modes); i++) {
        if (strcmp(modes[i].mode, mode) == 0)
            config->pooling = modes[i].pooling;
    }
    if (config->pooling == ESPI_POOL_NONE)
        return espi_config_unsupported(ctx, at, "pooling \"%.64s\" is not supported; supported: cls, mean, max", mode);
    return ESP_OK;
}

/* Exactly one of the boolean keys is true. */
static int read_pooling_flags(esp_context *ctx, const struct espi_json *json, struct espi_config *config)
{
    const char *mode = NULL;
    for (size_t i = 0; i < ESPI_COUNT(modes); i++) {
        bool on = false;
        if (!espi_json_has(json, modes[i].flag))
            continue;
        int status = espi_json_get_bool(ctx, json, modes[i].flag, &on);
        if (status)
            return status;
        if (on && mode)
            return espi_config_unsupported(ctx, json, "pooling by %s and %s together is not supported; one is", mode,
                                           modes[i].mode);
        if (on)
            mode = modes[i].mode;
    }
    if (!mode)
        return espi_json_fail(ctx, json, "expected one pooling mode that is true, found none");
    return set_pooling(ctx, json, mode, config);
}

static int read_pooling(esp_context *ctx, const char *path, struct espi_config *config)
{
    struct espi_json json;
    int status = espi_json_open_file(ctx, path, &json);
    if (status)
        return status;
    size_t width;
    const char *mode;
    status = espi_json_expect_object(ctx, &json);
    if (!status && espi_json_has(&json, "word_embedding_dimension")) {
        struct espi_json at = espi_json_at(&json, "word_embedding_dimension");
        status = espi_json_get_size(ctx, &json, at.key, 1, INT32_MAX, &width);
        if (!status && width != config->hidden)
            status =
                espi_json_fail(ctx, &at, "expected %zu, the encoder's hidden size, found %zu", config->hidden, width);
    }
    if (!status && espi_json_has(&json, "pooling_mode")) {
        struct espi_json at = espi_json_at(&json, "pooling_mode");
        status = espi_json_get_string(ctx, &json, "pooling_mode", &mode, NULL);
        if (!status)
            status = set_pooling(ctx, &at, mode, config);
    } else if (!status) {
        status = read_pooling_flags(ctx, &json, config);
    }
    espi_json_close(&json);
    return status;
}

/* "1_Pooling": one name inside the directory. */
static bool is_plain_name(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int read_module(esp_context *ctx, const char *directory, const struct espi_json *module,
                       struct espi_config *config)
{
    const char *type, *folder = "";
    int status = espi_json_expect_object(ctx, module);
    if (status || (status = espi_json_get_string(ctx, module, "type", &type, NULL)))
        return status;
    if (espi_json_has(module, "path") && (status = espi_json_get_string(ctx, module, "path", &folder, NULL)))
        return status;
    struct espi_json at_type = espi_json_at(module, "type"), at_path = espi_json_at(module, "path");
    const char *dot = strrchr(type, '.'), *name = dot ? dot + 1 : type;
    bool first = module->index == 0;
    if (first && strcmp(name, "Transformer") == 0) {
        if (*folder)
            return espi_config_unsupported(ctx, &at_path, "an encoder in a folder of its own is not supported");
        return ESP_OK;
    }
    if (!first && strcmp(name, "Pooling") == 0 && config->pooling == ESPI_POOL_NONE && !config->normalize) {
        char path[ESPI_PATH_BYTES], file[ESPI_PATH_BYTES];
        if (!is_plain_name(folder))
            return espi_json_fail(ctx, &at_path, "expected the name of a folder, found \"%.64s\"", folder);
        if ((status = espi_path_join(ctx, path, directory, folder)) ||
            (status = espi_path_join(ctx, file, path, "config.json")))
            return status;
        return read_pooling(ctx, file, config);
    }
    if (!first && strcmp(name, "Normalize") == 0 && config->pooling != ESPI_POOL_NONE) {
        config->normalize = true;
        return ESP_OK;
    }
    return espi_config_unsupported(
        ctx, &at_type,
        "module \"%.64s\" is not supported here; supported: Transformer, Pooling, Normalize in this order", name);
}

static int read_length_limit(esp_context *ctx, const char *directory, struct espi_config *config)
{
    char path[ESPI_PATH_BYTES];
    struct espi_json json;
    int status = espi_path_join(ctx, path, directory, "sentence_bert_config.json");
    if (status || !espi_path_exists(path) || (status = espi_json_open_file(ctx, path, &json)))
        return status;
    size_t length = config->max_sequence;
    status = espi_json_expect_object(ctx, &json);
    if (!status && espi_json_has(&json, "max_seq_length"))
        status = espi_json_get_limit(ctx, &json, "max_seq_length", 3, &length);
    if (!status)
        config->max_sequence = espi_size_min(config->max_sequence, length);
    espi_json_close(&json);
    return status;
}

int espi_config_read_sentence(esp_context *ctx, const char *directory, struct espi_config *config)
{
    char path[ESPI_PATH_BYTES];
    struct espi_json json;
    int status = espi_path_join(ctx, path, directory, "modules.json");
    if (status || !espi_path_exists(path) || (config->head != ESPI_HEAD_NONE && config->head != ESPI_HEAD_MLM))
        return status;
    if ((status = espi_json_open_file(ctx, path, &json)))
        return status;
    /* sentence-transformers takes the encoder without the head it was pre-trained with. */
    espi_config_set_head(config, ESPI_HEAD_NONE);
    status = espi_json_expect_array(ctx, &json);
    for (size_t i = 0; !status && i < espi_json_length(&json); i++) {
        struct espi_json module = espi_json_item(&json, i);
        status = read_module(ctx, directory, &module, config);
    }
    if (!status && config->pooling == ESPI_POOL_NONE)
        status = espi_json_fail(ctx, &json, "expected the modules Transformer and Pooling, found no Pooling");
    espi_json_close(&json);
    return status ? status : read_length_limit(ctx, directory, config);
}
