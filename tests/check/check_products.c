/* SPDX-License-Identifier: Apache-2.0
 * The int8 products: random shapes, sparsities, extreme values, row ranges, all epilogues. */
#include "check.h"

#include "base/size.h"
#include "kernels/activation.h"
#include "kernels/pack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every array is a buffer of its own, so that each has its own forbidden pages. */
struct product {
    bool sparse, ties, forged;
    size_t rows, columns, width, first, end;
    double density;
    struct espi_quads quads;
    struct espi_epilogue epilogue;
    struct espi_activation_table activation;
    struct buffer x, weights, indices, starts, order, pairs, memo, start, scale, bias, token_scale, expected, found;
};

struct call {
    espi_gemm_u8s8_fn *function;
    const struct product *product;
    struct espi_epilogue epilogue;
};

static void run(void *argument)
{
    struct call *call = argument;
    const struct product *p = call->product;
    call->function(&p->quads, p->x.data, p->width, p->first, p->end, &call->epilogue);
}

/* ---- random cases ---------------------------------------------------------------------------------------------------- */

static size_t between(struct espi_random *random, size_t low, size_t high)
{
    return low + espi_random_below(random, high - low + 1);
}

/* Weights, order and input that lead to other sums where a pair is taken for what it is not. */
static bool is_forged(struct espi_random *random, const struct product *p)
{
    return !p->sparse && p->columns <= 100 && espi_random_below(random, 4) == 0;
}

/* Mostly small with tails; now and then the shapes of real layers and the longest sums. */
static void choose_shape(struct espi_random *random, struct product *p)
{
    p->width = (size_t)16 << espi_random_below(random, 3);
    p->rows = between(random, 1, 40);
    p->columns = between(random, 1, 100);
    switch (espi_random_below(random, 16)) {
    case 0:
        p->rows = between(random, 1, 9);
        p->columns = between(random, 1000, 4000);
        break;
    case 1:
        p->rows = between(random, 1, 5);
        p->columns = ESPI_MAX_COLUMNS - espi_random_below(random, 5);
        break;
    case 2:
        p->rows = between(random, 100, 400);
        p->columns = between(random, 1, 8);
        break;
    default:
        break;
    }
    size_t quads = espi_quad_count(p->rows);
    bool part = espi_random_below(random, 3) == 0;
    p->first = part ? espi_random_below(random, quads) : 0;
    p->end = part ? between(random, p->first, quads) : quads;
}

/* A weight from a random number. */
static int8_t weight_of(uint64_t draw, uint64_t fill)
{
    bool one = draw & 1, most = draw >> 1 & 15, some = (draw >> 5 & 3) == 0;
    switch (fill) {
    case 0:
        return INT8_MIN;
    case 1:
        return INT8_MAX;
    case 2:
        return one ? INT8_MIN : INT8_MAX;
    case 3: // pairs just within ESPI_PAIR_LIMIT and just beyond
        return (int8_t)((64 + one) * (most ? 1 : -1));
    case 4: // four that just fit 16 bits and that just do not
        return (int8_t)((32 + some) * (most ? 1 : -1));
    case 5: // as trained: hardly a pair beyond it
        return (int8_t)(bulk_bell(draw) / 5);
    default:
        return (int8_t)draw;
    }
}

/* Two groups of a row just fit 16 bits, unless one of the few larger weights is among them. */
static int8_t forged_weight(uint64_t draw, size_t row)
{
    int weight = 32 + (draw % 32 == 0);
    return (int8_t)(row % 2 ? -weight : weight);
}

enum { TIES = 100 };

/* An input of a panel from a random byte. */
static uint8_t input_of(uint8_t byte, uint64_t fill)
{
    switch (fill) {
    case 0:
        return UINT8_MAX;
    case 1:
        return 0;
    case 2:
        return byte & 1 ? UINT8_MAX : 0;
    case TIES:
        return byte & 1;
    default:
        return byte;
    }
}

static struct buffer copy(struct espi_random *random, const void *data, size_t bytes)
{
    struct buffer buffer = buffer_new(random, bytes);
    memcpy(buffer.data, data, bytes);
    return buffer;
}

/* The groups as they come, often one of them twice; any numbers of pairs that fit. */
static void forge_order(struct espi_random *random, struct product *p)
{
    size_t groups = (p->columns + 3) / 4; // of one segment
    for (size_t i = 0; i < p->order.bytes; i++)
        p->order.data[i] = (uint8_t)(i % groups);
    for (size_t quad = 0; quad < espi_quad_count(p->rows); quad++) {
        size_t left = groups / 2;
        for (size_t kind = 0; kind < ESPI_PAIR_KINDS; kind++) {
            size_t count = espi_random_below(random, espi_size_min(left, 3) + 1);
            p->pairs.data[quad * ESPI_PAIR_KINDS + kind] = (uint8_t)count;
            left -= count;
        }
        if (espi_random_below(random, 2))
            p->order.data[quad * groups + espi_random_below(random, groups)] =
                (uint8_t)espi_random_below(random, groups);
    }
}

/* The order of dense groups that AVX2 reads, as packed or damaged. */
static void make_order(struct espi_random *random, const struct espi_packing *packing, const uint8_t *block,
                       struct product *p)
{
    p->order = copy(random, block + packing->order, packing->groups);
    p->pairs =
        copy(random, block + packing->pairs, espi_quad_count(p->rows) * espi_segments(p->columns) * ESPI_PAIR_KINDS);
    uint64_t damage = p->forged ? 3 : espi_random_below(random, 8);
    if (p->forged)
        forge_order(random, p);
    if (damage == 0) // a group twice, or one that is not there
        p->order.data[espi_random_below(random, packing->groups)] = (uint8_t)espi_random_u32(random);
    if (damage == 1) // pairs of groups as they come
        for (size_t i = 0; i < packing->groups; i++)
            p->order.data[i] = (uint8_t)(i % ((p->columns + 3) / 4) % ESPI_SEGMENT_GROUPS);
    if (damage == 2) // another number of pairs
        p->pairs.data[espi_random_below(random, p->pairs.bytes)] = (uint8_t)espi_random_below(random, 9);
    p->quads.order = p->order.data;
    p->quads.pairs = p->pairs.data;
}

/* Slots `a` and `b` of a sparse quad's groups change places. */
static void swap_slots(struct product *p, size_t a, size_t b)
{
    uint16_t *indices = (uint16_t *)(void *)p->indices.data, index = indices[a];
    indices[a] = indices[b];
    indices[b] = index;
    for (size_t row = 0; row < ESPI_QUAD; row++) {
        uint8_t *one = p->weights.data + a / 4 * 16 + row * 4 + a % 4,
                *other = p->weights.data + b / 4 * 16 + row * 4 + b % 4;
        uint8_t weight = *one;
        *one = *other;
        *other = weight;
    }
}

/* The columns of sparse quads, as packed or in any order. */
static void make_columns(struct espi_random *random, const struct espi_packing *packing, const uint8_t *block,
                         struct product *p)
{
    p->indices = copy(random, block + packing->indices, packing->groups * 4 * sizeof(uint16_t));
    p->starts = copy(random, block + packing->starts, (espi_quad_count(p->rows) + 1) * sizeof(uint32_t));
    p->quads.indices = (const uint16_t *)(void *)p->indices.data;
    p->quads.starts = (const uint32_t *)(void *)p->starts.data;
    if (espi_random_below(random, 4))
        return;
    for (size_t quad = 0; quad < espi_quad_count(p->rows); quad++) {
        size_t begin = p->quads.starts[quad] * 4UL, slots = p->quads.starts[quad + 1] * 4UL - begin;
        for (size_t i = 0; i < slots; i++)
            swap_slots(p, begin + i, begin + espi_random_below(random, slots));
    }
}

static void make_weights(struct espi_random *random, struct product *p)
{
    int8_t *weights = calloc(p->rows, p->columns);
    uint64_t fill = espi_random_below(random, 8);
    static const double densities[] = {0, 1, 0.05, 0.2, 0.5};
    p->density = p->sparse ? densities[espi_random_below(random, ESPI_COUNT(densities))] : 1;
    uint64_t state = espi_random_u32(random);
    for (size_t quad = 0; quad < espi_quad_count(p->rows); quad++)
        for (size_t column = 0; column < p->columns; column++) {
            if ((double)(bulk_random(&state) >> 11) * 0x1p-53 >= p->density)
                continue;
            for (size_t row = quad * 4; row < p->rows && row < quad * 4 + 4; row++)
                weights[row * p->columns + column] =
                    p->forged ? forged_weight(bulk_random(&state), row) : weight_of(bulk_random(&state), fill);
        }
    struct espi_packing packing;
    int status = p->sparse ? espi_packing_sparse(NULL, p->rows, p->columns,
                                                 espi_count_groups(weights, p->rows, p->columns), &packing)
                           : espi_packing_dense(NULL, p->rows, p->columns, &packing);
    uint8_t *block = aligned_alloc(ESPI_PACK_ALIGN, packing.bytes);
    if (status || !block)
        abort();
    espi_pack(&packing, weights, block);
    p->quads = (struct espi_quads){.rows = p->rows, .columns = p->columns};
    p->weights = copy(random, block + packing.weights, packing.groups * 16);
    p->quads.weights = (const int8_t *)p->weights.data;
    if (p->sparse)
        make_columns(random, &packing, block, p);
    else
        make_order(random, &packing, block, p);
    free(weights);
    free(block);
}

/* What the version keeps about the weights, in half the cases. */
static void make_memo(struct espi_random *random, const struct version *version, struct product *p)
{
    size_t bytes = version->kernel ? espi_kernel_memo(version->kernel, &p->quads, NULL) : 0;
    bool wanted = espi_random_below(random, 2);
    p->memo = buffer_new(random, bytes);
    if (!bytes || !wanted)
        return;
    espi_kernel_memo(version->kernel, &p->quads, p->memo.data);
    p->quads.memo = p->memo.data;
}

/* Values spread so that outputs cover 0 .. 255 and both clamps; or halves, so that
 * every second output is a tie of rounding (with inputs of 0 and 1); or extreme ones that overflow every conversion. */
static void make_epilogue(struct espi_random *random, struct product *p)
{
    size_t rows = espi_quad_count(p->rows) * 4;
    uint64_t mode = espi_random_below(random, 5);
    bool extreme = mode == 0, ties = p->ties = mode == 1;
    p->start = buffer_new(random, rows * sizeof(int32_t));
    p->scale = buffer_new(random, rows * sizeof(float));
    p->bias = buffer_new(random, rows * sizeof(float));
    p->token_scale = buffer_new(random, p->width * sizeof(float));
    float typical = 0.02f / sqrtf((float)p->columns);
    for (size_t row = 0; row < rows; row++) {
        ((int32_t *)(void *)p->start.data)[row] = (int32_t)espi_random_u32(random) >> (extreme ? 0 : ties ? 24 : 14);
        float scale = ties ? 0.5f : typical * (0.1f + espi_random_uniform(random));
        ((float *)(void *)p->scale.data)[row] = extreme ? scale * 1e12f : scale;
        ((float *)(void *)p->bias.data)[row] = ties ? 60 : 60 + (extreme ? 4e9f : 100.0f) * espi_random_normal(random);
    }
    for (size_t token = 0; token < p->width; token++)
        ((float *)(void *)p->token_scale.data)[token] = 0.01f + 2 * espi_random_uniform(random);
    float step = expf(3 * espi_random_normal(random) - 4);
    int zero_point = (int)espi_random_below(random, espi_random_below(random, 2) ? 16 : 128);
    if (espi_activation_gelu(NULL, ESPI_CURVE_GELU, step, zero_point, &p->activation))
        abort();
    p->epilogue = (struct espi_epilogue){
        .kind = (enum espi_epilogue_kind)espi_random_below(random, 5),
        .start = (const int32_t *)(void *)p->start.data,
        .scale = (const float *)(void *)p->scale.data,
        .bias = (const float *)(void *)p->bias.data,
        .token_scale = espi_random_below(random, 2) ? (const float *)(void *)p->token_scale.data : NULL,
        .activation = &p->activation,
        .curve = espi_activation_curve((enum espi_curve)espi_random_below(random, 3)),
    };
    float factor = 1;
    p->epilogue.far = p->epilogue.kind == ESPI_EPILOGUE_F32_ADD && espi_random_below(random, 2);
    if (p->epilogue.kind == ESPI_EPILOGUE_U8_TABLE && !extreme) // its values are 2^shift finer
        factor = (float)(1 << p->activation.shift);
    if (p->epilogue.kind == ESPI_EPILOGUE_F32_CURVE && !extreme) // bent between -5 and 5
        factor = 0.03f;
    for (size_t row = 0; row < rows; row++) {
        ((float *)(void *)p->scale.data)[row] *= factor;
        ((float *)(void *)p->bias.data)[row] *= factor;
    }
}

static void make_case(struct espi_random *random, bool sparse, const struct version *version, struct product *p)
{
    memset(p, 0, sizeof(*p));
    p->sparse = sparse;
    choose_shape(random, p);
    p->forged = is_forged(random, p);
    make_weights(random, p);
    make_memo(random, version, p);
    make_epilogue(random, p);
    p->x = buffer_new(random, (sparse ? p->columns : (p->columns + 3) / 4 * 4) * p->width);
    uint64_t fill = p->ties ? TIES : p->forged ? 0 : espi_random_below(random, 8);
    buffer_fill(random, &p->x);
    for (size_t i = 0; i < p->x.bytes; i++)
        p->x.data[i] = input_of(p->x.data[i], fill);
    size_t element = p->epilogue.kind >= ESPI_EPILOGUE_F32 ? sizeof(float) : 1;
    p->expected = buffer_new(random, p->rows * p->width * element);
    p->found = buffer_new(random, p->rows * p->width * element);
    for (size_t i = 0; i < p->rows * p->width; i++) // also the old values of an addition: finite floats
        if (element == 1)
            p->expected.data[i] = 0xa5;
        else
            ((float *)(void *)p->expected.data)[i] = espi_random_normal(random);
    memcpy(p->found.data, p->expected.data, p->found.bytes);
}

static void free_case(struct product *p)
{
    struct buffer *buffers[] = {&p->x,     &p->weights, &p->indices, &p->starts,      &p->order,    &p->pairs, &p->memo,
                                &p->start, &p->scale,   &p->bias,    &p->token_scale, &p->expected, &p->found};
    for (size_t i = 0; i < ESPI_COUNT(buffers); i++)
        buffer_free(buffers[i]);
}

/* ---- comparison -------------------------------------------------------------------------------------------------------- */

static void describe(const struct product *p, const char *problem, char failure[FAILURE_BYTES])
{
    static const char *const kinds[] = {"u8", "u8 table", "f32", "f32 add", "f32 curve"};
    int length =
        snprintf(failure, FAILURE_BYTES, "rows %zu, columns %zu, width %zu, quads %zu..%zu, density %g, %s%s: %s",
                 p->rows, p->columns, p->width, p->first, p->end, p->density, kinds[p->epilogue.kind],
                 p->epilogue.token_scale ? ", token scales" : "", problem);
    for (size_t i = 0; i < p->found.bytes && length < FAILURE_BYTES; i++)
        if (p->expected.data[i] != p->found.data[i]) {
            size_t element = p->epilogue.kind >= ESPI_EPILOGUE_F32 ? i / sizeof(float) : i;
            snprintf(failure + length, (size_t)(FAILURE_BYTES - length),
                     "; first at row %zu, token %zu: byte %02x, expected %02x", element / p->width, element % p->width,
                     p->found.data[i], p->expected.data[i]);
            break;
        }
}

static bool check_product(struct espi_random *random, bool sparse, const struct version *version,
                          char failure[FAILURE_BYTES])
{
    struct product p;
    make_case(random, sparse, version, &p);
    struct call reference = {sparse ? espi_sparse_u8s8_c : espi_gemm_u8s8_c, &p, p.epilogue};
    struct call call = {(espi_gemm_u8s8_fn *)version->function, &p, p.epilogue};
    reference.epilogue.out = p.expected.data;
    run(&reference);
    call.epilogue.out = p.found.data;
    const char *problem = NULL;
    if (!guarded_call(run, &call))
        problem = guarded_signal();
    else if (!buffer_intact(&p.memo))
        problem = "its memo is larger than it says";
    else if (!buffer_intact(&p.found))
        problem = "wrote outside its output";
    else if (memcmp(p.expected.data, p.found.data, p.found.bytes))
        problem = "differs from the reference";
    if (problem)
        describe(&p, problem, failure);
    free_case(&p);
    return !problem;
}

bool check_gemm_u8s8(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    return check_product(random, false, version, failure);
}

bool check_sparse_u8s8(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    return check_product(random, true, version, failure);
}
