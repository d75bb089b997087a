/* SPDX-License-Identifier: Apache-2.0 */
#include "create/quantize/histogram.h"

#include <float.h>
#include <math.h>

enum { LEVELS = 255 };

void espi_histogram_count(struct espi_histogram *histogram, size_t count, const float *x)
{
    float width = histogram->high - histogram->low, scale = width > 0 ? ESPI_BINS / width : 0;
    for (size_t i = 0; i < count; i++) {
        float bin = (x[i] - histogram->low) * scale;
        histogram->bins[bin >= ESPI_BINS - 1 ? ESPI_BINS - 1 : bin > 0 ? (size_t)bin : 0]++;
    }
    histogram->seen += count;
}

/* [low, high] becomes the bins first … last - 1. */
static void narrow(struct espi_histogram *histogram, size_t first, size_t last)
{
    float bin = (histogram->high - histogram->low) / ESPI_BINS, low = histogram->low;
    histogram->low = fminf(low + bin * (float)first, 0);
    histogram->high = fmaxf(low + bin * (float)last, 0);
}

void espi_histogram_percentile(struct espi_histogram *histogram, double percentile)
{
    double allowed = (1 - percentile / 100) * (double)histogram->seen, left = 0, right = 0;
    size_t first = 0, last = ESPI_BINS;
    while (first < last && (left += histogram->bins[first]) <= allowed)
        first++;
    while (last > first && (right += histogram->bins[last - 1]) <= allowed)
        last--;
    narrow(histogram, first, last);
}

/* ---- search ----------------------------------------------------------------------------------------------------------- */

/* What it costs to cover the bins first … last - 1 only. */
typedef double cost_fn(const struct espi_histogram *histogram, size_t first, size_t last);

/* Moves the ends inwards as long as that costs less, by ever smaller steps. */
static void search(struct espi_histogram *histogram, cost_fn *cost)
{
    float width = histogram->high - histogram->low;
    size_t first = 0, last = ESPI_BINS;
    if (!(width > 0))
        return;
    size_t zero = (size_t)(-histogram->low / width * ESPI_BINS); // its bin stays inside
    double best = cost(histogram, first, last);
    for (size_t step = ESPI_BINS / 8; step >= ESPI_BINS / 512; step /= 2) {
        for (bool better = true; better;) {
            double left = first + step <= zero ? cost(histogram, first + step, last) : DBL_MAX;
            double right = last >= zero + 1 + step ? cost(histogram, first, last - step) : DBL_MAX;
            better = fmin(left, right) < best;
            if (better && left <= right)
                first += step;
            else if (better)
                last -= step;
            best = fmin(best, fmin(left, right));
        }
    }
    narrow(histogram, first, last);
}

/* In units of a bin's width. */
static double squared_error(const struct espi_histogram *histogram, size_t first, size_t last)
{
    double step = (double)(last - first) / LEVELS, clipped = 0, inside = 0;
    for (size_t i = 0; i < ESPI_BINS; i++) {
        double away = i < first ? (double)(first - i) - 0.5 : i >= last ? (double)(i - last) + 0.5 : 0;
        clipped += histogram->bins[i] * away * away;
        inside += away == 0 ? histogram->bins[i] : 0;
    }
    return inside * step * step / 12 + clipped;
}

void espi_histogram_mse(struct espi_histogram *histogram)
{
    search(histogram, squared_error);
}

/* Σ p log(p / q) of one level: the bins from … to - 1, of which those that hold values share the level evenly. `added`
 * to the first and the last bin: what lies outside. */
static double level_divergence(const struct espi_histogram *histogram, size_t from, size_t to, double added_first,
                               double added_last)
{
    double sum = 0, used = 0, divergence = 0;
    for (size_t i = from; i < to; i++) {
        sum += histogram->bins[i]; // the reference keeps what is outside, the quantized form cannot
        used += histogram->bins[i] > 0;
    }
    for (size_t i = from; i < to; i++) {
        double p = histogram->bins[i] + (i == from ? added_first : 0) + (i + 1 == to ? added_last : 0);
        double q = histogram->bins[i] > 0 ? sum / used : 1e-4;
        divergence += p > 0 ? p * log(p / q) : 0;
    }
    return divergence;
}

static double divergence(const struct espi_histogram *histogram, size_t first, size_t last)
{
    double left = 0, right = 0, inside = 0, sum = 0;
    if (last - first < LEVELS)
        return DBL_MAX; // finer than the histogram
    for (size_t i = 0; i < ESPI_BINS; i++) {
        left += i < first ? histogram->bins[i] : 0;
        right += i >= last ? histogram->bins[i] : 0;
    }
    inside = (double)histogram->seen - left - right;
    if (inside <= 0)
        return DBL_MAX;
    for (size_t level = 0; level < LEVELS; level++) {
        size_t from = first + level * (last - first) / LEVELS, to = first + (level + 1) * (last - first) / LEVELS;
        if (from < to)
            sum += level_divergence(histogram, from, to, level == 0 ? left : 0, level + 1 == LEVELS ? right : 0);
    }
    /* of the distributions: p sums to `seen`, q to `inside` */
    return sum / (double)histogram->seen + log(inside / (double)histogram->seen);
}

void espi_histogram_entropy(struct espi_histogram *histogram)
{
    search(histogram, divergence);
}
