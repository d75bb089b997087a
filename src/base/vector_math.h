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

/* erfc(z / sqrt 2) = exp(-z q(z)); q is a minimax polynomial on [0, 6] that keeps growing beyond. */
static inline float espi_gelu_exponent(float z)
{
    float q = 1.09473273e-8f;
    q = q * z - 3.57627556e-7f;
    q = q * z + 4.98282361e-6f;
    q = q * z - 3.72843278e-5f;
    q = q * z + 1.38060757e-4f;
    q = q * z + 1.19471492e-4f;
    q = q * z - 4.96597122e-3f;
    q = q * z + 0.0364541970f;
    q = q * z + 0.318273008f;
    q = q * z + 0.797888458f;
    return q;
}

/* 0.5 x (1 + erf(x / sqrt 2)), error below 3e-7 times max(1, |x|), as max(x, 0) - 0.5 |x| erfc(|x| / sqrt 2), which
 * cancels on neither side; max(x, 0) = 0.5 (x + |x|) exactly, without a branch. */
static inline float espi_gelu(float x)
{
    float z = fabsf(x), bounded = espi_bounded_magnitude(x, 10.0f);
    return 0.5f * (x + z) - 0.5f * z * espi_exp_inside(-bounded * espi_gelu_exponent(bounded));
}

/* Derivative of 0.5 x (1 + erf(x / sqrt 2)): Phi(x) + x phi(x), error below 1e-6. Infinities and NaN give NaN. */
static inline float espi_gelu_slope(float x)
{
    float z = espi_bounded_magnitude(x, 10.0f);
    float e = espi_exp_inside(-z * espi_gelu_exponent(z)); // erfc(z / sqrt 2)
    float density = 0.398942280f * espi_exp_inside(-0.5f * z * z);
    return 0.5f + copysignf(0.5f - 0.5f * e + z * density, x) + 0.0f * x;
}

/* x sigmoid(x) */
static inline float espi_silu(float x)
{
    return x / (1.0f + espi_exp(-x));
}

/* Derivative of x sigmoid(x). */
static inline float espi_silu_slope(float x)
{
    float e = espi_exp(-x), s = 1.0f / (1.0f + e);
    return s + x * s * (s * e); // s e = 1 - s, without cancelling
}

/* 0.5 x (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), which is x sigmoid(2 u). */
static inline float espi_gelu_tanh(float x)
{
    float twice = 1.595769122f * (x + 0.044715f * x * x * x);
    return x / (1.0f + espi_exp(-twice));
}

/* Its derivative; beyond 30 the slope of a straight line, as fp32 has it. */
static inline float espi_gelu_tanh_slope(float x)
{
    float near = copysignf(espi_bounded_magnitude(x, 30.0f), x) + 0.0f * x;
    float e = espi_exp(-1.595769122f * (near + 0.044715f * near * near * near)), s = 1.0f / (1.0f + e);
    return s + near * s * (s * e) * 1.595769122f * (1.0f + 0.134145f * near * near);
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
