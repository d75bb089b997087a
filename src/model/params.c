/* SPDX-License-Identifier: Apache-2.0 */
#include "model/params.h"

#include "base/random.h"
#include "base/size.h"
#include "model/arch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct espi_role_row role_rows[ESPI_ROLE_COUNT] = {
#define TENSOR(role, of, last, number, where, row, column, in, as)                                                     \
    [ESPI_##role] = {.module = ESPI_##of,                                                                              \
                     .leaf = #last,                                                                                    \
                     .stream = (number),                                                                               \
                     .scope = ESPI_SCOPE_##where,                                                                      \
                     .rows = ESPI_EXTENT_##row,                                                                        \
                     .columns = ESPI_EXTENT_##column,                                                                  \
                     .section = ESPI_ESP_##in,                                                                         \
                     .form = ESPI_FORM_##as},
#define SECTION(...)
#include "model/tensors.inc"
#undef TENSOR
#undef SECTION
};

const struct espi_role_row *espi_role_row(enum espi_role role)
{
    return &role_rows[role];
}

static size_t extent(const struct espi_config *config, enum espi_extent extent, size_t layer)
{
    const struct espi_head_recipe *head = &config->recipe;
    layer *= espi_config_sharing(config); // the first that has these weights
    switch (extent) {
    case ESPI_EXTENT_ONE:
        return 1;
    case ESPI_EXTENT_HIDDEN:
        return config->hidden;
    case ESPI_EXTENT_WORD:
        return espi_config_word_width(config);
    case ESPI_EXTENT_PROJECTED:
        return config->block.embedding ? config->hidden : 0;
    case ESPI_EXTENT_BUCKETS:
        return config->block.buckets;
    case ESPI_EXTENT_HEADS:
        return config->heads;
    case ESPI_EXTENT_CONTEXT:
        return espi_config_context(config, layer);
    case ESPI_EXTENT_INTERMEDIATE:
        return espi_config_inner(config, layer);
    case ESPI_EXTENT_VOCAB:
        return config->vocab_size;
    case ESPI_EXTENT_POSITIONS:
        return config->max_positions + config->block.position_offset;
    case ESPI_EXTENT_TYPES:
        return config->type_vocab;
    case ESPI_EXTENT_HEAD_DENSE:
        return head->dense ? espi_config_head_width(config) : 0;
    case ESPI_EXTENT_HEAD_NORM:
        return head->norm ? espi_config_head_width(config) : 0;
    case ESPI_EXTENT_LABELS:
        return config->labels;
    case ESPI_EXTENT_DECODER:
        return head->decoder ? config->vocab_size : 0;
    }
    return 0;
}

/* Tensors of one section follow each other without a gap where they are one matrix or one vector. */
static bool follows(const struct espi_params *params, enum espi_role role)
{
    const struct espi_role_row *row = &role_rows[role];
    const struct espi_param *last = params->length ? &params->list[params->length - 1] : NULL;
    return (row->form == ESPI_FORM_WEIGHT || row->form == ESPI_FORM_BIAS) && last &&
           role_rows[last->role].section == row->section;
}

/* Appends a tensor behind the others, where the model has it. */
static int add(esp_context *ctx, const struct espi_config *config, enum espi_role role, size_t layer,
               struct espi_params *params)
{
    const struct espi_role_row *row = &role_rows[role];
    struct espi_param *param = &params->list[params->length];
    bool vector = row->columns == ESPI_EXTENT_ONE, behind = follows(params, role);
    size_t rows = extent(config, row->rows, layer), columns = vector ? 0 : extent(config, row->columns, layer);
    if (!rows)
        return ESP_OK;
    *param = (struct espi_param){.role = role, .layer = layer, .rows = rows, .cols = columns};
    if (config->arch)
        espi_arch_tensor_name(config, role, layer, param->name);
    else // of a compiled file, whose sections have names
        snprintf(param->name, sizeof param->name, "tensor %d of layer %zu", (int)role, layer);
    if (!espi_size_add(params->elements, behind ? 0 : 15, &param->offset) ||
        !espi_size_mul(rows, vector ? 1 : columns, &param->count))
        return espi_fail(ctx, ESP_ERR_LIMIT, "%s: too large", param->name);
    if (!behind)
        param->offset &= ~(size_t)15;
    if (!espi_size_add(param->offset, param->count, &params->elements) ||
        params->elements > PTRDIFF_MAX / sizeof(float))
        return espi_fail(ctx, ESP_ERR_LIMIT, "%s: the model's parameters do not fit into memory", param->name);
    params->length++;
    params->at[layer * ESPI_ROLE_COUNT + role] = (uint32_t)params->length;
    return ESP_OK;
}

static int add_all(esp_context *ctx, const struct espi_config *config, struct espi_params *params)
{
    for (size_t scope = ESPI_SCOPE_EMBEDDING; scope <= ESPI_SCOPE_HEAD; scope++) {
        size_t layers = scope == ESPI_SCOPE_LAYER ? espi_config_stored_layers(config) : 1;
        for (size_t layer = 0; layer < layers; layer++) {
            for (size_t role = 0; role < ESPI_ROLE_COUNT; role++) {
                int status = role_rows[role].scope == (enum espi_scope)scope
                                 ? add(ctx, config, (enum espi_role)role, layer, params)
                                 : ESP_OK;
                if (status)
                    return status;
            }
        }
    }
    return ESP_OK;
}

int espi_params_init(esp_context *ctx, const struct espi_config *config, bool allocate, struct espi_params *out)
{
    *out = (struct espi_params){.layers = config->layers, .shared = espi_config_sharing(config)};
    size_t most;
    if (!espi_size_mul(config->layers + 1, ESPI_ROLE_COUNT, &most) || most > UINT32_MAX)
        return espi_fail(ctx, ESP_ERR_LIMIT, "%zu layers are too many", config->layers);
    out->list = espi_calloc(ctx, most, sizeof *out->list);
    out->at = espi_calloc(ctx, most, sizeof *out->at);
    int status = out->list && out->at ? add_all(ctx, config, out) : ESP_ERR_MEMORY;
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
    free(params->at);
    free(params->slab);
    *params = (struct espi_params){0};
}

const struct espi_param *espi_params_find(const struct espi_params *params, enum espi_role role, size_t layer)
{
    if ((size_t)role >= ESPI_ROLE_COUNT || layer >= params->layers)
        return NULL;
    uint32_t number = params->at[layer / params->shared * ESPI_ROLE_COUNT + role];
    return number ? &params->list[number - 1] : NULL;
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
        fill_normal(data, param->count, config->initializer_range, seed,
                    (uint64_t)role_rows[param->role].stream << 32 | param->layer);
        if (param->role == ESPI_EMBED_WORD && config->pad_token_id >= 0)
            memset(data + (size_t)config->pad_token_id * param->cols, 0, param->cols * sizeof *data);
        return;
    }
    bool scale = role_rows[param->role].form == ESPI_FORM_SCALE;
    for (size_t i = 0; i < param->count; i++)
        data[i] = scale ? 1.0f : 0.0f;
}

void espi_params_randomize(struct espi_params *params, const struct espi_config *config, uint64_t seed)
{
    for (size_t i = 0; i < params->length; i++)
        espi_params_randomize_one(params, &params->list[i], config, seed);
}
