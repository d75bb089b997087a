/* SPDX-License-Identifier: Apache-2.0
 * Elementary functions without branches or calls, for loops marked ESPI_SIMD. NaN stays NaN. */
#ifndef ESPI_BASE_VECTOR_MATH_H
#define ESPI_BASE_VECTOR_MATH_H

#include "base/simd.h"

#include <math.h>

/* |x|, at most `bound` (> 0). Positive floats order as their bits do; a comparison of floats would become a branch. */
static inline float espi_bounded_magnitude(float x, float bound)
{
    uint32_t bits = espi_bits_of_float(x) & 0x7fffffffu, most = espi_bits_of_float(bound);
    return espi_float_of_bits(bits < most ? bits : most);
}

/* exp(x) for -87 <= x <= 87, within 2 units in the last place.
 * x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) is a minimax polynomial of degree 6 (relative error 3e-9). */
static inline float espi_exp_inside(float x)
{
    const float magic = 0x1.8p23f; // adding and subtracting it rounds to an integer
    float shifted = x * 1.442695041f + magic;
    float n = shifted - magic;
    float r = x - n * 0.693359375f; // ln 2 in two parts: n times the first is exact
    r = r + n * 2.12194440e-4f;
    float p = 0.00138146116f;
    p = p * r + 0.00836871006f;
    p = p * r + 0.0416683890f;
    p = p * r + 0.166665211f;
    p = p * r + 0.49999994f;
    p = p * r * r + r + 1.0f;
    // the low bits of `shifted` hold n
    return p * espi_float_of_bits((espi_bits_of_float(shifted) + 127u) << 23);
}

/* exp(x); arguments outside [-87, 87] count as the bound (1.6e-38, 6.1e37), infinities and NaN give NaN. */
static inline float espi_exp(float x)
{
    return espi_exp_inside(copysignf(espi_bounded_magnitude(x, 87.0f), x) + 0.0f * x);
}

/* 0.5 x (1 + erf(x / sqrt 2)), error below 3e-7 times max(1, |x|), as max(x, 0) - 0.5 |x| erfc(|x| / sqrt 2), which
 * cancels on neither side; max(x, 0) = 0.5 (x + |x|) exactly, without a branch. erfc(z / sqrt 2) = exp(-z q(z)); q is a minimax polynomial on [0, 6] that keeps growing
 * beyond. */
static inline float espi_gelu(float x)
{
    float z = fabsf(x), bounded = espi_bounded_magnitude(x, 10.0f);
    float q = 1.09473273e-8f;
    q = q * bounded - 3.57627556e-7f;
    q = q * bounded + 4.98282361e-6f;
    q = q * bounded - 3.72843278e-5f;
    q = q * bounded + 1.38060757e-4f;
    q = q * bounded + 1.19471492e-4f;
    q = q * bounded - 4.96597122e-3f;
    q = q * bounded + 0.0364541970f;
    q = q * bounded + 0.318273008f;
    q = q * bounded + 0.797888458f;
    return 0.5f * (x + z) - 0.5f * z * espi_exp_inside(-bounded * q);
}

/* x sigmoid(x) */
static inline float espi_silu(float x)
{
    return x / (1.0f + espi_exp(-x));
}

/* 0.5 x (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), which is x sigmoid(2 u). */
static inline float espi_gelu_tanh(float x)
{
    float twice = 1.595769122f * (x + 0.044715f * x * x * x);
    return x / (1.0f + espi_exp(-twice));
}

/* tanh(x), relative error below 5e-7. Near zero an odd minimax polynomial, elsewhere (1 - e) / (1 + e), e = exp(-2|x|). */
static inline float espi_tanh(float x)
{
    float z = espi_bounded_magnitude(x, 10.0f), s = x * x;
    float p = -0.00570498873f;
    p = p * s + 0.0206390886f;
    p = p * s - 0.0537397154f;
    p = p * s + 0.133314416f;
    p = p * s - 0.333332807f;
    float near_zero = x + x * s * p;
    float e = espi_exp_inside(-2.0f * z);
    float far = copysignf((1.0f - e) / (1.0f + e), x);
    return fabsf(x) >= 0.625f ? far : near_zero; // NaN takes the second way and stays
}

#endif
