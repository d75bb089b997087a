/* SPDX-License-Identifier: Apache-2.0
 * The ops of heads: plain loops over independent lanes, which the compiler turns into vectors of whatever instruction set the
 * file that includes them is compiled for. */
#ifndef ESPI_KERNELS_LANES_C_H
#define ESPI_KERNELS_LANES_C_H

#include "base/vector_math.h"
#include "kernels/kernel.h"

_Static_assert((int)ESPI_VECTOR_TOKENS == (int)ESPI_LANES, "a block of lanes is a vector");

#define ESPI_EACH(expression)                                                                                          \
    for (size_t i = 0; i < count; i++)                                                                                 \
    x[i] = expression

static inline void activate_floats(enum espi_activation activation, float *x, size_t count)
{
    switch (activation) {
    case ESPI_GELU:
        ESPI_EACH(espi_gelu(x[i]));
        break;
    case ESPI_GELU_TANH:
        ESPI_EACH(espi_gelu_tanh(x[i]));
        break;
    case ESPI_RELU:
        ESPI_EACH(x[i] < 0.0f ? 0.0f : x[i]);
        break;
    case ESPI_SILU:
        ESPI_EACH(espi_silu(x[i]));
        break;
    case ESPI_TANH:
        ESPI_EACH(espi_tanh(x[i]));
        break;
    }
}

static inline float weight_at(const struct espi_lanes *p, size_t i)
{
    return p->bf16 ? espi_float_of_bits((uint32_t)p->bf16[i] << 16) : p->weights[i];
}

enum { LANES_ROWS = 4 }; // at a time, so that sums do not wait for each other

static inline void lanes_product(const struct espi_lanes *p, size_t first, size_t end)
{
    for (size_t begin = first; begin < end; begin += LANES_ROWS) {
        float sum[LANES_ROWS][ESPI_LANES] = {{0}};
        size_t at[LANES_ROWS]; // behind the last row, that row again
        for (size_t r = 0; r < LANES_ROWS; r++)
            at[r] = (begin + r < end ? begin + r : end - 1) * p->columns;
        for (size_t column = 0; column < p->columns; column++) {
            const float *x = p->x + column * p->stride;
            for (size_t r = 0; r < LANES_ROWS; r++) {
                float weight = weight_at(p, at[r] + column);
                for (size_t lane = 0; lane < ESPI_LANES; lane++)
                    sum[r][lane] += weight * x[lane];
            }
        }
        for (size_t r = 0; r < LANES_ROWS && begin + r < end; r++)
            for (size_t lane = 0; lane < p->lanes; lane++)
                p->out[(begin + r) * p->out_row + lane * p->out_lane] = sum[r][lane] + p->bias[begin + r];
    }
}

#endif
