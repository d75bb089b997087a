/* SPDX-License-Identifier: Apache-2.0 */
#include "create/quantize/fake_quant.h"

#include "base/file.h"
#include "base/json.h"
#include "base/simd.h"
#include "base/size.h"
#include "create/quantize/quantize.h"
#include "kernels/activation.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_ROWS = 16, TAPS = ESPI_TAP_INTERMEDIATE + 1 };

struct range {
    float low, high; // 0 is between them
};

struct espi_fake_quant {
    const struct espi_config *config;
    struct espi_fake_quant_options options;
    struct espi_team *team;
    uint64_t step;
    struct range *ranges; // (layers, ESPI_POINT_COUNT)
    uint8_t *seen;        // (layers, ESPI_POINT_COUNT) 1: the range is of something
    struct clipped {
        uint8_t *bytes; // (tokens, columns) 1 where a value was clipped
        size_t room;
        bool any;
    } * clipped; // (layers, TAPS)
};

/* ---- life --------------------------------------------------------------------------------------------------------------- */

int espi_fake_quant_new(esp_context *ctx, const struct espi_config *config,
                        const struct espi_fake_quant_options *options, struct espi_team *team,
                        struct espi_fake_quant **out)
{
    *out = NULL;
    struct espi_fake_quant *quant = espi_calloc(ctx, 1, sizeof *quant);
    if (!quant)
        return ESP_ERR_MEMORY;
    *quant = (struct espi_fake_quant){.config = config, .options = *options, .team = team};
    quant->options.ema = options->ema > 0 ? options->ema : 0.99;
    quant->ranges = espi_calloc(ctx, config->layers, ESPI_POINT_COUNT * sizeof *quant->ranges);
    quant->seen = espi_calloc(ctx, config->layers, ESPI_POINT_COUNT);
    quant->clipped = espi_calloc(ctx, config->layers, TAPS * sizeof *quant->clipped);
    if (!quant->ranges || !quant->seen || !quant->clipped) {
        espi_fake_quant_free(quant);
        return ESP_ERR_MEMORY;
    }
    *out = quant;
    return ESP_OK;
}

void espi_fake_quant_free(struct espi_fake_quant *quant)
{
    if (!quant)
        return;
    for (size_t i = 0; quant->clipped && i < quant->config->layers * TAPS; i++)
        free(quant->clipped[i].bytes);
    free(quant->clipped);
    free(quant->ranges);
    free(quant->seen);
    free(quant);
}

int espi_fake_quant_register(esp_context *ctx, struct espi_fake_quant *quant, struct espi_state *state)
{
    size_t count = quant->config->layers * ESPI_POINT_COUNT;
    int status = espi_state_add(ctx, state, "quant.ranges", quant->ranges, count * sizeof *quant->ranges);
    return status ? status : espi_state_add(ctx, state, "quant.seen", quant->seen, count);
}

void espi_fake_quant_set_step(struct espi_fake_quant *quant, uint64_t step)
{
    quant->step = step;
}

/* ---- weights ------------------------------------------------------------------------------------------------------------ */

ESPI_SIMD static void quant_round_row(size_t count, float inverse, float scale, const float *restrict w,
                                      float *restrict out)
{
    const float magic = 0x1.8p23f; // adding and subtracting it rounds to an integer, ties to even
    for (size_t i = 0; i < count; i++)
        out[i] = ((w[i] * inverse + magic) - magic) * scale;
}

struct weights {
    const struct espi_param *param;
    const float *weight;
    float *out;
};

/* As espi_quantize_weights. */
static void round_weights(void *argument, size_t row, size_t thread)
{
    (void)thread;
    const struct weights *w = argument;
    size_t columns = w->param->cols;
    const float *from = w->weight + row * columns;
    float most = 0;
    for (size_t i = 0; i < columns; i++)
        most = fmaxf(most, fabsf(from[i]));
    float scale = most >= 127 * 0x1p-126f ? most / 127 : 0;
    quant_round_row(columns, scale > 0 ? 1 / scale : 0, scale, from, w->out + row * columns);
}

static const float *filter_weight(void *argument, const struct espi_param *param, const float *weight, float *scratch)
{
    const struct espi_fake_quant *quant = argument;
    struct weights w = {param, weight, scratch};
    espi_team_run(quant->team, param->rows, round_weights, &w);
    return scratch;
}

/* ---- static ranges ------------------------------------------------------------------------------------------------------ */

/* A part of the columns of all tokens that has one range. */
struct part {
    struct espi_fake_quant *quant;
    enum espi_esp_point point;
    size_t tokens, stride, begin, columns;
    float *x;
    uint8_t *clipped; // (tokens, stride), or NULL
    struct espi_scale scale;
    struct range *found; // (blocks)
    /* INTERMEDIATE, where the runtime makes bytes of the pre-activation by a table: */
    const float *before; // (tokens, stride), or NULL
    const struct espi_activation_table *table;
};

ESPI_SIMD static void widen_range(size_t count, const float *x, float *low, float *high)
{
    float least = *low, most = *high;
    for (size_t i = 0; i < count; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    *low = least;
    *high = most;
}

static void find_range(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct part *p = argument;
    size_t end = espi_size_min((index + 1) * BLOCK_ROWS, p->tokens);
    struct range *range = &p->found[index];
    for (size_t t = index * BLOCK_ROWS; t < end; t++)
        widen_range(p->columns, p->x + t * p->stride + p->begin, &range->low, &range->high);
}

/* x becomes the value of its byte; notes what lies outside of 0 … 255 (for symmetric points 1 … 255). */
ESPI_SIMD static void round_values(size_t count, float inverse, float zero_point, float lowest, float scale,
                                   float *restrict x, uint8_t *restrict clipped)
{
    const float magic = 0x1.8p23f;
    for (size_t i = 0; i < count; i++) {
        float q = x[i] * inverse + zero_point;
        float inside = q < lowest ? lowest : q > 255.0f ? 255.0f : q;
        clipped[i] = inside != q;
        x[i] = ((inside + magic) - magic - zero_point) * scale;
    }
}

/* x becomes the value of the byte that the runtime's epilogue makes of the pre-activation z (kernels/kernel.h). */
static void activate_values(const struct part *p, size_t count, const float *z, float *x, uint8_t *clipped)
{
    const struct espi_activation_table *table = p->table;
    float inverse = ldexpf(1, table->shift) / p->scale.scale;
    for (size_t i = 0; i < count; i++) {
        int32_t q = (int32_t)lrintf(fmaxf(INT16_MIN, fminf(INT16_MAX, z[i] * inverse)));
        uint32_t index = (uint32_t)abs(q) * table->index_scale >> 16;
        uint32_t byte = ((uint32_t)(q > 0 ? q : 0) + table->table[index < 127 ? index : 127]) >> table->shift;
        clipped[i] = byte > 255;
        x[i] = (float)((int32_t)(byte < 255 ? byte : 255) - p->scale.zero_point) * p->scale.scale;
    }
}

static void round_block(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct part *p = argument;
    size_t end = espi_size_min((index + 1) * BLOCK_ROWS, p->tokens);
    uint8_t ignored[4096];
    float inverse = 1 / p->scale.scale, zero = (float)p->scale.zero_point;
    for (size_t t = index * BLOCK_ROWS; t < end; t++)
        for (size_t c = 0, count; c < p->columns; c += count) {
            size_t at = t * p->stride + p->begin + c;
            count = espi_size_min(sizeof ignored, p->columns - c);
            uint8_t *clipped = p->clipped ? p->clipped + at : ignored;
            if (p->before)
                activate_values(p, count, p->before + at, p->x + at, clipped);
            else
                round_values(count, inverse, zero, 0, p->scale.scale, p->x + at, clipped);
        }
}

/* The range that training has seen takes this batch in. */
static void follow_range(struct espi_fake_quant *quant, size_t at, struct range now)
{
    struct range *range = &quant->ranges[at];
    float keep = quant->seen[at] ? (float)quant->options.ema : 0;
    range->low = keep * range->low + (1 - keep) * now.low;
    range->high = keep * range->high + (1 - keep) * now.high;
    quant->seen[at] = 1;
}

/* As espi_calibrate chooses scales. */
static struct espi_scale scale_of(enum espi_esp_point point, struct range range)
{
    if (point == ESPI_POINT_QUERY || point == ESPI_POINT_KEY || point == ESPI_POINT_VALUE)
        return espi_scale_symmetric(range.low, range.high);
    if (point == ESPI_POINT_INTERMEDIATE) // an activation's table takes zero points up to 127
        range.high = fmaxf(range.high, -1.1f * range.low);
    return espi_scale_asymmetric(range.low, range.high);
}

static int round_part(esp_context *ctx, struct part *p, size_t layer, bool train)
{
    struct espi_fake_quant *quant = p->quant;
    size_t blocks = (p->tokens + BLOCK_ROWS - 1) / BLOCK_ROWS, at = layer * ESPI_POINT_COUNT + p->point;
    bool learns = (train && quant->step < quant->options.freeze_step) || !quant->seen[at];
    if (learns) {
        struct range now = {0};
        p->found = espi_calloc(ctx, blocks, sizeof *p->found);
        if (!p->found)
            return ESP_ERR_MEMORY;
        espi_team_run(quant->team, blocks, find_range, p);
        for (size_t i = 0; i < blocks; i++) {
            now.low = fminf(now.low, p->found[i].low);
            now.high = fmaxf(now.high, p->found[i].high);
        }
        free(p->found);
        if (train)
            follow_range(quant, at, now);
        p->scale = scale_of(p->point, train ? quant->ranges[at] : now);
    } else {
        p->scale = scale_of(p->point, quant->ranges[at]);
    }
    struct espi_activation_table table;
    enum espi_curve curve;
    int status = ESP_OK;
    if (p->before && espi_esp_curve(quant->config->activation, &curve)) {
        status = espi_activation_gelu(ctx, curve, p->scale.scale, p->scale.zero_point, &table);
        p->table = &table;
    } else {
        p->before = NULL;
    }
    if (!status)
        espi_team_run(quant->team, blocks, round_block, p);
    return status;
}

/* ---- a scale per token, or per head and sequence -------------------------------------------------------------------------- */

struct rows {
    size_t columns;
    float *x;
};

/* As the runtime's quantize_u8 with zero point 128. */
static void round_token(void *argument, size_t token, size_t thread)
{
    (void)thread;
    const struct rows *r = argument;
    float *x = r->x + token * r->columns, low = 0, high = 0;
    uint8_t ignored[4096];
    widen_range(r->columns, x, &low, &high);
    float scale = fmaxf(fmaxf(high * (1.0f / 127), -low * (1.0f / 128)), 0x1p-126f);
    for (size_t c = 0, count; c < r->columns; c += count) {
        count = espi_size_min(sizeof ignored, r->columns - c);
        round_values(count, 1 / scale, 128, 0, scale, x + c, ignored);
    }
}

struct heads {
    const struct espi_batch *batch;
    size_t heads, width;
    float *x; // (tokens, 3 heads width)
};

/* As the runtime's attention_pack_f32: query, key or value of one head of one sequence. */
static void round_head(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct heads *h = argument;
    size_t stride = 3 * h->heads * h->width, sequence = index / (3 * h->heads),
           column = index % (3 * h->heads) * h->width;
    size_t first = h->batch->starts[sequence], end = h->batch->starts[sequence + 1];
    float low = 0, high = 0;
    uint8_t ignored[4096];
    for (size_t t = first; t < end; t++)
        widen_range(h->width, h->x + t * stride + column, &low, &high);
    float scale = fmaxf(fmaxf(-low, high), 0x1p-100f) * (1.0f / 127);
    for (size_t t = first; t < end; t++)
        for (size_t c = 0, count; c < h->width; c += count) {
            count = espi_size_min(sizeof ignored, h->width - c);
            round_values(count, 1 / scale, 128, 1, scale, h->x + t * stride + column + c, ignored);
        }
}

static int forward_per_token(const struct espi_fake_quant *quant, enum espi_tap tap, const struct espi_batch *batch,
                             size_t columns, float *x)
{
    size_t width = espi_config_head_size(quant->config);
    struct rows rows = {columns, x};
    struct heads heads = {batch, columns / 3 / width, width, x};
    if (tap == ESPI_TAP_QKV)
        espi_team_run(quant->team, batch->sequences * 3 * heads.heads, round_head, &heads);
    else
        espi_team_run(quant->team, batch->tokens, round_token, &rows);
    return ESP_OK;
}

/* ---- filters ------------------------------------------------------------------------------------------------------------ */

static int forward(void *argument, esp_context *ctx, size_t layer, enum espi_tap tap, const struct espi_batch *batch,
                   size_t columns, bool train, const float *before, float *x)
{
    static const enum espi_esp_point points[TAPS] = {
        [ESPI_TAP_INPUT] = ESPI_POINT_INPUT,
        [ESPI_TAP_QKV] = ESPI_POINT_QUERY,
        [ESPI_TAP_CONTEXT] = ESPI_POINT_CONTEXT,
        [ESPI_TAP_FFN_INPUT] = ESPI_POINT_FFN_INPUT,
        [ESPI_TAP_INTERMEDIATE] = ESPI_POINT_INTERMEDIATE,
    };
    struct espi_fake_quant *quant = argument;
    struct clipped *clipped = &quant->clipped[layer * TAPS + tap];
    if (quant->options.per_token)
        return forward_per_token(quant, tap, batch, columns, x);
    size_t parts = tap == ESPI_TAP_QKV ? 3 : 1; // query, key, value
    int status = train ? espi_grow(ctx, &clipped->bytes, &clipped->room, batch->tokens * columns, 1) : ESP_OK;
    for (size_t i = 0; !status && i < parts; i++) {
        struct part part = {.quant = quant,
                            .point = (enum espi_esp_point)(points[tap] + i),
                            .tokens = batch->tokens,
                            .stride = columns,
                            .begin = i * columns / parts,
                            .columns = columns / parts,
                            .x = x,
                            .before = before,
                            .clipped = train ? clipped->bytes : NULL};
        status = round_part(ctx, &part, layer, train);
    }
    return status;
}

ESPI_SIMD static void stop_clipped(size_t count, const uint8_t *restrict clipped, float *restrict dx)
{
    for (size_t i = 0; i < count; i++)
        dx[i] = clipped[i] ? 0.0f : dx[i];
}

static int backward(void *argument, esp_context *ctx, size_t layer, enum espi_tap tap, size_t tokens, size_t columns,
                    float *dx)
{
    (void)ctx;
    const struct espi_fake_quant *quant = argument;
    if (!quant->options.per_token) // a scale per token clips nothing
        stop_clipped(tokens * columns, quant->clipped[layer * TAPS + tap].bytes, dx);
    return ESP_OK;
}

void espi_fake_quant_attach(struct espi_fake_quant *quant, struct espi_network *network)
{
    struct espi_activation_filter filter = {.argument = quant, .forward = forward, .backward = backward};
    espi_network_set_weight_filter(network, filter_weight, quant);
    espi_network_set_activation_filter(network, &filter);
}

/* ---- the file ----------------------------------------------------------------------------------------------------------- */

static const char file_name[] = "quantization.json";

int espi_fake_quant_write(esp_context *ctx, const struct espi_fake_quant *quant, const char *directory)
{
    char path[ESPI_PATH_BYTES];
    size_t layers = quant->config->layers;
    if (quant->options.per_token)
        return ESP_OK;
    struct espi_scale(*points)[ESPI_POINT_COUNT] = espi_calloc(ctx, layers, sizeof *points);
    if (!points)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < layers * ESPI_POINT_COUNT; i++)
        points[i / ESPI_POINT_COUNT][i % ESPI_POINT_COUNT] =
            scale_of((enum espi_esp_point)(i % ESPI_POINT_COUNT), quant->ranges[i]);
    struct espi_json_writer w = {.indent = true, .exact = true};
    espi_put_object(&w, NULL);
    espi_put_string(&w, "activations", "static");
    espi_esp_points_put(&w, layers, (const struct espi_scale(*)[ESPI_POINT_COUNT])points);
    espi_put_object_end(&w);
    int status = espi_json_writer_end(ctx, &w);
    if (!status)
        status = espi_path_join(ctx, path, directory, file_name);
    if (!status)
        status = espi_output_write_file(ctx, path, w.data, strlen(w.data));
    free(w.data);
    free(points);
    return status;
}

int espi_quantization_read(esp_context *ctx, const char *directory, const struct espi_config *config,
                           struct espi_scale (**points)[ESPI_POINT_COUNT])
{
    char path[ESPI_PATH_BYTES];
    struct espi_json json;
    *points = NULL;
    int status = espi_path_join(ctx, path, directory, file_name);
    if (status || (status = espi_path_find(ctx, path)) <= 0)
        return status;
    status = espi_json_open_file(ctx, path, &json);
    if (status)
        return status;
    status = espi_json_expect_object(ctx, &json);
    if (!status) {
        *points = espi_calloc(ctx, config->layers, sizeof **points);
        status = *points ? espi_esp_points_read(ctx, &json, config->layers, *points) : ESP_ERR_MEMORY;
    }
    espi_json_close(&json);
    if (!status)
        return 1;
    free(*points);
    *points = NULL;
    return status;
}
