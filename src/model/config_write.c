/* SPDX-License-Identifier: Apache-2.0
 * config.json written from a config, and configs made from others or by name. */
#include "model/config.h"

#include "base/file.h"
#include "base/json_number.h"
#include "base/size.h"
#include "base/utf8.h"
#include "model/arch.h"
#include "model/config_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- fields ------------------------------------------------------------------------------------------------------- */

/* The setters return non-zero when out of memory; a field that already says the same is
 * left as it is spelled. */
static int set_size(json_t *json, const char *key, size_t value)
{
    return key ? json_object_set_new(json, key, json_integer((json_int_t)value)) : 0;
}

static int set_string(json_t *json, const char *key, const char *value)
{
    return json_object_set_new(json, key, json_string(value));
}

static int set_float(json_t *json, const char *key, float value)
{
    if (!key)
        return 0;
    const json_t *old = json_object_get(json, key);
    if (json_is_number(old) && (float)json_number_value(old) == value)
        return 0;
    /* The shortest decimal that gives this float back, not the digits of its double. */
    char text[ESPI_NUMBER_BYTES];
    text[espi_format_float(text, value)] = 0;
    return json_object_set_new(json, key, json_real(strtod(text, NULL)));
}

static int set_activation(json_t *json, const char *key, enum espi_activation activation)
{
    const char *old = json_string_value(json_object_get(json, key));
    enum espi_activation stated;
    if (old && espi_activation_find(old, &stated) && stated == activation)
        return 0;
    return set_string(json, key, espi_activation_name(activation));
}

static int set_class(json_t *json, const struct espi_arch *arch, enum espi_head head)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", arch->class_name, espi_head_suffix(head));
    return json_object_set_new(json, "architectures", json_pack("[s]", name));
}

static int set_labels(json_t *json, size_t labels, const char *const *label_names)
{
    json_t *names = json_object(), *ids = json_object();
    int failed = !names || !ids;
    for (size_t i = 0; !failed && i < labels; i++) {
        char key[24];
        snprintf(key, sizeof key, "%zu", i);
        failed = set_string(names, key, label_names[i]) || set_size(ids, label_names[i], i);
    }
    failed = failed || json_object_set(json, "id2label", names);
    /* Two labels of one name have no label2id. */
    if (!failed && json_object_size(ids) == labels)
        failed = json_object_set(json, "label2id", ids);
    if (!failed && json_object_get(json, "num_labels"))
        failed = set_size(json, "num_labels", labels);
    json_decref(names);
    json_decref(ids);
    return failed;
}

/* problem_type is written when it was there or cannot be told from the number of labels. */
static int set_problem(json_t *json, size_t labels, enum espi_problem problem)
{
    enum espi_problem told = labels == 1 ? ESPI_REGRESSION : ESPI_SINGLE_LABEL;
    if (problem == told && !json_is_string(json_object_get(json, "problem_type")))
        return 0;
    return set_string(json, "problem_type", espi_problem_name(problem));
}

static int set_head(json_t *json, const struct espi_config *config)
{
    bool sequence = config->head == ESPI_HEAD_SEQUENCE, labelled = sequence || config->head == ESPI_HEAD_TOKEN;
    return set_class(json, config->arch, config->head) ||
           (labelled && set_labels(json, config->labels, config->label_names)) ||
           (sequence && set_problem(json, config->labels, config->problem));
}

/* A head dropout is written when it is not what its absence would say. */
static int set_head_dropout(json_t *json, const struct espi_config *config)
{
    const struct espi_arch_head *head = &config->arch->heads[config->head];
    float told = head->dropout_fallback < 0 ? config->hidden_dropout : head->dropout_fallback;
    bool stated = head->dropout && json_is_number(json_object_get(json, head->dropout));
    if (!head->dropout || (config->classifier_dropout == told && !stated))
        return 0;
    return set_float(json, head->dropout, config->classifier_dropout);
}

/* Absent and null stand for the family's. */
static int set_pad(json_t *json, const struct espi_config *config)
{
    bool stated = json_is_integer(json_object_get(json, "pad_token_id"));
    return stated || config->pad_token_id != config->arch->pad_token_id
               ? set_size(json, "pad_token_id", (size_t)config->pad_token_id)
               : 0;
}

/* {"layer": [heads]} of the layers that have lost some. */
static int set_pruned_heads(json_t *json, const struct espi_config *config)
{
    json_t *map = json_object();
    int failed = !map;
    for (size_t layer = 0; !failed && config->removed_heads && layer < config->layers; layer++) {
        json_t *list = json_array();
        char key[24];
        snprintf(key, sizeof key, "%zu", layer);
        for (size_t head = 0; head < config->heads; head++)
            if (config->removed_heads[layer * config->heads + head])
                failed |= json_array_append_new(list, json_integer((json_int_t)head));
        if (json_array_size(list))
            failed |= json_object_set(map, key, list);
        json_decref(list);
    }
    if (!failed && (json_object_size(map) || json_object_get(json, "pruned_heads")))
        failed = json_object_set(json, "pruned_heads", map);
    json_decref(map);
    return failed;
}

static int set_all(json_t *json, const struct espi_config *config)
{
    const struct espi_arch_keys *keys = &config->arch->keys;
    return set_head(json, config) || set_string(json, "model_type", config->arch->model_type) ||
           set_size(json, "vocab_size", config->vocab_size) || set_size(json, keys->hidden, config->hidden) ||
           set_size(json, keys->layers, config->layers) || set_size(json, keys->heads, config->heads) ||
           set_size(json, keys->intermediate, config->intermediate) || set_pruned_heads(json, config) ||
           set_size(json, "max_position_embeddings", config->max_positions + config->block.position_offset) ||
           set_size(json, keys->type_vocab, config->type_vocab) || set_pad(json, config) ||
           set_activation(json, keys->activation, config->activation) ||
           set_float(json, keys->layer_norm_eps, config->layer_norm_eps) ||
           set_float(json, "initializer_range", config->initializer_range) ||
           set_float(json, keys->hidden_dropout, config->hidden_dropout) ||
           set_float(json, keys->attention_dropout, config->attention_dropout) || set_head_dropout(json, config) ||
           set_string(json, json_object_get(json, "dtype") ? "dtype" : "torch_dtype", "float32");
}

static int fail_json(esp_context *ctx)
{
    return espi_fail(ctx, ESP_ERR_MEMORY, "config: out of memory");
}

json_t *espi_config_json(esp_context *ctx, const struct espi_config *config)
{
    json_t *json = config->json ? json_deep_copy(config->json) : json_object();
    if (json && set_all(json, config) == 0)
        return json;
    json_decref(json);
    fail_json(ctx);
    return NULL;
}

/* ---- new configs -------------------------------------------------------------------------------------------------- */

static int parse_json(esp_context *ctx, const char *source, const json_t *json, struct espi_config *out)
{
    char *text = espi_json_text(ctx, json);
    if (!text)
        return ESP_ERR_MEMORY;
    int status = espi_config_parse(ctx, source, text, strlen(text), out);
    free(text);
    return status;
}

/* Names from a command line may be any bytes. */
static int check_names(esp_context *ctx, const struct espi_head_options *options)
{
    for (size_t i = 0; options->label_names && i < options->labels; i++) {
        const char *name = options->label_names[i];
        if (espi_utf8_valid(name, strlen(name)) != strlen(name))
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "label %zu: expected UTF-8, found \"%s\"", i, name);
    }
    return ESP_OK;
}

/* What the old head stated gives way to the new head's class and labels. */
static int change_head(json_t *json, const struct espi_arch *arch, const struct espi_head_options *options)
{
    static const char *const stale[] = {"id2label",     "label2id",
                                        "num_labels",   "sbert_ce_default_activation_function",
                                        "problem_type", "sentence_transformers"};
    bool sequence = options->head == ESPI_HEAD_SEQUENCE, labelled = sequence || options->head == ESPI_HEAD_TOKEN;
    for (size_t i = 0; i < ESPI_COUNT(stale); i++)
        json_object_del(json, stale[i]);
    if (set_class(json, arch, options->head))
        return -1;
    /* Without names the reader makes them up from the number. */
    if (labelled && (options->label_names ? set_labels(json, options->labels, options->label_names)
                                          : set_size(json, "num_labels", options->labels)))
        return -1;
    if (sequence && options->problem == ESPI_REGRESSION) // one label by itself would be a classifier of two classes
        return set_string(json, "problem_type", espi_problem_name(options->problem));
    return sequence && options->labels > 1 ? set_problem(json, options->labels, options->problem) : 0;
}

bool espi_config_names_head(const struct espi_config *config)
{
    return json_array_size(json_object_get(config->json, "architectures")) > 0;
}

int espi_config_assume_head(esp_context *ctx, struct espi_config *config, enum espi_head head)
{
    struct espi_config assumed = {0};
    if (espi_config_names_head(config) || config->pooling != ESPI_POOL_NONE)
        return ESP_OK;
    json_t *json = json_deep_copy(config->json);
    int status = json && set_class(json, config->arch, head) == 0 ? parse_json(ctx, "config.json", json, &assumed)
                                                                  : fail_json(ctx);
    json_decref(json);
    if (status)
        return status;
    espi_config_clear(config);
    *config = assumed;
    return ESP_OK;
}

int espi_config_copy(esp_context *ctx, const struct espi_config *from, const struct espi_config_changes *changes,
                     struct espi_config *out)
{
    static const struct espi_config_changes none;
    *out = (struct espi_config){0};
    if (!changes)
        changes = &none;
    json_t *json = espi_config_json(ctx, from);
    if (!json)
        return ESP_ERR_MEMORY;
    int status = changes->head ? check_names(ctx, changes->head) : ESP_OK;
    if (!status && ((changes->vocab_size && set_size(json, "vocab_size", changes->vocab_size)) ||
                    (changes->head && change_head(json, from->arch, changes->head))))
        status = fail_json(ctx);
    if (!status)
        status = parse_json(ctx, "new config", json, out);
    json_decref(json);
    if (status)
        return status;
    if (out->head == from->head)
        out->recipe = from->recipe;
    status = espi_config_copy_sentence(ctx, from, out);
    if (status)
        espi_config_clear(out);
    return status;
}

/* ---- named configs ------------------------------------------------------------------------------------------------ */

static const struct named {
    const char *name, *model_type;
    size_t layers, hidden, heads, intermediate;
} named[] = {
#define X(name, model_type, layers, hidden, heads, intermediate)                                                       \
    {name, model_type, layers, hidden, heads, intermediate},
#include "model/init_configs.inc"
#undef X
};

static int make_named(esp_context *ctx, const struct named *shape, struct espi_config *out)
{
    const struct espi_arch *arch = espi_arch_find(shape->model_type);
    const struct espi_arch_keys *keys = &arch->keys;
    json_t *json = json_object();
    if (!json || set_class(json, arch, ESPI_HEAD_NONE) || set_string(json, "model_type", shape->model_type) ||
        set_size(json, "vocab_size", 30522) || set_size(json, "max_position_embeddings", 512) ||
        set_size(json, keys->layers, shape->layers) || set_size(json, keys->hidden, shape->hidden) ||
        set_size(json, keys->heads, shape->heads) || set_size(json, keys->intermediate, shape->intermediate)) {
        json_decref(json);
        return fail_json(ctx);
    }
    int status = parse_json(ctx, shape->name, json, out);
    json_decref(json);
    return status;
}

static int fail_name(esp_context *ctx, const char *name)
{
    char list[512];
    for (size_t i = 0, used = 0; i < ESPI_COUNT(named) && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", named[i].name);
    return espi_fail(ctx, ESP_ERR_NOT_FOUND, "%.128s: neither a file nor a named config; there are %s", name, list);
}

int espi_config_named(esp_context *ctx, const char *name, const struct espi_config_changes *changes,
                      struct espi_config *out)
{
    size_t i = 0;
    *out = (struct espi_config){0};
    while (i < ESPI_COUNT(named) && strcmp(named[i].name, name) != 0)
        i++;
    if (i == ESPI_COUNT(named) && !espi_path_exists(name))
        return fail_name(ctx, name);
    struct espi_config base;
    int status = i < ESPI_COUNT(named) ? make_named(ctx, &named[i], &base) : espi_config_read_file(ctx, name, &base);
    if (status)
        return status;
    status = espi_config_copy(ctx, &base, changes, out);
    espi_config_clear(&base);
    return status;
}

bool espi_config_list(size_t index, const char **name, char description[80])
{
    if (index >= ESPI_COUNT(named))
        return false;
    const struct named *row = &named[index];
    *name = row->name;
    snprintf(description, 80, "%s, %zu layers x %zu, %zu heads, intermediate %zu", row->model_type, row->layers,
             row->hidden, row->heads, row->intermediate);
    return true;
}
