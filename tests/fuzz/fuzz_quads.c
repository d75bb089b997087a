/* SPDX-License-Identifier: Apache-2.0
 * A block of packed weights from anywhere: what espi_quads_view accepts, no kernel leaves its buffers for. The first bytes
 * choose the shape (rows, columns, groups); the rest is the block, cut or filled with zeros to its size. */
#include "base/size.h"
#include "kernels/pack.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER = 4, WIDTH = 16 };

/* Every version this CPU has, on inputs of exactly the right size. */
static void run_all(const struct espi_quads *quads)
{
    size_t rows = espi_round_up(quads->rows, 4);
    uint8_t *x = calloc(espi_round_up(quads->columns, 4), WIDTH), *out = malloc(quads->rows * WIDTH);
    int32_t *start = calloc(rows, sizeof(int32_t));
    float *scale = calloc(rows, sizeof(float));
    struct espi_epilogue epilogue = {.start = start, .scale = scale, .bias = scale, .out = out};
    enum espi_op op = quads->starts ? ESPI_OP_sparse_u8s8 : ESPI_OP_gemm_u8s8;
    for (size_t i = 0; i < espi_kernel_count; i++)
        if (espi_kernels[i].op == op && espi_isa_available(espi_kernels[i].isa, espi_cpu_features()))
            ((espi_gemm_u8s8_fn *)espi_kernels[i].function)(quads, x, WIDTH, 0, espi_quad_count(quads->rows),
                                                            &epilogue);
    free(x);
    free(out);
    free(start);
    free(scale);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEADER)
        return 0;
    struct espi_packing packing;
    struct espi_quads quads;
    int status = data[0] & 1 ? espi_packing_dense(NULL, data[1], data[2], &packing)
                             : espi_packing_sparse(NULL, data[1], data[2], data[3], &packing);
    if (status)
        return 0;
    uint8_t *block = aligned_alloc(ESPI_PACK_ALIGN, espi_size_max(packing.bytes, ESPI_PACK_ALIGN));
    memset(block, 0, packing.bytes);
    memcpy(block, data + HEADER, espi_size_min(size - HEADER, packing.bytes));
    if (espi_quads_view(NULL, &packing, block, packing.bytes, &quads) == ESP_OK) {
        int8_t *weights = malloc(quads.rows * quads.columns);
        espi_unpack(&quads, weights);
        free(weights);
        run_all(&quads);
    }
    free(block);
    return 0;
}
