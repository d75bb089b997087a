/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vector_math.h"
#include "create/layers/layers.h"

ESPI_SIMD static float row_max(size_t cols, const float *x)
{
    float lanes[ESPI_LANES];
    for (size_t l = 0; l < ESPI_LANES; l++)
        lanes[l] = x[0];
    size_t whole = cols - cols % ESPI_LANES;
    for (size_t i = 0; i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++)
            lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
    for (size_t i = whole; i < cols; i++)
        lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
    for (size_t l = 1; l < ESPI_LANES; l++)
        lanes[0] = lanes[l] > lanes[0] ? lanes[l] : lanes[0];
    return lanes[0];
}

/* x = exp(x - largest); returns the sum. Element i is added in lane i % ESPI_LANES. */
ESPI_SIMD static float row_exp(size_t cols, float largest, float *x)
{
    float lanes[ESPI_LANES] = {0};
    size_t whole = cols - cols % ESPI_LANES;
    for (size_t i = 0; i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++) {
            float e = espi_exp(x[i + l] - largest);
            x[i + l] = e;
            lanes[l] += e;
        }
    for (size_t i = whole; i < cols; i++) {
        x[i] = espi_exp(x[i] - largest);
        lanes[i - whole] += x[i];
    }
    return espi_lanes_sum(lanes);
}

ESPI_SIMD static void scale_exponentials(size_t cols, float scale, float *x)
{
    for (size_t i = 0; i < cols; i++)
        x[i] *= scale;
}

void espi_softmax_forward(size_t rows, size_t cols, float *x)
{
    for (size_t row = 0; row < rows; row++, x += cols) {
        float sum = row_exp(cols, row_max(cols, x), x);
        scale_exponentials(cols, 1.0f / sum, x);
    }
}
