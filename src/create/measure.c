/* SPDX-License-Identifier: Apache-2.0 */
#include "create/measure.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/size.h"
#include "kernels/pack.h"

#include <stdlib.h>

enum { ROUNDS = 9 }; // of each product, by turns; the fastest counts

/* One layer both ways, and the panels it works on. */
struct trial {
    struct espi_kernel_set kernels;
    struct espi_quads dense, sparse;
    uint8_t *blocks[2];   // packed weights
    uint8_t *panel;       // (columns, 64)
    uint8_t *interleaved; // (columns rounded up to 4, 64)
    float *rows;          // (3, rows rounded up to 4): start, scale, bias, all zero
    uint8_t *out;         // (rows, 64)
};

static int pack(esp_context *ctx, const int8_t *weights, const struct espi_packing *packing, uint8_t **block,
                struct espi_quads *quads)
{
    *block = espi_calloc_aligned(ctx, packing->bytes, 1);
    if (!*block)
        return ESP_ERR_MEMORY;
    espi_pack(packing, weights, *block);
    return espi_quads_view(ctx, packing, *block, packing->bytes, quads);
}

static int prepare(esp_context *ctx, const int8_t *weights, size_t rows, size_t columns, struct trial *trial)
{
    struct espi_packing dense, sparse;
    int status = espi_kernels_choose_default(ctx, &trial->kernels);
    if (!status)
        status = espi_packing_dense(ctx, rows, columns, &dense);
    if (!status)
        status = espi_packing_sparse(ctx, rows, columns, espi_count_groups(weights, rows, columns), &sparse);
    if (!status)
        status = pack(ctx, weights, &dense, &trial->blocks[0], &trial->dense);
    if (!status)
        status = pack(ctx, weights, &sparse, &trial->blocks[1], &trial->sparse);
    if (status)
        return status;
    trial->panel = espi_calloc_aligned(ctx, columns, ESPI_PANEL_TOKENS);
    trial->interleaved = espi_calloc_aligned(ctx, espi_round_up(columns, 4), ESPI_PANEL_TOKENS);
    trial->rows = espi_calloc_aligned(ctx, espi_round_up(rows, ESPI_QUAD), 3 * sizeof *trial->rows);
    trial->out = espi_calloc_aligned(ctx, rows, ESPI_PANEL_TOKENS);
    return trial->panel && trial->interleaved && trial->rows && trial->out ? ESP_OK : ESP_ERR_MEMORY;
}

/* Seconds of one product with bytes as its result. */
static double run(const struct trial *trial, bool sparse)
{
    size_t rows = trial->dense.rows, padded = espi_round_up(rows, ESPI_QUAD), quads = espi_quad_count(rows);
    struct espi_epilogue epilogue = {.kind = ESPI_EPILOGUE_U8,
                                     .start = (const int32_t *)(const void *)trial->rows,
                                     .scale = trial->rows + padded,
                                     .bias = trial->rows + 2 * padded,
                                     .out = trial->out};
    double begin = espi_clock();
    if (sparse) {
        trial->kernels.sparse_u8s8(&trial->sparse, trial->panel, ESPI_PANEL_TOKENS, 0, quads, &epilogue);
    } else {
        trial->kernels.interleave_u8(trial->panel, trial->dense.columns, ESPI_PANEL_TOKENS, trial->interleaved);
        trial->kernels.gemm_u8s8(&trial->dense, trial->interleaved, ESPI_PANEL_TOKENS, 0, quads, &epilogue);
    }
    return espi_clock() - begin;
}

int espi_measure_sparse(esp_context *ctx, const int8_t *weights, size_t rows, size_t columns, double *gain)
{
    struct trial trial = {0};
    double best[2] = {1e9, 1e9}; // dense, sparse
    int status = prepare(ctx, weights, rows, columns, &trial);
    for (size_t i = 0; !status && i < 2 * ROUNDS; i++) {
        double seconds = run(&trial, i % 2);
        best[i % 2] = seconds < best[i % 2] ? seconds : best[i % 2];
    }
    *gain = best[0] / best[1];
    free(trial.blocks[0]);
    free(trial.blocks[1]);
    free(trial.panel);
    free(trial.interleaved);
    free(trial.rows);
    free(trial.out);
    return status;
}
