/* SPDX-License-Identifier: Apache-2.0
 * Section MODEL: how the model is used, its activations' scales, and what its files said that was not applied. */
#include "base/json_writer.h"
#include "model/config_private.h"
#include "model/esp_model.h"

#include <stdlib.h>
#include <string.h>

const char *const espi_esp_point_names[ESPI_POINT_COUNT] = {
#define X(name, text) text,
    ESPI_ESP_POINT_MAP(X)
#undef X
};

static const char *const poolings[] = {"none", "cls", "mean", "max", NULL}; // by enum espi_pooling
static const char format_name[] = "espalier", fixed_name[] = "static", token_name[] = "per_token";

/* ---- writing -------------------------------------------------------------------------------------------------------- */

void espi_esp_points_put(struct espi_json_writer *w, size_t layers, const struct espi_scale (*points)[ESPI_POINT_COUNT])
{
    espi_put_array(w, "layers");
    for (size_t i = 0; i < layers; i++) {
        espi_put_object(w, NULL);
        for (size_t p = 0; p < ESPI_POINT_COUNT; p++) {
            espi_put_array(w, espi_esp_point_names[p]);
            espi_put_float(w, NULL, points[i][p].scale);
            espi_put_integer(w, NULL, points[i][p].zero_point);
            espi_put_array_end(w);
        }
        espi_put_object_end(w);
    }
    espi_put_array_end(w);
}

/* What only some sentence encoders have. */
static void put_sentence(struct espi_json_writer *w, const struct espi_config *config)
{
    if (config->sequence_stated)
        espi_put_bool(w, "sequence_stated", true);
    if (config->lowercase)
        espi_put_bool(w, "lowercase", true);
    if (config->prompt)
        espi_put_string(w, "prompt", config->prompt);
    if (config->embedding != config->hidden)
        espi_put_size(w, "embedding", config->embedding);
}

int espi_esp_model_json(esp_context *ctx, const struct espi_config *config,
                        const struct espi_scale (*points)[ESPI_POINT_COUNT], const struct espi_warnings *warnings,
                        char **text)
{
    struct espi_json_writer w = {.exact = true};
    espi_put_object(&w, NULL);
    espi_put_string(&w, "format", format_name);
    espi_put_size(&w, "max_sequence", config->max_sequence);
    espi_put_string(&w, "pooling", poolings[config->pooling]);
    espi_put_bool(&w, "normalize", config->normalize);
    espi_put_string(&w, "activations", points ? fixed_name : token_name);
    if (points)
        espi_esp_points_put(&w, config->layers, points);
    put_sentence(&w, config);
    w.exact = false; // a warning may have been cut inside a character
    if (warnings && warnings->count) {
        espi_put_array(&w, "warnings");
        for (size_t i = 0; i < warnings->count; i++)
            espi_put_string(&w, NULL, warnings->texts[i]);
        espi_put_array_end(&w);
    }
    espi_put_object_end(&w);
    int status = espi_json_writer_end(ctx, &w);
    *text = w.data;
    return status;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

int espi_esp_word(esp_context *ctx, const struct espi_json *at, const char *const *words, size_t *out)
{
    const char *text = json_string_value(at->value);
    if (!text)
        return espi_json_fail(ctx, at, "expected a string");
    for (*out = 0; words[*out]; (*out)++)
        if (strcmp(words[*out], text) == 0)
            return ESP_OK;
    return espi_config_unsupported(ctx, at, "\"%.64s\" is not known to this version", text);
}

static int get_word(esp_context *ctx, const struct espi_json *json, const char *key, const char *const *words,
                    size_t *out)
{
    struct espi_json at = espi_json_at(json, key);
    return espi_esp_word(ctx, &at, words, out);
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
    static const char *const formats[] = {format_name, NULL};
    size_t format = 0, pooling = 0;
    int status;
    if ((status = get_word(ctx, json, "format", formats, &format)) ||
        (status = espi_json_get_size(ctx, json, "max_sequence", 1, config->max_positions, &config->max_sequence)) ||
        (status = get_word(ctx, json, "pooling", poolings, &pooling)) ||
        (status = espi_json_get_bool(ctx, json, "normalize", &config->normalize)))
        return status;
    config->pooling = (enum espi_pooling)pooling;
    return read_sentence(ctx, json, config);
}

/* [scale, zero point] */
static int read_point(esp_context *ctx, const struct espi_json *layer, const char *key, bool symmetric,
                      struct espi_scale *out)
{
    struct espi_json pair = espi_json_at(layer, key);
    int status = espi_json_expect_array(ctx, &pair);
    if (status)
        return status;
    const json_t *scale = json_array_get(pair.value, 0), *zero = json_array_get(pair.value, 1);
    int64_t zero_point, low = symmetric ? 128 : 0, high = symmetric ? 128 : 255;
    if (espi_json_length(&pair) != 2 || !json_is_number(scale) || !espi_json_is_integer(zero, &zero_point))
        return espi_json_fail(ctx, &pair, "expected [scale, zero point]");
    double value = json_number_value(scale);
    if (!(value >= ESPI_STEP_LOWEST && value <= ESPI_STEP_HIGHEST))
        return espi_json_fail(ctx, &pair, "expected a scale from 2^-100 to 2^100, found %g", value);
    if (zero_point < low || zero_point > high)
        return espi_json_fail(ctx, &pair, "expected a zero point from %lld to %lld, found %lld", (long long)low,
                              (long long)high, (long long)zero_point);
    *out = (struct espi_scale){.scale = (float)value, .zero_point = (int32_t)zero_point};
    return ESP_OK;
}

int espi_esp_points_read(esp_context *ctx, const struct espi_json *object, size_t layers,
                         struct espi_scale (*points)[ESPI_POINT_COUNT])
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
            status = read_point(ctx, &layer, espi_esp_point_names[p], symmetric, &points[i][p]);
        }
    }
    return status;
}

static int read_points(esp_context *ctx, const struct espi_json *json, struct espi_esp_model *model)
{
    size_t layers = model->config.layers;
    struct espi_scale(*points)[ESPI_POINT_COUNT] = espi_calloc(ctx, layers, sizeof *points);
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
    static const char *const kinds[] = {token_name, fixed_name, NULL};
    struct espi_json json;
    size_t kind = 0;
    int status = espi_json_open_text(ctx, source, text, bytes, &json);
    if (status)
        return status;
    status = espi_json_expect_object(ctx, &json);
    if (!status)
        status = read_config(ctx, &json, &model->config);
    if (!status)
        status = get_word(ctx, &json, "activations", kinds, &kind);
    model->static_scales = kind == 1;
    if (!status && model->static_scales)
        status = read_points(ctx, &json, model);
    if (!status)
        status = read_warnings(ctx, &json, &model->warnings);
    espi_json_close(&json);
    return status;
}
