/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vector_math.h"
#include "run/session_private.h"

/* One function per activation, so that each loop is a straight line of vector code. */
#define ACTIVATION(name, expression)                                                                                   \
    ESPI_SIMD static void name(float *x, size_t count)                                                                 \
    {                                                                                                                  \
        for (size_t i = 0; i < count; i++)                                                                             \
            x[i] = expression;                                                                                         \
    }

ACTIVATION(run_gelu, espi_gelu(x[i]))
ACTIVATION(run_gelu_tanh, espi_gelu_tanh(x[i]))
ACTIVATION(run_relu, x[i] < 0.0f ? 0.0f : x[i])
ACTIVATION(run_silu, espi_silu(x[i]))
ACTIVATION(run_tanh, espi_tanh(x[i]))

void espi_activate(enum espi_activation activation, float *x, size_t count)
{
    switch (activation) {
    case ESPI_GELU:
        run_gelu(x, count);
        break;
    case ESPI_GELU_TANH:
        run_gelu_tanh(x, count);
        break;
    case ESPI_RELU:
        run_relu(x, count);
        break;
    case ESPI_SILU:
        run_silu(x, count);
        break;
    case ESPI_TANH:
        run_tanh(x, count);
        break;
    }
}
