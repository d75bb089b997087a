/* SPDX-License-Identifier: Apache-2.0 */
#include "tasks/stats.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

static double largest(const float *values, size_t count)
{
    float top = values[0];
    for (size_t i = 1; i < count; i++)
        top = values[i] > top ? values[i] : top;
    return (double)top;
}

double espi_log_sum_exp(const float *logits, size_t count)
{
    double top = largest(logits, count), sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += exp((double)logits[i] - top);
    return top + log(sum);
}

void espi_softmax(const float *logits, size_t count, double *probabilities)
{
    double top = largest(logits, count), sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += probabilities[i] = exp((double)logits[i] - top);
    for (size_t i = 0; i < count; i++)
        probabilities[i] /= sum;
}

double espi_sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

size_t espi_argmax(const double *values, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        best = values[i] > values[best] ? i : best;
    return best;
}

/* The order of a heap of indices whose root is the weakest: the smallest value, of equals the highest index. */
static bool weaker(const double *values, size_t a, size_t b)
{
    return values[a] < values[b] || (values[a] == values[b] && a > b);
}

static void sift(const double *values, size_t *heap, size_t count, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            return;
        if (child + 1 < count && weaker(values, heap[child + 1], heap[child]))
            child++;
        if (!weaker(values, heap[child], heap[at]))
            return;
        size_t index = heap[at];
        heap[at] = heap[child];
        heap[child] = index;
        at = child;
    }
}

void espi_top_k(const double *values, size_t count, size_t k, size_t *indices)
{
    if (k == 0)
        return;
    for (size_t i = 0; i < k; i++)
        indices[i] = i;
    for (size_t i = k / 2; i-- > 0;)
        sift(values, indices, k, i);
    for (size_t i = k; i < count; i++) {
        if (weaker(values, indices[0], i)) {
            indices[0] = i;
            sift(values, indices, k, 0);
        }
    }
    /* Taking the weakest to the end again and again leaves the strongest first. */
    for (size_t rest = k - 1; rest > 0; rest--) {
        size_t index = indices[0];
        indices[0] = indices[rest];
        indices[rest] = index;
        sift(values, indices, rest, 0);
    }
}
