/* SPDX-License-Identifier: Apache-2.0
 * oneDNN's functions: espi_dnnl.matmul_desc_init for dnnl_matmul_desc_init. */
#ifndef ESPI_CREATE_DNNL_CALLS_H
#define ESPI_CREATE_DNNL_CALLS_H

#include "base/status.h"

#include <oneapi/dnnl/dnnl.h>

/* Of the OpenMP runtime that oneDNN runs on; clang has no header for that one. */
int omp_get_max_threads(void);
void omp_set_num_threads(int threads);

#define ESPI_DNNL_MAP(X)                                                                                               \
    X(dnnl, engine_create)                                                                                             \
    X(dnnl, engine_destroy)                                                                                            \
    X(dnnl, get_effective_cpu_isa)                                                                                     \
    X(dnnl, matmul_desc_init)                                                                                          \
    X(dnnl, memory_create)                                                                                             \
    X(dnnl, memory_desc_equal)                                                                                         \
    X(dnnl, memory_desc_get_size)                                                                                      \
    X(dnnl, memory_desc_init_by_strides)                                                                               \
    X(dnnl, memory_desc_init_by_tag)                                                                                   \
    X(dnnl, memory_destroy)                                                                                            \
    X(dnnl, memory_get_memory_desc)                                                                                    \
    X(dnnl, memory_set_data_handle_v2)                                                                                 \
    X(dnnl, post_ops_append_sum)                                                                                       \
    X(dnnl, post_ops_create)                                                                                           \
    X(dnnl, post_ops_destroy)                                                                                          \
    X(dnnl, primitive_attr_create)                                                                                     \
    X(dnnl, primitive_attr_destroy)                                                                                    \
    X(dnnl, primitive_attr_set_post_ops)                                                                               \
    X(dnnl, primitive_attr_set_scratchpad_mode)                                                                        \
    X(dnnl, primitive_create)                                                                                          \
    X(dnnl, primitive_desc_create)                                                                                     \
    X(dnnl, primitive_desc_destroy)                                                                                    \
    X(dnnl, primitive_desc_query_md)                                                                                   \
    X(dnnl, primitive_destroy)                                                                                         \
    X(dnnl, primitive_execute)                                                                                         \
    X(dnnl, reorder_primitive_desc_create)                                                                             \
    X(dnnl, sgemm)                                                                                                     \
    X(dnnl, stream_create)                                                                                             \
    X(dnnl, stream_destroy)                                                                                            \
    X(dnnl, stream_wait)                                                                                               \
    X(omp, get_max_threads)                                                                                            \
    X(omp, set_num_threads)

struct espi_dnnl {
#define X(prefix, name) __typeof__(prefix##_##name) *name;
    ESPI_DNNL_MAP(X)
#undef X
};

/* Written once, by the first espi_dnnl_load that succeeds; everything that makes espi_products has called it. */
extern struct espi_dnnl espi_dnnl;

/* Loads the library unless it is there; ESP_ERR_UNSUPPORTED when it cannot. Thread rule: any. */
int espi_dnnl_load(esp_context *ctx) ESPI_NODISCARD;

#endif
