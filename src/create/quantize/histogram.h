/* SPDX-License-Identifier: Apache-2.0
 * Where the values of an activation lie, and which part of that range 8 bits should cover. */
#ifndef ESPI_CREATE_HISTOGRAM_H
#define ESPI_CREATE_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ESPI_BINS = 4096 };

struct espi_histogram {
    float low, high; // of the values; 0 is between them
    uint32_t *bins;  // (ESPI_BINS) even parts of [low, high]
    uint64_t seen;   // values in the bins
};

void espi_histogram_count(struct espi_histogram *histogram, size_t count, const float *x);

/* Each moves low and high inwards, 0 staying between them. */

/* Over the share of values beyond the percentile, on either side. */
void espi_histogram_percentile(struct espi_histogram *histogram, double percentile);
/* To the least squared error of 255 even steps: rounding inside, clipping outside. */
void espi_histogram_mse(struct espi_histogram *histogram);
/* To the least Kullback-Leibler divergence between the values' distribution, what is outside counted at the ends, and
 * the same in 255 even steps. */
void espi_histogram_entropy(struct espi_histogram *histogram);

#endif
