/* SPDX-License-Identifier: Apache-2.0
 * What the files of the training products share. */
#ifndef ESPI_CREATE_MATMUL_PRIVATE_H
#define ESPI_CREATE_MATMUL_PRIVATE_H

#include "create/layers/matmul.h"
#include "create/layers/products_private.h"
#include "kernels/kernel.h"

/* ---- operands ------------------------------------------------------------------------------------------------------- */

enum { ESPI_PANEL = 64 }; // columns of a panel, and rows and columns of what is packed at once

/* How a right-hand operand, (inner, columns), stands; columns are a multiple of ESPI_PANEL, in strips of ESPI_STRIP. */
enum espi_layout {
    ESPI_LAYOUT_ROWS,
    ESPI_LAYOUT_PANELS, // as oneDNN likes it: each (padded inner / v, ESPI_PANEL, v) with v = 2 for bf16, 1 for fp32
    ESPI_LAYOUT_STRIPS, // fp32, for gemm_strips: each (padded inner, ESPI_STRIP)
};

struct espi_right {
    enum espi_compute compute;
    enum espi_layout layout;
    size_t inner, columns;
    void *data; // (espi_right_bytes)
};

size_t espi_right_bytes(enum espi_compute compute, size_t inner, size_t columns);
/* Places a block of it: `inner` rows from k and ESPI_PANEL columns from n, multiples of ESPI_PANEL both. Rows and columns
 * of the block behind the operand's end are left out; rows up to its padding have to be there.
 * block: (ESPI_PANEL or what is left, ESPI_PANEL), in operand elements, stride in elements */
void espi_right_put_rows(const struct espi_right *right, size_t k, size_t n, const void *block, size_t stride);
/* The same from a block that stands the other way round. block: (columns ESPI_PANEL, inner ESPI_PANEL) */
void espi_right_put_columns(const struct espi_right *right, size_t k, size_t n, const void *block, size_t stride);

/* out = in'; rows and columns are multiples of 8. in: (rows, columns), out: (columns, rows), strides in elements */
void espi_transpose(enum espi_compute compute, size_t rows, size_t columns, const void *in, size_t in_stride, void *out,
                    size_t out_stride);
/* sum += x */
void espi_operand_add_to(enum espi_compute compute, size_t count, const void *x, float *sum);

/* ---- products ------------------------------------------------------------------------------------------------------- */

/* target (+)= source right, all of fixed shape. Owner: espi_matmuls. Immutable but for the threads' memory objects. */
struct espi_matmul_shape {
    size_t rows, columns, inner; // columns as those of a right-hand operand
    bool add;
    enum espi_layout layout;  // of the right-hand operand
    dnnl_memory_desc_t right; // from here on: of oneDNN's products
    dnnl_primitive_t primitive;
    dnnl_memory_t *source, *weight, *target, *scratch; // (threads)
    struct espi_matmul_shape *next;
};

/* Memory that grows as needed and keeps nothing. */
struct espi_room {
    void *data; // (bytes), 64-byte aligned
    size_t bytes;
};

struct espi_matmuls {
    struct espi_products *products;
    enum espi_compute compute;
    bool strips; // multiplies by gemm_strips, not oneDNN; tests change it before anything is made
    espi_gemm_strips_fn *gemm_strips;
    struct espi_matmul_shape *shapes;
    float *tiles;               // (threads, ESPI_MATMUL_TILE)
    struct espi_room turned;    // left-hand operands of weight gradients
    struct espi_room panels;    // right-hand operands of weight gradients
    struct espi_room partial;   // sums of blocks of rows
    struct espi_room attention; // (threads) scratch of attention
};

enum { ESPI_MATMUL_COLUMNS = 384, ESPI_MATMUL_WEIGHT_ROWS = 384 };
enum { ESPI_MATMUL_TILE = ESPI_MATMUL_COLUMNS * ESPI_MATMUL_WEIGHT_ROWS }; // elements of the largest tile

int espi_room_reserve(esp_context *ctx, struct espi_room *room, size_t count, size_t size) ESPI_NODISCARD;

/* The product of a shape, made when it is not there yet. */
int espi_matmul_get(esp_context *ctx, struct espi_matmuls *matmuls, size_t rows, size_t columns, size_t inner, bool add,
                    const struct espi_matmul_shape **out) ESPI_NODISCARD;

/* target = or += source right by gemm_strips, on the calling thread. columns: a multiple of ESPI_STRIP
 * source: (rows, inner); right: strips; target: (rows, columns) */
void espi_matmul_strips(const struct espi_matmuls *matmuls, size_t rows, size_t columns, size_t inner,
                        const float *source, const float *right, bool add, float *target);

/* Inside espi_matmuls_run only. right: operand packed as the shape wants it; inner is a multiple of 32 where oneDNN
 * multiplies.
 * source: operand (rows, inner); target: (rows, columns) */
int espi_matmul_multiply(struct espi_matmuls *matmuls, const struct espi_matmul_shape *shape, const void *source,
                         const void *right, float *target, size_t thread) ESPI_NODISCARD;
/* The same with a memory object for oneDNN's right-hand operand, for any inner. */
int espi_matmul_multiply_packed(struct espi_matmuls *matmuls, const struct espi_matmul_shape *shape, const void *source,
                                dnnl_memory_t right, float *target, size_t thread) ESPI_NODISCARD;

#endif
