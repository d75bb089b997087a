/* SPDX-License-Identifier: Apache-2.0
 * Matrix products for training against plain loops, for several numbers of threads. */
#include "support.h"

#include "base/cpu.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/size.h"
#include "create/layers/matmul_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

static float *floats(size_t count, float scale, uint64_t seed)
{
    float *values = espi_calloc_aligned(NULL, count, sizeof *values);
    assert_non_null(values);
    struct espi_random random = {.seed = seed};
    for (size_t i = 0; i < count; i++)
        values[i] = scale * espi_random_normal(&random);
    return values;
}

/* ---- reference ------------------------------------------------------------------------------------------------------ */

/* To the nearest bf16, ties to even, by arithmetic: 8 bits of mantissa. */
static float to_bf16(float x)
{
    int exponent;
    float mantissa = frexpf(x, &exponent);
    return x == 0.0f ? x : ldexpf(rintf(ldexpf(mantissa, 8)), exponent - 8);
}

static void round_all(enum espi_compute compute, size_t count, float *x)
{
    for (size_t i = 0; i < count && compute == ESPI_COMPUTE_BF16; i++)
        x[i] = to_bf16(x[i]);
}

struct layer {
    size_t rows, inputs, outputs;
    float *x, *w, *bias, *dy; // what goes in
    float *y, *dx, *dw, *db;  // what comes out
    double *y_want, *dx_want, *dw_want, *db_want;
};

static double *doubles(size_t count)
{
    double *values = calloc(count, sizeof *values);
    assert_non_null(values);
    return values;
}

static struct layer make_layer(enum espi_compute compute, size_t rows, size_t inputs, size_t outputs)
{
    size_t room = espi_matmul_room(rows);
    struct layer l = {.rows = rows, .inputs = inputs, .outputs = outputs};
    l.x = floats(room * inputs, 1.0f, 1);
    l.w = floats(outputs * inputs, 1.0f, 2);
    l.bias = floats(outputs, 1.0f, 3);
    l.dy = floats(room * outputs, 1.0f, 4);
    l.y = floats(room * outputs, 1.0f, 5);
    l.dx = floats(room * inputs, 1.0f, 6);
    l.dw = floats(outputs * inputs, 1.0f, 7);
    l.db = floats(outputs, 1.0f, 8);
    l.y_want = doubles(rows * outputs);
    l.dx_want = doubles(rows * inputs);
    l.dw_want = doubles(outputs * inputs);
    l.db_want = doubles(outputs);
    float *x = floats(room * inputs, 1.0f, 1), *w = floats(outputs * inputs, 1.0f, 2),
          *dy = floats(room * outputs, 1.0f, 4);
    round_all(compute, room * inputs, x);
    round_all(compute, outputs * inputs, w);
    round_all(compute, room * outputs, dy);
    for (size_t o = 0; o < outputs; o++) {
        l.db_want[o] = (double)l.db[o];
        for (size_t i = 0; i < inputs; i++)
            l.dw_want[o * inputs + i] = (double)l.dw[o * inputs + i];
        for (size_t r = 0; r < rows; r++) {
            double g = (double)dy[r * outputs + o], sum = (double)l.bias[o];
            for (size_t i = 0; i < inputs; i++) {
                sum += (double)x[r * inputs + i] * (double)w[o * inputs + i];
                l.dx_want[r * inputs + i] += g * (double)w[o * inputs + i];
                l.dw_want[o * inputs + i] += g * (double)x[r * inputs + i];
            }
            l.y_want[r * outputs + o] = sum;
            l.db_want[o] += g;
        }
    }
    free(x);
    free(w);
    free(dy);
    return l;
}

static void free_layer(struct layer *l)
{
    void *all[] = {l->x,  l->w,  l->bias,   l->dy,      l->y,       l->dx,
                   l->dw, l->db, l->y_want, l->dx_want, l->dw_want, l->db_want};
    for (size_t i = 0; i < ESPI_COUNT(all); i++)
        free(all[i]);
}

/* Sums of `terms` products of numbers of size 1, rounded in fp32 at each step. */
static void assert_near(size_t count, const float *ours, const double *want, size_t terms, const char *what)
{
    double bound = 4e-7 * (4.0 + sqrt((double)terms) * 2.0);
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)ours[i] - want[i]) <= bound * (1.0 + fabs(want[i]) + sqrt((double)terms) / 4.0)))
            fail_msg("%s: value %zu: expected %.9g, found %.9g", what, i, want[i], (double)ours[i]);
}

/* ---- products ------------------------------------------------------------------------------------------------------- */

static void *operand(struct espi_matmuls *matmuls, size_t rows, size_t columns, const float *x)
{
    void *out = espi_calloc_aligned(NULL, espi_matmul_room(rows) * columns, sizeof(float));
    assert_non_null(out);
    memset(out, 0xa5, espi_matmul_room(rows) * columns * espi_operand_size(matmuls->compute));
    test_ok(ctx, espi_operand_from_float(ctx, matmuls, rows, columns, x, out));
    return out;
}

static void run_layer(struct espi_matmuls *matmuls, struct layer *l, bool with_bias)
{
    struct espi_dense dense;
    test_ok(ctx, espi_dense_init(ctx, matmuls, l->inputs, l->outputs, &dense));
    float *other = floats(l->outputs * l->inputs, 3.0f, 9); // packing anew leaves nothing of the first
    test_ok(ctx, espi_dense_pack(ctx, matmuls, &dense, other));
    test_ok(ctx, espi_dense_pack(ctx, matmuls, &dense, l->w));
    void *x = operand(matmuls, l->rows, l->inputs, l->x), *dy = operand(matmuls, l->rows, l->outputs, l->dy);
    test_ok(ctx, espi_dense_forward(ctx, matmuls, &dense, l->rows, x, with_bias ? l->bias : NULL, l->y));
    test_ok(ctx, espi_dense_backward_input(ctx, matmuls, &dense, l->rows, dy, l->dx));
    test_ok(ctx, espi_dense_backward_weight(ctx, matmuls, &dense, l->rows, x, dy, l->dw, with_bias ? l->db : NULL));
    free(x);
    free(dy);
    free(other);
    espi_dense_clear(&dense);
}

static void check_layer(struct espi_matmuls *matmuls, size_t rows, size_t inputs, size_t outputs)
{
    struct layer l = make_layer(matmuls->compute, rows, inputs, outputs);
    run_layer(matmuls, &l, true);
    assert_near(rows * outputs, l.y, l.y_want, inputs, "y");
    assert_near(rows * inputs, l.dx, l.dx_want, outputs, "dx");
    assert_near(outputs * inputs, l.dw, l.dw_want, rows, "dweight");
    assert_near(outputs, l.db, l.db_want, rows, "dbias");
    free_layer(&l);
}

static const struct {
    size_t rows, inputs, outputs;
} shapes[] = {
    {1, 1, 1},     {1, 64, 64},    {3, 2, 5},      {64, 32, 96},   {65, 33, 31},    {130, 128, 2},   {200, 100, 300},
    {577, 64, 64}, {70, 768, 450}, {64, 3072, 65}, {97, 450, 768}, {1025, 71, 199}, {128, 385, 193},
};

/* With oneDNN's products or with strips, whichever this CPU would take by itself. */
static struct espi_matmuls *new_matmuls(enum espi_compute compute, bool strips, struct espi_team *team)
{
    struct espi_matmuls *matmuls;
    test_ok(ctx, espi_matmuls_new(ctx, compute, team, &matmuls));
    matmuls->strips = strips;
    return matmuls;
}

static void check_shapes(enum espi_compute compute, bool strips)
{
    for (size_t threads = 1; threads <= 3; threads++) {
        struct espi_team *team;
        test_ok(ctx, espi_team_new(ctx, threads, &team));
        struct espi_matmuls *matmuls = new_matmuls(compute, strips, team);
        assert_ptr_equal(espi_matmuls_team(matmuls), team);
        for (size_t i = 0; i < ESPI_COUNT(shapes); i++)
            if (threads == 1 || i % 3 == threads)
                check_layer(matmuls, shapes[i].rows, shapes[i].inputs, shapes[i].outputs);
        espi_matmuls_free(matmuls);
        espi_team_free(team);
    }
}

static void test_f32(void **state)
{
    (void)state;
    check_shapes(ESPI_COMPUTE_F32, false);
    check_shapes(ESPI_COMPUTE_F32, true);
}

static bool skip_bf16(void)
{
    if (espi_matmul_has_bf16())
        return false;
    struct espi_matmuls *matmuls = NULL;
    test_fails(ctx, espi_matmuls_new(ctx, ESPI_COMPUTE_BF16, NULL, &matmuls), ESP_ERR_UNSUPPORTED);
    test_error_has(ctx, "bf16");
    assert_null(matmuls);
    return true;
}

static void test_bf16(void **state)
{
    (void)state;
    if (!skip_bf16())
        check_shapes(ESPI_COMPUTE_BF16, false);
}

/* ---- threads -------------------------------------------------------------------------------------------------------- */

static void check_threads(enum espi_compute compute, bool strips)
{
    enum { ROWS = 300, INPUTS = 448, OUTPUTS = 500 };
    struct layer first = {0};
    for (size_t threads = 1; threads <= 3; threads++) {
        struct espi_team *team;
        test_ok(ctx, espi_team_new(ctx, threads, &team));
        struct espi_matmuls *matmuls = new_matmuls(compute, strips, team);
        struct layer l = make_layer(compute, ROWS, INPUTS, OUTPUTS);
        run_layer(matmuls, &l, true);
        if (threads == 1) {
            first = l;
        } else {
            assert_memory_equal(first.y, l.y, ROWS * OUTPUTS * sizeof *l.y);
            assert_memory_equal(first.dx, l.dx, ROWS * INPUTS * sizeof *l.dx);
            assert_memory_equal(first.dw, l.dw, OUTPUTS * INPUTS * sizeof *l.dw);
            assert_memory_equal(first.db, l.db, OUTPUTS * sizeof *l.db);
            free_layer(&l);
        }
        espi_matmuls_free(matmuls);
        espi_team_free(team);
    }
    free_layer(&first);
}

static void test_threads(void **state)
{
    (void)state;
    check_threads(ESPI_COMPUTE_F32, false);
    check_threads(ESPI_COMPUTE_F32, true);
    if (!skip_bf16())
        check_threads(ESPI_COMPUTE_BF16, false);
}

/* ---- details -------------------------------------------------------------------------------------------------------- */

static void test_without_bias(void **state)
{
    (void)state;
    struct espi_matmuls *matmuls;
    test_ok(ctx, espi_matmuls_new(ctx, ESPI_COMPUTE_F32, NULL, &matmuls));
    struct layer l = make_layer(ESPI_COMPUTE_F32, 5, 70, 80);
    float *db = floats(80, 1.0f, 8);
    run_layer(matmuls, &l, false);
    for (size_t i = 0; i < 5 * 80; i++)
        l.y_want[i] -= (double)l.bias[i % 80];
    assert_near(5 * 80, l.y, l.y_want, 70, "y");
    assert_near(80 * 70, l.dw, l.dw_want, 5, "dweight");
    assert_memory_equal(l.db, db, 80 * sizeof *db);
    free(db);
    free_layer(&l);
    espi_matmuls_free(matmuls);
}

/* Every tile once, each element in one of them, none beyond the rows. */
static void count_tile(void *argument, const struct espi_result_tile *tile)
{
    float *y = argument; // (70, 450)
    assert_true(tile->row + tile->rows <= 70 && tile->column + tile->columns <= 450 && tile->stride >= tile->columns);
    for (size_t row = 0; row < tile->rows; row++)
        for (size_t i = 0; i < tile->columns; i++)
            y[(tile->row + row) * 450 + tile->column + i] += tile->values[row * tile->stride + i];
}

static void test_tiles(void **state)
{
    (void)state;
    struct espi_matmuls *matmuls;
    struct espi_dense dense;
    test_ok(ctx, espi_matmuls_new(ctx, ESPI_COMPUTE_F32, NULL, &matmuls));
    struct layer l = make_layer(ESPI_COMPUTE_F32, 70, 90, 450);
    test_ok(ctx, espi_dense_init(ctx, matmuls, 90, 450, &dense));
    test_ok(ctx, espi_dense_pack(ctx, matmuls, &dense, l.w));
    void *x = operand(matmuls, 70, 90, l.x);
    float *y = floats(70 * 450, 0.0f, 0);
    test_ok(ctx, espi_dense_forward(ctx, matmuls, &dense, 70, x, NULL, l.y));
    test_ok(ctx, espi_dense_forward_tiles(ctx, matmuls, &dense, 70, x, count_tile, y));
    assert_memory_equal(l.y, y, 70 * 450 * sizeof *y);
    free(y);
    free(x);
    espi_dense_clear(&dense);
    espi_matmuls_free(matmuls);
    free_layer(&l);
}

static void test_rounding(void **state)
{
    (void)state;
    if (skip_bf16())
        return;
    struct espi_matmuls *matmuls;
    test_ok(ctx, espi_matmuls_new(ctx, ESPI_COMPUTE_BF16, NULL, &matmuls));
    static const float in[] = {0.0f,         -0.0f,    1.0f,      0x1.01p0f, 0x1.03p0f, 0x1.010002p0f,
                               -0x1.fep127f, INFINITY, -INFINITY, NAN,       0x1p-130f, 3.14159274f};
    static const uint16_t want[] = {0,      0x8000, 0x3f80, 0x3f80, 0x3f82, 0x3f81,
                                    0xff7f, 0x7f80, 0xff80, 0x7fc0, 0x0008, 0x4049};
    uint16_t out[ESPI_MATMUL_ROWS * ESPI_COUNT(in)];
    memset(out, 0xff, sizeof out);
    test_ok(ctx, espi_operand_from_float(ctx, matmuls, 1, ESPI_COUNT(in), in, out));
    for (size_t i = 0; i < ESPI_COUNT(in); i++)
        assert_int_equal(out[i], want[i]);
    for (size_t i = ESPI_COUNT(in); i < ESPI_COUNT(out); i++)
        assert_int_equal(out[i], 0);
    // a NaN whose mantissa would round away
    uint32_t bits = 0x7fffffffu;
    float nan;
    memcpy(&nan, &bits, sizeof nan);
    test_ok(ctx, espi_operand_from_float(ctx, matmuls, 1, 1, &nan, out));
    assert_int_equal(out[0], 0x7fff);
    espi_matmuls_free(matmuls);
}

int main(void)
{
    ctx = esp_context_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),          cmocka_unit_test(test_bf16),  cmocka_unit_test(test_threads),
        cmocka_unit_test(test_without_bias), cmocka_unit_test(test_tiles), cmocka_unit_test(test_rounding),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
