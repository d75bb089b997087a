/* SPDX-License-Identifier: Apache-2.0
 * The choice of kernels, quad packing, the activation table. */
#include "support.h"

#include "base/memory.h"
#include "base/random.h"
#include "kernels/activation.h"
#include "kernels/pack.h"
#include "kernels/peak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int open_context(void **state)
{
    *state = esp_context_new();
    return *state ? 0 : -1;
}

static int close_context(void **state)
{
    esp_context_free(*state);
    return 0;
}

/* ---- choice ------------------------------------------------------------------------------------------------------------ */

static void test_rows_end_with_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < espi_kernel_count; i++) {
        bool last = i + 1 == espi_kernel_count || espi_kernels[i + 1].op != espi_kernels[i].op;
        assert_int_equal(last, espi_kernels[i].isa == ESPI_ISA_c);
    }
}

static void test_choice_without_features(void **state)
{
    (void)state;
    struct espi_kernel_set set;
    espi_kernels_choose(0, (enum espi_isa)(ESPI_ISA_COUNT - 1), &set);
    assert_ptr_equal(set.gemm_u8s8, espi_gemm_u8s8_c);
    assert_ptr_equal(set.sparse_u8s8, espi_sparse_u8s8_c);
    for (int op = 0; op < ESPI_OP_COUNT; op++)
        assert_int_equal(set.chosen[op]->isa, ESPI_ISA_c);
}

static void test_isa_names(void **state)
{
    esp_context *ctx = *state;
    enum espi_isa isa;
    test_ok(ctx, espi_isa_parse(ctx, "c", &isa));
    assert_int_equal(isa, ESPI_ISA_c);
    test_fails(ctx, espi_isa_parse(ctx, "AVX2", &isa), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "expected one of c");
    test_error_has(ctx, "found \"AVX2\"");
}

static void test_environment(void **state)
{
    esp_context *ctx = *state;
    struct espi_kernel_set set;
    setenv("ESPALIER_ISA", "c", 1);
    test_ok(ctx, espi_kernels_choose_default(ctx, &set));
    assert_ptr_equal(set.interleave_u8, espi_interleave_u8_c);
    setenv("ESPALIER_ISA", "mmx", 1);
    test_fails(ctx, espi_kernels_choose_default(ctx, &set), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "ESPALIER_ISA: ");
    setenv("ESPALIER_ISA", "", 1);
    test_ok(ctx, espi_kernels_choose_default(ctx, &set));
    unsetenv("ESPALIER_ISA");
    test_ok(ctx, espi_kernels_choose_default(ctx, &set));
}

/* ---- packing ----------------------------------------------------------------------------------------------------------- */

/* 6 x 5: two quads, the second of two rows; two groups, the second of one column. */
static void test_dense_bytes(void **state)
{
    esp_context *ctx = *state;
    int8_t weights[6 * 5];
    for (int i = 0; i < 30; i++)
        weights[i] = (int8_t)(i + 1);
    struct espi_packing packing;
    test_ok(ctx, espi_packing_dense(ctx, 6, 5, &packing));
    assert_int_equal(packing.weights, 0);
    assert_int_equal(packing.order, 64);
    assert_int_equal(packing.pairs, 128);
    assert_int_equal(packing.bytes, 192);
    uint8_t block[192];
    espi_pack(&packing, weights, block);
    static const uint8_t expected[64] = {
        1,  2,  3,  4,  6,  7,  8,  9,  11, 12, 13, 14, 16, 17, 18, 19, // quad 0: rows 0-3, columns 0-3
        5,  0,  0,  0,  10, 0,  0,  0,  15, 0,  0,  0,  20, 0,  0,  0,  // column 4
        21, 22, 23, 24, 26, 27, 28, 29, 0,  0,  0,  0,  0,  0,  0,  0,  // quad 1: rows 4-5
        25, 0,  0,  0,  30, 0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
    };
    static const uint8_t order[4] = {0, 1, 0, 1}, pairs[10] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0};
    assert_memory_equal(block, expected, 64);
    assert_memory_equal(block + 64, order, 4);
    assert_memory_equal(block + 128, pairs, 10);
}

/* Group 1 alone is too heavy in row 2, so it takes group 0, with which it fits but for that row, and leaves 2 and 3 to each
 * other. Group 4 is too heavy in two rows. */
static void test_pairs(void **state)
{
    (void)state;
    static const int8_t groups[5][4][4] = {{{100, 0, 0, -128}, {0}, {0}, {64, 0, 0, 0}},
                                           {{0}, {0}, {127, 2, 0, 0}, {0}},
                                           {{0}, {1}, {0}, {0}},
                                           {{28, 0, 127, 0}, {0}, {0}, {0, 64, 0, 0}},
                                           {{100, 100, 0, 0}, {-128, -1}, {0}, {0}}};
    uint8_t order[5], pairs[ESPI_PAIR_KINDS];
    espi_pairs_find(groups[0][0], 5, order, pairs);
    static const uint8_t expected[5] = {3, 2, 1, 0, 4}, counts[ESPI_PAIR_KINDS] = {1, 0, 0, 1, 0};
    assert_memory_equal(pairs, counts, sizeof(counts));
    assert_memory_equal(order, expected, sizeof(expected));
}

/* Of rows of normally distributed weights nearly all groups find a partner, and every group is named once. */
static void test_pairs_of_normal_weights(void **state)
{
    (void)state;
    struct espi_random random = {.seed = 3};
    int8_t weights[192 * 16];
    for (size_t i = 0; i < sizeof(weights); i++)
        weights[i] = (int8_t)fmaxf(-127, fminf(127, 39 * espi_random_normal(&random)));
    uint8_t order[192], pairs[ESPI_PAIR_KINDS], named[192] = {0};
    espi_pairs_find(weights, 192, order, pairs);
    size_t found = 0;
    for (size_t i = 0; i < 192; i++)
        assert_int_equal(named[order[i]]++, 0);
    for (size_t kind = 0; kind < ESPI_PAIR_KINDS; kind++)
        found += pairs[kind];
    assert_true(pairs[0] > 75 && found > 90);
}

static void test_sparse_bytes(void **state)
{
    esp_context *ctx = *state;
    int8_t weights[5 * 300] = {0};
    weights[0 * 300 + 7] = 1;   // quad 0 keeps columns 7 and 258
    weights[3 * 300 + 258] = 2; // quad 1 (row 4) keeps nothing
    assert_int_equal(espi_count_groups(weights, 5, 300), 1);
    struct espi_packing packing;
    test_ok(ctx, espi_packing_sparse(ctx, 5, 300, 1, &packing));
    assert_int_equal(packing.indices, 64);
    assert_int_equal(packing.starts, 128);
    assert_int_equal(packing.bytes, 192);
    _Alignas(4) uint8_t block[192];
    espi_pack(&packing, weights, block);
    static const uint8_t dwords[16] = {0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0};
    static const uint8_t indices[8] = {2, 1, 7, 0, 7, 0, 7, 0}; // the last column fills the group
    static const uint8_t starts[12] = {0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0};
    assert_memory_equal(block, dwords, 16);
    assert_memory_equal(block + 64, indices, 8);
    assert_memory_equal(block + 128, starts, 12);
}

/* Columns 0 to 3 and 4 to 7 add up to 128 either way, so they make a pair of groups; 8 fits with no three others. */
static void test_sparse_order(void **state)
{
    esp_context *ctx = *state;
    static const int8_t weights[9] = {100, -100, 28, -28, 64, 64, -64, -64, 127};
    struct espi_packing packing;
    test_ok(ctx, espi_packing_sparse(ctx, 1, 9, espi_count_groups(weights, 1, 9), &packing));
    _Alignas(4) uint8_t block[192];
    espi_pack(&packing, weights, block);
    static const uint16_t indices[12] = {0, 1, 4, 5, 2, 3, 6, 7, 8, 8, 8, 8};
    static const int8_t first[4] = {100, -100, 64, 64};
    assert_memory_equal(block + packing.indices, indices, sizeof(indices));
    assert_memory_equal(block, first, sizeof(first));
}

/* A four without another one falls apart into twos. */
static void test_odd_four(void **state)
{
    (void)state;
    static const int8_t weights[5] = {10, 20, 30, 40, -128};
    static const uint16_t expected[5] = {4, 3, 2, 1, 0};
    uint16_t columns[5] = {0, 1, 2, 3, 4};
    espi_columns_order(weights, 1, 5, columns, 5);
    assert_memory_equal(columns, expected, sizeof(expected));
}

/* The sum of the positive or of the negative weights of a row's slots `slot` and `slot` + 1 in two groups' columns. */
static int four_load(const int8_t *row, const uint16_t *columns, size_t slot, int sign)
{
    int load = 0;
    for (size_t i = 0; i < 4; i++) {
        int weight = sign * row[columns[i / 2 * 4 + slot + i % 2]];
        load += weight > 0 ? weight : 0;
    }
    return load;
}

/* Of normally distributed weights most columns stand in pairs of groups, and every one is named once. */
static void test_order_of_normal_weights(void **state)
{
    (void)state;
    enum { COLUMNS = 152 };
    struct espi_random random = {.seed = 5};
    int8_t weights[4 * COLUMNS];
    uint16_t columns[COLUMNS];
    bool named[COLUMNS] = {false};
    for (size_t i = 0; i < sizeof(weights); i++)
        weights[i] = (int8_t)fmaxf(-127, fminf(127, 39 * espi_random_normal(&random)));
    for (size_t i = 0; i < COLUMNS; i++)
        columns[i] = (uint16_t)i;
    espi_columns_order(weights, 4, COLUMNS, columns, COLUMNS);
    for (size_t i = 0; i < COLUMNS; i++) {
        assert_false(named[columns[i]]);
        named[columns[i]] = true;
    }
    size_t pairs = 0;
    for (bool fits = true; fits && (pairs + 1) * 8 <= COLUMNS; pairs += fits)
        for (size_t row = 0; row < 4; row++)
            for (size_t slot = 0; slot < 4; slot += 2)
                for (int sign = -1; sign < 2; sign += 2)
                    fits = fits && four_load(weights + row * COLUMNS, columns + pairs * 8, slot, sign) <= 128;
    assert_true(pairs >= 14); // of 19
}

static void round_trip(esp_context *ctx, size_t rows, size_t columns, bool sparse)
{
    struct espi_random random = {.seed = rows * 1000 + columns};
    int8_t *weights = espi_calloc(ctx, rows, columns), *back = espi_calloc(ctx, rows, columns);
    for (size_t i = 0; i < rows * columns; i++)
        if (!sparse || espi_random_below(&random, 4) == 0)
            weights[i] = (int8_t)espi_random_u32(&random);
    struct espi_packing packing;
    if (sparse)
        test_ok(ctx, espi_packing_sparse(ctx, rows, columns, espi_count_groups(weights, rows, columns), &packing));
    else
        test_ok(ctx, espi_packing_dense(ctx, rows, columns, &packing));
    uint8_t *block = espi_calloc_aligned(ctx, packing.bytes, 1);
    espi_pack(&packing, weights, block);
    struct espi_quads quads;
    test_ok(ctx, espi_quads_view(ctx, &packing, block, packing.bytes, &quads));
    espi_unpack(&quads, back);
    assert_memory_equal(weights, back, rows * columns);
    free(weights);
    free(back);
    free(block);
}

static void test_round_trip(void **state)
{
    for (size_t rows = 1; rows < 10; rows++)
        for (size_t columns = 1; columns < 12; columns++) {
            round_trip(*state, rows, columns, false);
            round_trip(*state, rows, columns, true);
        }
    round_trip(*state, 3, ESPI_MAX_COLUMNS, true);
}

/* 5 x 3: two quads; bf16 in two pairs of columns, rounded to even. */
static void test_float_packing(void **state)
{
    esp_context *ctx = *state;
    static const float weights[5 * 3] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 1.00390625f};
    struct espi_packing packing;
    test_ok(ctx, espi_packing_float(ctx, 5, 3, false, &packing));
    assert_int_equal(packing.bytes, 128);
    float *block = espi_calloc_aligned(ctx, packing.bytes, 1);
    espi_pack_float(&packing, weights, (uint8_t *)block);
    static const float expected[24] = {1,  4, 7, 10, 2,  5, 8, 11, 3,           6, 9, 12,
                                       13, 0, 0, 0,  14, 0, 0, 0,  1.00390625f, 0, 0, 0};
    assert_memory_equal(block, expected, sizeof(expected));

    test_ok(ctx, espi_packing_float(ctx, 5, 3, true, &packing));
    assert_int_equal(packing.bytes, 64);
    espi_pack_float(&packing, weights, (uint8_t *)block);
    const uint16_t *halves = (const uint16_t *)(const void *)block;
    static const uint16_t first[8] = {0x3f80, 0x4000, 0x4080, 0x40a0, 0x40e0, 0x4100, 0x4120, 0x4130};
    assert_memory_equal(halves, first, sizeof(first));
    assert_int_equal(halves[8], 0x4040);     // 3, alone in its pair
    assert_int_equal(halves[9], 0);          //
    assert_int_equal(halves[16], 0x4150);    // 13
    assert_int_equal(halves[3 * 8], 0x3f80); // 1.00390625 lies half-way between 1 and 1.0078125
    free(block);
}

static void test_start(void **state)
{
    (void)state;
    static const int8_t weights[2 * 3] = {1, 2, -128, 127, 127, 127};
    int32_t start[4] = {9, 9, 9, 9};
    espi_pack_start(weights, 2, 3, 10, start);
    static const int32_t expected[4] = {1250, -3810, 0, 0};
    assert_memory_equal(start, expected, sizeof(expected));
}

static void test_limits(void **state)
{
    esp_context *ctx = *state;
    struct espi_packing packing;
    test_fails(ctx, espi_packing_dense(ctx, 0, 4, &packing), ESP_ERR_LIMIT);
    test_fails(ctx, espi_packing_dense(ctx, 4, 0, &packing), ESP_ERR_LIMIT);
    test_fails(ctx, espi_packing_dense(ctx, 4, ESPI_MAX_COLUMNS + 1, &packing), ESP_ERR_LIMIT);
    test_error_has(ctx, "matrix of 4 x 65537");
    test_fails(ctx, espi_packing_sparse(ctx, SIZE_MAX, 4, 1, &packing), ESP_ERR_LIMIT);
    test_fails(ctx, espi_packing_sparse(ctx, 4, 4, (size_t)UINT32_MAX + 1, &packing), ESP_ERR_LIMIT);
    test_error_has(ctx, "too large");
    test_ok(ctx, espi_packing_sparse(ctx, 4, ESPI_MAX_COLUMNS, 0, &packing));
}

/* A block from a file: nothing in it may lead a kernel outside. */
static void test_view_refuses(void **state)
{
    esp_context *ctx = *state;
    struct espi_packing packing;
    struct espi_quads quads;
    test_ok(ctx, espi_packing_sparse(ctx, 8, 10, 2, &packing));
    uint8_t *block = espi_calloc_aligned(ctx, packing.bytes, 1);
    uint32_t *starts = (uint32_t *)(void *)(block + packing.starts);
    uint16_t *indices = (uint16_t *)(void *)(block + packing.indices);
    starts[1] = 1, starts[2] = 2, indices[7] = 9;
    test_ok(ctx, espi_quads_view(ctx, &packing, block, packing.bytes, &quads));
    test_fails(ctx, espi_quads_view(ctx, &packing, block, packing.bytes - 64, &quads), ESP_ERR_FORMAT);
    test_error_has(ctx, "weights: expected 192 bytes, found 128");
    assert_null(quads.weights);
    indices[7] = 10;
    test_fails(ctx, espi_quads_view(ctx, &packing, block, packing.bytes, &quads), ESP_ERR_FORMAT);
    test_error_has(ctx, "group 1: expected a column below 10, found 10");
    indices[7] = 0, starts[1] = 3;
    test_fails(ctx, espi_quads_view(ctx, &packing, block, packing.bytes, &quads), ESP_ERR_FORMAT);
    test_error_has(ctx, "quad 1: expected groups in order, found 2 after 3");
    starts[1] = 1, starts[2] = 3;
    test_fails(ctx, espi_quads_view(ctx, &packing, block, packing.bytes, &quads), ESP_ERR_FORMAT);
    test_error_has(ctx, "expected groups 0 to 2, found 0 to 3");
    starts[0] = 1, starts[2] = 2;
    test_fails(ctx, espi_quads_view(ctx, &packing, block, packing.bytes, &quads), ESP_ERR_FORMAT);
    test_ok(ctx, espi_packing_sparse(ctx, 8, 4, 2, &packing));
    starts[0] = starts[1] = 0, starts[2] = 2;
    test_fails(ctx, espi_quads_view(ctx, &packing, block, packing.bytes, &quads), ESP_ERR_FORMAT);
    test_error_has(ctx, "quad 1: expected at most 1 groups for 4 columns, found 2");
    free(block);
}

/* ---- activation -------------------------------------------------------------------------------------------------------- */

static double gelu(double x)
{
    return 0.5 * x * (1 + erf(x * M_SQRT1_2));
}

/* Root mean square and largest error of the table, in output steps, over normal inputs. */
static void activation_error(esp_context *ctx, enum espi_curve kind, float step, int zero_point, double *rms,
                             double *largest)
{
    struct espi_activation_table a;
    test_ok(ctx, espi_activation_gelu(ctx, kind, step, zero_point, &a));
    double unit = (double)step / (1 << a.shift), sum = 0, weights = 0;
    *largest = 0;
    for (int p = INT16_MIN; p <= INT16_MAX; p++) {
        double x = p * unit, exact = kind == ESPI_CURVE_RELU ? fmax(x, 0) : gelu(x);
        double wanted = fmin(fmax(exact / (double)step + zero_point, 0), 255);
        size_t index = (size_t)abs(p) * a.index_scale >> 16;
        int found = ((p > 0 ? p : 0) + a.table[index < 127 ? index : 127]) >> a.shift;
        double error = fabs((found < 255 ? found : 255) - wanted), density = exp(-x * x / 2);
        sum += error * error * density;
        weights += density;
        *largest = fmax(*largest, error);
    }
    *rms = sqrt(sum / weights);
}

/* Rounding alone gives 0.289 and 0.5. */
static void test_activation_accuracy(void **state)
{
    double rms, largest;
    for (float step = 0.008f; step < 0.2f; step *= 1.3f) {
        int zero_point = (int)lrint(0.17 / (double)step);
        activation_error(*state, ESPI_CURVE_GELU, step, zero_point, &rms, &largest);
        assert_true(rms < 0.40);
        assert_true(largest < 1.4);
    }
    activation_error(*state, ESPI_CURVE_GELU_TANH, 0.03f, 6, &rms, &largest);
    assert_true(rms < 0.40);
    activation_error(*state, ESPI_CURVE_RELU, 0.03f, 0, &rms, &largest);
    assert_true(largest <= 0.5);
}

/* Largest error of the curve, through an epilogue that leaves x as it is. */
static double curve_error(enum espi_curve kind, float low, float high)
{
    enum { STEPS = 200000 };
    static const float one[4] = {1}, zero[4] = {0};
    double worst = 0;
    for (int i = 0; i < STEPS; i += 16) {
        float x[16], out[16];
        for (int j = 0; j < 16; j++)
            x[j] = low + (high - low) * (float)(i + j) / STEPS;
        struct espi_float_quads identity = {1, 1, one};
        struct espi_epilogue epilogue = {.kind = ESPI_EPILOGUE_F32_CURVE, .scale = one, .bias = zero, .out = out};
        epilogue.curve = espi_activation_curve(kind);
        espi_gemm_f32_c(&identity, x, 16, 0, 1, &epilogue);
        for (int j = 0; j < 16; j++) {
            double a = (double)x[j], cubic = sqrt(2 / M_PI) * (a + 0.044715 * a * a * a);
            double exact = kind == ESPI_CURVE_GELU   ? gelu(a)
                           : kind == ESPI_CURVE_RELU ? fmax(a, 0)
                                                     : 0.5 * a * (1 + tanh(cubic));
            worst = fmax(worst, fabs((double)out[j] - exact));
        }
    }
    return worst;
}

static void test_curve_accuracy(void **state)
{
    (void)state;
    assert_true(curve_error(ESPI_CURVE_GELU, -8, 8) < 5e-6);
    assert_true(curve_error(ESPI_CURVE_GELU_TANH, -8, 8) < 5e-6);
    assert_true(curve_error(ESPI_CURVE_RELU, -8, 8) == 0);
    /* gone, not small, where the function is */
    assert_true(curve_error(ESPI_CURVE_GELU, -1000, -10) == 0);
    assert_true(curve_error(ESPI_CURVE_GELU, 10, 1000) == 0);
    assert_true(curve_error(ESPI_CURVE_GELU_TANH, -1000, -10) == 0);
}

static void test_activation_refuses(void **state)
{
    esp_context *ctx = *state;
    struct espi_activation_table activation;
    test_fails(ctx, espi_activation_gelu(ctx, ESPI_CURVE_GELU, 0.0f, 0, &activation), ESP_ERR_ARGUMENT);
    test_fails(ctx, espi_activation_gelu(ctx, ESPI_CURVE_GELU, NAN, 0, &activation), ESP_ERR_ARGUMENT);
    test_fails(ctx, espi_activation_gelu(ctx, ESPI_CURVE_GELU, INFINITY, 0, &activation), ESP_ERR_ARGUMENT);
    test_fails(ctx, espi_activation_gelu(ctx, ESPI_CURVE_GELU, 0.1f, 128, &activation), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "zero point from 0 to 127, found 128");
    test_ok(ctx, espi_activation_gelu(ctx, ESPI_CURVE_GELU, 1e-30f, 127, &activation));
    test_ok(ctx, espi_activation_gelu(ctx, ESPI_CURVE_GELU, 1e30f, 0, &activation));
}

/* ---- peaks ---------------------------------------------------------------------------------------------------------- */

static void test_peaks(void **state)
{
    (void)state;
    for (int kind = 0; kind < ESPI_PEAK_COUNT; kind++) {
        assert_null(espi_peak_find((enum espi_peak_kind)kind, 0, ESPI_ISA_COUNT - 1));
        assert_null(espi_peak_find((enum espi_peak_kind)kind, UINT32_MAX, ESPI_ISA_c));
        for (int cap = 0; cap < ESPI_ISA_COUNT; cap++) {
            const struct espi_peak *peak =
                espi_peak_find((enum espi_peak_kind)kind, espi_cpu_features(), (enum espi_isa)cap);
            if (!peak)
                continue;
            assert_int_equal(peak->kind, kind);
            assert_true((int)peak->isa <= cap);
            assert_true(peak->measure() > 0); // and its instructions are there
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_end_with_the_reference),
        cmocka_unit_test(test_choice_without_features),
        cmocka_unit_test(test_isa_names),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_dense_bytes),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_pairs_of_normal_weights),
        cmocka_unit_test(test_sparse_bytes),
        cmocka_unit_test(test_sparse_order),
        cmocka_unit_test(test_odd_four),
        cmocka_unit_test(test_order_of_normal_weights),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_float_packing),
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_view_refuses),
        cmocka_unit_test(test_activation_accuracy),
        cmocka_unit_test(test_curve_accuracy),
        cmocka_unit_test(test_activation_refuses),
        cmocka_unit_test(test_peaks),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
