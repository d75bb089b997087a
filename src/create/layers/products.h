/* SPDX-License-Identifier: Apache-2.0
 * Matrix products by oneDNN that give the same bits for a row whatever stands around it.
 *
 * oneDNN picks a kernel by shape, and its own threads split a product by their number. So each product here runs on one
 * thread, on a tile of a fixed number of rows and a fixed range of columns; the threads of a team share the tiles. Tiles
 * of several heights are made, and each is tested when it is made: the same row at every place of every tile must give
 * the same bits, else that height is not used. Should not even the highest tile be uniform in itself, rows are
 * multiplied one by one.
 *
 * With few rows in all, reading the weights takes as long as multiplying. The narrow form then multiplies the other way
 * round, weights (columns, inputs) × rows' (inputs, rows): it streams the plain weights once and evenly, so that the
 * processor fetches while it computes (1.3 times as fast with 32 rows). It has to pass the same test. */
#ifndef ESPI_CREATE_PRODUCTS_H
#define ESPI_CREATE_PRODUCTS_H

#include "base/team.h"
#include "create/layers/dnnl_calls.h"

/* oneDNN's engine, one stream a thread, and the products made so far, by shape.
 * Owner: the caller. Thread rule: one thread at a time, apart from what runs inside espi_products_run. */
struct espi_products;

/* `single_rows`: as if no tile were uniform (for tests). team may be NULL and stays the caller's. */
int espi_products_new(esp_context *ctx, struct espi_team *team, bool single_rows,
                      struct espi_products **out) ESPI_NODISCARD;
void espi_products_free(struct espi_products *products);

/* espi_team_run with oneDNN limited to one thread in each call. The first status that is not 0 becomes the result. */
typedef int espi_products_fn(void *argument, size_t index, size_t thread);
int espi_products_run(esp_context *ctx, struct espi_products *products, size_t count, espi_products_fn *function,
                      void *argument) ESPI_NODISCARD;

/* ---- products with packed weights ---------------------------------------------------------------------------------- */

enum {
    ESPI_TILE_ROWS = 64,     // of the highest tile
    ESPI_TILE_COLUMNS = 384, // at most
    ESPI_TILE_HEIGHTS = 5,
    ESPI_NARROW_ROWS = 48, // at most in the narrow form
    ESPI_NARROW_HEIGHTS = 3,
};

/* weights × rows' for a number of rows. */
struct espi_narrow {
    size_t rows;
    dnnl_primitive_t multiply, pack;
    dnnl_memory_t rows_plain, rows_packed;    // (rows, inputs); (inputs, rows) as oneDNN wants it
    dnnl_memory_t *weight, *target, *scratch; // (threads)
    float *targets;                           // (threads, columns, rows)
};

/* (rows, inputs) × (inputs, columns) + bias for the tile heights of this machine.
 * Owner: espi_products. Immutable. */
struct espi_product {
    size_t inputs, columns;
    dnnl_memory_desc_t weight; // as oneDNN wants it packed
    size_t weight_bytes;
    size_t heights; // in use, highest first
    struct espi_tile {
        size_t rows;
        dnnl_primitive_t primitive;
        dnnl_memory_t *source, *target, *scratch; // (threads); target: the result; scratch[i] NULL when none is needed
    } tiles[ESPI_TILE_HEIGHTS];
    size_t narrow_heights; // in use, lowest first
    struct espi_narrow narrow[ESPI_NARROW_HEIGHTS];
    float *results; // (threads, ESPI_TILE_ROWS, columns): a product with a stride of its own takes a slower kernel
    struct espi_product *next;
};

/* Columns of a range of a weight matrix: as many as let its weights stay in a second-level cache over all rows. */
size_t espi_product_columns(size_t inputs);

/* The product of a shape, made and tested when it is not there yet. */
int espi_products_get(esp_context *ctx, struct espi_products *products, size_t inputs, size_t columns,
                      const struct espi_product **out) ESPI_NODISCARD;

/* Where a thread's products of this shape are left: (rows, columns). */
float *espi_product_result(const struct espi_product *product, size_t thread);

/* A range of columns of a weight matrix, packed for a product. Zero-initialise; clear releases. */
struct espi_packed {
    const float *plain_weight; // (columns, inputs), borrowed
    const float *plain_bias;   // (columns), borrowed
    float *data;               // (product->weight_bytes)
    dnnl_memory_t weight, bias;
};

/* weight: (columns, inputs); bias: (columns). Both are also used in place: they must outlive the pack. */
int espi_packed_init(esp_context *ctx, struct espi_products *products, const struct espi_product *product,
                     const float *weight, const float *bias, struct espi_packed *out) ESPI_NODISCARD;
void espi_packed_clear(struct espi_packed *packed);

/* The lowest tile with at least `rows` rows, else the highest. */
const struct espi_tile *espi_product_tile(const struct espi_product *product, size_t rows);

/* result = source weight' + bias for the rows of the tile. Inside espi_products_run only.
 * source: (tile->rows, inputs) */
int espi_tile_multiply(struct espi_products *products, const struct espi_tile *tile, const struct espi_packed *packed,
                       const float *source, size_t thread) ESPI_NODISCARD;

/* The narrow form for a number of rows; NULL when there is none. */
const struct espi_narrow *espi_product_narrow(const struct espi_product *product, size_t rows);

/* Packs the rows for the products that follow; on the calling thread, inside espi_products_run.
 * source: (narrow->rows, inputs) */
int espi_narrow_pack(struct espi_products *products, const struct espi_narrow *narrow,
                     const float *source) ESPI_NODISCARD;

/* result = rows weight' + bias for the first `rows` of the packed rows. Inside espi_products_run only. */
int espi_narrow_multiply(struct espi_products *products, const struct espi_product *product,
                         const struct espi_narrow *narrow, const struct espi_packed *packed, size_t rows,
                         size_t thread) ESPI_NODISCARD;

/* ---- plain products ------------------------------------------------------------------------------------------------ */

struct espi_matrix {
    const float *data;
    size_t stride;
    bool transposed; // stands as (columns, rows)
};

/* c = scale a b on the calling thread; a: (rows, inner), b: (inner, columns), c: (rows, columns). Inside
 * espi_products_run only. The bits depend on the shape. */
int espi_multiply(size_t rows, size_t columns, size_t inner, float scale, const struct espi_matrix *a,
                  const struct espi_matrix *b, float *c, size_t c_stride) ESPI_NODISCARD;

#endif
