/* SPDX-License-Identifier: Apache-2.0 */
#include "create/distill/distill.h"

#include "model/arch.h"

#include <stdlib.h>
#include <string.h>

static int check_layers(esp_context *ctx, const struct espi_checkpoint *teacher, const size_t *layers, size_t count)
{
    if (teacher->config.block.shared_layers && espi_config_stored_layers(&teacher->config) > 1)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED,
                         "%s: a student of some layers: not supported where groups of layers share their weights",
                         teacher->directory);
    if (!count)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s: expected at least one layer to keep", teacher->directory);
    for (size_t i = 0; i < count; i++) {
        if (layers[i] >= teacher->config.layers)
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s: has no layer %zu: expected numbers from 0 to %zu",
                             teacher->directory, layers[i], teacher->config.layers - 1);
        if (i && layers[i] <= layers[i - 1])
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s: layers: expected ascending numbers, found %zu behind %zu",
                             teacher->directory, layers[i], layers[i - 1]);
    }
    return ESP_OK;
}

/* The config with these layers only; layers of one set of weights still are. */
static int keep_layers(esp_context *ctx, const struct espi_config *from, const size_t *layers, size_t count,
                       struct espi_config *config)
{
    uint8_t *removed = espi_calloc(ctx, count, config->heads);
    if (!removed)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; from->removed_heads && i < count; i++)
        memcpy(removed + i * config->heads, from->removed_heads + layers[i] * config->heads, config->heads);
    config->layers = count;
    if (config->block.shared_layers)
        config->block.shared_layers = count > 1 ? count : 0;
    int status = espi_config_remove_heads(ctx, config, removed);
    free(removed);
    return status;
}

int espi_student_from_layers(esp_context *ctx, const struct espi_checkpoint *teacher, const size_t *layers,
                             size_t layer_count, struct espi_checkpoint *out)
{
    *out = (struct espi_checkpoint){0};
    int status = check_layers(ctx, teacher, layers, layer_count);
    if (!status)
        status = espi_config_copy(ctx, &teacher->config, NULL, &out->config);
    if (status)
        return status;
    memcpy(out->directory, teacher->directory, sizeof out->directory);
    status = keep_layers(ctx, &teacher->config, layers, layer_count, &out->config);
    if (!status)
        status = espi_params_init(ctx, &out->config, true, &out->params);
    for (size_t i = 0; !status && i < out->params.length; i++) {
        const struct espi_param *to = &out->params.list[i];
        size_t layer = espi_role_row(to->role)->scope == ESPI_SCOPE_LAYER ? layers[to->layer] : 0;
        memcpy(out->params.slab + to->offset, espi_params_data(&teacher->params, to->role, layer),
               to->count * sizeof(float));
    }
    if (status)
        espi_checkpoint_clear(out);
    return status;
}
