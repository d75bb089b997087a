/* SPDX-License-Identifier: Apache-2.0
 * Correlations of two lists of numbers, in double. */
#ifndef ESPI_EVAL_CORRELATION_H
#define ESPI_EVAL_CORRELATION_H

#include "base/status.h"

/* Pearson's correlation; NAN when a side is constant or there are fewer than two values. */
double espi_pearson(const double *x, const double *y, size_t count);
/* Spearman's: Pearson's of the ranks, equal values sharing their average rank. */
int espi_spearman(esp_context *ctx, const double *x, const double *y, size_t count, double *out) ESPI_NODISCARD;

#endif
