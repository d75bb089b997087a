/* SPDX-License-Identifier: Apache-2.0
 * The encoder and its heads in double precision, as plain as the equations: what gradients are measured on by finite
 * differences. */
#ifndef ESPI_TEST_REFERENCE_NETWORK_H
#define ESPI_TEST_REFERENCE_NETWORK_H

#include "create/network/network.h"

/* Changes an activation in place; NULL: none. */
typedef void reference_filter(size_t layer, enum espi_tap tap, size_t count, double *x);

struct reference {
    const struct espi_config *config;
    const struct espi_params *params; // where tensors stand in the slab
    double *slab;                     // (params->elements)
    reference_filter *filter;
    double **hidden; // (layers + 1) each (tokens, hidden) of the last pass
    double **qkv;    // (layers) each (tokens, 3 hidden), behind the filter
    double *out;     // what the pass wants
    size_t out_count;
};

/* With the parameters' values. params and config outlive it. */
void reference_init(struct reference *reference, const struct espi_config *config, const struct espi_params *params);
void reference_clear(struct reference *reference);
/* Fills hidden, qkv and out. */
void reference_forward(struct reference *reference, const struct espi_pass *pass);

#endif
