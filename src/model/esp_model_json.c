/* SPDX-License-Identifier: Apache-2.0
 * Section MODEL: {"format", "max_sequence", "has_pooler", "pooling", "normalize", "activations", "layers",
 * "warnings"}. */
#include "base/size.h"
#include "model/arch.h"
#include "model/esp_model.h"

#include <stdlib.h>
#include <string.h>

static const char *const point_names[ESPI_POINT_COUNT] = {
#define X(name, text) text,
    ESPI_ESP_POINT_MAP(X)
#undef X
};

static const char *const poolings[] = {"none", "cls", "mean", "max"}; // by enum espi_pooling
static const char format_name[] = "espalier", fixed_name[] = "static", token_name[] = "per_token";

/* ---- writing -------------------------------------------------------------------------------------------------------- */

json_t *espi_esp_points_json(size_t count, const struct espi_steps (*points)[ESPI_POINT_COUNT])
{
    json_t *layers = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *layer = json_object();
        for (size_t p = 0; p < ESPI_POINT_COUNT; p++)
            json_object_set_new(layer, point_names[p],
                                json_pack("[f,i]", (double)points[i][p].step, (int)points[i][p].zero_point));
        if (json_object_size(layer) != ESPI_POINT_COUNT || json_array_append_new(layers, layer)) {
            json_decref(layers);
            return NULL;
        }
    }
    return layers;
}

/* A long text may have been cut inside a character. */
static json_t *warning_json(const char *text)
{
    json_t *json = json_string(text);
    char *ascii = json ? NULL : strdup(text);
    for (char *at = ascii; at && *at; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    if (ascii)
        json = json_string(ascii);
    free(ascii);
    return json;
}

static int set_warnings(json_t *json, const struct espi_warnings *warnings)
{
    if (!warnings || !warnings->count)
        return 0;
    json_t *list = json_array();
    int failed = !list;
    for (size_t i = 0; !failed && i < warnings->count; i++)
        failed = json_array_append_new(list, warning_json(warnings->texts[i]));
    failed = failed || json_object_set(json, "warnings", list);
    json_decref(list);
    return failed;
}

/* What only some sentence encoders have. */
static int set_sentence(json_t *json, const struct espi_config *config)
{
    return (config->sequence_stated && json_object_set_new(json, "sequence_stated", json_true())) ||
           (config->lowercase && json_object_set_new(json, "lowercase", json_true())) ||
           (config->prompt && json_object_set_new(json, "prompt", json_string(config->prompt))) ||
           (config->embedding != config->hidden &&
            json_object_set_new(json, "embedding", json_integer((json_int_t)config->embedding)));
}

char *espi_esp_model_json(const struct espi_config *config, const struct espi_steps (*points)[ESPI_POINT_COUNT],
                          const struct espi_warnings *warnings)
{
    json_t *json = json_pack("{s:s, s:I, s:b, s:s, s:b, s:s}", "format", format_name, "max_sequence",
                             (json_int_t)config->max_sequence, "has_pooler", (int)espi_config_has_pooler(config),
                             "pooling", poolings[config->pooling], "normalize", (int)config->normalize, "activations",
                             points ? fixed_name : token_name);
    json_t *layers = points ? espi_esp_points_json(config->layers, points) : NULL;
    char *text = NULL;
    /* 9 digits give a float back. */
    if (json && (!points || (layers && !json_object_set(json, "layers", layers))) && !set_sentence(json, config) &&
        !set_warnings(json, warnings))
        text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(layers);
    json_decref(json);
    return text;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

/* Index of the member's text in a list of words. */
static int get_word(esp_context *ctx, const struct espi_json *json, const char *key, const char *const *words,
                    size_t count, size_t *out)
{
    const char *text;
    int status = espi_json_get_string(ctx, json, key, &text, NULL);
    if (status)
        return status;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], text) == 0) {
            *out = i;
            return ESP_OK;
        }
    }
    struct espi_json at = espi_json_at(json, key);
    return espi_json_fail(ctx, &at, "\"%.64s\" is not known", text);
}

static int read_sentence(esp_context *ctx, const struct espi_json *json, struct espi_config *config)
{
    const char *prompt;
    int status = ESP_OK;
    if (espi_json_has(json, "sequence_stated"))
        status = espi_json_get_bool(ctx, json, "sequence_stated", &config->sequence_stated);
    if (!status && espi_json_has(json, "lowercase"))
        status = espi_json_get_bool(ctx, json, "lowercase", &config->lowercase);
    if (!status && espi_json_has(json, "embedding"))
        status = espi_json_get_size(ctx, json, "embedding", 1, config->hidden, &config->embedding);
    if (status || !espi_json_has(json, "prompt"))
        return status;
    status = espi_json_get_string(ctx, json, "prompt", &prompt, NULL);
    if (status)
        return status;
    config->prompt = espi_arena_copy(ctx, &config->arena, prompt, strlen(prompt));
    return config->prompt ? ESP_OK : ESP_ERR_MEMORY;
}

static int read_config(esp_context *ctx, const struct espi_json *json, struct espi_config *config)
{
    static const char *const formats[] = {format_name};
    size_t format = 0, pooling = 0;
    int status;
    if ((status = get_word(ctx, json, "format", formats, 1, &format)) ||
        (status = espi_json_get_size(ctx, json, "max_sequence", 1, config->max_positions, &config->max_sequence)) ||
        (status = get_word(ctx, json, "pooling", poolings, ESPI_COUNT(poolings), &pooling)) ||
        (status = espi_json_get_bool(ctx, json, "normalize", &config->normalize)))
        return status;
    config->pooling = (enum espi_pooling)pooling;
    if ((status = read_sentence(ctx, json, config)))
        return status;
    bool pooler, could = espi_config_has_pooler(config), must = could && config->head != ESPI_HEAD_NONE;
    status = espi_json_get_bool(ctx, json, "has_pooler", &pooler);
    if (status)
        return status;
    if ((pooler && !could) || (!pooler && must)) {
        struct espi_json at = espi_json_at(json, "has_pooler");
        return espi_json_fail(ctx, &at, "expected %s for this architecture and head", could ? "true" : "false");
    }
    if (!pooler && could)
        config->recipe = (struct espi_head_recipe){.rows = ESPI_ROWS_NONE};
    return ESP_OK;
}

/* [step, zero point] */
static int read_point(esp_context *ctx, const struct espi_json *layer, const char *key, bool symmetric,
                      struct espi_steps *out)
{
    struct espi_json pair = espi_json_at(layer, key);
    int status = espi_json_expect_array(ctx, &pair);
    if (status)
        return status;
    const json_t *step = json_array_get(pair.value, 0), *zero = json_array_get(pair.value, 1);
    int64_t zero_point, low = symmetric ? 128 : 0, high = symmetric ? 128 : 255;
    if (espi_json_length(&pair) != 2 || !json_is_number(step) || !espi_json_is_integer(zero, &zero_point))
        return espi_json_fail(ctx, &pair, "expected [step, zero point]");
    double value = json_number_value(step);
    if (!(value >= 0x1p-100 && value <= 0x1p100))
        return espi_json_fail(ctx, &pair, "expected a step from 2^-100 to 2^100, found %g", value);
    if (zero_point < low || zero_point > high)
        return espi_json_fail(ctx, &pair, "expected a zero point from %lld to %lld, found %lld", (long long)low,
                              (long long)high, (long long)zero_point);
    *out = (struct espi_steps){.step = (float)value, .zero_point = (int32_t)zero_point};
    return ESP_OK;
}

int espi_esp_points_read(esp_context *ctx, const struct espi_json *object, size_t layers,
                         struct espi_steps (*points)[ESPI_POINT_COUNT])
{
    struct espi_json list = espi_json_at(object, "layers");
    int status = espi_json_expect_array(ctx, &list);
    if (!status && espi_json_length(&list) != layers)
        status = espi_json_fail(ctx, &list, "expected %zu layers, found %zu", layers, espi_json_length(&list));
    for (size_t i = 0; !status && i < layers; i++) {
        struct espi_json layer = espi_json_item(&list, i);
        status = espi_json_expect_object(ctx, &layer);
        for (size_t p = 0; !status && p < ESPI_POINT_COUNT; p++) {
            bool symmetric = p == ESPI_POINT_QUERY || p == ESPI_POINT_KEY || p == ESPI_POINT_VALUE;
            status = read_point(ctx, &layer, point_names[p], symmetric, &points[i][p]);
        }
    }
    return status;
}

static int read_points(esp_context *ctx, const struct espi_json *json, struct espi_esp_model *model)
{
    size_t layers = model->config.layers;
    struct espi_steps(*points)[ESPI_POINT_COUNT] = espi_calloc(ctx, layers, sizeof *points);
    int status = points ? espi_esp_points_read(ctx, json, layers, points) : ESP_ERR_MEMORY;
    for (size_t i = 0; !status && i < layers; i++)
        memcpy(model->layers[i].points, points[i], sizeof points[i]);
    free(points);
    return status;
}

static int read_warnings(esp_context *ctx, const struct espi_json *json, struct espi_warnings *out)
{
    struct espi_json list = espi_json_at(json, "warnings");
    if (!list.value)
        return ESP_OK;
    int status = espi_json_expect_array(ctx, &list);
    for (size_t i = 0; !status && i < espi_json_length(&list); i++) {
        struct espi_json item = espi_json_item(&list, i);
        if (!json_is_string(item.value))
            return espi_json_fail(ctx, &item, "expected a string");
        status = espi_warnings_add(ctx, out, json_string_value(item.value));
    }
    return status;
}

int espi_esp_model_read_json(esp_context *ctx, const char *source, const char *text, size_t bytes,
                             struct espi_esp_model *model)
{
    static const char *const kinds[] = {token_name, fixed_name};
    struct espi_json json;
    size_t kind = 0;
    int status = espi_json_open_text(ctx, source, text, bytes, &json);
    if (status)
        return status;
    status = espi_json_expect_object(ctx, &json);
    if (!status)
        status = read_config(ctx, &json, &model->config);
    if (!status)
        status = get_word(ctx, &json, "activations", kinds, ESPI_COUNT(kinds), &kind);
    model->fixed_steps = kind == 1;
    if (!status && model->fixed_steps)
        status = read_points(ctx, &json, model);
    if (!status)
        status = read_warnings(ctx, &json, &model->warnings);
    espi_json_close(&json);
    return status;
}
