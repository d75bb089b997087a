/* SPDX-License-Identifier: Apache-2.0 */
#include "create/layers/matmul_private.h"

#include "base/memory.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

bool espi_matmul_has_bf16(void)
{
    if (espi_dnnl_load(NULL))
        return false;
    dnnl_cpu_isa_t isa = espi_dnnl.get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

size_t espi_matmul_room(size_t rows)
{
    return espi_round_up(rows, ESPI_MATMUL_ROWS);
}

size_t espi_operand_size(enum espi_compute compute)
{
    return compute == ESPI_COMPUTE_BF16 ? sizeof(uint16_t) : sizeof(float);
}

int espi_room_reserve(esp_context *ctx, struct espi_room *room, size_t count, size_t size)
{
    size_t bytes;
    if (!espi_size_mul(count, size, &bytes))
        return espi_fail_memory(ctx, SIZE_MAX);
    if (bytes <= room->bytes)
        return ESP_OK;
    free(room->data);
    *room = (struct espi_room){0};
    room->data = espi_calloc_aligned(ctx, bytes, 1);
    if (!room->data)
        return ESP_ERR_MEMORY;
    room->bytes = bytes;
    return ESP_OK;
}

/* ---- strips --------------------------------------------------------------------------------------------------------- */

/* oneDNN is faster with AVX-512, and than C. */
static bool strips_win(const struct espi_kernel_set *kernels)
{
    return !(kernels->features & ESPI_CPU_AVX512) && kernels->chosen[ESPI_OP_gemm_strips]->isa != ESPI_ISA_c;
}

void espi_matmul_strips(const struct espi_matmuls *matmuls, size_t rows, size_t columns, size_t inner,
                        const float *source, const float *right, bool add, float *target)
{
    matmuls->gemm_strips(
        &(struct espi_strips){.rows = rows,
                              .columns = columns,
                              .inner = inner,
                              .source = source,
                              .right = right,
                              .pitch = espi_right_bytes(ESPI_COMPUTE_F32, inner, ESPI_STRIP) / sizeof *right,
                              .add = add,
                              .target = target});
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

int espi_matmuls_new(esp_context *ctx, enum espi_compute compute, struct espi_team *team, struct espi_matmuls **out)
{
    *out = NULL;
    if (compute == ESPI_COMPUTE_BF16 && !espi_matmul_has_bf16())
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED,
                         "bf16 matrix products need a CPU with AVX512-BF16 or AMX-BF16; use fp32");
    struct espi_matmuls *matmuls = espi_calloc(ctx, 1, sizeof *matmuls);
    if (!matmuls)
        return ESP_ERR_MEMORY;
    matmuls->compute = compute;
    struct espi_kernel_set kernels;
    int status = espi_kernels_choose_default(ctx, &kernels);
    if (!status)
        status = espi_products_new(ctx, team, &matmuls->products);
    if (status)
        goto fail;
    status = ESP_ERR_MEMORY;
    matmuls->tiles = espi_calloc_aligned(ctx, espi_team_size(team) * ESPI_MATMUL_TILE, sizeof *matmuls->tiles);
    if (!matmuls->tiles)
        goto fail;
    matmuls->gemm_strips = kernels.gemm_strips;
    matmuls->strips = compute == ESPI_COMPUTE_F32 && strips_win(&kernels);
    *out = matmuls;
    return ESP_OK;

fail:
    espi_matmuls_free(matmuls);
    return status;
}

static void free_shape(struct espi_matmuls *matmuls, struct espi_matmul_shape *shape)
{
    espi_thread_memory_free(matmuls->products, shape->source);
    espi_thread_memory_free(matmuls->products, shape->weight);
    espi_thread_memory_free(matmuls->products, shape->target);
    espi_thread_memory_free(matmuls->products, shape->scratch);
    if (shape->primitive)
        espi_dnnl.primitive_destroy(shape->primitive);
    free(shape);
}

void espi_matmuls_free(struct espi_matmuls *matmuls)
{
    if (!matmuls)
        return;
    espi_uniform_free(matmuls);
    while (matmuls->shapes) {
        struct espi_matmul_shape *next = matmuls->shapes->next;
        free_shape(matmuls, matmuls->shapes);
        matmuls->shapes = next;
    }
    espi_products_free(matmuls->products);
    free(matmuls->tiles);
    free(matmuls->turned.data);
    free(matmuls->rights.data);
    free(matmuls->partial.data);
    free(matmuls->attention.data);
    free(matmuls);
}

struct espi_team *espi_matmuls_team(const struct espi_matmuls *matmuls)
{
    return matmuls->products->team;
}

int espi_matmuls_run(esp_context *ctx, struct espi_matmuls *matmuls, size_t count, espi_matmul_fn *function,
                     void *argument)
{
    return espi_products_run(ctx, matmuls->products, count, function, argument);
}

/* ---- shapes --------------------------------------------------------------------------------------------------------- */

static dnnl_data_type_t data_type(enum espi_compute compute)
{
    return compute == ESPI_COMPUTE_BF16 ? dnnl_bf16 : dnnl_f32;
}

/* The product's description. Unless it is to be that of `like`, oneDNN is asked how it wants the right-hand operand; where
 * that is not in blocks of ESPI_BLOCK columns, it gets plain rows. */
static dnnl_status_t describe(struct espi_matmuls *matmuls, struct espi_matmul_shape *shape,
                              const struct espi_matmul_shape *like, dnnl_memory_desc_t *source,
                              dnnl_memory_desc_t *target, dnnl_primitive_desc_t *out)
{
    dnnl_data_type_t type = data_type(matmuls->compute);
    dnnl_dims_t left = {(dnnl_dim_t)shape->rows, (dnnl_dim_t)shape->inner};
    dnnl_dims_t right = {(dnnl_dim_t)shape->inner, (dnnl_dim_t)shape->columns};
    dnnl_memory_desc_t any, blocked;
    dnnl_status_t result = espi_dnnl.memory_desc_init_by_tag(source, 2, left, type, dnnl_ab);
    if (!result)
        result = espi_matrix_desc(target, shape->rows, shape->columns, shape->columns, 1);
    if (!result && like) {
        shape->layout = like->layout;
        shape->right = like->right;
        return espi_matmul_desc(matmuls->products, source, &shape->right, target, shape->add, out);
    }
    if (!result)
        result = espi_dnnl.memory_desc_init_by_tag(&any, 2, right, type, dnnl_format_tag_any);
    if (!result)
        result = espi_dnnl.memory_desc_init_by_tag(
            &blocked, 2, right, type, matmuls->compute == ESPI_COMPUTE_BF16 ? dnnl_BA16a64b2a : dnnl_BA16a64b);
    if (!result)
        result = espi_dnnl.memory_desc_init_by_tag(&shape->right, 2, right, type, dnnl_ab);
    if (!result)
        result = espi_matmul_desc(matmuls->products, source, &any, target, shape->add, out);
    if (result)
        return result;
    if (espi_dnnl.memory_desc_equal(espi_dnnl.primitive_desc_query_md(*out, dnnl_query_weights_md, 0), &blocked)) {
        shape->layout = ESPI_LAYOUT_BLOCKED;
        shape->right = blocked;
        return dnnl_success;
    }
    espi_dnnl.primitive_desc_destroy(*out);
    *out = NULL;
    return espi_matmul_desc(matmuls->products, source, &shape->right, target, shape->add, out);
}

static dnnl_status_t make_primitive(struct espi_matmuls *matmuls, const struct espi_matmul_shape *like,
                                    struct espi_matmul_shape *shape)
{
    struct espi_products *products = matmuls->products;
    dnnl_memory_desc_t source, target;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t result = describe(matmuls, shape, like, &source, &target, &desc);
    if (!result)
        result = espi_dnnl.primitive_create(&shape->primitive, desc);
    if (!result)
        result = espi_thread_memory(products, &source, DNNL_MEMORY_NONE, shape->source);
    if (!result)
        result = espi_thread_memory(products, &shape->right, DNNL_MEMORY_NONE, shape->weight);
    if (!result)
        result = espi_thread_memory(products, &target, DNNL_MEMORY_NONE, shape->target);
    if (!result)
        result = espi_thread_memory(products, espi_dnnl.primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0),
                                    DNNL_MEMORY_ALLOCATE, shape->scratch);
    if (desc)
        espi_dnnl.primitive_desc_destroy(desc);
    return result;
}

/* like: NULL, or whose right-hand operand it takes. */
static int get(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_matmul_shape *wanted,
               const struct espi_matmul_shape *like, const struct espi_matmul_shape **out)
{
    *out = NULL;
    for (struct espi_matmul_shape *s = matmuls->shapes; s; s = s->next)
        if (s->rows == wanted->rows && s->columns == wanted->columns && s->inner == wanted->inner &&
            s->add == wanted->add && (!like || s->layout == like->layout)) {
            *out = s;
            return ESP_OK;
        }
    struct espi_matmul_shape *shape = espi_calloc(ctx, 1, sizeof *shape);
    if (!shape)
        return ESP_ERR_MEMORY;
    *shape = *wanted;
    int status = ESP_ERR_MEMORY;
    size_t threads = matmuls->products->threads;
    shape->source = espi_calloc(ctx, threads, sizeof *shape->source);
    shape->weight = espi_calloc(ctx, threads, sizeof *shape->weight);
    shape->target = espi_calloc(ctx, threads, sizeof *shape->target);
    shape->scratch = espi_calloc(ctx, threads, sizeof *shape->scratch);
    if (!shape->source || !shape->weight || !shape->target || !shape->scratch)
        goto fail;
    if (matmuls->strips) {
        shape->layout = ESPI_LAYOUT_STRIPS;
    } else {
        int before = espi_one_thread_begin();
        dnnl_status_t result = make_primitive(matmuls, like, shape);
        espi_one_thread_end(before);
        if (result) {
            status = espi_fail_dnnl(ctx, result, "creating a matrix product");
            goto fail;
        }
    }
    shape->next = matmuls->shapes;
    matmuls->shapes = shape;
    *out = shape;
    return ESP_OK;

fail:
    free_shape(matmuls, shape);
    return status;
}

int espi_matmul_get(esp_context *ctx, struct espi_matmuls *matmuls, size_t rows, size_t columns, size_t inner, bool add,
                    const struct espi_matmul_shape **out)
{
    struct espi_matmul_shape wanted = {.rows = rows, .columns = columns, .inner = inner, .add = add};
    return get(ctx, matmuls, &wanted, NULL, out);
}

int espi_matmul_get_like(esp_context *ctx, struct espi_matmuls *matmuls, size_t rows,
                         const struct espi_matmul_shape *like, const struct espi_matmul_shape **out)
{
    struct espi_matmul_shape wanted = {.rows = rows, .columns = like->columns, .inner = like->inner, .add = like->add};
    return get(ctx, matmuls, &wanted, like, out);
}

int espi_matmul_multiply_packed(struct espi_matmuls *matmuls, const struct espi_matmul_shape *shape, const void *source,
                                dnnl_memory_t right, float *target, size_t thread)
{
    dnnl_stream_t stream = matmuls->products->streams[thread];
    // oneDNN's handles are not const; it only reads this one
    dnnl_status_t result =
        espi_dnnl.memory_set_data_handle_v2(shape->source[thread], (void *)(uintptr_t)source, stream);
    if (!result)
        result = espi_dnnl.memory_set_data_handle_v2(shape->target[thread], target, stream);
    dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, shape->source[thread]},
        {DNNL_ARG_WEIGHTS, right},
        {DNNL_ARG_DST, shape->target[thread]},
        {DNNL_ARG_SCRATCHPAD, shape->scratch[thread]},
    };
    int count = (int)ESPI_COUNT(args) - (shape->scratch[thread] ? 0 : 1);
    if (!result)
        result = espi_dnnl.primitive_execute(shape->primitive, stream, count, args);
    return espi_dnnl_status(result);
}

int espi_matmul_multiply(struct espi_matmuls *matmuls, const struct espi_matmul_shape *shape, const void *source,
                         const void *right, float *target, size_t thread)
{
    if (shape->layout == ESPI_LAYOUT_STRIPS) {
        espi_matmul_strips(matmuls, shape->rows, shape->columns, shape->inner, source, right, shape->add, target);
        return ESP_OK;
    }
    dnnl_status_t result = espi_dnnl.memory_set_data_handle_v2(shape->weight[thread], (void *)(uintptr_t)right,
                                                               matmuls->products->streams[thread]);
    return result ? espi_dnnl_status(result)
                  : espi_matmul_multiply_packed(matmuls, shape, source, shape->weight[thread], target, thread);
}

/* ---- operands ------------------------------------------------------------------------------------------------------- */

struct convert {
    enum espi_compute compute;
    size_t rows, columns;
    const float *x;
    char *operand;
};

static int convert_rows(void *argument, size_t index, size_t thread)
{
    (void)thread;
    const struct convert *c = argument;
    size_t first = index * ESPI_MATMUL_ROWS, rows = espi_size_min(ESPI_MATMUL_ROWS, c->rows - first);
    size_t row_bytes = c->columns * espi_operand_size(c->compute);
    char *out = c->operand + first * row_bytes;
    espi_operand_row(c->compute, rows * c->columns, c->x + first * c->columns, out);
    memset(out + rows * row_bytes, 0, (ESPI_MATMUL_ROWS - rows) * row_bytes);
    return ESP_OK;
}

int espi_operand_from_float(esp_context *ctx, struct espi_matmuls *matmuls, size_t rows, size_t columns, const float *x,
                            void *operand)
{
    struct convert c = {.compute = matmuls->compute, .rows = rows, .columns = columns, .x = x, .operand = operand};
    return espi_matmuls_run(ctx, matmuls, espi_matmul_room(rows) / ESPI_MATMUL_ROWS, convert_rows, &c);
}
