/* SPDX-License-Identifier: Apache-2.0
 * What the C references of the products share: the epilogue, one value at a time. Ground truth for every ISA. */
#ifndef ESPI_KERNELS_PRODUCT_C_H
#define ESPI_KERNELS_PRODUCT_C_H

#include "kernels/kernel.h"

#include <math.h>

/* Nearest, ties to even; what does not fit becomes INT32_MIN, as cvtps2dq does. */
static inline int32_t round_to_int(float value)
{
    return value >= -0x1p31f && value < 0x1p31f ? (int32_t)lrintf(value) : INT32_MIN;
}

static inline int32_t clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

static inline uint8_t activate(const struct espi_activation_table *activation, int32_t p)
{
    uint32_t index = (uint32_t)(p < 0 ? -p : p) * activation->index_scale >> 16;
    uint32_t value = (uint32_t)(p > 0 ? p : 0) + activation->table[index < 127 ? index : 127];
    value >>= activation->shift;
    return (uint8_t)(value < 255 ? value : 255);
}

static inline float curved(const struct espi_activation_curve *curve, float y)
{
    float a = fabsf(y), b = a < curve->limit ? a : curve->limit;
    float s = fmaf(b * b, curve->spread, -1), p = curve->coefficients[ESPI_CURVE_TERMS - 1];
    for (int i = ESPI_CURVE_TERMS - 2; i >= 0; i--)
        p = fmaf(p, s, curve->coefficients[i]);
    float q = fmaf(-b, p, 0.5f);
    return fmaf(-a, q > 0 ? q : 0, y > 0 ? y : 0);
}

/* The end of one output value. */
static inline void finish_value(const struct espi_epilogue *epilogue, size_t row, size_t at, float sum)
{
    uint8_t *bytes = epilogue->out;
    float *floats = epilogue->out;
    float y = fmaf(sum, epilogue->scale[row], epilogue->bias[row]);
    switch (epilogue->kind) {
    case ESPI_EPILOGUE_U8:
        bytes[at] = (uint8_t)clamp(round_to_int(y), 0, 255);
        break;
    case ESPI_EPILOGUE_U8_TABLE:
        bytes[at] = activate(epilogue->activation, clamp(round_to_int(y), INT16_MIN, INT16_MAX));
        break;
    case ESPI_EPILOGUE_F32:
        floats[at] = y;
        break;
    case ESPI_EPILOGUE_F32_ADD:
        floats[at] += y;
        break;
    case ESPI_EPILOGUE_F32_CURVE:
        floats[at] = curved(epilogue->curve, y);
        break;
    }
}

/* The end of output row `row` of an int8 product. */
static inline void finish_row(const struct espi_epilogue *epilogue, size_t row, size_t width,
                              const uint32_t *sums) // (width), start included, modulo 2^32
{
    for (size_t token = 0; token < width; token++) {
        float sum = (float)(int32_t)sums[token];
        if (epilogue->token_scale)
            sum *= epilogue->token_scale[token];
        finish_value(epilogue, row, row * width + token, sum);
    }
}

#endif
