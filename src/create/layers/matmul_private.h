/* SPDX-License-Identifier: Apache-2.0
 * What the files of the training products share. */
#ifndef ESPI_CREATE_MATMUL_PRIVATE_H
#define ESPI_CREATE_MATMUL_PRIVATE_H

#include "create/layers/matmul.h"
#include "create/layers/products_private.h"
#include "kernels/kernel.h"

/* ---- operands ------------------------------------------------------------------------------------------------------- */

enum { ESPI_BLOCK = 64 }; // columns that oneDNN wants together, and rows and columns of what is packed at once

/* How a right-hand operand, (inner, columns), stands; columns are a multiple of ESPI_BLOCK, in strips of ESPI_STRIP. */
enum espi_layout {
    ESPI_LAYOUT_ROWS,
    ESPI_LAYOUT_BLOCKED, // as oneDNN likes it: each (padded inner / v, ESPI_BLOCK, v) with v = 2 for bf16, 1 for fp32
    ESPI_LAYOUT_STRIPS,  // fp32, for gemm_strips: each (padded inner, ESPI_STRIP)
};

struct espi_right {
    enum espi_compute compute;
    enum espi_layout layout;
    size_t inner, columns;
    void *data; // (espi_right_bytes)
};

size_t espi_right_bytes(enum espi_compute compute, size_t inner, size_t columns);
/* Places a block of it: `inner` rows from k and ESPI_BLOCK columns from n, multiples of ESPI_BLOCK both. Rows and columns
 * of the block behind the operand's end are left out; rows up to its padding have to be there.
 * block: (ESPI_BLOCK or what is left, ESPI_BLOCK), in operand elements, stride in elements */
void espi_right_put_rows(const struct espi_right *right, size_t k, size_t n, const void *block, size_t stride);
/* The same from a block that stands the other way round. block: (columns ESPI_BLOCK, inner ESPI_BLOCK) */
void espi_right_put_columns(const struct espi_right *right, size_t k, size_t n, const void *block, size_t stride);

/* A block of weights as operand elements, zeros behind the ends.
 * block: (ESPI_BLOCK outputs, ESPI_BLOCK inputs) */
struct espi_plain_weight {
    size_t outputs, inputs;
    const float *data; // (outputs, inputs)
};
void espi_weight_block(enum espi_compute compute, const struct espi_plain_weight *weight, size_t output, size_t input,
                       char *block);

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

enum {
    ESPI_TILE_HEIGHTS = 5,
    ESPI_NARROW_ROWS = 48, // at most in the narrow form
    ESPI_NARROW_HEIGHTS = 3,
};

/* weights × rows' for a number of rows. */
struct espi_narrow {
    size_t rows;
    dnnl_primitive_t multiply, pack;
    dnnl_memory_t rows_plain, rows_packed;    // (rows, inner); (inner, rows) as oneDNN wants it
    dnnl_memory_t *weight, *target, *scratch; // (threads)
    float *targets;                           // (threads, columns, rows)
};

/* Products by weights that stay, in fp32, of which each gives the same bits for the same row.
 *
 * oneDNN picks a kernel by shape. So tiles of several heights are made, and each is tested when it is made: the same row
 * at every place of every tile must give the same bits, else that height is not used. Should not even the highest tile be
 * uniform in itself, rows are multiplied one by one.
 *
 * With few rows in all, reading the weights takes as long as multiplying. The narrow form then multiplies the other way
 * round, weights (columns, inner) × rows' (inner, rows): it streams the plain weights once and evenly, so that the
 * processor fetches while it computes (1.3 times as fast with 32 rows). It has to pass the same test.
 * Owner: espi_matmuls. Immutable but for the threads' memory objects. */
struct espi_uniform {
    size_t inner, columns; // columns of the weights; those of the tiles go on to a multiple of ESPI_BLOCK
    const struct espi_matmul_shape *tiles[ESPI_TILE_HEIGHTS];
    size_t heights; // in use, highest first
    struct espi_narrow narrow[ESPI_NARROW_HEIGHTS];
    size_t narrow_heights; // in use, lowest first
    struct espi_uniform *next;
};

/* Memory that grows as needed and keeps nothing. */
struct espi_room {
    void *data; // (bytes), 64-byte aligned
    size_t bytes;
};

struct espi_matmuls {
    struct espi_products *products;
    enum espi_compute compute;
    bool strips;      // multiplies by gemm_strips, not oneDNN; tests change it before anything is made
    bool single_rows; // as if no tile were uniform; for tests
    espi_gemm_strips_fn *gemm_strips;
    struct espi_matmul_shape *shapes;
    struct espi_uniform *uniforms;
    float *tiles;               // (threads, ESPI_MATMUL_TILE)
    struct espi_room turned;    // left-hand operands of weight gradients
    struct espi_room rights;    // right-hand operands of weight gradients
    struct espi_room partial;   // sums of blocks of rows
    struct espi_room attention; // (threads) scratch of attention
};

enum { ESPI_MATMUL_COLUMNS = 384, ESPI_MATMUL_WEIGHT_ROWS = 384 };
enum { ESPI_MATMUL_TILE = ESPI_MATMUL_COLUMNS * ESPI_MATMUL_WEIGHT_ROWS }; // elements of the largest tile

int espi_room_reserve(esp_context *ctx, struct espi_room *room, size_t count, size_t size) ESPI_NODISCARD;

/* The product of a shape, made when it is not there yet. */
int espi_matmul_get(esp_context *ctx, struct espi_matmuls *matmuls, size_t rows, size_t columns, size_t inner, bool add,
                    const struct espi_matmul_shape **out) ESPI_NODISCARD;
/* The same with another number of rows, for the right-hand operand of `like`. */
int espi_matmul_get_like(esp_context *ctx, struct espi_matmuls *matmuls, size_t rows,
                         const struct espi_matmul_shape *like, const struct espi_matmul_shape **out) ESPI_NODISCARD;

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

/* ---- products of the same bits for any number of rows --------------------------------------------------------------- */

/* Made and tested when it is not there yet. */
int espi_uniform_get(esp_context *ctx, struct espi_matmuls *matmuls, size_t columns, size_t inner,
                     const struct espi_uniform **out) ESPI_NODISCARD;
void espi_uniform_free(struct espi_matmuls *matmuls); // all of them
/* The lowest tile with at least `rows` rows, else the highest. */
const struct espi_matmul_shape *espi_uniform_tile(const struct espi_uniform *uniform, size_t rows);
/* The narrow form for a number of rows; NULL when there is none. */
const struct espi_narrow *espi_uniform_narrow(const struct espi_uniform *uniform, size_t rows);
/* Packs the rows for the products that follow; inside espi_matmuls_run, while no other thread multiplies.
 * source: (narrow->rows, inner) */
int espi_narrow_pack(struct espi_matmuls *matmuls, const struct espi_narrow *narrow,
                     const float *source) ESPI_NODISCARD;
/* target = rows weight' for the packed rows. Inside espi_matmuls_run only.
 * weight: (columns, inner); target: (narrow->rows, columns of the tiles) */
int espi_narrow_multiply(struct espi_matmuls *matmuls, const struct espi_uniform *uniform,
                         const struct espi_narrow *narrow, const float *weight, float *target,
                         size_t thread) ESPI_NODISCARD;

#endif
