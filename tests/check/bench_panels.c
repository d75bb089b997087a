/* SPDX-License-Identifier: Apache-2.0
 * Time of the ops around the products for one layer: 768 features, 12 heads of 64, on all tokens of one sequence. For
 * attention also the ratio of its two products' rate to the peak of this core, measured before and after every sample. */
#include "check.h"

#include "base/clock.h"
#include "base/size.h"
#include "kernels/attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HIDDEN = 768, HEADS = 12, HEAD_SIZE = HIDDEN / HEADS, VOCABULARY = 30522, SAMPLES = 15 };
static const double SAMPLE_SECONDS = 2e-3;

/* Everything one layer's ops read and write; all arrays from aligned_alloc. */
struct layer {
    struct espi_kernel_set set;
    size_t tokens;
    float *x, *y, *qkv_floats; // panels of HIDDEN, HIDDEN, 3 * HIDDEN rows
    uint8_t *bytes, *qkv;
    float *gain, *bias, *scale, *token_scale;
    int8_t *words;
    float *word_scale, *positions;
    uint32_t *ids, *places;
    void *head_memory, *scratch;
    struct espi_packed_head head;
};

static void *allocate(size_t bytes)
{
    void *data = aligned_alloc(64, espi_round_up(bytes + 1, 64));
    if (!data)
        abort();
    memset(data, 0, espi_round_up(bytes + 1, 64));
    return data;
}

static float *normals(struct espi_random *random, size_t count)
{
    float *values = allocate(count * sizeof(float));
    for (size_t i = 0; i < count; i++)
        values[i] = espi_random_normal(random);
    return values;
}

static void make_layer(struct layer *layer, size_t tokens)
{
    struct espi_random random = {.seed = 1};
    size_t lanes = espi_round_up(tokens, 64), head_bytes;
    memset(layer, 0, sizeof(*layer));
    layer->tokens = tokens;
    layer->x = normals(&random, lanes * HIDDEN);
    layer->y = allocate(lanes * HIDDEN * sizeof(float));
    layer->qkv_floats = normals(&random, lanes * 3 * HIDDEN);
    layer->bytes = allocate(lanes * HIDDEN);
    layer->qkv = allocate(lanes * 3 * HIDDEN);
    for (size_t i = 0; i < lanes * 3 * HIDDEN; i++)
        layer->qkv[i] = (uint8_t)(128 + 30 * layer->qkv_floats[i]);
    layer->gain = normals(&random, HIDDEN);
    layer->bias = normals(&random, HIDDEN);
    layer->scale = normals(&random, HIDDEN);
    layer->token_scale = allocate(64 * sizeof(float));
    layer->words = allocate((size_t)VOCABULARY * HIDDEN);
    layer->word_scale = normals(&random, VOCABULARY);
    layer->positions = normals(&random, tokens * HIDDEN);
    layer->ids = allocate(tokens * sizeof(uint32_t));
    layer->places = allocate(tokens * sizeof(uint32_t));
    for (size_t i = 0; i < tokens; i++) {
        layer->ids[i] = (uint32_t)espi_random_below(&random, VOCABULARY);
        layer->places[i] = (uint32_t)i;
    }
    if (espi_head_bytes(NULL, tokens, HEAD_SIZE, &head_bytes))
        abort();
    layer->head_memory = allocate(head_bytes);
    layer->scratch = allocate(espi_attention_scratch(tokens));
    espi_head_place(&layer->head, tokens, HEAD_SIZE, layer->head_memory);
}

static void free_layer(struct layer *layer)
{
    void *all[] = {layer->x,          layer->y,         layer->qkv_floats,  layer->bytes,  layer->qkv, layer->gain,
                   layer->bias,       layer->scale,     layer->token_scale, layer->words,  layer->ids, layer->places,
                   layer->word_scale, layer->positions, layer->head_memory, layer->scratch};
    for (size_t i = 0; i < ESPI_COUNT(all); i++)
        free(all[i]);
}

/* ---- what is timed: all panels, or all heads ------------------------------------------------------------------------- */

static size_t width_at(const struct layer *layer, size_t token)
{
    size_t left = layer->tokens - token;
    return espi_panel_width(left < 64 ? left : 64);
}

static void norm_panels(struct layer *layer, bool per_token)
{
    struct espi_layer_norm norm = {layer->gain, layer->bias, 1e-12f};
    for (size_t token = 0; token < layer->tokens; token += 64) {
        struct espi_quantize quantize = {layer->scale, 128, per_token ? layer->token_scale : NULL,
                                         layer->bytes + token * HIDDEN};
        layer->set.layer_norm(layer->x + token * HIDDEN, HIDDEN, width_at(layer, token), &norm,
                              layer->x + token * HIDDEN, &quantize); // in place, as a plan does it
    }
}

static void run_norm_fixed(struct layer *layer)
{
    norm_panels(layer, false);
}

static void run_norm_per_token(struct layer *layer)
{
    norm_panels(layer, true);
}

static void quantize_panels(struct layer *layer, bool per_token)
{
    for (size_t token = 0; token < layer->tokens; token += 64) {
        struct espi_quantize quantize = {layer->scale, 128, per_token ? layer->token_scale : NULL,
                                         layer->bytes + token * HIDDEN};
        layer->set.quantize_u8(layer->x + token * HIDDEN, HIDDEN, width_at(layer, token), &quantize);
    }
}

static void run_quantize_fixed(struct layer *layer)
{
    quantize_panels(layer, false);
}

static void run_quantize_per_token(struct layer *layer)
{
    quantize_panels(layer, true);
}

static void run_embed(struct layer *layer)
{
    for (size_t token = 0; token < layer->tokens; token += 64) {
        size_t left = layer->tokens - token < 64 ? layer->tokens - token : 64;
        struct espi_table tables[] = {
            {ESPI_TABLE_S8, layer->words, layer->word_scale, layer->ids + token},
            {ESPI_TABLE_F32, layer->positions, NULL, layer->places + token},
        };
        layer->set.embed(tables, ESPI_COUNT(tables), HIDDEN, left, width_at(layer, token), layer->y + token * HIDDEN);
    }
}

static void run_rows(struct layer *layer)
{
    for (size_t token = 0; token < layer->tokens; token += 64) {
        size_t left = layer->tokens - token < 64 ? layer->tokens - token : 64;
        layer->set.panel_to_rows(layer->x + token * HIDDEN, HIDDEN, width_at(layer, token), 0, left,
                                 layer->y + token * HIDDEN, HIDDEN);
    }
}

static struct espi_span span_of(const struct layer *layer, size_t rows)
{
    return (struct espi_span){.rows = rows, .tokens = layer->tokens, .count = layer->tokens};
}

static void pack(struct layer *layer, size_t head)
{
    struct espi_span span = span_of(layer, 3 * HIDDEN);
    const size_t row[3] = {head * HEAD_SIZE, HIDDEN + head * HEAD_SIZE, 2 * HIDDEN + head * HEAD_SIZE};
    layer->set.attention_pack(layer->qkv, &span, row, &layer->head);
}

static void run_pack(struct layer *layer)
{
    for (size_t head = 0; head < HEADS; head++)
        pack(layer, head);
}

static void run_pack_f32(struct layer *layer)
{
    struct espi_span span = span_of(layer, 3 * HIDDEN);
    for (size_t head = 0; head < HEADS; head++) {
        const size_t row[3] = {head * HEAD_SIZE, HIDDEN + head * HEAD_SIZE, 2 * HIDDEN + head * HEAD_SIZE};
        layer->set.attention_pack_f32(layer->qkv_floats, &span, row, &layer->head);
    }
}

static void run_attention(struct layer *layer)
{
    for (size_t head = 0; head < HEADS; head++) {
        struct espi_attention attention = {.kind = ESPI_EPILOGUE_U8,
                                           .scale = layer->gain,
                                           .bias = layer->bias,
                                           .span = span_of(layer, HIDDEN),
                                           .row = head * HEAD_SIZE,
                                           .out = layer->bytes};
        espi_attention_scores(&attention, HEAD_SIZE, 1 / (30.0f * 30.0f * 8));
        pack(layer, head);
        layer->set.attention(&layer->head, 0, espi_query_blocks(layer->tokens), &attention, layer->scratch);
    }
}

/* ---- timing ------------------------------------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(struct layer *layer, void (*run)(struct layer *), const char *name, const char *what,
                    double operations)
{
    run(layer);
    double once = espi_clock();
    run(layer);
    once = espi_clock() - once;
    size_t repeats = once < SAMPLE_SECONDS ? (size_t)(SAMPLE_SECONDS / once) + 1 : 1;
    double times[SAMPLES], ratios[SAMPLES];
    for (size_t i = 0; i < SAMPLES; i++) {
        const char *ignored;
        double peak = measure_peak(&ignored), begun = espi_clock();
        for (size_t r = 0; r < repeats; r++)
            run(layer);
        times[i] = (espi_clock() - begun) / (double)repeats;
        peak = (peak + measure_peak(&ignored)) / 2;
        ratios[i] = peak > 0 ? operations * 1e-9 / times[i] / peak : 0;
    }
    qsort(times, SAMPLES, sizeof(double), ascending);
    qsort(ratios, SAMPLES, sizeof(double), ascending);
    printf("%-30s %-14s %5zu %9.1f", name, what, layer->tokens, times[SAMPLES / 2] * 1e6);
    if (operations > 0)
        printf(" %9.1f %8.3f", operations * 1e-9 / times[SAMPLES / 2], ratios[SAMPLES / 2]);
    printf("\n");
    fflush(stdout);
}

static const struct {
    enum espi_op op;
    const char *what;
    void (*run)(struct layer *layer);
} timed[] = {
    {ESPI_OP_embed, "s8 + f32", run_embed},
    {ESPI_OP_layer_norm, "fixed", run_norm_fixed},
    {ESPI_OP_layer_norm, "per token", run_norm_per_token},
    {ESPI_OP_quantize_u8, "fixed", run_quantize_fixed},
    {ESPI_OP_quantize_u8, "per token", run_quantize_per_token},
    {ESPI_OP_panel_to_rows, "", run_rows},
    {ESPI_OP_attention_pack, "12 heads", run_pack},
    {ESPI_OP_attention_pack_f32, "12 heads", run_pack_f32},
    {ESPI_OP_attention, "12, with pack", run_attention},
};

static void bench_version(const struct espi_kernel *kernel, const char *only)
{
    static const size_t tokens[] = {16, 32, 64, 128, 256, 384, 512, 1024};
    for (size_t i = 0; i < ESPI_COUNT(timed); i++)
        for (size_t t = 0; t < ESPI_COUNT(tokens) && timed[i].op == kernel->op; t++) {
            if (only && !strstr(kernel->name, only))
                continue;
            struct layer layer;
            make_layer(&layer, tokens[t]);
            espi_kernels_choose(espi_cpu_features(), kernel->isa, &layer.set);
            bool products = kernel->op == ESPI_OP_attention;
            measure(&layer, timed[i].run, kernel->name, timed[i].what,
                    products ? 4.0 * (double)tokens[t] * (double)tokens[t] * HIDDEN : 0);
            free_layer(&layer);
        }
}

void bench_panels(const char *only)
{
    printf("\n%-30s %-14s %5s %9s %9s %8s\n", "version", "", "tokens", "us", "GOP/s", "of peak");
    for (size_t i = 0; i < espi_kernel_count; i++)
        if (espi_kernels[i].isa != ESPI_ISA_c && espi_isa_available(espi_kernels[i].isa, espi_cpu_features()))
            bench_version(&espi_kernels[i], only);
}
