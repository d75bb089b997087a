/* SPDX-License-Identifier: Apache-2.0
 * What a product costs on this CPU. */
#ifndef ESPI_CREATE_MEASURE_H
#define ESPI_CREATE_MEASURE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* *gain: time of the dense int8 product of these weights by that of the product without their 4x1 blocks of zeros, both
 * by the kernels ESPALIER_ISA leaves, on a panel of 64 tokens; a few milliseconds. weights: (rows, columns) */
int espi_measure_sparse(esp_context *ctx, const int8_t *weights, size_t rows, size_t columns,
                        double *gain) ESPI_NODISCARD;

#endif
