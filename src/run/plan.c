/* SPDX-License-Identifier: Apache-2.0 */
#include "run/plan.h"

#include "base/size.h"

#include <math.h>

/* Goes through the steps twice: to count them, then to fill them in. */
struct maker {
    esp_context *ctx;
    struct espi_plan *plan;
    size_t length;
    const float *ones;        // (widest) of models with a step per token
    struct espi_step discard; // where steps go while counting
    int status;
};

static struct espi_step *append(struct maker *maker, enum espi_step_kind kind, size_t layer, enum espi_buffer in,
                                enum espi_buffer out)
{
    struct espi_step *step = maker->plan->steps ? &maker->plan->steps[maker->length] : &maker->discard;
    maker->length++;
    *step = (struct espi_step){.kind = kind, .layer = layer, .in = in, .out = out};
    return step;
}

static bool filling(const struct maker *maker)
{
    return maker->plan->steps && !maker->status;
}

/* An array of `count` times one value; NULL while counting or when out of memory. */
static const float *constant(struct maker *maker, size_t count, float value)
{
    if (!filling(maker))
        return NULL;
    float *array = espi_arena_alloc(maker->ctx, &maker->plan->arena, count, sizeof *array);
    if (!array) {
        maker->status = ESP_ERR_MEMORY;
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        array[i] = value;
    return array;
}

static struct espi_quantize quantizer(struct maker *maker, size_t rows, size_t layer, enum espi_esp_point point)
{
    const struct espi_esp_model *model = maker->plan->model;
    if (!model->fixed_steps)
        return (struct espi_quantize){.scale = maker->ones, .zero_point = 128};
    struct espi_steps steps = model->layers[layer].points[point];
    return (struct espi_quantize){.scale = constant(maker, rows, 1 / steps.step), .zero_point = steps.zero_point};
}

/* The LayerNorm whose bytes are the input `point` of layer `next`, or of nothing behind the last layer. */
static void add_norm(struct maker *maker, size_t layer, const struct espi_esp_norm *norm, size_t next,
                     enum espi_esp_point point)
{
    const struct espi_config *config = &maker->plan->model->config;
    struct espi_step *step = append(maker, ESPI_STEP_NORM, layer, ESPI_BUFFER_STREAM, ESPI_BUFFER_BYTES);
    step->norm = (struct espi_layer_norm){.gain = norm->gain, .bias = norm->bias, .epsilon = config->layer_norm_eps};
    if (next < config->layers)
        step->quantize = quantizer(maker, config->hidden, next, point);
}

static struct espi_step *add_linear(struct maker *maker, size_t layer, const struct espi_esp_linear *linear,
                                    enum espi_buffer in, enum espi_buffer out, enum espi_epilogue_kind kind)
{
    struct espi_step *step = append(maker, ESPI_STEP_LINEAR, layer, in, out);
    step->linear = linear;
    step->epilogue =
        (struct espi_epilogue){.kind = kind, .start = linear->start, .scale = linear->scale, .bias = linear->bias};
    return step;
}

static void add_quantize(struct maker *maker, size_t layer, enum espi_buffer in, enum espi_buffer out,
                         enum espi_esp_point point)
{
    struct espi_step *step = append(maker, ESPI_STEP_QUANTIZE, layer, in, out);
    step->quantize = quantizer(maker, maker->plan->rows[in], layer, point);
}

static void add_attention(struct maker *maker, size_t layer)
{
    const struct espi_esp_model *model = maker->plan->model;
    struct espi_step *step = append(maker, ESPI_STEP_ATTENTION, layer, ESPI_BUFFER_QKV, ESPI_BUFFER_CONTEXT);
    if (!model->fixed_steps)
        return;
    size_t size = model->config.hidden / model->config.heads;
    const struct espi_steps *points = model->layers[layer].points, *context = &points[ESPI_POINT_CONTEXT];
    step->attention.kind = ESPI_EPILOGUE_U8;
    espi_attention_scores(&step->attention, size,
                          points[ESPI_POINT_QUERY].step * points[ESPI_POINT_KEY].step / sqrtf((float)size));
    step->attention.scale = constant(maker, size, points[ESPI_POINT_VALUE].step / context->step);
    step->attention.bias = constant(maker, size, (float)context->zero_point);
}

static const struct espi_activation_table *activation_table(struct maker *maker, size_t layer, enum espi_curve curve)
{
    if (!filling(maker))
        return NULL;
    struct espi_steps steps = maker->plan->model->layers[layer].points[ESPI_POINT_INTERMEDIATE];
    struct espi_activation_table *table = espi_arena_alloc(maker->ctx, &maker->plan->arena, 1, sizeof *table);
    maker->status =
        table ? espi_activation_gelu(maker->ctx, curve, steps.step, steps.zero_point, table) : ESP_ERR_MEMORY;
    return table;
}

static void add_feed_forward(struct maker *maker, size_t number)
{
    const struct espi_esp_model *model = maker->plan->model;
    const struct espi_esp_layer *layer = &model->layers[number];
    enum espi_curve curve;
    if (model->fixed_steps && espi_esp_curve(model->config.activation, &curve)) {
        struct espi_step *step =
            add_linear(maker, number, &layer->ffn_in, ESPI_BUFFER_BYTES, ESPI_BUFFER_INNER, ESPI_EPILOGUE_U8_TABLE);
        step->epilogue.activation = activation_table(maker, number, curve);
    } else {
        add_linear(maker, number, &layer->ffn_in, ESPI_BUFFER_BYTES, ESPI_BUFFER_INNER_FLOAT, ESPI_EPILOGUE_F32);
        append(maker, ESPI_STEP_ACTIVATE, number, ESPI_BUFFER_INNER_FLOAT, ESPI_BUFFER_INNER_FLOAT);
        add_quantize(maker, number, ESPI_BUFFER_INNER_FLOAT, ESPI_BUFFER_INNER, ESPI_POINT_INTERMEDIATE);
    }
    add_linear(maker, number, &layer->ffn_out, ESPI_BUFFER_INNER, ESPI_BUFFER_STREAM, ESPI_EPILOGUE_F32_ADD);
}

static void add_layer(struct maker *maker, size_t number)
{
    const struct espi_esp_model *model = maker->plan->model;
    const struct espi_esp_layer *layer = &model->layers[number];
    bool fixed = model->fixed_steps;
    add_linear(maker, number, &layer->qkv, ESPI_BUFFER_BYTES, ESPI_BUFFER_QKV,
               fixed ? ESPI_EPILOGUE_U8 : ESPI_EPILOGUE_F32);
    add_attention(maker, number);
    if (!fixed)
        add_quantize(maker, number, ESPI_BUFFER_CONTEXT, ESPI_BUFFER_BYTES, ESPI_POINT_CONTEXT);
    add_linear(maker, number, &layer->attention_out, fixed ? ESPI_BUFFER_CONTEXT : ESPI_BUFFER_BYTES,
               ESPI_BUFFER_STREAM, ESPI_EPILOGUE_F32_ADD);
    add_norm(maker, number, &layer->attention_norm, number, ESPI_POINT_FFN_INPUT);
    add_feed_forward(maker, number);
    add_norm(maker, number, &layer->ffn_norm, number + 1, ESPI_POINT_INPUT);
}

static void add_all(struct maker *maker)
{
    const struct espi_esp_model *model = maker->plan->model;
    maker->length = 0;
    append(maker, ESPI_STEP_EMBED, 0, ESPI_BUFFER_STREAM, ESPI_BUFFER_STREAM);
    add_norm(maker, 0, &model->embed_norm, 0, ESPI_POINT_INPUT);
    for (size_t layer = 0; layer < model->config.layers; layer++)
        add_layer(maker, layer);
}

static void size_buffers(struct espi_plan *plan)
{
    const struct espi_config *config = &plan->model->config;
    bool fixed = plan->model->fixed_steps;
    enum espi_curve curve;
    size_t value = fixed ? 1 : sizeof(float);
    bool inner_float = !fixed || !espi_esp_curve(config->activation, &curve);
    const struct {
        size_t rows, bytes;
    } sizes[ESPI_BUFFER_COUNT] = {
        [ESPI_BUFFER_STREAM] = {config->hidden, sizeof(float)},
        [ESPI_BUFFER_QKV] = {3 * config->hidden, value},
        [ESPI_BUFFER_CONTEXT] = {config->hidden, value},
        [ESPI_BUFFER_BYTES] = {config->hidden, 1},
        [ESPI_BUFFER_INNER] = {config->intermediate, 1},
        [ESPI_BUFFER_INNER_FLOAT] = {config->intermediate, inner_float ? sizeof(float) : 0},
    };
    for (size_t i = 0; i < ESPI_BUFFER_COUNT; i++) {
        plan->rows[i] = sizes[i].rows;
        plan->bytes[i] = sizes[i].bytes;
    }
}

int espi_plan_make(esp_context *ctx, const struct espi_esp_model *model, struct espi_plan *out)
{
    const struct espi_config *config = &model->config;
    struct maker maker = {.ctx = ctx, .plan = out};
    size_t head_bytes;
    *out = (struct espi_plan){.model = model};
    int status = espi_head_bytes(ctx, config->max_positions, config->hidden / config->heads, &head_bytes);
    if (!status)
        status = espi_kernels_choose_default(ctx, &out->kernels);
    if (status)
        return espi_fail_prefix(ctx, status, "%s", model->file.source);
    size_buffers(out);
    add_all(&maker);
    out->length = maker.length;
    out->steps = espi_arena_alloc(ctx, &out->arena, out->length, sizeof *out->steps);
    if (!out->steps)
        return ESP_ERR_MEMORY;
    if (!model->fixed_steps)
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
    espi_arena_clear(&plan->arena);
    *plan = (struct espi_plan){0};
}
