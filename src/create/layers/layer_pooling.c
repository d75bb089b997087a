/* SPDX-License-Identifier: Apache-2.0 */
#include "base/simd.h"
#include "create/layers/layers.h"

#include <math.h>

ESPI_SIMD static void add_row(size_t hidden, const float *restrict x, float *restrict out)
{
    for (size_t i = 0; i < hidden; i++)
        out[i] += x[i];
}

ESPI_SIMD static void max_row(size_t hidden, const float *restrict x, float *restrict out)
{
    for (size_t i = 0; i < hidden; i++)
        out[i] = x[i] > out[i] ? x[i] : out[i];
}

static void scale_to_one(size_t hidden, float *x)
{
    float squares = 0.0f;
    for (size_t i = 0; i < hidden; i++)
        squares += x[i] * x[i];
    float length = sqrtf(squares);
    if (length > 0.0f)
        for (size_t i = 0; i < hidden; i++)
            x[i] /= length;
}

void espi_pooling_forward(enum espi_pooling kind, bool normalize, size_t tokens, size_t hidden, const float *x,
                          float *out)
{
    memcpy(out, x, hidden * sizeof *out);
    for (size_t t = 1; t < tokens && kind != ESPI_POOL_CLS; t++) {
        if (kind == ESPI_POOL_MAX)
            max_row(hidden, x + t * hidden, out);
        else
            add_row(hidden, x + t * hidden, out);
    }
    if (kind == ESPI_POOL_MEAN || kind == ESPI_POOL_NONE)
        for (size_t i = 0; i < hidden; i++)
            out[i] /= (float)tokens;
    if (normalize)
        scale_to_one(hidden, out);
}

/* d = dout as it passes back through out = x / |x|: (dout - out (out · dout)) / |x|; x becomes d. */
static void backward_of_scale(size_t hidden, const float *dout, float *x)
{
    double squares = 0.0, product = 0.0;
    for (size_t i = 0; i < hidden; i++) {
        squares += (double)x[i] * (double)x[i];
        product += (double)x[i] * (double)dout[i];
    }
    double length = sqrt(squares);
    for (size_t i = 0; i < hidden; i++)
        x[i] = length > 0.0 ? (float)(((double)dout[i] - (double)x[i] * product / squares) / length) : dout[i];
}

/* d goes to the first of the tokens that has a column's largest value. */
static void backward_of_max(size_t tokens, size_t hidden, const float *x, const float *d, float *dx)
{
    for (size_t i = 0; i < hidden; i++) {
        size_t largest = 0;
        for (size_t t = 1; t < tokens; t++)
            largest = x[t * hidden + i] > x[largest * hidden + i] ? t : largest;
        dx[largest * hidden + i] += d[i];
    }
}

void espi_pooling_backward(enum espi_pooling kind, bool normalize, size_t tokens, size_t hidden, const float *x,
                           const float *dout, float *scratch, float *dx)
{
    if (normalize) {
        espi_pooling_forward(kind, false, tokens, hidden, x, scratch);
        backward_of_scale(hidden, dout, scratch);
    } else {
        memcpy(scratch, dout, hidden * sizeof *scratch);
    }
    if (kind == ESPI_POOL_MAX) {
        backward_of_max(tokens, hidden, x, scratch, dx);
        return;
    }
    if (kind != ESPI_POOL_CLS)
        for (size_t i = 0; i < hidden; i++)
            scratch[i] /= (float)tokens;
    for (size_t t = 0; t < (kind == ESPI_POOL_CLS ? 1 : tokens); t++)
        add_row(hidden, scratch, dx + t * hidden);
}
