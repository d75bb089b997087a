/* SPDX-License-Identifier: Apache-2.0 */
#include "create/layers/products_private.h"

#include "base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A run-time error on a CPU is that of making code: memory for it was not to be had, or may not be executed. */
int espi_dnnl_status(dnnl_status_t result)
{
    switch (result) {
    case dnnl_success:
        return ESP_OK;
    case dnnl_out_of_memory:
    case dnnl_runtime_error:
        return ESP_ERR_MEMORY;
    case dnnl_unimplemented:
        return ESP_ERR_UNSUPPORTED;
    default:
        return ESP_ERR_INTERNAL;
    }
}

int espi_fail_dnnl(esp_context *ctx, dnnl_status_t result, const char *what)
{
    int status = espi_dnnl_status(result);
    return espi_fail(ctx, (esp_status)status, "oneDNN: %s failed with status %d%s", what, (int)result,
                     status == ESP_ERR_MEMORY ? ": out of memory, or of memory that may hold code" : "");
}

int espi_one_thread_begin(void)
{
    int before = espi_dnnl.get_max_threads();
    espi_dnnl.set_num_threads(1);
    return before;
}

void espi_one_thread_end(int before)
{
    espi_dnnl.set_num_threads(before);
}

/* ---- threads -------------------------------------------------------------------------------------------------------- */

struct run {
    espi_products_fn *function;
    void *argument;
    _Atomic int status;
};

static void run_one(void *argument, size_t index, size_t thread)
{
    struct run *run = argument;
    int before = espi_one_thread_begin();
    int status = run->function(run->argument, index, thread);
    espi_one_thread_end(before);
    if (status)
        atomic_store_explicit(&run->status, status, memory_order_relaxed);
}

int espi_products_run(esp_context *ctx, struct espi_products *products, size_t count, espi_products_fn *function,
                      void *argument)
{
    struct run run = {.function = function, .argument = argument};
    espi_team_run(products->team, count, run_one, &run);
    int status = atomic_load_explicit(&run.status, memory_order_relaxed);
    return status ? espi_fail(ctx, (esp_status)status, "oneDNN: a matrix product failed: %s", esp_status_text(status))
                  : ESP_OK;
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

int espi_products_new(esp_context *ctx, struct espi_team *team, struct espi_products **out)
{
    *out = NULL;
    int status = espi_dnnl_load(ctx);
    if (status)
        return status;
    struct espi_products *products = espi_calloc(ctx, 1, sizeof *products);
    if (!products)
        return ESP_ERR_MEMORY;
    products->team = team;
    products->threads = espi_team_size(team);
    status = ESP_ERR_MEMORY;
    products->streams = espi_calloc(ctx, products->threads, sizeof *products->streams);
    if (!products->streams)
        goto fail;
    dnnl_status_t result = espi_dnnl.engine_create(&products->engine, dnnl_cpu, 0);
    for (size_t i = 0; i < products->threads && !result; i++)
        result = espi_dnnl.stream_create(&products->streams[i], products->engine, dnnl_stream_default_flags);
    if (result) {
        status = espi_fail_dnnl(ctx, result, "creating the engine");
        goto fail;
    }
    *out = products;
    return ESP_OK;

fail:
    espi_products_free(products);
    return status;
}

void espi_thread_memory_free(struct espi_products *products, dnnl_memory_t *list)
{
    for (size_t thread = 0; list && thread < products->threads; thread++)
        if (list[thread])
            espi_dnnl.memory_destroy(list[thread]);
    free(list);
}

void espi_products_free(struct espi_products *products)
{
    if (!products)
        return;
    for (size_t i = 0; products->streams && i < products->threads; i++)
        if (products->streams[i])
            espi_dnnl.stream_destroy(products->streams[i]);
    free(products->streams);
    if (products->engine)
        espi_dnnl.engine_destroy(products->engine);
    free(products);
}

/* ---- descriptions --------------------------------------------------------------------------------------------------- */

dnnl_status_t espi_matrix_desc(dnnl_memory_desc_t *desc, size_t rows, size_t cols, size_t row_stride, size_t col_stride)
{
    dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)cols};
    dnnl_dims_t strides = {(dnnl_dim_t)row_stride, (dnnl_dim_t)col_stride};
    return espi_dnnl.memory_desc_init_by_strides(desc, 2, dims, dnnl_f32, strides);
}

static dnnl_status_t append_sum(dnnl_primitive_attr_t attributes)
{
    dnnl_post_ops_t operations = NULL;
    dnnl_status_t result = espi_dnnl.post_ops_create(&operations);
    if (!result)
        result = espi_dnnl.post_ops_append_sum(operations, 1.0f);
    if (!result)
        result = espi_dnnl.primitive_attr_set_post_ops(attributes, operations);
    if (operations)
        espi_dnnl.post_ops_destroy(operations);
    return result;
}

dnnl_status_t espi_matmul_desc(struct espi_products *products, const dnnl_memory_desc_t *source,
                               const dnnl_memory_desc_t *weight, const dnnl_memory_desc_t *target, bool add,
                               dnnl_primitive_desc_t *out)
{
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t result = espi_dnnl.matmul_desc_init(&matmul, source, weight, NULL, target);
    if (!result)
        result = espi_dnnl.primitive_attr_create(&attributes);
    if (!result)
        result = espi_dnnl.primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (!result && add)
        result = append_sum(attributes);
    if (!result)
        result = espi_dnnl.primitive_desc_create(out, &matmul, attributes, products->engine, NULL);
    if (attributes)
        espi_dnnl.primitive_attr_destroy(attributes);
    return result;
}

dnnl_status_t espi_thread_memory(struct espi_products *products, const dnnl_memory_desc_t *desc, void *handle,
                                 dnnl_memory_t *list)
{
    dnnl_status_t result = dnnl_success;
    for (size_t thread = 0; thread < products->threads && !result && espi_dnnl.memory_desc_get_size(desc) > 0; thread++)
        result = espi_dnnl.memory_create(&list[thread], desc, products->engine, handle);
    return result;
}

dnnl_status_t espi_thread_memory_at(struct espi_products *products, const dnnl_memory_desc_t *desc, float *data,
                                    size_t stride, dnnl_memory_t *list)
{
    dnnl_status_t result = dnnl_success;
    for (size_t thread = 0; thread < products->threads && !result; thread++)
        result = espi_dnnl.memory_create(&list[thread], desc, products->engine, data + thread * stride);
    return result;
}

/* ---- plain products -------------------------------------------------------------------------------------------------- */

int espi_multiply(size_t rows, size_t columns, size_t inner, float scale, const struct espi_matrix *a,
                  const struct espi_matrix *b, float *c, size_t c_stride)
{
    dnnl_status_t result = espi_dnnl.sgemm(
        a->transposed ? 'T' : 'N', b->transposed ? 'T' : 'N', (dnnl_dim_t)rows, (dnnl_dim_t)columns, (dnnl_dim_t)inner,
        scale, a->data, (dnnl_dim_t)a->stride, b->data, (dnnl_dim_t)b->stride, 0.0f, c, (dnnl_dim_t)c_stride);
    return espi_dnnl_status(result);
}
