/* SPDX-License-Identifier: Apache-2.0
 * The losses of distillation in double precision, as plain as the equations. */
#ifndef ESPI_TEST_REFERENCE_DISTILL_H
#define ESPI_TEST_REFERENCE_DISTILL_H

#include "model/batch.h"

/* temperature² KL(softmax(teacher / temperature) || softmax(x / temperature)) */
double reference_kl(size_t count, size_t stride, const double *teacher, const double *x, double temperature);
/* The same for each value as the logit of two outcomes; the mean. */
double reference_binary_kl(size_t count, const double *teacher, const double *x, double temperature);
/* Mean of (x - y)². */
double reference_mse(size_t count, const double *x, const double *y);
/* 1 - cos(x, y) */
double reference_cosine(size_t count, const double *x, const double *y);
/* Sum over sequences, the three relations, heads and tokens. x: (tokens, 3 width), teacher: (tokens, 3 teacher_width) */
double reference_relation(const struct espi_batch *batch, size_t heads, size_t width, size_t teacher_width,
                          const double *x, const double *teacher);

#endif
