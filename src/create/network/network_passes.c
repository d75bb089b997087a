/* SPDX-License-Identifier: Apache-2.0
 * What is done row by row between the products: everything that a row needs while it is in the first-level cache. */
#include "base/random.h"
#include "base/simd.h"
#include "base/size.h"
#include "create/layers/dropout.h"
#include "create/network/network_private.h"
#include "model/arch.h"

#include <string.h>

/* ---- rows ----------------------------------------------------------------------------------------------------------- */

static size_t blocks_of(size_t rows)
{
    return (rows + ESPI_ROW_BLOCK - 1) / ESPI_ROW_BLOCK;
}

float *espi_network_row(const struct espi_network *network, size_t thread)
{
    return network->rows + thread * network->row_width;
}

struct espi_drop espi_network_drop(const struct espi_network *network, enum espi_place place, size_t layer)
{
    const struct espi_config *config = network->config;
    float rate = place == ESPI_PLACE_HEAD        ? config->classifier_dropout
                 : place == ESPI_PLACE_ATTENTION ? config->attention_dropout
                                                 : config->hidden_dropout;
    uint32_t words[4];
    espi_random_block(network->pass.seed, layer, place, words);
    if (place == ESPI_PLACE_ATTENTION_OUT && !config->arch->attention_out_dropout)
        rate = 0.0f;
    return (struct espi_drop){.key = (uint64_t)words[1] << 32 | words[0], .rate = network->pass.train ? rate : 0.0f};
}

void espi_network_drop_row(const struct espi_network *network, struct espi_drop drop, struct espi_token_place place,
                           size_t columns, float *x)
{
    if (drop.rate > 0.0f)
        espi_dropout_row(drop.key, network->pass.streams[place.sequence],
                         place.place * espi_round_up(columns, ESPI_DROPOUT_GROUP), drop.rate, columns, x);
}

static void *operand_at(const struct espi_network *network, size_t row, size_t columns, void *operand)
{
    return (char *)operand + row * columns * espi_operand_size(network->compute);
}

void espi_network_operand_row(const struct espi_network *network, size_t row, size_t columns, const float *x,
                              void *operand)
{
    void *to = operand_at(network, row, columns, operand);
    if (to != x)
        espi_operand_row(network->compute, columns, x, to);
}

void espi_network_zero_tail(const struct espi_network *network, size_t rows, size_t columns, void *operand)
{
    size_t tail = espi_matmul_room(rows) - rows;
    if (!network->forward_only)
        memset(operand_at(network, rows, columns, operand), 0, tail * columns * espi_operand_size(network->compute));
}

int espi_network_operand(esp_context *ctx, struct espi_network *network, size_t rows, size_t columns, float *x,
                         void *operand, void **out)
{
    *out = operand;
    if (network->compute == ESPI_COMPUTE_BF16)
        return espi_operand_from_float(ctx, network->matmuls, rows, columns, x, operand);
    espi_network_zero_tail(network, rows, columns, x);
    *out = x;
    return ESP_OK;
}

ESPI_SIMD static void add_to_row(size_t columns, const float *restrict x, float *restrict out)
{
    for (size_t i = 0; i < columns; i++)
        out[i] += x[i];
}

struct addition {
    size_t rows, columns;
    const float *from; // (rows, columns)
    float *to;         // (rows, columns)
};

static void add_block(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct addition *a = argument;
    size_t first = index * ESPI_ROW_BLOCK, rows = espi_size_min(ESPI_ROW_BLOCK, a->rows - first);
    add_to_row(rows * a->columns, a->from + first * a->columns, a->to + first * a->columns);
}

void espi_network_add(struct espi_network *network, size_t rows, size_t columns, const float *y, float *x)
{
    struct addition a = {.rows = rows, .columns = columns, .from = y, .to = x};
    espi_team_run(network->team, blocks_of(rows), add_block, &a);
}

/* ---- LayerNorm with what stands around it --------------------------------------------------------------------------- */

struct espi_norm_tensors espi_network_norm(const struct espi_network *network, enum espi_role weight,
                                           enum espi_role bias, size_t layer, float *gradients)
{
    const struct espi_param *w = espi_params_find(network->params, weight, layer);
    const struct espi_param *b = espi_params_find(network->params, bias, layer);
    const float *slab = network->params->slab;
    struct espi_norm_tensors tensors = {.weight = slab + w->offset, .bias = slab + b->offset};
    if (gradients) {
        tensors.dweight = gradients + w->offset;
        tensors.dbias = gradients + b->offset;
    }
    return tensors;
}

static void embed_row(const struct espi_network *network, size_t row, float *out)
{
    const struct espi_network_pass *pass = &network->pass;
    espi_embedding_forward(1, espi_config_word_width(network->config), pass->ids + row,
                           pass->batch.types ? pass->types + row : NULL, pass->position_rows + row,
                           espi_params_data(network->params, ESPI_EMBED_WORD, 0),
                           espi_params_data(network->params, ESPI_EMBED_POSITION, 0),
                           espi_params_data(network->params, ESPI_EMBED_TYPE, 0), out);
}

static void norm_forward_row(const struct espi_norm_forward *n, size_t row)
{
    const struct espi_network *network = n->network;
    const size_t width = n->width;
    float *sum = n->normed.sum + row * width, *out = n->out + row * width;
    if (n->embed)
        embed_row(network, row, sum);
    if (n->before.rate > 0.0f)
        espi_network_drop_row(network, n->before, network->pass.places[row], width, sum);
    if (n->residual)
        add_to_row(width, n->residual + row * width, sum);
    espi_layer_norm_forward(1, width, network->config->layer_norm_eps, sum, n->tensors.weight, n->tensors.bias, out,
                            n->normed.statistics + 2 * row);
    if (n->after.rate > 0.0f)
        espi_network_drop_row(network, n->after, network->pass.places[row], width, out);
    if (n->operand)
        espi_network_operand_row(network, row, width, out, n->operand);
}

static void norm_forward_block(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct espi_norm_forward *n = argument;
    size_t first = index * ESPI_ROW_BLOCK, end = espi_size_min(first + ESPI_ROW_BLOCK, n->rows);
    for (size_t row = first; row < end; row++)
        norm_forward_row(n, row);
}

void espi_network_norm_forward(struct espi_norm_forward *pass)
{
    size_t width = pass->width, tail = espi_matmul_room(pass->rows) - pass->rows;
    espi_team_run(pass->network->team, blocks_of(pass->rows), norm_forward_block, pass);
    if (!pass->network->forward_only)
        memset(pass->out + pass->rows * width, 0, tail * width * sizeof *pass->out);
    if (pass->operand)
        espi_network_zero_tail(pass->network, pass->rows, width, pass->operand);
}

static void norm_backward_row(const struct espi_norm_backward *n, size_t row, float *sums, float *scratch)
{
    const struct espi_network *network = n->network;
    const size_t width = n->width;
    float *carry = n->carry + row * width;
    if (n->branch)
        add_to_row(width, n->branch + row * width, carry);
    if (n->extra)
        add_to_row(width, n->extra + row * width, carry);
    if (n->after.rate > 0.0f)
        espi_network_drop_row(network, n->after, network->pass.places[row], width, carry);
    espi_layer_norm_backward(1, width, n->normed.sum + row * width, n->normed.statistics + 2 * row, n->tensors.weight,
                             carry, carry, sums, sums + width);
    if (!n->operand)
        return;
    const float *dropped = carry;
    if (n->before.rate > 0.0f) {
        memcpy(scratch, carry, width * sizeof *scratch);
        espi_network_drop_row(network, n->before, network->pass.places[row], width, scratch);
        dropped = scratch;
    }
    espi_network_operand_row(network, row, width, dropped, n->operand);
}

static void norm_backward_block(void *argument, size_t index, size_t thread)
{
    const struct espi_norm_backward *n = argument;
    const size_t width = n->width;
    size_t first = index * ESPI_ROW_BLOCK, end = espi_size_min(first + ESPI_ROW_BLOCK, n->rows);
    float *sums = n->partial + index * 2 * width; // (2, width)
    memset(sums, 0, 2 * width * sizeof *sums);
    for (size_t row = first; row < end; row++)
        norm_backward_row(n, row, sums, espi_network_row(n->network, thread));
}

/* Each block of rows has sums of its own, which are added in order: the same bits for any team. */
void espi_network_norm_backward(struct espi_norm_backward *pass)
{
    size_t width = pass->width, tail = espi_matmul_room(pass->rows) - pass->rows;
    espi_team_run(pass->network->team, blocks_of(pass->rows), norm_backward_block, pass);
    for (size_t block = 0; block < blocks_of(pass->rows); block++) {
        add_to_row(width, pass->partial + block * 2 * width, pass->tensors.dweight);
        add_to_row(width, pass->partial + (block * 2 + 1) * width, pass->tensors.dbias);
    }
    memset(pass->carry + pass->rows * width, 0, tail * width * sizeof *pass->carry);
    if (pass->operand)
        espi_network_zero_tail(pass->network, pass->rows, width, pass->operand);
}

/* ---- activation ----------------------------------------------------------------------------------------------------- */

struct activation {
    const struct espi_network *network;
    enum espi_activation kind;
    size_t rows, columns;
    const float *inner; // (rows, columns)
    float *floats;      // (rows, columns) forward: the result or NULL; backward: gradient in and out
    void *operand;      // (room, columns) or NULL
};

static void activate_block(void *argument, size_t index, size_t thread)
{
    const struct activation *a = argument;
    size_t columns = a->columns, first = index * ESPI_ROW_BLOCK;
    for (size_t row = first; row < espi_size_min(first + ESPI_ROW_BLOCK, a->rows); row++) {
        float *out = a->floats ? a->floats + row * columns : espi_network_row(a->network, thread);
        espi_activation_forward(a->kind, 1, columns, a->inner + row * columns, columns, out, columns);
        if (a->operand)
            espi_network_operand_row(a->network, row, columns, out, a->operand);
    }
}

void espi_network_activate(struct espi_network *network, enum espi_activation kind, size_t rows, size_t columns,
                           const float *inner, float *floats, void *operand)
{
    bool same = network->compute == ESPI_COMPUTE_F32 && operand && !floats;
    struct activation a = {.network = network,
                           .kind = kind,
                           .rows = rows,
                           .columns = columns,
                           .inner = inner,
                           .floats = same ? operand : floats,
                           .operand = same ? NULL : operand};
    espi_team_run(network->team, blocks_of(rows), activate_block, &a);
    if (operand)
        espi_network_zero_tail(network, rows, columns, operand);
}

static void activate_backward_block(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct activation *a = argument;
    size_t columns = a->columns, first = index * ESPI_ROW_BLOCK;
    for (size_t row = first; row < espi_size_min(first + ESPI_ROW_BLOCK, a->rows); row++) {
        float *d = a->floats + row * columns;
        espi_activation_backward(a->kind, 1, columns, a->inner + row * columns, columns, d, columns, d, columns);
        espi_network_operand_row(a->network, row, columns, d, a->operand);
    }
}

void *espi_network_activate_backward(struct espi_network *network, enum espi_activation kind, size_t rows,
                                     size_t columns, const float *inner, float *d, void *operand)
{
    struct activation a = {.network = network,
                           .kind = kind,
                           .rows = rows,
                           .columns = columns,
                           .inner = inner,
                           .floats = d,
                           .operand = network->compute == ESPI_COMPUTE_F32 ? d : operand};
    espi_team_run(network->team, blocks_of(rows), activate_backward_block, &a);
    espi_network_zero_tail(network, rows, columns, a.operand);
    return a.operand;
}

/* ---- activation on the tiles of a product --------------------------------------------------------------------------- */

struct activated_tiles {
    enum espi_activation kind;
    size_t columns;     // of a row
    const float *bias;  // (columns)
    float *inner;       // (rows, columns) forward: or NULL
    const float *slope; // (rows, columns) backward: before the activation
    float *out;         // (room, columns)
};

static void activate_tile(void *argument, const struct espi_result_tile *tile)
{
    const struct activated_tiles *a = argument;
    for (size_t row = 0; row < tile->rows; row++) {
        size_t place = (tile->row + row) * a->columns + tile->column;
        float *values = tile->values + row * tile->stride;
        add_to_row(tile->columns, a->bias + tile->column, values);
        if (a->inner)
            memcpy(a->inner + place, values, tile->columns * sizeof *values);
        espi_activation_forward(a->kind, 1, tile->columns, values, 0, a->out + place, 0);
    }
}

int espi_network_dense_activate(esp_context *ctx, struct espi_network *network, const struct espi_dense *dense,
                                enum espi_activation kind, size_t rows, const void *x, const float *bias, float *inner,
                                float *out)
{
    struct activated_tiles a = {.kind = kind, .columns = dense->outputs, .bias = bias, .inner = inner, .out = out};
    espi_network_zero_tail(network, rows, dense->outputs, out);
    return espi_dense_forward_tiles(ctx, network->matmuls, dense, rows, x, activate_tile, &a);
}

static void activate_backward_tile(void *argument, const struct espi_result_tile *tile)
{
    const struct activated_tiles *a = argument;
    for (size_t row = 0; row < tile->rows; row++) {
        size_t place = (tile->row + row) * a->columns + tile->column;
        espi_activation_backward(a->kind, 1, tile->columns, a->slope + place, 0, tile->values + row * tile->stride, 0,
                                 a->out + place, 0);
    }
}

int espi_network_dense_activate_backward(esp_context *ctx, struct espi_network *network, const struct espi_dense *dense,
                                         enum espi_activation kind, size_t rows, const void *dy, const float *inner,
                                         float *d)
{
    struct activated_tiles a = {.kind = kind, .columns = dense->inputs, .slope = inner, .out = d};
    espi_network_zero_tail(network, rows, dense->inputs, d);
    return espi_dense_backward_input_tiles(ctx, network->matmuls, dense, rows, dy, activate_backward_tile, &a);
}
