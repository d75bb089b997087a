/* SPDX-License-Identifier: Apache-2.0
 * Speed of the products against the measured peak of this core. The peak is measured again before every sample, and a
 * sample is quoted as a ratio to it: the machine's slow phases touch both. "Equivalent" counts the operations of the
 * dense product, so that sparse products show their gain. */
#include "check.h"

#include "base/clock.h"
#include "base/size.h"
#include "kernels/activation.h"
#include "kernels/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 101 };
static const double SAMPLE_SECONDS = 4e-4;

struct shape {
    size_t rows, columns, tokens;
    double density;
    enum espi_epilogue_kind kind;
};

/* A layer with its inputs and outputs; all arrays from aligned_alloc. */
struct layer {
    struct shape shape;
    size_t panels, width;
    struct espi_quads quads;
    struct espi_activation_table activation;
    struct espi_epilogue epilogue;
    uint8_t *block, *x, *interleaved, *out;
    int32_t *start;
    float *scale, *bias;
    espi_interleave_u8_fn *interleave; // of the same ISA, dense only
    espi_gemm_u8s8_fn *product;
};

static void *allocate(size_t bytes)
{
    void *data = aligned_alloc(64, espi_round_up(bytes + 1, 64));
    if (!data)
        abort();
    memset(data, 0, espi_round_up(bytes + 1, 64));
    return data;
}

static void make_weights(struct layer *layer, struct espi_random *random)
{
    size_t rows = layer->shape.rows, columns = layer->shape.columns;
    int8_t *weights = allocate(rows * columns);
    for (size_t quad = 0; quad < espi_quad_count(rows); quad++)
        for (size_t column = 0; column < columns; column++)
            if ((double)espi_random_uniform(random) < layer->shape.density)
                for (size_t row = quad * 4; row < rows && row < quad * 4 + 4; row++)
                    weights[row * columns + column] = (int8_t)(espi_random_u32(random) | 1);
    struct espi_packing packing;
    int status = layer->shape.density < 1
                     ? espi_packing_sparse(NULL, rows, columns, espi_count_groups(weights, rows, columns), &packing)
                     : espi_packing_dense(NULL, rows, columns, &packing);
    if (status)
        abort();
    layer->block = allocate(packing.bytes);
    espi_pack(&packing, weights, layer->block);
    if (espi_quads_view(NULL, &packing, layer->block, packing.bytes, &layer->quads))
        abort();
    free(weights);
}

static void make_layer(struct layer *layer, const struct shape *shape)
{
    struct espi_random random = {.seed = 1};
    memset(layer, 0, sizeof(*layer));
    layer->shape = *shape;
    layer->width = espi_panel_width(shape->tokens);
    layer->panels = (shape->tokens + 63) / 64;
    make_weights(layer, &random);
    size_t rows = espi_round_up(shape->rows, 4), columns = espi_round_up(shape->columns, 4);
    layer->x = allocate(layer->panels * columns * layer->width);
    layer->interleaved = allocate(columns * layer->width);
    layer->out = allocate(layer->panels * rows * layer->width * sizeof(float));
    layer->start = allocate(rows * sizeof(int32_t));
    layer->scale = allocate(rows * sizeof(float));
    layer->bias = allocate(rows * sizeof(float));
    for (size_t i = 0; i < layer->panels * columns * layer->width; i++)
        layer->x[i] = (uint8_t)espi_random_u32(&random);
    for (size_t row = 0; row < rows; row++) {
        layer->scale[row] = 1e-4f;
        layer->bias[row] = 100;
    }
    if (espi_activation_gelu(NULL, ESPI_CURVE_GELU, 0.03f, 6, &layer->activation))
        abort();
    layer->epilogue = (struct espi_epilogue){.kind = shape->kind,
                                             .start = layer->start,
                                             .scale = layer->scale,
                                             .bias = layer->bias,
                                             .activation = &layer->activation};
}

static void free_layer(struct layer *layer)
{
    free(layer->block);
    free(layer->x);
    free(layer->interleaved);
    free(layer->out);
    free(layer->start);
    free(layer->scale);
    free(layer->bias);
}

static void run_layer(struct layer *layer)
{
    size_t quads = espi_quad_count(layer->shape.rows), element = layer->shape.kind >= ESPI_EPILOGUE_F32 ? 4 : 1;
    for (size_t panel = 0; panel < layer->panels; panel++) {
        const uint8_t *x = layer->x + panel * layer->shape.columns * layer->width;
        struct espi_epilogue epilogue = layer->epilogue;
        epilogue.out = layer->out + panel * layer->shape.rows * layer->width * element;
        if (!layer->quads.starts) {
            layer->interleave(x, layer->shape.columns, layer->width, layer->interleaved);
            x = layer->interleaved;
        }
        layer->product(&layer->quads, x, layer->width, 0, quads, &epilogue);
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Prints a line: median rate, and its ratio to the peak. */
static void measure(struct layer *layer, const char *name)
{
    const struct shape *shape = &layer->shape;
    double operations = 2.0 * (double)shape->rows * (double)shape->columns * (double)shape->tokens;
    run_layer(layer);
    double once = espi_clock();
    run_layer(layer);
    once = espi_clock() - once;
    size_t repeats = once < SAMPLE_SECONDS ? (size_t)(SAMPLE_SECONDS / once) + 1 : 1;
    double rates[SAMPLES], ratios[SAMPLES];
    for (size_t i = 0; i < SAMPLES; i++) {
        const char *ignored;
        double peak = measure_peak(&ignored);
        double begun = espi_clock();
        for (size_t r = 0; r < repeats; r++)
            run_layer(layer);
        rates[i] = operations * (double)repeats * 1e-9 / (espi_clock() - begun);
        double after = measure_peak(&ignored);
        ratios[i] = peak > 0 ? 2 * rates[i] / (peak + after) : 0;
    }
    qsort(rates, SAMPLES, sizeof(double), ascending);
    qsort(ratios, SAMPLES, sizeof(double), ascending);
    static const char *const kinds[] = {"u8", "gelu", "f32", "add"};
    printf("%-24s %5zu x %-5zu %5zu %5.2f %-5s %9.1f %8.3f\n", name, shape->rows, shape->columns, shape->tokens,
           shape->density, kinds[shape->kind], rates[SAMPLES / 2], ratios[SAMPLES / 2]);
    fflush(stdout);
}

static void bench_shape(const struct shape *shape, const char *only)
{
    struct layer layer;
    make_layer(&layer, shape);
    enum espi_op op = layer.quads.starts ? ESPI_OP_sparse_u8s8 : ESPI_OP_gemm_u8s8;
    for (size_t i = 0; i < espi_kernel_count; i++) {
        const struct espi_kernel *kernel = &espi_kernels[i];
        if (kernel->op != op || kernel->isa == ESPI_ISA_c || (only && !strstr(kernel->name, only)) ||
            !espi_isa_available(kernel->isa, espi_cpu_features()))
            continue;
        struct espi_kernel_set set;
        espi_kernels_choose(espi_cpu_features(), kernel->isa, &set);
        layer.interleave = set.interleave_u8;
        layer.product = (espi_gemm_u8s8_fn *)kernel->function;
        measure(&layer, kernel->name);
    }
    free_layer(&layer);
}

int bench(const char *only)
{
    static const size_t layers[][2] = {{768, 768}, {3072, 768}, {768, 3072}};
    static const size_t tokens[] = {16, 32, 64, 128, 384, 1024};
    static const double densities[] = {1, 0.2, 0.1};
    const char *name;
    double peak = measure_peak(&name);
    printf("peak of this core now: %.0f GOP/s (%s)\n", peak, name);
    printf("%-24s %13s %5s %5s %-5s %9s %8s\n", "version", "rows x columns", "tokens", "kept", "end", "GOP/s eq.",
           "of peak");
    for (size_t d = 0; d < ESPI_COUNT(densities); d++)
        for (size_t l = 0; l < ESPI_COUNT(layers); l++)
            for (size_t t = 0; t < ESPI_COUNT(tokens); t++) {
                struct shape shape = {layers[l][0], layers[l][1], tokens[t], densities[d], ESPI_EPILOGUE_U8};
                bench_shape(&shape, only);
                if (l == 1)
                    shape.kind = ESPI_EPILOGUE_U8_TABLE;
                else
                    shape.kind = ESPI_EPILOGUE_F32_ADD;
                bench_shape(&shape, only);
            }
    bench_floats(only);
    bench_panels(only);
    return 0;
}
