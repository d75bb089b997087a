/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bench_model.h"

#include "raw.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/size.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { LEAST_RUNS = 5, WARM_RUNS = 3, MOST_CPUS = 1024 };

/* ---- what is run ------------------------------------------------------------------------------------------------- */

int cli_bench_batch_make(esp_context *ctx, const struct espi_config *config, const struct cli_bench_shape *shape,
                         struct cli_bench_batch *out)
{
    size_t count = shape->batch, length = shape->length;
    *out = (struct cli_bench_batch){0};
    if (count > UINT32_MAX / length)
        return espi_fail(ctx, ESP_ERR_LIMIT, "expected a batch of at most %u tokens, found %zu x %zu", UINT32_MAX,
                         count, length);
    out->starts = espi_calloc(ctx, count + 1, sizeof *out->starts);
    out->positions = espi_calloc(ctx, count, sizeof *out->positions);
    out->ids = espi_calloc(ctx, count * length, sizeof *out->ids);
    if (!out->starts || !out->positions || !out->ids)
        goto fail;
    struct espi_random random = {.seed = 1};
    for (size_t s = 0; s <= count; s++)
        out->starts[s] = (uint32_t)(s * length);
    for (size_t s = 0; s < count; s++)
        out->positions[s] = out->starts[s];
    for (size_t t = 0; t < count * length; t++)
        out->ids[t] = (int32_t)espi_random_below(&random, config->vocab_size);
    out->batch =
        (struct espi_batch){.sequences = count, .tokens = count * length, .starts = out->starts, .ids = out->ids};
    out->wanted = (struct espi_wanted){
        .result = cli_raw_result(config->head), .positions = out->positions, .position_count = count};
    out->wanted.out = espi_calloc(ctx, espi_result_size(config, &out->batch, &out->wanted), sizeof(float));
    if (out->wanted.out)
        return ESP_OK;
fail:
    cli_bench_batch_clear(out);
    return ESP_ERR_MEMORY;
}

void cli_bench_batch_clear(struct cli_bench_batch *batch)
{
    free(batch->starts);
    free(batch->positions);
    free(batch->ids);
    free(batch->wanted.out);
    *batch = (struct cli_bench_batch){0};
}

/* ---- instances --------------------------------------------------------------------------------------------------- */

/* Where instances wait until all have warmed up. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t expected, waiting;
    bool failed; // one of them cannot run: nobody measures
};

struct instance {
    const struct espi_any_model *model;
    const struct cli_bench_shape *shape;
    struct gate *gate;
    const size_t *cpus; // (threads) its own, or NULL
    double seconds;

    pthread_t thread;
    esp_context *ctx;
    int status;
    bool pinned;
    double *times; // (runs)
    size_t runs, capacity;
    double elapsed;
};

static void gate_fail(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->failed = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

/* False when one of the others has failed. */
static bool gate_pass(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    if (++gate->waiting == gate->expected)
        pthread_cond_broadcast(&gate->changed);
    while (gate->waiting < gate->expected && !gate->failed)
        pthread_cond_wait(&gate->changed, &gate->lock);
    bool passed = !gate->failed;
    pthread_mutex_unlock(&gate->lock);
    return passed;
}

static int warm_up(const struct instance *instance, struct espi_engine *engine, const struct cli_bench_batch *batch)
{
    double end = espi_clock() + instance->seconds / 4;
    int status = ESP_OK;
    for (size_t i = 0; !status && (i < WARM_RUNS || espi_clock() < end); i++)
        status = engine->run(engine, instance->ctx, &batch->batch, &batch->wanted);
    return status;
}

static int measure(struct instance *instance, struct espi_engine *engine, const struct cli_bench_batch *batch)
{
    double begin = espi_clock(), now = begin;
    while (instance->runs < LEAST_RUNS || now - begin < instance->seconds) {
        int status =
            espi_grow(instance->ctx, &instance->times, &instance->capacity, instance->runs + 1, sizeof(double));
        double started = espi_clock();
        if (!status)
            status = engine->run(engine, instance->ctx, &batch->batch, &batch->wanted);
        if (status)
            return status;
        now = espi_clock();
        instance->times[instance->runs++] = now - started;
    }
    instance->elapsed = now - begin;
    return ESP_OK;
}

/* The team is made by the pinned thread: its workers inherit the CPUs. */
static void *run_instance(void *argument)
{
    struct instance *instance = argument;
    esp_context *ctx = instance->ctx;
    struct espi_team *team = NULL;
    struct espi_engine *engine = NULL;
    struct cli_bench_batch batch;
    instance->pinned = instance->cpus && espi_cpu_pin(instance->cpus, instance->shape->threads);
    const struct espi_config *config = espi_any_model_is_compiled(instance->model)
                                           ? &instance->model->compiled.config
                                           : &instance->model->checkpoint.config;
    int status = cli_bench_batch_make(ctx, config, instance->shape, &batch);
    if (!status)
        status = espi_team_new(ctx, instance->shape->threads, &team);
    if (!status)
        status = espi_any_model_engine(ctx, instance->model, team, &engine);
    if (!status)
        status = warm_up(instance, engine, &batch);
    if (status)
        gate_fail(instance->gate);
    else if (gate_pass(instance->gate))
        status = measure(instance, engine, &batch);
    instance->status = status;
    if (engine)
        engine->free(engine);
    espi_team_free(team);
    cli_bench_batch_clear(&batch);
    return NULL;
}

static int run_all(esp_context *ctx, struct instance *instances, size_t count, struct gate *gate)
{
    size_t started = 0;
    int status = ESP_OK;
    while (started < count && !status) {
        struct instance *instance = &instances[started];
        instance->ctx = esp_context_new();
        int error = instance->ctx ? pthread_create(&instance->thread, NULL, run_instance, instance) : ENOMEM;
        if (error)
            status =
                espi_fail_errno(ctx, ESP_ERR_MEMORY, error, "cannot start instance %zu of %zu", started + 1, count);
        else
            started++;
    }
    if (status)
        gate_fail(gate);
    for (size_t i = 0; i < started; i++)
        pthread_join(instances[i].thread, NULL);
    for (size_t i = 0; i < started && !status; i++)
        if (instances[i].status)
            status = espi_fail(ctx, instances[i].status, "%s", esp_last_error(instances[i].ctx));
    return status;
}

/* ---- the result -------------------------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void cli_bench_sort(double *values, size_t count)
{
    qsort(values, count, sizeof *values, ascending);
}

double cli_bench_quantile(const double *sorted, size_t count, double q)
{
    size_t index = (size_t)(q * (double)count);
    return sorted[index < count ? index : count - 1];
}

static int summarize(esp_context *ctx, const struct instance *instances, const struct cli_bench_shape *shape,
                     struct cli_bench_result *out)
{
    *out = (struct cli_bench_result){.pinned = true};
    for (size_t i = 0; i < shape->instances; i++) {
        const struct instance *instance = &instances[i];
        out->runs += instance->runs;
        out->seconds = instance->elapsed > out->seconds ? instance->elapsed : out->seconds;
        out->sequences_per_second += (double)(instance->runs * shape->batch) / instance->elapsed;
        out->pinned = out->pinned && instance->pinned;
    }
    out->tokens_per_second = out->sequences_per_second * (double)shape->length;
    double *times = espi_calloc(ctx, out->runs, sizeof *times);
    if (!times)
        return ESP_ERR_MEMORY;
    size_t count = 0;
    for (size_t i = 0; i < shape->instances; i++)
        for (size_t run = 0; run < instances[i].runs; run++)
            out->mean += (times[count++] = instances[i].times[run]) / (double)out->runs;
    cli_bench_sort(times, count);
    out->min = times[0];
    out->median = cli_bench_quantile(times, count, 0.5);
    out->p90 = cli_bench_quantile(times, count, 0.9);
    out->p99 = cli_bench_quantile(times, count, 0.99);
    free(times);
    return ESP_OK;
}

int cli_bench_model(esp_context *ctx, const struct espi_any_model *model, const struct cli_bench_shape *shape,
                    double seconds, struct cli_bench_result *out)
{
    struct gate gate = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .expected = shape->instances};
    size_t cpus[MOST_CPUS], count = espi_cpu_list(cpus, MOST_CPUS);
    bool own = shape->instances > 1 && shape->threads <= count / shape->instances;
    struct instance *instances = espi_calloc(ctx, shape->instances, sizeof *instances);
    if (!instances)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < shape->instances; i++)
        instances[i] = (struct instance){.model = model,
                                         .shape = shape,
                                         .gate = &gate,
                                         .cpus = own ? cpus + i * shape->threads : NULL,
                                         .seconds = seconds};
    int status = run_all(ctx, instances, shape->instances, &gate);
    if (!status)
        status = summarize(ctx, instances, shape, out);
    for (size_t i = 0; i < shape->instances; i++) {
        free(instances[i].times);
        esp_context_free(instances[i].ctx);
    }
    free(instances);
    return status;
}
