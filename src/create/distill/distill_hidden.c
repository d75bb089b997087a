/* SPDX-License-Identifier: Apache-2.0 */
#include "create/distill/distill_private.h"

#include "base/random.h"
#include "base/size.h"
#include "create/layers/loss.h"
#include "create/layers/relation.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 32 }; // rows of one call, whatever the team

/* ---- pairs and projections ---------------------------------------------------------------------------------------------- */

int espi_distill_map(esp_context *ctx, struct espi_distill *distill)
{
    const struct espi_distill_options *o = &distill->options;
    size_t layers = distill->job->config->layers, teacher = distill->teacher->config.layers;
    if (!(o->hidden_weight > 0))
        return ESP_OK;
    distill->pair_count = o->layer_map ? o->layer_count : layers + 1;
    distill->pairs = espi_calloc(ctx, distill->pair_count, sizeof *distill->pairs);
    if (!distill->pairs)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < distill->pair_count; i++) {
        struct espi_distill_pair *pair = &distill->pairs[i];
        pair->student = o->layer_map ? o->layer_map[2 * i] : i;
        pair->teacher = o->layer_map ? o->layer_map[2 * i + 1] : (2 * i * teacher + layers) / (2 * layers);
    }
    return ESP_OK;
}

/* Gives a pair its place among the projections; *count grows. */
static int add_projection(esp_context *ctx, struct espi_distill *distill, struct espi_distill_pair *pair, size_t *count)
{
    pair->first = *count;
    *count += distill->job->config->hidden * distill->teacher->config.hidden;
    return espi_dense_init(ctx, distill->matmuls, distill->job->config->hidden, distill->teacher->config.hidden,
                           &pair->dense);
}

int espi_distill_init_projections(esp_context *ctx, struct espi_distill *distill)
{
    size_t width = distill->job->config->hidden, count = 0;
    bool embed = distill->job->task->result == ESPI_RESULT_EMBEDDING && distill->options.soft_weight > 0;
    int status = ESP_OK;
    if (width == distill->teacher->config.hidden)
        return ESP_OK;
    for (size_t i = 0; !status && i < distill->pair_count; i++)
        status = add_projection(ctx, distill, &distill->pairs[i], &count);
    if (!status && embed)
        status = add_projection(ctx, distill, &distill->embedding, &count);
    if (status || !count)
        return status;
    distill->projections.weights = espi_calloc_aligned(ctx, count, sizeof(float));
    distill->projections.gradients = espi_calloc_aligned(ctx, count, sizeof(float));
    if (!distill->projections.weights || !distill->projections.gradients)
        return ESP_ERR_MEMORY;
    distill->projections.count = count;
    struct espi_random random = {.seed = distill->options.seed, .stream = 0x70726f6a};
    for (size_t i = 0; i < count; i++) // states keep their size
        distill->projections.weights[i] = espi_random_normal(&random) / sqrtf((float)width);
    return ESP_OK;
}

/* ---- states ------------------------------------------------------------------------------------------------------------- */

struct states {
    enum espi_hidden_loss kind;
    size_t rows, width;
    const float *x, *target; // (rows, width)
    float *dx;               // (rows, width)
    double scale;
    double *losses; // (blocks)
};

static void states_block(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct states *s = argument;
    double loss = 0;
    for (size_t row = index * BLOCK; row < espi_size_min((index + 1) * BLOCK, s->rows); row++) {
        const float *x = s->x + row * s->width, *target = s->target + row * s->width;
        float *dx = s->dx + row * s->width;
        loss += s->kind == ESPI_HIDDEN_MSE ? espi_loss_mse(s->width, x, target, s->scale, dx)
                                           : espi_loss_cosine(s->width, x, target, s->scale, dx);
    }
    s->losses[index] = loss;
}

static int compare(esp_context *ctx, struct espi_distill *distill, struct states *s, double *loss)
{
    size_t blocks = (s->rows + BLOCK - 1) / BLOCK;
    int status = espi_distill_reserve(ctx, &distill->losses, blocks, sizeof(double));
    if (status)
        return status;
    s->losses = distill->losses.data;
    espi_team_run(distill->team, blocks, states_block, s);
    for (size_t i = 0; i < blocks; i++)
        *loss += s->losses[i];
    return ESP_OK;
}

/* What a projected pair works in. */
struct projecting {
    void *x, *dy;      // operands (room, inputs), (room, outputs)
    float *y, *y_grad; // (room, outputs)
    float *dx;         // (room, inputs)
};

static int reserve_projecting(esp_context *ctx, struct espi_distill *distill, size_t rows, const struct espi_dense *d,
                              struct projecting *out)
{
    size_t room = espi_matmul_room(rows), wide = room * (2 * d->inputs + 3 * d->outputs);
    int status = espi_distill_reserve(ctx, &distill->operands, wide, sizeof(float));
    if (status)
        return status;
    float *memory = distill->operands.data;
    out->x = memory;
    out->dx = memory += room * d->inputs;
    out->dy = memory += room * d->inputs;
    out->y = memory += room * d->outputs;
    out->y_grad = memory + room * d->outputs;
    memset(out->y_grad, 0, room * d->outputs * sizeof(float));
    return ESP_OK;
}

int espi_distill_states(esp_context *ctx, struct espi_distill *distill, struct espi_distill_pair *pair,
                        enum espi_hidden_loss kind, size_t rows, const float *x, const float *target, double scale,
                        float *dx, double *loss)
{
    struct espi_dense *dense = &pair->dense;
    size_t width = distill->job->config->hidden;
    struct states s = {kind, rows, distill->teacher->config.hidden, x, target, dx, scale, NULL};
    struct projecting p;
    if (!dense->outputs)
        return compare(ctx, distill, &s, loss);
    int status = reserve_projecting(ctx, distill, rows, dense, &p);
    if (!status)
        status = espi_dense_pack(ctx, distill->matmuls, dense, distill->projections.weights + pair->first);
    if (!status)
        status = espi_operand_from_float(ctx, distill->matmuls, rows, width, x, p.x);
    if (!status)
        status = espi_dense_forward(ctx, distill->matmuls, dense, rows, p.x, NULL, p.y);
    s.x = p.y;
    s.dx = p.y_grad;
    if (!status)
        status = compare(ctx, distill, &s, loss);
    if (!status)
        status = espi_operand_from_float(ctx, distill->matmuls, rows, dense->outputs, p.y_grad, p.dy);
    if (!status)
        status = espi_dense_backward_input(ctx, distill->matmuls, dense, rows, p.dy, p.dx);
    if (!status)
        status = espi_dense_backward_weight(ctx, distill->matmuls, dense, rows, p.x, p.dy,
                                            distill->projections.gradients + pair->first, NULL);
    for (size_t i = 0; !status && i < rows * width; i++)
        dx[i] += p.dx[i];
    return status;
}

int espi_distill_hidden(esp_context *ctx, const struct espi_distill_step *step, double weight, double *loss)
{
    struct espi_distill *distill = step->distill;
    const struct espi_config *config = distill->job->config;
    size_t tokens = step->batch->batch.tokens, each = tokens * config->hidden, used = 0;
    int status = espi_distill_reserve(ctx, &distill->hidden, distill->pair_count * each, sizeof(float));
    if (status)
        return status;
    double scale = weight * step->token_scale / (double)distill->pair_count;
    float *memory = distill->hidden.data;
    for (size_t i = 0; !status && i < distill->pair_count; i++) {
        struct espi_distill_pair *pair = &distill->pairs[i];
        float *dx = distill->hidden_gradients[pair->student]; // of an earlier pair
        if (!dx) {
            dx = memory + used++ * each;
            memset(dx, 0, each * sizeof *dx);
            distill->hidden_gradients[pair->student] = dx;
        }
        status = espi_distill_states(ctx, distill, pair, distill->options.hidden_loss, tokens,
                                     espi_network_hidden(step->student, pair->student),
                                     espi_network_hidden(distill->network, pair->teacher), scale, dx, loss);
    }
    return status;
}

/* ---- attention relations ------------------------------------------------------------------------------------------------ */

size_t espi_distill_relation_heads(const struct espi_distill *distill)
{
    size_t heads = distill->options.relation_heads;
    return heads ? heads : espi_size_min(distill->job->config->heads, distill->teacher->config.heads);
}

size_t espi_distill_relation_width(const struct espi_distill *distill, size_t teacher)
{
    const struct espi_config *config = teacher ? &distill->teacher->config : distill->job->config;
    return espi_config_context(config, espi_distill_relation_layer(distill, teacher) - 1);
}

size_t espi_distill_relation_layer(const struct espi_distill *distill, size_t teacher)
{
    size_t layer = distill->options.relation_layer[teacher];
    return layer ? layer : (teacher ? &distill->teacher->config : distill->job->config)->layers;
}

int espi_distill_relation(esp_context *ctx, const struct espi_distill_step *step, double weight, double *loss)
{
    struct espi_distill *distill = step->distill;
    size_t tokens = step->batch->batch.tokens, heads = espi_distill_relation_heads(distill);
    size_t layer = espi_distill_relation_layer(distill, 0) - 1, width = espi_distill_relation_width(distill, 0);
    size_t teacher_width = espi_distill_relation_width(distill, 1), each = 3 * tokens * width;
    int status = espi_distill_reserve(ctx, &distill->qkv, 2 * each + 3 * tokens * teacher_width, sizeof(float));
    if (status)
        return status;
    float *qkv = distill->qkv.data, *d_qkv = qkv + each, *teacher = d_qkv + each;
    espi_network_copy_qkv(step->student, layer, qkv);
    espi_network_copy_qkv(distill->network, espi_distill_relation_layer(distill, 1) - 1, teacher);
    memset(d_qkv, 0, each * sizeof *d_qkv);
    distill->qkv_gradients[layer] = d_qkv;
    struct espi_relation relation = {.batch = &step->batch->batch,
                                     .heads = heads,
                                     .hidden = width,
                                     .teacher_hidden = teacher_width,
                                     .qkv = qkv,
                                     .teacher = teacher,
                                     .scale = weight * step->token_scale / (double)heads,
                                     .d_qkv = d_qkv};
    return espi_loss_relation(ctx, distill->matmuls, &relation, loss);
}
