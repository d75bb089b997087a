/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vector_math.h"
#include "create/layers.h"

/* One function per activation, so that each inner loop is a straight line of vector code. */
#define ACTIVATION(name, expression)                                                                                   \
    ESPI_SIMD static void name(size_t rows, size_t cols, size_t stride, float *x)                                      \
    {                                                                                                                  \
        for (size_t row = 0; row < rows; row++) {                                                                      \
            float *values = x + row * stride;                                                                          \
            for (size_t i = 0; i < cols; i++)                                                                          \
                values[i] = expression;                                                                                \
        }                                                                                                              \
    }

ACTIVATION(apply_gelu, espi_gelu(values[i]))
ACTIVATION(apply_gelu_tanh, espi_gelu_tanh(values[i]))
ACTIVATION(apply_relu, values[i] < 0.0f ? 0.0f : values[i])
ACTIVATION(apply_silu, espi_silu(values[i]))
ACTIVATION(apply_tanh, espi_tanh(values[i]))

void espi_activation_forward(enum espi_activation kind, size_t rows, size_t cols, size_t stride, float *x)
{
    switch (kind) {
    case ESPI_GELU:
        apply_gelu(rows, cols, stride, x);
        break;
    case ESPI_GELU_TANH:
        apply_gelu_tanh(rows, cols, stride, x);
        break;
    case ESPI_RELU:
        apply_relu(rows, cols, stride, x);
        break;
    case ESPI_SILU:
        apply_silu(rows, cols, stride, x);
        break;
    case ESPI_TANH:
        apply_tanh(rows, cols, stride, x);
        break;
    }
}
