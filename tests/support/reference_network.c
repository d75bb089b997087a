/* SPDX-License-Identifier: Apache-2.0 */
#include "reference_network.h"

#include "base/random.h"
#include "base/size.h"
#include "create/layers/dropout.h"
#include "create/network/network_private.h"
#include "model/arch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *allocate(size_t count, size_t size)
{
    void *block = calloc(count + 1, size);
    if (!block)
        abort();
    return block;
}

static double *doubles(size_t count)
{
    return allocate(count, sizeof(double));
}

void reference_init(struct reference *r, const struct espi_config *config, const struct espi_params *params)
{
    *r = (struct reference){.config = config, .params = params, .slab = doubles(params->elements)};
    for (size_t i = 0; i < params->elements; i++)
        r->slab[i] = (double)params->slab[i];
    r->hidden = allocate(config->layers + 1, sizeof *r->hidden);
    r->qkv = allocate(config->layers, sizeof *r->qkv);
}

static void clear_pass(struct reference *r)
{
    for (size_t l = 0; l <= r->config->layers; l++) {
        free(r->hidden[l]);
        r->hidden[l] = NULL;
    }
    for (size_t l = 0; l < r->config->layers; l++) {
        free(r->qkv[l]);
        r->qkv[l] = NULL;
    }
    free(r->out);
    r->out = NULL;
}

void reference_clear(struct reference *r)
{
    clear_pass(r);
    free(r->slab);
    free(r->hidden);
    free(r->qkv);
}

/* ---- pieces --------------------------------------------------------------------------------------------------------- */

static const double *tensor(const struct reference *r, enum espi_role role, size_t layer)
{
    const struct espi_param *param = espi_params_find(r->params, role, layer);
    return param ? r->slab + param->offset : NULL;
}

/* out = x W' + b; the caller frees it. */
static double *linear(const double *weight, const double *bias, size_t rows, size_t inputs, size_t outputs,
                      const double *x)
{
    double *out = doubles(rows * outputs);
    for (size_t row = 0; row < rows; row++)
        for (size_t o = 0; o < outputs; o++) {
            double sum = bias[o];
            for (size_t i = 0; i < inputs; i++)
                sum += x[row * inputs + i] * weight[o * inputs + i];
            out[row * outputs + o] = sum;
        }
    return out;
}

static void norm(double eps, const double *weight, const double *bias, size_t rows, size_t hidden, double *x)
{
    for (size_t row = 0; row < rows; row++, x += hidden) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < hidden; i++)
            mean += x[i] / (double)hidden;
        for (size_t i = 0; i < hidden; i++)
            variance += (x[i] - mean) * (x[i] - mean) / (double)hidden;
        for (size_t i = 0; i < hidden; i++)
            x[i] = (x[i] - mean) / sqrt(variance + eps) * weight[i] + bias[i];
    }
}

static double activation(enum espi_activation kind, double x)
{
    switch (kind) {
    case ESPI_GELU:
        return 0.5 * x * erfc(-x / sqrt(2.0));
    case ESPI_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case ESPI_RELU:
        return x > 0.0 ? x : 0.0;
    case ESPI_SILU:
        return x / (1.0 + exp(-x));
    case ESPI_TANH:
        return tanh(x);
    }
    abort();
}

static void activate(enum espi_activation kind, size_t count, double *x)
{
    for (size_t i = 0; i < count; i++)
        x[i] = activation(kind, x[i]);
}

/* The key of a place, as the network draws it. */
static uint64_t key_of(uint64_t seed, size_t layer, enum espi_place place)
{
    uint32_t words[4];
    espi_random_block(seed, layer, place, words);
    return (uint64_t)words[1] << 32 | words[0];
}

static void drop(const struct espi_pass *pass, enum espi_place place, size_t layer, float rate, size_t sequence,
                 uint64_t number, size_t count, double *x)
{
    if (!pass->train || rate == 0.0f)
        return;
    float *mask = allocate(count, sizeof *mask);
    for (size_t i = 0; i < count; i++)
        mask[i] = 1.0f;
    espi_dropout_row(key_of(pass->seed, layer, place), pass->streams ? pass->streams[sequence] : sequence, number, rate,
                     count, mask);
    for (size_t i = 0; i < count; i++)
        x[i] *= mask[i] == 0.0f ? 0.0 : 1.0 / (1.0 - (double)rate);
    free(mask);
}

/* Dropout of every token's row. */
static void drop_tokens(const struct espi_pass *pass, enum espi_place place, size_t layer, float rate, size_t columns,
                        double *x)
{
    const struct espi_batch *batch = pass->batch;
    for (size_t s = 0; s < batch->sequences; s++)
        for (size_t t = batch->starts[s]; t < batch->starts[s + 1]; t++)
            drop(pass, place, layer, rate, s, (t - batch->starts[s]) * espi_round_up(columns, ESPI_DROPOUT_GROUP),
                 columns, x + t * columns);
}

static void filter(const struct reference *r, size_t layer, enum espi_tap tap, size_t count, double *x)
{
    if (r->filter)
        r->filter(layer, tap, count, x);
}

static double *copy_of(const double *x, size_t count)
{
    double *out = doubles(count);
    memcpy(out, x, count * sizeof *out);
    return out;
}

/* ---- encoder -------------------------------------------------------------------------------------------------------- */

static double *embed(const struct reference *r, const struct espi_pass *pass)
{
    const struct espi_config *config = r->config;
    const struct espi_batch *batch = pass->batch;
    const double *word = tensor(r, ESPI_EMBED_WORD, 0), *position = tensor(r, ESPI_EMBED_POSITION, 0);
    const double *type = tensor(r, ESPI_EMBED_TYPE, 0), *project = tensor(r, ESPI_EMBED_PROJECT_W, 0);
    size_t hidden = project ? config->block.embedding : config->hidden;
    double *x = doubles(batch->tokens * hidden);
    bool typed = batch->types && config->type_vocab > 1;
    for (size_t s = 0; s < batch->sequences; s++) {
        size_t real = 0, offset = config->block.position_offset;
        for (size_t t = batch->starts[s]; t < batch->starts[s + 1]; t++) {
            size_t row = offset + (t - batch->starts[s]);
            if (config->block.positions == ESPI_POSITIONS_COUNTED)
                row = batch->ids[t] == config->pad_token_id ? offset - 1 : offset + real++;
            for (size_t i = 0; i < hidden; i++) {
                x[t * hidden + i] = word[(size_t)batch->ids[t] * hidden + i] + position[row * hidden + i];
                if (type)
                    x[t * hidden + i] += type[(typed ? batch->types[t] : 0) * hidden + i];
            }
        }
    }
    norm((double)config->layer_norm_eps, tensor(r, ESPI_EMBED_NORM_W, 0), tensor(r, ESPI_EMBED_NORM_B, 0),
         batch->tokens, hidden, x);
    drop_tokens(pass, ESPI_PLACE_EMBEDDING, 0, config->hidden_dropout, hidden, x);
    if (!project)
        return x;
    double *out = linear(project, tensor(r, ESPI_EMBED_PROJECT_B, 0), batch->tokens, hidden, config->hidden, x);
    free(x);
    return out;
}

/* What is added to a score: by the distance of a key behind its query, as T5 puts them into buckets. */
static double bias_at(const struct reference *r, size_t head, ptrdiff_t distance)
{
    const double *bias = tensor(r, ESPI_DISTANCE_BIAS, 0);
    if (!bias)
        return 0;
    static const int firsts[] = {8, 12, 16, 23, 32, 46, 64, 91}; // of the buckets from 8 on
    size_t n = (size_t)(distance < 0 ? -distance : distance), bucket = n;
    for (size_t i = 0; i < ESPI_COUNT(firsts); i++)
        bucket = n >= (size_t)firsts[i] ? 8 + i : bucket;
    return bias[(bucket + (distance > 0 ? 16 : 0)) * r->config->heads + head];
}

/* One head of one sequence. */
static void attend(const struct reference *r, const struct espi_pass *pass, size_t layer, size_t sequence, size_t head,
                   const double *qkv, double *context)
{
    size_t hidden = r->config->hidden, width = hidden / r->config->heads, start = pass->batch->starts[sequence];
    size_t tokens = pass->batch->starts[sequence + 1] - start;
    double *p = doubles(tokens);
    for (size_t q = 0; q < tokens; q++) {
        double sum = 0;
        for (size_t k = 0; k < tokens; k++) {
            double score = 0;
            for (size_t i = 0; i < width; i++)
                score += qkv[(start + q) * 3 * hidden + head * width + i] *
                         qkv[((start + k) * 3 + 1) * hidden + head * width + i];
            sum += p[k] = exp(score / sqrt((double)width) + bias_at(r, head, (ptrdiff_t)k - (ptrdiff_t)q));
        }
        for (size_t k = 0; k < tokens; k++)
            p[k] /= sum;
        drop(pass, ESPI_PLACE_ATTENTION, layer, r->config->attention_dropout, sequence,
             (head * tokens + q) * espi_round_up(tokens, ESPI_DROPOUT_GROUP), tokens, p);
        for (size_t k = 0; k < tokens; k++)
            for (size_t i = 0; i < width; i++)
                context[(start + q) * hidden + head * width + i] +=
                    p[k] * qkv[((start + k) * 3 + 2) * hidden + head * width + i];
    }
    free(p);
}

/* From hidden[layer] to the state between attention and feed-forward. */
static double *attention_part(struct reference *r, const struct espi_pass *pass, size_t layer)
{
    const struct espi_config *config = r->config;
    size_t tokens = pass->batch->tokens, hidden = config->hidden;
    double *input = copy_of(r->hidden[layer], tokens * hidden), *context = doubles(tokens * hidden);
    filter(r, layer, ESPI_TAP_INPUT, tokens * hidden, input);
    double *qkv = r->qkv[layer] =
        linear(tensor(r, ESPI_QUERY_W, layer), tensor(r, ESPI_QUERY_B, layer), tokens, hidden, 3 * hidden, input);
    filter(r, layer, ESPI_TAP_QKV, tokens * 3 * hidden, qkv);
    for (size_t s = 0; s < pass->batch->sequences; s++)
        for (size_t head = 0; head < config->heads; head++)
            attend(r, pass, layer, s, head, qkv, context);
    filter(r, layer, ESPI_TAP_CONTEXT, tokens * hidden, context);
    double *out = linear(tensor(r, ESPI_ATTENTION_OUT_W, layer), tensor(r, ESPI_ATTENTION_OUT_B, layer), tokens, hidden,
                         hidden, context);
    if (config->arch->attention_out_dropout)
        drop_tokens(pass, ESPI_PLACE_ATTENTION_OUT, layer, config->hidden_dropout, hidden, out);
    for (size_t i = 0; i < tokens * hidden; i++)
        out[i] += r->hidden[layer][i];
    norm((double)config->layer_norm_eps, tensor(r, ESPI_ATTENTION_NORM_W, layer),
         tensor(r, ESPI_ATTENTION_NORM_B, layer), tokens, hidden, out);
    free(input);
    free(context);
    return out;
}

static void run_layer(struct reference *r, const struct espi_pass *pass, size_t layer)
{
    const struct espi_config *config = r->config;
    size_t tokens = pass->batch->tokens, hidden = config->hidden, intermediate = config->intermediate;
    double *middle = attention_part(r, pass, layer), *input = copy_of(middle, tokens * hidden);
    filter(r, layer, ESPI_TAP_FFN_INPUT, tokens * hidden, input);
    double *inner =
        linear(tensor(r, ESPI_FFN_IN_W, layer), tensor(r, ESPI_FFN_IN_B, layer), tokens, hidden, intermediate, input);
    activate(config->activation, tokens * intermediate, inner);
    filter(r, layer, ESPI_TAP_INTERMEDIATE, tokens * intermediate, inner);
    double *out =
        linear(tensor(r, ESPI_FFN_OUT_W, layer), tensor(r, ESPI_FFN_OUT_B, layer), tokens, intermediate, hidden, inner);
    drop_tokens(pass, ESPI_PLACE_FFN_OUT, layer, config->hidden_dropout, hidden, out);
    for (size_t i = 0; i < tokens * hidden; i++)
        out[i] += middle[i];
    norm((double)config->layer_norm_eps, tensor(r, ESPI_FFN_NORM_W, layer), tensor(r, ESPI_FFN_NORM_B, layer), tokens,
         hidden, out);
    r->hidden[layer + 1] = out;
    free(middle);
    free(input);
    free(inner);
}

/* ---- heads ---------------------------------------------------------------------------------------------------------- */

/* The sequence of a token. */
static size_t sequence_of(const struct espi_batch *batch, size_t token)
{
    size_t s = 0;
    while (batch->starts[s + 1] <= token)
        s++;
    return s;
}

/* Rows of the head as its recipe says, each from the token tokens[row]. */
static double *head_result(const struct reference *r, const struct espi_pass *pass, const double *last)
{
    const struct espi_head_recipe *recipe = &r->config->recipe;
    const struct espi_batch *batch = pass->batch;
    bool pooled = pass->wanted.result == ESPI_RESULT_POOLED;
    size_t wide = recipe->decoder && r->config->block.embedding ? r->config->block.embedding : r->config->hidden;
    size_t hidden = r->config->hidden, rows = recipe->rows == ESPI_ROWS_ALL     ? batch->tokens
                                              : recipe->rows == ESPI_ROWS_FIRST ? batch->sequences
                                                                                : pass->wanted.position_count;
    float rate = pooled || recipe->decoder ? 0 : r->config->classifier_dropout;
    double *x = doubles(rows * hidden);
    for (size_t part = 0; part < 2; part++) { // before and behind the dense layer
        for (size_t row = 0; row < rows; row++) {
            size_t token = recipe->rows == ESPI_ROWS_ALL     ? row
                           : recipe->rows == ESPI_ROWS_FIRST ? batch->starts[row]
                                                             : pass->wanted.positions[row];
            size_t s = sequence_of(batch, token);
            if (part == 0)
                memcpy(x + row * hidden, last + token * hidden, hidden * sizeof *x);
            if (part == 0 ? !recipe->dense || recipe->dropout_first : recipe->dense)
                drop(pass, ESPI_PLACE_HEAD, part && recipe->dropout_first, rate, s,
                     (token - batch->starts[s]) * espi_round_up(hidden, ESPI_DROPOUT_GROUP), hidden, x + row * hidden);
        }
        if (part == 0 && recipe->dense) {
            double *inner =
                linear(tensor(r, ESPI_HEAD_DENSE_W, 0), tensor(r, ESPI_HEAD_DENSE_B, 0), rows, hidden, wide, x);
            free(x);
            x = inner;
            activate(recipe->activation, rows * wide, x);
            if (recipe->norm)
                norm((double)r->config->layer_norm_eps, tensor(r, ESPI_HEAD_NORM_W, 0), tensor(r, ESPI_HEAD_NORM_B, 0),
                     rows, wide, x);
        }
    }
    if (pooled)
        return x;
    double *out = recipe->decoder ? linear(tensor(r, ESPI_EMBED_WORD, 0), tensor(r, ESPI_DECODER_B, 0), rows, wide,
                                           r->config->vocab_size, x)
                                  : linear(tensor(r, ESPI_CLASSIFIER_W, 0), tensor(r, ESPI_CLASSIFIER_B, 0), rows,
                                           hidden, r->config->labels, x);
    free(x);
    return out;
}

/* One number of a sentence embedding, before it is scaled. */
static double pool(enum espi_pooling kind, size_t tokens, size_t stride, const double *x)
{
    double sum = x[0], largest = x[0];
    for (size_t t = 1; t < tokens; t++) {
        sum += x[t * stride];
        largest = fmax(largest, x[t * stride]);
    }
    return kind == ESPI_POOL_CLS ? x[0] : kind == ESPI_POOL_MAX ? largest : sum / (double)tokens;
}

static double *embedding(const struct reference *r, const struct espi_pass *pass, const double *last)
{
    size_t hidden = r->config->hidden, sequences = pass->batch->sequences;
    double *out = doubles(sequences * hidden);
    for (size_t s = 0; s < sequences; s++) {
        size_t first = pass->batch->starts[s], tokens = pass->batch->starts[s + 1] - first;
        double squares = 0, *row = out + s * hidden;
        for (size_t i = 0; i < hidden; i++) {
            row[i] = pool(r->config->pooling, tokens, hidden, last + first * hidden + i);
            squares += row[i] * row[i];
        }
        for (size_t i = 0; r->config->normalize && i < hidden; i++)
            row[i] /= sqrt(squares);
    }
    return out;
}

void reference_forward(struct reference *r, const struct espi_pass *pass)
{
    clear_pass(r);
    r->hidden[0] = embed(r, pass);
    for (size_t l = 0; l < r->config->layers; l++)
        run_layer(r, pass, l);
    const double *last = r->hidden[r->config->layers];
    switch (pass->wanted.result) {
    case ESPI_RESULT_HIDDEN:
        r->out = copy_of(last, pass->batch->tokens * r->config->hidden);
        break;
    case ESPI_RESULT_EMBEDDING:
        r->out = embedding(r, pass, last);
        break;
    default:
        r->out = head_result(r, pass, last);
        break;
    }
    r->out_count = espi_result_size(r->config, pass->batch, &pass->wanted);
}
