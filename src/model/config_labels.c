/* SPDX-License-Identifier: Apache-2.0
 * What config.json says of the outputs of a head: how many, their names, and how they become the scores of an answer. */
#include "base/size.h"
#include "model/config_members.h"
#include "model/config_private.h"

#include <stdlib.h>
#include <string.h>

static const char *const problems[ESPI_PROBLEM_COUNT] = {
    [ESPI_SINGLE_LABEL] = "single_label_classification",
    [ESPI_MULTI_LABEL] = "multi_label_classification",
    [ESPI_REGRESSION] = "regression",
};

const char *espi_problem_name(enum espi_problem problem)
{
    return problems[problem];
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

/* A name is a string, or a number or truth value that stands for one. */
static int read_name(esp_context *ctx, const struct espi_json *at, struct espi_arena *arena, const char **out)
{
    const char *text = json_string_value(at->value);
    if (text && strlen(text) != json_string_length(at->value))
        return espi_json_fail(ctx, at, "expected a string without a zero character");
    char *printed = NULL;
    if (!text && (json_is_number(at->value) || json_is_boolean(at->value))) {
        text = printed = espi_json_text(ctx, at->value);
        if (!text)
            return ESP_ERR_MEMORY;
    }
    if (!text)
        return espi_json_fail(ctx, at, "expected the name of a label, found %s",
                              json_is_object(at->value)  ? "an object"
                              : json_is_array(at->value) ? "an array"
                                                         : "null");
    *out = espi_arena_copy(ctx, arena, text, strlen(text));
    free(printed);
    return *out ? ESP_OK : ESP_ERR_MEMORY;
}

/* The names "0": ..., "1": ... in any order; each number from 0 has one. */
static int read_names(esp_context *ctx, const struct espi_json *map, struct espi_config *out)
{
    const char *key;
    json_t *value;
    json_object_foreach(map->value, key, value)
    {
        char *end;
        unsigned long long id = strtoull(key, &end, 10);
        if (*key < '0' || *key > '9' || *end || id >= out->labels || out->label_names[id])
            return espi_json_fail(ctx, map, "expected the numbers 0 to %zu, each once, found \"%.32s\"",
                                  out->labels - 1, key);
        /* espi_json_at takes null for absent. */
        struct espi_json at = espi_json_at(map, key);
        int status = read_name(ctx, &at, &out->arena, &out->label_names[id]);
        if (status)
            return status;
    }
    return ESP_OK;
}

static int make_names(esp_context *ctx, struct espi_config *out)
{
    for (size_t i = 0; i < out->labels; i++) {
        out->label_names[i] = espi_arena_format(ctx, &out->arena, "LABEL_%zu", i);
        if (!out->label_names[i])
            return ESP_ERR_MEMORY;
    }
    return ESP_OK;
}

int espi_config_label(const struct espi_config *config, const char *name)
{
    for (size_t i = 0; config->label_names && i < config->labels; i++) {
        if (strcmp(config->label_names[i], name) == 0)
            return (int)i;
    }
    return -1;
}

/* ---- problem and scores ------------------------------------------------------------------------------------------- */

static int read_problem(esp_context *ctx, const struct espi_json *json, struct espi_config *out)
{
    const char *name;
    out->problem = out->head == ESPI_HEAD_SEQUENCE && out->labels == 1 ? ESPI_REGRESSION : ESPI_SINGLE_LABEL;
    out->problem_told = !espi_json_has(json, "problem_type");
    if (out->head != ESPI_HEAD_SEQUENCE || out->problem_told)
        return ESP_OK;
    int status = espi_json_get_string(ctx, json, "problem_type", &name, NULL);
    if (status)
        return status;
    for (size_t i = 0; i < ESPI_PROBLEM_COUNT; i++) {
        if (strcmp(problems[i], name) == 0) {
            out->problem = (enum espi_problem)i;
            return ESP_OK;
        }
    }
    struct espi_json at = espi_json_at(json, "problem_type");
    return espi_config_unsupported(ctx, &at, "\"%.64s\" is not supported; supported: %s, %s, %s", name, problems[0],
                                   problems[1], problems[2]);
}

int espi_config_read_scores(esp_context *ctx, const struct espi_json *object, const char *key, struct espi_config *out)
{
    static const struct {
        const char *name;
        enum espi_scores scores;
    } functions[] = {{"Identity", ESPI_SCORES_RAW}, {"Sigmoid", ESPI_SCORES_SIGMOID}, {"Softmax", ESPI_SCORES_SOFTMAX}};
    const char *name;
    if (!espi_json_has(object, key))
        return ESP_OK;
    int status = espi_json_get_string(ctx, object, key, &name, NULL);
    if (status)
        return status;
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; strncmp(name, "torch.nn.", 9) == 0 && i < ESPI_COUNT(functions); i++) {
        if (strcmp(functions[i].name, dot + 1) == 0) {
            out->scores = functions[i].scores;
            return ESP_OK;
        }
    }
    struct espi_json at = espi_json_at(object, key);
    return espi_config_unsupported(
        ctx, &at, "\"%.64s\" is not supported; supported: Identity, Sigmoid, Softmax of torch.nn", name);
}

/* What sentence-transformers' CrossEncoder says, in its order. */
static int read_scores(esp_context *ctx, const struct espi_json *json, struct espi_config *out)
{
    struct espi_json inner = espi_json_at(json, "sentence_transformers");
    if (out->head != ESPI_HEAD_SEQUENCE)
        return ESP_OK;
    int status = inner.value ? espi_json_expect_object(ctx, &inner) : ESP_OK;
    if (!status && inner.value)
        status = espi_config_read_scores(ctx, &inner, "activation_fn", out);
    if (!status && !out->scores)
        status = espi_config_read_scores(ctx, json, "sbert_ce_default_activation_function", out);
    return status;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

int espi_config_read_labels(esp_context *ctx, const struct espi_json *json, struct espi_config *out)
{
    if (out->head == ESPI_HEAD_QA)
        out->labels = 2;
    if (out->head != ESPI_HEAD_SEQUENCE && out->head != ESPI_HEAD_TOKEN)
        return ESP_OK;
    struct espi_json map = espi_json_at(json, "id2label");
    out->labels = 2;
    int status = map.value ? espi_json_expect_object(ctx, &map) : ESP_OK;
    if (!status && map.value)
        out->labels = espi_json_length(&map);
    else if (!status && espi_json_has(json, "num_labels"))
        status = espi_json_get_size(ctx, json, "num_labels", 1, ESPI_MAX_LABELS, &out->labels);
    if (status)
        return status;
    if (out->labels < 1 || out->labels > ESPI_MAX_LABELS)
        return espi_json_fail(ctx, &map, "expected 1 to %d labels, found %zu", ESPI_MAX_LABELS, out->labels);
    out->label_names = espi_arena_alloc(ctx, &out->arena, out->labels, sizeof *out->label_names);
    if (!out->label_names)
        return ESP_ERR_MEMORY;
    if ((status = map.value ? read_names(ctx, &map, out) : make_names(ctx, out)) ||
        (status = read_problem(ctx, json, out)))
        return status;
    return read_scores(ctx, json, out);
}
