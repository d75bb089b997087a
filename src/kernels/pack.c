/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/pack.h"

#include "base/size.h"

#include <assert.h>
#include <string.h>

enum { GROUP_BYTES = 16, GROUP_COLUMNS = 4 };

/* ---- layout -------------------------------------------------------------------------------------------------------- */

/* Appends an array of `count` elements to the block; false when the sizes overflow. */
static bool place(struct espi_packing *packing, size_t count, size_t size, size_t *offset)
{
    size_t bytes, end;
    *offset = packing->bytes;
    if (!espi_size_mul(count, size, &bytes) || !espi_size_add(packing->bytes, bytes, &end) ||
        end > SIZE_MAX - ESPI_PACK_ALIGN)
        return false;
    packing->bytes = espi_round_up(end, ESPI_PACK_ALIGN);
    return true;
}

static int check_shape(esp_context *ctx, size_t rows, size_t columns)
{
    if (!rows || !columns || columns > ESPI_MAX_COLUMNS || rows > UINT32_MAX)
        return espi_fail(ctx, ESP_ERR_LIMIT, "matrix of %zu x %zu: expected at least 1 row and 1 to %d columns", rows,
                         columns, ESPI_MAX_COLUMNS);
    return ESP_OK;
}

static int too_large(esp_context *ctx, size_t rows, size_t columns, size_t groups)
{
    return espi_fail(ctx, ESP_ERR_LIMIT, "matrix of %zu x %zu with %zu groups is too large", rows, columns, groups);
}

int espi_packing_dense(esp_context *ctx, size_t rows, size_t columns, struct espi_packing *packing)
{
    memset(packing, 0, sizeof(*packing));
    int status = check_shape(ctx, rows, columns);
    if (status)
        return status;
    *packing = (struct espi_packing){.rows = rows, .columns = columns};
    packing->groups = espi_quad_count(rows) * ((columns + GROUP_COLUMNS - 1) / GROUP_COLUMNS);
    if (!place(packing, packing->groups, GROUP_BYTES, &packing->weights) ||
        !place(packing, packing->groups, sizeof(uint8_t), &packing->order) ||
        !place(packing, espi_quad_count(rows) * espi_segments(columns), ESPI_PAIR_KINDS, &packing->pairs))
        return too_large(ctx, rows, columns, packing->groups);
    return ESP_OK;
}

int espi_packing_float(esp_context *ctx, size_t rows, size_t columns, bool bf16, struct espi_packing *packing)
{
    memset(packing, 0, sizeof(*packing));
    int status = check_shape(ctx, rows, columns);
    if (status)
        return status;
    *packing = (struct espi_packing){.rows = rows, .columns = columns, .bf16 = bf16};
    packing->groups = espi_quad_count(rows) * (bf16 ? (columns + 1) / 2 : columns);
    if (!place(packing, packing->groups, GROUP_BYTES, &packing->weights))
        return too_large(ctx, rows, columns, packing->groups);
    return ESP_OK;
}

int espi_packing_sparse(esp_context *ctx, size_t rows, size_t columns, size_t groups, struct espi_packing *packing)
{
    memset(packing, 0, sizeof(*packing));
    int status = check_shape(ctx, rows, columns);
    if (status)
        return status;
    *packing = (struct espi_packing){.rows = rows, .columns = columns, .sparse = true, .groups = groups};
    if (groups > UINT32_MAX || !place(packing, groups, GROUP_BYTES, &packing->weights) ||
        !place(packing, groups, GROUP_COLUMNS * sizeof(uint16_t), &packing->indices) ||
        !place(packing, espi_quad_count(rows) + 1, sizeof(uint32_t), &packing->starts))
        return too_large(ctx, rows, columns, groups);
    return ESP_OK;
}

/* ---- packing ------------------------------------------------------------------------------------------------------- */

/* True when the 4x1 block of a quad and a column holds a weight other than 0. */
static bool kept(const int8_t *weights, size_t rows, size_t columns, size_t quad, size_t column)
{
    for (size_t row = quad * ESPI_QUAD; row < rows && row < (quad + 1) * ESPI_QUAD; row++)
        if (weights[row * columns + column])
            return true;
    return false;
}

size_t espi_count_groups(const int8_t *weights, size_t rows, size_t columns)
{
    size_t groups = 0;
    for (size_t quad = 0; quad < espi_quad_count(rows); quad++) {
        size_t count = 0;
        for (size_t column = 0; column < columns; column++)
            count += kept(weights, rows, columns, quad, column);
        groups += (count + GROUP_COLUMNS - 1) / GROUP_COLUMNS;
    }
    return groups;
}

/* Slot `slot` of a group gets the quad's weights of a column; rows past the last one stay 0. */
static void put_column(const struct espi_packing *packing, const int8_t *weights, size_t quad, size_t column,
                       int8_t *group, size_t slot)
{
    for (size_t r = 0; r < ESPI_QUAD && quad * ESPI_QUAD + r < packing->rows; r++)
        group[r * GROUP_COLUMNS + slot] = weights[(quad * ESPI_QUAD + r) * packing->columns + column];
}

/* Orders the columns a quad keeps, segment by segment. */
static void order_columns(const struct espi_packing *packing, const int8_t *weights, size_t quad, uint16_t *columns,
                          size_t count)
{
    size_t segment = espi_sparse_segment((count + GROUP_COLUMNS - 1) / GROUP_COLUMNS) * GROUP_COLUMNS;
    size_t rows = espi_size_min(packing->rows - quad * ESPI_QUAD, ESPI_QUAD);
    for (size_t i = 0; i < count; i += segment)
        espi_columns_order(weights + quad * ESPI_QUAD * packing->columns, rows, packing->columns, columns + i,
                           espi_size_min(count - i, segment));
}

static void pack_sparse(const struct espi_packing *packing, const int8_t *weights, uint8_t *block)
{
    int8_t *out = (int8_t *)(block + packing->weights);
    uint16_t *indices = (uint16_t *)(void *)(block + packing->indices);
    uint32_t *starts = (uint32_t *)(void *)(block + packing->starts);
    size_t group = 0;
    for (size_t quad = 0; quad < espi_quad_count(packing->rows); quad++) {
        uint16_t *columns = indices + group * GROUP_COLUMNS;
        size_t count = 0;
        starts[quad] = (uint32_t)group;
        for (size_t column = 0; column < packing->columns; column++)
            if (kept(weights, packing->rows, packing->columns, quad, column))
                columns[count++] = (uint16_t)column;
        order_columns(packing, weights, quad, columns, count);
        for (size_t i = 0; i < count; i++)
            put_column(packing, weights, quad, columns[i], out + (group + i / GROUP_COLUMNS) * GROUP_BYTES,
                       i % GROUP_COLUMNS);
        for (; count % GROUP_COLUMNS; count++) // the rest of the last group: its last column again, with weights 0
            columns[count] = columns[count - 1];
        group += count / GROUP_COLUMNS;
    }
    starts[espi_quad_count(packing->rows)] = (uint32_t)group;
    assert(group == packing->groups);
}

static void pack_dense(const struct espi_packing *packing, const int8_t *weights, uint8_t *block)
{
    size_t groups = (packing->columns + GROUP_COLUMNS - 1) / GROUP_COLUMNS; // of one quad
    int8_t *out = (int8_t *)(block + packing->weights);
    uint8_t *order = block + packing->order;
    uint8_t *pairs = block + packing->pairs;
    for (size_t quad = 0; quad < espi_quad_count(packing->rows); quad++) {
        for (size_t column = 0; column < packing->columns; column++)
            put_column(packing, weights, quad, column, out + column / GROUP_COLUMNS * GROUP_BYTES,
                       column % GROUP_COLUMNS);
        for (size_t left = groups, count; left; left -= count, pairs += ESPI_PAIR_KINDS) {
            count = espi_size_min(left, ESPI_SEGMENT_GROUPS);
            espi_pairs_find(out, count, order, pairs);
            out += count * GROUP_BYTES;
            order += count;
        }
    }
}

void espi_pack(const struct espi_packing *packing, const int8_t *weights, uint8_t *block)
{
    memset(block, 0, packing->bytes);
    if (packing->sparse)
        pack_sparse(packing, weights, block);
    else
        pack_dense(packing, weights, block);
}

static uint16_t to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void espi_pack_float(const struct espi_packing *packing, const float *weights, uint8_t *block)
{
    float *floats = (float *)(void *)(block + packing->weights);
    uint16_t *halves = (uint16_t *)(void *)(block + packing->weights);
    size_t pairs = (packing->columns + 1) / 2;
    memset(block, 0, packing->bytes);
    for (size_t row = 0; row < packing->rows; row++)
        for (size_t column = 0; column < packing->columns; column++) {
            size_t quad = row / ESPI_QUAD, r = row % ESPI_QUAD;
            float weight = weights[row * packing->columns + column];
            if (packing->bf16)
                halves[((quad * pairs + column / 2) * ESPI_QUAD + r) * 2 + column % 2] = to_bf16(weight);
            else
                floats[(quad * packing->columns + column) * ESPI_QUAD + r] = weight;
        }
}

void espi_unpack(const struct espi_quads *quads, int8_t *weights)
{
    size_t dense_groups = (quads->columns + GROUP_COLUMNS - 1) / GROUP_COLUMNS;
    memset(weights, 0, quads->rows * quads->columns);
    for (size_t row = 0; row < quads->rows; row++) {
        size_t quad = row / ESPI_QUAD;
        size_t begin = quads->starts ? quads->starts[quad] : quad * dense_groups;
        size_t end = quads->starts ? quads->starts[quad + 1] : begin + dense_groups;
        for (size_t i = begin * GROUP_COLUMNS; i < end * GROUP_COLUMNS; i++) {
            size_t column = quads->indices ? quads->indices[i] : i - begin * GROUP_COLUMNS;
            int8_t weight =
                quads->weights[i / GROUP_COLUMNS * GROUP_BYTES + row % ESPI_QUAD * GROUP_COLUMNS + i % GROUP_COLUMNS];
            if (weight && column < quads->columns) // not the fillers of a last group
                weights[row * quads->columns + column] = weight;
        }
    }
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static int check_sparse(esp_context *ctx, const struct espi_packing *packing, const uint32_t *starts,
                        const uint16_t *indices)
{
    size_t quads = espi_quad_count(packing->rows), most = (packing->columns + GROUP_COLUMNS - 1) / GROUP_COLUMNS;
    for (size_t quad = 0; quad < quads; quad++) {
        if (starts[quad] > starts[quad + 1])
            return espi_fail(ctx, ESP_ERR_FORMAT, "quad %zu: expected groups in order, found %u after %u", quad,
                             (unsigned)starts[quad + 1], (unsigned)starts[quad]);
        if (starts[quad + 1] - starts[quad] > most)
            return espi_fail(ctx, ESP_ERR_FORMAT, "quad %zu: expected at most %zu groups for %zu columns, found %u",
                             quad, most, packing->columns, (unsigned)(starts[quad + 1] - starts[quad]));
    }
    if (starts[0] != 0 || starts[quads] != packing->groups)
        return espi_fail(ctx, ESP_ERR_FORMAT, "quads: expected groups 0 to %zu, found %u to %u", packing->groups,
                         (unsigned)starts[0], (unsigned)starts[quads]);
    for (size_t i = 0; i < packing->groups * GROUP_COLUMNS; i++)
        if (indices[i] >= packing->columns)
            return espi_fail(ctx, ESP_ERR_FORMAT, "group %zu: expected a column below %zu, found %u", i / GROUP_COLUMNS,
                             packing->columns, (unsigned)indices[i]);
    return ESP_OK;
}

int espi_quads_view(esp_context *ctx, const struct espi_packing *packing, const uint8_t *block, size_t bytes,
                    struct espi_quads *quads)
{
    memset(quads, 0, sizeof(*quads));
    if (bytes != packing->bytes)
        return espi_fail(ctx, ESP_ERR_FORMAT, "weights: expected %zu bytes, found %zu", packing->bytes, bytes);
    assert((uintptr_t)block % sizeof(uint32_t) == 0);
    struct espi_quads view = {.rows = packing->rows, .columns = packing->columns};
    view.weights = (const int8_t *)(block + packing->weights);
    if (packing->sparse) {
        view.indices = (const uint16_t *)(const void *)(block + packing->indices);
        view.starts = (const uint32_t *)(const void *)(block + packing->starts);
        int status = check_sparse(ctx, packing, view.starts, view.indices);
        if (status)
            return status;
    } else {
        view.order = block + packing->order;
        view.pairs = block + packing->pairs;
    }
    *quads = view;
    return ESP_OK;
}

void espi_pack_start(const int8_t *weights, size_t rows, size_t columns, int32_t zero_point, int32_t *start)
{
    for (size_t row = 0; row < espi_quad_count(rows) * ESPI_QUAD; row++) {
        int32_t sum = 0;
        for (size_t column = 0; row < rows && column < columns; column++)
            sum += weights[row * columns + column];
        start[row] = -zero_point * sum;
    }
}
