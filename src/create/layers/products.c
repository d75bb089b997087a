/* SPDX-License-Identifier: Apache-2.0 */
#include "create/layers/products_private.h"

#include "base/memory.h"
#include "base/random.h"
#include "base/size.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const size_t tile_rows[ESPI_TILE_HEIGHTS] = {ESPI_TILE_ROWS, 48, 32, 16, 8};

int espi_fail_dnnl(esp_context *ctx, dnnl_status_t result, const char *what)
{
    esp_status status = result == dnnl_out_of_memory   ? ESP_ERR_MEMORY
                        : result == dnnl_unimplemented ? ESP_ERR_UNSUPPORTED
                                                       : ESP_ERR_INTERNAL;
    return espi_fail(ctx, status, "oneDNN: %s failed with status %d", what, (int)result);
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
    return status ? espi_fail(ctx, (esp_status)status, "oneDNN: a matrix product failed") : ESP_OK;
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

int espi_products_new(esp_context *ctx, struct espi_team *team, bool single_rows, struct espi_products **out)
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
    products->single_rows = single_rows;
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

static void clear_tile(struct espi_products *products, struct espi_tile *tile)
{
    espi_thread_memory_free(products, tile->source);
    espi_thread_memory_free(products, tile->target);
    espi_thread_memory_free(products, tile->scratch);
    if (tile->primitive)
        espi_dnnl.primitive_destroy(tile->primitive);
    memset(tile, 0, sizeof *tile);
}

static void clear_tiles(struct espi_products *products, struct espi_product *product)
{
    for (size_t i = 0; i < ESPI_TILE_HEIGHTS; i++)
        clear_tile(products, &product->tiles[i]);
    product->heights = 0;
    espi_narrow_clear(products, product);
}

static void free_product(struct espi_products *products, struct espi_product *product)
{
    clear_tiles(products, product);
    free(product->results);
    free(product);
}

void espi_products_free(struct espi_products *products)
{
    if (!products)
        return;
    while (products->list) {
        struct espi_product *next = products->list->next;
        free_product(products, products->list);
        products->list = next;
    }
    for (size_t i = 0; products->streams && i < products->threads; i++)
        if (products->streams[i])
            espi_dnnl.stream_destroy(products->streams[i]);
    free(products->streams);
    if (products->engine)
        espi_dnnl.engine_destroy(products->engine);
    free(products);
}

/* ---- making tiles --------------------------------------------------------------------------------------------------- */

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
                               const dnnl_memory_desc_t *weight, const dnnl_memory_desc_t *bias,
                               const dnnl_memory_desc_t *target, bool add, dnnl_primitive_desc_t *out)
{
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t result = espi_dnnl.matmul_desc_init(&matmul, source, weight, bias, target);
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

/* The description of a tile's product. The first tile of a product lets oneDNN choose how weights are packed. */
static dnnl_status_t describe(struct espi_products *products, struct espi_product *product, size_t rows,
                              dnnl_memory_desc_t *source, dnnl_memory_desc_t *target, dnnl_primitive_desc_t *out)
{
    dnnl_memory_desc_t weight = product->weight, bias;
    dnnl_dims_t dims = {(dnnl_dim_t)product->inputs, (dnnl_dim_t)product->columns};
    dnnl_status_t result = dnnl_success;
    if (product->weight_bytes == 0)
        result = espi_dnnl.memory_desc_init_by_tag(&weight, 2, dims, dnnl_f32, dnnl_format_tag_any);
    if (!result)
        result = espi_matrix_desc(source, rows, product->inputs, product->inputs, 1);
    if (!result)
        result = espi_matrix_desc(target, rows, product->columns, product->columns, 1);
    if (!result)
        result = espi_matrix_desc(&bias, 1, product->columns, product->columns, 1);
    if (!result)
        result = espi_matmul_desc(products, source, &weight, &bias, target, false, out);
    if (!result && product->weight_bytes == 0) {
        product->weight = *espi_dnnl.primitive_desc_query_md(*out, dnnl_query_weights_md, 0);
        product->weight_bytes = espi_dnnl.memory_desc_get_size(&product->weight);
    }
    return result;
}

static int make_tile(esp_context *ctx, struct espi_products *products, struct espi_product *product, size_t rows,
                     struct espi_tile *tile)
{
    tile->rows = rows;
    tile->source = espi_calloc(ctx, products->threads, sizeof *tile->source);
    tile->target = espi_calloc(ctx, products->threads, sizeof *tile->target);
    tile->scratch = espi_calloc(ctx, products->threads, sizeof *tile->scratch);
    if (!tile->source || !tile->target || !tile->scratch)
        return ESP_ERR_MEMORY;

    dnnl_memory_desc_t source, target;
    dnnl_primitive_desc_t desc = NULL;
    int before = espi_one_thread_begin();
    dnnl_status_t result = describe(products, product, rows, &source, &target, &desc);
    if (!result)
        result = espi_dnnl.primitive_create(&tile->primitive, desc);
    espi_one_thread_end(before);
    if (!result)
        result = espi_thread_memory(products, &source, DNNL_MEMORY_NONE, tile->source);
    if (!result)
        result =
            espi_thread_memory_at(products, &target, product->results, ESPI_TILE_ROWS * product->columns, tile->target);
    if (!result)
        result = espi_thread_memory(products, espi_dnnl.primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0),
                                    DNNL_MEMORY_ALLOCATE, tile->scratch);
    if (desc)
        espi_dnnl.primitive_desc_destroy(desc);
    return result ? espi_fail_dnnl(ctx, result, "creating a matrix product") : ESP_OK;
}

/* ---- the test for uniform rows -------------------------------------------------------------------------------------- */

static int run_probe(void *argument, size_t index, size_t thread)
{
    (void)index;
    struct espi_probe *probe = argument;
    return espi_tile_multiply(probe->products, probe->tile, &probe->packed, probe->source, thread);
}

static void clear_probe(struct espi_probe *probe)
{
    espi_packed_clear(&probe->packed);
    free(probe->source);
    free(probe->weight);
    free(probe->bias);
    free(probe->reference);
}

static int make_probe(esp_context *ctx, struct espi_products *products, const struct espi_product *product,
                      struct espi_probe *probe)
{
    size_t inputs = product->inputs, columns = product->columns, weights, sources;
    if (!espi_size_mul(inputs, columns, &weights) || !espi_size_mul(inputs, ESPI_TILE_ROWS, &sources))
        return espi_fail_memory(ctx, SIZE_MAX);
    probe->products = products;
    probe->product = product;
    probe->source = espi_calloc_aligned(ctx, sources, sizeof *probe->source);
    probe->weight = espi_calloc_aligned(ctx, weights, sizeof *probe->weight);
    probe->bias = espi_calloc_aligned(ctx, columns, sizeof *probe->bias);
    probe->reference = espi_calloc_aligned(ctx, columns, sizeof *probe->reference);
    if (!probe->source || !probe->weight || !probe->bias || !probe->reference)
        return ESP_ERR_MEMORY;
    struct espi_random random = {.seed = 1};
    for (size_t i = 0; i < inputs; i++)
        probe->source[i] = espi_random_uniform(&random) - 0.5f;
    for (size_t row = 1; row < ESPI_TILE_ROWS; row++)
        memcpy(probe->source + row * inputs, probe->source, inputs * sizeof *probe->source);
    for (size_t i = 0; i < weights; i++)
        probe->weight[i] = espi_random_uniform(&random) - 0.5f;
    for (size_t i = 0; i < columns; i++)
        probe->bias[i] = espi_random_uniform(&random) - 0.5f;
    return espi_packed_init(ctx, products, product, probe->weight, probe->bias, &probe->packed);
}

bool espi_probe_uniform(const struct espi_probe *probe, size_t rows)
{
    size_t columns = probe->product->columns;
    const float *result = espi_product_result(probe->product, 0);
    for (size_t row = 0; row < rows; row++)
        if (memcmp(probe->reference, result + row * columns, columns * sizeof *result) != 0)
            return false;
    return true;
}

/* The first tile's first row becomes the reference. */
static int probe_tile(esp_context *ctx, struct espi_probe *probe, const struct espi_tile *tile, bool *uniform)
{
    probe->tile = tile;
    int status = espi_products_run(ctx, probe->products, 1, run_probe, probe);
    if (status)
        return status;
    if (tile == probe->product->tiles)
        memcpy(probe->reference, espi_product_result(probe->product, 0),
               probe->product->columns * sizeof *probe->reference);
    *uniform = espi_probe_uniform(probe, tile->rows);
    return ESP_OK;
}

/* Makes the tiles, and keeps the highest and those that agree with it; none when it does not agree with itself. */
static int make_uniform_tiles(esp_context *ctx, struct espi_products *products, struct espi_product *product)
{
    struct espi_probe probe = {0};
    int status = make_tile(ctx, products, product, tile_rows[0], &product->tiles[0]);
    if (!status)
        status = make_probe(ctx, products, product, &probe);
    for (size_t i = 0; i < ESPI_TILE_HEIGHTS && !status; i++) {
        struct espi_tile *tile = &product->tiles[product->heights];
        bool uniform = false;
        if (i > 0)
            status = make_tile(ctx, products, product, tile_rows[i], tile);
        if (!status)
            status = probe_tile(ctx, &probe, tile, &uniform);
        if (!status && uniform)
            product->heights++;
        else if (i == 0)
            break;
        else
            clear_tile(products, tile);
    }
    if (!status && product->heights > 0)
        status = espi_narrow_make(ctx, products, product, &probe);
    clear_probe(&probe);
    return status;
}

static int make_product(esp_context *ctx, struct espi_products *products, struct espi_product *product)
{
    size_t count;
    if (!espi_size_mul(product->columns, ESPI_TILE_ROWS, &count) || !espi_size_mul(count, products->threads, &count))
        return espi_fail_memory(ctx, SIZE_MAX);
    product->results = espi_calloc_aligned(ctx, count, sizeof *product->results);
    if (!product->results)
        return ESP_ERR_MEMORY;
    if (!products->single_rows) {
        int status = make_uniform_tiles(ctx, products, product);
        if (status || product->heights > 0)
            return status;
        clear_tiles(products, product);
        product->weight_bytes = 0;
    }
    int status = make_tile(ctx, products, product, 1, &product->tiles[0]);
    product->heights = 1;
    return status;
}

int espi_products_get(esp_context *ctx, struct espi_products *products, size_t inputs, size_t columns,
                      const struct espi_product **out)
{
    *out = NULL;
    for (struct espi_product *p = products->list; p; p = p->next)
        if (p->inputs == inputs && p->columns == columns) {
            *out = p;
            return ESP_OK;
        }
    struct espi_product *product = espi_calloc(ctx, 1, sizeof *product);
    if (!product)
        return ESP_ERR_MEMORY;
    product->inputs = inputs;
    product->columns = columns;
    int status = make_product(ctx, products, product);
    if (status) {
        free_product(products, product);
        return status;
    }
    product->next = products->list;
    products->list = product;
    *out = product;
    return ESP_OK;
}

size_t espi_product_columns(size_t inputs)
{
    enum { ELEMENTS = 192 * 1024, STEP = 64 }; // 768 KiB; the width of oneDNN's own blocks
    size_t columns = ELEMENTS / inputs / STEP * STEP;
    return espi_size_min(espi_size_max(columns, STEP), ESPI_TILE_COLUMNS);
}

float *espi_product_result(const struct espi_product *product, size_t thread)
{
    return product->results + thread * ESPI_TILE_ROWS * product->columns;
}

/* ---- packing and multiplying ---------------------------------------------------------------------------------------- */

static dnnl_status_t reorder(struct espi_products *products, dnnl_memory_t from, dnnl_memory_t to)
{
    const dnnl_memory_desc_t *from_desc, *to_desc;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    int before = espi_one_thread_begin();
    dnnl_status_t result = espi_dnnl.memory_get_memory_desc(from, &from_desc);
    if (!result)
        result = espi_dnnl.memory_get_memory_desc(to, &to_desc);
    if (!result)
        result = espi_dnnl.reorder_primitive_desc_create(&desc, from_desc, products->engine, to_desc, products->engine,
                                                         NULL);
    if (!result)
        result = espi_dnnl.primitive_create(&primitive, desc);
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    if (!result)
        result = espi_dnnl.primitive_execute(primitive, products->streams[0], (int)ESPI_COUNT(args), args);
    if (!result)
        result = espi_dnnl.stream_wait(products->streams[0]);
    espi_one_thread_end(before);
    if (primitive)
        espi_dnnl.primitive_destroy(primitive);
    if (desc)
        espi_dnnl.primitive_desc_destroy(desc);
    return result;
}

int espi_packed_init(esp_context *ctx, struct espi_products *products, const struct espi_product *product,
                     const float *weight, const float *bias, struct espi_packed *out)
{
    *out = (struct espi_packed){.plain_weight = weight, .plain_bias = bias};
    out->data = espi_calloc_aligned(ctx, product->weight_bytes, 1);
    if (!out->data)
        return ESP_ERR_MEMORY;
    // oneDNN's handles are not const; it only reads these
    dnnl_memory_desc_t plain, bias_desc;
    dnnl_memory_t source = NULL;
    dnnl_status_t result = espi_matrix_desc(&plain, product->inputs, product->columns, 1, product->inputs);
    if (!result)
        result = espi_matrix_desc(&bias_desc, 1, product->columns, product->columns, 1);
    if (!result)
        result = espi_dnnl.memory_create(&source, &plain, products->engine, (void *)(uintptr_t)weight);
    if (!result)
        result = espi_dnnl.memory_create(&out->weight, &product->weight, products->engine, out->data);
    if (!result)
        result = espi_dnnl.memory_create(&out->bias, &bias_desc, products->engine, (void *)(uintptr_t)bias);
    if (!result)
        result = reorder(products, source, out->weight);
    if (source)
        espi_dnnl.memory_destroy(source);
    if (!result)
        return ESP_OK;
    espi_packed_clear(out);
    return espi_fail_dnnl(ctx, result, "packing weights");
}

void espi_packed_clear(struct espi_packed *packed)
{
    if (packed->weight)
        espi_dnnl.memory_destroy(packed->weight);
    if (packed->bias)
        espi_dnnl.memory_destroy(packed->bias);
    free(packed->data);
    memset(packed, 0, sizeof *packed);
}

const struct espi_tile *espi_product_tile(const struct espi_product *product, size_t rows)
{
    size_t i = product->heights - 1;
    while (i > 0 && product->tiles[i].rows < rows)
        i--;
    return &product->tiles[i];
}

int espi_tile_multiply(struct espi_products *products, const struct espi_tile *tile, const struct espi_packed *packed,
                       const float *source, size_t thread)
{
    dnnl_stream_t stream = products->streams[thread];
    if (espi_dnnl.memory_set_data_handle_v2(tile->source[thread], (void *)(uintptr_t)source, stream))
        return ESP_ERR_INTERNAL;
    dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, tile->source[thread]},
        {DNNL_ARG_WEIGHTS, packed->weight},
        {DNNL_ARG_BIAS, packed->bias},
        {DNNL_ARG_DST, tile->target[thread]},
        {DNNL_ARG_SCRATCHPAD, tile->scratch[thread]},
    };
    int count = (int)ESPI_COUNT(args) - (tile->scratch[thread] ? 0 : 1);
    return espi_dnnl.primitive_execute(tile->primitive, stream, count, args) ? ESP_ERR_INTERNAL : ESP_OK;
}

int espi_multiply(size_t rows, size_t columns, size_t inner, float scale, const struct espi_matrix *a,
                  const struct espi_matrix *b, float *c, size_t c_stride)
{
    dnnl_status_t result = espi_dnnl.sgemm(
        a->transposed ? 'T' : 'N', b->transposed ? 'T' : 'N', (dnnl_dim_t)rows, (dnnl_dim_t)columns, (dnnl_dim_t)inner,
        scale, a->data, (dnnl_dim_t)a->stride, b->data, (dnnl_dim_t)b->stride, 0.0f, c, (dnnl_dim_t)c_stride);
    return result ? ESP_ERR_INTERNAL : ESP_OK;
}
