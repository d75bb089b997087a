/* SPDX-License-Identifier: Apache-2.0
 * Quad packing: s8 weights (rows, columns) into the order the int8 products read. The bytes do not depend on the ISA and
 * are what a compiled file holds; docs/kernels.md describes them one by one. */
#ifndef ESPI_KERNELS_PACK_H
#define ESPI_KERNELS_PACK_H

#include "kernels/columns.h"
#include "kernels/kernel.h"
#include "kernels/pairs.h"

/* Sums of up to 2^16 products of 255 * 127 stay within 32 bits, and a column fits the 16 bits of an index. */
enum { ESPI_MAX_COLUMNS = 65536, ESPI_PACK_ALIGN = 64 };

/* Sums of products with a u8 fit 16 bits, which AVX2's fastest product needs, when the positive weights among them come to at
 * most this and the negative ones to at least minus this; of two weights of either sign the sum counts. Packing arranges
 * for that (kernels/pairs.h, kernels/columns.h); kernels look for themselves and are exact for all. */
enum { ESPI_PAIR_LIMIT = 128 };

static inline size_t espi_quad_count(size_t rows)
{
    return (rows + 3) / 4;
}

/* One block of bytes for a matrix: offsets of its arrays from the start, each a multiple of 64. */
struct espi_packing {
    size_t rows, columns;
    bool sparse, bf16;
    size_t groups;  // of all quads
    size_t weights; // s8 (groups, 4, 4)
    size_t indices; // u16 (groups, 4), sparse
    size_t starts;  // u32 (quads + 1), sparse
    size_t order;   // u8 (groups), dense
    size_t pairs;   // u8 (quads, segments, 5), dense
    size_t bytes;   // of the block, a multiple of 64
};

/* The layout of a dense matrix, or of a sparse one with `groups` groups. ESP_ERR_LIMIT: no rows or columns, more than
 * ESPI_MAX_COLUMNS columns, or more than 2^32 - 1 groups or bytes that do not fit a size_t. */
int espi_packing_dense(esp_context *ctx, size_t rows, size_t columns, struct espi_packing *packing) ESPI_NODISCARD;
int espi_packing_sparse(esp_context *ctx, size_t rows, size_t columns, size_t groups,
                        struct espi_packing *packing) ESPI_NODISCARD;

/* The layout for a float product: `weights` holds float (quads, columns, 4) or bf16 (quads, ceil(columns / 2), 4, 2), 16
 * bytes a group. */
int espi_packing_float(esp_context *ctx, size_t rows, size_t columns, bool bf16,
                       struct espi_packing *packing) ESPI_NODISCARD;

/* Groups the matrix needs when every 4x1 block of zeros is left out. */
size_t espi_count_groups(const int8_t *weights, // (rows, columns)
                         size_t rows, size_t columns);

/* Fills a block of packing->bytes (zeros included) from a matrix; a sparse packing must have the count above. */
void espi_pack(const struct espi_packing *packing, const int8_t *weights, // (rows, columns)
               uint8_t *block);

/* The same from floats, rounded to bf16 (ties to even) when the packing says so. */
void espi_pack_float(const struct espi_packing *packing, const float *weights, // (rows, columns)
                     uint8_t *block);

/* The inverse of espi_pack, for inspection and tests. */
void espi_unpack(const struct espi_quads *quads, int8_t *weights); // (rows, columns)

/* A view of a block; it must be 4-byte aligned and outlive the view. Trusts nothing: ESP_ERR_FORMAT when the block has
 * another size than the packing says, starts do not ascend from 0 to the number of groups, a quad has more groups than
 * the columns fill, or an index is not a column. */
int espi_quads_view(esp_context *ctx, const struct espi_packing *packing, const uint8_t *block, size_t bytes,
                    struct espi_quads *quads) ESPI_NODISCARD;

/* start[row] = -zero_point * Σ weights of the row: an epilogue's start. */
void espi_pack_start(const int8_t *weights, // (rows, columns)
                     size_t rows, size_t columns, int32_t zero_point,
                     int32_t *start // (rows rounded up to 4), the rest 0
);

#endif
