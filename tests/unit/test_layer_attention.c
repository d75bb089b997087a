/* SPDX-License-Identifier: Apache-2.0
 * Attention for training: forward against fp64, gradients against central differences of the fp64 forward. */
#include "support.h"

#include "base/cpu.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/size.h"
#include "create/layers/dropout.h"
#include "create/layers/layer_attention.h"
#include "create/layers/matmul_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

struct problem {
    size_t heads, width, hidden, tokens;
    const uint32_t *starts;
    size_t sequences;
    float dropout;
    uint64_t streams[8];
    float *qkv, *d_out, *out, *lse, *d_qkv;
};

static float *floats(size_t count, float scale, uint64_t seed)
{
    float *values = espi_calloc_aligned(NULL, count, sizeof *values);
    assert_non_null(values);
    struct espi_random random = {.seed = seed};
    for (size_t i = 0; i < count; i++)
        values[i] = scale * espi_random_normal(&random);
    return values;
}

static float to_bf16(float x)
{
    int exponent;
    float mantissa = frexpf(x, &exponent);
    return x == 0.0f ? x : ldexpf(rintf(ldexpf(mantissa, 8)), exponent - 8);
}

static struct problem make_problem(size_t heads, size_t width, size_t sequences, const uint32_t *starts, float dropout)
{
    struct problem p = {.heads = heads, .width = width, .hidden = heads * width, .starts = starts, .dropout = dropout};
    p.sequences = sequences;
    p.tokens = starts[sequences];
    for (size_t s = 0; s < sequences; s++)
        p.streams[s] = 1000 + 7 * s;
    p.qkv = floats(p.tokens * 3 * p.hidden, 1.0f, 1);
    p.d_out = floats(p.tokens * p.hidden, 1.0f, 2);
    for (size_t i = 0; i < p.tokens * 3 * p.hidden; i++) // so that bf16 has the same inputs
        p.qkv[i] = to_bf16(p.qkv[i]);
    for (size_t i = 0; i < p.tokens * p.hidden; i++)
        p.d_out[i] = to_bf16(p.d_out[i]);
    p.out = floats(p.tokens * p.hidden, 1e3f, 3);
    p.lse = floats(p.tokens * heads, 1e3f, 4);
    p.d_qkv = floats(p.tokens * 3 * p.hidden, 1e3f, 5);
    return p;
}

static void free_problem(struct problem *p)
{
    free(p->qkv);
    free(p->d_out);
    free(p->out);
    free(p->lse);
    free(p->d_qkv);
}

static void run(struct espi_matmuls *matmuls, struct problem *p)
{
    struct espi_batch batch = {.sequences = p->sequences, .tokens = p->tokens, .starts = p->starts};
    struct espi_attention_pass pass = {.heads = p->heads,
                                       .width = p->width,
                                       .batch = &batch,
                                       .dropout = p->dropout,
                                       .seed = 99,
                                       .streams = p->dropout > 0.0f ? p->streams : NULL,
                                       .qkv = p->qkv,
                                       .lse = p->lse,
                                       .out = p->out,
                                       .d_out = p->d_out,
                                       .d_qkv = p->d_qkv};
    test_ok(ctx, espi_layer_attention_forward(ctx, matmuls, &pass));
    test_ok(ctx, espi_layer_attention_backward(ctx, matmuls, &pass));
}

/* ---- reference ------------------------------------------------------------------------------------------------------ */

/* One head of one sequence in fp64: out (tokens, width), keep (tokens, tokens). */
static void reference(const struct problem *p, size_t tokens, const double *q, const double *k, const double *v,
                      const float *keep, double *out, double *lse)
{
    double *row = calloc(tokens, sizeof *row);
    assert_non_null(row);
    memset(out, 0, tokens * p->width * sizeof *out);
    for (size_t i = 0; i < tokens; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < tokens; j++) {
            double dot = 0.0;
            for (size_t c = 0; c < p->width; c++)
                dot += q[i * p->width + c] * k[j * p->width + c];
            row[j] = exp(dot / sqrt((double)p->width));
            sum += row[j];
        }
        lse[i] = log(sum);
        for (size_t j = 0; j < tokens; j++)
            for (size_t c = 0; c < p->width; c++)
                out[i * p->width + c] += row[j] / sum * (double)keep[i * tokens + j] * v[j * p->width + c];
    }
    free(row);
}

/* Forward and, for a few elements, gradients of sum(out d_out) by central differences. */
static void check_head(const struct problem *p, size_t sequence, size_t head, double tolerance)
{
    size_t start = p->starts[sequence], tokens = p->starts[sequence + 1] - start, count = tokens * p->width;
    double *in[3], *out = calloc(count, sizeof *out), *lse = calloc(tokens, sizeof *lse);
    float *keep = calloc(tokens * tokens, sizeof *keep);
    assert_true(out && lse && keep);
    for (size_t which = 0; which < 3; which++) {
        in[which] = calloc(count, sizeof *in[which]);
        assert_non_null(in[which]);
        for (size_t i = 0; i < count; i++)
            in[which][i] =
                (double)
                    p->qkv[(start + i / p->width) * 3 * p->hidden + which * p->hidden + head * p->width + i % p->width];
    }
    for (size_t i = 0; i < tokens; i++) {
        for (size_t j = 0; j < tokens; j++)
            keep[i * tokens + j] = 1.0f;
        if (p->dropout > 0.0f)
            espi_dropout_row(99, p->streams[sequence], (head * tokens + i) * espi_round_up(tokens, 128), p->dropout,
                             tokens, keep + i * tokens);
    }
    reference(p, tokens, in[0], in[1], in[2], keep, out, lse);
    for (size_t i = 0; i < count; i++) {
        double ours = (double)p->out[(start + i / p->width) * p->hidden + head * p->width + i % p->width];
        if (!(fabs(ours - out[i]) <= tolerance))
            fail_msg("out %zu: expected %g, found %g", i, out[i], ours);
    }
    for (size_t i = 0; i < tokens; i++)
        assert_true(fabs((double)p->lse[head * p->tokens + start + i] - lse[i]) <= tolerance);
    for (size_t sample = 0; sample < 24; sample++) {
        size_t which = sample % 3, place = sample * 7919 % count;
        double loss[2];
        for (size_t side = 0; side < 2; side++) {
            double before = in[which][place], step = side ? 1e-5 : -1e-5;
            in[which][place] += step;
            reference(p, tokens, in[0], in[1], in[2], keep, out, lse);
            in[which][place] = before;
            loss[side] = 0.0;
            for (size_t i = 0; i < count; i++)
                loss[side] +=
                    out[i] * (double)p->d_out[(start + i / p->width) * p->hidden + head * p->width + i % p->width];
        }
        double want = (loss[1] - loss[0]) / 2e-5;
        double ours = (double)p->d_qkv[(start + place / p->width) * 3 * p->hidden + which * p->hidden +
                                       head * p->width + place % p->width];
        if (!(fabs(ours - want) <= tolerance * (1.0 + fabs(want))))
            fail_msg("gradient %zu of input %zu: expected %g, found %g", place, which, want, ours);
    }
    for (size_t which = 0; which < 3; which++)
        free(in[which]);
    free(out);
    free(lse);
    free(keep);
}

/* ---- tests ---------------------------------------------------------------------------------------------------------- */

static const uint32_t ragged[] = {0, 1, 30, 94, 231, 391}; // lengths 1, 29, 64, 137, 160
static const uint32_t block[] = {0, 128, 256};
static const uint32_t one[] = {0, 300};

static const struct {
    size_t heads, width, sequences;
    const uint32_t *starts;
    float dropout;
} problems[] = {
    {2, 64, 5, ragged, 0.0f}, {3, 32, 5, ragged, 0.1f}, {2, 26, 5, ragged, 0.5f},
    {2, 64, 2, block, 0.1f},  {1, 72, 1, one, 0.2f},    {4, 8, 2, block, 0.0f},
};

static void check_all(enum espi_compute compute, bool strips, double tolerance)
{
    for (size_t i = 0; i < ESPI_COUNT(problems); i++) {
        struct problem p = make_problem(problems[i].heads, problems[i].width, problems[i].sequences, problems[i].starts,
                                        problems[i].dropout);
        struct espi_team *team;
        struct espi_matmuls *matmuls;
        test_ok(ctx, espi_team_new(ctx, 1 + i % 3, &team));
        test_ok(ctx, espi_matmuls_new(ctx, compute, team, &matmuls));
        matmuls->strips = strips;
        run(matmuls, &p);
        for (size_t s = 0; s < p.sequences; s++)
            for (size_t h = 0; h < p.heads; h++)
                check_head(&p, s, h, tolerance);
        espi_matmuls_free(matmuls);
        espi_team_free(team);
        free_problem(&p);
    }
}

static void test_f32(void **state)
{
    (void)state;
    check_all(ESPI_COMPUTE_F32, false, 2e-5);
    check_all(ESPI_COMPUTE_F32, true, 2e-5);
}

static void test_bf16(void **state)
{
    (void)state;
    if (espi_matmul_has_bf16())
        check_all(ESPI_COMPUTE_BF16, false, 3e-2);
}

/* The same bits for any number of threads, any order of passes, and whatever the other sequences are. */
static void test_same_bits(void **state)
{
    (void)state;
    for (int compute = ESPI_COMPUTE_F32; compute <= (espi_matmul_has_bf16() ? 1 : 0); compute++) {
        struct problem first = make_problem(3, 32, 5, ragged, 0.1f);
        for (size_t threads = 1; threads <= 3; threads++) {
            struct problem p = make_problem(3, 32, 5, ragged, 0.1f);
            struct espi_team *team;
            struct espi_matmuls *matmuls;
            test_ok(ctx, espi_team_new(ctx, threads, &team));
            test_ok(ctx, espi_matmuls_new(ctx, (enum espi_compute)compute, team, &matmuls));
            run(matmuls, threads == 1 ? &first : &p);
            run(matmuls, threads == 1 ? &first : &p);
            if (threads > 1) {
                assert_memory_equal(first.out, p.out, p.tokens * p.hidden * sizeof *p.out);
                assert_memory_equal(first.lse, p.lse, p.tokens * p.heads * sizeof *p.lse);
                assert_memory_equal(first.d_qkv, p.d_qkv, p.tokens * 3 * p.hidden * sizeof *p.d_qkv);
            }
            // the last sequence alone
            static const uint32_t alone[] = {0, 160};
            struct problem last = make_problem(3, 32, 1, alone, 0.1f);
            last.streams[0] = p.streams[4];
            memcpy(last.qkv, p.qkv + 231 * 3 * p.hidden, 160 * 3 * p.hidden * sizeof *p.qkv);
            memcpy(last.d_out, p.d_out + 231 * p.hidden, 160 * p.hidden * sizeof *p.d_out);
            run(matmuls, &last);
            assert_memory_equal(first.out + 231 * p.hidden, last.out, 160 * p.hidden * sizeof *p.out);
            assert_memory_equal(first.d_qkv + 231 * 3 * p.hidden, last.d_qkv, 160 * 3 * p.hidden * sizeof *p.d_qkv);
            free_problem(&last);
            free_problem(&p);
            espi_matmuls_free(matmuls);
            espi_team_free(team);
        }
        free_problem(&first);
    }
}

int main(void)
{
    ctx = esp_context_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_same_bits),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
