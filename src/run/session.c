/* SPDX-License-Identifier: Apache-2.0
 * The ops of a plan over the panels of a batch. */
#include "run/session_private.h"

#include "base/clock.h"
#include "base/size.h"

#include <math.h>
#include <stdlib.h>

struct work {
    struct espi_session *session;
    const struct espi_batch_part *part;
    const struct espi_plan_op *ops; // (length) those between two attention ops, or one attention op
    size_t length;
    /* one linear op whose rows the team shares */
    const struct espi_epilogue *epilogue;
    const void *x;
    size_t width;
};

/* ---- the profile ----------------------------------------------------------------------------------------------------- */

void espi_session_profile(struct espi_engine *engine, double *seconds)
{
    ((struct espi_session *)engine)->profile = seconds;
}

static double profile_begin(const struct espi_session *session)
{
    return session->profile ? espi_clock() : 0;
}

/* op plan->length: the model's head */
static void profile_end(const struct espi_session *session, size_t thread, size_t op, double begun)
{
    if (session->profile)
        session->profile[thread * (session->plan->length + 1) + op] += espi_clock() - begun;
}

/* ---- one op on one panel ---------------------------------------------------------------------------------------------- */

void *espi_session_panel(const struct espi_session *session, const struct espi_scratch *scratch,
                         enum espi_buffer buffer, size_t panel)
{
    if (!espi_buffer_is_batch(buffer))
        return scratch->buffers[buffer];
    size_t offset = panel * ESPI_PANEL_TOKENS * session->plan->rows[buffer] * session->plan->bytes[buffer];
    return (char *)session->buffers[buffer] + offset;
}

static float *token_scale(const struct work *work, const struct espi_scratch *scratch, enum espi_buffer buffer)
{
    return work->session->plan->model->static_scales ? NULL : scratch->token_scale[buffer == ESPI_BUFFER_INNER];
}

static void embed(const struct work *work, const struct espi_scratch *scratch, enum espi_buffer out, size_t panel,
                  size_t width)
{
    const struct espi_plan *plan = work->session->plan;
    const struct espi_esp_model *model = plan->model;
    const struct espi_batch *batch = work->part->batch;
    size_t first = work->part->token + panel * ESPI_PANEL_TOKENS, tokens = espi_panel_tokens(work->part, panel);
    size_t low = work->part->sequence, high = low + work->part->sequences;
    while (high - low > 1) { // the sequence of the first token
        size_t middle = (low + high) / 2;
        if (batch->starts[middle] <= first)
            low = middle;
        else
            high = middle;
    }
    for (size_t i = 0, sequence = low, count; i < tokens; i += count, sequence++) {
        size_t start = batch->starts[sequence], place = first + i - start;
        count = espi_size_min(batch->starts[sequence + 1] - start - place, tokens - i);
        espi_config_positions(&model->config, batch->ids + start, place, count, scratch->ids[1] + i);
    }
    for (size_t i = 0; i < tokens; i++) {
        scratch->ids[0][i] = (uint32_t)batch->ids[first + i];
        scratch->ids[2][i] = batch->types && model->config.type_vocab > 1 ? batch->types[first + i] : 0;
    }
    const struct espi_table tables[] = {
        {.kind = ESPI_TABLE_BF16, .rows = model->word, .ids = scratch->ids[0]},
        {.kind = ESPI_TABLE_BF16, .rows = model->position, .ids = scratch->ids[1]},
        {.kind = ESPI_TABLE_BF16, .rows = model->type, .ids = scratch->ids[2]},
    };
    plan->kernels.embed(tables, model->type ? 3 : 2, espi_config_word_width(&model->config), tokens, width,
                        espi_session_panel(work->session, scratch, out, panel));
}

/* The quantizer of a op with this panel's outputs. */
static struct espi_quantize quantizer(const struct work *work, const struct espi_scratch *scratch,
                                      const struct espi_plan_op *op, size_t panel)
{
    struct espi_quantize quantize = op->quantize;
    quantize.out = espi_session_panel(work->session, scratch, op->out, panel);
    quantize.token_scale = token_scale(work, scratch, op->out);
    return quantize;
}

static void run_rows(const struct work *work, const struct espi_plan_op *op, size_t first, size_t end)
{
    const struct espi_kernel_set *kernels = &work->session->plan->kernels;
    const struct espi_esp_linear *linear = op->linear;
    switch (linear->precision) {
    case ESPI_FP32:
        kernels->gemm_f32(&linear->floats, work->x, work->width, first, end, work->epilogue);
        break;
    case ESPI_BF16:
        kernels->gemm_bf16(&linear->floats, work->x, work->width, first, end, work->epilogue);
        break;
    case ESPI_INT8:
        if (op->quads.starts)
            kernels->sparse_u8s8(&op->quads, work->x, work->width, first, end, work->epilogue);
        else
            kernels->gemm_u8s8(&op->quads, work->x, work->width, first, end, work->epilogue);
        break;
    }
}

enum { SHARED_QUADS = 16 }; // quads a thread takes at a time from a linear layer the team shares

static void run_shared_rows(void *argument, size_t index, size_t thread)
{
    const struct work *work = argument;
    size_t quads = espi_quad_count(work->ops->linear->rows), first = index * SHARED_QUADS;
    double begun = profile_begin(work->session);
    run_rows(work, work->ops, first, espi_size_min(first + SHARED_QUADS, quads));
    if (thread > 0) // of thread 0 run_op takes the time of the whole op
        profile_end(work->session, thread, (size_t)(work->ops - work->session->plan->ops), begun);
}

/* The input of a linear layer in the order its product reads. */
static const void *interleave(const struct work *work, const struct espi_scratch *scratch,
                              const struct espi_esp_linear *linear, const void *x, size_t width)
{
    const struct espi_kernel_set *kernels = &work->session->plan->kernels;
    if (linear->precision == ESPI_FP32 || linear->quads.starts)
        return x;
    if (linear->precision == ESPI_BF16)
        kernels->interleave_bf16(x, linear->columns, width, (uint16_t *)(void *)scratch->interleaved);
    else
        kernels->interleave_u8(x, linear->columns, width, scratch->interleaved);
    return scratch->interleaved;
}

static void linear(const struct work *work, const struct espi_scratch *scratch, const struct espi_plan_op *op,
                   size_t panel, size_t width, bool shared)
{
    const struct espi_session *session = work->session;
    const void *x = espi_session_panel(session, scratch, op->in, panel);
    struct espi_epilogue epilogue = op->epilogue;
    epilogue.out = espi_session_panel(session, scratch, op->out, panel);
    epilogue.token_scale = op->linear->precision == ESPI_INT8 ? token_scale(work, scratch, op->in) : NULL;
    struct work rows = *work;
    rows.ops = op;
    rows.epilogue = &epilogue;
    rows.x = interleave(work, scratch, op->linear, x, width);
    rows.width = width;
    size_t count = espi_quad_count(op->linear->rows);
    if (shared)
        espi_team_run(session->team, (count + SHARED_QUADS - 1) / SHARED_QUADS, run_shared_rows, &rows);
    else
        run_rows(&rows, op, 0, count);
}

static void run_op(const struct work *work, const struct espi_scratch *scratch, const struct espi_plan_op *op,
                   size_t panel, bool shared)
{
    const struct espi_plan *plan = work->session->plan;
    size_t width = espi_panel_width(espi_panel_tokens(work->part, panel));
    void *in = espi_session_panel(work->session, scratch, op->in, panel);
    struct espi_quantize quantize = quantizer(work, scratch, op, panel);
    double begun = profile_begin(work->session);
    switch (op->kind) {
    case ESPI_PLAN_EMBED:
        embed(work, scratch, op->out, panel, width);
        break;
    case ESPI_PLAN_NORM:
        plan->kernels.layer_norm(in, plan->rows[op->in], width, &op->norm, in, quantize.scale ? &quantize : NULL);
        break;
    case ESPI_PLAN_LINEAR:
        linear(work, scratch, op, panel, width, shared);
        break;
    case ESPI_PLAN_ACTIVATE:
        plan->kernels.activate(plan->model->config.activation, in, plan->rows[op->in] * width);
        break;
    case ESPI_PLAN_QUANTIZE:
        plan->kernels.quantize_u8(in, op->rows, width, &quantize);
        break;
    case ESPI_PLAN_ATTENTION:
        break;
    }
    profile_end(work->session, (size_t)(scratch - work->session->scratch), (size_t)(op - plan->ops), begun);
}

/* ---- attention ------------------------------------------------------------------------------------------------------------ */

/* A head's biases in units of its scores, by the distance of a query from its key. */
static const int16_t *place_distances(const struct work *work, const struct espi_scratch *scratch, size_t head,
                                      size_t tokens, float unit)
{
    const struct espi_plan *plan = work->session->plan;
    const struct espi_config *config = &plan->model->config;
    const float *bias = plan->model->distance_bias + espi_config_head_number(config, work->ops->layer, head);
    const uint8_t *buckets = plan->buckets + config->max_positions - 1;
    int16_t units[ESPI_MAX_BUCKETS];
    for (size_t i = 0; i < config->block.buckets; i++)
        units[i] = (int16_t)lrintf(fminf(fmaxf(bias[i * config->heads] / unit, INT16_MIN), INT16_MAX));
    int16_t *out = scratch->distances + tokens - 1;
    for (ptrdiff_t i = 1 - (ptrdiff_t)tokens; i < (ptrdiff_t)tokens; i++)
        out[i] = units[buckets[-i]];
    return out;
}

/* One head of one sequence. */
static void attend(void *argument, size_t index, size_t thread)
{
    const struct work *work = argument;
    const struct espi_session *session = work->session;
    const struct espi_plan *plan = session->plan;
    const struct espi_scratch *scratch = &session->scratch[thread];
    size_t heads = work->ops->heads, size = espi_config_head_size(&plan->model->config), row = index % heads * size;
    const uint32_t *starts = work->part->batch->starts + work->part->sequence + index / heads;
    size_t tokens = starts[1] - starts[0];
    const size_t rows[3] = {row, heads * size + row, 2 * heads * size + row};
    struct espi_span span = {.rows = plan->rows[ESPI_BUFFER_QKV],
                             .tokens = work->part->tokens,
                             .first = starts[0] - work->part->token,
                             .count = tokens};
    double begun = profile_begin(session);
    struct espi_packed_head head;
    struct espi_attention attention = work->ops->attention;
    float unit = work->ops->score_unit;
    espi_head_place(&head, tokens, size, scratch->head);
    if (plan->model->static_scales) {
        plan->kernels.attention_pack(session->buffers[ESPI_BUFFER_QKV], &span, rows, &head);
    } else {
        plan->kernels.attention_pack_f32(session->buffers[ESPI_BUFFER_QKV], &span, rows, &head);
        float scores = head.scale[0] * head.scale[1] / sqrtf((float)size);
        if (plan->buckets)
            unit = espi_attention_biased_scores(&attention, scores);
        else
            espi_attention_scores(&attention, size, scores);
        for (size_t i = 0; i < size; i++)
            scratch->head_scale[i] = head.scale[2];
        attention.scale = scratch->head_scale;
    }
    if (plan->buckets)
        attention.distances = place_distances(work, scratch, index % heads, tokens, unit);
    attention.span = span;
    attention.span.rows = plan->rows[work->ops->out];
    attention.row = row;
    attention.out = session->buffers[work->ops->out];
    plan->kernels.attention(&head, 0, espi_query_blocks(tokens), &attention, scratch->scores);
    profile_end(session, thread, (size_t)(work->ops - plan->ops), begun);
}

/* ---- all ops ------------------------------------------------------------------------------------------------------------ */

static void run_panel(void *argument, size_t panel, size_t thread)
{
    const struct work *work = argument;
    for (size_t i = 0; i < work->length; i++)
        run_op(work, &work->session->scratch[thread], &work->ops[i], panel, false);
}

/* The ops between two attentions. Each thread takes whole panels; the panels that are left over when the threads have
 * had the same number of them go one by one, the rows of their linear layers shared. */
static void run_panels(const struct work *work)
{
    struct espi_session *session = work->session;
    size_t panels = espi_panels(work->part->tokens), threads = espi_team_size(session->team);
    size_t even = panels / threads * threads;
    espi_team_run(session->team, even, run_panel, (void *)(uintptr_t)work);
    for (size_t panel = even; panel < panels; panel++)
        for (size_t i = 0; i < work->length; i++)
            run_op(work, &session->scratch[0], &work->ops[i], panel, true);
}

static void run_part(struct espi_session *session, const struct espi_batch_part *part)
{
    const struct espi_plan *plan = session->plan;
    size_t end;
    for (size_t i = 0; i < plan->length; i = end) {
        end = i + 1;
        struct work work = {.session = session, .part = part, .ops = &plan->ops[i], .length = 1};
        if (plan->ops[i].kind == ESPI_PLAN_ATTENTION) {
            espi_team_run(session->team, part->sequences * work.ops->heads, attend, &work);
            continue;
        }
        while (end < plan->length && plan->ops[end].kind != ESPI_PLAN_ATTENTION)
            end++;
        work.length = end - i;
        run_panels(&work);
    }
}

static int run(struct espi_engine *engine, esp_context *ctx, const struct espi_batch *batch,
               const struct espi_wanted *wanted)
{
    struct espi_session *session = (struct espi_session *)engine;
    int status = espi_batch_check(ctx, batch, engine->config);
    if (!status)
        status = espi_session_check_wanted(ctx, session, batch, wanted);
    for (size_t first = 0, end; !status && first < batch->sequences; first = end) {
        end = first + 1; // one sequence always fits
        while (end < batch->sequences && batch->starts[end + 1] - batch->starts[first] <= session->capacity)
            end++;
        struct espi_batch_part part = {.batch = batch,
                                       .sequence = first,
                                       .sequences = end - first,
                                       .token = batch->starts[first],
                                       .tokens = batch->starts[end] - batch->starts[first]};
        run_part(session, &part);
        double begun = profile_begin(session);
        espi_session_finish(session, &part, wanted);
        profile_end(session, 0, session->plan->length, begun);
    }
    return status;
}

/* ---- memory --------------------------------------------------------------------------------------------------------------- */

/* Hands out 64-byte aligned pieces of the slab; measures them when there is none. */
struct layout {
    char *slab;
    size_t bytes;
    bool overflow;
};

static void *piece(struct layout *layout, size_t count, size_t size)
{
    size_t bytes, end;
    void *at = layout->slab ? layout->slab + layout->bytes : NULL;
    if (!espi_size_mul(count, size, &bytes) || !espi_size_add(layout->bytes, bytes, &end) || end > PTRDIFF_MAX - 64) {
        layout->overflow = true;
        return NULL;
    }
    layout->bytes = espi_round_up(end, 64);
    return bytes ? at : NULL;
}

static void place_scratch(struct layout *layout, const struct espi_plan *plan, struct espi_scratch *scratch)
{
    const struct espi_config *config = &plan->model->config;
    size_t size = espi_config_head_size(config), head_bytes = 0;
    bool own_scales = !plan->model->static_scales;
    for (enum espi_buffer b = 0; b < ESPI_BUFFER_COUNT; b++)
        if (!espi_buffer_is_batch(b))
            scratch->buffers[b] = piece(layout, ESPI_PANEL_TOKENS * plan->rows[b], plan->bytes[b]);
    scratch->interleaved = piece(layout, plan->interleaved, 1);
    for (size_t i = 0; i < 3; i++)
        scratch->ids[i] = piece(layout, ESPI_PANEL_TOKENS, sizeof *scratch->ids[i]);
    for (size_t i = 0; i < 2; i++)
        scratch->token_scale[i] = piece(layout, own_scales ? ESPI_PANEL_TOKENS : 0, sizeof(float));
    if (espi_head_bytes(NULL, config->max_positions, size, &head_bytes))
        layout->overflow = true; // the plan has checked that it does not
    scratch->head = piece(layout, head_bytes, 1);
    scratch->scores = piece(layout, espi_attention_scratch(config->max_positions, size), 1);
    scratch->head_scale = piece(layout, own_scales ? size : 0, sizeof(float));
    scratch->distances = piece(layout, plan->buckets ? espi_distance_count(config->max_positions) : 0, sizeof(int16_t));
    for (size_t i = 0; i < 2; i++)
        scratch->lanes[i] = piece(layout, espi_size_max(config->hidden, espi_config_word_width(config)),
                                  ESPI_HEAD_LANES * sizeof(float));
}

/* The workspace, in memory or (no slab) measured only. */
static void place_all(struct layout *layout, const struct espi_plan *plan, size_t capacity, size_t threads,
                      void *buffers[ESPI_BUFFER_COUNT], struct espi_scratch *scratch)
{
    struct espi_scratch unused = {0};
    size_t tokens = espi_panels(capacity) * ESPI_PANEL_TOKENS, values;
    for (enum espi_buffer b = 0; b < ESPI_BUFFER_COUNT; b++) {
        if (!espi_buffer_is_batch(b))
            continue;
        if (!espi_size_mul(tokens, plan->rows[b], &values))
            layout->overflow = true;
        else
            buffers[b] = piece(layout, values, plan->bytes[b]);
    }
    for (size_t i = 0; i < threads && !layout->overflow; i++)
        place_scratch(layout, plan, scratch ? &scratch[i] : &unused);
}

static size_t capacity_of(const struct espi_plan *plan, size_t capacity)
{
    return espi_size_max(capacity, plan->model->config.max_positions);
}

int espi_session_bytes(esp_context *ctx, const struct espi_plan *plan, size_t capacity, size_t threads, size_t *bytes)
{
    struct layout layout = {0};
    void *buffers[ESPI_BUFFER_COUNT];
    *bytes = 0;
    if (capacity > UINT32_MAX)
        return espi_fail(ctx, ESP_ERR_LIMIT, "session: expected a capacity of at most %u tokens, found %zu", UINT32_MAX,
                         capacity);
    place_all(&layout, plan, capacity_of(plan, capacity), threads, buffers, NULL);
    if (layout.overflow)
        return espi_fail(ctx, ESP_ERR_LIMIT, "session: a workspace for %zu tokens does not fit into memory", capacity);
    *bytes = layout.bytes;
    return ESP_OK;
}

static void free_session(struct espi_engine *engine)
{
    struct espi_session *session = (struct espi_session *)engine;
    if (!session)
        return;
    free(session->scratch);
    espi_pages_close(&session->slab);
    free(session);
}

void espi_session_trim(struct espi_engine *session)
{
    espi_pages_drop(&((struct espi_session *)session)->slab);
}

int espi_session_new(esp_context *ctx, const struct espi_plan *plan, struct espi_team *team, size_t capacity,
                     struct espi_engine **out)
{
    size_t bytes, threads = espi_team_size(team);
    *out = NULL;
    int status = espi_session_bytes(ctx, plan, capacity, threads, &bytes);
    if (status)
        return status;
    struct espi_session *session = espi_calloc(ctx, 1, sizeof *session);
    if (!session)
        return ESP_ERR_MEMORY;
    *session = (struct espi_session){.engine = {.config = &plan->model->config, .run = run, .free = free_session},
                                     .plan = plan,
                                     .team = team,
                                     .capacity = capacity_of(plan, capacity)};
    session->scratch = espi_calloc(ctx, threads, sizeof *session->scratch);
    status = session->scratch ? espi_pages_open(ctx, bytes, &session->slab) : ESP_ERR_MEMORY;
    if (status) {
        free_session(&session->engine);
        return status;
    }
    struct layout layout = {.slab = session->slab.data};
    place_all(&layout, plan, session->capacity, threads, session->buffers, session->scratch);
    *out = &session->engine;
    return ESP_OK;
}
