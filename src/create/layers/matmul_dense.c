/* SPDX-License-Identifier: Apache-2.0
 * A linear layer with its weights packed: forward and, unless it is for forward alone, the gradient of its input. */
#include "create/layers/matmul_private.h"

#include "base/memory.h"
#include "base/simd.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

/* Weights as the right-hand operand of one direction, in ranges of columns that stay in a second-level cache over all
 * rows. Columns go on to a multiple of ESPI_BLOCK, with zeros. */
struct direction {
    size_t inner, outputs;
    size_t columns, ranges;                   // of a range; the last may be narrower
    const struct espi_matmul_shape *shape[2]; // of the full ranges and of the last
    const struct espi_uniform *uniform[2];    // the same for any number of rows, or NULL; shape is its highest tile
    char *data;
    dnnl_memory_t *weights; // (ranges) of oneDNN's products
};

struct espi_dense_private {
    bool forward_only;
    struct direction forward, backward;
    const float *plain; // (outputs, inputs) forward only: borrowed, for narrow forms
};

static const struct espi_matmul_shape *range_shape(const struct direction *direction, size_t range)
{
    return direction->shape[range + 1 == direction->ranges];
}

static const struct espi_uniform *range_uniform(const struct direction *direction, size_t range)
{
    return direction->uniform[range + 1 == direction->ranges];
}

static struct espi_right range_right(enum espi_compute compute, const struct direction *direction, size_t range)
{
    const struct espi_matmul_shape *shape = range_shape(direction, range);
    return (struct espi_right){
        .compute = compute,
        .layout = shape->layout,
        .inner = direction->inner,
        .columns = shape->columns,
        .data = direction->data + espi_right_bytes(compute, direction->inner, range * direction->columns),
    };
}

/* ---- making --------------------------------------------------------------------------------------------------------- */

static size_t range_columns(enum espi_compute compute, size_t inner)
{
    enum { BYTES = 768 * 1024 };
    size_t columns = BYTES / espi_operand_size(compute) / inner / ESPI_BLOCK * ESPI_BLOCK;
    return espi_size_min(espi_size_max(columns, ESPI_BLOCK), ESPI_MATMUL_COLUMNS);
}

/* columns: without padding */
static int get_shape(esp_context *ctx, struct espi_matmuls *matmuls, size_t columns, bool uniform, size_t which,
                     struct direction *out)
{
    if (!uniform)
        return espi_matmul_get(ctx, matmuls, ESPI_MATMUL_ROWS, espi_round_up(columns, ESPI_BLOCK), out->inner, false,
                               &out->shape[which]);
    int status = espi_uniform_get(ctx, matmuls, columns, out->inner, &out->uniform[which]);
    if (!status)
        out->shape[which] = out->uniform[which]->tiles[0];
    return status;
}

static int init_direction(esp_context *ctx, struct espi_matmuls *matmuls, size_t inner, size_t outputs, bool uniform,
                          struct direction *out)
{
    size_t columns = range_columns(matmuls->compute, inner), all = espi_round_up(outputs, ESPI_BLOCK), count;
    columns = espi_size_min(columns, all);
    size_t ranges = (all + columns - 1) / columns;
    *out = (struct direction){.inner = inner, .outputs = outputs, .columns = columns};
    int status = get_shape(ctx, matmuls, outputs - (ranges - 1) * columns, uniform, 1, out);
    if (!status && ranges > 1)
        status = get_shape(ctx, matmuls, columns, uniform, 0, out);
    if (status)
        return status;
    out->weights = espi_calloc(ctx, ranges, sizeof *out->weights);
    if (!out->weights)
        return ESP_ERR_MEMORY;
    out->ranges = ranges;
    if (!espi_size_mul(espi_round_up(inner, ESPI_BLOCK), all, &count))
        return espi_fail_memory(ctx, SIZE_MAX);
    out->data = espi_calloc_aligned(ctx, count, espi_operand_size(matmuls->compute));
    if (!out->data)
        return ESP_ERR_MEMORY;
    for (size_t range = 0; range < ranges && !matmuls->strips; range++) {
        dnnl_status_t result =
            espi_dnnl.memory_create(&out->weights[range], &range_shape(out, range)->right, matmuls->products->engine,
                                    range_right(matmuls->compute, out, range).data);
        if (result)
            return espi_fail_dnnl(ctx, result, "packing weights");
    }
    return ESP_OK;
}

static void clear_direction(struct direction *direction)
{
    for (size_t range = 0; range < direction->ranges; range++)
        if (direction->weights[range])
            espi_dnnl.memory_destroy(direction->weights[range]);
    free(direction->weights);
    free(direction->data);
}

static int init(esp_context *ctx, struct espi_matmuls *matmuls, size_t inputs, size_t outputs, bool forward_only,
                struct espi_dense *out)
{
    *out = (struct espi_dense){.inputs = inputs, .outputs = outputs};
    out->packed = espi_calloc(ctx, 1, sizeof *out->packed);
    if (!out->packed)
        return ESP_ERR_MEMORY;
    out->packed->forward_only = forward_only;
    bool uniform = forward_only && matmuls->compute == ESPI_COMPUTE_F32;
    int status = init_direction(ctx, matmuls, inputs, outputs, uniform, &out->packed->forward);
    if (!status && !forward_only)
        status = init_direction(ctx, matmuls, outputs, inputs, false, &out->packed->backward);
    if (status)
        espi_dense_clear(out);
    return status;
}

int espi_dense_init(esp_context *ctx, struct espi_matmuls *matmuls, size_t inputs, size_t outputs,
                    struct espi_dense *out)
{
    return init(ctx, matmuls, inputs, outputs, false, out);
}

int espi_dense_init_forward(esp_context *ctx, struct espi_matmuls *matmuls, size_t inputs, size_t outputs,
                            struct espi_dense *out)
{
    return init(ctx, matmuls, inputs, outputs, true, out);
}

void espi_dense_clear(struct espi_dense *dense)
{
    if (dense->packed) {
        clear_direction(&dense->packed->forward);
        clear_direction(&dense->packed->backward);
    }
    free(dense->packed);
    *dense = (struct espi_dense){0};
}

/* ---- packing -------------------------------------------------------------------------------------------------------- */

struct packing {
    enum espi_compute compute;
    const struct espi_dense *dense;
    struct espi_plain_weight weight;
};

/* ESPI_BLOCK outputs: each block of the weights is read once and goes to each direction. */
static int pack_outputs(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct packing *p = argument;
    const struct direction *forward = &p->dense->packed->forward, *backward = &p->dense->packed->backward;
    size_t output = index * ESPI_BLOCK, range = output / forward->columns;
    struct espi_right right = range_right(p->compute, forward, range);
    _Alignas(64) char block[ESPI_BLOCK * ESPI_BLOCK * sizeof(float)];
    for (size_t input = 0; input < p->dense->inputs; input += ESPI_BLOCK) {
        espi_weight_block(p->compute, &p->weight, output, input, block);
        espi_right_put_columns(&right, input, output - range * forward->columns, block, ESPI_BLOCK);
        if (p->dense->packed->forward_only)
            continue;
        size_t other = input / backward->columns;
        struct espi_right turned = range_right(p->compute, backward, other);
        espi_right_put_rows(&turned, output, input - other * backward->columns, block, ESPI_BLOCK);
    }
    return ESP_OK;
}

int espi_dense_pack(esp_context *ctx, struct espi_matmuls *matmuls, struct espi_dense *dense, const float *weight)
{
    struct packing p = {.compute = matmuls->compute,
                        .dense = dense,
                        .weight = {.outputs = dense->outputs, .inputs = dense->inputs, .data = weight}};
    dense->packed->plain = dense->packed->forward_only ? weight : NULL;
    return espi_matmuls_run(ctx, matmuls, (dense->outputs + ESPI_BLOCK - 1) / ESPI_BLOCK, pack_outputs, &p);
}

/* ---- multiplying ---------------------------------------------------------------------------------------------------- */

struct multiply {
    struct espi_matmuls *matmuls;
    const struct direction *direction;
    const float *plain; // narrow forms: the weights
    size_t rows, blocks;
    const char *x; // operand (room, inner)
    espi_tile_fn *finish;
    void *argument;
};

static float *thread_tile(const struct multiply *m, size_t thread)
{
    return m->matmuls->tiles + thread * ESPI_MATMUL_TILE; // (ESPI_MATMUL_ROWS, columns)
}

static void finish_tile(const struct multiply *m, size_t range, size_t row, size_t rows, size_t thread)
{
    const struct direction *direction = m->direction;
    size_t columns = range_shape(direction, range)->columns, column = range * direction->columns;
    struct espi_result_tile result = {.row = row,
                                      .rows = rows,
                                      .column = column,
                                      .columns = espi_size_min(columns, direction->outputs - column),
                                      .stride = columns,
                                      .values = thread_tile(m, thread)};
    m->finish(m->argument, &result);
}

/* One block of rows for one range of columns. Ranges are the slow index: their weights stay in the cache. */
static int multiply_block(void *argument, size_t index, size_t thread)
{
    const struct multiply *m = argument;
    const struct direction *direction = m->direction;
    size_t range = index / m->blocks, row = index % m->blocks * ESPI_MATMUL_ROWS;
    size_t end = espi_size_min(row + ESPI_MATMUL_ROWS, m->rows);
    const struct espi_uniform *uniform = range_uniform(direction, range);
    while (row < end) {
        const struct espi_matmul_shape *shape =
            uniform ? espi_uniform_tile(uniform, end - row) : range_shape(direction, range);
        const void *x = m->x + row * direction->inner * espi_operand_size(m->matmuls->compute);
        size_t rows = espi_size_min(shape->rows, end - row);
        int status = ESP_OK;
        if (shape->layout == ESPI_LAYOUT_STRIPS)
            espi_matmul_strips(m->matmuls, rows, shape->columns, shape->inner, x,
                               range_right(m->matmuls->compute, direction, range).data, false, thread_tile(m, thread));
        else
            status = espi_matmul_multiply_packed(m->matmuls, shape, x, direction->weights[range],
                                                 thread_tile(m, thread), thread);
        if (status)
            return status;
        finish_tile(m, range, row, rows, thread);
        row += rows;
    }
    return ESP_OK;
}

static bool has_narrow(const struct direction *direction, size_t rows)
{
    for (size_t i = direction->ranges == 1; i < 2; i++)
        if (!direction->uniform[i] || !espi_uniform_narrow(direction->uniform[i], rows))
            return false;
    return true;
}

static int pack_narrow(void *argument, size_t index, size_t thread)
{
    (void)index;
    (void)thread;
    const struct multiply *m = argument;
    const struct espi_uniform *const *uniform = m->direction->uniform;
    int status = espi_narrow_pack(m->matmuls, espi_uniform_narrow(uniform[1], m->rows), (const void *)m->x);
    if (!status && m->direction->ranges > 1 && uniform[0] != uniform[1])
        status = espi_narrow_pack(m->matmuls, espi_uniform_narrow(uniform[0], m->rows), (const void *)m->x);
    return status;
}

static int multiply_narrow(void *argument, size_t range, size_t thread)
{
    const struct multiply *m = argument;
    const struct direction *direction = m->direction;
    const struct espi_uniform *uniform = range_uniform(direction, range);
    int status =
        espi_narrow_multiply(m->matmuls, uniform, espi_uniform_narrow(uniform, m->rows),
                             m->plain + range * direction->columns * direction->inner, thread_tile(m, thread), thread);
    if (!status)
        finish_tile(m, range, 0, m->rows, thread);
    return status;
}

static int multiply(esp_context *ctx, struct espi_matmuls *matmuls, const struct direction *direction,
                    const float *plain, size_t rows, const void *x, espi_tile_fn *finish, void *argument)
{
    struct multiply m = {.matmuls = matmuls,
                         .direction = direction,
                         .plain = plain,
                         .rows = rows,
                         .blocks = espi_matmul_room(rows) / ESPI_MATMUL_ROWS,
                         .x = x,
                         .finish = finish,
                         .argument = argument};
    if (!plain || !has_narrow(direction, rows))
        return espi_matmuls_run(ctx, matmuls, direction->ranges * m.blocks, multiply_block, &m);
    int status = espi_matmuls_run(ctx, matmuls, 1, pack_narrow, &m);
    return status ? status : espi_matmuls_run(ctx, matmuls, direction->ranges, multiply_narrow, &m);
}

struct store {
    size_t stride;
    const float *bias; // (stride) or NULL
    float *y;          // (room, stride)
};

ESPI_SIMD static void store_sum(size_t count, const float *restrict x, const float *restrict bias, float *restrict y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] + bias[i];
}

static void store_tile(void *argument, const struct espi_result_tile *tile)
{
    const struct store *s = argument;
    for (size_t row = 0; row < tile->rows; row++) {
        const float *x = tile->values + row * tile->stride;
        float *y = s->y + (tile->row + row) * s->stride + tile->column;
        if (s->bias)
            store_sum(tile->columns, x, s->bias + tile->column, y);
        else
            memcpy(y, x, tile->columns * sizeof *y);
    }
}

int espi_dense_forward(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_dense *dense, size_t rows,
                       const void *x, const float *bias, float *y)
{
    struct store s = {.stride = dense->outputs, .bias = bias, .y = y};
    return multiply(ctx, matmuls, &dense->packed->forward, dense->packed->plain, rows, x, store_tile, &s);
}

int espi_dense_backward_input(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_dense *dense,
                              size_t rows, const void *dy, float *dx)
{
    struct store s = {.stride = dense->inputs, .y = dx};
    return multiply(ctx, matmuls, &dense->packed->backward, NULL, rows, dy, store_tile, &s);
}

int espi_dense_forward_tiles(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_dense *dense,
                             size_t rows, const void *x, espi_tile_fn *finish, void *argument)
{
    return multiply(ctx, matmuls, &dense->packed->forward, dense->packed->plain, rows, x, finish, argument);
}

int espi_dense_backward_input_tiles(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_dense *dense,
                                    size_t rows, const void *dy, espi_tile_fn *finish, void *argument)
{
    return multiply(ctx, matmuls, &dense->packed->backward, NULL, rows, dy, finish, argument);
}
