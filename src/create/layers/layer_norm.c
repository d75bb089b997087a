/* SPDX-License-Identifier: Apache-2.0 */
#include "base/simd.h"
#include "create/layers/layers.h"

#include <math.h>

/* Element i of a row goes to lane i % ESPI_LANES: the order of the sum depends on the width alone. */
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
                                    const float *restrict bias, const float *x, float *out)
{
    for (size_t i = 0; i < hidden; i++)
        out[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

void espi_layer_norm_forward(size_t rows, size_t hidden, float eps, const float *x, const float *weight,
                             const float *bias, float *out, float *statistics)
{
    for (size_t row = 0; row < rows; row++, x += hidden, out += hidden, statistics += 2) {
        statistics[0] = row_sum(hidden, x) / (float)hidden;
        statistics[1] = 1.0f / sqrtf(row_squares(hidden, x, statistics[0]) / (float)hidden + eps);
        normalize_row(hidden, statistics[0], statistics[1], weight, bias, x, out);
    }
}

/* Adds to dweight and dbias; means gets those of g and g n, where n is the normalised row and g = dy weight. */
ESPI_SIMD static void gradient_means(size_t hidden, float mean, float scale, const float *restrict x,
                                     const float *restrict weight, const float *restrict dy, float *restrict dweight,
                                     float *restrict dbias, float means[2])
{
    float lanes[ESPI_LANES] = {0}, products[ESPI_LANES] = {0};
    size_t whole = hidden - hidden % ESPI_LANES;
    for (size_t i = 0; i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++) {
            float n = (x[i + l] - mean) * scale, g = dy[i + l] * weight[i + l];
            dweight[i + l] += dy[i + l] * n;
            dbias[i + l] += dy[i + l];
            lanes[l] += g;
            products[l] += g * n;
        }
    for (size_t i = whole; i < hidden; i++) {
        float n = (x[i] - mean) * scale, g = dy[i] * weight[i];
        dweight[i] += dy[i] * n;
        dbias[i] += dy[i];
        lanes[i - whole] += g;
        products[i - whole] += g * n;
    }
    means[0] = espi_lanes_sum(lanes) / (float)hidden;
    means[1] = espi_lanes_sum(products) / (float)hidden;
}

ESPI_SIMD static void gradient_row(size_t hidden, float mean, float scale, const float means[2],
                                   const float *restrict x, const float *restrict weight, const float *dy, float *dx)
{
    float of_g = means[0], of_product = means[1];
    for (size_t i = 0; i < hidden; i++)
        dx[i] = scale * (dy[i] * weight[i] - of_g - (x[i] - mean) * scale * of_product);
}

/* With n the normalised row and g = dy weight, dx = (g - mean(g) - n mean(g n)) / sqrt(variance + eps). */
void espi_layer_norm_backward(size_t rows, size_t hidden, const float *x, const float *statistics, const float *weight,
                              const float *dy, float *dx, float *dweight, float *dbias)
{
    for (size_t row = 0; row < rows; row++, x += hidden, dy += hidden, dx += hidden, statistics += 2) {
        float means[2];
        gradient_means(hidden, statistics[0], statistics[1], x, weight, dy, dweight, dbias, means);
        gradient_row(hidden, statistics[0], statistics[1], means, x, weight, dy, dx);
    }
}
