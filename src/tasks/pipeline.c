/* SPDX-License-Identifier: Apache-2.0 */
#include "tasks/pipeline.h"

#include "base/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_BATCH_TOKENS = 4096,
    KEPT_TOKENS = 1 << 16,      // for which a slot keeps its buffers
    MAX_BATCH_FLOATS = 8 << 20, // of engine results at a time, unless one window alone needs more
};

/* One example on its way. Slots form a ring in input order and keep their buffers when they are reused. */
struct slot {
    struct espi_example *example;
    void *cookie;
    struct espi_features features;
    size_t windows, done; // run so far
    int status;
    char *error; // of a failed example; freed when delivered
};

/* A piece of a batch: one window of a slot. */
struct piece {
    struct slot *slot;
    size_t window;
    size_t offset; // of its result in `results`, in floats
};

struct espi_pipeline {
    const struct espi_job *job;
    struct espi_engine *engine;
    espi_answer_fn *deliver;
    void *deliver_cookie;
    size_t batch_tokens;
    size_t queued_tokens; // of windows not run yet
    int broken;           // the status that stopped it
    bool cut_said;        // that questions are cut
    esp_context fallback; // keeps error texts when the caller has no context

    struct slot *slots; // (slot_capacity) ring; slots are moved only when it grows
    size_t slot_capacity, slot_first, slot_count;

    size_t window_capacity, token_capacity, position_capacity, result_capacity;
    struct piece *pieces; // (window_capacity)
    uint32_t *starts;     // (window_capacity + 1)
    int32_t *ids;         // (token_capacity)
    uint8_t *types;       // (token_capacity)
    uint32_t *positions;  // (position_capacity)
    float *results;       // (result_capacity)
    size_t start_capacity, type_capacity;
};

int espi_pipeline_new(esp_context *ctx, const struct espi_job *job, struct espi_engine *engine, size_t batch_tokens,
                      espi_answer_fn *deliver, void *deliver_cookie, struct espi_pipeline **out)
{
    *out = NULL;
    struct espi_pipeline *pipeline = espi_calloc(ctx, 1, sizeof(*pipeline));
    if (!pipeline)
        return ESP_ERR_MEMORY;
    pipeline->job = job;
    pipeline->engine = engine;
    pipeline->deliver = deliver;
    pipeline->deliver_cookie = deliver_cookie;
    pipeline->batch_tokens = batch_tokens ? batch_tokens : DEFAULT_BATCH_TOKENS;
    *out = pipeline;
    return ESP_OK;
}

void espi_pipeline_free(struct espi_pipeline *pipeline)
{
    if (!pipeline)
        return;
    for (size_t i = 0; i < pipeline->slot_capacity; i++) {
        espi_example_free(pipeline->slots[i].example);
        espi_features_clear(&pipeline->slots[i].features);
        free(pipeline->slots[i].error);
    }
    free(pipeline->slots);
    free(pipeline->pieces);
    free(pipeline->starts);
    free(pipeline->ids);
    free(pipeline->types);
    free(pipeline->positions);
    free(pipeline->results);
    free(pipeline);
}

/* ---- the ring ---------------------------------------------------------------------------------------------------- */

static struct slot *slot_at(struct espi_pipeline *pipeline, size_t index)
{
    return &pipeline->slots[(pipeline->slot_first + index) % pipeline->slot_capacity];
}

/* A free slot behind the last one; NULL when out of memory. */
static struct slot *slot_new(struct espi_pipeline *pipeline, esp_context *ctx)
{
    if (pipeline->slot_count == pipeline->slot_capacity) {
        size_t capacity = pipeline->slot_capacity ? 2 * pipeline->slot_capacity : 16;
        struct slot *slots = espi_calloc(ctx, capacity, sizeof(*slots));
        if (!slots)
            return NULL;
        for (size_t i = 0; i < pipeline->slot_count; i++)
            slots[i] = *slot_at(pipeline, i);
        free(pipeline->slots);
        pipeline->slots = slots;
        pipeline->slot_capacity = capacity;
        pipeline->slot_first = 0;
    }
    struct slot *slot = slot_at(pipeline, pipeline->slot_count++);
    slot->windows = slot->done = 0;
    slot->status = ESP_OK;
    return slot;
}

/* Keeps an error for one example; its windows are not run (any more). */
static void slot_fail(struct espi_pipeline *pipeline, struct slot *slot, int status, const char *error)
{
    for (size_t window = slot->done; window < slot->windows; window++)
        pipeline->queued_tokens -= espi_features_window(&slot->features, window).tokens;
    slot->windows = slot->done = 0;
    free(slot->error);
    slot->error = strdup(error);
    slot->status = slot->error ? status : ESP_ERR_MEMORY; // whose text needs no memory
}

/* What hits every example, not just this one. Memory that a long text asks for in vain may suffice for the next. */
static bool fatal(int status)
{
    return status == ESP_ERR_INTERNAL || status == ESP_ERR_CANCELLED;
}

/* A long text leaves no buffers of its size behind. */
static void slot_trim(struct slot *slot)
{
    if (slot->status == ESP_ERR_MEMORY || slot->features.encoding.tokens + slot->features.second.tokens > KEPT_TOKENS)
        espi_features_clear(&slot->features);
}

/* A failure of one example becomes its answer; a fatal one is handed on. */
static int slot_settle(struct espi_pipeline *pipeline, esp_context *ctx, struct slot *slot, int status)
{
    if (!status || fatal(status))
        return status;
    const char *error = esp_last_error(ctx);
    slot_fail(pipeline, slot, status, *error ? error : esp_status_text(status));
    return ESP_OK;
}

static int deliver(struct espi_pipeline *pipeline, esp_context *ctx, struct slot *slot)
{
    int status = ESP_OK;
    if (!slot->status) {
        status = pipeline->job->task->finish(ctx, pipeline->job, slot->example, &slot->features);
        if ((status = slot_settle(pipeline, ctx, slot, status)))
            return status;
    }
    struct espi_answer answer = {.example = slot->example,
                                 .cookie = slot->cookie,
                                 .status = slot->status,
                                 .error = slot->error    ? slot->error
                                          : slot->status ? esp_status_text(slot->status)
                                                         : "",
                                 .found = slot->status ? NULL : &slot->features.found};
    status = pipeline->deliver(pipeline->deliver_cookie, ctx, &answer);
    espi_features_release(&slot->features);
    slot_trim(slot);
    espi_example_free(slot->example);
    slot->example = NULL;
    free(slot->error);
    slot->error = NULL;
    pipeline->slot_first = (pipeline->slot_first + 1) % pipeline->slot_capacity;
    pipeline->slot_count--;
    return status;
}

static int deliver_done(struct espi_pipeline *pipeline, esp_context *ctx)
{
    int status = ESP_OK;
    while (!status && pipeline->slot_count > 0 && slot_at(pipeline, 0)->done == slot_at(pipeline, 0)->windows)
        status = deliver(pipeline, ctx, slot_at(pipeline, 0));
    return status;
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

/* Floats of the engine's result for one window. */
static size_t result_floats(const struct espi_job *job, const struct espi_window *window)
{
    const struct espi_config *config = job->config;
    switch (job->task->result) {
    case ESPI_RESULT_HIDDEN:
        return window->tokens * config->hidden;
    case ESPI_RESULT_POOLED:
    case ESPI_RESULT_EMBEDDING:
        return config->hidden;
    case ESPI_RESULT_TOKEN_LOGITS:
        return window->tokens * config->labels;
    case ESPI_RESULT_SEQUENCE_LOGITS:
        return config->labels;
    case ESPI_RESULT_VOCAB_LOGITS:
        return window->position_count * config->vocab_size;
    }
    return 0;
}

struct batch_size {
    size_t windows, tokens, positions, floats;
};

static int reserve(struct espi_pipeline *p, esp_context *ctx, const struct batch_size *size)
{
    int status = espi_grow(ctx, &p->pieces, &p->window_capacity, size->windows, sizeof(*p->pieces));
    if (!status)
        status = espi_grow(ctx, &p->starts, &p->start_capacity, size->windows + 1, sizeof(*p->starts));
    if (!status)
        status = espi_grow(ctx, &p->ids, &p->token_capacity, size->tokens, sizeof(*p->ids));
    if (!status)
        status = espi_grow(ctx, &p->types, &p->type_capacity, size->tokens, sizeof(*p->types));
    if (!status)
        status = espi_grow(ctx, &p->positions, &p->position_capacity, size->positions, sizeof(*p->positions));
    if (!status)
        status = espi_grow(ctx, &p->results, &p->result_capacity, size->floats, sizeof(*p->results));
    return status;
}

/* Appends a window to the batch. */
static int batch_add(struct espi_pipeline *p, esp_context *ctx, struct batch_size *size, struct slot *slot,
                     size_t index, const struct espi_window *window)
{
    struct batch_size next = {size->windows + 1, size->tokens + window->tokens,
                              size->positions + window->position_count, size->floats + result_floats(p->job, window)};
    int status = reserve(p, ctx, &next);
    if (status)
        return status;
    p->pieces[size->windows] = (struct piece){slot, index, size->floats};
    p->starts[size->windows] = (uint32_t)size->tokens;
    p->starts[next.windows] = (uint32_t)next.tokens;
    memcpy(p->ids + size->tokens, window->ids, window->tokens * sizeof(*p->ids));
    memcpy(p->types + size->tokens, window->types, window->tokens * sizeof(*p->types));
    for (size_t i = 0; i < window->position_count; i++)
        p->positions[size->positions + i] = (uint32_t)(size->tokens + (window->positions[i] - window->first));
    *size = next;
    return ESP_OK;
}

/* Fills a batch from the front of the queue. */
static int batch_fill(struct espi_pipeline *p, esp_context *ctx, struct batch_size *size)
{
    *size = (struct batch_size){0};
    for (size_t i = 0; i < p->slot_count; i++) {
        struct slot *slot = slot_at(p, i);
        for (size_t index = slot->done; index < slot->windows; index++) {
            struct espi_window window = espi_features_window(&slot->features, index);
            if (size->windows > 0 && (size->tokens + window.tokens > p->batch_tokens ||
                                      size->floats + result_floats(p->job, &window) > MAX_BATCH_FLOATS))
                return ESP_OK;
            int status = batch_add(p, ctx, size, slot, index, &window);
            if (status)
                return status;
        }
    }
    return ESP_OK;
}

/* NaN and infinity mean a broken model; no answer is made of them. */
static int check_finite(esp_context *ctx, const struct espi_example *example, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i]))
            return espi_example_fail(ctx, example, "the model gives a result that is not finite");
    }
    return ESP_OK;
}

static int piece_consume(struct espi_pipeline *p, esp_context *ctx, const struct piece *piece, size_t end)
{
    struct slot *slot = piece->slot;
    const float *out = p->results + piece->offset;
    int status = check_finite(ctx, slot->example, out, end - piece->offset);
    if (!status)
        status = p->job->task->consume(ctx, p->job, slot->example, &slot->features, piece->window, out);
    return slot_settle(p, ctx, slot, status);
}

static int batch_run(struct espi_pipeline *p, esp_context *ctx)
{
    struct batch_size size;
    int status = batch_fill(p, ctx, &size);
    if (status || size.windows == 0)
        return status;
    struct espi_batch batch = {.sequences = size.windows,
                               .tokens = size.tokens,
                               .starts = p->starts,
                               .ids = p->ids,
                               .types = p->job->config->type_vocab ? p->types : NULL};
    struct espi_wanted wanted = {.result = p->job->task->result, .out = p->results};
    bool run = true;
    if (wanted.result == ESPI_RESULT_VOCAB_LOGITS) {
        wanted.positions = p->positions;
        wanted.position_count = size.positions;
        run = size.positions > 0;
    }
    if (run && (status = p->engine->run(p->engine, ctx, &batch, &wanted)))
        return status;
    for (size_t i = 0; !status && i < size.windows; i++) {
        struct slot *slot = p->pieces[i].slot;
        if (slot->status)
            continue;
        p->queued_tokens -= p->starts[i + 1] - p->starts[i];
        slot->done++;
        size_t end = i + 1 < size.windows ? p->pieces[i + 1].offset : size.floats;
        status = piece_consume(p, ctx, &p->pieces[i], end);
    }
    return status ? status : deliver_done(p, ctx);
}

/* ---- the doors --------------------------------------------------------------------------------------------------- */

/* Every window fits the model: the vocabulary may be larger than the embedding, for one. */
static int check_windows(const struct espi_pipeline *p, esp_context *ctx, const struct slot *slot)
{
    const struct espi_config *config = p->job->config;
    if (espi_features_windows(&slot->features) == 0)
        return espi_example_fail(ctx, slot->example, "expected a text with tokens, found none");
    for (size_t index = 0; index < espi_features_windows(&slot->features); index++) {
        struct espi_window window = espi_features_window(&slot->features, index);
        uint32_t starts[2] = {0, (uint32_t)window.tokens};
        struct espi_batch batch = {.sequences = 1,
                                   .tokens = window.tokens,
                                   .starts = starts,
                                   .ids = window.ids,
                                   .types = config->type_vocab ? window.types : NULL};
        int status = espi_batch_check(ctx, &batch, config);
        if (status)
            return espi_example_fail_prefix(ctx, slot->example, status);
    }
    return ESP_OK;
}

/* Runs batches while there is a full one. A failed example counts as a token: a long row of them must not pile up
 * behind one that waits for its batch. */
static int run_full(struct espi_pipeline *p, esp_context *ctx)
{
    int status = ESP_OK;
    while (!status && p->queued_tokens > 0 && espi_size_max(p->queued_tokens, p->slot_count) >= p->batch_tokens)
        status = batch_run(p, ctx);
    return status ? status : deliver_done(p, ctx);
}

int espi_pipeline_push(struct espi_pipeline *p, esp_context *ctx, struct espi_example *example, void *cookie)
{
    struct slot *slot = p->broken ? NULL : slot_new(p, ctx);
    if (!slot) {
        espi_example_free(example);
        return p->broken ? p->broken : (p->broken = ESP_ERR_MEMORY);
    }
    slot->example = example;
    slot->cookie = cookie;
    ctx = ctx ? ctx : &p->fallback;
    int status = espi_features_encode(ctx, p->job, example, &slot->features);
    if (!status)
        status = check_windows(p, ctx, slot);
    if (!status) {
        espi_features_say_cut(ctx, p->job, example, &slot->features, &p->cut_said);
        slot->windows = espi_features_windows(&slot->features);
        p->queued_tokens += slot->features.encoding.tokens + slot->features.second.tokens;
    }
    status = slot_settle(p, ctx, slot, status);
    return p->broken = status ? status : run_full(p, ctx);
}

int espi_pipeline_push_error(struct espi_pipeline *p, esp_context *ctx, int status, const char *error, void *cookie)
{
    struct slot *slot = p->broken ? NULL : slot_new(p, ctx);
    if (!slot)
        return p->broken ? p->broken : (p->broken = ESP_ERR_MEMORY);
    ctx = ctx ? ctx : &p->fallback;
    slot->cookie = cookie;
    slot_fail(p, slot, status, error);
    return p->broken = run_full(p, ctx);
}

int espi_pipeline_flush(struct espi_pipeline *p, esp_context *ctx)
{
    if (p->broken)
        return p->broken;
    ctx = ctx ? ctx : &p->fallback;
    int status = ESP_OK;
    while (!status && p->queued_tokens > 0)
        status = batch_run(p, ctx);
    if (!status)
        status = deliver_done(p, ctx);
    return p->broken = status;
}
