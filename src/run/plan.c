/* SPDX-License-Identifier: Apache-2.0 */
#include "run/plan.h"

#include "base/size.h"

#include <math.h>
#include <stdlib.h>

/* Goes through the ops twice: to count them, then to fill them in. */
struct maker {
    esp_context *ctx;
    struct espi_plan *plan;
    size_t length;
    const float *ones;           // (widest) of models with a scale per token
    const float *zeros;          // (head size) of attention with a float result
    struct espi_plan_op discard; // where ops go while counting
    int status;
};

/* Every buffer that is written or read gets its memory. */
static void use(struct maker *maker, enum espi_buffer buffer)
{
    static const size_t bytes[ESPI_BUFFER_COUNT] = {
        [ESPI_BUFFER_STREAM] = sizeof(float),
        [ESPI_BUFFER_CONTEXT] = 1,
        [ESPI_BUFFER_CONTEXT_FLOAT] = sizeof(float),
        [ESPI_BUFFER_BYTES] = 1,
        [ESPI_BUFFER_INNER] = 1,
        [ESPI_BUFFER_INNER_FLOAT] = sizeof(float),
        [ESPI_BUFFER_EMBEDDED] = sizeof(float),
    };
    size_t qkv = maker->plan->model->static_scales ? 1 : sizeof(float);
    maker->plan->bytes[buffer] = buffer == ESPI_BUFFER_QKV ? qkv : bytes[buffer];
}

static struct espi_plan_op *append(struct maker *maker, enum espi_plan_op_kind kind, size_t layer, enum espi_buffer in,
                                   enum espi_buffer out)
{
    struct espi_plan_op *op = maker->plan->ops ? &maker->plan->ops[maker->length] : &maker->discard;
    maker->length++;
    *op = (struct espi_plan_op){.kind = kind, .layer = layer, .in = in, .out = out};
    use(maker, in);
    use(maker, out);
    return op;
}

static bool filling(const struct maker *maker)
{
    return maker->plan->ops && !maker->status;
}

/* An array of `count` times one value, or of that times each factor; NULL while counting or when out of memory. */
static const float *scaled(struct maker *maker, size_t count, float value, const float *factor)
{
    if (!filling(maker))
        return NULL;
    float *array = espi_arena_alloc(maker->ctx, &maker->plan->arena, count, sizeof *array);
    if (!array) {
        maker->status = ESP_ERR_MEMORY;
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        array[i] = factor ? value * factor[i] : value;
    return array;
}

static const float *constant(struct maker *maker, size_t count, float value)
{
    return scaled(maker, count, value, NULL);
}

/* `factor`: (rows) of each row, or NULL */
static struct espi_quantize quantizer(struct maker *maker, size_t rows, size_t layer, enum espi_esp_point point,
                                      const float *factor)
{
    const struct espi_esp_model *model = maker->plan->model;
    if (!model->static_scales)
        return (struct espi_quantize){.scale = factor ? factor : maker->ones, .zero_point = 128};
    struct espi_scale point_scale = model->layers[layer].points[point];
    return (struct espi_quantize){.scale = scaled(maker, rows, 1 / point_scale.scale, factor),
                                  .zero_point = point_scale.zero_point};
}

/* The LayerNorm of `in` whose result the linear layer `next` of layer `number` reads at `point`: as bytes or as it is. NULL:
 * nothing reads it as bytes. */
static void add_norm(struct maker *maker, size_t layer, enum espi_buffer in, const struct espi_esp_norm *norm,
                     const struct espi_esp_linear *next, size_t number, enum espi_esp_point point)
{
    const struct espi_config *config = &maker->plan->model->config;
    struct espi_plan_op *op = append(maker, ESPI_PLAN_NORM, layer, in, ESPI_BUFFER_BYTES);
    op->norm = (struct espi_layer_norm){.gain = norm->gain, .bias = norm->bias, .epsilon = config->layer_norm_eps};
    if (next && next->precision == ESPI_INT8)
        op->quantize = quantizer(maker, config->hidden, number, point, norm->factor);
}

/* What the version of a product that the plan calls wants to know about the weights. */
static const void *memo_of(struct maker *maker, const struct espi_quads *quads)
{
    const struct espi_kernel_set *kernels = &maker->plan->kernels;
    const struct espi_kernel *kernel = kernels->chosen[quads->starts ? ESPI_OP_sparse_u8s8 : ESPI_OP_gemm_u8s8];
    size_t bytes = espi_kernel_memo(kernel, quads, NULL);
    if (!bytes)
        return NULL;
    void *memo = espi_arena_alloc(maker->ctx, &maker->plan->arena, bytes, 1);
    if (memo)
        espi_kernel_memo(kernel, quads, memo);
    else
        maker->status = ESP_ERR_MEMORY;
    return memo;
}

static struct espi_plan_op *add_linear(struct maker *maker, size_t layer, const struct espi_esp_linear *linear,
                                       enum espi_buffer in, enum espi_buffer out, enum espi_epilogue_kind kind)
{
    struct espi_plan_op *op = append(maker, ESPI_PLAN_LINEAR, layer, in, out);
    size_t size = linear->precision == ESPI_BF16 ? sizeof(uint16_t) : 1;
    op->linear = linear;
    op->quads = linear->quads;
    if (filling(maker) && linear->quads.weights)
        op->quads.memo = memo_of(maker, &linear->quads);
    if (linear->precision != ESPI_FP32 && !linear->quads.starts)
        maker->plan->interleaved =
            espi_size_max(maker->plan->interleaved, espi_round_up(linear->columns, 4) * ESPI_PANEL_TOKENS * size);
    op->epilogue =
        (struct espi_epilogue){.kind = kind, .start = linear->start, .scale = linear->scale, .bias = linear->bias};
    return op;
}

static void add_quantize(struct maker *maker, size_t layer, size_t rows, enum espi_buffer in, enum espi_buffer out,
                         enum espi_esp_point point)
{
    struct espi_plan_op *op = append(maker, ESPI_PLAN_QUANTIZE, layer, in, out);
    op->rows = rows;
    op->quantize = quantizer(maker, rows, layer, point, NULL);
}

static void add_attention(struct maker *maker, size_t layer, enum espi_buffer out)
{
    const struct espi_esp_model *model = maker->plan->model;
    struct espi_plan_op *op = append(maker, ESPI_PLAN_ATTENTION, layer, ESPI_BUFFER_QKV, out);
    op->heads = espi_config_layer_heads(&model->config, layer);
    op->attention.kind = out == ESPI_BUFFER_CONTEXT ? ESPI_EPILOGUE_U8 : ESPI_EPILOGUE_F32;
    op->attention.bias = maker->zeros;
    if (!model->static_scales)
        return; // the session finds the scales
    size_t size = espi_config_head_size(&model->config);
    const struct espi_scale *points = model->layers[layer].points, *context = &points[ESPI_POINT_CONTEXT];
    float value = points[ESPI_POINT_VALUE].scale;
    float scores = points[ESPI_POINT_QUERY].scale * points[ESPI_POINT_KEY].scale / sqrtf((float)size);
    if (model->distance_bias)
        op->score_unit = espi_attention_biased_scores(&op->attention, scores);
    else
        espi_attention_scores(&op->attention, size, scores);
    if (out == ESPI_BUFFER_CONTEXT_FLOAT) {
        op->attention.scale = constant(maker, size, value);
        return;
    }
    op->attention.scale = constant(maker, size, value / context->scale);
    op->attention.bias = constant(maker, size, (float)context->zero_point);
}

static const struct espi_activation_table *activation_table(struct maker *maker, size_t layer, enum espi_curve curve)
{
    if (!filling(maker))
        return NULL;
    struct espi_scale output = maker->plan->model->layers[layer].points[ESPI_POINT_INTERMEDIATE];
    struct espi_activation_table *table = espi_arena_alloc(maker->ctx, &maker->plan->arena, 1, sizeof *table);
    maker->status =
        table ? espi_activation_gelu(maker->ctx, curve, output.scale, output.zero_point, table) : ESP_ERR_MEMORY;
    return table;
}

/* Where a linear layer reads what a LayerNorm made. */
static enum espi_buffer normed(const struct espi_esp_linear *linear)
{
    return linear->precision == ESPI_INT8 ? ESPI_BUFFER_BYTES : ESPI_BUFFER_STREAM;
}

/* The first feed-forward layer and its activation function, to bytes or to floats as the second one wants them. */
static void add_intermediate(struct maker *maker, size_t number, bool bytes)
{
    const struct espi_esp_model *model = maker->plan->model;
    const struct espi_esp_linear *linear = &model->layers[number].ffn_in;
    enum espi_curve curve;
    bool curved = espi_esp_curve(model->config.activation, &curve);
    if (bytes && model->static_scales && curved) {
        struct espi_plan_op *op =
            add_linear(maker, number, linear, normed(linear), ESPI_BUFFER_INNER, ESPI_EPILOGUE_U8_TABLE);
        op->epilogue.activation = activation_table(maker, number, curve);
        return;
    }
    struct espi_plan_op *op = add_linear(maker, number, linear, normed(linear), ESPI_BUFFER_INNER_FLOAT,
                                         curved ? ESPI_EPILOGUE_F32_CURVE : ESPI_EPILOGUE_F32);
    if (curved)
        op->epilogue.curve = espi_activation_curve(curve);
    else
        append(maker, ESPI_PLAN_ACTIVATE, number, ESPI_BUFFER_INNER_FLOAT, ESPI_BUFFER_INNER_FLOAT);
    if (bytes)
        add_quantize(maker, number, linear->rows, ESPI_BUFFER_INNER_FLOAT, ESPI_BUFFER_INNER, ESPI_POINT_INTERMEDIATE);
}

static void add_feed_forward(struct maker *maker, size_t number)
{
    const struct espi_esp_linear *linear = &maker->plan->model->layers[number].ffn_out;
    bool bytes = linear->precision == ESPI_INT8;
    add_intermediate(maker, number, bytes);
    add_linear(maker, number, linear, bytes ? ESPI_BUFFER_INNER : ESPI_BUFFER_INNER_FLOAT, ESPI_BUFFER_STREAM,
               ESPI_EPILOGUE_F32_ADD);
}

/* Attention and its output layer. */
static void add_context(struct maker *maker, size_t number)
{
    const struct espi_esp_linear *linear = &maker->plan->model->layers[number].attention_out;
    bool bytes = linear->precision == ESPI_INT8, fixed = maker->plan->model->static_scales;
    enum espi_buffer context = bytes && fixed ? ESPI_BUFFER_CONTEXT : ESPI_BUFFER_CONTEXT_FLOAT;
    add_attention(maker, number, context);
    if (bytes && !fixed) {
        add_quantize(maker, number, linear->columns, context, ESPI_BUFFER_BYTES, ESPI_POINT_CONTEXT);
        context = ESPI_BUFFER_BYTES;
    }
    add_linear(maker, number, linear, context, ESPI_BUFFER_STREAM, ESPI_EPILOGUE_F32_ADD)->epilogue.far = true;
}

static void add_layer(struct maker *maker, size_t number)
{
    const struct espi_esp_model *model = maker->plan->model;
    const struct espi_esp_layer *layer = &model->layers[number];
    const struct espi_esp_linear *next = number + 1 < model->config.layers ? &layer[1].qkv : NULL;
    add_linear(maker, number, &layer->qkv, normed(&layer->qkv), ESPI_BUFFER_QKV,
               model->static_scales ? ESPI_EPILOGUE_U8 : ESPI_EPILOGUE_F32);
    add_context(maker, number);
    add_norm(maker, number, ESPI_BUFFER_STREAM, &layer->attention_norm, &layer->ffn_in, number, ESPI_POINT_FFN_INPUT);
    add_feed_forward(maker, number);
    add_norm(maker, number, ESPI_BUFFER_STREAM, &layer->ffn_norm, next, number + 1, ESPI_POINT_INPUT);
}

/* From ids to what the first layer reads. */
static void add_embedding(struct maker *maker)
{
    const struct espi_esp_model *model = maker->plan->model;
    const struct espi_esp_linear *project = &model->embed_project, *next = &model->layers[0].qkv;
    enum espi_buffer embedded = project->rows ? ESPI_BUFFER_EMBEDDED : ESPI_BUFFER_STREAM;
    append(maker, ESPI_PLAN_EMBED, 0, embedded, embedded);
    add_norm(maker, 0, embedded, &model->embed_norm, project->rows ? NULL : next, 0, ESPI_POINT_INPUT);
    if (!project->rows)
        return;
    add_linear(maker, 0, project, embedded, ESPI_BUFFER_STREAM, ESPI_EPILOGUE_F32);
    if (next->precision == ESPI_INT8)
        add_quantize(maker, 0, project->rows, ESPI_BUFFER_STREAM, ESPI_BUFFER_BYTES, ESPI_POINT_INPUT);
}

static void add_all(struct maker *maker)
{
    const struct espi_esp_model *model = maker->plan->model;
    maker->length = 0;
    add_embedding(maker);
    for (size_t layer = 0; layer < model->config.layers; layer++)
        add_layer(maker, layer);
}

static void size_buffers(struct espi_plan *plan)
{
    const struct espi_config *config = &plan->model->config;
    for (size_t i = 0; i < ESPI_BUFFER_COUNT; i++)
        plan->rows[i] = config->hidden;
    plan->rows[ESPI_BUFFER_QKV] = 3 * config->hidden;
    plan->rows[ESPI_BUFFER_INNER] = plan->rows[ESPI_BUFFER_INNER_FLOAT] = config->intermediate;
    plan->rows[ESPI_BUFFER_EMBEDDED] = espi_config_word_width(config);
}

int espi_plan_make(esp_context *ctx, const struct espi_esp_model *model, struct espi_plan *out)
{
    const struct espi_config *config = &model->config;
    struct maker maker = {.ctx = ctx, .plan = out};
    size_t head_bytes;
    *out = (struct espi_plan){.model = model};
    int status = espi_head_bytes(ctx, config->max_positions, espi_config_head_size(config), &head_bytes);
    if (!status)
        status = espi_kernels_choose_default(ctx, &out->kernels);
    if (status)
        return espi_fail_prefix(ctx, status, "%s", model->file.source);
    size_buffers(out);
    add_all(&maker);
    out->length = maker.length;
    out->ops = espi_arena_alloc(ctx, &out->arena, out->length, sizeof *out->ops);
    if (!out->ops)
        return ESP_ERR_MEMORY;
    maker.zeros = constant(&maker, espi_config_head_size(config), 0);
    if (config->block.buckets)
        maker.status = espi_config_buckets(ctx, config, &out->buckets);
    if (!model->static_scales)
        maker.ones = constant(&maker, espi_size_max(config->hidden, config->intermediate), 1);
    add_all(&maker);
    if (maker.status) {
        espi_plan_clear(out);
        return espi_fail_prefix(ctx, maker.status, "%s", model->file.source);
    }
    return ESP_OK;
}

void espi_plan_clear(struct espi_plan *plan)
{
    free(plan->buckets);
    espi_arena_clear(&plan->arena);
    *plan = (struct espi_plan){0};
}
