/* SPDX-License-Identifier: Apache-2.0 */
#include "create/layers/relation.h"

#include "base/memory.h"
#include "base/size.h"
#include "create/layers/loss.h"
#include "create/layers/products.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 64, KINDS = 3 }; // queries of a block; queries, keys and values

/* One task is a head of one of the three of a sequence: no two write to the same gradients. */
struct relations {
    const struct espi_relation *what;
    size_t longest;
    float *scratch; // (threads, scratch_floats)
    double *losses; // (sequences, KINDS, heads)
};

/* What a task works in. */
struct scratch {
    float *scores, *teacher; // (ROWS, tokens)
    float *d_scores;         // (ROWS, tokens)
    float *product;          // (max(ROWS, tokens), width)
};

static size_t scratch_floats(const struct espi_relation *what, size_t tokens)
{
    return espi_round_up(3 * ROWS * tokens + espi_size_max(ROWS, tokens) * (what->hidden / what->heads), 16);
}

/* x x' / sqrt(width) of the block's rows with all. x: (tokens, width), stride; out: (rows, tokens) */
static int relate(size_t first, size_t rows, size_t tokens, size_t width, size_t stride, const float *x, float *out)
{
    struct espi_matrix block = {.data = x + first * stride, .stride = stride};
    struct espi_matrix all = {.data = x, .stride = stride, .transposed = true};
    return espi_multiply(rows, tokens, width, 1 / sqrtf((float)width), &block, &all, out, tokens);
}

static void add_rows(size_t rows, size_t width, const float *x, size_t stride, float *sum)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++)
            sum[r * stride + i] += x[r * width + i];
}

/* Scores are symmetric in x: each of d_scores' rows goes to the row's own x and to all x it was multiplied with. */
static int add_gradient(const struct scratch *s, size_t first, size_t rows, size_t tokens, size_t width, size_t stride,
                        const float *x, float *dx)
{
    float scale = 1 / sqrtf((float)width);
    struct espi_matrix d = {.data = s->d_scores, .stride = tokens};
    struct espi_matrix all = {.data = x, .stride = stride};
    int status = espi_multiply(rows, width, tokens, scale, &d, &all, s->product, width);
    if (status)
        return status;
    add_rows(rows, width, s->product, stride, dx + first * stride);
    struct espi_matrix turned = {.data = s->d_scores, .stride = tokens, .transposed = true};
    struct espi_matrix block = {.data = x + first * stride, .stride = stride};
    status = espi_multiply(tokens, width, rows, scale, &turned, &block, s->product, width);
    if (!status)
        add_rows(tokens, width, s->product, stride, dx);
    return status;
}

static int relation_of_head(void *argument, size_t index, size_t thread)
{
    const struct relations *r = argument;
    const struct espi_relation *what = r->what;
    size_t heads = what->heads, head = index % heads, kind = index / heads % KINDS, sequence = index / heads / KINDS;
    size_t start = what->batch->starts[sequence], tokens = what->batch->starts[sequence + 1] - start;
    size_t width = what->hidden / heads, stride = 3 * what->hidden;
    size_t teacher_width = what->teacher_hidden / heads, teacher_stride = 3 * what->teacher_hidden;
    size_t at = start * stride + kind * what->hidden + head * width;
    const float *x = what->qkv + at; // (tokens, width)
    const float *teacher = what->teacher + start * teacher_stride + kind * what->teacher_hidden + head * teacher_width;
    float *memory = r->scratch + thread * scratch_floats(what, r->longest);
    struct scratch s = {memory, memory + ROWS * tokens, memory + 2 * ROWS * tokens, memory + 3 * ROWS * tokens};
    double loss = 0;
    for (size_t first = 0; first < tokens; first += ROWS) {
        size_t rows = espi_size_min(ROWS, tokens - first);
        int status = relate(first, rows, tokens, width, stride, x, s.scores);
        if (!status)
            status = relate(first, rows, tokens, teacher_width, teacher_stride, teacher, s.teacher);
        memset(s.d_scores, 0, rows * tokens * sizeof *s.d_scores);
        for (size_t row = 0; !status && row < rows; row++) {
            struct espi_choice choice = {s.scores + row * tokens, s.d_scores + row * tokens, tokens, 1};
            loss += espi_loss_soft(&choice, s.teacher + row * tokens, 1, what->scale);
        }
        if (!status)
            status = add_gradient(&s, first, rows, tokens, width, stride, x, what->d_qkv + at);
        if (status)
            return status;
    }
    r->losses[index] = loss;
    return ESP_OK;
}

int espi_loss_relation(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_relation *relation,
                       double *loss)
{
    const struct espi_batch *batch = relation->batch;
    struct relations r = {.what = relation};
    size_t tasks = batch->sequences * KINDS * relation->heads;
    for (size_t s = 0; s < batch->sequences; s++)
        r.longest = espi_size_max(r.longest, batch->starts[s + 1] - batch->starts[s]);
    r.scratch = espi_calloc_aligned(ctx, espi_team_size(espi_matmuls_team(matmuls)),
                                    scratch_floats(relation, r.longest) * sizeof *r.scratch);
    r.losses = espi_calloc(ctx, tasks, sizeof *r.losses);
    int status = ESP_ERR_MEMORY;
    if (r.scratch && r.losses)
        status = espi_matmuls_run(ctx, matmuls, tasks, relation_of_head, &r);
    for (size_t i = 0; !status && i < tasks; i++)
        *loss += r.losses[i];
    free(r.scratch);
    free(r.losses);
    return status;
}
