/* SPDX-License-Identifier: Apache-2.0 */
#include "base/simd.h"
#include "create/layers/layers.h"

#include <math.h>

/* Element i of a row goes to lane i % ESPI_LANES: the order of the sum depends on the width alone. */
ESPI_SIMD static void add_rows(size_t hidden, const float *x, const float *residual, float *out)
{
    for (size_t i = 0; i < hidden; i++)
        out[i] = x[i] + residual[i];
}

ESPI_SIMD static float row_sum(size_t hidden, const float *x)
{
    float lanes[ESPI_LANES] = {0};
    size_t whole = hidden - hidden % ESPI_LANES;
    for (size_t i = 0; i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++)
            lanes[l] += x[i + l];
    for (size_t i = whole; i < hidden; i++)
        lanes[i - whole] += x[i];
    return espi_lanes_sum(lanes);
}

/* Sum of (x - mean)^2 */
ESPI_SIMD static float row_squares(size_t hidden, const float *x, float mean)
{
    float lanes[ESPI_LANES] = {0};
    size_t whole = hidden - hidden % ESPI_LANES;
    for (size_t i = 0; i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++)
            lanes[l] += (x[i + l] - mean) * (x[i + l] - mean);
    for (size_t i = whole; i < hidden; i++)
        lanes[i - whole] += (x[i] - mean) * (x[i] - mean);
    return espi_lanes_sum(lanes);
}

ESPI_SIMD static void normalize_row(size_t hidden, float mean, float scale, const float *restrict weight,
                                    const float *restrict bias, float *restrict x)
{
    for (size_t i = 0; i < hidden; i++)
        x[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

void espi_layer_norm_forward(size_t rows, size_t hidden, float eps, const float *x, const float *residual,
                             const float *weight, const float *bias, float *out)
{
    for (size_t row = 0; row < rows; row++, x += hidden, out += hidden) {
        if (residual)
            add_rows(hidden, x, residual + row * hidden, out);
        else if (out != x)
            memcpy(out, x, hidden * sizeof *x);
        float mean = row_sum(hidden, out) / (float)hidden;
        float variance = row_squares(hidden, out, mean) / (float)hidden;
        normalize_row(hidden, mean, 1.0f / sqrtf(variance + eps), weight, bias, out);
    }
}
