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

/* Each puts a member that is to take the place of one in `json`; one that already says the same is left as it is spelled.
 */
static void put_size(struct espi_json_writer *w, const char *key, size_t value)
{
    if (key)
        espi_put_size(w, key, value);
}

static void put_float(struct espi_json_writer *w, const json_t *json, const char *key, float value)
{
    const json_t *old = key ? json_object_get(json, key) : NULL;
    if (key && !(json_is_number(old) && (float)json_number_value(old) == value))
        espi_put_float(w, key, value);
}

static void put_activation(struct espi_json_writer *w, const json_t *json, const char *key,
                           enum espi_activation activation)
{
    const char *old = json_string_value(json_object_get(json, key));
    enum espi_activation stated;
    if (!old || !espi_activation_find(old, &stated) || stated != activation)
        espi_put_string(w, key, espi_activation_name(activation));
}

static void put_class(struct espi_json_writer *w, const struct espi_arch *arch, enum espi_head head)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", arch->class_name, espi_head_suffix(head));
    espi_put_array(w, "architectures");
    espi_put_string(w, NULL, name);
    espi_put_array_end(w);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int find_repeated(esp_context *ctx, size_t labels, const char *const *label_names, bool *repeated)
{
    const char **sorted = espi_calloc(ctx, labels, sizeof *sorted);
    if (!sorted)
        return ESP_ERR_MEMORY;
    memcpy(sorted, label_names, labels * sizeof *sorted);
    qsort(sorted, labels, sizeof *sorted, by_text);
    *repeated = false;
    for (size_t i = 1; i < labels; i++)
        *repeated |= strcmp(sorted[i - 1], sorted[i]) == 0;
    free(sorted);
    return ESP_OK;
}

static int put_labels(esp_context *ctx, struct espi_json_writer *w, const json_t *json, size_t labels,
                      const char *const *label_names)
{
    bool repeated;
    int status = find_repeated(ctx, labels, label_names, &repeated);
    if (status)
        return status;
    espi_put_object(w, "id2label");
    for (size_t i = 0; i < labels; i++) {
        char key[24];
        snprintf(key, sizeof key, "%zu", i);
        espi_put_string(w, key, label_names[i]);
    }
    espi_put_object_end(w);
    if (!repeated) { // two labels of one name have no label2id
        espi_put_object(w, "label2id");
        for (size_t i = 0; i < labels; i++)
            espi_put_size(w, label_names[i], i);
        espi_put_object_end(w);
    }
    if (json_object_get(json, "num_labels"))
        espi_put_size(w, "num_labels", labels);
    return ESP_OK;
}

/* problem_type is written when it was there or cannot be told from the number of labels. */
static void put_problem(struct espi_json_writer *w, const json_t *json, size_t labels, enum espi_problem problem)
{
    enum espi_problem told = labels == 1 ? ESPI_REGRESSION : ESPI_SINGLE_LABEL;
    if (problem != told || json_is_string(json_object_get(json, "problem_type")))
        espi_put_string(w, "problem_type", espi_problem_name(problem));
}

static int put_head(esp_context *ctx, struct espi_json_writer *w, const json_t *json, const struct espi_config *config)
{
    bool sequence = config->head == ESPI_HEAD_SEQUENCE, labelled = sequence || config->head == ESPI_HEAD_TOKEN;
    put_class(w, config->arch, config->head);
    int status = labelled ? put_labels(ctx, w, json, config->labels, config->label_names) : ESP_OK;
    if (sequence)
        put_problem(w, json, config->labels, config->problem);
    return status;
}

/* A head dropout is written when it is not what its absence would say. Some heads have the hidden dropout. */
static void put_head_dropout(struct espi_json_writer *w, const json_t *json, const struct espi_config *config)
{
    const struct espi_arch_head *head = &config->arch->heads[config->head];
    float told = head->dropout_fallback < 0 ? config->hidden_dropout : head->dropout_fallback;
    bool stated = head->dropout && json_is_number(json_object_get(json, head->dropout));
    bool own = head->dropout && strcmp(head->dropout, config->arch->keys.hidden_dropout) != 0;
    if (own && (config->classifier_dropout != told || stated))
        put_float(w, json, head->dropout, config->classifier_dropout);
}

/* Absent and null stand for the family's. */
static void put_pad(struct espi_json_writer *w, const json_t *json, const struct espi_config *config)
{
    bool stated = json_is_integer(json_object_get(json, "pad_token_id"));
    if (stated || config->pad_token_id != config->arch->pad_token_id)
        espi_put_size(w, "pad_token_id", (size_t)config->pad_token_id);
}

/* {"layer": [heads]} of the layers that have lost some. */
static void put_pruned_heads(struct espi_json_writer *w, const json_t *json, const struct espi_config *config)
{
    size_t all = config->layers * config->heads;
    bool some = config->removed_heads && memchr(config->removed_heads, 1, all);
    if (!some && !json_object_get(json, "pruned_heads"))
        return;
    espi_put_object(w, "pruned_heads");
    for (size_t layer = 0; some && layer < config->layers; layer += espi_config_sharing(config)) {
        const uint8_t *removed = config->removed_heads + layer * config->heads;
        char key[24];
        snprintf(key, sizeof key, "%zu", espi_config_stored(config, layer));
        if (!memchr(removed, 1, config->heads))
            continue;
        espi_put_array(w, key);
        for (size_t head = 0; head < config->heads; head++)
            if (removed[head])
                espi_put_size(w, NULL, head);
        espi_put_array_end(w);
    }
    espi_put_object_end(w);
}

static int put_all(esp_context *ctx, struct espi_json_writer *w, const json_t *json, const struct espi_config *config)
{
    const struct espi_arch_keys *keys = &config->arch->keys;
    int status = put_head(ctx, w, json, config);
    espi_put_string(w, "model_type", config->arch->model_type);
    put_size(w, "vocab_size", config->vocab_size);
    put_size(w, keys->hidden, config->hidden);
    put_size(w, keys->layers, config->layers);
    put_size(w, keys->heads, config->heads);
    put_size(w, keys->intermediate, config->intermediate);
    put_pruned_heads(w, json, config);
    put_size(w, "max_position_embeddings", config->max_positions + config->block.position_offset);
    put_size(w, keys->type_vocab, config->type_vocab);
    put_size(w, keys->embedding, espi_config_word_width(config));
    put_size(w, keys->groups, espi_config_stored_layers(config));
    put_pad(w, json, config);
    put_activation(w, json, keys->activation, config->activation);
    put_float(w, json, keys->layer_norm_eps, config->layer_norm_eps);
    put_float(w, json, "initializer_range", config->initializer_range);
    put_float(w, json, keys->hidden_dropout, config->hidden_dropout);
    put_float(w, json, keys->attention_dropout, config->attention_dropout);
    put_head_dropout(w, json, config);
    espi_put_string(w, json_object_get(json, "dtype") ? "dtype" : "torch_dtype", "float32");
    return status;
}

/* Puts what has been written into `json`, unless it failed. */
static int apply(esp_context *ctx, int status, struct espi_json_writer *w, json_t *json)
{
    espi_put_object_end(w);
    if (!status)
        status = espi_json_update(ctx, json, w);
    else
        free(w->data);
    return status ? espi_fail_prefix(ctx, status, "config.json") : ESP_OK;
}

static struct espi_json_writer begin(void)
{
    struct espi_json_writer w = {.exact = true};
    espi_put_object(&w, NULL);
    return w;
}

int espi_config_json(esp_context *ctx, const struct espi_config *config, json_t **out)
{
    int status = espi_json_copy(ctx, config->json, out);
    if (status)
        return status;
    struct espi_json_writer w = begin();
    status = apply(ctx, put_all(ctx, &w, *out, config), &w, *out);
    if (status) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
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
static int put_new_head(esp_context *ctx, struct espi_json_writer *w, json_t *json, const struct espi_arch *arch,
                        const struct espi_head_options *options)
{
    static const char *const stale[] = {"id2label",     "label2id",
                                        "num_labels",   "sbert_ce_default_activation_function",
                                        "problem_type", "sentence_transformers"};
    bool sequence = options->head == ESPI_HEAD_SEQUENCE, labelled = sequence || options->head == ESPI_HEAD_TOKEN;
    for (size_t i = 0; i < ESPI_COUNT(stale); i++)
        json_object_del(json, stale[i]);
    put_class(w, arch, options->head);
    /* Without names the reader makes them up from the number. */
    int status = ESP_OK;
    if (labelled && options->label_names)
        status = put_labels(ctx, w, json, options->labels, options->label_names);
    else if (labelled)
        espi_put_size(w, "num_labels", options->labels);
    if (sequence && options->problem == ESPI_REGRESSION) // one label by itself would be a classifier of two classes
        espi_put_string(w, "problem_type", espi_problem_name(options->problem));
    else if (sequence && options->labels > 1)
        put_problem(w, json, options->labels, options->problem);
    return status;
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
    json_t *json;
    int status = espi_json_copy(ctx, config->json, &json);
    if (status)
        return status;
    struct espi_json_writer w = begin();
    put_class(&w, config->arch, head);
    status = apply(ctx, ESP_OK, &w, json);
    if (!status)
        status = parse_json(ctx, "config.json", json, &assumed);
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
    json_t *json;
    int status = changes->head ? check_names(ctx, changes->head) : ESP_OK;
    if (!status)
        status = espi_config_json(ctx, from, &json);
    if (status)
        return status;
    struct espi_json_writer w = begin();
    if (changes->vocab_size)
        espi_put_size(&w, "vocab_size", changes->vocab_size);
    status = apply(ctx, changes->head ? put_new_head(ctx, &w, json, from->arch, changes->head) : ESP_OK, &w, json);
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
    struct espi_json_writer w = begin();
    put_class(&w, arch, ESPI_HEAD_NONE);
    espi_put_string(&w, "model_type", shape->model_type);
    put_size(&w, "vocab_size", 30522);
    put_size(&w, "max_position_embeddings", 512);
    put_size(&w, keys->layers, shape->layers);
    put_size(&w, keys->hidden, shape->hidden);
    put_size(&w, keys->heads, shape->heads);
    put_size(&w, keys->intermediate, shape->intermediate);
    espi_put_object_end(&w);
    int status = espi_json_writer_end(ctx, &w);
    if (!status)
        status = espi_config_parse(ctx, shape->name, w.data, w.length, out);
    free(w.data);
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
