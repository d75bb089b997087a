/* SPDX-License-Identifier: Apache-2.0
 * Small numerics of decoding and metrics, all in double. */
#ifndef ESPI_TASKS_STATS_H
#define ESPI_TASKS_STATS_H

#include "base/status.h"

/* probabilities[i] = exp(logits[i]) / sum, without overflow. count > 0. */
void espi_softmax(const float *logits, size_t count, double *probabilities);
/* log of the sum of exp(logits[i]). count > 0. */
double espi_log_sum_exp(const float *logits, size_t count);
double espi_sigmoid(double x);

/* Index of the largest value, the first of equals. count > 0. */
size_t espi_argmax(const double *values, size_t count);
/* The indices of the k largest values (k <= count), largest first, equals by index. */
void espi_top_k(const double *values, size_t count, size_t k, size_t *indices);

#endif
