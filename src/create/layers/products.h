/* SPDX-License-Identifier: Apache-2.0
 * oneDNN with a team: each product runs on one thread, since oneDNN's own threads split a product, and with it the order
 * of its sums, by their number. */
#ifndef ESPI_CREATE_PRODUCTS_H
#define ESPI_CREATE_PRODUCTS_H

#include "base/team.h"
#include "create/layers/dnnl_calls.h"

/* oneDNN's engine and one stream a thread.
 * Owner: the caller. Thread rule: one thread at a time, apart from what runs inside espi_products_run. */
struct espi_products;

/* team may be NULL and stays the caller's. */
int espi_products_new(esp_context *ctx, struct espi_team *team, struct espi_products **out) ESPI_NODISCARD;
void espi_products_free(struct espi_products *products);

/* espi_team_run with oneDNN limited to one thread in each call. The first status that is not 0 becomes the result. */
typedef int espi_products_fn(void *argument, size_t index, size_t thread);
int espi_products_run(esp_context *ctx, struct espi_products *products, size_t count, espi_products_fn *function,
                      void *argument) ESPI_NODISCARD;

/* ---- plain products ------------------------------------------------------------------------------------------------ */

struct espi_matrix {
    const float *data;
    size_t stride;
    bool transposed; // stands as (columns, rows)
};

/* c = scale a b on the calling thread; a: (rows, inner), b: (inner, columns), c: (rows, columns). Inside
 * espi_products_run only. The bits depend on the shape. */
int espi_multiply(size_t rows, size_t columns, size_t inner, float scale, const struct espi_matrix *a,
                  const struct espi_matrix *b, float *c, size_t c_stride) ESPI_NODISCARD;

#endif
