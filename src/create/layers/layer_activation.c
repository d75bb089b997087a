/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vector_math.h"
#include "create/layers/layers.h"

/* One function per activation, so that each inner loop is a straight line of vector code. */
#define ACTIVATION(name, expression)                                                                                   \
    ESPI_SIMD static void name(size_t rows, size_t cols, size_t x_stride, const float *restrict x, size_t y_stride,    \
                               float *restrict y)                                                                      \
    {                                                                                                                  \
        for (size_t row = 0; row < rows; row++, x += x_stride, y += y_stride)                                          \
            for (size_t i = 0; i < cols; i++)                                                                          \
                y[i] = expression;                                                                                     \
    }

ACTIVATION(apply_gelu, espi_gelu(x[i]))
ACTIVATION(apply_gelu_tanh, espi_gelu_tanh(x[i]))
ACTIVATION(apply_relu, x[i] < 0.0f ? 0.0f : x[i])
ACTIVATION(apply_silu, espi_silu(x[i]))
ACTIVATION(apply_tanh, espi_tanh(x[i]))

void espi_activation_forward(enum espi_activation kind, size_t rows, size_t cols, const float *x, size_t x_stride,
                             float *y, size_t y_stride)
{
    switch (kind) {
    case ESPI_GELU:
        apply_gelu(rows, cols, x_stride, x, y_stride, y);
        break;
    case ESPI_GELU_TANH:
        apply_gelu_tanh(rows, cols, x_stride, x, y_stride, y);
        break;
    case ESPI_RELU:
        apply_relu(rows, cols, x_stride, x, y_stride, y);
        break;
    case ESPI_SILU:
        apply_silu(rows, cols, x_stride, x, y_stride, y);
        break;
    case ESPI_TANH:
        apply_tanh(rows, cols, x_stride, x, y_stride, y);
        break;
    }
}
