/* SPDX-License-Identifier: Apache-2.0
 * Gradients of weights and biases: sums over rows, taken in blocks in a fixed order.
 *
 * dy is transposed and x packed first, once; each tile of the weights' gradient is then summed by one thread in its
 * cache and added at the end. */
#include "create/layers/matmul_private.h"

#include "base/simd.h"
#include "base/size.h"

#include <string.h>

enum { DEPTHS = 4 };

struct gradient {
    struct espi_matmuls *matmuls;
    size_t inputs, outputs; // of the layer
    size_t columns, lines;  // inputs and outputs, up to a multiple of ESPI_BLOCK
    size_t room;
    const char *x, *dy;            // operands (room, inputs), (room, outputs)
    char *turned;                  // blocks of rows (lines, depth)
    char *rights;                  // blocks of rows of right-hand operands, one for each tile of columns
    float *partial;                // (room / ESPI_BLOCK, lines) sums of rows
    float *dweight;                // (outputs, inputs)
    float *dbias;                  // (outputs) or NULL
    size_t tile_lines, line_tiles; // lines of a tile; tiles of all lines
    // by depth, full or last lines, full or last columns
    const struct espi_matmul_shape *shapes[DEPTHS][2][2];
};

/* Rows of a block: as many as fill 1 KB of an operand's line, and what is left in halves. */
static size_t block_depth(enum espi_compute compute, size_t level)
{
    return 1024 / espi_operand_size(compute) >> level;
}

/* The block that starts at row `row`: its level. */
static size_t block_level(const struct gradient *g, size_t row)
{
    size_t level = 0;
    while (block_depth(g->matmuls->compute, level) > g->room - row)
        level++;
    return level;
}

/* ---- operands ------------------------------------------------------------------------------------------------------- */

/* Copies ESPI_BLOCK rows and columns together, zeros behind the last column: in the operand, rows may be a power of two
 * apart and drive one another out of the first-level cache. Asks for the rows that come next. */
static void copy_block(const char *x, size_t columns, size_t column, size_t size, bool more, char *block)
{
    size_t bytes = espi_size_min(columns - column, ESPI_BLOCK) * size, row_bytes = ESPI_BLOCK * size;
    const char *from = x + column * size;
    if (bytes < row_bytes)
        memset(block, 0, ESPI_BLOCK * row_bytes);
    for (size_t i = 0; i < ESPI_BLOCK; i++, from += columns * size) {
        for (size_t line = 0; line < bytes && more; line += 64)
            __builtin_prefetch(from + ESPI_BLOCK * columns * size + line);
        memcpy(block + i * row_bytes, from, bytes);
    }
}

/* ESPI_BLOCK outputs of the block of rows that starts at `first`, transposed, with their sums. */
static void turn_block(const struct gradient *g, size_t first, size_t depth, size_t line)
{
    enum espi_compute compute = g->matmuls->compute;
    size_t size = espi_operand_size(compute);
    _Alignas(64) char block[ESPI_BLOCK * ESPI_BLOCK * sizeof(float)];
    char *out = g->turned + (first * g->lines + line * depth) * size; // (ESPI_BLOCK, depth)
    for (size_t row = 0; row < depth; row += ESPI_BLOCK) {
        bool more = first + row + ESPI_BLOCK < g->room;
        copy_block(g->dy + (first + row) * g->outputs * size, g->outputs, line, size, more, block);
        espi_transpose(compute, ESPI_BLOCK, ESPI_BLOCK, block, ESPI_BLOCK, out + row * size, depth);
        float *sums = g->partial + (first + row) / ESPI_BLOCK * g->lines + line; // (ESPI_BLOCK)
        memset(sums, 0, ESPI_BLOCK * sizeof *sums);
        for (size_t i = 0; i < ESPI_BLOCK && g->dbias; i++)
            espi_operand_add_to(compute, ESPI_BLOCK, block + i * ESPI_BLOCK * size, sums);
    }
}

static size_t tile_columns(const struct gradient *g, size_t column)
{
    return espi_size_min(ESPI_MATMUL_COLUMNS, g->columns - column);
}

static struct espi_right tile_right(const struct gradient *g, size_t first, size_t depth, size_t column,
                                    enum espi_layout layout)
{
    size_t place = first * g->columns + column * depth;
    return (struct espi_right){.compute = g->matmuls->compute,
                               .layout = layout,
                               .inner = depth,
                               .columns = tile_columns(g, column),
                               .data = g->rights + place * espi_operand_size(g->matmuls->compute)};
}

/* Of oneDNN's products. */
static const struct espi_matmul_shape *tile_shape(const struct gradient *g, size_t level, size_t line, size_t column)
{
    bool last_line = line + ESPI_MATMUL_WEIGHT_ROWS > g->lines, last_column = column + ESPI_MATMUL_COLUMNS > g->columns;
    return g->shapes[level][last_line][last_column];
}

static enum espi_layout tile_layout(const struct gradient *g, size_t level, size_t column)
{
    return g->matmuls->strips ? ESPI_LAYOUT_STRIPS : tile_shape(g, level, 0, column)->layout;
}

/* ESPI_BLOCK inputs of the block of rows that starts at `first`, packed. */
static void pack_block(const struct gradient *g, size_t first, size_t depth, size_t level, size_t column)
{
    enum espi_compute compute = g->matmuls->compute;
    size_t size = espi_operand_size(compute), tile = column / ESPI_MATMUL_COLUMNS * ESPI_MATMUL_COLUMNS;
    struct espi_right right = tile_right(g, first, depth, tile, tile_layout(g, level, tile));
    _Alignas(64) char block[ESPI_BLOCK * ESPI_BLOCK * sizeof(float)];
    for (size_t row = 0; row < depth; row += ESPI_BLOCK) {
        bool more = first + row + ESPI_BLOCK < g->room;
        copy_block(g->x + (first + row) * g->inputs * size, g->inputs, column, size, more, block);
        espi_right_put_rows(&right, row, column - tile, block, ESPI_BLOCK);
    }
}

/* ESPI_BLOCK outputs or inputs, all rows. */
static int prepare(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct gradient *g = argument;
    size_t place = index * ESPI_BLOCK, depth;
    for (size_t row = 0; row < g->room; row += depth) {
        size_t level = block_level(g, row);
        depth = block_depth(g->matmuls->compute, level);
        if (place < g->lines)
            turn_block(g, row, depth, place);
        else
            pack_block(g, row, depth, level, place - g->lines);
    }
    return ESP_OK;
}

/* ---- sums ----------------------------------------------------------------------------------------------------------- */

ESPI_SIMD static void add_to_gradient(size_t count, const float *restrict x, float *restrict sum)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += x[i];
}

static void add_bias(const struct gradient *g, size_t line, size_t lines)
{
    float sums[ESPI_MATMUL_WEIGHT_ROWS] = {0};
    for (size_t block = 0; block < g->room / ESPI_BLOCK; block++)
        add_to_gradient(lines, g->partial + block * g->lines + line, sums);
    add_to_gradient(lines, sums, g->dbias + line);
}

/* One tile of the gradient. Columns are the slow index. */
static int sum_tile(void *argument, size_t index, size_t thread)
{
    const struct gradient *g = argument;
    size_t line = index % g->line_tiles * g->tile_lines;
    size_t column = index / g->line_tiles * ESPI_MATMUL_COLUMNS, depth;
    size_t lines = espi_size_min(g->tile_lines, g->outputs - line);
    size_t columns = espi_size_min(ESPI_MATMUL_COLUMNS, g->inputs - column), stride = tile_columns(g, column);
    float *tile = g->matmuls->tiles + thread * ESPI_MATMUL_TILE; // (tile_lines, stride)
    memset(tile, 0, g->tile_lines * stride * sizeof *tile);
    for (size_t row = 0; row < g->room; row += depth) {
        size_t level = block_level(g, row);
        depth = block_depth(g->matmuls->compute, level);
        const void *left = g->turned + (row * g->lines + line * depth) * espi_operand_size(g->matmuls->compute);
        const void *right = tile_right(g, row, depth, column, tile_layout(g, level, column)).data;
        int status = ESP_OK;
        if (g->matmuls->strips)
            espi_matmul_strips(g->matmuls, lines, stride, depth, left, right, true, tile);
        else
            status = espi_matmul_multiply(g->matmuls, tile_shape(g, level, line, column), left, right, tile, thread);
        if (status)
            return status;
    }
    for (size_t i = 0; i < lines; i++)
        add_to_gradient(columns, tile + i * stride, g->dweight + (line + i) * g->inputs + column);
    if (g->dbias && column == 0)
        add_bias(g, line, lines);
    return ESP_OK;
}

/* The shapes of all tiles and blocks there are. */
static int get_shapes(esp_context *ctx, struct gradient *g)
{
    size_t depth;
    for (size_t row = 0; row < g->room; row += depth) {
        size_t level = block_level(g, row);
        depth = block_depth(g->matmuls->compute, level);
        for (size_t i = 0; i < 4; i++) {
            const struct espi_matmul_shape **shape = &g->shapes[level][i / 2][i % 2];
            size_t lines = i / 2 ? g->lines % ESPI_MATMUL_WEIGHT_ROWS : ESPI_MATMUL_WEIGHT_ROWS;
            size_t columns = i % 2 ? g->columns % ESPI_MATMUL_COLUMNS : ESPI_MATMUL_COLUMNS;
            if (*shape || lines == 0 || columns == 0)
                continue;
            int status = espi_matmul_get(ctx, g->matmuls, lines, columns, depth, true, shape);
            if (status)
                return status;
            if (i / 2 && g->shapes[level][0][i % 2] && g->shapes[level][0][i % 2]->layout != (*shape)->layout)
                return espi_fail(ctx, ESP_ERR_INTERNAL, "oneDNN: tiles of %zu rows want another layout", lines);
        }
    }
    return ESP_OK;
}

/* Strips take any number of lines: of small layers, so few that every thread gets several tiles. */
static size_t lines_of_tile(const struct gradient *g, size_t column_tiles)
{
    enum { TILES = 4, MOST = ESPI_MATMUL_WEIGHT_ROWS };
    size_t share = g->lines * column_tiles / (TILES * g->matmuls->products->threads) / ESPI_BLOCK;
    return g->matmuls->strips ? espi_size_min(espi_size_max(share, 1) * ESPI_BLOCK, MOST) : MOST;
}

int espi_dense_backward_weight(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_dense *dense,
                               size_t rows, const void *x, const void *dy, float *dweight, float *dbias)
{
    size_t room = espi_matmul_room(rows), size = espi_operand_size(matmuls->compute);
    struct gradient g = {.matmuls = matmuls,
                         .inputs = dense->inputs,
                         .outputs = dense->outputs,
                         .columns = espi_round_up(dense->inputs, ESPI_BLOCK),
                         .lines = espi_round_up(dense->outputs, ESPI_BLOCK),
                         .room = room,
                         .x = x,
                         .dy = dy,
                         .dweight = dweight,
                         .dbias = dbias};
    int status = espi_room_reserve(ctx, &matmuls->turned, room * g.lines, size);
    if (!status)
        status = espi_room_reserve(ctx, &matmuls->rights, room * g.columns, size);
    if (!status)
        status = espi_room_reserve(ctx, &matmuls->partial, room / ESPI_BLOCK * g.lines, sizeof(float));
    if (!status && !matmuls->strips)
        status = get_shapes(ctx, &g);
    if (status)
        return status;
    g.turned = matmuls->turned.data;
    g.rights = matmuls->rights.data;
    g.partial = matmuls->partial.data;
    size_t column_tiles = (g.columns + ESPI_MATMUL_COLUMNS - 1) / ESPI_MATMUL_COLUMNS;
    g.tile_lines = lines_of_tile(&g, column_tiles);
    g.line_tiles = (g.lines + g.tile_lines - 1) / g.tile_lines;
    status = espi_matmuls_run(ctx, matmuls, (g.lines + g.columns) / ESPI_BLOCK, prepare, &g);
    return status ? status : espi_matmuls_run(ctx, matmuls, g.line_tiles * column_tiles, sum_tile, &g);
}
