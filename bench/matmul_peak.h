/* SPDX-License-Identifier: Apache-2.0
 * oneDNN's matrix product alone, one at a time on each thread: what the benchmarks compare a whole model with. */
#ifndef ESPI_BENCH_MATMUL_PEAK_H
#define ESPI_BENCH_MATMUL_PEAK_H

#include "base/clock.h"
#include "create/layers/matmul.h"
#include "create/layers/products.h"

#include <stdlib.h>
#include <string.h>

enum { PEAK_ROWS = 1024, PEAK_INPUTS = 768, PEAK_OUTPUTS = 3072, PEAK_THREADS = 64 };
enum { PEAK_SOURCE, PEAK_WEIGHT, PEAK_BIAS, PEAK_TARGET, PEAK_SCRATCH, PEAK_OPERANDS };

struct matmul_peak {
    enum espi_compute compute;
    size_t threads;
    struct espi_team *team;
    struct espi_products *products; // keeps oneDNN at one thread a call
    dnnl_engine_t engine;
    dnnl_primitive_t primitive;
    dnnl_stream_t streams[PEAK_THREADS];
    dnnl_memory_t memory[PEAK_THREADS][PEAK_OPERANDS];
    double best; // seconds
};

static inline bool peak_desc(dnnl_memory_desc_t *out, size_t rows, size_t columns, dnnl_data_type_t type,
                             dnnl_format_tag_t tag)
{
    dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
    return !dnnl_memory_desc_init_by_tag(out, 2, dims, type, tag);
}

/* With a scratchpad for each call: oneDNN's own is one for the primitive, and threads that multiply at once would write
 * their operands' addresses over one another's. */
static inline bool peak_primitive_desc(struct matmul_peak *p, const dnnl_matmul_desc_t *matmul,
                                       dnnl_primitive_desc_t *out)
{
    dnnl_primitive_attr_t attributes = NULL;
    bool good = !dnnl_primitive_attr_create(&attributes) &&
                !dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) &&
                !dnnl_primitive_desc_create(out, matmul, attributes, p->engine, NULL);
    dnnl_primitive_attr_destroy(attributes);
    return good;
}

/* Values do not change the time: memory stays as oneDNN allocates it, filled with zeros. */
static inline bool peak_make(struct matmul_peak *p)
{
    dnnl_data_type_t type = p->compute == ESPI_COMPUTE_BF16 ? dnnl_bf16 : dnnl_f32;
    dnnl_memory_desc_t descs[PEAK_OPERANDS];
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_desc_t desc;
    if (!peak_desc(&descs[PEAK_SOURCE], PEAK_ROWS, PEAK_INPUTS, type, dnnl_ab) ||
        !peak_desc(&descs[PEAK_WEIGHT], PEAK_INPUTS, PEAK_OUTPUTS, type, dnnl_format_tag_any) ||
        !peak_desc(&descs[PEAK_BIAS], 1, PEAK_OUTPUTS, dnnl_f32, dnnl_ab) ||
        !peak_desc(&descs[PEAK_TARGET], PEAK_ROWS, PEAK_OUTPUTS, dnnl_f32, dnnl_ab) ||
        dnnl_engine_create(&p->engine, dnnl_cpu, 0) ||
        dnnl_matmul_desc_init(&matmul, &descs[PEAK_SOURCE], &descs[PEAK_WEIGHT], &descs[PEAK_BIAS],
                              &descs[PEAK_TARGET]) ||
        !peak_primitive_desc(p, &matmul, &desc))
        return false;
    bool good = !dnnl_primitive_create(&p->primitive, desc);
    descs[PEAK_WEIGHT] = *dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
    descs[PEAK_SCRATCH] = *dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
    dnnl_primitive_desc_destroy(desc);
    for (size_t thread = 0; good && thread < p->threads; thread++) {
        good = !dnnl_stream_create(&p->streams[thread], p->engine, dnnl_stream_default_flags);
        for (size_t i = 0; good && i < PEAK_OPERANDS; i++) {
            void *data;
            good = !dnnl_memory_create(&p->memory[thread][i], &descs[i], p->engine, DNNL_MEMORY_ALLOCATE) &&
                   !dnnl_memory_get_data_handle(p->memory[thread][i], &data);
            if (good && data)
                memset(data, 0, dnnl_memory_desc_get_size(&descs[i]));
        }
    }
    return good;
}

static inline int peak_make_alone(void *argument, size_t index, size_t thread)
{
    (void)index;
    (void)thread;
    return peak_make(argument) ? ESP_OK : ESP_ERR_INTERNAL;
}

static inline int matmul_peak_new(esp_context *ctx, enum espi_compute compute, size_t threads, struct matmul_peak *out)
{
    *out = (struct matmul_peak){.compute = compute, .threads = threads, .best = 1e30};
    if (threads > PEAK_THREADS)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "expected at most %d threads", PEAK_THREADS);
    int status = espi_team_new(ctx, threads, &out->team);
    if (!status)
        status = espi_products_new(ctx, out->team, &out->products);
    return status ? status : espi_products_run(ctx, out->products, 1, peak_make_alone, out);
}

/* By index: a thread that takes two of them only makes the time longer, and the best one counts. */
static inline int peak_multiply(void *argument, size_t index, size_t thread)
{
    (void)thread;
    struct matmul_peak *p = argument;
    dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, p->memory[index][PEAK_SOURCE]},
                              {DNNL_ARG_WEIGHTS, p->memory[index][PEAK_WEIGHT]},
                              {DNNL_ARG_BIAS, p->memory[index][PEAK_BIAS]},
                              {DNNL_ARG_DST, p->memory[index][PEAK_TARGET]},
                              {DNNL_ARG_SCRATCHPAD, p->memory[index][PEAK_SCRATCH]}};
    return dnnl_primitive_execute(p->primitive, p->streams[index], PEAK_OPERANDS, args) ? ESP_ERR_INTERNAL : ESP_OK;
}

/* Once on every thread. */
static inline int matmul_peak_time(esp_context *ctx, struct matmul_peak *p)
{
    double start = espi_clock();
    int status = espi_products_run(ctx, p->products, p->threads, peak_multiply, p);
    double seconds = espi_clock() - start;
    p->best = seconds < p->best ? seconds : p->best;
    return status;
}

static inline double matmul_peak_gflops(const struct matmul_peak *p)
{
    return 2e-9 * PEAK_ROWS * PEAK_INPUTS * PEAK_OUTPUTS * (double)p->threads / p->best;
}

static inline void matmul_peak_clear(struct matmul_peak *p)
{
    for (size_t thread = 0; thread < p->threads; thread++) {
        for (size_t i = 0; i < PEAK_OPERANDS; i++)
            dnnl_memory_destroy(p->memory[thread][i]);
        dnnl_stream_destroy(p->streams[thread]);
    }
    dnnl_primitive_destroy(p->primitive);
    dnnl_engine_destroy(p->engine);
    espi_products_free(p->products);
    espi_team_free(p->team);
}

#endif
