/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bench_ops.h"

#include "bench/bench_kernels.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/size.h"
#include "kernels/peak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OPS = 64, LEAST_RUNS = 5, WARM_RUNS = 3 };

/* All ops of one name, precision and kernel. */
struct op {
    const char *name, *precision, *kernel;
    enum espi_peak_kind peak;
    bool product;             // a linear layer or attention
    double operations, bytes; // of a run
    double seconds;           // of all runs, all threads together
};

struct profile {
    const struct espi_any_model *model;
    const struct cli_bench_shape *shape;
    struct op ops[MOST_OPS];
    size_t count;
    const struct espi_peak *peaks[ESPI_PEAK_COUNT];
    double peak_sums[ESPI_PEAK_COUNT]; // over the runs
    double *seconds;                   // (threads, plan->length + 1)
    double *runs;                      // (run_count) seconds of each
    size_t run_count, run_capacity;
    double total; // of all runs
};

/* ---- what an op does -------------------------------------------------------------------------------------------- */

static void describe_linear(const struct espi_plan *plan, const struct espi_plan_op *planned, double tokens,
                            struct op *op)
{
    static const enum espi_peak_kind peaks[] = {
        [ESPI_INT8] = ESPI_PEAK_INT8, [ESPI_BF16] = ESPI_PEAK_BF16, [ESPI_FP32] = ESPI_PEAK_F32};
    static const enum espi_op floats[] = {[ESPI_BF16] = ESPI_OP_gemm_bf16, [ESPI_FP32] = ESPI_OP_gemm_f32};
    const struct espi_esp_layer *layer = &plan->model->layers[planned->layer];
    const struct espi_esp_linear *linear = planned->linear;
    const uint32_t *starts = linear->quads.starts;
    double quads = (double)espi_quad_count(linear->rows), columns = (double)linear->columns;
    double kept = starts ? 4.0 * (double)starts[espi_quad_count(linear->rows)] : quads * columns; // 4x1 blocks
    double block_bytes = linear->precision == ESPI_FP32 ? 16 : linear->precision == ESPI_BF16 ? 8 : starts ? 6 : 4;
    op->name = linear == &layer->qkv             ? "query_key_value"
               : linear == &layer->attention_out ? "attention_output"
               : linear == &layer->ffn_in        ? "ffn_input"
                                                 : "ffn_output";
    op->precision = espi_esp_linear_name(linear);
    enum espi_op kernel = linear->precision != ESPI_INT8 ? floats[linear->precision]
                          : starts                       ? ESPI_OP_sparse_u8s8
                                                         : ESPI_OP_gemm_u8s8;
    op->kernel = plan->kernels.chosen[kernel]->name;
    op->peak = peaks[linear->precision];
    op->product = true;
    op->operations = 8 * kept * tokens;
    op->bytes = kept * block_bytes * (double)((size_t)(tokens + 63) / 64) + // the weights, once a panel
                tokens * (columns * (double)plan->bytes[planned->in] +
                          (double)linear->rows * (double)plan->bytes[planned->out]);
}

static void describe_rest(const struct espi_plan *plan, const struct espi_plan_op *planned,
                          const struct cli_bench_shape *shape, struct op *op)
{
    static const struct {
        const char *name;
        enum espi_op op;
    } names[] = {
        [ESPI_PLAN_EMBED] = {"embeddings", ESPI_OP_embed},
        [ESPI_PLAN_NORM] = {"layer_norm", ESPI_OP_layer_norm},
        [ESPI_PLAN_QUANTIZE] = {"quantize", ESPI_OP_quantize_u8},
        [ESPI_PLAN_ATTENTION] = {"attention", ESPI_OP_attention},
    };
    double tokens = (double)(shape->batch * shape->length), hidden = (double)plan->model->config.hidden;
    double rows = (double)(planned->kind == ESPI_PLAN_QUANTIZE ? planned->rows : plan->rows[planned->in]);
    double in = tokens * rows * (double)plan->bytes[planned->in],
           out = tokens * rows * (double)plan->bytes[planned->out];
    op->peak = ESPI_PEAK_COPY;
    op->bytes = in + out;
    if (planned->kind == ESPI_PLAN_ACTIVATE) {
        op->name = "activation";
        return;
    }
    op->name = names[planned->kind].name;
    op->kernel = plan->kernels.chosen[names[planned->kind].op]->name;
    if (planned->kind == ESPI_PLAN_EMBED)
        op->bytes = out + tokens * hidden * (double)sizeof(uint16_t) * (plan->model->type ? 3 : 2);
    if (planned->kind == ESPI_PLAN_NORM)
        op->bytes = 2 * in + (planned->quantize.scale ? out : 0);
    if (planned->kind == ESPI_PLAN_ATTENTION) {
        double features = (double)(planned->heads * espi_config_head_size(&plan->model->config));
        op->product = true;
        op->peak = ESPI_PEAK_INT8;
        op->operations = 4 * tokens * (double)shape->length * features;
        op->bytes = tokens * features * (double)(3 * plan->bytes[planned->in] + plan->bytes[planned->out]);
    }
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Adds to the op of that name and kernel. */
static void add_op(struct profile *profile, const struct op *op)
{
    size_t i = 0;
    while (i < profile->count &&
           !(same(profile->ops[i].name, op->name) && same(profile->ops[i].precision, op->precision)))
        i++;
    if (i == MOST_OPS)
        i--; // more kinds than a plan can have
    if (i == profile->count)
        profile->ops[profile->count++] = *op;
    else {
        profile->ops[i].operations += op->operations;
        profile->ops[i].bytes += op->bytes;
        profile->ops[i].seconds += op->seconds;
    }
}

static void collect_ops(struct profile *profile)
{
    const struct espi_plan *plan = &profile->model->plan;
    double tokens = (double)(profile->shape->batch * profile->shape->length);
    double rest = profile->total * (double)profile->shape->threads;
    for (size_t i = 0; i <= plan->length; i++) {
        struct op op = {.name = "head", .peak = ESPI_PEAK_COUNT};
        if (i < plan->length && plan->ops[i].kind == ESPI_PLAN_LINEAR)
            describe_linear(plan, &plan->ops[i], tokens, &op);
        else if (i < plan->length)
            describe_rest(plan, &plan->ops[i], profile->shape, &op);
        for (size_t thread = 0; thread < profile->shape->threads; thread++)
            op.seconds += profile->seconds[thread * (plan->length + 1) + i];
        rest -= op.seconds;
        add_op(profile, &op);
    }
    add_op(profile, &(struct op){.name = "between_ops", .peak = ESPI_PEAK_COUNT, .seconds = rest});
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static void find_peaks(struct profile *profile)
{
    const struct espi_kernel_set *kernels = &profile->model->plan.kernels;
    for (int kind = 0; kind < ESPI_PEAK_COUNT; kind++)
        profile->peaks[kind] = espi_peak_find((enum espi_peak_kind)kind, kernels->features, kernels->cap);
}

static int run_profiled(esp_context *ctx, struct profile *profile, struct espi_engine *engine,
                        const struct cli_bench_batch *batch, double seconds)
{
    int status = ESP_OK;
    for (size_t i = 0; i < WARM_RUNS && !status; i++)
        status = engine->run(engine, ctx, &batch->batch, &batch->wanted);
    espi_session_profile(engine, profile->seconds);
    while (!status && (profile->run_count < LEAST_RUNS || profile->total < seconds)) {
        for (int kind = 0; kind < ESPI_PEAK_COUNT; kind++)
            if (profile->peaks[kind])
                profile->peak_sums[kind] += profile->peaks[kind]->measure();
        status = espi_grow(ctx, &profile->runs, &profile->run_capacity, profile->run_count + 1, sizeof(double));
        double begun = espi_clock();
        if (!status)
            status = engine->run(engine, ctx, &batch->batch, &batch->wanted);
        if (status)
            break;
        double took = espi_clock() - begun;
        profile->runs[profile->run_count++] = took;
        profile->total += took;
    }
    return status;
}

/* ---- the report -------------------------------------------------------------------------------------------------- */

static void put_op(struct espi_json_writer *w, const struct profile *profile, const struct op *op)
{
    double runs = (double)profile->run_count, all = profile->total * (double)profile->shape->threads;
    double gops = op->operations * 1e-9 * runs / op->seconds, gbytes = op->bytes * 1e-9 * runs / op->seconds;
    espi_put_object(w, NULL);
    espi_put_string(w, "op", op->name);
    espi_put_number(w, "thread_ms", op->seconds * 1e3 / runs);
    espi_put_number(w, "share", op->seconds / all);
    if (op->precision)
        espi_put_string(w, "precision", op->precision);
    if (op->kernel)
        espi_put_string(w, "kernel", op->kernel);
    if (op->operations > 0)
        espi_put_number(w, "gops", gops);
    if (op->bytes > 0)
        espi_put_number(w, "gbytes", gbytes);
    if (op->peak != ESPI_PEAK_COUNT && profile->peaks[op->peak]) {
        espi_put_string(w, "peak", espi_peak_kind_name(op->peak));
        espi_put_number(w, "of_peak", (op->product ? gops : gbytes) / (profile->peak_sums[op->peak] / runs));
    }
    espi_put_object_end(w);
}

static void put_profile(struct espi_json_writer *w, struct profile *profile)
{
    const struct cli_bench_shape *shape = profile->shape;
    double runs = (double)profile->run_count, all = profile->total * (double)shape->threads, outside = 0;
    cli_bench_sort(profile->runs, profile->run_count);
    espi_put_size(w, "batch", shape->batch);
    espi_put_size(w, "length", shape->length);
    espi_put_size(w, "threads", shape->threads);
    espi_put_size(w, "runs", profile->run_count);
    espi_put_number(w, "median_ms", 1e3 * cli_bench_quantile(profile->runs, profile->run_count, 0.5));
    espi_put_number(w, "thread_ms", 1e3 * all / runs);
    espi_put_object(w, "peaks");
    for (int kind = 0; kind < ESPI_PEAK_COUNT; kind++)
        if (profile->peaks[kind])
            cli_put_peak(w, profile->peaks[kind], (enum espi_peak_kind)kind, profile->peak_sums[kind] / runs);
    espi_put_object_end(w);
    espi_put_array(w, "ops");
    for (size_t i = 0; i < profile->count; i++) {
        put_op(w, profile, &profile->ops[i]);
        outside += profile->ops[i].product ? 0 : profile->ops[i].seconds / all;
    }
    espi_put_array_end(w);
    espi_put_number(w, "outside_products_and_attention", outside);
}

int cli_bench_ops(esp_context *ctx, const struct espi_any_model *model, const struct cli_bench_shape *shape,
                  double seconds, struct espi_json_writer *report)
{
    struct profile profile = {.model = model, .shape = shape};
    struct cli_bench_batch batch;
    struct espi_team *team = NULL;
    struct espi_engine *engine = NULL;
    find_peaks(&profile);
    int status = cli_bench_batch_make(ctx, espi_any_model_config(model), shape, &batch);
    if (!status)
        status = espi_team_new(ctx, shape->threads, &team);
    if (!status)
        status = espi_any_model_engine(ctx, model, team, &engine);
    if (!status && !(profile.seconds = espi_calloc(ctx, shape->threads * (model->plan.length + 1), sizeof(double))))
        status = ESP_ERR_MEMORY;
    if (!status)
        status = run_profiled(ctx, &profile, engine, &batch, seconds);
    if (!status) {
        collect_ops(&profile);
        put_profile(report, &profile);
    }
    if (engine)
        engine->free(engine);
    espi_team_free(team);
    cli_bench_batch_clear(&batch);
    free(profile.seconds);
    free(profile.runs);
    return status;
}

/* ---- as a table -------------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* A number in a column, or blanks when there is none. */
static void print_number(const json_t *object, const char *key, double factor, int width, int digits)
{
    const json_t *value = json_object_get(object, key);
    if (value)
        printf(" %*.*f", width, digits, factor * json_number_value(value));
    else
        printf(" %*s", width, "");
}

void cli_bench_print_ops(const json_t *report)
{
    size_t i;
    const char *kind;
    json_t *op, *peak;
    printf("%lld x %lld tokens, %lld threads: %.3f ms (median of %lld), per op the threads' time\n",
           (long long)json_integer_value(json_object_get(report, "batch")),
           (long long)json_integer_value(json_object_get(report, "length")),
           (long long)json_integer_value(json_object_get(report, "threads")),
           json_number_value(json_object_get(report, "median_ms")),
           (long long)json_integer_value(json_object_get(report, "runs")));
    printf("%-17s %-12s %-26s %10s %7s %8s %8s %9s\n", "op", "precision", "kernel", "ms", "share %", "GOP/s", "GB/s",
           "of peak %");
    json_array_foreach(json_object_get(report, "ops"), i, op)
    {
        printf("%-17s %-12s %-26s", text_of(op, "op"), text_of(op, "precision"), text_of(op, "kernel"));
        print_number(op, "thread_ms", 1, 10, 4);
        print_number(op, "share", 100, 7, 1);
        print_number(op, "gops", 1, 8, 1);
        print_number(op, "gbytes", 1, 8, 1);
        print_number(op, "of_peak", 100, 5, 1);
        printf(" %s\n", text_of(op, "peak"));
    }
    printf("%-57s", "total");
    print_number(report, "thread_ms", 1, 10, 4);
    printf(" %7.1f\n%-68s", 100.0, "outside of products and attention");
    print_number(report, "outside_products_and_attention", 100, 7, 1);
    printf("\npeaks of this core:");
    json_object_foreach(json_object_get(report, "peaks"), kind, peak)
        printf("  %s %.1f (%s)", kind, json_number_value(json_object_get(peak, "g_per_s")), text_of(peak, "name"));
    printf("\n\n");
    fflush(stdout);
}
