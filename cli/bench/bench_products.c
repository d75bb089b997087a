/* SPDX-License-Identifier: Apache-2.0
 * The products of DistilBERT-base: its three shapes of linear layers, 16 to 1024 tokens, int8 dense and 4x1 sparse, fp32,
 * bf16; with the epilogues they have in a model. Interleaving the input counts where the product needs it. */
#include "bench/bench_kernels.h"

#include "base/random.h"
#include "base/size.h"
#include "kernels/activation.h"
#include "kernels/pack.h"

#include <math.h>

struct layer {
    const struct espi_kernel *kernel;
    struct espi_kernel_set set; // of the kernel's ISA, for what comes before the product
    size_t rows, columns, tokens, panels, width;
    double density;
    struct espi_quads quads;
    struct espi_float_quads floats;
    struct espi_activation_table activation;
    struct espi_epilogue epilogue;
    uint8_t *x, *out; // (panels, columns, width), (panels, rows, width) of the op's types
    void *interleaved;
};

static size_t input_bytes(const struct layer *layer)
{
    bool floats = layer->kernel->op == ESPI_OP_gemm_f32 || layer->kernel->op == ESPI_OP_gemm_bf16;
    return floats ? sizeof(float) : 1;
}

/* Scattered numbers, at no cost. */
static uint32_t scatter(size_t i)
{
    return (uint32_t)i * 2654435761u;
}

/* As quantization leaves a row: normally distributed, the largest of a thousand at 127. AVX2's products depend on it. */
enum { DRAWN = 4096 };
static void draw_weights(int8_t weights[DRAWN])
{
    struct espi_random random = {.seed = 2};
    for (size_t i = 0; i < DRAWN; i++) {
        float weight = 39 * espi_random_normal(&random);
        weights[i] = (int8_t)(fminf(fmaxf(weight, -126), 126) + (weight < 0 ? -1 : 1));
    }
}

static void make_int8(struct cli_kernels *bench, struct layer *layer)
{
    size_t rows = layer->rows, columns = layer->columns;
    struct espi_random random = {.seed = 1};
    int8_t drawn[DRAWN];
    draw_weights(drawn);
    int8_t *weights = cli_kernels_alloc(bench, rows, columns);
    for (size_t i = 0; weights && i < rows / 4 * columns; i++)
        if ((double)espi_random_uniform(&random) < layer->density)
            for (size_t row = i / columns * 4; row < i / columns * 4 + 4; row++)
                weights[row * columns + i % columns] = drawn[scatter(4 * i + row) >> 20];
    if (bench->status)
        return;
    struct espi_packing packing;
    if (layer->kernel->op == ESPI_OP_sparse_u8s8)
        bench->status =
            espi_packing_sparse(bench->ctx, rows, columns, espi_count_groups(weights, rows, columns), &packing);
    else
        bench->status = espi_packing_dense(bench->ctx, rows, columns, &packing);
    uint8_t *block = bench->status ? NULL : cli_kernels_alloc(bench, packing.bytes, 1);
    if (!block)
        return;
    espi_pack(&packing, weights, block);
    bench->status = espi_quads_view(bench->ctx, &packing, block, packing.bytes, &layer->quads);
    size_t memo_bytes = bench->status ? 0 : espi_kernel_memo(layer->kernel, &layer->quads, NULL);
    void *memo = memo_bytes ? cli_kernels_alloc(bench, memo_bytes, 1) : NULL;
    if (memo)
        espi_kernel_memo(layer->kernel, &layer->quads, memo);
    layer->quads.memo = memo;
    layer->x = cli_kernels_alloc(bench, layer->panels * columns, layer->width);
    for (size_t i = 0; layer->x && i < layer->panels * columns * layer->width; i++)
        layer->x[i] = (uint8_t)(scatter(i) >> 24);
}

static void make_floats(struct cli_kernels *bench, struct layer *layer)
{
    size_t rows = layer->rows, columns = layer->columns;
    struct espi_packing packing;
    float *weights = cli_kernels_normals(bench, rows * columns);
    layer->x = (uint8_t *)cli_kernels_normals(bench, layer->panels * columns * layer->width);
    if (bench->status || (bench->status = espi_packing_float(bench->ctx, rows, columns,
                                                             layer->kernel->op == ESPI_OP_gemm_bf16, &packing)))
        return;
    uint8_t *block = cli_kernels_alloc(bench, packing.bytes, 1);
    if (block)
        espi_pack_float(&packing, weights, block);
    layer->floats = (struct espi_float_quads){rows, columns, block};
}

static void make_layer(struct cli_kernels *bench, struct layer *layer, enum espi_epilogue_kind kind)
{
    espi_kernels_choose(bench->set.features, layer->kernel->isa, &layer->set);
    layer->width = espi_panel_width(layer->tokens);
    layer->panels = (layer->tokens + ESPI_PANEL_TOKENS - 1) / ESPI_PANEL_TOKENS;
    if (input_bytes(layer) == 1)
        make_int8(bench, layer);
    else
        make_floats(bench, layer);
    float *scale = cli_kernels_alloc(bench, layer->rows, sizeof *scale);
    float *bias = cli_kernels_alloc(bench, layer->rows, sizeof *bias);
    int32_t *start = cli_kernels_alloc(bench, layer->rows, sizeof *start);
    layer->interleaved = cli_kernels_alloc(bench, layer->columns * layer->width, sizeof(float));
    layer->out = cli_kernels_alloc(bench, layer->panels * layer->rows * layer->width, sizeof(float));
    if (bench->status)
        return;
    for (size_t row = 0; row < layer->rows; row++) {
        scale[row] = 1e-4f;
        bias[row] = 100;
    }
    bench->status = espi_activation_gelu(bench->ctx, ESPI_CURVE_GELU, 0.03f, 6, &layer->activation);
    layer->epilogue = (struct espi_epilogue){.kind = kind,
                                             .start = start,
                                             .scale = scale,
                                             .bias = bias,
                                             .activation = &layer->activation,
                                             .curve = espi_activation_curve(ESPI_CURVE_GELU)};
}

static void run_panel(const struct layer *layer, const void *x, const struct espi_epilogue *epilogue)
{
    size_t quads = espi_quad_count(layer->rows), columns = layer->columns, width = layer->width;
    espi_kernel_fn *function = layer->kernel->function;
    switch (layer->kernel->op) {
    case ESPI_OP_sparse_u8s8:
        ((espi_sparse_u8s8_fn *)function)(&layer->quads, x, width, 0, quads, epilogue);
        break;
    case ESPI_OP_gemm_u8s8:
        layer->set.interleave_u8(x, columns, width, layer->interleaved);
        ((espi_gemm_u8s8_fn *)function)(&layer->quads, layer->interleaved, width, 0, quads, epilogue);
        break;
    case ESPI_OP_gemm_bf16:
        layer->set.interleave_bf16(x, columns, width, layer->interleaved);
        ((espi_gemm_bf16_fn *)function)(&layer->floats, layer->interleaved, width, 0, quads, epilogue);
        break;
    default:
        ((espi_gemm_f32_fn *)function)(&layer->floats, x, width, 0, quads, epilogue);
        break;
    }
}

static void run_layer(void *argument)
{
    const struct layer *layer = argument;
    size_t element = layer->epilogue.kind >= ESPI_EPILOGUE_F32 ? sizeof(float) : 1;
    for (size_t panel = 0; panel < layer->panels; panel++) {
        struct espi_epilogue epilogue = layer->epilogue;
        epilogue.out = layer->out + panel * layer->rows * layer->width * element;
        run_panel(layer, layer->x + panel * layer->columns * layer->width * input_bytes(layer), &epilogue);
    }
}

static void time_layer(struct cli_kernels *bench, struct layer layer, enum espi_epilogue_kind kind)
{
    static const char *const kinds[] = {"u8", "u8 gelu", "f32", "f32 add", "f32 gelu"};
    static const enum espi_peak_kind peaks[ESPI_OP_COUNT] = {
        [ESPI_OP_gemm_u8s8] = ESPI_PEAK_INT8,
        [ESPI_OP_sparse_u8s8] = ESPI_PEAK_INT8,
        [ESPI_OP_gemm_f32] = ESPI_PEAK_F32,
        [ESPI_OP_gemm_bf16] = ESPI_PEAK_BF16,
    };
    make_layer(bench, &layer, kind);
    struct cli_kernel_case timed = {.kernel = layer.kernel,
                                    .what = kinds[kind],
                                    .rows = layer.rows,
                                    .columns = layer.columns,
                                    .tokens = layer.tokens,
                                    .kept = layer.density,
                                    .operations = 2.0 * (double)(layer.rows * layer.columns * layer.tokens),
                                    .peak = peaks[layer.kernel->op],
                                    .run = run_layer,
                                    .argument = &layer};
    cli_kernels_time(bench, &timed);
    espi_arena_clear(&bench->memory);
}

/* The epilogues of a model: bytes (or floats) behind the first two shapes, GELU behind the second, the residual stream
 * behind the first and the third. */
static void time_shapes(struct cli_kernels *bench, const struct espi_kernel *kernel, double density)
{
    static const size_t shapes[][2] = {{768, 768}, {3072, 768}, {768, 3072}};
    static const size_t tokens[] = {16, 32, 64, 128, 384, 1024};
    bool floats = kernel->op == ESPI_OP_gemm_f32 || kernel->op == ESPI_OP_gemm_bf16;
    for (size_t s = 0; s < ESPI_COUNT(shapes); s++)
        for (size_t t = 0; t < ESPI_COUNT(tokens); t++) {
            struct layer layer = {.kernel = kernel,
                                  .rows = shapes[s][0],
                                  .columns = shapes[s][1],
                                  .tokens = tokens[t],
                                  .density = density};
            time_layer(bench, layer, floats ? ESPI_EPILOGUE_F32 : ESPI_EPILOGUE_U8);
            if (s != 1)
                time_layer(bench, layer, ESPI_EPILOGUE_F32_ADD);
            else
                time_layer(bench, layer, floats ? ESPI_EPILOGUE_F32_CURVE : ESPI_EPILOGUE_U8_TABLE);
        }
}

void cli_bench_products(struct cli_kernels *bench)
{
    for (size_t i = 0; i < espi_kernel_count; i++) {
        const struct espi_kernel *kernel = &espi_kernels[i];
        if (!cli_kernels_wants(bench, kernel))
            continue;
        if (kernel->op == ESPI_OP_gemm_u8s8 || kernel->op == ESPI_OP_gemm_f32 || kernel->op == ESPI_OP_gemm_bf16)
            time_shapes(bench, kernel, 1);
        if (kernel->op == ESPI_OP_sparse_u8s8) {
            time_shapes(bench, kernel, 0.2);
            time_shapes(bench, kernel, 0.1);
        }
    }
}
