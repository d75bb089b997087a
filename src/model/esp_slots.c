/* SPDX-License-Identifier: Apache-2.0
 * Which sections a model has and how large they are. */
#include "base/size.h"
#include "model/arch.h"
#include "model/esp_model.h"

#include <inttypes.h>

struct slot_list {
    struct espi_esp_slot *slots; // NULL: count only
    size_t count;
};

static void put(struct slot_list *list, uint32_t kind, size_t layer, uint32_t encoding, size_t rows, size_t columns)
{
    if (list->slots)
        list->slots[list->count] = (struct espi_esp_slot){
            .kind = kind, .layer = (uint32_t)layer, .encoding = encoding, .rows = rows, .columns = columns};
    list->count++;
}

static void put_linear(struct slot_list *list, uint32_t kind, size_t layer, size_t rows, size_t columns)
{
    put(list, kind, layer, ESPI_ESP_QUADS_DENSE, rows, columns);
    put(list, kind + 1, layer, ESPI_ESP_ROWS, rows, 3);
}

static void put_layer(struct slot_list *list, const struct espi_config *config, size_t layer)
{
    size_t hidden = config->hidden, context = espi_config_context(config, layer);
    put_linear(list, ESPI_ESP_QKV, layer, 3 * context, hidden);
    put_linear(list, ESPI_ESP_ATTENTION_OUT, layer, hidden, context);
    put(list, ESPI_ESP_ATTENTION_NORM, layer, ESPI_ESP_F32, 2, hidden);
    put_linear(list, ESPI_ESP_FFN_IN, layer, config->intermediate, hidden);
    put_linear(list, ESPI_ESP_FFN_OUT, layer, hidden, config->intermediate);
    put(list, ESPI_ESP_FFN_NORM, layer, ESPI_ESP_F32, 2, hidden);
}

static void put_dense(struct slot_list *list, uint32_t kind, size_t rows, size_t columns)
{
    put(list, kind, 0, ESPI_ESP_F32, rows, columns);
    put(list, kind + 1, 0, ESPI_ESP_F32, 1, rows);
}

static void put_head(struct slot_list *list, const struct espi_config *config)
{
    size_t hidden = config->hidden;
    if (config->has_pooler)
        put_dense(list, ESPI_ESP_POOLER_W, hidden, hidden);
    if (config->head == ESPI_HEAD_SEQUENCE && config->arch->names[ESPI_PRE_CLASSIFIER_W])
        put_dense(list, ESPI_ESP_PRE_CLASSIFIER_W, hidden, hidden);
    if (config->labels)
        put_dense(list, ESPI_ESP_CLASSIFIER_W, config->labels, hidden);
    if (config->head == ESPI_HEAD_MLM) {
        put_dense(list, ESPI_ESP_MLM_DENSE_W, hidden, hidden);
        put(list, ESPI_ESP_MLM_NORM, 0, ESPI_ESP_F32, 2, hidden);
        put(list, ESPI_ESP_MLM_BIAS, 0, ESPI_ESP_F32, 1, config->vocab_size);
    }
}

size_t espi_esp_slots(const struct espi_config *config, bool tokenizer, struct espi_esp_slot *slots)
{
    struct slot_list list = {.slots = slots};
    size_t hidden = config->hidden;
    put(&list, ESPI_ESP_CONFIG, 0, ESPI_ESP_TEXT, 1, 0);
    put(&list, ESPI_ESP_MODEL, 0, ESPI_ESP_TEXT, 1, 0);
    if (tokenizer)
        put(&list, ESPI_ESP_TOKENIZER, 0, ESPI_ESP_TABLES, 1, 0);
    put(&list, ESPI_ESP_EMBED_WORD, 0, ESPI_ESP_BF16, config->vocab_size, hidden);
    put(&list, ESPI_ESP_EMBED_POSITION, 0, ESPI_ESP_BF16, config->max_positions, hidden);
    if (config->type_vocab)
        put(&list, ESPI_ESP_EMBED_TYPE, 0, ESPI_ESP_BF16, config->type_vocab, hidden);
    put(&list, ESPI_ESP_EMBED_NORM, 0, ESPI_ESP_F32, 2, hidden);
    for (size_t layer = 0; layer < config->layers; layer++)
        put_layer(&list, config, layer);
    put_head(&list, config);
    return list.count;
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
