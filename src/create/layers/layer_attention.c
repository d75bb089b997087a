/* SPDX-License-Identifier: Apache-2.0
 * One task is a head of a sequence: its keys and values are packed once, then its queries go through in blocks. Lengths
 * are rounded up so that few shapes of products are needed; what is padded counts as zero. */
#include "create/layers/layer_attention.h"

#include "base/memory.h"
#include "base/size.h"
#include "base/vector_math.h"
#include "create/layers/dropout.h"
#include "create/layers/matmul_private.h"

#include <math.h>
#include <stdlib.h>

enum {
    BLOCK = 128,   // queries of a block
    ROW_STEP = 32, // to which features and, for oneDNN, the last block are rounded up
    AHEAD = 8,     // rows to be fetched before they are needed
};

/* Products of a sequence: of full blocks and of the last. */
struct shapes {
    const struct espi_matmul_shape *scores[2];   // (queries, keys) over features: q k', and d_out v' in backward
    const struct espi_matmul_shape *context[2];  // (queries, features) over keys: p v, and d_scores k in backward
    const struct espi_matmul_shape *gradient[2]; // (keys, features) over queries: p' d_out and d_scores' q
};

/* What a task works in: views of one block of memory. Features are rounded up to `inner` where a product sums over them
 * and to `columns` where they are columns of its result. */
struct scratch {
    size_t inner, columns, keys; // keys: tokens, rounded up
    void *rows;                  // operand (keys, columns): before packing
    void *key_turned;            // right-hand operand (inner, keys)
    void *value_turned;          // backward: right-hand operand (inner, keys)
    void *by_key;                // right-hand operand (keys, columns): values; backward: keys
    void *query, *d_out;         // operands (BLOCK, inner)
    void *query_right;           // backward: right-hand operands (BLOCK, columns)
    void *d_out_right;
    void *p, *d_scores; // operands (BLOCK, keys)
    void *turned;       // backward: operand (keys, BLOCK)
    float *scores;      // (BLOCK, keys)
    float *d_p;         // backward: (BLOCK, keys)
    float *keep;        // (keys) what dropout multiplies a row with
    float *bias;        // (2 tokens - 1) by distance, from the smallest on
    float *result;      // (BLOCK, columns)
    float *d_key;       // backward: (keys, columns)
    float *d_value;
};

struct attention {
    struct espi_matmuls *matmuls;
    const struct espi_attention_pass *pass;
    bool backward;
    size_t hidden;
    struct shapes *shapes; // (sequences)
    size_t scratch_bytes;  // of a thread
    char *scratch;         // (threads)
};

/* ---- memory --------------------------------------------------------------------------------------------------------- */

static size_t operand_features(size_t width)
{
    return espi_round_up(width, ROW_STEP);
}

/* Columns of a right-hand operand: oneDNN's blocks are wide, strips need only `step`. */
static size_t right_columns(const struct attention *a, size_t columns, size_t step)
{
    return espi_round_up(columns, a->matmuls->strips ? step : ESPI_BLOCK);
}

/* Rows of a block up to the step that both kinds of products need; not more than there are keys. */
static size_t block_room(const struct attention *a, size_t rows)
{
    return espi_round_up(rows, a->matmuls->strips ? ESPI_STRIP : ROW_STEP);
}

struct cursor {
    char *base; // NULL: only to count
    size_t used;
};

static void *place(struct cursor *cursor, size_t elements, size_t size)
{
    char *start = cursor->base ? cursor->base + cursor->used : NULL;
    cursor->used += espi_round_up(elements * size, 64);
    return start;
}

/* Lays a task's memory out from `memory` on; returns its bytes. */
static size_t lay_out(const struct attention *a, size_t tokens, char *memory, struct scratch *out)
{
    size_t inner = operand_features(a->pass->width), columns = right_columns(a, a->pass->width, ROW_STEP);
    size_t keys = right_columns(a, tokens, ESPI_STRIP), size = espi_operand_size(a->matmuls->compute);
    struct cursor cursor = {.base = memory};
    *out = (struct scratch){.inner = inner, .columns = columns, .keys = keys};
    out->rows = place(&cursor, keys * columns, size);
    out->key_turned = place(&cursor, inner * keys, size);
    out->by_key = place(&cursor, keys * columns, size);
    out->query = place(&cursor, BLOCK * inner, size);
    out->p = place(&cursor, BLOCK * keys, size);
    out->scores = place(&cursor, BLOCK * keys, sizeof(float));
    out->keep = place(&cursor, keys, sizeof(float));
    out->result = place(&cursor, BLOCK * columns, sizeof(float));
    if (a->pass->distance)
        out->bias = place(&cursor, 2 * tokens, sizeof(float));
    if (!a->backward)
        return cursor.used;
    out->value_turned = place(&cursor, inner * keys, size);
    out->d_out = place(&cursor, BLOCK * inner, size);
    out->query_right = place(&cursor, BLOCK * columns, size);
    out->d_out_right = place(&cursor, BLOCK * columns, size);
    out->d_scores = place(&cursor, BLOCK * keys, size);
    out->turned = place(&cursor, BLOCK * keys, size);
    out->d_p = place(&cursor, BLOCK * keys, sizeof(float));
    out->d_key = place(&cursor, keys * columns, sizeof(float));
    out->d_value = place(&cursor, keys * columns, sizeof(float));
    return cursor.used;
}

static int get_block_shapes(esp_context *ctx, const struct attention *a, size_t rows, size_t keys, size_t last,
                            struct shapes *out)
{
    struct espi_matmuls *matmuls = a->matmuls;
    size_t inner = operand_features(a->pass->width), columns = right_columns(a, a->pass->width, ROW_STEP);
    rows = block_room(a, rows);
    int status = espi_matmul_get(ctx, matmuls, rows, keys, inner, false, &out->scores[last]);
    if (!status)
        status = espi_matmul_get(ctx, matmuls, rows, columns, keys, false, &out->context[last]);
    if (!status && a->backward)
        status = espi_matmul_get(ctx, matmuls, keys, columns, rows, true, &out->gradient[last]);
    return status;
}

/* Makes every product of the batch and the memory of the longest sequence. */
static int prepare(esp_context *ctx, struct attention *a)
{
    const struct espi_batch *batch = a->pass->batch;
    size_t longest = 0;
    a->shapes = espi_calloc(ctx, batch->sequences, sizeof *a->shapes);
    if (!a->shapes)
        return ESP_ERR_MEMORY;
    for (size_t s = 0; s < batch->sequences; s++) {
        size_t tokens = batch->starts[s + 1] - batch->starts[s], keys = right_columns(a, tokens, ESPI_STRIP);
        longest = espi_size_max(longest, tokens);
        int status = ESP_OK;
        if (tokens >= BLOCK)
            status = get_block_shapes(ctx, a, BLOCK, keys, 0, &a->shapes[s]);
        if (!status && tokens % BLOCK)
            status = get_block_shapes(ctx, a, tokens % BLOCK, keys, 1, &a->shapes[s]);
        if (status)
            return status;
    }
    struct scratch views;
    a->scratch_bytes = lay_out(a, longest, NULL, &views);
    int status =
        espi_room_reserve(ctx, &a->matmuls->attention, espi_team_size(espi_matmuls_team(a->matmuls)), a->scratch_bytes);
    a->scratch = a->matmuls->attention.data;
    return status;
}

/* ---- operands ------------------------------------------------------------------------------------------------------- */

/* A head's rows are far apart: the processor does not fetch them by itself. */
static inline void fetch_row(size_t width, const float *x, bool there)
{
    for (size_t i = 0; i < width && there; i += 16)
        __builtin_prefetch(x + i);
}

/* Rows of one head as operands, zeros behind their ends. x: (rows, width); out: (room, columns) */
static void load_rows(const struct attention *a, size_t rows, size_t room, const float *x, size_t stride,
                      size_t columns, void *out)
{
    enum espi_compute compute = a->matmuls->compute;
    size_t size = espi_operand_size(compute), width = a->pass->width;
    char *to = out;
    for (size_t row = 0; row < rows; row++, to += columns * size) {
        fetch_row(width, x + (row + AHEAD) * stride, row + AHEAD < rows);
        espi_operand_row(compute, width, x + row * stride, to);
        if (columns > width)
            memset(to + width * size, 0, (columns - width) * size);
    }
    memset(to, 0, (room - rows) * columns * size);
}

/* Rows (keys, columns) as a right-hand operand: turned, (inner, keys). */
static void pack_turned(const struct attention *a, const struct scratch *s, const struct espi_matmul_shape *shape,
                        void *out)
{
    struct espi_right right = {
        .compute = a->matmuls->compute, .layout = shape->layout, .inner = s->inner, .columns = s->keys, .data = out};
    size_t size = espi_operand_size(right.compute);
    for (size_t n = 0; n < s->keys; n += ESPI_BLOCK)
        for (size_t k = 0; k < s->inner; k += ESPI_BLOCK)
            espi_right_put_columns(&right, k, n, (char *)s->rows + (n * s->columns + k) * size, s->columns);
}

/* Rows (rows, columns) as a right-hand operand. */
static void pack_rows(const struct attention *a, const struct scratch *s, const struct espi_matmul_shape *shape,
                      size_t rows, void *out)
{
    struct espi_right right = {
        .compute = a->matmuls->compute, .layout = shape->layout, .inner = rows, .columns = s->columns, .data = out};
    size_t size = espi_operand_size(right.compute);
    for (size_t k = 0; k < rows; k += ESPI_BLOCK)
        for (size_t n = 0; n < s->columns; n += ESPI_BLOCK)
            espi_right_put_rows(&right, k, n, (char *)s->rows + (k * s->columns + n) * size, s->columns);
}

/* Floats (rows, keys) as operands, zeros behind `tokens`. */
static void load_keys(const struct attention *a, const struct scratch *s, size_t tokens, const float *x, void *out)
{
    size_t size = espi_operand_size(a->matmuls->compute);
    espi_operand_row(a->matmuls->compute, tokens, x, out);
    memset((char *)out + tokens * size, 0, (s->keys - tokens) * size);
}

/* ---- rows of probabilities ------------------------------------------------------------------------------------------ */

ESPI_SIMD static float attention_row_max(size_t cols, const float *x)
{
    float lanes[ESPI_LANES];
    for (size_t l = 0; l < ESPI_LANES; l++)
        lanes[l] = x[0];
    size_t whole = cols - cols % ESPI_LANES;
    for (size_t i = 0; i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++)
            lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
    for (size_t i = whole; i < cols; i++)
        lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
    for (size_t l = 1; l < ESPI_LANES; l++)
        lanes[0] = lanes[l] > lanes[0] ? lanes[l] : lanes[0];
    return lanes[0];
}

/* x = exp(scale x - shift); returns the sum. */
ESPI_SIMD static float attention_row_exp(size_t cols, float scale, float shift, float *x)
{
    float lanes[ESPI_LANES] = {0};
    size_t whole = cols - cols % ESPI_LANES;
    for (size_t i = 0; i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++) {
            float e = espi_exp(x[i + l] * scale - shift);
            x[i + l] = e;
            lanes[l] += e;
        }
    for (size_t i = whole; i < cols; i++) {
        x[i] = espi_exp(x[i] * scale - shift);
        lanes[i - whole] += x[i];
    }
    return espi_lanes_sum(lanes);
}

ESPI_SIMD static void attention_row_scale(size_t cols, float factor, float *x)
{
    for (size_t i = 0; i < cols; i++)
        x[i] *= factor;
}

ESPI_SIMD static float attention_row_dot(size_t cols, const float *x, const float *y)
{
    float lanes[ESPI_LANES] = {0};
    size_t whole = cols - cols % ESPI_LANES;
    for (size_t i = 0; i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++)
            lanes[l] += x[i + l] * y[i + l];
    for (size_t i = whole; i < cols; i++)
        lanes[i - whole] += x[i] * y[i];
    return espi_lanes_sum(lanes);
}

/* With p the probabilities: d_p becomes the gradient of the scaled scores, p what dropout leaves of it. */
ESPI_SIMD static void attention_row_gradient(size_t cols, float scale, float delta, const float *restrict keep,
                                             float *restrict p, float *restrict d_p)
{
    for (size_t i = 0; i < cols; i++) {
        float kept = keep[i];
        d_p[i] = p[i] * (d_p[i] * kept - delta) * scale;
        p[i] *= kept;
    }
}

/* x = scale x + bias */
ESPI_SIMD static void attention_row_bias(size_t cols, float scale, const float *restrict bias, float *restrict x)
{
    for (size_t i = 0; i < cols; i++)
        x[i] = x[i] * scale + bias[i];
}

/* The dropout of a row of probabilities: rows start at multiples of ESPI_DROPOUT_GROUP. */
static void drop_row(const struct espi_attention_pass *pass, size_t sequence, size_t head, size_t query, size_t tokens,
                     float *x)
{
    uint64_t row = head * tokens + query, stride = espi_round_up(tokens, ESPI_DROPOUT_GROUP);
    espi_dropout_row(pass->seed, pass->streams[sequence], row * stride, pass->dropout, tokens, x);
}

/* ---- tasks ---------------------------------------------------------------------------------------------------------- */

struct task {
    const struct attention *a;
    size_t sequence, head, start, tokens, thread;
    const float *query, *key, *value; // (tokens, width), stride 3 hidden
    const struct shapes *shapes;
    struct scratch s;
};

static struct task begin(const struct attention *a, size_t index, size_t thread)
{
    const struct espi_attention_pass *pass = a->pass;
    struct task t = {.a = a, .sequence = index / pass->heads, .head = index % pass->heads, .thread = thread};
    t.start = pass->batch->starts[t.sequence];
    t.tokens = pass->batch->starts[t.sequence + 1] - t.start;
    t.query = pass->qkv + t.start * 3 * a->hidden + t.head * pass->width;
    t.key = t.query + a->hidden;
    t.value = t.key + a->hidden;
    t.shapes = &a->shapes[t.sequence];
    lay_out(a, t.tokens, a->scratch + thread * a->scratch_bytes, &t.s);
    return t;
}

/* The task's bias by distance. */
static void load_bias(const struct task *t)
{
    const struct espi_distance_bias *distance = t->a->pass->distance;
    if (!distance)
        return;
    size_t heads = distance->config->heads;
    const float *bias = distance->bias + espi_config_head_number(distance->config, distance->layer, t->head);
    const uint8_t *buckets = distance->buckets - (t->tokens - 1);
    for (size_t i = 0; i < 2 * t->tokens - 1; i++)
        t->s.bias[i] = bias[buckets[i] * heads];
}

/* Adds a query's bias to its scores, which are scaled on the way; returns what is still to be multiplied by. */
static float add_bias(const struct task *t, size_t query, float scale, float *scores)
{
    if (!t->a->pass->distance)
        return scale;
    attention_row_bias(t->tokens, scale, t->s.bias + t->tokens - 1 - query, scores);
    return 1.0f;
}

/* The bias has the gradient of the scaled scores of its bucket; `scale`: what d_scores was multiplied by. */
static void add_bias_gradient(const struct task *t, size_t query, float scale, const float *d_scores)
{
    const struct espi_attention_pass *pass = t->a->pass;
    if (!pass->distance)
        return;
    size_t count = pass->distance->config->block.buckets;
    float *sums = pass->d_distance + (t->sequence * pass->heads + t->head) * count; // (buckets)
    const uint8_t *buckets = pass->distance->buckets - query;
    for (size_t i = 0; i < t->tokens; i++)
        sums[buckets[i]] += d_scores[i] / scale;
}

static int forward_block(const struct task *t, size_t first, size_t rows)
{
    const struct attention *a = t->a;
    const struct espi_attention_pass *pass = a->pass;
    const struct scratch *s = &t->s;
    size_t last = rows < BLOCK, size = espi_operand_size(a->matmuls->compute), stride = 3 * a->hidden;
    float scale = 1.0f / sqrtf((float)pass->width), *lse = pass->lse + t->head * pass->batch->tokens + t->start + first;
    load_rows(a, rows, rows, t->query + first * stride, stride, s->inner, s->query);
    int status =
        espi_matmul_multiply(a->matmuls, t->shapes->scores[last], s->query, s->key_turned, s->scores, t->thread);
    if (status)
        return status;
    for (size_t row = 0; row < rows; row++) {
        float *x = s->scores + row * s->keys; // (tokens)
        float left = add_bias(t, first + row, scale, x);
        float largest = attention_row_max(t->tokens, x) * left;
        float sum = attention_row_exp(t->tokens, left, largest, x);
        lse[row] = largest + logf(sum);
        attention_row_scale(t->tokens, 1.0f / sum, x);
        if (pass->dropout > 0.0f)
            drop_row(pass, t->sequence, t->head, first + row, t->tokens, x);
        load_keys(a, s, t->tokens, x, (char *)s->p + row * s->keys * size);
    }
    status = espi_matmul_multiply(a->matmuls, t->shapes->context[last], s->p, s->by_key, s->result, t->thread);
    float *out = pass->out + (t->start + first) * a->hidden + t->head * pass->width; // (rows, width), stride hidden
    for (size_t row = 0; row < rows && !status; row++)
        memcpy(out + row * a->hidden, s->result + row * s->columns, pass->width * sizeof *out);
    return status;
}

static int forward_task(void *argument, size_t index, size_t thread)
{
    const struct attention *a = argument;
    struct task t = begin(a, index, thread);
    size_t last = t.tokens < BLOCK, stride = 3 * a->hidden;
    load_bias(&t);
    load_rows(a, t.tokens, t.s.keys, t.key, stride, t.s.columns, t.s.rows);
    pack_turned(a, &t.s, t.shapes->scores[last], t.s.key_turned);
    load_rows(a, t.tokens, t.s.keys, t.value, stride, t.s.columns, t.s.rows);
    pack_rows(a, &t.s, t.shapes->context[last], t.s.keys, t.s.by_key);
    int status = ESP_OK;
    for (size_t first = 0; first < t.tokens && !status; first += BLOCK)
        status = forward_block(&t, first, espi_size_min(BLOCK, t.tokens - first));
    return status;
}

/* From scores and gradients of the probabilities to the operands p and d_scores, rows up to `room` zero. */
static void gradient_rows(const struct task *t, size_t first, size_t rows, size_t room)
{
    const struct attention *a = t->a;
    const struct espi_attention_pass *pass = a->pass;
    const struct scratch *s = &t->s;
    size_t size = espi_operand_size(a->matmuls->compute), row_bytes = s->keys * size;
    size_t place = (t->start + first) * a->hidden + t->head * pass->width;
    const float *lse = pass->lse + t->head * pass->batch->tokens + t->start + first;
    float scale = 1.0f / sqrtf((float)pass->width);
    for (size_t row = 0; row < rows; row++) {
        float *p = s->scores + row * s->keys, *d_p = s->d_p + row * s->keys; // (tokens)
        float delta =
            attention_row_dot(pass->width, pass->d_out + place + row * a->hidden, pass->out + place + row * a->hidden);
        attention_row_exp(t->tokens, add_bias(t, first + row, scale, p), lse[row], p);
        if (pass->dropout > 0.0f) {
            for (size_t i = 0; i < t->tokens; i++)
                s->keep[i] = 1.0f;
            drop_row(pass, t->sequence, t->head, first + row, t->tokens, s->keep);
        }
        attention_row_gradient(t->tokens, scale, delta, s->keep, p, d_p);
        add_bias_gradient(t, first + row, scale, d_p);
        load_keys(a, s, t->tokens, p, (char *)s->p + row * row_bytes);
        load_keys(a, s, t->tokens, d_p, (char *)s->d_scores + row * row_bytes);
    }
    memset((char *)s->p + rows * row_bytes, 0, (room - rows) * row_bytes);
    memset((char *)s->d_scores + rows * row_bytes, 0, (room - rows) * row_bytes);
}

/* sum += rows' right. rows: operand (room, keys); right: (room, columns); sum: (keys, columns) */
static int add_gradient(const struct task *t, size_t last, size_t room, const void *rows, const void *right, float *sum)
{
    const struct scratch *s = &t->s;
    espi_transpose(t->a->matmuls->compute, room, s->keys, rows, s->keys, s->turned, room);
    return espi_matmul_multiply(t->a->matmuls, t->shapes->gradient[last], s->turned, right, sum, t->thread);
}

static void load_block(const struct task *t, size_t rows, size_t room, size_t last, const float *x, size_t stride,
                       void *left, void *right)
{
    const struct scratch *s = &t->s;
    load_rows(t->a, rows, room, x, stride, s->inner, left);
    load_rows(t->a, rows, room, x, stride, s->columns, s->rows);
    pack_rows(t->a, s, t->shapes->gradient[last], room, right);
}

static int backward_block(const struct task *t, size_t first, size_t rows)
{
    const struct attention *a = t->a;
    const struct espi_attention_pass *pass = a->pass;
    const struct scratch *s = &t->s;
    const struct shapes *shapes = t->shapes;
    size_t last = rows < BLOCK, room = block_room(a, rows), stride = 3 * a->hidden, thread = t->thread;
    const float *d_out = pass->d_out + (t->start + first) * a->hidden + t->head * pass->width;
    load_block(t, rows, room, last, t->query + first * stride, stride, s->query, s->query_right);
    load_block(t, rows, room, last, d_out, a->hidden, s->d_out, s->d_out_right);
    int status = espi_matmul_multiply(a->matmuls, shapes->scores[last], s->query, s->key_turned, s->scores, thread);
    if (!status)
        status = espi_matmul_multiply(a->matmuls, shapes->scores[last], s->d_out, s->value_turned, s->d_p, thread);
    if (status)
        return status;
    gradient_rows(t, first, rows, room);
    status = add_gradient(t, last, room, s->p, s->d_out_right, s->d_value);
    if (!status)
        status = add_gradient(t, last, room, s->d_scores, s->query_right, s->d_key);
    if (!status)
        status = espi_matmul_multiply(a->matmuls, shapes->context[last], s->d_scores, s->by_key, s->result, thread);
    float *d_query = pass->d_qkv + (t->start + first) * stride + t->head * pass->width; // (rows, width)
    for (size_t row = 0; row < rows && !status; row++)
        memcpy(d_query + row * stride, s->result + row * s->columns, pass->width * sizeof *d_query);
    return status;
}

static int backward_task(void *argument, size_t index, size_t thread)
{
    const struct attention *a = argument;
    struct task t = begin(a, index, thread);
    const struct scratch *s = &t.s;
    size_t last = t.tokens < BLOCK, stride = 3 * a->hidden;
    load_bias(&t);
    load_rows(a, t.tokens, s->keys, t.value, stride, s->columns, s->rows);
    pack_turned(a, s, t.shapes->scores[last], s->value_turned);
    load_rows(a, t.tokens, s->keys, t.key, stride, s->columns, s->rows);
    pack_turned(a, s, t.shapes->scores[last], s->key_turned);
    pack_rows(a, s, t.shapes->context[last], s->keys, s->by_key);
    memset(s->d_key, 0, s->keys * s->columns * sizeof *s->d_key);
    memset(s->d_value, 0, s->keys * s->columns * sizeof *s->d_value);
    for (size_t i = 0; i < t.tokens; i++)
        s->keep[i] = 1.0f;
    for (size_t first = 0; first < t.tokens; first += BLOCK) {
        int status = backward_block(&t, first, espi_size_min(BLOCK, t.tokens - first));
        if (status)
            return status;
    }
    float *d_key = a->pass->d_qkv + t.start * stride + a->hidden + t.head * a->pass->width; // (tokens, width)
    for (size_t row = 0; row < t.tokens; row++, d_key += stride) {
        memcpy(d_key, s->d_key + row * s->columns, a->pass->width * sizeof *d_key);
        memcpy(d_key + a->hidden, s->d_value + row * s->columns, a->pass->width * sizeof *d_key);
    }
    return ESP_OK;
}

static int run(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_attention_pass *pass, bool backward)
{
    struct attention a = {.matmuls = matmuls, .pass = pass, .backward = backward, .hidden = pass->heads * pass->width};
    int status = prepare(ctx, &a);
    if (!status)
        status = espi_matmuls_run(ctx, matmuls, pass->batch->sequences * pass->heads,
                                  backward ? backward_task : forward_task, &a);
    free(a.shapes);
    return status;
}

int espi_layer_attention_forward(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_attention_pass *pass)
{
    return run(ctx, matmuls, pass, false);
}

int espi_layer_attention_backward(esp_context *ctx, struct espi_matmuls *matmuls,
                                  const struct espi_attention_pass *pass)
{
    return run(ctx, matmuls, pass, true);
}
