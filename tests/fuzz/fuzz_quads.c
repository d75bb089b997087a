/* SPDX-License-Identifier: Apache-2.0
 * A block of packed weights from anywhere: what espi_quads_view accepts, no kernel leaves its buffers for, and all versions
 * this CPU has agree on, whatever an order or a column says. The first bytes choose the shape (dense or not, columns in
 * steps of 256, rows, columns, groups); the rest is the block, cut or filled with zeros to its size. */
#include "base/size.h"
#include "kernels/pack.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER = 4, WIDTH = 32, MOST_ROWS = 24 };

struct product {
    struct espi_quads quads;
    uint8_t *x; // all 255: whatever may saturate does
    int32_t *start;
    float *scale, *bias;
};

static void run(const struct product *p, espi_gemm_u8s8_fn *function, float *out)
{
    struct espi_epilogue epilogue = {
        .kind = ESPI_EPILOGUE_F32, .start = p->start, .scale = p->scale, .bias = p->bias, .out = out};
    function(&p->quads, p->x, WIDTH, 0, espi_quad_count(p->quads.rows), &epilogue);
}

/* A version, without a memo and with one of exactly the right size. */
static void compare(struct product *p, const struct espi_kernel *kernel, const float *expected, float *out)
{
    size_t bytes = p->quads.rows * WIDTH * sizeof(*out), memo_bytes = espi_kernel_memo(kernel, &p->quads, NULL);
    void *memo = malloc(memo_bytes);
    if (memo_bytes)
        espi_kernel_memo(kernel, &p->quads, memo);
    for (int i = 0; i < (memo_bytes ? 2 : 1); i++) {
        p->quads.memo = i ? memo : NULL;
        memset(out, 0, bytes);
        run(p, (espi_gemm_u8s8_fn *)kernel->function, out);
        if (memcmp(out, expected, bytes))
            abort();
    }
    p->quads.memo = NULL;
    free(memo);
}

/* Every version this CPU has against the C reference, on inputs of exactly the right size. */
static void run_all(const struct espi_quads *quads)
{
    size_t rows = espi_round_up(quads->rows, 4), inputs = espi_round_up(quads->columns, quads->starts ? 1 : 4) * WIDTH;
    struct product p = {.quads = *quads,
                        .x = malloc(inputs),
                        .start = calloc(rows, sizeof(int32_t)),
                        .scale = malloc(rows * sizeof(float)),
                        .bias = calloc(rows, sizeof(float))};
    float *expected = malloc(quads->rows * WIDTH * sizeof(float)), *out = malloc(quads->rows * WIDTH * sizeof(float));
    memset(p.x, 255, inputs);
    for (size_t row = 0; row < rows; row++)
        p.scale[row] = 1;
    enum espi_op op = quads->starts ? ESPI_OP_sparse_u8s8 : ESPI_OP_gemm_u8s8;
    run(&p, quads->starts ? espi_sparse_u8s8_c : espi_gemm_u8s8_c, expected);
    for (size_t i = 0; i < espi_kernel_count; i++)
        if (espi_kernels[i].op == op && espi_isa_available(espi_kernels[i].isa, espi_cpu_features()))
            compare(&p, &espi_kernels[i], expected, out);
    free(p.x);
    free(p.start);
    free(p.scale);
    free(p.bias);
    free(expected);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEADER)
        return 0;
    struct espi_packing packing;
    struct espi_quads quads;
    size_t rows = data[1] % MOST_ROWS, columns = (size_t)data[2] + 256UL * (data[0] >> 6);
    int status = data[0] & 1 ? espi_packing_dense(NULL, rows, columns, &packing)
                             : espi_packing_sparse(NULL, rows, columns, data[3], &packing);
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
