/* SPDX-License-Identifier: Apache-2.0
 * The ops on panels and attention against the same thing in double precision. */
#include "support.h"

#include "base/random.h"
#include "base/size.h"
#include "kernels/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct espi_kernel_set kernels;

static int setup(void **state)
{
    (void)state;
    espi_kernels_choose(espi_cpu_features(), (enum espi_isa)(ESPI_ISA_COUNT - 1), &kernels);
    return 0;
}

static void *allocate(size_t bytes)
{
    void *data = aligned_alloc(64, espi_round_up(bytes + 1, 64));
    assert_non_null(data);
    memset(data, 0, espi_round_up(bytes + 1, 64));
    return data;
}

static float *normals(struct espi_random *random, size_t count, float mean, float deviation)
{
    float *values = allocate(count * sizeof(float));
    for (size_t i = 0; i < count; i++)
        values[i] = mean + deviation * espi_random_normal(random);
    return values;
}

static float *constants(size_t count, float value)
{
    float *values = allocate(count * sizeof(float));
    for (size_t i = 0; i < count; i++)
        values[i] = value;
    return values;
}

/* ---- quantize_u8 ------------------------------------------------------------------------------------------------------ */

/* What does not fit 32 bits becomes -2^31, whatever the CPU's own conversion makes of it, and so 0. */
static void test_quantize_what_does_not_fit(void **state)
{
    (void)state;
    static const float x[16] = {NAN, -NAN, INFINITY, -INFINITY, 0x1p31f, -0x1p31f, 0x1.fffffep30f, 0x1p32f,
                                300, -1,   254.5f,   255.5f,    0.5f,    1.5f,     2.5f,           -0.0f};
    static const uint8_t expected[16] = {0, 0, 0, 0, 0, 0, 255, 0, 255, 0, 254, 255, 0, 2, 2, 0};
    for (size_t i = 0; i < espi_kernel_count; i++) {
        const struct espi_kernel *kernel = &espi_kernels[i];
        if (kernel->op != ESPI_OP_quantize_u8 || !espi_isa_available(kernel->isa, espi_cpu_features()))
            continue;
        print_message("%s\n", kernel->name);
        uint8_t found[16];
        const float one = 1;
        ((espi_quantize_u8_fn *)kernel->function)(x, 1, 16, &(struct espi_quantize){&one, 0, NULL, found});
        assert_memory_equal(found, expected, sizeof(expected));
    }
}

static void test_quantize_per_token(void **state)
{
    (void)state;
    enum { ROWS = 100, WIDTH = 16 };
    static const int32_t zero_points[] = {0, 20, 128, 255};
    struct espi_random random = {.seed = 1};
    float *x = normals(&random, ROWS * WIDTH, 0, 3), *ones = constants(ROWS, 1);
    for (size_t z = 0; z < ESPI_COUNT(zero_points); z++) {
        uint8_t bytes[ROWS * WIDTH];
        float step[WIDTH];
        struct espi_quantize quantize = {ones, zero_points[z], step, bytes};
        kernels.quantize_u8(x, ROWS, WIDTH, &quantize);
        for (size_t token = 0; token < WIDTH; token++) {
            bool at_end = false;
            for (size_t row = 0; row < ROWS; row++) {
                float value = x[row * WIDTH + token], byte = bytes[row * WIDTH + token];
                bool lost = (zero_points[z] == 0 && value < 0) || (zero_points[z] == 255 && value > 0);
                if (!lost) // every value that has room is represented to half a step
                    assert_true(fabsf((byte - (float)zero_points[z]) * step[token] - value) <= 0.501f * step[token]);
                at_end = at_end || byte == 0 || byte == 255;
            }
            assert_true(at_end); // and the step is not larger than it has to be
        }
    }
    free(x);
    free(ones);
}

static void test_quantize_zeros(void **state)
{
    (void)state;
    float x[4 * 16] = {0}, scale[4] = {1, 1, 1, 1}, step[16];
    uint8_t bytes[4 * 16];
    struct espi_quantize quantize = {scale, 128, step, bytes};
    kernels.quantize_u8(x, 4, 16, &quantize);
    for (size_t i = 0; i < 4 * 16; i++)
        assert_int_equal(bytes[i], 128);
    assert_true(step[0] > 0);
}

/* ---- layer_norm --------------------------------------------------------------------------------------------------------- */

static void check_layer_norm(size_t rows, size_t width, float mean)
{
    struct espi_random random = {.seed = rows};
    float *x = normals(&random, rows * width, mean, 2), *y = allocate(rows * width * sizeof(float));
    float *gain = normals(&random, rows, 1, 0.3f), *bias = normals(&random, rows, 0, 0.5f);
    uint8_t *bytes = allocate(rows * width);
    float *scale = constants(rows, 1 / 0.05f);
    struct espi_layer_norm norm = {gain, bias, 1e-12f};
    struct espi_quantize quantize = {scale, 120, NULL, bytes};
    kernels.layer_norm(x, rows, width, &norm, y, &quantize);
    for (size_t token = 0; token < width; token++) {
        double sum = 0, squares = 0;
        for (size_t row = 0; row < rows; row++)
            sum += (double)x[row * width + token];
        for (size_t row = 0; row < rows; row++)
            squares += pow((double)x[row * width + token] - sum / (double)rows, 2);
        double factor = 1 / sqrt(squares / (double)rows + 1e-12);
        for (size_t row = 0; row < rows; row++) {
            double value = ((double)x[row * width + token] - sum / (double)rows) * factor;
            value = value * (double)gain[row] + (double)bias[row];
            assert_true(fabs((double)y[row * width + token] - value) < 2e-6 * (3 + fabs((double)mean)));
            double byte = fmin(fmax(value / 0.05 + 120, 0), 255);
            assert_true(fabs(bytes[row * width + token] - byte) < 0.51);
        }
    }
    void *all[] = {x, y, gain, bias, bytes, scale};
    for (size_t i = 0; i < ESPI_COUNT(all); i++)
        free(all[i]);
}

static void test_layer_norm(void **state)
{
    (void)state;
    check_layer_norm(768, 64, 0);
    check_layer_norm(768, 32, 0.5f);
    check_layer_norm(130, 16, -1);
    check_layer_norm(3, 64, 0);
}

/* Hostile to the one-pass formula: the mean is 1000 deviations away. */
static void test_layer_norm_far_mean(void **state)
{
    (void)state;
    check_layer_norm(768, 16, 2000);
}

/* ---- embed, panel_to_rows ------------------------------------------------------------------------------------------------ */

static void test_embed_and_back(void **state)
{
    (void)state;
    enum { SIZE = 50, TOKENS = 37, WIDTH = 64 };
    struct espi_random random = {.seed = 3};
    float *words = normals(&random, 9 * SIZE, 0, 1), *rows = allocate(TOKENS * SIZE * sizeof(float));
    float *panel = normals(&random, SIZE * WIDTH, 5, 1);
    int8_t positions[TOKENS * SIZE];
    float scales[TOKENS];
    uint16_t types[2 * SIZE];
    uint32_t ids[3][TOKENS];
    for (size_t i = 0; i < TOKENS * SIZE; i++)
        positions[i] = (int8_t)espi_random_u32(&random);
    for (size_t i = 0; i < 2 * SIZE; i++)
        types[i] = (uint16_t)(0x3f80 + i); // 1, 1 + 2^-7, ...
    for (uint32_t i = 0; i < TOKENS; i++) {
        scales[i] = 0.01f * (float)i;
        ids[0][i] = i % 9;
        ids[1][i] = TOKENS - 1 - i;
        ids[2][i] = i % 2;
    }
    struct espi_table tables[] = {{ESPI_TABLE_F32, words, NULL, ids[0]},
                                  {ESPI_TABLE_S8, positions, scales, ids[1]},
                                  {ESPI_TABLE_BF16, types, NULL, ids[2]}};
    kernels.embed(tables, 3, SIZE, TOKENS, WIDTH, panel);
    kernels.panel_to_rows(panel, SIZE, WIDTH, 0, TOKENS, rows, SIZE);
    for (size_t token = 0; token < TOKENS; token++)
        for (size_t i = 0; i < SIZE; i++) {
            size_t position = ids[1][token], type = ids[2][token] * SIZE + i;
            float expected = words[ids[0][token] * SIZE + i] + (float)positions[position * SIZE + i] * scales[position];
            expected += 1 + (float)type / 128; // 2 * SIZE < 128
            assert_true(rows[token * SIZE + i] == expected);
        }
    for (size_t i = 0; i < SIZE; i++)
        for (size_t lane = TOKENS; lane < WIDTH; lane++)
            assert_true(panel[i * WIDTH + lane] == 0);
    free(words);
    free(rows);
    free(panel);
}

/* ---- attention -------------------------------------------------------------------------------------------------------------- */

static void test_softmax_table(void **state)
{
    (void)state;
    for (int d = 0; d < ESPI_SOFTMAX_DITHERS; d++)
        for (int i = 0; i < ESPI_SOFTMAX_ENTRIES; i++) {
            static const double dithers[] = {1 / 8.0, 5 / 8.0, 3 / 8.0, 7 / 8.0};
            int value = (int)floor(255 * exp(-i * ESPI_SOFTMAX_STEP) + dithers[d]);
            assert_int_equal(espi_softmax_table[d][i], value);
            uint32_t product = (uint32_t)espi_softmax_factors[0][i / 16] * espi_softmax_factors[1][i % 16] >> 16;
            assert_true(product + espi_softmax_rounding[d] <= UINT16_MAX);
            assert_int_equal((product + espi_softmax_rounding[d]) >> 8, value);
        }
}

static void test_attention_scores(void **state)
{
    (void)state;
    struct espi_attention a = {0};
    for (float scale = 1e-7f; scale < 0.0149f; scale *= 1.7f) {
        espi_attention_scores(&a, 64, scale);
        assert_in_range(a.shift, 0, 6);
        double unit = ldexp((double)scale, (int)a.shift), held = INT16_MAX * unit;
        assert_true(held >= 64 || ldexp(INT16_MAX, (int)a.shift) >= 128.0 * 128 * 64);
        assert_true(fabs(a.multiplier * ESPI_SOFTMAX_STEP / 65536 - unit) <= 0.51 * ESPI_SOFTMAX_STEP / 65536);
    }
    espi_attention_scores(&a, 64, 0);
    assert_int_equal(a.multiplier, 0);
    espi_attention_scores(&a, 64, 1);
    assert_int_equal(a.multiplier, INT16_MAX);
}

static void test_head_limits(void **state)
{
    (void)state;
    esp_context *ctx = esp_context_new();
    size_t bytes;
    test_ok(ctx, espi_head_bytes(ctx, 1, 4, &bytes));
    assert_int_equal(bytes, 64 * 4 + 2 * 16 * 4 + 16 * 4);
    test_fails(ctx, espi_head_bytes(ctx, 0, 64, &bytes), ESP_ERR_LIMIT);
    test_error_has(ctx, "expected 1 to 65536 tokens, found 0");
    test_fails(ctx, espi_head_bytes(ctx, 65537, 64, &bytes), ESP_ERR_LIMIT);
    test_fails(ctx, espi_head_bytes(ctx, 8, 30, &bytes), ESP_ERR_LIMIT);
    test_error_has(ctx, "multiple of 4, found 30");
    test_fails(ctx, espi_head_bytes(ctx, 8, 4100, &bytes), ESP_ERR_LIMIT);
    esp_context_free(ctx);
}

struct attention_test {
    size_t tokens, size;
    float sharpness; // standard deviation of the scores
    float sink;      // how far the first key's scores are above the others
    bool floats;     // pack from floats, with steps found on the way
    double limit;    // of the relative error
};

/* Row `row` of `which` of a token: which = 0, 1, 2 for Q, K, V. One panel stack of 3 * size rows. */
static float *value_at(float *panels, const struct espi_span *span, size_t size, size_t which, size_t row, size_t token)
{
    size_t width, at = espi_span_at(span, token, &width);
    return &panels[at + (which * size + row) * width];
}

static float *make_qkv(struct espi_random *random, const struct attention_test *t, const struct espi_span *span)
{
    float *panels = allocate((span->tokens + 64) * span->rows * sizeof(float));
    for (size_t token = 0; token < t->tokens; token++)
        for (size_t row = 0; row < t->size; row++) {
            float spread = sqrtf(t->sharpness);
            *value_at(panels, span, t->size, 0, row, token) = spread * espi_random_normal(random);
            *value_at(panels, span, t->size, 1, row, token) = spread * espi_random_normal(random);
            *value_at(panels, span, t->size, 2, row, token) =
                (row % 7 ? 0 : 0.5f) + espi_random_normal(random) * (t->sink > 0 && !token ? 0.2f : 1);
        }
    if (t->sink > 0) // a feature that is large in all queries and in the first key alone
        for (size_t token = 0; token < t->tokens; token++) {
            *value_at(panels, span, t->size, 0, 0, token) = 2 * sqrtf(t->sharpness);
            *value_at(panels, span, t->size, 1, 0, token) =
                token ? 0 : t->sink * sqrtf((float)t->size) / (2 * sqrtf(t->sharpness));
        }
    return panels;
}

/* Relative error of the op's output against double precision, root mean square over everything. */
static double attention_error(const struct attention_test *t, float *qkv, const struct espi_span *span,
                              const float *out, const struct espi_span *out_span)
{
    double error = 0, norm = 0, *p = allocate(t->tokens * sizeof(double));
    for (size_t query = 0; query < t->tokens; query++) {
        double sum = 0;
        for (size_t key = 0; key < t->tokens; key++) {
            double s = 0;
            for (size_t i = 0; i < t->size; i++)
                s += (double)*value_at(qkv, span, t->size, 0, i, query) *
                     (double)*value_at(qkv, span, t->size, 1, i, key);
            p[key] = exp(s / sqrt((double)t->size));
            sum += p[key];
        }
        for (size_t i = 0; i < t->size; i++) {
            double y = 0;
            for (size_t key = 0; key < t->tokens; key++)
                y += p[key] / sum * (double)*value_at(qkv, span, t->size, 2, i, key);
            size_t width, at = espi_span_at(out_span, query, &width);
            error += pow((double)out[at + i * width] - y, 2);
            norm += y * y;
        }
    }
    free(p);
    return sqrt(error / norm);
}

/* The way a plan with static scales goes: the steps of all of Q, of K, of V, and u8 panels. */
static void pack_fixed(const struct attention_test *t, float *qkv, const struct espi_span *span,
                       struct espi_packed_head *head)
{
    uint8_t *bytes = allocate((span->tokens + 64) * span->rows);
    for (size_t which = 0; which < 3; which++) {
        float largest = 0;
        for (size_t i = 0; i < t->tokens * t->size; i++)
            largest = fmaxf(largest, fabsf(*value_at(qkv, span, t->size, which, i % t->size, i / t->size)));
        head->scale[which] = largest / 127;
        for (size_t i = 0; i < t->tokens * t->size; i++) {
            float *value = value_at(qkv, span, t->size, which, i % t->size, i / t->size);
            bytes[value - qkv] = (uint8_t)lrintf(128 + *value / head->scale[which]);
        }
    }
    float step[3];
    memcpy(step, head->scale, sizeof(step));
    kernels.attention_pack(bytes, span, (const size_t[]){0, t->size, 2 * t->size}, head);
    memcpy(head->scale, step, sizeof(step));
    free(bytes);
}

static void run_attention(const struct attention_test *t)
{
    struct espi_random random = {.seed = 5, .stream = t->tokens};
    struct espi_span span = {.rows = 3 * t->size, .tokens = t->tokens + 50, .first = 41, .count = t->tokens};
    struct espi_span out_span = {.rows = t->size, .tokens = t->tokens + 50, .first = 41, .count = t->tokens};
    float *qkv = make_qkv(&random, t, &span), *out = allocate((span.tokens + 64) * t->size * sizeof(float));
    float *scale = allocate(t->size * sizeof(float)), *bias = allocate(t->size * sizeof(float));
    size_t bytes;
    struct espi_packed_head head;
    test_ok(NULL, espi_head_bytes(NULL, t->tokens, t->size, &bytes));
    void *memory = allocate(bytes), *scratch = allocate(espi_attention_scratch(t->tokens, t->size));
    espi_head_place(&head, t->tokens, t->size, memory);
    if (t->floats)
        kernels.attention_pack_f32(qkv, &span, (const size_t[]){0, t->size, 2 * t->size}, &head);
    else
        pack_fixed(t, qkv, &span, &head);
    struct espi_attention attention = {
        .kind = ESPI_EPILOGUE_F32, .scale = scale, .bias = bias, .span = out_span, .out = out};
    espi_attention_scores(&attention, t->size, head.scale[0] * head.scale[1] / sqrtf((float)t->size));
    for (size_t i = 0; i < t->size; i++)
        scale[i] = head.scale[2];
    kernels.attention(&head, 0, espi_query_blocks(t->tokens), &attention, scratch);
    double error = attention_error(t, qkv, &span, out, &out_span);
    print_message("%zu tokens, head of %zu, sharpness %g, sink %g, %s: relative error %.4f\n", t->tokens, t->size,
                  (double)t->sharpness, (double)t->sink, t->floats ? "f32" : "u8", error);
    assert_true(error < t->limit);
    void *all[] = {qkv, out, scale, bias, memory, scratch};
    for (size_t i = 0; i < ESPI_COUNT(all); i++)
        free(all[i]);
}

static void test_attention(void **state)
{
    (void)state;
    static const struct attention_test tests[] = {
        {128, 64, 1, 0, false, 0.02},   {384, 64, 1, 0, true, 0.02}, {384, 64, 0.1f, 0, false, 0.02},
        {384, 64, 2, 0, false, 0.03},   {100, 32, 3, 0, true, 0.03}, {60, 20, 1, 0, false, 0.02},
        {1, 64, 1, 0, false, 0.01},     {5, 4, 1, 0, true, 0.02},    {384, 64, 1, 5, true, 0.06},
        {384, 64, 1.5f, 7, true, 0.12},
    };
    for (size_t i = 0; i < ESPI_COUNT(tests); i++)
        run_attention(&tests[i]);
}

/* The same sequence anywhere in a batch, among other neighbours: the same bytes. */
static void test_attention_of_neighbours(void **state)
{
    (void)state;
    enum { SIZE = 32, TOKENS = 100 };
    static const size_t firsts[] = {0, 1, 41, 64, 100};
    struct espi_random random = {.seed = 8};
    float *values = normals(&random, (size_t)TOKENS * 3 * SIZE, 0, 1), scale[SIZE], bias[SIZE] = {0};
    float reference[TOKENS * SIZE];
    size_t bytes;
    test_ok(NULL, espi_head_bytes(NULL, TOKENS, SIZE, &bytes));
    void *memory = allocate(bytes), *scratch = allocate(espi_attention_scratch(TOKENS, SIZE));
    for (size_t f = 0; f < ESPI_COUNT(firsts); f++) {
        struct espi_span span = {3 * SIZE, firsts[f] + TOKENS + 7 * f, firsts[f], TOKENS};
        struct espi_span out_span = {SIZE, span.tokens, span.first, TOKENS};
        float *qkv = normals(&random, (span.tokens + 64) * span.rows, 3, 10);
        float *out = normals(&random, (span.tokens + 64) * SIZE, 0, 1);
        for (size_t i = 0; i < (size_t)TOKENS * 3 * SIZE; i++)
            *value_at(qkv, &span, 3 * SIZE, 0, i % (3 * SIZE), i / (3 * SIZE)) = values[i];
        struct espi_packed_head head;
        espi_head_place(&head, TOKENS, SIZE, memory);
        kernels.attention_pack_f32(qkv, &span, (const size_t[]){0, SIZE, 2 * SIZE}, &head);
        for (size_t i = 0; i < SIZE; i++)
            scale[i] = head.scale[2];
        struct espi_attention attention = {
            .kind = ESPI_EPILOGUE_F32, .scale = scale, .bias = bias, .span = out_span, .out = out};
        espi_attention_scores(&attention, SIZE, head.scale[0] * head.scale[1] / sqrtf(SIZE));
        kernels.attention(&head, 0, espi_query_blocks(TOKENS), &attention, scratch);
        for (size_t i = 0; i < TOKENS * SIZE; i++) {
            float found = *value_at(out, &out_span, SIZE, 0, i % SIZE, i / SIZE);
            if (f == 0)
                reference[i] = found;
            assert_memory_equal(&found, &reference[i], sizeof(found));
        }
        free(qkv);
        free(out);
    }
    free(values);
    free(memory);
    free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantize_what_does_not_fit),
        cmocka_unit_test(test_quantize_per_token),
        cmocka_unit_test(test_quantize_zeros),
        cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_layer_norm_far_mean),
        cmocka_unit_test(test_embed_and_back),
        cmocka_unit_test(test_softmax_table),
        cmocka_unit_test(test_attention_scores),
        cmocka_unit_test(test_head_limits),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_of_neighbours),
    };
    return cmocka_run_group_tests_name("panel ops", tests, setup, NULL);
}
