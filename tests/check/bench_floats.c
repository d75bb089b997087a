/* SPDX-License-Identifier: Apache-2.0
 * Speed of the float and bf16 products against the peak of float multiply-adds of this core (bf16: up to 2). */
#include "check.h"

#include "base/clock.h"
#include "base/size.h"
#include "kernels/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 64, SAMPLES = 51 };

struct layer {
    struct espi_float_quads quads;
    struct espi_epilogue epilogue;
    float *x;
    uint16_t *pairs;
    uint8_t *block;
    float *scale, *out;
};

static void *allocate(size_t count)
{
    void *data = aligned_alloc(64, espi_round_up(count * sizeof(float), 64));
    if (!data)
        abort();
    return data;
}

static float *normals(struct espi_random *random, size_t count)
{
    float *values = allocate(count);
    for (size_t i = 0; i < count; i++)
        values[i] = espi_random_normal(random);
    return values;
}

static void make_layer(struct layer *layer, size_t rows, size_t columns, bool bf16)
{
    struct espi_random random = {.seed = 1};
    struct espi_packing packing;
    float *weights = normals(&random, rows * columns);
    if (espi_packing_float(NULL, rows, columns, bf16, &packing))
        abort();
    layer->block = allocate(packing.bytes / sizeof(float));
    espi_pack_float(&packing, weights, layer->block);
    free(weights);
    layer->quads = (struct espi_float_quads){rows, columns, layer->block};
    layer->x = normals(&random, columns * TOKENS);
    layer->pairs = allocate(columns * TOKENS);
    layer->scale = normals(&random, rows);
    layer->out = allocate(rows * TOKENS);
    layer->epilogue = (struct espi_epilogue){
        .kind = ESPI_EPILOGUE_F32, .scale = layer->scale, .bias = layer->scale, .out = layer->out};
}

static void free_layer(struct layer *layer)
{
    free(layer->block);
    free(layer->x);
    free(layer->pairs);
    free(layer->scale);
    free(layer->out);
}

static void run(const struct layer *layer, const struct espi_kernel *kernel, espi_interleave_bf16_fn *interleave)
{
    size_t quads = espi_quad_count(layer->quads.rows);
    if (kernel->op == ESPI_OP_gemm_f32) {
        ((espi_gemm_f32_fn *)kernel->function)(&layer->quads, layer->x, TOKENS, 0, quads, &layer->epilogue);
        return;
    }
    interleave(layer->x, layer->quads.columns, TOKENS, layer->pairs);
    ((espi_gemm_bf16_fn *)kernel->function)(&layer->quads, layer->pairs, TOKENS, 0, quads, &layer->epilogue);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const struct layer *layer, const struct espi_kernel *kernel)
{
    struct espi_kernel_set set;
    espi_kernels_choose(espi_cpu_features(), kernel->isa, &set);
    double operations = 2.0 * (double)layer->quads.rows * (double)layer->quads.columns * TOKENS;
    double rates[SAMPLES], ratios[SAMPLES];
    run(layer, kernel, set.interleave_bf16);
    for (size_t i = 0; i < SAMPLES; i++) {
        double peak = measure_float_peak(), begun = espi_clock();
        run(layer, kernel, set.interleave_bf16);
        rates[i] = operations * 1e-9 / (espi_clock() - begun);
        peak += measure_float_peak();
        ratios[i] = peak > 0 ? 2 * rates[i] / peak : 0;
    }
    qsort(rates, SAMPLES, sizeof(double), ascending);
    qsort(ratios, SAMPLES, sizeof(double), ascending);
    printf("%-24s %5zu x %-5zu %5d %9.1f %8.3f\n", kernel->name, layer->quads.rows, layer->quads.columns, (int)TOKENS,
           rates[SAMPLES / 2], ratios[SAMPLES / 2]);
    fflush(stdout);
}

void bench_floats(const char *only)
{
    static const size_t shapes[][2] = {{768, 768}, {3072, 768}, {768, 3072}};
    printf("peak of float multiply-adds now: %.0f GFLOP/s\n", measure_float_peak());
    for (size_t i = 0; i < espi_kernel_count; i++) {
        const struct espi_kernel *kernel = &espi_kernels[i];
        if ((kernel->op != ESPI_OP_gemm_f32 && kernel->op != ESPI_OP_gemm_bf16) || kernel->isa == ESPI_ISA_c ||
            (only && !strstr(kernel->name, only)) || !espi_isa_available(kernel->isa, espi_cpu_features()))
            continue;
        for (size_t s = 0; s < ESPI_COUNT(shapes); s++) {
            struct layer layer;
            make_layer(&layer, shapes[s][0], shapes[s][1], kernel->op == ESPI_OP_gemm_bf16);
            measure(&layer, kernel);
            free_layer(&layer);
        }
    }
}
