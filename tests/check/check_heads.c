/* SPDX-License-Identifier: Apache-2.0
 * The float ops of heads and of training. */
#include "check.h"

#include "base/size.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static float *floats(const struct buffer *buffer)
{
    return (float *)(void *)buffer->data;
}

static void fill_normal(struct espi_random *random, float *x, size_t count, float deviation)
{
    for (size_t i = 0; i < count; i++)
        x[i] = deviation * espi_random_normal(random);
}

static struct buffer normals(struct espi_random *random, size_t count, float deviation)
{
    struct buffer buffer = buffer_new(random, count * sizeof(float));
    fill_normal(random, floats(&buffer), count, deviation);
    return buffer;
}

/* ---- activate --------------------------------------------------------------------------------------------------------- */

struct activate_call {
    espi_activate_fn *function;
    enum espi_activation activation;
    float *x;
    size_t count;
};

static void run_activate(void *argument)
{
    struct activate_call *call = argument;
    call->function(call->activation, call->x, call->count);
}

bool check_activate(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    static const float special[] = {0.0f, -0.0f, 1e-40f, -1e-40f, 88, -88, 1e30f, -1e30f, INFINITY, -INFINITY};
    size_t count = espi_random_below(random, 300);
    struct output out = output_new(random, count * sizeof(float));
    float *x = floats(&out.expected);
    fill_normal(random, x, count, espi_random_below(random, 2) ? 1 : 12);
    for (size_t i = 0; i < count; i++)
        if (espi_random_below(random, 8) == 0)
            x[i] = special[espi_random_below(random, ESPI_COUNT(special))];
    memcpy(out.found.data, x, out.found.bytes);
    enum espi_activation activation = (enum espi_activation)espi_random_below(random, 5);
    struct activate_call expected = {espi_activate_c, activation, x, count};
    struct activate_call found = {(espi_activate_fn *)version->function, activation, floats(&out.found), count};
    const char *problem = compare_calls(run_activate, &expected, &found, &out, 1);
    if (problem)
        snprintf(failure, FAILURE_BYTES, "activation %d, %zu values: %s", (int)activation, count, problem);
    output_free(&out);
    return !problem;
}

/* ---- gemm_lanes -------------------------------------------------------------------------------------------------------- */

struct lanes_call {
    espi_gemm_lanes_fn *function;
    struct espi_lanes lanes;
    size_t first, end;
};

static void run_lanes(void *argument)
{
    struct lanes_call *call = argument;
    call->function(&call->lanes, call->first, call->end);
}

bool check_gemm_lanes(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    size_t rows = 1 + espi_random_below(random, 40);
    size_t columns = 1 + espi_random_below(random, espi_random_below(random, 8) ? 60 : 1500);
    size_t stride = (size_t)16 << espi_random_below(random, 3), lanes = 1 + espi_random_below(random, 16);
    bool part = espi_random_below(random, 3) == 0, bf16 = espi_random_below(random, 2);
    bool by_token = espi_random_below(random, 2); // as logits stand, or as the next layer of a head reads them
    struct buffer weights = normals(random, rows * columns, 0.5f), bias = normals(random, rows, 1);
    struct buffer x = normals(random, (columns - 1) * stride + 16, 1);
    struct buffer halves = buffer_new(random, rows * columns * sizeof(uint16_t));
    buffer_fill(random, &halves);
    for (size_t i = 0; i < rows * columns; i++) // small finite numbers
        halves.data[2 * i + 1] = (uint8_t)(0x3e | (halves.data[2 * i + 1] & 0x81));
    struct output out = output_new(random, (by_token ? rows * lanes : (rows - 1) * 16 + lanes) * sizeof(float));
    struct lanes_call expected = {espi_gemm_lanes_c,
                                  {.weights = bf16 ? NULL : floats(&weights),
                                   .bf16 = bf16 ? (const uint16_t *)(void *)halves.data : NULL,
                                   .bias = floats(&bias),
                                   .rows = rows,
                                   .columns = columns,
                                   .x = floats(&x),
                                   .stride = stride,
                                   .lanes = lanes,
                                   .out = floats(&out.expected),
                                   .out_row = by_token ? 1 : 16,
                                   .out_lane = by_token ? rows : 1},
                                  0,
                                  rows};
    if (part) {
        expected.first = espi_random_below(random, rows);
        expected.end = expected.first + espi_random_below(random, rows - expected.first + 1);
    }
    struct lanes_call found = expected;
    found.function = (espi_gemm_lanes_fn *)version->function;
    found.lanes.out = floats(&out.found);
    const char *problem = compare_calls(run_lanes, &expected, &found, &out, 1);
    if (problem)
        snprintf(failure, FAILURE_BYTES, "rows %zu..%zu of %zu, columns %zu, stride %zu, lanes %zu%s%s: %s",
                 expected.first, expected.end, rows, columns, stride, lanes, bf16 ? ", bf16" : "",
                 by_token ? ", by token" : "", problem);
    buffer_free(&weights);
    buffer_free(&bias);
    buffer_free(&x);
    buffer_free(&halves);
    output_free(&out);
    return !problem;
}

/* ---- gemm_strips ------------------------------------------------------------------------------------------------------- */

struct strips_call {
    espi_gemm_strips_fn *function;
    struct espi_strips strips;
};

static void run_strips(void *argument)
{
    struct strips_call *call = argument;
    call->function(&call->strips);
}

bool check_gemm_strips(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    size_t rows = 1 + espi_random_below(random, 70), strips = 1 + espi_random_below(random, 4);
    size_t inner = 1 + espi_random_below(random, espi_random_below(random, 4) ? 40 : 600);
    size_t pitch = (inner + espi_random_below(random, 3)) * ESPI_STRIP, columns = strips * ESPI_STRIP;
    struct buffer source = normals(random, rows * inner, 1);
    struct buffer right = normals(random, (strips - 1) * pitch + inner * ESPI_STRIP, 1);
    struct output out = output_new(random, rows * columns * sizeof(float));
    fill_normal(random, floats(&out.expected), rows * columns, 3);
    memcpy(out.found.data, out.expected.data, out.found.bytes);
    struct strips_call expected = {espi_gemm_strips_c,
                                   {.rows = rows,
                                    .columns = columns,
                                    .inner = inner,
                                    .source = floats(&source),
                                    .right = floats(&right),
                                    .pitch = pitch,
                                    .add = espi_random_below(random, 2),
                                    .target = floats(&out.expected)}};
    struct strips_call found = expected;
    found.function = (espi_gemm_strips_fn *)version->function;
    found.strips.target = floats(&out.found);
    const char *problem = compare_calls(run_strips, &expected, &found, &out, 1);
    if (problem)
        snprintf(failure, FAILURE_BYTES, "rows %zu, columns %zu, inner %zu%s: %s", rows, columns, inner,
                 expected.strips.add ? ", added" : "", problem);
    buffer_free(&source);
    buffer_free(&right);
    output_free(&out);
    return !problem;
}
