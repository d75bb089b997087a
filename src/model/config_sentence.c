/* SPDX-License-Identifier: Apache-2.0
 * The files sentence-transformers puts beside a checkpoint: modules.json lists Transformer, Pooling and Normalize. */
#include "base/file.h"
#include "base/size.h"
#include "model/arch.h"
#include "model/config_members.h"
#include "model/config_private.h"
#include "text/encoder_folder.h"

#include <string.h>

/* What reading these files shares. */
struct sentence {
    esp_context *ctx;
    const char *directory, *folder; // of the model, of its encoder
    struct espi_config *config;
    bool skips_prompt;                  // in pooling
    char pooling_file[ESPI_PATH_BYTES]; // for messages
};

/* ---- pooling ------------------------------------------------------------------------------------------------------ */

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

/* At most one of the boolean keys is true; none: the mean. */
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
    return set_pooling(ctx, json, mode ? mode : "mean", config);
}

/* A name, or a list of one. */
static int read_pooling_mode(esp_context *ctx, const struct espi_json *json, struct espi_config *config)
{
    struct espi_json at = espi_json_at(json, "pooling_mode");
    const char *mode;
    if (json_is_array(at.value) && json_array_size(at.value) == 1 && json_is_string(json_array_get(at.value, 0)))
        return set_pooling(ctx, &at, json_string_value(json_array_get(at.value, 0)), config);
    if (json_is_array(at.value))
        return espi_config_unsupported(ctx, &at, "pooling by %zu modes together is not supported; one is",
                                       json_array_size(at.value));
    int status = espi_json_get_string(ctx, json, "pooling_mode", &mode, NULL);
    return status ? status : set_pooling(ctx, &at, mode, config);
}

static void warn_width(esp_context *ctx, const struct espi_json *json, const char *key, size_t hidden)
{
    struct espi_json at = espi_json_at(json, key);
    int64_t width;
    if (at.value && (!espi_json_is_integer(at.value, &width) || width != (int64_t)hidden))
        espi_json_warn(ctx, &at, "is not applied: the encoder's hidden size is %zu", hidden);
}

static int read_pooling(struct sentence *s, const struct espi_json *json)
{
    bool included = true;
    int status = espi_members_check(s->ctx, json, &espi_pooling_members, "embed");
    if (!status)
        status = espi_json_has(json, "pooling_mode") ? read_pooling_mode(s->ctx, json, s->config)
                                                     : read_pooling_flags(s->ctx, json, s->config);
    if (!status && espi_json_has(json, "include_prompt"))
        status = espi_json_get_bool(s->ctx, json, "include_prompt", &included);
    if (status)
        return status;
    s->skips_prompt = !included && s->config->pooling != ESPI_POOL_CLS;
    warn_width(s->ctx, json, "word_embedding_dimension", s->config->hidden);
    warn_width(s->ctx, json, "embedding_dimension", s->config->hidden);
    return ESP_OK;
}

static int open_pooling(struct sentence *s, const struct espi_json *at_path, const char *folder)
{
    char path[ESPI_PATH_BYTES];
    struct espi_json json;
    if (!espi_is_plain_name(folder))
        return espi_json_fail(s->ctx, at_path, "expected the name of a folder, found \"%.64s\"", folder);
    int status = espi_path_join(s->ctx, path, s->directory, folder);
    if (!status)
        status = espi_path_join(s->ctx, s->pooling_file, path, "config.json");
    int found = status ? status : espi_path_find(s->ctx, s->pooling_file);
    if (found < 0)
        return found;
    if (!found) {
        espi_json_fail(s->ctx, at_path,
                       "%s is not there: copy the model's folder \"%s\" (without modules.json, embeddings would be the "
                       "plain mean)",
                       s->pooling_file, folder);
        return ESP_ERR_NOT_FOUND;
    }
    status = espi_json_open_file(s->ctx, s->pooling_file, &json);
    if (!status)
        status = read_pooling(s, &json);
    espi_json_close(&json);
    return status;
}

/* ---- modules ------------------------------------------------------------------------------------------------------ */

static int read_module(struct sentence *s, const struct espi_json *module)
{
    const char *type, *folder = "";
    struct espi_config *config = s->config;
    int status = espi_members_check(s->ctx, module, &espi_module_members, "embed");
    if (status || (status = espi_json_get_string(s->ctx, module, "type", &type, NULL)))
        return status;
    if (espi_json_has(module, "path") && (status = espi_json_get_string(s->ctx, module, "path", &folder, NULL)))
        return status;
    struct espi_json at_type = espi_json_at(module, "type"), at_path = espi_json_at(module, "path");
    const char *dot = strrchr(type, '.'), *name = dot ? dot + 1 : type;
    bool first = module->index == 0;
    if (first && espi_is_encoder_module(type)) // its folder: espi_encoder_folder
        return ESP_OK;
    if (!first && strcmp(name, "Pooling") == 0 && config->pooling == ESPI_POOL_NONE && !config->normalize)
        return open_pooling(s, &at_path, folder);
    if (!first && strcmp(name, "Normalize") == 0 && config->pooling != ESPI_POOL_NONE) {
        config->normalize = true;
        return ESP_OK;
    }
    return espi_config_unsupported(
        s->ctx, &at_type,
        "module \"%.64s\" is not supported here; supported: Transformer, Pooling, Normalize in this order", name);
}

static int read_modules(struct sentence *s, const char *path)
{
    struct espi_json json;
    int status = espi_json_open_file(s->ctx, path, &json);
    if (status)
        return status;
    status = espi_json_expect_array(s->ctx, &json);
    for (size_t i = 0; !status && i < espi_json_length(&json); i++) {
        struct espi_json module = espi_json_item(&json, i);
        status = read_module(s, &module);
    }
    if (!status && s->config->pooling == ESPI_POOL_NONE)
        status = espi_json_fail(s->ctx, &json, "expected the modules Transformer and Pooling, found no Pooling");
    espi_json_close(&json);
    return status;
}

/* ---- sentence_bert_config.json ------------------------------------------------------------------------------------ */

int espi_sentence_config_open(esp_context *ctx, const char *folder, char path[ESPI_PATH_BYTES], struct espi_json *out)
{
    static const char *const names[] = {"sentence_bert_config.json",       "sentence_roberta_config.json",
                                        "sentence_distilbert_config.json", "sentence_camembert_config.json",
                                        "sentence_albert_config.json",     "sentence_xlm-roberta_config.json",
                                        "sentence_xlnet_config.json"};
    *out = (struct espi_json){0};
    for (size_t i = 0; i < ESPI_COUNT(names); i++) {
        int status = espi_path_join(ctx, path, folder, names[i]);
        if (!status)
            status = espi_path_find(ctx, path);
        if (status)
            return status < 0 ? status : espi_json_open_file(ctx, path, out);
    }
    return ESP_OK;
}

/* A limit beyond what the model has positions for is none. */
static int read_length(esp_context *ctx, const struct espi_json *json, struct espi_config *config)
{
    size_t length;
    if (!espi_json_has(json, "max_seq_length"))
        return ESP_OK;
    int status = espi_json_get_limit(ctx, json, "max_seq_length", 3, &length);
    if (status)
        return status;
    config->max_sequence = espi_size_min(length, config->max_positions);
    config->sequence_stated = true;
    return ESP_OK;
}

static int read_transformer(struct sentence *s, const char *scope)
{
    char path[ESPI_PATH_BYTES];
    struct espi_json json;
    int status = espi_sentence_config_open(s->ctx, s->folder, path, &json);
    if (status || !json.value)
        return status;
    status = espi_members_check(s->ctx, &json, &espi_transformer_members, scope);
    if (!status)
        status = read_length(s->ctx, &json, s->config);
    if (!status && espi_json_has(&json, "do_lower_case"))
        status = espi_json_get_bool(s->ctx, &json, "do_lower_case", &s->config->lowercase);
    espi_json_close(&json);
    return status;
}

/* ---- config_sentence_transformers.json ---------------------------------------------------------------------------- */

static int read_prompt(struct sentence *s, const struct espi_json *json)
{
    const char *name, *prompt;
    struct espi_json prompts = espi_json_at(json, "prompts"), at = espi_json_at(json, "default_prompt_name");
    if (!at.value)
        return ESP_OK;
    int status = espi_json_get_string(s->ctx, json, at.key, &name, NULL);
    if (!status && prompts.value)
        status = espi_json_expect_object(s->ctx, &prompts);
    if (status)
        return status;
    if (!json_object_get(prompts.value, name))
        return espi_json_fail(s->ctx, &at, "expected the name of a member of \"prompts\", found \"%.64s\"", name);
    if ((status = espi_json_get_string(s->ctx, &prompts, name, &prompt, NULL)) || !*prompt)
        return status;
    if (s->skips_prompt)
        return espi_config_unsupported(s->ctx, &at,
                                       "a prompt that is not pooled (include_prompt is false in %s) is not supported",
                                       s->pooling_file);
    s->config->prompt = espi_arena_copy(s->ctx, &s->config->arena, prompt, strlen(prompt));
    return s->config->prompt ? ESP_OK : ESP_ERR_MEMORY;
}

static int read_embed_settings(struct sentence *s, const struct espi_json *json)
{
    struct espi_config *config = s->config;
    size_t width = config->hidden;
    int status = read_prompt(s, json);
    if (!status && espi_json_has(json, "truncate_dim"))
        status = espi_json_get_limit(s->ctx, json, "truncate_dim", 1, &width);
    config->embedding = espi_size_min(width, config->hidden);
    return status;
}

/* Only for models that say that they are one does sentence-transformers read more than config.json. */
static bool is_cross_encoder(const struct espi_json *json)
{
    const char *type = json_string_value(json_object_get(json->value, "model_type"));
    return type && strcmp(type, "CrossEncoder") == 0;
}

/* The config that is written, into a compiled file too, says it by itself. */
static int keep_activation(struct sentence *s, const json_t *activation)
{
    struct espi_json_writer w = {.exact = true};
    espi_put_object(&w, NULL);
    espi_put_object(&w, "sentence_transformers");
    espi_put_value(&w, "activation_fn", activation);
    espi_put_object_end(&w);
    espi_put_object_end(&w);
    return espi_json_update(s->ctx, s->config->json, &w);
}

static int read_cross_encoder(struct sentence *s, const struct espi_json *json)
{
    int status = espi_members_check(s->ctx, json, &espi_sentence_members, "classify");
    if (!status)
        status = espi_config_read_scores(s->ctx, json, "activation_fn", s->config);
    json_t *activation = json_object_get(json->value, "activation_fn");
    if (!status && json_is_string(activation))
        status = keep_activation(s, activation);
    return status ? status : read_transformer(s, "classify");
}

static int read_settings(struct sentence *s)
{
    char path[ESPI_PATH_BYTES];
    struct espi_json json;
    int status = espi_path_join(s->ctx, path, s->directory, "config_sentence_transformers.json");
    if (status || (status = espi_path_find(s->ctx, path)) <= 0 || (status = espi_json_open_file(s->ctx, path, &json)))
        return status;
    status = espi_json_expect_object(s->ctx, &json);
    if (!status && s->config->head == ESPI_HEAD_SEQUENCE) {
        status = is_cross_encoder(&json) ? read_cross_encoder(s, &json) : ESP_OK;
    } else if (!status) {
        status = espi_members_check(s->ctx, &json, &espi_sentence_members, "embed");
        if (!status)
            status = read_embed_settings(s, &json);
    }
    espi_json_close(&json);
    return status;
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

int espi_config_read_sentence(esp_context *ctx, const char *directory, const char *folder, struct espi_config *config)
{
    char path[ESPI_PATH_BYTES];
    struct sentence s = {.ctx = ctx, .directory = directory, .folder = folder, .config = config};
    int status = espi_path_join(ctx, path, directory, "modules.json");
    if (status || (status = espi_path_find(ctx, path)) <= 0)
        return status;
    if (config->head == ESPI_HEAD_SEQUENCE)
        return read_settings(&s);
    if (config->head != ESPI_HEAD_NONE && config->head != ESPI_HEAD_MLM)
        return ESP_OK;
    /* sentence-transformers takes the encoder without the head it was pre-trained with. */
    espi_config_set_head(config, ESPI_HEAD_NONE);
    status = read_modules(&s, path);
    if (!status)
        status = read_transformer(&s, "embed");
    return status ? status : read_settings(&s);
}

int espi_config_copy_sentence(esp_context *ctx, const struct espi_config *from, struct espi_config *out)
{
    out->max_sequence = espi_size_min(from->max_sequence, out->max_positions);
    out->sequence_stated = from->sequence_stated;
    if (out->head != ESPI_HEAD_NONE)
        return ESP_OK;
    out->pooling = from->pooling;
    out->normalize = from->normalize;
    out->embedding = espi_size_min(from->embedding, out->hidden);
    out->lowercase = from->lowercase;
    if (from->prompt) {
        out->prompt = espi_arena_copy(ctx, &out->arena, from->prompt, strlen(from->prompt));
        return out->prompt ? ESP_OK : ESP_ERR_MEMORY;
    }
    return ESP_OK;
}
