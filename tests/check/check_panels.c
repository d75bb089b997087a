/* SPDX-License-Identifier: Apache-2.0
 * The ops on panels: quantization, LayerNorm, embeddings, panels to rows. */
#include "check.h"

#include "base/size.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static size_t random_width(struct espi_random *random)
{
    return (size_t)16 << espi_random_below(random, 3);
}

static size_t random_rows(struct espi_random *random)
{
    return 1 + espi_random_below(random, espi_random_below(random, 8) ? 70 : 1100);
}

static float *floats(const struct buffer *buffer)
{
    return (float *)(void *)buffer->data;
}

/* Normal values, values that tie, far values, zeros, all the same. */
static struct buffer random_floats(struct espi_random *random, size_t count)
{
    struct buffer buffer = buffer_new(random, count * sizeof(float));
    uint64_t fill = espi_random_below(random, 8);
    for (size_t i = 0; i < count; i++) {
        float value = espi_random_normal(random);
        if (fill == 0)
            value = rintf(value * 8) / 2;
        else if (fill == 1)
            value *= 1e10f;
        else if (fill == 2)
            value = espi_random_below(random, 3) ? 0 : copysignf(0, value);
        else if (fill == 3)
            value = 1000.25f;
        else if (fill == 4)
            value = espi_random_below(random, 50) ? value : value * 1e3f;
        floats(&buffer)[i] = value;
    }
    return buffer;
}

/* ---- quantize_u8 and layer_norm -------------------------------------------------------------------------------------- */

struct norm_case {
    size_t rows, width;
    bool in_place;
    struct buffer x, scale, gain, bias;
    struct espi_layer_norm norm;
    struct espi_quantize quantize;
    struct output y, bytes, token_scale;
};

struct norm_call {
    const struct norm_case *c;
    espi_layer_norm_fn *norm; // one of the two
    espi_quantize_u8_fn *quantize;
    const struct espi_quantize *how; // NULL: none
    const float *x;
    float *y;
};

static void run_norm(void *argument)
{
    struct norm_call *call = argument;
    const struct norm_case *c = call->c;
    if (call->norm)
        call->norm(call->x, c->rows, c->width, &c->norm, call->y, call->how);
    else
        call->quantize(call->x, c->rows, c->width, call->how);
}

static void make_norm(struct espi_random *random, struct norm_case *c)
{
    memset(c, 0, sizeof(*c));
    c->rows = random_rows(random);
    c->width = random_width(random);
    c->in_place = espi_random_below(random, 2) == 0;
    size_t count = c->rows * c->width;
    c->x = random_floats(random, count);
    c->scale = random_floats(random, c->rows);
    c->gain = random_floats(random, c->rows);
    c->bias = random_floats(random, c->rows);
    float step = espi_random_below(random, 2) ? 0.5f : 0.02f + espi_random_uniform(random);
    for (size_t row = 0; row < c->rows; row++)
        floats(&c->scale)[row] = espi_random_below(random, 16) ? 1 / step : fabsf(floats(&c->scale)[row]);
    c->norm =
        (struct espi_layer_norm){floats(&c->gain), floats(&c->bias), espi_random_below(random, 2) ? 1e-12f : 1e-5f};
    static const int32_t zero_points[] = {0, 1, 17, 128, 254, 255};
    c->quantize.scale = floats(&c->scale);
    c->quantize.zero_point = zero_points[espi_random_below(random, ESPI_COUNT(zero_points))];
    c->y = output_new(random, count * sizeof(float));
    c->bytes = output_new(random, count);
    c->token_scale = output_new(random, c->width * sizeof(float));
    if (c->in_place) {
        memcpy(c->y.expected.data, c->x.data, c->x.bytes);
        memcpy(c->y.found.data, c->x.data, c->x.bytes);
    }
}

static void free_norm(struct norm_case *c)
{
    struct buffer *buffers[] = {&c->x, &c->scale, &c->gain, &c->bias};
    for (size_t i = 0; i < ESPI_COUNT(buffers); i++)
        buffer_free(buffers[i]);
    output_free(&c->y);
    output_free(&c->bytes);
    output_free(&c->token_scale);
}

static bool check_norm(struct espi_random *random, bool norm, const struct version *version,
                       char failure[FAILURE_BYTES])
{
    struct norm_case c;
    make_norm(random, &c);
    bool per_token = espi_random_below(random, 2) == 0, quantized = !norm || espi_random_below(random, 4) > 0;
    struct espi_quantize expected = c.quantize, found = c.quantize;
    expected.out = c.bytes.expected.data;
    found.out = c.bytes.found.data;
    if (per_token) {
        expected.token_scale = floats(&c.token_scale.expected);
        found.token_scale = floats(&c.token_scale.found);
    }
    bool in_place = norm && c.in_place;
    struct norm_call reference = {.c = &c, .y = floats(&c.y.expected), .how = quantized ? &expected : NULL};
    struct norm_call tested = {.c = &c, .y = floats(&c.y.found), .how = quantized ? &found : NULL};
    reference.x = in_place ? reference.y : floats(&c.x);
    tested.x = in_place ? tested.y : floats(&c.x);
    if (norm) {
        reference.norm = espi_layer_norm_c;
        tested.norm = (espi_layer_norm_fn *)version->function;
    } else {
        reference.quantize = espi_quantize_u8_c;
        tested.quantize = (espi_quantize_u8_fn *)version->function;
    }
    const struct output outputs[] = {c.y, c.bytes, c.token_scale};
    const char *problem = compare_calls(run_norm, &reference, &tested, outputs, ESPI_COUNT(outputs));
    if (problem)
        snprintf(failure, FAILURE_BYTES, "rows %zu, width %zu, zero point %d, %s%s: %s", c.rows, c.width,
                 (int)c.quantize.zero_point,
                 !quantized  ? "floats only"
                 : per_token ? "per token"
                             : "fixed",
                 in_place ? ", in place" : "", problem);
    free_norm(&c);
    return !problem;
}

bool check_quantize_u8(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    return check_norm(random, false, version, failure);
}

bool check_layer_norm(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    return check_norm(random, true, version, failure);
}

/* ---- embed ------------------------------------------------------------------------------------------------------------- */

enum { MAX_TABLES = 3 };

struct embed_case {
    size_t count, size, tokens, width;
    struct espi_table tables[MAX_TABLES];
    struct buffer rows[MAX_TABLES], scales[MAX_TABLES], ids[MAX_TABLES];
    struct output out;
};

struct embed_call {
    const struct embed_case *c;
    espi_embed_fn *function;
    float *out;
};

static void run_embed(void *argument)
{
    struct embed_call *call = argument;
    const struct embed_case *c = call->c;
    call->function(c->tables, c->count, c->size, c->tokens, c->width, call->out);
}

static void make_table(struct espi_random *random, struct embed_case *c, size_t i)
{
    static const size_t bytes[] = {[ESPI_TABLE_F32] = 4, [ESPI_TABLE_BF16] = 2, [ESPI_TABLE_S8] = 1};
    enum espi_table_kind kind = (enum espi_table_kind)espi_random_below(random, ESPI_COUNT(bytes));
    size_t rows = 1 + espi_random_below(random, 20);
    c->scales[i] = random_floats(random, rows);
    c->ids[i] = buffer_new(random, c->tokens * sizeof(uint32_t));
    if (kind == ESPI_TABLE_F32)
        c->rows[i] = random_floats(random, rows * c->size);
    else
        c->rows[i] = buffer_new(random, rows * c->size * bytes[kind]);
    for (size_t at = 0; kind == ESPI_TABLE_BF16 && at < rows * c->size; at++) { // any finite value
        uint16_t value = (uint16_t)espi_random_u32(random);
        ((uint16_t *)(void *)c->rows[i].data)[at] = (value & 0x7f80) == 0x7f80 ? 0 : value;
    }
    for (size_t at = 0; kind == ESPI_TABLE_S8 && at < rows * c->size; at++)
        c->rows[i].data[at] = (uint8_t)espi_random_u32(random);
    for (size_t token = 0; token < c->tokens; token++)
        ((uint32_t *)(void *)c->ids[i].data)[token] = (uint32_t)espi_random_below(random, rows);
    c->tables[i] = (struct espi_table){kind, c->rows[i].data, kind == ESPI_TABLE_S8 ? floats(&c->scales[i]) : NULL,
                                       (const uint32_t *)(const void *)c->ids[i].data};
}

bool check_embed(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    struct embed_case c = {.count = 1 + espi_random_below(random, MAX_TABLES)};
    c.size = random_rows(random);
    c.tokens = 1 + espi_random_below(random, 64);
    c.width = espi_panel_width(c.tokens);
    for (size_t i = 0; i < c.count; i++)
        make_table(random, &c, i);
    c.out = output_new(random, c.size * c.width * sizeof(float));
    struct embed_call reference = {&c, espi_embed_c, floats(&c.out.expected)};
    struct embed_call tested = {&c, (espi_embed_fn *)version->function, floats(&c.out.found)};
    const char *problem = compare_calls(run_embed, &reference, &tested, &c.out, 1);
    if (problem)
        snprintf(failure, FAILURE_BYTES, "%zu tables, kind of the first %d, size %zu, tokens %zu: %s", c.count,
                 (int)c.tables[0].kind, c.size, c.tokens, problem);
    for (size_t i = 0; i < c.count; i++) {
        buffer_free(&c.rows[i]);
        buffer_free(&c.scales[i]);
        buffer_free(&c.ids[i]);
    }
    output_free(&c.out);
    return !problem;
}

/* ---- panel_to_rows ------------------------------------------------------------------------------------------------------ */

struct rows_call {
    espi_panel_to_rows_fn *function;
    const float *panel;
    size_t rows, width, first, count, stride;
    float *out;
};

static void run_rows(void *argument)
{
    struct rows_call *call = argument;
    call->function(call->panel, call->rows, call->width, call->first, call->count, call->out, call->stride);
}

bool check_panel_to_rows(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    struct rows_call reference = {.function = espi_panel_to_rows_c, .rows = random_rows(random)};
    reference.width = random_width(random);
    reference.first = espi_random_below(random, reference.width);
    reference.count = 1 + espi_random_below(random, reference.width - reference.first);
    reference.stride = reference.rows + espi_random_below(random, 3) * 7;
    struct buffer panel = random_floats(random, reference.rows * reference.width);
    struct output out = output_new(random, ((reference.count - 1) * reference.stride + reference.rows) * sizeof(float));
    reference.panel = floats(&panel);
    struct rows_call tested = reference;
    reference.out = floats(&out.expected);
    tested.function = (espi_panel_to_rows_fn *)version->function;
    tested.out = floats(&out.found);
    const char *problem = compare_calls(run_rows, &reference, &tested, &out, 1);
    if (problem)
        snprintf(failure, FAILURE_BYTES, "rows %zu, width %zu, lanes %zu + %zu, stride %zu: %s", reference.rows,
                 reference.width, reference.first, reference.count, reference.stride, problem);
    buffer_free(&panel);
    output_free(&out);
    return !problem;
}
