/* SPDX-License-Identifier: Apache-2.0 */
#include "create/quantize/quantize.h"

#include <math.h>
#include <string.h>

void espi_quantize_weights(const float *weights, size_t rows, size_t columns, int8_t *q, float *scale)
{
    for (size_t row = 0; row < rows; row++) {
        const float *w = weights + row * columns;
        float most = 0;
        for (size_t column = 0; column < columns; column++)
            most = fmaxf(most, fabsf(w[column]));
        /* Against underflow: the scale of a row that is all but zero is kept a normal number. */
        scale[row] = most >= 127 * 0x1p-126f ? most / 127 : 0;
        float inverse = scale[row] > 0 ? 1 / scale[row] : 0;
        for (size_t column = 0; column < columns; column++)
            q[row * columns + column] = (int8_t)fmaxf(-127, fminf(127, rintf(w[column] * inverse)));
    }
}

/* A range of next to nothing still needs a scale that can be divided by. */
static const float least_scale = 0x1p-60f;

struct espi_scale espi_scale_asymmetric(float low, float high)
{
    float scale = fmaxf((high - low) / 255, least_scale);
    return (struct espi_scale){.scale = scale, .zero_point = (int32_t)lrintf(fminf(255, -low / scale))};
}

struct espi_scale espi_scale_symmetric(float low, float high)
{
    return (struct espi_scale){.scale = fmaxf(fmaxf(-low, high) / 127, least_scale), .zero_point = 128};
}

uint16_t espi_bf16_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits += 0x7fff + (bits >> 16 & 1);
    return (uint16_t)(bits >> 16);
}
