/* SPDX-License-Identifier: Apache-2.0 */
#include "model/config.h"

#include "base/file.h"
#include "base/size.h"
#include "model/arch.h"
#include "model/config_members.h"
#include "model/config_private.h"
#include "model/esp_file.h"
#include "text/encoder_folder.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first name of an activation is the one written. */
static const struct activation {
    const char *name;
    enum espi_activation activation;
} activations[] = {
    {"gelu", ESPI_GELU},
    {"gelu_python", ESPI_GELU},
    {"gelu_new", ESPI_GELU_TANH},
    {"gelu_fast", ESPI_GELU_TANH},
    {"gelu_pytorch_tanh", ESPI_GELU_TANH},
    {"relu", ESPI_RELU},
    {"silu", ESPI_SILU},
    {"swish", ESPI_SILU},
    {"tanh", ESPI_TANH},
};

bool espi_activation_find(const char *name, enum espi_activation *out)
{
    for (size_t i = 0; i < ESPI_COUNT(activations); i++) {
        if (strcmp(activations[i].name, name) == 0) {
            *out = activations[i].activation;
            return true;
        }
    }
    return false;
}

const char *espi_activation_name(enum espi_activation activation)
{
    size_t i = 0;
    while (i < ESPI_COUNT(activations) && activations[i].activation != activation)
        i++;
    return i < ESPI_COUNT(activations) ? activations[i].name : NULL;
}

int espi_config_unsupported(esp_context *ctx, const struct espi_json *json, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    espi_json_fail(ctx, json, "%s", text);
    return ESP_ERR_UNSUPPORTED;
}

/* ---- fields with a default ---------------------------------------------------------------------------------------- */

static int optional_float(esp_context *ctx, const struct espi_json *json, const char *key, double low, double high,
                          float *out)
{
    double value;
    if (!key || !espi_json_has(json, key))
        return ESP_OK;
    int status = espi_json_get_number(ctx, json, key, low, high, &value);
    if (!status)
        *out = (float)value;
    return status;
}

/* The family of a class name: "DistilBertForMaskedLM". NULL: none of them. */
static const struct espi_arch *arch_of_class(const char *class_name)
{
    enum espi_head head;
    for (size_t i = 0; class_name && espi_arch_at(i); i++)
        if (espi_arch_head(espi_arch_at(i), class_name, &head))
            return espi_arch_at(i);
    return NULL;
}

static int find_arch(esp_context *ctx, const struct espi_json *json, struct espi_config *out)
{
    const char *type;
    char list[128], members[256];
    struct espi_json at = espi_json_at(json, "model_type"), classes = espi_json_at(json, "architectures");
    espi_arch_list(list, sizeof list);
    if (!at.value) {
        out->arch = arch_of_class(json_string_value(json_array_get(classes.value, 0)));
        return out->arch ? ESP_OK
                         : espi_json_fail(
                               ctx, &at,
                               "expected the family of the model, found nothing (there are %s): add \"model_type\": "
                               "one of %s",
                               espi_json_member_names(json, members, sizeof members), list);
    }
    int status = espi_json_get_string(ctx, json, "model_type", &type, NULL);
    if (status)
        return status;
    out->arch = espi_arch_find(type);
    return out->arch
               ? ESP_OK
               : espi_config_unsupported(ctx, &at, "model type \"%.64s\" is not supported; supported: %s", type, list);
}

static int read_arch(esp_context *ctx, const struct espi_json *json, struct espi_config *out)
{
    int status = find_arch(ctx, json, out);
    if (!status)
        out->family = out->arch->model_type;
    return status;
}

/* The width of the embeddings, and which layers have the same weights. */
static int read_sharing(esp_context *ctx, const struct espi_json *json, struct espi_config *out)
{
    const struct espi_arch *arch = out->arch;
    size_t width = arch->embedding, groups = 1;
    int status = ESP_OK;
    if (arch->keys.embedding && espi_json_has(json, arch->keys.embedding))
        status = espi_json_get_size(ctx, json, arch->keys.embedding, 1, ESPI_MAX_HIDDEN, &width);
    if (arch->keys.embedding)
        out->block.embedding = width == out->hidden && !arch->always_projected ? 0 : width;
    if (status || !arch->keys.groups)
        return status;
    if (espi_json_has(json, arch->keys.groups))
        status = espi_json_get_size(ctx, json, arch->keys.groups, 1, out->layers, &groups);
    struct espi_json at = espi_json_at(json, arch->keys.groups);
    if (!status && out->layers % groups)
        return espi_config_unsupported(ctx, &at, "%zu groups of %zu layers: not supported; expected a divisor", groups,
                                       out->layers);
    out->block.shared_layers = groups < out->layers ? out->layers / groups : 0;
    return status;
}

/* What a layer computes, and how long a sequence its position table has rows for; behind pad_token_id. */
static int read_block(esp_context *ctx, const struct espi_json *json, struct espi_config *out)
{
    struct espi_block *block = &out->block;
    *block = out->arch->block;
    int status = read_sharing(ctx, json, out);
    if (status)
        return status;
    if (block->positions == ESPI_POSITIONS_COUNTED)
        block->position_offset += (size_t)out->pad_token_id + 1;
    struct espi_json at = espi_json_at(json, "max_position_embeddings");
    if (out->max_positions <= block->position_offset)
        return espi_json_fail(ctx, &at, "expected more than the %zu rows before that of the first token, found %zu",
                              block->position_offset, out->max_positions);
    out->max_positions -= block->position_offset;
    out->max_sequence = out->max_positions;
    return espi_block_check(ctx, json->source, block);
}

static int read_shape(esp_context *ctx, const struct espi_json *json, struct espi_config *out)
{
    const struct espi_arch_keys *keys = &out->arch->keys;
    int status;
    if ((status = espi_json_get_size(ctx, json, "vocab_size", 1, ESPI_MAX_VOCAB, &out->vocab_size)) ||
        (status = espi_json_get_size(ctx, json, keys->hidden, 1, ESPI_MAX_HIDDEN, &out->hidden)) ||
        (status = espi_json_get_size(ctx, json, keys->layers, 1, ESPI_MAX_LAYERS, &out->layers)) ||
        (status = espi_json_get_size(ctx, json, keys->heads, 1, ESPI_MAX_HIDDEN, &out->heads)) ||
        (status = espi_json_get_size(ctx, json, keys->intermediate, 1, ESPI_MAX_INTERMEDIATE, &out->intermediate)) ||
        (status = espi_json_get_size(ctx, json, "max_position_embeddings", 1, ESPI_MAX_POSITIONS, &out->max_positions)))
        return status;
    if (out->hidden % out->heads != 0) {
        struct espi_json at = espi_json_at(json, keys->heads);
        return espi_json_fail(ctx, &at, "expected a divisor of %s (%zu), found %zu", keys->hidden, out->hidden,
                              out->heads);
    }
    out->embedding = out->hidden;
    out->type_vocab = keys->type_vocab ? 2 : 0;
    if (keys->type_vocab && espi_json_has(json, keys->type_vocab))
        status = espi_json_get_size(ctx, json, keys->type_vocab, 1, ESPI_MAX_TYPES, &out->type_vocab);
    /* Nothing is padded here: an id outside the vocabulary is no reason to refuse the model. */
    int64_t pad = -1;
    espi_json_is_integer(espi_json_at(json, "pad_token_id").value, &pad);
    if (pad < 0 || (size_t)pad >= out->vocab_size || out->arch->pad_fixed)
        pad = out->arch->pad_token_id;
    out->pad_token_id = (size_t)pad < out->vocab_size ? (int32_t)pad : 0;
    return status ? status : read_block(ctx, json, out);
}

/* A layer's list of heads; the object's keys are the numbers of layers' weights. */
static int read_removed_heads(esp_context *ctx, const struct espi_json *map, const char *key,
                              const struct espi_config *config, uint8_t *removed)
{
    struct espi_json list = espi_json_at(map, key);
    char *end;
    unsigned long long layer = strtoull(key, &end, 10);
    if (*key < '0' || *key > '9' || *end || layer >= espi_config_stored_layers(config))
        return espi_json_fail(ctx, map, "expected layers from 0 to %zu, found \"%.32s\"",
                              espi_config_stored_layers(config) - 1, key);
    int status = espi_json_expect_array(ctx, &list);
    const size_t first = layer * espi_config_sharing(config) * config->heads;
    for (size_t i = 0; !status && i < espi_json_length(&list); i++) {
        struct espi_json item = espi_json_item(&list, i);
        int64_t head = 0;
        status = espi_json_integer(ctx, &item, 0, (int64_t)config->heads - 1, &head);
        if (!status)
            removed[first + (size_t)head] = 1;
    }
    for (size_t i = 1; i < espi_config_sharing(config); i++)
        memcpy(removed + first + i * config->heads, removed + first, config->heads);
    if (!status && !memchr(removed + first, 0, config->heads))
        status = espi_config_unsupported(ctx, &list, "all %zu heads of a layer: not supported; one has to stay",
                                         config->heads);
    return status;
}

static int read_pruned_heads(esp_context *ctx, const struct espi_json *json, struct espi_config *out)
{
    struct espi_json map = espi_json_at(json, "pruned_heads");
    if (!map.value)
        return ESP_OK;
    int status = espi_json_expect_object(ctx, &map);
    if (status || !espi_json_length(&map))
        return status;
    uint8_t *removed = espi_arena_alloc(ctx, &out->arena, out->layers * out->heads, 1);
    if (!removed)
        return ESP_ERR_MEMORY;
    memset(removed, 0, out->layers * out->heads);
    const char *key;
    json_t *value;
    json_object_foreach(map.value, key, value)
    {
        if (!status)
            status = read_removed_heads(ctx, &map, key, out, removed);
    }
    out->removed_heads = memchr(removed, 1, out->layers * out->heads) ? removed : NULL;
    return status;
}

static int read_activation(esp_context *ctx, const struct espi_json *json, struct espi_config *out)
{
    const char *name, *key = out->arch->keys.activation;
    out->activation = out->arch->activation;
    if (!espi_json_has(json, key))
        return ESP_OK;
    int status = espi_json_get_string(ctx, json, key, &name, NULL);
    if (status)
        return status;
    if (espi_activation_find(name, &out->activation))
        return ESP_OK;
    char list[256];
    for (size_t i = 0, used = 0; i < ESPI_COUNT(activations) && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", activations[i].name);
    struct espi_json at = espi_json_at(json, key);
    return espi_config_unsupported(ctx, &at, "activation \"%.64s\" is not supported; supported: %s", name, list);
}

static int read_rates(esp_context *ctx, const struct espi_json *json, struct espi_config *out)
{
    const struct espi_arch_keys *keys = &out->arch->keys;
    const struct espi_arch_head *head = &out->arch->heads[out->head];
    int status;
    out->layer_norm_eps = out->arch->layer_norm_eps;
    out->initializer_range = 0.02f;
    out->hidden_dropout = out->attention_dropout = 0.1f;
    if ((status = optional_float(ctx, json, keys->layer_norm_eps, 0, 1, &out->layer_norm_eps)) ||
        (status = optional_float(ctx, json, "initializer_range", 0, 10, &out->initializer_range)) ||
        (status = optional_float(ctx, json, keys->hidden_dropout, 0, 0.999, &out->hidden_dropout)) ||
        (status = optional_float(ctx, json, keys->attention_dropout, 0, 0.999, &out->attention_dropout)))
        return status;
    if (head->dropout)
        out->classifier_dropout = head->dropout_fallback < 0 ? out->hidden_dropout : head->dropout_fallback;
    return optional_float(ctx, json, head->dropout, 0, 0.999, &out->classifier_dropout);
}

/* ---- head ---------------------------------------------------------------------------------------------- */

/* A bare encoder may come without its pooler; whoever reads the tensors corrects this. */
void espi_config_set_head(struct espi_config *config, enum espi_head head)
{
    config->head = head;
    config->recipe = config->arch->heads[head].recipe;
    if (config->arch->heads[head].layer_activation)
        config->recipe.activation = config->activation;
}

static int read_head(esp_context *ctx, const struct espi_json *json, struct espi_config *out)
{
    struct espi_json list = espi_json_at(json, "architectures");
    out->head = ESPI_HEAD_NONE;
    if (list.value) {
        int status = espi_json_expect_array(ctx, &list);
        if (status)
            return status;
    }
    if (espi_json_length(&list)) {
        struct espi_json first = espi_json_item(&list, 0);
        const char *name = json_string_value(first.value);
        if (!name)
            return espi_json_fail(ctx, &first, "expected the name of a model class");
        if (!espi_arch_head(out->arch, name, &out->head))
            return espi_config_unsupported(ctx, &first, "\"%.64s\" is not supported; supported: %s followed by %s",
                                           name, out->arch->class_name, espi_head_list());
    }
    espi_config_set_head(out, out->head);
    if (out->head == ESPI_HEAD_MLM && json_is_false(espi_json_at(json, "tie_word_embeddings").value)) {
        struct espi_json at = espi_json_at(json, "tie_word_embeddings");
        return espi_config_unsupported(ctx, &at,
                                       "a masked-LM decoder untied from the word embeddings is not supported");
    }
    return ESP_OK;
}

/* ---- entry points ------------------------------------------------------------------------------------------------- */

/* A file that is read for the first time tells what of it is not applied. */
static int check_members(esp_context *ctx, const struct espi_json *json, bool first, const struct espi_config *config)
{
    const char *families = config->arch->spelling;
    if (!first)
        return espi_members_refuse(ctx, json, &espi_config_members, families);
    struct espi_json inner = espi_json_at(json, "sentence_transformers");
    int status = espi_members_check(ctx, json, &espi_config_members, families);
    return status || !inner.value ? status : espi_members_check(ctx, &inner, &espi_cross_encoder_members, NULL);
}

/* Numbers that do not go with what decides. */
static void warn_numbers(esp_context *ctx, const struct espi_json *json, const struct espi_config *config)
{
    struct espi_json labels = espi_json_at(json, "num_labels"), pad = espi_json_at(json, "pad_token_id");
    bool labelled = config->head == ESPI_HEAD_SEQUENCE || config->head == ESPI_HEAD_TOKEN;
    int64_t value;
    if (labelled && labels.value && !(espi_json_is_integer(labels.value, &value) && value == (int64_t)config->labels))
        espi_json_warn(ctx, &labels, "is not applied: id2label has %zu labels", config->labels);
    if (pad.value && !(espi_json_is_integer(pad.value, &value) && value == config->pad_token_id))
        espi_json_warn(ctx, &pad, "is not applied: expected %s%zu",
                       config->arch->pad_fixed ? "" : "a token id from 0 to ",
                       config->arch->pad_fixed ? (size_t)config->pad_token_id : config->vocab_size - 1);
}

static int read_document(esp_context *ctx, const struct espi_json *json, bool first, struct espi_config *out)
{
    int status = espi_json_expect_object(ctx, json);
    if (status || (status = read_arch(ctx, json, out)) || (status = check_members(ctx, json, first, out)) ||
        (status = read_shape(ctx, json, out)) || (status = read_pruned_heads(ctx, json, out)) ||
        (status = read_activation(ctx, json, out)) || (status = read_head(ctx, json, out)) ||
        (status = read_rates(ctx, json, out)))
        return status;
    status = espi_config_read_labels(ctx, json, out);
    if (!status && first)
        warn_numbers(ctx, json, out);
    return status;
}

/* Takes the document over. */
static int finish(esp_context *ctx, int status, struct espi_json *json, bool first, struct espi_config *out)
{
    *out = (struct espi_config){0};
    if (status)
        return status;
    out->json = json->value;
    status = read_document(ctx, json, first, out);
    if (status)
        espi_config_clear(out);
    return status;
}

int espi_config_parse(esp_context *ctx, const char *source, const char *text, size_t bytes, struct espi_config *out)
{
    struct espi_json json;
    return finish(ctx, espi_json_open_text(ctx, source, text, bytes, &json), &json, false, out);
}

int espi_config_read_file(esp_context *ctx, const char *path, struct espi_config *out)
{
    struct espi_json json;
    return finish(ctx, espi_json_open_file(ctx, path, &json), &json, true, out);
}

int espi_config_expect(esp_context *ctx, const char *directory)
{
    enum espi_path_kind kind;
    bool compiled;
    int status = espi_path_look(ctx, directory, &kind);
    if (status || kind == ESPI_PATH_DIRECTORY)
        return status;
    if (kind == ESPI_PATH_NOTHING)
        return espi_fail_errno(ctx, ESP_ERR_NOT_FOUND, ENOENT, "%s: expected a checkpoint directory",
                               *directory ? directory : "\"\"");
    status = espi_esp_recognize(ctx, directory, &compiled);
    if (status)
        return status;
    return espi_fail(ctx, ESP_ERR_FORMAT,
                     "%s: expected a checkpoint directory (config.json, model.safetensors), found %s", directory,
                     compiled ? "a compiled file" : "another file");
}

int espi_config_read(esp_context *ctx, const char *directory, struct espi_config *out)
{
    char folder[ESPI_PATH_BYTES], path[ESPI_PATH_BYTES];
    *out = (struct espi_config){0};
    int status = espi_path_join(ctx, path, directory, "config.json");
    if (!status)
        status = espi_config_expect(ctx, directory);
    if (!status)
        status = espi_encoder_folder(ctx, directory, folder);
    if (!status)
        status = espi_path_join(ctx, path, folder, "config.json");
    if (!status)
        status = espi_config_read_file(ctx, path, out);
    if (!status)
        status = espi_config_read_sentence(ctx, directory, folder, out);
    if (status)
        espi_config_clear(out);
    return status;
}

void espi_config_clear(struct espi_config *config)
{
    json_decref(config->json);
    espi_arena_clear(&config->arena);
    *config = (struct espi_config){0};
}

void espi_config_positions(const struct espi_config *config, const int32_t *ids, size_t first, size_t count,
                           uint32_t *rows)
{
    uint32_t next = (uint32_t)config->block.position_offset;
    if (config->block.positions != ESPI_POSITIONS_COUNTED) {
        for (size_t i = 0; i < count; i++)
            rows[i] = next + (uint32_t)(first + i);
        return;
    }
    for (size_t i = 0; i < first; i++)
        next += ids[i] != config->pad_token_id;
    for (size_t i = 0; i < count; i++)
        rows[i] = ids[first + i] == config->pad_token_id ? (uint32_t)config->block.position_offset - 1 : next++;
}

size_t espi_config_bucket(const struct espi_config *config, ptrdiff_t distance)
{
    const size_t side = config->block.buckets / 2, exact = side / 2;
    const size_t n = (size_t)(distance < 0 ? -distance : distance), first = distance > 0 ? side : 0;
    if (n < exact)
        return first + n;
    const float share = logf((float)n / (float)exact) / logf((float)ESPI_BUCKET_DISTANCE / (float)exact);
    return first + espi_size_min(exact + (size_t)(share * (float)(side - exact)), side - 1);
}

int espi_config_buckets(esp_context *ctx, const struct espi_config *config, uint8_t **out)
{
    size_t count = 2 * config->max_positions - 1;
    *out = espi_calloc(ctx, count, 1);
    for (size_t i = 0; *out && i < count; i++)
        (*out)[i] = (uint8_t)espi_config_bucket(config, (ptrdiff_t)i - (ptrdiff_t)config->max_positions + 1);
    return *out ? ESP_OK : ESP_ERR_MEMORY;
}

int espi_block_check(esp_context *ctx, const char *source, const struct espi_block *block)
{
    const char *what = block->norm_first            ? "LayerNorm in front of its layer"
                       : block->no_norm_bias        ? "LayerNorm without shift"
                       : block->no_bias             ? "linear layers without bias"
                       : block->gated               ? "a gated feed-forward"
                       : block->window              ? "attention within a window"
                       : block->position_theta != 0 ? "rotary positions"
                                                    : NULL;
    if (!what && block->positions != ESPI_POSITIONS_LEARNED && block->positions != ESPI_POSITIONS_COUNTED)
        what = "positions other than a table's";
    return what ? espi_fail(ctx, ESP_ERR_UNSUPPORTED, "%s: the model has %s, which is not supported", source, what)
                : ESP_OK;
}

size_t espi_config_layer_heads(const struct espi_config *config, size_t layer)
{
    size_t count = config->heads;
    for (size_t head = 0; config->removed_heads && head < config->heads; head++)
        count -= config->removed_heads[layer * config->heads + head];
    return count;
}

size_t espi_config_head_number(const struct espi_config *config, size_t layer, size_t head)
{
    size_t number = 0;
    for (const uint8_t *removed = config->removed_heads; removed && number < config->heads; number++)
        if (!removed[layer * config->heads + number] && !head--)
            return number;
    return head;
}

size_t espi_config_context(const struct espi_config *config, size_t layer)
{
    return espi_config_layer_heads(config, layer) * espi_config_head_size(config);
}

int espi_config_remove_heads(esp_context *ctx, struct espi_config *config, const uint8_t *removed)
{
    size_t count = config->layers * config->heads;
    config->removed_heads = NULL;
    if (!removed || !memchr(removed, 1, count))
        return ESP_OK;
    uint8_t *copy = espi_arena_alloc(ctx, &config->arena, count, 1);
    if (!copy)
        return ESP_ERR_MEMORY;
    memcpy(copy, removed, count);
    config->removed_heads = copy;
    return ESP_OK;
}
