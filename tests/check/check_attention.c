/* SPDX-License-Identifier: Apache-2.0
 * Attention: packing of heads and the op itself, on sequences that begin and end anywhere in panels. */
#include "check.h"

#include "base/size.h"
#include "kernels/attention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a sequence in panels -------------------------------------------------------------------------------------------- */

static size_t multiple_of_4(struct espi_random *random)
{
    static const size_t common[] = {32, 64};
    return espi_random_below(random, 2) ? common[espi_random_below(random, 2)] : 4 + 4 * espi_random_below(random, 30);
}

static struct espi_span random_span(struct espi_random *random, size_t rows)
{
    size_t longest = espi_random_below(random, 8) ? 150 : 600;
    struct espi_span span = {.rows = rows, .count = 1 + espi_random_below(random, longest)};
    span.first = espi_random_below(random, 3) ? espi_random_below(random, 150) : 0;
    span.tokens = span.first + span.count + (espi_random_below(random, 2) ? espi_random_below(random, 80) : 0);
    return span;
}

/* Values of all panels of a span. */
static size_t panel_values(const struct espi_span *span)
{
    size_t last = (span->tokens - 1) / ESPI_PANEL_TOKENS;
    return span->rows * (last * ESPI_PANEL_TOKENS + espi_panel_width(span->tokens - last * ESPI_PANEL_TOKENS));
}

struct fill {
    uint64_t kind;
    int level;
};

static struct fill random_fill(struct espi_random *random)
{
    return (struct fill){espi_random_below(random, 10), 1 + (int)espi_random_below(random, 127)};
}

static uint8_t byte_of(uint64_t draw, const struct fill *fill)
{
    if (fill->kind < 2)
        return fill->kind ? UINT8_MAX : 0;
    if (fill->kind == 2)
        return draw & 1 ? UINT8_MAX : 0;
    if (fill->kind < 6) // as the values of a layer
        return (uint8_t)(128 + bulk_bell(draw) / 15);
    if (fill->kind < 8) // sums of products that just fit 16 bits, or just do not
        return (uint8_t)(128 + (draw & 15 ? fill->level : -fill->level));
    return (uint8_t)draw;
}

static void fill_bytes(struct espi_random *random, const struct fill *fill, uint8_t *bytes, size_t count)
{
    uint64_t state = espi_random_u32(random);
    for (size_t i = 0; i < count; i++)
        bytes[i] = byte_of(bulk_random(&state), fill);
}

static struct buffer random_bytes(struct espi_random *random, size_t bytes)
{
    struct buffer buffer = buffer_new(random, bytes);
    struct fill fill = random_fill(random);
    fill_bytes(random, &fill, buffer.data, bytes);
    return buffer;
}

static size_t head_bytes(size_t tokens, size_t size)
{
    size_t bytes;
    if (espi_head_bytes(NULL, tokens, size, &bytes))
        abort();
    return bytes;
}

/* ---- attention_pack, attention_pack_f32 -------------------------------------------------------------------------------- */

struct pack_call {
    espi_attention_pack_fn *from_u8; // one of the two
    espi_attention_pack_f32_fn *from_f32;
    const void *panels;
    struct espi_span span;
    size_t row[3];
    struct espi_packed_head head;
    float *scale; // (3) a copy, as an output
};

static void run_pack(void *argument)
{
    struct pack_call *call = argument;
    if (call->from_u8) {
        call->from_u8(call->panels, &call->span, call->row, &call->head);
        return;
    }
    call->from_f32(call->panels, &call->span, call->row, &call->head);
    memcpy(call->scale, call->head.scale, sizeof(call->head.scale));
}

static struct buffer random_floats(struct espi_random *random, size_t count)
{
    struct buffer buffer = buffer_new(random, count * sizeof(float));
    uint64_t fill = espi_random_below(random, 6);
    for (size_t i = 0; i < count; i++) {
        float value = espi_random_normal(random);
        value *= fill == 0 ? 0.0f : fill == 1 ? 1e-35f : fill == 2 ? 1e20f : 1.0f;
        ((float *)(void *)buffer.data)[i] = value;
    }
    return buffer;
}

static bool check_pack(struct espi_random *random, bool from_f32, const struct version *version,
                       char failure[FAILURE_BYTES])
{
    size_t size = multiple_of_4(random), rows = 3 * size + espi_random_below(random, 10);
    struct pack_call reference = {.span = random_span(random, rows)};
    for (size_t i = 0; i < 3; i++)
        reference.row[i] = espi_random_below(random, rows - size + 1);
    size_t values = panel_values(&reference.span);
    struct buffer panels = from_f32 ? random_floats(random, values) : random_bytes(random, values);
    reference.panels = panels.data;
    struct pack_call tested = reference;
    struct output outputs[] = {output_new(random, head_bytes(reference.span.count, size)),
                               output_new(random, sizeof(reference.head.scale))};
    espi_head_place(&reference.head, reference.span.count, size, outputs[0].expected.data);
    espi_head_place(&tested.head, reference.span.count, size, outputs[0].found.data);
    reference.scale = (float *)(void *)outputs[1].expected.data;
    tested.scale = (float *)(void *)outputs[1].found.data;
    if (from_f32) {
        reference.from_f32 = espi_attention_pack_f32_c;
        tested.from_f32 = (espi_attention_pack_f32_fn *)version->function;
    } else {
        reference.from_u8 = espi_attention_pack_c;
        tested.from_u8 = (espi_attention_pack_fn *)version->function;
    }
    const char *problem = compare_calls(run_pack, &reference, &tested, outputs, ESPI_COUNT(outputs));
    if (problem)
        snprintf(failure, FAILURE_BYTES, "head of %zu, tokens %zu + %zu of %zu: %s", size, reference.span.first,
                 reference.span.count, reference.span.tokens, problem);
    buffer_free(&panels);
    output_free(&outputs[0]);
    output_free(&outputs[1]);
    return !problem;
}

bool check_attention_pack(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    return check_pack(random, false, version, failure);
}

bool check_attention_pack_f32(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    return check_pack(random, true, version, failure);
}

/* ---- attention ----------------------------------------------------------------------------------------------------------- */

struct attention_call {
    espi_attention_fn *function;
    struct espi_packed_head head;
    size_t first, end;
    struct espi_attention attention;
    void *scratch;
};

static void run_attention(void *argument)
{
    struct attention_call *call = argument;
    call->function(&call->head, call->first, call->end, &call->attention, call->scratch);
}

/* Q, K and V of panels that hold nothing else: the same kind of values, or each its own. */
static void fill_head(struct espi_random *random, const struct espi_span *span, uint8_t *panels)
{
    struct fill fills[3] = {random_fill(random), random_fill(random), random_fill(random)};
    if (espi_random_below(random, 2))
        fills[1] = fills[2] = fills[0];
    for (size_t token = 0; token < span->tokens; token += ESPI_PANEL_TOKENS) {
        size_t left = span->tokens - token, part = span->rows / 3;
        part *= espi_panel_width(left < ESPI_PANEL_TOKENS ? left : ESPI_PANEL_TOKENS);
        for (size_t i = 0; i < 3; i++)
            fill_bytes(random, &fills[i], panels + token * span->rows + i * part, part);
    }
}

/* A head packed by the reference from random panels. */
static struct buffer make_head(struct espi_random *random, size_t tokens, size_t size, struct espi_packed_head *head)
{
    struct espi_span span = {.rows = 3 * size, .tokens = tokens, .count = tokens};
    struct buffer panels = buffer_new(random, panel_values(&span));
    fill_head(random, &span, panels.data);
    struct buffer memory = buffer_new(random, head_bytes(tokens, size));
    espi_head_place(head, tokens, size, memory.data);
    espi_attention_pack_c(panels.data, &span, (const size_t[]){0, size, 2 * size}, head);
    buffer_free(&panels);
    return memory;
}

static void choose_scores(struct espi_random *random, size_t size, struct espi_attention *attention)
{
    espi_attention_scores(attention, size, 1e-3f * espi_random_uniform(random));
    switch (espi_random_below(random, 8)) {
    case 0:
        espi_attention_scores(attention, size, espi_random_below(random, 2) ? 1 : 0);
        break;
    case 1:
        attention->shift = (uint32_t)espi_random_below(random, 16);
        attention->multiplier = (uint16_t)espi_random_below(random, espi_random_below(random, 2) ? 4 : 32768);
        break;
    default:
        break;
    }
}

/* What is added by distance, of a third of the cases: any words, or such as come near to the scores. */
static struct buffer random_distances(struct espi_random *random, size_t tokens, struct espi_attention *attention)
{
    bool there = !espi_random_below(random, 3);
    size_t count = there ? espi_distance_count(tokens) : 0;
    struct buffer buffer = buffer_new(random, count * sizeof(int16_t));
    int shift = espi_random_below(random, 2) ? 0 : (int)espi_random_below(random, 12);
    uint64_t state = espi_random_u32(random);
    for (size_t i = 0; i < count; i++)
        ((int16_t *)(void *)buffer.data)[i] = (int16_t)((int16_t)bulk_random(&state) >> shift);
    attention->distances = there ? (const int16_t *)(const void *)buffer.data + tokens - 1 : NULL;
    return buffer;
}

bool check_attention(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    size_t size = multiple_of_4(random), rows = size + espi_random_below(random, 10);
    struct attention_call reference = {.function = espi_attention_c};
    struct espi_attention *attention = &reference.attention;
    attention->span = random_span(random, rows);
    attention->row = espi_random_below(random, rows - size + 1);
    attention->kind = espi_random_below(random, 3) ? ESPI_EPILOGUE_U8 : ESPI_EPILOGUE_F32;
    choose_scores(random, size, attention);
    struct buffer memory = make_head(random, attention->span.count, size, &reference.head);
    struct buffer distances = random_distances(random, attention->span.count, attention);
    struct buffer scale = buffer_new(random, size * sizeof(float)), bias = buffer_new(random, size * sizeof(float));
    for (size_t i = 0; i < size; i++) {
        ((float *)(void *)scale.data)[i] = espi_random_below(random, 2) ? 1 : 2 * espi_random_uniform(random);
        ((float *)(void *)bias.data)[i] = 128 + (float)espi_random_below(random, 2) / 2;
    }
    attention->scale = (const float *)(void *)scale.data;
    attention->bias = (const float *)(void *)bias.data;
    size_t element = attention->kind == ESPI_EPILOGUE_U8 ? 1 : sizeof(float);
    struct output out = output_new(random, panel_values(&attention->span) * element);
    struct output scratch = output_new(random, espi_attention_scratch(attention->span.count, size));
    size_t blocks = espi_query_blocks(attention->span.count);
    reference.first = espi_random_below(random, 3) ? 0 : espi_random_below(random, blocks);
    reference.end = reference.first ? reference.first + 1 : blocks;
    struct attention_call tested = reference;
    tested.function = (espi_attention_fn *)version->function;
    reference.attention.out = out.expected.data;
    reference.scratch = scratch.expected.data;
    tested.attention.out = out.found.data;
    tested.scratch = scratch.found.data;
    const char *problem = compare_calls(run_attention, &reference, &tested, &out, 1);
    if (!problem && !buffer_intact(&scratch.found))
        problem = "wrote outside its scratch memory";
    if (problem)
        snprintf(failure, FAILURE_BYTES, "head of %zu, tokens %zu + %zu of %zu, shift %u, multiplier %u, %s%s: %s",
                 size, attention->span.first, attention->span.count, attention->span.tokens, (unsigned)attention->shift,
                 (unsigned)attention->multiplier, element == 1 ? "u8" : "f32",
                 attention->distances ? ", distances" : "", problem);
    buffer_free(&memory);
    buffer_free(&distances);
    buffer_free(&scale);
    buffer_free(&bias);
    output_free(&out);
    output_free(&scratch);
    return !problem;
}
