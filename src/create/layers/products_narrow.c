/* SPDX-License-Identifier: Apache-2.0 */
#include "create/layers/products_private.h"

#include "base/memory.h"
#include "base/simd.h"
#include "base/size.h"

#include <stdlib.h>

static const size_t narrow_rows[ESPI_NARROW_HEIGHTS] = {16, 32, ESPI_NARROW_ROWS};

/* ---- making --------------------------------------------------------------------------------------------------------- */

static void clear_one(struct espi_products *products, struct espi_narrow *narrow)
{
    dnnl_primitive_t primitives[] = {narrow->multiply, narrow->pack};
    dnnl_memory_t memories[] = {narrow->rows_plain, narrow->rows_packed};
    for (size_t i = 0; i < ESPI_COUNT(primitives); i++)
        if (primitives[i])
            espi_dnnl.primitive_destroy(primitives[i]);
    for (size_t i = 0; i < ESPI_COUNT(memories); i++)
        if (memories[i])
            espi_dnnl.memory_destroy(memories[i]);
    espi_thread_memory_free(products, narrow->weight);
    espi_thread_memory_free(products, narrow->target);
    espi_thread_memory_free(products, narrow->scratch);
    free(narrow->targets);
    *narrow = (struct espi_narrow){0};
}

void espi_narrow_clear(struct espi_products *products, struct espi_product *product)
{
    for (size_t i = 0; i < ESPI_NARROW_HEIGHTS; i++)
        clear_one(products, &product->narrow[i]);
    product->narrow_heights = 0;
}

/* The product, and the memory objects each thread hands to it. */
static dnnl_status_t make_multiply(struct espi_products *products, const struct espi_product *product,
                                   struct espi_narrow *narrow, dnnl_memory_desc_t *packed)
{
    dnnl_memory_desc_t weight, rows, target;
    dnnl_dims_t dims = {(dnnl_dim_t)product->inputs, (dnnl_dim_t)narrow->rows};
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t result = espi_dnnl.memory_desc_init_by_tag(&rows, 2, dims, dnnl_f32, dnnl_format_tag_any);
    if (!result)
        result = espi_matrix_desc(&weight, product->columns, product->inputs, product->inputs, 1);
    if (!result)
        result = espi_matrix_desc(&target, product->columns, narrow->rows, narrow->rows, 1);
    if (!result)
        result = espi_matmul_desc(products, &weight, &rows, NULL, &target, false, &desc);
    if (!result)
        result = espi_dnnl.primitive_create(&narrow->multiply, desc);
    if (!result)
        result = espi_thread_memory(products, &weight, DNNL_MEMORY_NONE, narrow->weight);
    if (!result)
        result =
            espi_thread_memory_at(products, &target, narrow->targets, product->columns * narrow->rows, narrow->target);
    if (!result)
        result = espi_thread_memory(products, espi_dnnl.primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0),
                                    DNNL_MEMORY_ALLOCATE, narrow->scratch);
    if (!result)
        *packed = *espi_dnnl.primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
    if (desc)
        espi_dnnl.primitive_desc_destroy(desc);
    return result;
}

static dnnl_status_t make_pack(struct espi_products *products, const struct espi_product *product,
                               struct espi_narrow *narrow, const dnnl_memory_desc_t *packed)
{
    dnnl_memory_desc_t plain;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t result = espi_matrix_desc(&plain, product->inputs, narrow->rows, 1, product->inputs);
    if (!result)
        result =
            espi_dnnl.reorder_primitive_desc_create(&desc, &plain, products->engine, packed, products->engine, NULL);
    if (!result)
        result = espi_dnnl.primitive_create(&narrow->pack, desc);
    if (!result)
        result = espi_dnnl.memory_create(&narrow->rows_plain, &plain, products->engine, DNNL_MEMORY_NONE);
    if (!result)
        result = espi_dnnl.memory_create(&narrow->rows_packed, packed, products->engine, DNNL_MEMORY_ALLOCATE);
    if (desc)
        espi_dnnl.primitive_desc_destroy(desc);
    return result;
}

static int make_one(esp_context *ctx, struct espi_products *products, const struct espi_product *product,
                    struct espi_narrow *narrow)
{
    size_t threads = products->threads;
    narrow->weight = espi_calloc(ctx, threads, sizeof *narrow->weight);
    narrow->target = espi_calloc(ctx, threads, sizeof *narrow->target);
    narrow->scratch = espi_calloc(ctx, threads, sizeof *narrow->scratch);
    narrow->targets = espi_calloc_aligned(ctx, threads * product->columns * narrow->rows, sizeof *narrow->targets);
    if (!narrow->weight || !narrow->target || !narrow->scratch || !narrow->targets)
        return ESP_ERR_MEMORY;
    dnnl_memory_desc_t packed;
    int before = espi_one_thread_begin();
    dnnl_status_t result = make_multiply(products, product, narrow, &packed);
    if (!result)
        result = make_pack(products, product, narrow, &packed);
    espi_one_thread_end(before);
    return result ? espi_fail_dnnl(ctx, result, "creating a narrow matrix product") : ESP_OK;
}

static int run_probe(void *argument, size_t index, size_t thread)
{
    (void)index;
    struct espi_probe *probe = argument;
    int status = espi_narrow_pack(probe->products, probe->narrow, probe->source);
    return status ? status
                  : espi_narrow_multiply(probe->products, probe->product, probe->narrow, &probe->packed,
                                         probe->narrow->rows, thread);
}

int espi_narrow_make(esp_context *ctx, struct espi_products *products, struct espi_product *product,
                     struct espi_probe *probe)
{
    for (size_t i = 0; i < ESPI_NARROW_HEIGHTS; i++) {
        struct espi_narrow *narrow = &product->narrow[product->narrow_heights];
        narrow->rows = narrow_rows[i];
        int status = make_one(ctx, products, product, narrow);
        probe->narrow = narrow;
        if (!status)
            status = espi_products_run(ctx, products, 1, run_probe, probe);
        if (status)
            return status;
        if (espi_probe_uniform(probe, narrow->rows))
            product->narrow_heights++;
        else
            clear_one(products, narrow);
    }
    return ESP_OK;
}

/* ---- multiplying ---------------------------------------------------------------------------------------------------- */

const struct espi_narrow *espi_product_narrow(const struct espi_product *product, size_t rows)
{
    for (size_t i = 0; i < product->narrow_heights; i++)
        if (product->narrow[i].rows >= rows)
            return &product->narrow[i];
    return NULL;
}

int espi_narrow_pack(struct espi_products *products, const struct espi_narrow *narrow, const float *source)
{
    dnnl_stream_t stream = products->streams[0];
    if (espi_dnnl.memory_set_data_handle_v2(narrow->rows_plain, (void *)(uintptr_t)source, stream))
        return ESP_ERR_INTERNAL;
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, narrow->rows_plain}, {DNNL_ARG_TO, narrow->rows_packed}};
    return espi_dnnl.primitive_execute(narrow->pack, stream, (int)ESPI_COUNT(args), args) ? ESP_ERR_INTERNAL : ESP_OK;
}

/* out = in' + bias; in: (columns, height), out: (rows, columns) */
ESPI_SIMD static void turn_rows(size_t rows, size_t columns, size_t height, const float *restrict in,
                                const float *restrict bias, float *restrict out)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t c = 0; c < columns; c++)
            out[row * columns + c] = in[c * height + row] + bias[c];
}

int espi_narrow_multiply(struct espi_products *products, const struct espi_product *product,
                         const struct espi_narrow *narrow, const struct espi_packed *packed, size_t rows, size_t thread)
{
    dnnl_stream_t stream = products->streams[thread];
    if (espi_dnnl.memory_set_data_handle_v2(narrow->weight[thread], (void *)(uintptr_t)packed->plain_weight, stream))
        return ESP_ERR_INTERNAL;
    dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, narrow->weight[thread]},
        {DNNL_ARG_WEIGHTS, narrow->rows_packed},
        {DNNL_ARG_DST, narrow->target[thread]},
        {DNNL_ARG_SCRATCHPAD, narrow->scratch[thread]},
    };
    int count = (int)ESPI_COUNT(args) - (narrow->scratch[thread] ? 0 : 1);
    if (espi_dnnl.primitive_execute(narrow->multiply, stream, count, args))
        return ESP_ERR_INTERNAL;
    turn_rows(rows, product->columns, narrow->rows, narrow->targets + thread * product->columns * narrow->rows,
              packed->plain_bias, espi_product_result(product, thread));
    return ESP_OK;
}
