/* SPDX-License-Identifier: Apache-2.0 */
#include "create/layers/layers.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>

size_t espi_linear_room(size_t rows)
{
    return espi_round_up(rows, ESPI_TILE_ROWS);
}

static const struct espi_product *range_product(const struct espi_linear *linear, size_t range)
{
    return linear->product[range + 1 == linear->ranges];
}

int espi_linear_init(esp_context *ctx, struct espi_products *products, size_t inputs, size_t outputs,
                     const float *weight, const float *bias, struct espi_linear *out)
{
    size_t columns = espi_product_columns(inputs), ranges = (outputs + columns - 1) / columns;
    size_t last = outputs - (ranges - 1) * columns;
    *out = (struct espi_linear){.inputs = inputs, .outputs = outputs, .columns = columns};
    out->packed = espi_calloc(ctx, ranges, sizeof *out->packed);
    if (!out->packed)
        return ESP_ERR_MEMORY;
    out->ranges = ranges;
    int status = espi_products_get(ctx, products, inputs, last, &out->product[1]);
    if (!status && ranges > 1)
        status = espi_products_get(ctx, products, inputs, columns, &out->product[0]);
    for (size_t range = 0; range < ranges && !status; range++) {
        size_t first = range * columns;
        status = espi_packed_init(ctx, products, range_product(out, range), weight + first * inputs, bias + first,
                                  &out->packed[range]);
    }
    if (status)
        espi_linear_clear(out);
    return status;
}

void espi_linear_clear(struct espi_linear *linear)
{
    for (size_t range = 0; range < linear->ranges; range++)
        espi_packed_clear(&linear->packed[range]);
    free(linear->packed);
    *linear = (struct espi_linear){0};
}

struct forward {
    struct espi_products *products;
    const struct espi_linear *linear;
    const enum espi_activation *activation;
    size_t rows, blocks;
    const float *x; // (room, inputs)
    float *y;       // (rows, outputs)
};

/* Applies the activation to a thread's result and puts it where it belongs. */
static void finish(const struct forward *f, size_t range, size_t row, size_t rows, size_t thread)
{
    const struct espi_product *product = range_product(f->linear, range);
    size_t columns = product->columns, stride = f->linear->outputs;
    const float *result = espi_product_result(product, thread);  // (rows, columns)
    float *y = f->y + row * stride + range * f->linear->columns; // (rows, columns), stride outputs
    if (f->activation)
        espi_activation_forward(*f->activation, rows, columns, result, columns, y, stride);
    for (size_t i = 0; i < rows && !f->activation; i++)
        memcpy(y + i * stride, result + i * columns, columns * sizeof *y);
}

/* One range of columns for one block of rows. Ranges are the slow index: their weights stay in the cache. */
static int forward_block(void *argument, size_t index, size_t thread)
{
    const struct forward *f = argument;
    const struct espi_linear *linear = f->linear;
    size_t range = index / f->blocks, row = index % f->blocks * ESPI_TILE_ROWS;
    size_t end = espi_size_min(row + ESPI_TILE_ROWS, f->rows);
    while (row < end) {
        const struct espi_tile *tile = espi_product_tile(range_product(linear, range), end - row);
        int status = espi_tile_multiply(f->products, tile, &linear->packed[range], f->x + row * linear->inputs, thread);
        if (status)
            return status;
        finish(f, range, row, espi_size_min(tile->rows, end - row), thread);
        row += tile->rows;
    }
    return ESP_OK;
}

/* ---- few rows ------------------------------------------------------------------------------------------------------- */

static int pack_rows(void *argument, size_t index, size_t thread)
{
    (void)index;
    (void)thread;
    const struct forward *f = argument;
    const struct espi_linear *linear = f->linear;
    const struct espi_narrow *last = espi_product_narrow(linear->product[1], f->rows);
    int status = espi_narrow_pack(f->products, last, f->x);
    if (!status && linear->ranges > 1 && linear->product[0] != linear->product[1])
        status = espi_narrow_pack(f->products, espi_product_narrow(linear->product[0], f->rows), f->x);
    return status;
}

static int forward_narrow(void *argument, size_t range, size_t thread)
{
    const struct forward *f = argument;
    const struct espi_product *product = range_product(f->linear, range);
    int status = espi_narrow_multiply(f->products, product, espi_product_narrow(product, f->rows),
                                      &f->linear->packed[range], f->rows, thread);
    if (!status)
        finish(f, range, 0, f->rows, thread);
    return status;
}

static bool has_narrow(const struct espi_linear *linear, size_t rows)
{
    return espi_product_narrow(linear->product[1], rows) &&
           (linear->ranges == 1 || espi_product_narrow(linear->product[0], rows));
}

int espi_linear_forward(esp_context *ctx, struct espi_products *products, const struct espi_linear *linear, size_t rows,
                        const float *x, const enum espi_activation *activation, float *y)
{
    struct forward f = {.products = products,
                        .linear = linear,
                        .activation = activation,
                        .rows = rows,
                        .blocks = espi_linear_room(rows) / ESPI_TILE_ROWS,
                        .x = x,
                        .y = y};
    if (has_narrow(linear, rows)) {
        int status = espi_products_run(ctx, products, 1, pack_rows, &f);
        return status ? status : espi_products_run(ctx, products, linear->ranges, forward_narrow, &f);
    }
    return espi_products_run(ctx, products, linear->ranges * f.blocks, forward_block, &f);
}
