/* SPDX-License-Identifier: Apache-2.0
 * Which sections a model has and how large they are. */
#include "base/memory.h"
#include "base/size.h"
#include "model/esp_model.h"

#include <inttypes.h>

struct slot_list {
    struct espi_esp_slot *slots;
    size_t count;
    size_t
        sharing; // layers that have the same weights, and rows of their own, since these hold the steps of activations
};

static void put(struct slot_list *list, uint32_t kind, const struct espi_param *param, uint32_t encoding, size_t rows,
                size_t columns)
{
    list->slots[list->count++] = (struct espi_esp_slot){.kind = kind,
                                                        .layer = param ? (uint32_t)param->layer : 0,
                                                        .encoding = encoding,
                                                        .rows = rows,
                                                        .columns = columns,
                                                        .param = param};
}

static size_t users_of(const struct slot_list *list, const struct espi_param *param)
{
    return espi_role_row(param->role)->scope == ESPI_SCOPE_LAYER ? list->sharing : 1;
}

/* A weight's section and behind it those of its rows, a layer each, which are there without biases too. */
static void put_weight(struct slot_list *list, uint32_t kind, const struct espi_param *param, bool more)
{
    bool projection = espi_role_row(param->role)->scope == ESPI_SCOPE_EMBEDDING; // too small to gain by less
    size_t users = users_of(list, param);
    if (more) {
        for (size_t i = 0; i <= users; i++)
            list->slots[list->count - 1 - i].rows += param->rows;
        return;
    }
    put(list, kind, param, projection ? ESPI_ESP_QUADS_F32 : ESPI_ESP_QUADS_DENSE, param->rows, param->cols);
    for (size_t i = 0; i < users; i++) {
        put(list, kind + 1, NULL, ESPI_ESP_ROWS, param->rows, 3);
        list->slots[list->count - 1].layer = (uint32_t)(param->layer * users + i);
    }
}

/* Adds a tensor to its section: a new one, or (`more`) that of the tensor before. */
static void put_tensor(struct slot_list *list, const struct espi_param *param, bool more)
{
    const struct espi_role_row *row = espi_role_row(param->role);
    struct espi_esp_slot *last = &list->slots[list->count - 1];
    switch (row->form) {
    case ESPI_FORM_TABLE:
        put(list, row->section, param, ESPI_ESP_BF16, param->rows, param->cols);
        break;
    case ESPI_FORM_WEIGHT:
        put_weight(list, row->section, param, more);
        break;
    case ESPI_FORM_BIAS:
        for (size_t i = 0; !more && i < users_of(list, param); i++)
            last[-(ptrdiff_t)i].param = param;
        break;
    case ESPI_FORM_SCALE:
        put(list, row->section, param, ESPI_ESP_F32, 1, param->rows);
        break;
    case ESPI_FORM_SHIFT:
        last->rows++;
        break;
    case ESPI_FORM_FLOATS:
        put(list, row->section, param, ESPI_ESP_F32, param->cols ? param->rows : 1,
            param->cols ? param->cols : param->rows);
        break;
    }
}

int espi_esp_slots(esp_context *ctx, const struct espi_params *params, bool tokenizer, struct espi_esp_slot **slots,
                   size_t *count)
{
    enum { TEXTS = 3 };
    struct slot_list list = {.sharing = params->shared};
    list.slots = espi_calloc(ctx, (1 + list.sharing) * params->length + TEXTS, sizeof *list.slots);
    *slots = list.slots;
    if (!list.slots)
        return ESP_ERR_MEMORY;
    put(&list, ESPI_ESP_CONFIG, NULL, ESPI_ESP_TEXT, 1, 0);
    put(&list, ESPI_ESP_MODEL, NULL, ESPI_ESP_TEXT, 1, 0);
    if (tokenizer)
        put(&list, ESPI_ESP_TOKENIZER, NULL, ESPI_ESP_TABLES, 1, 0);
    uint32_t section = 0;
    for (size_t i = 0; i < params->length; i++) {
        uint32_t next = espi_role_row(params->list[i].role)->section;
        put_tensor(&list, &params->list[i], next == section && params->list[i].layer == params->list[i - 1].layer);
        section = next;
    }
    *count = list.count;
    return ESP_OK;
}

/* ---- sizes ---------------------------------------------------------------------------------------------------------- */

int espi_esp_packing(esp_context *ctx, const struct espi_esp_section *section, struct espi_packing *packing)
{
    size_t rows = section->rows, columns = section->columns;
    switch (section->encoding) {
    case ESPI_ESP_QUADS_DENSE:
        return espi_packing_dense(ctx, rows, columns, packing);
    case ESPI_ESP_QUADS_SPARSE:
        return espi_packing_sparse(ctx, rows, columns, section->groups, packing);
    case ESPI_ESP_QUADS_BF16:
    case ESPI_ESP_QUADS_F32:
        return espi_packing_float(ctx, rows, columns, section->encoding == ESPI_ESP_QUADS_BF16, packing);
    default:
        return espi_fail(ctx, ESP_ERR_FORMAT, "encoding %" PRIu32 " is not one of packed weights", section->encoding);
    }
}

int espi_esp_section_bytes(esp_context *ctx, const struct espi_esp_section *section, uint64_t *bytes)
{
    size_t size, rows = section->rows;
    struct espi_packing packing;
    int status;
    switch (section->encoding) {
    case ESPI_ESP_TEXT:
    case ESPI_ESP_TABLES:
        size = 1;
        break;
    case ESPI_ESP_BF16:
        size = 2;
        break;
    case ESPI_ESP_F32:
        size = 4;
        break;
    case ESPI_ESP_ROWS:
        size = 4;
        if (rows <= SIZE_MAX - 3)
            rows = espi_round_up(rows, ESPI_QUAD);
        break;
    case ESPI_ESP_QUADS_DENSE:
    case ESPI_ESP_QUADS_SPARSE:
    case ESPI_ESP_QUADS_BF16:
    case ESPI_ESP_QUADS_F32:
        status = espi_esp_packing(ctx, section, &packing);
        *bytes = packing.bytes;
        return status;
    default:
        return espi_fail(ctx, ESP_ERR_FORMAT, "unknown encoding %" PRIu32, section->encoding);
    }
    size_t all;
    if (!espi_size_mul(rows, section->columns, &all) || !espi_size_mul(all, size, &all))
        return espi_fail(ctx, ESP_ERR_LIMIT, "%" PRIu64 " x %" PRIu64 " values are too many", section->rows,
                         section->columns);
    *bytes = all;
    return ESP_OK;
}
