/* SPDX-License-Identifier: Apache-2.0
 * Section CONFIG: what a model is, in words of its own, so that a reader need not know the family it comes from. One table
 * of fields is written and read. */
#include "base/json_writer.h"
#include "base/size.h"
#include "model/arch.h"
#include "model/config_private.h"
#include "model/esp_model.h"

#include <stdlib.h>
#include <string.h>

/* ---- fields --------------------------------------------------------------------------------------------------------- */

enum field_kind { SIZE, LATER, ID, FLAG, FLOAT, WORD }; // LATER: a size that is not there where it is 0

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;            // in struct espi_config
    size_t low, high;         // SIZE, LATER, ID
    const char *const *words; // WORD: by the enum, NULL-terminated
};

#define ACTIVATION_WORD(name, word) word,
static const char *const activations[] = {ESPI_ACTIVATIONS(ACTIVATION_WORD) NULL};
static const char *const positions[] = {"learned", "counted", "rotary", "none", NULL};
static const char *const heads[] = {"none", "qa", "sequence", "token", "mlm", NULL};
static const char *const head_rows[] = {"none", "all", "first", "wanted", NULL};
static const char *const problems[] = {"single_label", "multi_label", "regression", NULL};
static const char *const scores[] = {"unstated", "softmax", "sigmoid", "raw", NULL};

#define AT(member) offsetof(struct espi_config, member)

static const struct field shape_fields[] = {
    {"vocabulary", SIZE, AT(vocab_size), 1, ESPI_MAX_VOCAB, NULL},
    {"hidden", SIZE, AT(hidden), 1, ESPI_MAX_HIDDEN, NULL},
    {"heads", SIZE, AT(heads), 1, ESPI_MAX_HIDDEN, NULL},
    {"max_positions", SIZE, AT(max_positions), 1, ESPI_MAX_POSITIONS, NULL},
    {"types", SIZE, AT(type_vocab), 0, ESPI_MAX_TYPES, NULL},
    {"pad", ID, AT(pad_token_id), 0, ESPI_MAX_VOCAB, NULL},
    {"activation", WORD, AT(activation), 0, 0, activations},
    {"layer_norm_eps", FLOAT, AT(layer_norm_eps), 0, 0, NULL},
};

static const struct field block_fields[] = {
    {"norm_first", FLAG, AT(block.norm_first), 0, 0, NULL},
    {"no_norm_bias", FLAG, AT(block.no_norm_bias), 0, 0, NULL},
    {"no_bias", FLAG, AT(block.no_bias), 0, 0, NULL},
    {"gated", FLAG, AT(block.gated), 0, 0, NULL},
    {"positions", WORD, AT(block.positions), 0, 0, positions},
    {"position_offset", SIZE, AT(block.position_offset), 0, ESPI_MAX_POSITIONS, NULL},
    {"position_theta", FLOAT, AT(block.position_theta), 0, 0, NULL},
    {"window", SIZE, AT(block.window), 0, ESPI_MAX_POSITIONS, NULL},
    {"shared_layers", SIZE, AT(block.shared_layers), 0, ESPI_MAX_LAYERS, NULL},
    {"embedding", SIZE, AT(block.embedding), 0, ESPI_MAX_HIDDEN, NULL},
    {"buckets", LATER, AT(block.buckets), 4, ESPI_MAX_BUCKETS, NULL},
};

static const struct field head_fields[] = {
    {"kind", WORD, AT(head), 0, 0, heads},
    {"rows", WORD, AT(recipe.rows), 0, 0, head_rows},
    {"dense", FLAG, AT(recipe.dense), 0, 0, NULL},
    {"activation", WORD, AT(recipe.activation), 0, 0, activations},
    {"norm", FLAG, AT(recipe.norm), 0, 0, NULL},
    {"decoder", FLAG, AT(recipe.decoder), 0, 0, NULL},
    {"labels", SIZE, AT(labels), 0, ESPI_MAX_LABELS, NULL},
    {"problem", WORD, AT(problem), 0, 0, problems},
    {"problem_told", FLAG, AT(problem_told), 0, 0, NULL},
    {"scores", WORD, AT(scores), 0, 0, scores},
};

_Static_assert(sizeof(enum espi_head) == sizeof(unsigned), "words are read as numbers");

/* ---- writing -------------------------------------------------------------------------------------------------------- */

static void put_fields(struct espi_json_writer *w, const struct espi_config *config, const struct field *fields,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct field *f = &fields[i];
        const void *at = (const char *)config + f->offset;
        switch (f->kind) {
        case SIZE:
            espi_put_size(w, f->name, *(const size_t *)at);
            break;
        case LATER:
            if (*(const size_t *)at)
                espi_put_size(w, f->name, *(const size_t *)at);
            break;
        case ID:
            espi_put_integer(w, f->name, *(const int32_t *)at);
            break;
        case FLAG:
            espi_put_bool(w, f->name, *(const bool *)at);
            break;
        case FLOAT:
            espi_put_float(w, f->name, *(const float *)at);
            break;
        case WORD:
            espi_put_string(w, f->name, f->words[*(const unsigned *)at]);
            break;
        }
    }
}

/* Each layer's own width, and the heads it has lost. */
static void put_layers(struct espi_json_writer *w, const struct espi_config *config)
{
    espi_put_array(w, "layers");
    for (size_t layer = 0; layer < config->layers; layer++) {
        const uint8_t *removed = config->removed_heads ? config->removed_heads + layer * config->heads : NULL;
        espi_put_object(w, NULL);
        espi_put_size(w, "intermediate", espi_config_inner(config, layer));
        espi_put_array(w, "removed_heads");
        for (size_t head = 0; removed && head < config->heads; head++)
            if (removed[head])
                espi_put_size(w, NULL, head);
        espi_put_array_end(w);
        espi_put_object_end(w);
    }
    espi_put_array_end(w);
}

int espi_esp_config_write(esp_context *ctx, const struct espi_config *config, char **text)
{
    struct espi_json_writer w = {.exact = true};
    espi_put_object(&w, NULL);
    espi_put_string(&w, "family", config->family);
    put_fields(&w, config, shape_fields, ESPI_COUNT(shape_fields));
    put_layers(&w, config);
    espi_put_object(&w, "block");
    put_fields(&w, config, block_fields, ESPI_COUNT(block_fields));
    espi_put_object_end(&w);
    espi_put_object(&w, "head");
    put_fields(&w, config, head_fields, ESPI_COUNT(head_fields));
    espi_put_array(&w, "label_names");
    for (size_t i = 0; config->label_names && i < config->labels; i++)
        espi_put_string(&w, NULL, config->label_names[i]);
    espi_put_array_end(&w);
    espi_put_object_end(&w);
    espi_put_object_end(&w);
    int status = espi_json_writer_end(ctx, &w);
    *text = w.data;
    return status;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static int read_field(esp_context *ctx, const struct espi_json *object, const struct field *f, void *to)
{
    struct espi_json at = espi_json_at(object, f->name);
    int64_t id;
    double number;
    size_t word;
    int status;
    switch (f->kind) {
    case SIZE:
        return espi_json_get_size(ctx, object, f->name, f->low, f->high, to);
    case LATER:
        return at.value ? espi_json_get_size(ctx, object, f->name, f->low, f->high, to) : ESP_OK;
    case ID:
        status = espi_json_get_integer(ctx, object, f->name, (int64_t)f->low, (int64_t)f->high, &id);
        if (!status)
            *(int32_t *)to = (int32_t)id;
        return status;
    case FLAG:
        return espi_json_get_bool(ctx, object, f->name, to);
    case FLOAT:
        status = espi_json_get_number(ctx, object, f->name, 0, 1e9, &number);
        if (!status)
            *(float *)to = (float)number;
        return status;
    case WORD:
        status = espi_esp_word(ctx, &at, f->words, &word);
        if (!status)
            *(unsigned *)to = (unsigned)word;
        return status;
    }
    return ESP_OK;
}

static int read_fields(esp_context *ctx, const struct espi_json *object, const struct field *fields, size_t count,
                       struct espi_config *config)
{
    int status = espi_json_expect_object(ctx, object);
    for (size_t i = 0; !status && i < count; i++)
        status = read_field(ctx, object, &fields[i], (char *)config + fields[i].offset);
    return status;
}

static bool is_known(const char *name, const struct field *fields, size_t count, const char *const *others)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].name, name) == 0)
            return true;
    for (size_t i = 0; others[i]; i++)
        if (strcmp(others[i], name) == 0)
            return true;
    return false;
}

/* A later version may say more than this one understands: what that is is named, not skipped. */
static int refuse_unknown(esp_context *ctx, const struct espi_json *object, const struct field *fields, size_t count,
                          const char *const *others)
{
    const char *name;
    json_t *value;
    json_object_foreach(object->value, name, value)
    {
        struct espi_json at = espi_json_at(object, name);
        if (!is_known(name, fields, count, others))
            return espi_config_unsupported(ctx, &at, "is not known to this version: the file needs a later one");
    }
    return ESP_OK;
}

static int read_layer(esp_context *ctx, const struct espi_json *json, struct espi_config *config, size_t layer,
                      uint32_t *inner, uint8_t *removed)
{
    static const char *const members[] = {"intermediate", "removed_heads", NULL};
    struct espi_json list = espi_json_at(json, "removed_heads");
    size_t width, lost = espi_json_length(&list);
    int status = espi_json_expect_object(ctx, json);
    if (status || (status = refuse_unknown(ctx, json, NULL, 0, members)) ||
        (status = espi_json_get_size(ctx, json, "intermediate", 1, ESPI_MAX_INTERMEDIATE, &width)) ||
        (status = espi_json_expect_array(ctx, &list)))
        return status;
    inner[layer] = (uint32_t)width;
    config->intermediate = espi_size_max(config->intermediate, width);
    for (size_t i = 0; i < lost; i++) {
        struct espi_json item = espi_json_item(&list, i);
        int64_t head;
        if ((status = espi_json_integer(ctx, &item, 0, (int64_t)config->heads - 1, &head)))
            return status;
        removed[layer * config->heads + (size_t)head] = 1;
    }
    if (!memchr(removed + layer * config->heads, 0, config->heads))
        return espi_json_fail(ctx, &list, "expected that one of the %zu heads stays", config->heads);
    return ESP_OK;
}

static int read_layers(esp_context *ctx, const struct espi_json *json, struct espi_config *config)
{
    struct espi_json list = espi_json_at(json, "layers");
    int status = espi_json_expect_array(ctx, &list);
    if (status)
        return status;
    config->layers = espi_json_length(&list);
    if (!config->layers || config->layers > ESPI_MAX_LAYERS)
        return espi_json_fail(ctx, &list, "expected 1 to %d layers, found %zu", ESPI_MAX_LAYERS, config->layers);
    size_t heads_of_all = config->layers * config->heads;
    uint32_t *inner = espi_arena_alloc(ctx, &config->arena, config->layers, sizeof *inner);
    uint8_t *removed = espi_arena_alloc(ctx, &config->arena, heads_of_all, 1);
    if (!inner || !removed)
        return ESP_ERR_MEMORY;
    memset(removed, 0, heads_of_all);
    for (size_t layer = 0; !status && layer < config->layers; layer++) {
        struct espi_json item = espi_json_item(&list, layer);
        status = read_layer(ctx, &item, config, layer, inner, removed);
    }
    config->inner = inner;
    config->removed_heads = memchr(removed, 1, heads_of_all) ? removed : NULL;
    return status;
}

static int read_label_names(esp_context *ctx, const struct espi_json *head, struct espi_config *config)
{
    struct espi_json list = espi_json_at(head, "label_names");
    int status = espi_json_expect_array(ctx, &list);
    size_t count = espi_json_length(&list);
    bool named = config->head == ESPI_HEAD_SEQUENCE || config->head == ESPI_HEAD_TOKEN;
    if (status || (count == 0 && !named))
        return status;
    if (count != config->labels)
        return espi_json_fail(ctx, &list, "expected %zu names, found %zu", config->labels, count);
    config->label_names = espi_arena_alloc(ctx, &config->arena, count, sizeof *config->label_names);
    if (!config->label_names)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct espi_json item = espi_json_item(&list, i);
        const char *name = json_string_value(item.value);
        if (!name)
            return espi_json_fail(ctx, &item, "expected a string");
        config->label_names[i] = espi_arena_copy(ctx, &config->arena, name, strlen(name));
        if (!config->label_names[i])
            return ESP_ERR_MEMORY;
    }
    return ESP_OK;
}

/* What a head of each kind is made of. */
static int check_head(esp_context *ctx, const struct espi_json *head, const struct espi_config *config)
{
    static const enum espi_head_rows rows[ESPI_HEAD_COUNT] = {[ESPI_HEAD_NONE] = ESPI_ROWS_FIRST,
                                                              [ESPI_HEAD_QA] = ESPI_ROWS_ALL,
                                                              [ESPI_HEAD_SEQUENCE] = ESPI_ROWS_FIRST,
                                                              [ESPI_HEAD_TOKEN] = ESPI_ROWS_ALL,
                                                              [ESPI_HEAD_MLM] = ESPI_ROWS_WANTED};
    const struct espi_head_recipe *recipe = &config->recipe;
    bool classifies = config->head != ESPI_HEAD_NONE && config->head != ESPI_HEAD_MLM;
    struct espi_json at_rows = espi_json_at(head, "rows"), at_labels = espi_json_at(head, "labels");
    struct espi_json at_decoder = espi_json_at(head, "decoder"), at_dense = espi_json_at(head, "dense");
    if (recipe->rows != rows[config->head] && (config->head != ESPI_HEAD_NONE || recipe->dense))
        return espi_config_unsupported(ctx, &at_rows, "\"%s\" is not supported for this head; \"%s\" is",
                                       head_rows[recipe->rows], head_rows[rows[config->head]]);
    if (classifies != (config->labels > 0) || (config->head == ESPI_HEAD_QA && config->labels != 2))
        return espi_json_fail(ctx, &at_labels, "found %zu, which this head cannot have", config->labels);
    if (recipe->decoder != (config->head == ESPI_HEAD_MLM))
        return espi_json_fail(ctx, &at_decoder, "expected that masked-LM heads have one, and no others");
    if (recipe->dense && recipe->rows == ESPI_ROWS_ALL)
        return espi_config_unsupported(ctx, &at_dense, "a dense layer over every token is not supported");
    return ESP_OK;
}

static int read_head(esp_context *ctx, const struct espi_json *json, struct espi_config *config)
{
    static const char *const others[] = {"label_names", NULL};
    struct espi_json head = espi_json_at(json, "head");
    int status = read_fields(ctx, &head, head_fields, ESPI_COUNT(head_fields), config);
    if (status || (status = refuse_unknown(ctx, &head, head_fields, ESPI_COUNT(head_fields), others)) ||
        (status = check_head(ctx, &head, config)))
        return status;
    return read_label_names(ctx, &head, config);
}

/* Layers that share their weights have the same shape. */
static int check_sharing(esp_context *ctx, const struct espi_json *json, const struct espi_config *config)
{
    size_t sharing = espi_config_sharing(config), width = config->heads;
    struct espi_json block = espi_json_at(json, "block"), at = espi_json_at(&block, "shared_layers");
    struct espi_json layers = espi_json_at(json, "layers");
    if (config->layers % sharing)
        return espi_json_fail(ctx, &at, "expected a divisor of the %zu layers, found %zu", config->layers, sharing);
    for (size_t layer = 0; layer < config->layers; layer++) {
        size_t first = layer / sharing * sharing;
        const uint8_t *removed = config->removed_heads;
        struct espi_json item = espi_json_item(&layers, layer);
        if (config->inner[layer] != config->inner[first] ||
            (removed && memcmp(removed + layer * width, removed + first * width, width) != 0))
            return espi_json_fail(ctx, &item, "expected the shape of layer %zu, whose weights it has", first);
    }
    return ESP_OK;
}

static int check_shape(esp_context *ctx, const struct espi_json *json, const struct espi_config *config)
{
    struct espi_json heads_at = espi_json_at(json, "heads"), pad = espi_json_at(json, "pad");
    struct espi_json block = espi_json_at(json, "block"), offset = espi_json_at(&block, "position_offset");
    struct espi_json buckets = espi_json_at(&block, "buckets");
    if (config->hidden % config->heads)
        return espi_json_fail(ctx, &heads_at, "expected a divisor of hidden (%zu), found %zu", config->hidden,
                              config->heads);
    if ((size_t)config->pad_token_id >= config->vocab_size)
        return espi_json_fail(ctx, &pad, "expected an id below %zu, found %d", config->vocab_size,
                              (int)config->pad_token_id);
    if (config->block.positions == ESPI_POSITIONS_COUNTED && !config->block.position_offset)
        return espi_json_fail(ctx, &offset, "expected 1 or more, the row of the padding id among them");
    if (config->block.buckets % 4)
        return espi_json_fail(ctx, &buckets, "expected a multiple of 4, found %zu", config->block.buckets);
    int status = check_sharing(ctx, json, config);
    return status ? status : espi_block_check(ctx, json->source, &config->block);
}

static int read_document(esp_context *ctx, const struct espi_json *json, struct espi_config *config)
{
    static const char *const others[] = {"family", "layers", "block", "head", NULL}, *const none[] = {NULL};
    struct espi_json block = espi_json_at(json, "block");
    const char *family;
    int status = read_fields(ctx, json, shape_fields, ESPI_COUNT(shape_fields), config);
    if (status || (status = refuse_unknown(ctx, json, shape_fields, ESPI_COUNT(shape_fields), others)) ||
        (status = espi_json_get_string(ctx, json, "family", &family, NULL)) ||
        (status = read_layers(ctx, json, config)) ||
        (status = read_fields(ctx, &block, block_fields, ESPI_COUNT(block_fields), config)) ||
        (status = refuse_unknown(ctx, &block, block_fields, ESPI_COUNT(block_fields), none)) ||
        (status = check_shape(ctx, json, config)))
        return status;
    config->family = espi_arena_copy(ctx, &config->arena, family, strlen(family));
    config->max_sequence = config->max_positions;
    config->embedding = config->hidden;
    return config->family ? read_head(ctx, json, config) : ESP_ERR_MEMORY;
}

int espi_esp_config_read(esp_context *ctx, const char *source, const char *text, size_t bytes, struct espi_config *out)
{
    struct espi_json json;
    *out = (struct espi_config){0};
    int status = espi_json_open_text(ctx, source, text, bytes, &json);
    if (!status)
        status = read_document(ctx, &json, out);
    espi_json_close(&json);
    if (status)
        espi_config_clear(out);
    return status;
}
