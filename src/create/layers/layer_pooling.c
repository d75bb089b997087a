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
