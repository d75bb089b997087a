/* SPDX-License-Identifier: Apache-2.0
 * One block for the activations, one for the head, sized before they are made. */
#include "base/size.h"
#include "create/network/network_private.h"

#include <stdlib.h>
#include <string.h>

/* Hands out 64-byte aligned pieces of a block; measures them when there is none. */
struct layout {
    char *slab;
    size_t bytes;
    bool overflow;
};

static void *piece(struct layout *layout, size_t rows, size_t columns, size_t size)
{
    size_t bytes, end;
    if (!espi_size_mul(rows, columns, &bytes) || !espi_size_mul(bytes, size, &bytes) || bytes > SIZE_MAX / 2 ||
        !espi_size_add(layout->bytes, espi_round_up(bytes, 64), &end)) {
        layout->overflow = true;
        return NULL;
    }
    void *at = layout->slab ? layout->slab + layout->bytes : NULL;
    layout->bytes = end;
    return at;
}

static float *floats(struct layout *layout, size_t rows, size_t columns)
{
    return piece(layout, rows, columns, sizeof(float));
}

static struct espi_normed normed(struct layout *layout, size_t rows, size_t hidden)
{
    return (struct espi_normed){.sum = floats(layout, rows, hidden), .statistics = floats(layout, rows, 2)};
}

/* ---- activations ---------------------------------------------------------------------------------------------------- */

/* Of passes that keep nothing and have no operands of their own: what one step is done with makes room for the next. */
static void place_shared_layer(const struct espi_network *network, struct layout *layout, size_t room,
                               struct espi_activations *layer)
{
    size_t hidden = network->config->hidden;
    layer->lse = floats(layout, network->config->heads, room);
    layer->attention = layer->ffn = normed(layout, room, hidden);
    layer->context = layer->middle = floats(layout, room, hidden);
    layer->attended = layer->ffn_input = layer->context;
    layer->qkv = floats(layout, room, espi_size_max(3 * hidden, network->config->intermediate));
    layer->activated = layer->qkv;
}

/* What one layer keeps for backward; the hidden states and query, key and value stand apart. */
static void place_layer(const struct espi_network *network, struct layout *layout, size_t room, bool copies,
                        struct espi_activations *layer)
{
    size_t hidden = network->config->hidden, operand = espi_operand_size(network->compute);
    layer->lse = floats(layout, network->config->heads, room);
    layer->context = floats(layout, room, hidden);
    layer->attention = normed(layout, room, hidden);
    layer->ffn = normed(layout, room, hidden);
    layer->inner = floats(layout, room, network->config->intermediate);
    layer->activated = piece(layout, room, network->config->intermediate, operand);
    if (copies) {
        layer->input = piece(layout, room, hidden, operand);
        layer->attended = piece(layout, room, hidden, operand);
        layer->ffn_input = piece(layout, room, hidden, operand);
    } else {
        layer->attended = layer->context;
        layer->ffn_input = layer->middle = floats(layout, room, hidden);
    }
}

static void place_layers(const struct espi_network *network, struct layout *layout, struct espi_network_memory *memory)
{
    size_t hidden = network->config->hidden, layers = network->config->layers, room = memory->room;
    bool shared = memory->keeping == ESPI_KEEP_NONE && !memory->copies;
    if (shared)
        place_shared_layer(network, layout, room, &memory->layers[0]);
    for (size_t l = 0; l < layers; l++) {
        struct espi_activations *layer = &memory->layers[l];
        bool states = l == 0 || memory->keeping != ESPI_KEEP_NONE;
        *layer = memory->layers[0];
        if (!shared && (l == 0 || memory->keeping == ESPI_KEEP_ALL))
            place_layer(network, layout, room, memory->copies, layer);
        if (!shared && states)
            layer->qkv = floats(layout, room, 3 * hidden);
        memory->hidden[l] = states ? floats(layout, room, hidden) : memory->hidden[0];
        if (!memory->copies)
            layer->input = memory->hidden[l];
    }
    memory->hidden[layers] = memory->keeping == ESPI_KEEP_NONE ? memory->hidden[0] : floats(layout, room, hidden);
}

static void place(const struct espi_network *network, struct layout *layout, struct espi_network_memory *memory)
{
    size_t hidden = network->config->hidden, room = memory->room;
    size_t words = espi_config_word_width(network->config), wider = espi_size_max(hidden, words);
    size_t wide = espi_size_max(espi_size_max(3 * hidden, network->config->intermediate), words);
    bool train = memory->keeping == ESPI_KEEP_ALL, projected = network->project.outputs > 0;
    place_layers(network, layout, memory);
    memory->embedding = train || projected ? normed(layout, room, words) : memory->layers[0].attention;
    if (projected)
        memory->projected = memory->embedded = floats(layout, room, words);
    if (projected && network->compute == ESPI_COMPUTE_BF16)
        memory->projected = piece(layout, room, words, espi_operand_size(network->compute));
    if (memory->copies) {
        float *middle = floats(layout, room, hidden);
        for (size_t l = 0; l < network->config->layers; l++)
            memory->layers[l].middle = middle;
    }
    if (train || network->filtered)
        memory->wide = floats(layout, room, wide);
    if (!train)
        return;
    memory->operand = piece(layout, room, wide, espi_operand_size(network->compute));
    memory->carry = floats(layout, room, hidden);
    memory->branch = floats(layout, room, hidden);
    memory->partial = floats(layout, room / ESPI_ROW_BLOCK, 2 * wider);
}

static void clear_activations(struct espi_network_memory *memory)
{
    free(memory->slab);
    free(memory->hidden);
    free(memory->layers);
    *memory = (struct espi_network_memory){0};
}

int espi_network_reserve(esp_context *ctx, struct espi_network *network, size_t tokens, enum espi_keeping keeping)
{
    struct espi_network_memory *memory = &network->memory;
    bool copies = network->compute == ESPI_COMPUTE_BF16 || network->filtered;
    struct espi_network_memory next = {.room = espi_matmul_room(espi_size_max(tokens, 1)), .copies = copies};
    next.keeping = keeping;
    if (memory->slab && memory->room >= next.room && memory->keeping >= keeping && memory->copies == copies)
        return ESP_OK;
    next.room = espi_size_max(next.room, memory->room);
    next.keeping = next.keeping > memory->keeping ? next.keeping : memory->keeping;
    clear_activations(memory); // first, so that old and new are never there at once
    struct layout layout = {0};
    next.hidden = espi_calloc(ctx, network->config->layers + 1, sizeof *next.hidden);
    next.layers = espi_calloc(ctx, network->config->layers, sizeof *next.layers);
    if (!next.hidden || !next.layers)
        goto fail;
    place(network, &layout, &next);
    if (layout.overflow) {
        espi_fail_memory(ctx, SIZE_MAX);
        goto fail;
    }
    next.slab = espi_calloc_aligned(ctx, layout.bytes, 1);
    if (!next.slab)
        goto fail;
    layout = (struct layout){.slab = next.slab};
    place(network, &layout, &next);
    *memory = next;
    return ESP_OK;

fail:
    clear_activations(&next);
    return ESP_ERR_MEMORY;
}

/* ---- head ----------------------------------------------------------------------------------------------------------- */

static void place_head(const struct espi_network *network, struct layout *layout, struct espi_head_memory *head)
{
    size_t hidden = network->config->hidden, operand = espi_operand_size(network->compute), room = head->room;
    size_t width = espi_size_max(hidden, espi_config_head_width(network->config));
    head->input = piece(layout, room, hidden, operand);
    if (network->config->recipe.dense || head->train) {
        head->inner = floats(layout, room, width);
        head->normed = normed(layout, room, width);
        head->last = piece(layout, room, width, operand);
        head->states = floats(layout, room, width);
    }
    head->result = floats(layout, ESPI_MATMUL_ROWS, head->outputs);
    if (!head->train)
        return;
    head->d_result = piece(layout, room, head->outputs, operand);
    head->partial = floats(layout, room / ESPI_ROW_BLOCK, 2 * width);
}

int espi_network_reserve_head(esp_context *ctx, struct espi_network *network, size_t rows, size_t outputs)
{
    struct espi_head_memory *head = &network->head;
    struct espi_head_memory next = {.room = espi_matmul_room(espi_size_max(rows, 1)), .outputs = outputs};
    next.train = network->pass.train;
    if (head->slab && head->room >= next.room && head->outputs >= outputs && head->train >= next.train)
        return ESP_OK;
    next.room = espi_size_max(next.room, head->room);
    next.outputs = espi_size_max(next.outputs, head->outputs);
    next.train |= head->train;
    free(head->slab);
    *head = (struct espi_head_memory){0};
    struct layout layout = {0};
    place_head(network, &layout, &next);
    if (layout.overflow)
        return espi_fail_memory(ctx, SIZE_MAX);
    next.slab = espi_calloc_aligned(ctx, layout.bytes, 1);
    if (!next.slab)
        return ESP_ERR_MEMORY;
    layout = (struct layout){.slab = next.slab};
    place_head(network, &layout, &next);
    *head = next;
    return ESP_OK;
}

/* ---- the pass ------------------------------------------------------------------------------------------------------- */

/* Makes room for `count` elements in the array at *array and fills it (from NULL: not). */
static int copy(esp_context *ctx, void *array, size_t *capacity, const void *from, size_t count, size_t size)
{
    int status = espi_grow(ctx, array, capacity, espi_size_max(count, 1), size);
    if (status || !from || !count)
        return status;
    void *to;
    memcpy(&to, array, sizeof to);
    memcpy(to, from, count * size);
    return ESP_OK;
}

/* Sequence and place of every token, and its row of the position table. */
static int fill_places(esp_context *ctx, const struct espi_config *config, struct espi_network_pass *own)
{
    int status = copy(ctx, &own->places, &own->places_capacity, NULL, own->batch.tokens, sizeof *own->places);
    if (!status)
        status = copy(ctx, &own->position_rows, &own->position_rows_capacity, NULL, own->batch.tokens,
                      sizeof *own->position_rows);
    for (uint32_t s = 0; !status && s < own->batch.sequences; s++) {
        uint32_t start = own->starts[s], end = own->starts[s + 1];
        for (uint32_t t = start; t < end; t++)
            own->places[t] = (struct espi_token_place){.sequence = s, .place = t - start};
        espi_config_positions(config, own->ids + start, 0, end - start, own->position_rows + start);
    }
    return status;
}

int espi_network_take_pass(esp_context *ctx, struct espi_network *network, const struct espi_pass *pass)
{
    struct espi_network_pass *own = &network->pass;
    const struct espi_batch *batch = pass->batch;
    size_t positions = pass->wanted.result == ESPI_RESULT_VOCAB_LOGITS ? pass->wanted.position_count : 0;
    own->done = false;
    own->train = pass->train;
    own->seed = pass->seed;
    int status;
    if ((status = copy(ctx, &own->starts, &own->starts_capacity, batch->starts, batch->sequences + 1,
                       sizeof *own->starts)) ||
        (status = copy(ctx, &own->ids, &own->ids_capacity, batch->ids, batch->tokens, sizeof *own->ids)) ||
        (status = copy(ctx, &own->types, &own->types_capacity, batch->types, batch->tokens, sizeof *own->types)) ||
        (status = copy(ctx, &own->positions, &own->positions_capacity, positions ? pass->wanted.positions : NULL,
                       positions, sizeof *own->positions)) ||
        (status =
             copy(ctx, &own->streams, &own->streams_capacity, pass->streams, batch->sequences, sizeof *own->streams)))
        return status;
    for (size_t s = 0; !pass->streams && s < batch->sequences; s++)
        own->streams[s] = s;
    own->batch = (struct espi_batch){.sequences = batch->sequences,
                                     .tokens = batch->tokens,
                                     .starts = own->starts,
                                     .ids = own->ids,
                                     .types = batch->types && network->config->type_vocab > 1 ? own->types : NULL};
    own->wanted =
        (struct espi_wanted){.result = pass->wanted.result, .positions = own->positions, .position_count = positions};
    return fill_places(ctx, network->config, own);
}

void espi_network_clear_memory(struct espi_network *network)
{
    clear_activations(&network->memory);
    free(network->head.slab);
    network->head = (struct espi_head_memory){0};
    struct espi_network_pass *pass = &network->pass;
    free(pass->starts);
    free(pass->ids);
    free(pass->types);
    free(pass->positions);
    free(pass->streams);
    free(pass->places);
    free(pass->position_rows);
    *pass = (struct espi_network_pass){0};
}
