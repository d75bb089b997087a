/* SPDX-License-Identifier: Apache-2.0
 * Dropout (Srivastava et al., 2014) whose masks are drawn by counter. */
#ifndef ESPI_CREATE_DROPOUT_H
#define ESPI_CREATE_DROPOUT_H

#include <stddef.h>
#include <stdint.h>

enum { ESPI_DROPOUT_GROUP = 128 }; // elements that are drawn together: positions are best multiples of it

/* Multiplies each element by 0 with probability `rate` (0 <= rate < 1, in steps of 2^-16), else by 1 / (1 - rate). What
 * happens to an element depends on seed, stream and its number alone: x[i] has number position + i, and takes 16 bits
 * of Philox (base/random.h): of number n, with g = n / 128 and r = n % 128, half r / 16 % 2 of word r / 32 of block
 * 16 g + r % 16. The same call on a gradient is the backward pass.
 * x: (count) */
void espi_dropout_row(uint64_t seed, uint64_t stream, uint64_t position, float rate, size_t count, float *x);

#endif
