/* SPDX-License-Identifier: Apache-2.0
 * Products with weights that stay, in fp32, that give the same bits for a row whatever stands around it. */
#include "create/layers/matmul_private.h"

#include "base/memory.h"
#include "base/random.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

static const size_t tile_rows[ESPI_TILE_HEIGHTS] = {ESPI_MATMUL_ROWS, 48, 32, 16, 8};
static const size_t narrow_rows[ESPI_NARROW_HEIGHTS] = {16, 32, ESPI_NARROW_ROWS};

enum { TURNED = 8 }; // results of narrow forms are turned in steps of as many columns

/* ---- making a narrow form ------------------------------------------------------------------------------------------- */

static void clear_narrow(struct espi_matmuls *matmuls, struct espi_narrow *narrow)
{
    dnnl_primitive_t primitives[] = {narrow->multiply, narrow->pack};
    dnnl_memory_t memories[] = {narrow->rows_plain, narrow->rows_packed};
    for (size_t i = 0; i < ESPI_COUNT(primitives); i++)
        if (primitives[i])
            espi_dnnl.primitive_destroy(primitives[i]);
    for (size_t i = 0; i < ESPI_COUNT(memories); i++)
        if (memories[i])
            espi_dnnl.memory_destroy(memories[i]);
    espi_thread_memory_free(matmuls->products, narrow->weight);
    espi_thread_memory_free(matmuls->products, narrow->target);
    espi_thread_memory_free(matmuls->products, narrow->scratch);
    free(narrow->targets);
    *narrow = (struct espi_narrow){0};
}

/* The product, and the memory objects each thread hands to it. */
static dnnl_status_t make_multiply(struct espi_products *products, const struct espi_uniform *uniform,
                                   struct espi_narrow *narrow, dnnl_memory_desc_t *packed)
{
    dnnl_memory_desc_t weight, rows, target;
    dnnl_dims_t dims = {(dnnl_dim_t)uniform->inner, (dnnl_dim_t)narrow->rows};
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t result = espi_dnnl.memory_desc_init_by_tag(&rows, 2, dims, dnnl_f32, dnnl_format_tag_any);
    if (!result)
        result = espi_matrix_desc(&weight, uniform->columns, uniform->inner, uniform->inner, 1);
    if (!result)
        result = espi_matrix_desc(&target, uniform->columns, narrow->rows, narrow->rows, 1);
    if (!result)
        result = espi_matmul_desc(products, &weight, &rows, &target, false, &desc);
    if (!result)
        result = espi_dnnl.primitive_create(&narrow->multiply, desc);
    if (!result)
        result = espi_thread_memory(products, &weight, DNNL_MEMORY_NONE, narrow->weight);
    if (!result)
        result = espi_thread_memory_at(products, &target, narrow->targets,
                                       espi_round_up(uniform->columns, TURNED) * narrow->rows, narrow->target);
    if (!result)
        result = espi_thread_memory(products, espi_dnnl.primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0),
                                    DNNL_MEMORY_ALLOCATE, narrow->scratch);
    if (!result)
        *packed = *espi_dnnl.primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
    if (desc)
        espi_dnnl.primitive_desc_destroy(desc);
    return result;
}

static dnnl_status_t make_pack(struct espi_products *products, const struct espi_uniform *uniform,
                               struct espi_narrow *narrow, const dnnl_memory_desc_t *packed)
{
    dnnl_memory_desc_t plain;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t result = espi_matrix_desc(&plain, uniform->inner, narrow->rows, 1, uniform->inner);
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

static int make_narrow(esp_context *ctx, struct espi_products *products, const struct espi_uniform *uniform,
                       struct espi_narrow *narrow)
{
    size_t threads = products->threads;
    narrow->weight = espi_calloc(ctx, threads, sizeof *narrow->weight);
    narrow->target = espi_calloc(ctx, threads, sizeof *narrow->target);
    narrow->scratch = espi_calloc(ctx, threads, sizeof *narrow->scratch);
    narrow->targets = espi_calloc_aligned(ctx, threads * espi_round_up(uniform->columns, TURNED) * narrow->rows,
                                          sizeof *narrow->targets);
    if (!narrow->weight || !narrow->target || !narrow->scratch || !narrow->targets)
        return ESP_ERR_MEMORY;
    dnnl_memory_desc_t packed;
    int before = espi_one_thread_begin();
    dnnl_status_t result = make_multiply(products, uniform, narrow, &packed);
    if (!result)
        result = make_pack(products, uniform, narrow, &packed);
    espi_one_thread_end(before);
    return result ? espi_fail_dnnl(ctx, result, "creating a narrow matrix product") : ESP_OK;
}

/* ---- the test for uniform rows -------------------------------------------------------------------------------------- */

/* One random row at every place times random weights. */
struct probe {
    struct espi_matmuls *matmuls;
    struct espi_uniform *uniform;
    float *source;                         // (ESPI_MATMUL_ROWS, inner)
    float *weight;                         // (columns, inner)
    float *right;                          // the weights as the tiles want them
    float *reference;                      // (columns)
    const struct espi_matmul_shape *shape; // what is tested: a tile or
    struct espi_narrow *narrow;            // a narrow form
};

static void clear_probe(struct probe *probe)
{
    free(probe->source);
    free(probe->weight);
    free(probe->right);
    free(probe->reference);
}

/* For a product whose highest tile is there. */
static int make_probe(esp_context *ctx, struct espi_matmuls *matmuls, struct espi_uniform *uniform, struct probe *probe)
{
    const struct espi_matmul_shape *shape = uniform->tiles[0];
    size_t inner = uniform->inner, columns = uniform->columns;
    *probe = (struct probe){.matmuls = matmuls, .uniform = uniform};
    probe->source = espi_calloc_aligned(ctx, inner, ESPI_MATMUL_ROWS * sizeof *probe->source);
    probe->weight = espi_calloc_aligned(ctx, inner, columns * sizeof *probe->weight);
    probe->right = espi_calloc_aligned(ctx, espi_right_bytes(ESPI_COMPUTE_F32, inner, shape->columns), 1);
    probe->reference = espi_calloc_aligned(ctx, columns, sizeof *probe->reference);
    if (!probe->source || !probe->weight || !probe->right || !probe->reference)
        return ESP_ERR_MEMORY;
    struct espi_random random = {.seed = 1};
    for (size_t i = 0; i < inner; i++)
        probe->source[i] = espi_random_uniform(&random) - 0.5f;
    for (size_t row = 1; row < ESPI_MATMUL_ROWS; row++)
        memcpy(probe->source + row * inner, probe->source, inner * sizeof *probe->source);
    for (size_t i = 0; i < inner * columns; i++)
        probe->weight[i] = espi_random_uniform(&random) - 0.5f;
    const struct espi_right right = {.compute = ESPI_COMPUTE_F32,
                                     .layout = shape->layout,
                                     .inner = inner,
                                     .columns = shape->columns,
                                     .data = probe->right};
    const struct espi_plain_weight plain = {.outputs = columns, .inputs = inner, .data = probe->weight};
    _Alignas(64) char block[ESPI_BLOCK * ESPI_BLOCK * sizeof(float)];
    for (size_t output = 0; output < columns; output += ESPI_BLOCK)
        for (size_t input = 0; input < inner; input += ESPI_BLOCK) {
            espi_weight_block(ESPI_COMPUTE_F32, &plain, output, input, block);
            espi_right_put_columns(&right, input, output, block, ESPI_BLOCK);
        }
    return ESP_OK;
}

static int run_probe(void *argument, size_t index, size_t thread)
{
    (void)index;
    const struct probe *p = argument;
    float *target = p->matmuls->tiles;
    if (!p->narrow)
        return espi_matmul_multiply(p->matmuls, p->shape, p->source, p->right, target, thread);
    int status = espi_narrow_pack(p->matmuls, p->narrow, p->source);
    return status ? status : espi_narrow_multiply(p->matmuls, p->uniform, p->narrow, p->weight, target, thread);
}

/* The first row ever made becomes the reference: true when `rows` rows of the result equal it. */
static int test_rows(esp_context *ctx, struct probe *probe, size_t rows, bool first, bool *uniform)
{
    const float *result = probe->matmuls->tiles;
    size_t bytes = probe->uniform->columns * sizeof *result, stride = probe->uniform->tiles[0]->columns;
    int status = espi_matmuls_run(ctx, probe->matmuls, 1, run_probe, probe);
    if (status)
        return status;
    if (first)
        memcpy(probe->reference, result, bytes);
    *uniform = true;
    for (size_t row = 0; row < rows && *uniform; row++)
        *uniform = memcmp(probe->reference, result + row * stride, bytes) == 0;
    return ESP_OK;
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

/* Keeps the highest tile when it agrees with itself, and those that agree with it. */
static int make_tiles(esp_context *ctx, struct espi_uniform *uniform, struct probe *probe)
{
    const struct espi_matmul_shape *highest = uniform->tiles[0];
    size_t heights = probe->matmuls->strips ? 1 : ESPI_TILE_HEIGHTS; // strips are of any height
    for (size_t i = 0; i < heights && (i == 0 || uniform->heights > 0); i++) {
        bool same = false;
        probe->shape = highest;
        int status = ESP_OK;
        if (i > 0)
            status = espi_matmul_get_like(ctx, probe->matmuls, tile_rows[i], highest, &probe->shape);
        if (!status)
            status = test_rows(ctx, probe, tile_rows[i], i == 0, &same);
        if (status)
            return status;
        if (same)
            uniform->tiles[uniform->heights++] = probe->shape;
    }
    return ESP_OK;
}

static int make_narrows(esp_context *ctx, struct espi_uniform *uniform, struct probe *probe)
{
    for (size_t i = 0; i < ESPI_NARROW_HEIGHTS && uniform->heights > 0; i++) {
        struct espi_narrow *narrow = &uniform->narrow[uniform->narrow_heights];
        bool same = false;
        narrow->rows = narrow_rows[i];
        probe->narrow = narrow;
        int status = make_narrow(ctx, probe->matmuls->products, uniform, narrow);
        if (!status)
            status = test_rows(ctx, probe, narrow->rows, false, &same);
        if (status)
            return status;
        if (same)
            uniform->narrow_heights++;
        else
            clear_narrow(probe->matmuls, narrow);
    }
    return ESP_OK;
}

static int make_uniform(esp_context *ctx, struct espi_matmuls *matmuls, struct espi_uniform *uniform)
{
    size_t columns = espi_round_up(uniform->columns, ESPI_BLOCK);
    if (!matmuls->single_rows) {
        struct probe probe = {0};
        int status =
            espi_matmul_get(ctx, matmuls, ESPI_MATMUL_ROWS, columns, uniform->inner, false, &uniform->tiles[0]);
        if (!status)
            status = make_probe(ctx, matmuls, uniform, &probe);
        if (!status)
            status = make_tiles(ctx, uniform, &probe);
        if (!status)
            status = make_narrows(ctx, uniform, &probe);
        clear_probe(&probe);
        if (status || uniform->heights > 0)
            return status;
    }
    uniform->heights = 1;
    return espi_matmul_get(ctx, matmuls, 1, columns, uniform->inner, false, &uniform->tiles[0]);
}

static void free_uniform(struct espi_matmuls *matmuls, struct espi_uniform *uniform)
{
    for (size_t i = 0; i < ESPI_NARROW_HEIGHTS; i++)
        clear_narrow(matmuls, &uniform->narrow[i]);
    free(uniform);
}

void espi_uniform_free(struct espi_matmuls *matmuls)
{
    while (matmuls->uniforms) {
        struct espi_uniform *next = matmuls->uniforms->next;
        free_uniform(matmuls, matmuls->uniforms);
        matmuls->uniforms = next;
    }
}

int espi_uniform_get(esp_context *ctx, struct espi_matmuls *matmuls, size_t columns, size_t inner,
                     const struct espi_uniform **out)
{
    *out = NULL;
    for (const struct espi_uniform *u = matmuls->uniforms; u; u = u->next)
        if (u->inner == inner && u->columns == columns) {
            *out = u;
            return ESP_OK;
        }
    struct espi_uniform *uniform = espi_calloc(ctx, 1, sizeof *uniform);
    if (!uniform)
        return ESP_ERR_MEMORY;
    uniform->inner = inner;
    uniform->columns = columns;
    int status = make_uniform(ctx, matmuls, uniform);
    if (status) {
        free_uniform(matmuls, uniform);
        return status;
    }
    uniform->next = matmuls->uniforms;
    *out = matmuls->uniforms = uniform;
    return ESP_OK;
}

/* ---- multiplying ---------------------------------------------------------------------------------------------------- */

const struct espi_matmul_shape *espi_uniform_tile(const struct espi_uniform *uniform, size_t rows)
{
    size_t i = uniform->heights - 1;
    while (i > 0 && uniform->tiles[i]->rows < rows)
        i--;
    return uniform->tiles[i];
}

const struct espi_narrow *espi_uniform_narrow(const struct espi_uniform *uniform, size_t rows)
{
    for (size_t i = 0; i < uniform->narrow_heights; i++)
        if (uniform->narrow[i].rows >= rows)
            return &uniform->narrow[i];
    return NULL;
}

int espi_narrow_pack(struct espi_matmuls *matmuls, const struct espi_narrow *narrow, const float *source)
{
    dnnl_stream_t stream = matmuls->products->streams[0];
    dnnl_status_t result = espi_dnnl.memory_set_data_handle_v2(narrow->rows_plain, (void *)(uintptr_t)source, stream);
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, narrow->rows_plain}, {DNNL_ARG_TO, narrow->rows_packed}};
    if (!result)
        result = espi_dnnl.primitive_execute(narrow->pack, stream, (int)ESPI_COUNT(args), args);
    return espi_dnnl_status(result);
}

int espi_narrow_multiply(struct espi_matmuls *matmuls, const struct espi_uniform *uniform,
                         const struct espi_narrow *narrow, const float *weight, float *target, size_t thread)
{
    dnnl_stream_t stream = matmuls->products->streams[thread];
    dnnl_status_t result =
        espi_dnnl.memory_set_data_handle_v2(narrow->weight[thread], (void *)(uintptr_t)weight, stream);
    dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, narrow->weight[thread]},
        {DNNL_ARG_WEIGHTS, narrow->rows_packed},
        {DNNL_ARG_DST, narrow->target[thread]},
        {DNNL_ARG_SCRATCHPAD, narrow->scratch[thread]},
    };
    int count = (int)ESPI_COUNT(args) - (narrow->scratch[thread] ? 0 : 1);
    if (!result)
        result = espi_dnnl.primitive_execute(narrow->multiply, stream, count, args);
    if (result)
        return espi_dnnl_status(result);
    size_t columns = espi_round_up(uniform->columns, TURNED);
    espi_transpose(ESPI_COMPUTE_F32, columns, narrow->rows, narrow->targets + thread * columns * narrow->rows,
                   narrow->rows, target, uniform->tiles[0]->columns);
    return ESP_OK;
}
