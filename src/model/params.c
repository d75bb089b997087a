/* SPDX-License-Identifier: Apache-2.0 */
#include "model/params.h"

#include "base/random.h"
#include "base/size.h"
#include "model/arch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum dimension { NONE, HIDDEN, CONTEXT, INTERMEDIATE, VOCAB, POSITIONS, TYPES, LABELS };

/* Shapes as (rows, cols); a vector has no cols. */
static const struct shape {
    enum dimension rows, cols;
} shapes[ESPI_ROLE_COUNT] = {
    [ESPI_EMBED_WORD] = {VOCAB, HIDDEN},      [ESPI_EMBED_POSITION] = {POSITIONS, HIDDEN},
    [ESPI_EMBED_TYPE] = {TYPES, HIDDEN},      [ESPI_EMBED_NORM_W] = {HIDDEN, NONE},
    [ESPI_EMBED_NORM_B] = {HIDDEN, NONE},     [ESPI_QUERY_W] = {CONTEXT, HIDDEN},
    [ESPI_KEY_W] = {CONTEXT, HIDDEN},         [ESPI_VALUE_W] = {CONTEXT, HIDDEN},
    [ESPI_QUERY_B] = {CONTEXT, NONE},         [ESPI_KEY_B] = {CONTEXT, NONE},
    [ESPI_VALUE_B] = {CONTEXT, NONE},         [ESPI_ATTENTION_OUT_W] = {HIDDEN, CONTEXT},
    [ESPI_ATTENTION_OUT_B] = {HIDDEN, NONE},  [ESPI_ATTENTION_NORM_W] = {HIDDEN, NONE},
    [ESPI_ATTENTION_NORM_B] = {HIDDEN, NONE}, [ESPI_FFN_IN_W] = {INTERMEDIATE, HIDDEN},
    [ESPI_FFN_IN_B] = {INTERMEDIATE, NONE},   [ESPI_FFN_OUT_W] = {HIDDEN, INTERMEDIATE},
    [ESPI_FFN_OUT_B] = {HIDDEN, NONE},        [ESPI_FFN_NORM_W] = {HIDDEN, NONE},
    [ESPI_FFN_NORM_B] = {HIDDEN, NONE},       [ESPI_POOLER_W] = {HIDDEN, HIDDEN},
    [ESPI_POOLER_B] = {HIDDEN, NONE},         [ESPI_PRE_CLASSIFIER_W] = {HIDDEN, HIDDEN},
    [ESPI_PRE_CLASSIFIER_B] = {HIDDEN, NONE}, [ESPI_CLASSIFIER_W] = {LABELS, HIDDEN},
    [ESPI_CLASSIFIER_B] = {LABELS, NONE},     [ESPI_MLM_DENSE_W] = {HIDDEN, HIDDEN},
    [ESPI_MLM_DENSE_B] = {HIDDEN, NONE},      [ESPI_MLM_NORM_W] = {HIDDEN, NONE},
    [ESPI_MLM_NORM_B] = {HIDDEN, NONE},       [ESPI_MLM_BIAS] = {VOCAB, NONE},
};

static size_t extent(const struct espi_config *config, enum dimension dimension, size_t layer)
{
    switch (dimension) {
    case HIDDEN:
        return config->hidden;
    case CONTEXT:
        return espi_config_context(config, layer);
    case INTERMEDIATE:
        return config->intermediate;
    case VOCAB:
        return config->vocab_size;
    case POSITIONS:
        return config->max_positions;
    case TYPES:
        return config->type_vocab;
    case LABELS:
        return config->labels;
    default:
        return 0;
    }
}

/* Whether this model has the tensor; the family's table still may not name it. */
static bool has_role(const struct espi_config *config, enum espi_role role)
{
    if (role == ESPI_POOLER_W || role == ESPI_POOLER_B)
        return config->has_pooler;
    if (role == ESPI_PRE_CLASSIFIER_W || role == ESPI_PRE_CLASSIFIER_B)
        return config->head == ESPI_HEAD_SEQUENCE;
    if (role == ESPI_CLASSIFIER_W || role == ESPI_CLASSIFIER_B)
        return config->head == ESPI_HEAD_QA || config->head == ESPI_HEAD_SEQUENCE || config->head == ESPI_HEAD_TOKEN;
    if (role >= ESPI_MLM_DENSE_W)
        return config->head == ESPI_HEAD_MLM;
    return true;
}

/* Appends a tensor behind the others; the key and value tensors directly behind query and key. */
static int add(esp_context *ctx, const struct espi_config *config, enum espi_role role, size_t layer,
               struct espi_params *params)
{
    char base[ESPI_TENSOR_NAME_BYTES];
    if (!has_role(config, role) || !espi_arch_tensor_name(config->arch, config->head, role, layer, base))
        return ESP_OK;
    struct espi_param *param = &params->list[params->length];
    *param = (struct espi_param){.role = role,
                                 .layer = layer,
                                 .rows = extent(config, shapes[role].rows, layer),
                                 .cols = extent(config, shapes[role].cols, layer)};
    bool prefixed = espi_role_in_encoder(role) && config->head != ESPI_HEAD_NONE;
    snprintf(param->name, sizeof param->name, "%s%.96s", prefixed ? config->arch->prefix : "", base);
    bool follows = role == ESPI_KEY_W || role == ESPI_VALUE_W || role == ESPI_KEY_B || role == ESPI_VALUE_B;
    size_t end = params->elements;
    if (!espi_size_add(end, follows ? 0 : 15, &param->offset) ||
        !espi_size_mul(param->rows, shapes[role].cols == NONE ? 1 : param->cols, &param->count))
        return espi_fail(ctx, ESP_ERR_LIMIT, "%s: too large", param->name);
    if (!follows)
        param->offset &= ~(size_t)15;
    if (!espi_size_add(param->offset, param->count, &params->elements) ||
        params->elements > PTRDIFF_MAX / sizeof(float))
        return espi_fail(ctx, ESP_ERR_LIMIT, "%s: the model's parameters do not fit into memory", param->name);
    if (!params->first[role])
        params->first[role] = (uint32_t)params->length + 1;
    params->length++;
    return ESP_OK;
}

int espi_params_init(esp_context *ctx, const struct espi_config *config, bool allocate, struct espi_params *out)
{
    *out = (struct espi_params){0};
    int status = ESP_OK;
    size_t most;
    if (!espi_size_mul(config->layers + 1, ESPI_ROLE_COUNT, &most) || most > UINT32_MAX)
        return espi_fail(ctx, ESP_ERR_LIMIT, "%zu layers are too many", config->layers);
    out->list = espi_calloc(ctx, most, sizeof *out->list);
    if (!out->list)
        return ESP_ERR_MEMORY;
    for (size_t role = 0; !status && role < ESPI_QUERY_W; role++)
        status = add(ctx, config, (enum espi_role)role, 0, out);
    for (size_t layer = 0; layer < config->layers; layer++) {
        for (size_t role = ESPI_QUERY_W; !status && role <= ESPI_FFN_NORM_B; role++)
            status = add(ctx, config, (enum espi_role)role, layer, out);
    }
    for (size_t role = ESPI_POOLER_W; !status && role < ESPI_ROLE_COUNT; role++)
        status = add(ctx, config, (enum espi_role)role, 0, out);
    if (!status && allocate)
        status = espi_params_allocate(ctx, out);
    if (status)
        espi_params_clear(out);
    return status;
}

int espi_params_allocate(esp_context *ctx, struct espi_params *params)
{
    params->slab = espi_calloc_aligned(ctx, params->elements, sizeof *params->slab);
    return params->slab ? ESP_OK : ESP_ERR_MEMORY;
}

void espi_params_clear(struct espi_params *params)
{
    free(params->list);
    free(params->slab);
    *params = (struct espi_params){0};
}

const struct espi_param *espi_params_find(const struct espi_params *params, enum espi_role role, size_t layer)
{
    enum { PER_LAYER = ESPI_FFN_NORM_B - ESPI_QUERY_W + 1 };
    if ((size_t)role >= ESPI_ROLE_COUNT || !params->first[role] || (layer && !espi_role_in_layer(role)))
        return NULL;
    /* Every family has every tensor of a layer, so a layer's tensors stand at a fixed distance. */
    size_t first = params->first[role] - 1;
    if (layer > (params->length - first) / PER_LAYER)
        return NULL;
    size_t index = first + layer * PER_LAYER;
    if (index >= params->length || params->list[index].role != role)
        return NULL;
    return &params->list[index];
}

float *espi_params_data(const struct espi_params *params, enum espi_role role, size_t layer)
{
    const struct espi_param *param = espi_params_find(params, role, layer);
    return param && params->slab ? params->slab + param->offset : NULL;
}

/* Fills with normal(0, deviation): Box-Muller on the four words of a block of the tensor's own stream. */
static void fill_normal(float *out, size_t count, float deviation, uint64_t seed, uint64_t stream)
{
    for (size_t i = 0; i < count; i += 4) {
        uint32_t words[4];
        float values[4];
        espi_random_block(seed, stream, i / 4, words);
        for (size_t pair = 0; pair < 4; pair += 2) {
            float u = ((float)(words[pair] >> 8) + 0.5f) * 0x1p-24f, v = (float)(words[pair + 1] >> 8) * 0x1p-24f;
            float radius = deviation * sqrtf(-2.0f * logf(u));
            values[pair] = radius * cosf(6.2831853f * v);
            values[pair + 1] = radius * sinf(6.2831853f * v);
        }
        memcpy(out + i, values, espi_size_min(4, count - i) * sizeof *out);
    }
}

void espi_params_randomize_one(struct espi_params *params, const struct espi_param *param,
                               const struct espi_config *config, uint64_t seed)
{
    float *data = params->slab + param->offset;
    if (param->cols) {
        /* The stream is the tensor's own: the values do not depend on what else the model has. */
        fill_normal(data, param->count, config->initializer_range, seed, (uint64_t)param->role << 32 | param->layer);
        if (param->role == ESPI_EMBED_WORD && config->pad_token_id >= 0)
            memset(data + (size_t)config->pad_token_id * param->cols, 0, param->cols * sizeof *data);
        return;
    }
    bool scale = espi_role_is_norm_scale(param->role);
    for (size_t i = 0; i < param->count; i++)
        data[i] = scale ? 1.0f : 0.0f;
}

void espi_params_randomize(struct espi_params *params, const struct espi_config *config, uint64_t seed)
{
    for (size_t i = 0; i < params->length; i++)
        espi_params_randomize_one(params, &params->list[i], config, seed);
}
