/* SPDX-License-Identifier: Apache-2.0
 * What the files of the matrix products share. */
#ifndef ESPI_CREATE_PRODUCTS_PRIVATE_H
#define ESPI_CREATE_PRODUCTS_PRIVATE_H

#include "create/layers/products.h"

struct espi_products {
    struct espi_team *team;
    size_t threads;
    dnnl_engine_t engine;
    dnnl_stream_t *streams; // (threads)
};

int espi_dnnl_status(dnnl_status_t result);
int espi_fail_dnnl(esp_context *ctx, dnnl_status_t result, const char *what);

/* oneDNN lays the number of threads down when a primitive is made: one from here to espi_one_thread_end. */
int espi_one_thread_begin(void);
void espi_one_thread_end(int before);

dnnl_status_t espi_matrix_desc(dnnl_memory_desc_t *desc, size_t rows, size_t cols, size_t row_stride,
                               size_t col_stride);
/* A product whose scratch the caller gives: oneDNN's own is one for all threads that execute the primitive. add: onto what
 * the target holds. */
dnnl_status_t espi_matmul_desc(struct espi_products *products, const dnnl_memory_desc_t *source,
                               const dnnl_memory_desc_t *weight, const dnnl_memory_desc_t *target, bool add,
                               dnnl_primitive_desc_t *out);
/* Memory objects of every thread for a description; handle: DNNL_MEMORY_NONE (set at each call) or _ALLOCATE. NULL
 * stays where none is needed. */
dnnl_status_t espi_thread_memory(struct espi_products *products, const dnnl_memory_desc_t *desc, void *handle,
                                 dnnl_memory_t *list);
/* Memory objects of every thread on its part of `data`, `stride` elements apart. */
dnnl_status_t espi_thread_memory_at(struct espi_products *products, const dnnl_memory_desc_t *desc, float *data,
                                    size_t stride, dnnl_memory_t *list);
void espi_thread_memory_free(struct espi_products *products, dnnl_memory_t *list);

#endif
