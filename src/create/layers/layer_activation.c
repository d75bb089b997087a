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

/* dx = dy slope(x); dx may be dy, element by element. */
#define SLOPE(name, expression)                                                                                        \
    ESPI_SIMD static void name(size_t cols, const float *restrict x, const float *dy, float *dx)                       \
    {                                                                                                                  \
        for (size_t i = 0; i < cols; i++)                                                                              \
            dx[i] = expression;                                                                                        \
    }

SLOPE(slope_gelu, dy[i] * espi_gelu_slope(x[i]))
SLOPE(slope_gelu_tanh, dy[i] * espi_gelu_tanh_slope(x[i]))
SLOPE(slope_relu, x[i] <= 0.0f ? 0.0f : dy[i])
SLOPE(slope_silu, dy[i] * espi_silu_slope(x[i]))
SLOPE(slope_tanh, dy[i] * (1.0f - espi_tanh(x[i]) * espi_tanh(x[i])))

void espi_activation_backward(enum espi_activation kind, size_t rows, size_t cols, const float *x, size_t x_stride,
                              const float *dy, size_t dy_stride, float *dx, size_t dx_stride)
{
    void (*slope)(size_t, const float *, const float *, float *) = NULL;
    switch (kind) {
    case ESPI_GELU:
        slope = slope_gelu;
        break;
    case ESPI_GELU_TANH:
        slope = slope_gelu_tanh;
        break;
    case ESPI_RELU:
        slope = slope_relu;
        break;
    case ESPI_SILU:
        slope = slope_silu;
        break;
    case ESPI_TANH:
        slope = slope_tanh;
        break;
    }
    for (size_t row = 0; row < rows; row++)
        slope(cols, x + row * x_stride, dy + row * dy_stride, dx + row * dx_stride);
}
