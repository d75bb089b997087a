/* SPDX-License-Identifier: Apache-2.0
 * The float and bf16 products, and the interleaving to bf16. */
#include "check.h"

#include "base/size.h"
#include "kernels/activation.h"
#include "kernels/pack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct buffer random_floats(struct espi_random *random, size_t count, float mean, float deviation)
{
    struct buffer buffer = buffer_new(random, count * sizeof(float));
    for (size_t i = 0; i < count; i++)
        ((float *)(void *)buffer.data)[i] = mean + deviation * espi_random_normal(random);
    return buffer;
}

static float *floats(const struct buffer *buffer)
{
    return (float *)(void *)buffer->data;
}

/* ---- interleave_bf16 ------------------------------------------------------------------------------------------------- */

struct interleave_call {
    espi_interleave_bf16_fn *function;
    const float *panel;
    size_t columns, width;
    uint16_t *out;
};

static void run_interleave(void *argument)
{
    struct interleave_call *call = argument;
    call->function(call->panel, call->columns, call->width, call->out);
}

bool check_interleave_bf16(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    size_t columns = 1 + espi_random_below(random, 100), width = (size_t)16 << espi_random_below(random, 3);
    struct buffer panel = random_floats(random, columns * width, 0, 3);
    for (size_t i = 0; i < columns * width; i++) // exact ties of rounding
        if (espi_random_below(random, 2)) {
            uint32_t bits = espi_random_u32(random) << 1 & 0xbfff8000;
            memcpy(panel.data + i * sizeof(float), &bits, sizeof(bits));
        }
    struct output out = output_new(random, (columns + 1) / 2 * 2 * width * sizeof(uint16_t));
    struct interleave_call expected = {espi_interleave_bf16_c, floats(&panel), columns, width,
                                       (uint16_t *)(void *)out.expected.data};
    struct interleave_call found = expected;
    found.function = (espi_interleave_bf16_fn *)version->function;
    found.out = (uint16_t *)(void *)out.found.data;
    const char *problem = compare_calls(run_interleave, &expected, &found, &out, 1);
    if (problem)
        snprintf(failure, FAILURE_BYTES, "columns %zu, width %zu: %s", columns, width, problem);
    buffer_free(&panel);
    output_free(&out);
    return !problem;
}

/* ---- products -------------------------------------------------------------------------------------------------------- */

struct product {
    bool bf16;
    size_t rows, columns, width, first, end;
    struct espi_float_quads quads;
    struct espi_epilogue epilogue;
    struct espi_activation_table activation;
    struct buffer weights, x, scale, bias;
};

struct product_call {
    espi_kernel_fn *function;
    const struct product *product;
    struct espi_epilogue epilogue;
};

static void run_product(void *argument)
{
    struct product_call *call = argument;
    const struct product *p = call->product;
    if (p->bf16)
        ((espi_gemm_bf16_fn *)call->function)(&p->quads, (const uint16_t *)(void *)p->x.data, p->width, p->first,
                                              p->end, &call->epilogue);
    else
        ((espi_gemm_f32_fn *)call->function)(&p->quads, floats(&p->x), p->width, p->first, p->end, &call->epilogue);
}

static void make_weights(struct espi_random *random, struct product *p)
{
    float *weights = calloc(p->rows * p->columns, sizeof(float));
    for (size_t i = 0; i < p->rows * p->columns; i++)
        weights[i] = espi_random_normal(random);
    struct espi_packing packing;
    if (espi_packing_float(NULL, p->rows, p->columns, p->bf16, &packing))
        abort();
    uint8_t *block = aligned_alloc(ESPI_PACK_ALIGN, packing.bytes);
    espi_pack_float(&packing, weights, block);
    p->weights = buffer_new(random, packing.groups * 16);
    memcpy(p->weights.data, block, p->weights.bytes);
    p->quads = (struct espi_float_quads){p->rows, p->columns, p->weights.data};
    free(weights);
    free(block);
}

static void make_case(struct espi_random *random, bool bf16, struct product *p)
{
    memset(p, 0, sizeof(*p));
    p->bf16 = bf16;
    p->rows = 1 + espi_random_below(random, 40);
    p->columns = 1 + espi_random_below(random, espi_random_below(random, 8) ? 60 : 1500);
    p->width = (size_t)16 << espi_random_below(random, 3);
    size_t quads = espi_quad_count(p->rows);
    bool part = espi_random_below(random, 3) == 0;
    p->first = part ? espi_random_below(random, quads) : 0;
    p->end = part ? p->first + espi_random_below(random, quads - p->first + 1) : quads;
    make_weights(random, p);
    struct buffer x = random_floats(random, p->columns * p->width, 0, 1);
    p->x = x;
    if (bf16) {
        p->x = buffer_new(random, (p->columns + 1) / 2 * p->width * 4);
        espi_interleave_bf16_c(floats(&x), p->columns, p->width, (uint16_t *)(void *)p->x.data);
        buffer_free(&x);
    }
    p->epilogue.kind = (enum espi_epilogue_kind)espi_random_below(random, 5);
    if (espi_activation_gelu(NULL, ESPI_CURVE_GELU, 0.03f, 6, &p->activation))
        abort();
    float spread = p->epilogue.kind == ESPI_EPILOGUE_U8 ? 100 : p->epilogue.kind == ESPI_EPILOGUE_U8_TABLE ? 3000 : 2;
    p->scale = random_floats(random, quads * 4, 0, spread / sqrtf((float)p->columns));
    p->bias = random_floats(random, quads * 4, spread / 2, spread / 4);
    p->epilogue.scale = floats(&p->scale);
    p->epilogue.bias = floats(&p->bias);
    p->epilogue.activation = &p->activation;
    p->epilogue.curve = espi_activation_curve((enum espi_curve)espi_random_below(random, 3));
}

/* A sum of n products differs by at most n roundings of its parts; with values around 1 and sums around sqrt(n) that is far
 * below this share of the scale. */
static const char *compare_bf16(const struct product *p, const struct output *out)
{
    if (!buffer_intact(&out->found))
        return "wrote outside its output";
    for (size_t i = 0; i < p->rows * p->width; i++) {
        size_t row = i / p->width;
        bool computed = row / 4 >= p->first && row / 4 < p->end;
        double bound = computed ? 2e-6 * (double)p->columns * (double)(fabsf(floats(&p->scale)[row]) + 1) : 0;
        double difference;
        if (p->epilogue.kind >= ESPI_EPILOGUE_F32)
            difference = fabs((double)floats(&out->expected)[i] - (double)floats(&out->found)[i]);
        else
            difference = fmax(abs(out->expected.data[i] - out->found.data[i]) - (computed ? 1 : 0), 0);
        if (!(difference <= bound))
            return "differs from the reference by more than the bound";
    }
    return NULL;
}

static bool check_product(struct espi_random *random, bool bf16, const struct version *version,
                          char failure[FAILURE_BYTES])
{
    struct product p;
    make_case(random, bf16, &p);
    size_t element = p.epilogue.kind >= ESPI_EPILOGUE_F32 ? sizeof(float) : 1;
    struct output out = output_new(random, p.rows * p.width * element);
    for (size_t i = 0; element > 1 && i < p.rows * p.width; i++)
        floats(&out.expected)[i] = floats(&out.found)[i] = espi_random_normal(random);
    struct product_call expected = {(espi_kernel_fn *)espi_gemm_f32_c, &p, p.epilogue};
    if (bf16)
        expected.function = (espi_kernel_fn *)espi_gemm_bf16_c;
    expected.epilogue.out = out.expected.data;
    struct product_call found = {version->function, &p, p.epilogue};
    found.epilogue.out = out.found.data;
    const char *problem = compare_calls(run_product, &expected, &found, &out, bf16 ? 0 : 1);
    if (!problem && bf16)
        problem = compare_bf16(&p, &out);
    if (problem)
        snprintf(failure, FAILURE_BYTES, "rows %zu, columns %zu, width %zu, quads %zu..%zu, epilogue %d: %s", p.rows,
                 p.columns, p.width, p.first, p.end, (int)p.epilogue.kind, problem);
    buffer_free(&p.weights);
    buffer_free(&p.x);
    buffer_free(&p.scale);
    buffer_free(&p.bias);
    output_free(&out);
    return !problem;
}

bool check_gemm_f32(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    return check_product(random, false, version, failure);
}

bool check_gemm_bf16(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    return check_product(random, true, version, failure);
}
