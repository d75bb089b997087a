/* SPDX-License-Identifier: Apache-2.0
 * The ops around the products for one layer of DistilBERT-base: 768 features, 12 heads of 64, on all tokens of one
 * sequence. */
#include "bench/bench_kernels.h"

#include "base/random.h"
#include "base/size.h"
#include "kernels/attention.h"

enum { HIDDEN = 768, HEADS = 12, HEAD_SIZE = HIDDEN / HEADS, WORDS = 2048 };

/* Everything one layer's ops read and write. */
struct layer {
    struct espi_kernel_set set; // of the version's ISA
    size_t tokens;
    float *x, *y, *qkv_floats; // panels of HIDDEN, HIDDEN, 3 * HIDDEN rows
    uint8_t *bytes, *qkv;
    void *interleaved;
    float *gain, *bias, *scale, *token_scale;
    uint16_t *words; // (WORDS, HIDDEN) bf16
    uint32_t *ids, *places;
    void *head_memory, *scratch;
    struct espi_packed_head head;
};

static void fill_layer(struct layer *layer)
{
    struct espi_random random = {.seed = 2};
    for (size_t i = 0; i < espi_round_up(layer->tokens, 64) * 3 * HIDDEN; i++)
        layer->qkv[i] = (uint8_t)(128 + 30 * layer->qkv_floats[i]);
    for (size_t i = 0; i < (size_t)WORDS * HIDDEN; i++)
        layer->words[i] = 0x3f80; // 1
    for (size_t i = 0; i < layer->tokens; i++) {
        layer->ids[i] = (uint32_t)espi_random_below(&random, WORDS);
        layer->places[i] = (uint32_t)i;
    }
}

static void make_layer(struct cli_kernels *bench, struct layer *layer, size_t tokens)
{
    size_t lanes = espi_round_up(tokens, 64), head_bytes = 0;
    layer->tokens = tokens;
    layer->x = cli_kernels_normals(bench, lanes * HIDDEN);
    layer->y = cli_kernels_alloc(bench, lanes * HIDDEN, sizeof(float));
    layer->qkv_floats = cli_kernels_normals(bench, lanes * 3 * HIDDEN);
    layer->bytes = cli_kernels_alloc(bench, lanes, HIDDEN);
    layer->qkv = cli_kernels_alloc(bench, lanes, 3 * HIDDEN);
    layer->interleaved = cli_kernels_alloc(bench, lanes * HIDDEN, sizeof(uint16_t));
    layer->gain = cli_kernels_normals(bench, HIDDEN);
    layer->bias = cli_kernels_normals(bench, HIDDEN);
    layer->scale = cli_kernels_normals(bench, HIDDEN);
    layer->token_scale = cli_kernels_alloc(bench, 64, sizeof(float));
    layer->words = cli_kernels_alloc(bench, (size_t)WORDS * HIDDEN, sizeof(uint16_t));
    layer->ids = cli_kernels_alloc(bench, tokens, sizeof(uint32_t));
    layer->places = cli_kernels_alloc(bench, tokens, sizeof(uint32_t));
    if (!bench->status)
        bench->status = espi_head_bytes(bench->ctx, tokens, HEAD_SIZE, &head_bytes);
    layer->head_memory = cli_kernels_alloc(bench, head_bytes, 1);
    layer->scratch = cli_kernels_alloc(bench, espi_attention_scratch(tokens, HEAD_SIZE), 1);
    if (bench->status)
        return;
    espi_head_place(&layer->head, tokens, HEAD_SIZE, layer->head_memory);
    fill_layer(layer);
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

static void run_norm_fixed(void *argument)
{
    norm_panels(argument, false);
}

static void run_norm_per_token(void *argument)
{
    norm_panels(argument, true);
}

static void quantize_panels(struct layer *layer, bool per_token)
{
    for (size_t token = 0; token < layer->tokens; token += 64) {
        struct espi_quantize quantize = {layer->scale, 128, per_token ? layer->token_scale : NULL,
                                         layer->bytes + token * HIDDEN};
        layer->set.quantize_u8(layer->x + token * HIDDEN, HIDDEN, width_at(layer, token), &quantize);
    }
}

static void run_quantize_fixed(void *argument)
{
    quantize_panels(argument, false);
}

static void run_quantize_per_token(void *argument)
{
    quantize_panels(argument, true);
}

static void run_interleave_u8(void *argument)
{
    struct layer *layer = argument;
    for (size_t token = 0; token < layer->tokens; token += 64)
        layer->set.interleave_u8(layer->qkv + token * HIDDEN, HIDDEN, width_at(layer, token), layer->interleaved);
}

static void run_interleave_bf16(void *argument)
{
    struct layer *layer = argument;
    for (size_t token = 0; token < layer->tokens; token += 64)
        layer->set.interleave_bf16(layer->x + token * HIDDEN, HIDDEN, width_at(layer, token), layer->interleaved);
}

static void run_embed(void *argument)
{
    struct layer *layer = argument;
    for (size_t token = 0; token < layer->tokens; token += 64) {
        size_t left = layer->tokens - token < 64 ? layer->tokens - token : 64;
        struct espi_table tables[] = {
            {ESPI_TABLE_BF16, layer->words, NULL, layer->ids + token},
            {ESPI_TABLE_BF16, layer->words, NULL, layer->places + token},
        };
        layer->set.embed(tables, ESPI_COUNT(tables), HIDDEN, left, width_at(layer, token), layer->y + token * HIDDEN);
    }
}

static void run_rows(void *argument)
{
    struct layer *layer = argument;
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

static void run_pack(void *argument)
{
    struct layer *layer = argument;
    for (size_t head = 0; head < HEADS; head++)
        pack(layer, head);
}

static void run_pack_f32(void *argument)
{
    struct layer *layer = argument;
    struct espi_span span = span_of(layer, 3 * HIDDEN);
    for (size_t head = 0; head < HEADS; head++) {
        const size_t row[3] = {head * HEAD_SIZE, HIDDEN + head * HEAD_SIZE, 2 * HIDDEN + head * HEAD_SIZE};
        layer->set.attention_pack_f32(layer->qkv_floats, &span, row, &layer->head);
    }
}

static void run_attention(void *argument)
{
    struct layer *layer = argument;
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

/* ---- the cases --------------------------------------------------------------------------------------------------------- */

static const struct {
    enum espi_op op;
    const char *what;
    void (*run)(void *layer);
    size_t bytes; // read and written of each value of (tokens, HIDDEN)
} timed[] = {
    {ESPI_OP_interleave_u8, "", run_interleave_u8, 1 + 1},
    {ESPI_OP_interleave_bf16, "", run_interleave_bf16, 4 + 2},
    {ESPI_OP_embed, "bf16 + bf16", run_embed, 2 + 2 + 4},
    {ESPI_OP_layer_norm, "fixed", run_norm_fixed, 4 + 4 + 1},
    {ESPI_OP_layer_norm, "per token", run_norm_per_token, 4 + 4 + 1},
    {ESPI_OP_quantize_u8, "fixed", run_quantize_fixed, 4 + 1},
    {ESPI_OP_quantize_u8, "per token", run_quantize_per_token, 4 + 1},
    {ESPI_OP_panel_to_rows, "", run_rows, 4 + 4},
    {ESPI_OP_attention_pack, "12 heads", run_pack, 3 * (1 + 1)},
    {ESPI_OP_attention_pack_f32, "12 heads", run_pack_f32, 3 * (4 + 1)},
    {ESPI_OP_attention, "12, with pack", run_attention, 3 + 1},
};

static void time_version(struct cli_kernels *bench, const struct espi_kernel *kernel, size_t which)
{
    static const size_t tokens[] = {16, 32, 64, 128, 256, 384, 512, 1024};
    for (size_t t = 0; t < ESPI_COUNT(tokens); t++) {
        struct layer layer = {0};
        bool products = kernel->op == ESPI_OP_attention;
        espi_kernels_choose(bench->set.features, kernel->isa, &layer.set);
        make_layer(bench, &layer, tokens[t]);
        double values = (double)(tokens[t] * HIDDEN);
        struct cli_kernel_case one = {.kernel = kernel,
                                      .what = timed[which].what,
                                      .tokens = tokens[t],
                                      .rows = HIDDEN,
                                      .columns = 1,
                                      .kept = 1,
                                      .operations = products ? 4.0 * (double)tokens[t] * values : 0,
                                      .bytes = values * (double)timed[which].bytes,
                                      .peak = products ? ESPI_PEAK_INT8 : ESPI_PEAK_COPY,
                                      .run = timed[which].run,
                                      .argument = &layer};
        cli_kernels_time(bench, &one);
        espi_arena_clear(&bench->memory);
    }
}

void cli_bench_panels(struct cli_kernels *bench)
{
    for (size_t i = 0; i < espi_kernel_count; i++)
        for (size_t which = 0; which < ESPI_COUNT(timed) && cli_kernels_wants(bench, &espi_kernels[i]); which++)
            if (timed[which].op == espi_kernels[i].op)
                time_version(bench, &espi_kernels[i], which);
}
