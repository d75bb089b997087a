/* SPDX-License-Identifier: Apache-2.0
 * Matrix products: a linear layer forward and both its gradients, in fp32 or bf16, by oneDNN or, in fp32 on
 * CPUs that have AVX2 but not AVX-512, by a kernel of its own (gemm_strips).
 *
 * Activations are tokens × features. "Operands" are what a product reads: float in fp32, the upper half of a float
 * (bf16, rounded to nearest even) in bf16; sums and results are always fp32. Rows come in blocks of ESPI_MATMUL_ROWS:
 * buffers have room for espi_matmul_room(rows) rows, and those beyond `rows` are zero in every operand.
 *
 * Products are cut into tiles whose shapes do not depend on the number of threads, and each sum has one order: the
 * same bits whatever the threads. */
#ifndef ESPI_CREATE_MATMUL_H
#define ESPI_CREATE_MATMUL_H

#include "base/team.h"

enum espi_compute { ESPI_COMPUTE_F32, ESPI_COMPUTE_BF16 };

enum { ESPI_MATMUL_ROWS = 64 };

/* What ESPI_COMPUTE_BF16 needs: AVX512-BF16 or AMX, as oneDNN sees it. */
bool espi_matmul_has_bf16(void);
size_t espi_matmul_room(size_t rows); // rounded up to ESPI_MATMUL_ROWS
size_t espi_operand_size(enum espi_compute compute);

/* oneDNN's engine, streams and the products made so far. Owner: the caller. Thread rule: one thread at a time. */
struct espi_matmuls;

/* team may be NULL (one thread) and stays the caller's. ESP_ERR_UNSUPPORTED: bf16 on a CPU without it. */
int espi_matmuls_new(esp_context *ctx, enum espi_compute compute, struct espi_team *team,
                     struct espi_matmuls **out) ESPI_NODISCARD;
void espi_matmuls_free(struct espi_matmuls *matmuls);
struct espi_team *espi_matmuls_team(const struct espi_matmuls *matmuls);

/* A loop shared by the team, with oneDNN limited to one thread in each call. The first status that is not 0 becomes the
 * result. */
typedef int espi_matmul_fn(void *argument, size_t index, size_t thread);
int espi_matmuls_run(esp_context *ctx, struct espi_matmuls *matmuls, size_t count, espi_matmul_fn *function,
                     void *argument) ESPI_NODISCARD;

/* y = x W' + b and its gradients. Zero-initialise; clear releases. */
struct espi_dense {
    size_t inputs, outputs;
    struct espi_dense_private *packed; // the weights as the products want them
};

int espi_dense_init(esp_context *ctx, struct espi_matmuls *matmuls, size_t inputs, size_t outputs,
                    struct espi_dense *out) ESPI_NODISCARD;
/* The same for forward alone, without what backward needs. In fp32 each row's result has the same bits in any number of
 * rows, and few rows are multiplied faster. */
int espi_dense_init_forward(esp_context *ctx, struct espi_matmuls *matmuls, size_t inputs, size_t outputs,
                            struct espi_dense *out) ESPI_NODISCARD;
void espi_dense_clear(struct espi_dense *dense);

/* Takes new weights over: call after every update. weight: (outputs, inputs) fp32, not used after the call unless the
 * layer is for forward alone: then it must outlive the layer. */
int espi_dense_pack(esp_context *ctx, struct espi_matmuls *matmuls, struct espi_dense *dense,
                    const float *weight) ESPI_NODISCARD;

/* y = x W' + bias
 * x: operand (room, inputs); bias: (outputs) or NULL; y: (room, outputs); y beyond `rows` is unspecified */
int espi_dense_forward(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_dense *dense, size_t rows,
                       const void *x, const float *bias, float *y) ESPI_NODISCARD;
/* dx = dy W
 * dy: operand (room, outputs); dx: (room, inputs) */
int espi_dense_backward_input(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_dense *dense,
                              size_t rows, const void *dy, float *dx) ESPI_NODISCARD;

/* The same products with every tile of the result handed over while it is in the cache, without bias, on the thread
 * that made it; tiles of one call do not overlap and leave out rows beyond `rows`. */
struct espi_result_tile {
    size_t row, rows, column, columns; // where it belongs in the result
    size_t stride;
    float *values; // (rows, columns), stride; may be changed
};
typedef void espi_tile_fn(void *argument, const struct espi_result_tile *tile);
int espi_dense_forward_tiles(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_dense *dense,
                             size_t rows, const void *x, espi_tile_fn *finish, void *argument) ESPI_NODISCARD;
int espi_dense_backward_input_tiles(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_dense *dense,
                                    size_t rows, const void *dy, espi_tile_fn *finish, void *argument) ESPI_NODISCARD;

/* dweight += dy' x, dbias += the sum of dy's rows (taken from the operand)
 * x: operand (room, inputs); dy: operand (room, outputs); dweight: (outputs, inputs); dbias: (outputs) or NULL */
int espi_dense_backward_weight(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_dense *dense,
                               size_t rows, const void *x, const void *dy, float *dweight, float *dbias) ESPI_NODISCARD;

/* Copies or rounds `count` floats, on the calling thread. */
void espi_operand_row(enum espi_compute compute, size_t count, const float *x, void *out);
/* Operand from floats, shared by the team: copies or rounds (rows, columns) and zeroes the rows up to the room. */
int espi_operand_from_float(esp_context *ctx, struct espi_matmuls *matmuls, size_t rows, size_t columns, const float *x,
                            void *operand) ESPI_NODISCARD;

#endif
