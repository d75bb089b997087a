/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/arm/panel_neon.h"

ESPI_INLINE float32x4_t average(const float32x4_t partial[4], size_t rows)
{
    float32x4_t sum = vaddq_f32(vaddq_f32(partial[0], partial[1]), vaddq_f32(partial[2], partial[3]));
    return vdivq_f32(sum, vdupq_n_f32((float)rows));
}

/* Mean and factor of 4 tokens from their sums. */
ESPI_INLINE void find_factor(const float32x4_t sums[4], const float32x4_t squares[4], size_t rows, float epsilon,
                             float32x4_t first, float32x4_t *mean, float32x4_t *factor)
{
    float32x4_t shift = average(sums, rows);
    float32x4_t variance = vmaxnmq_f32(vfmsq_f32(average(squares, rows), shift, shift), vdupq_n_f32(0));
    *mean = vaddq_f32(first, shift);
    *factor = vdivq_f32(vdupq_n_f32(1), vsqrtq_f32(vaddq_f32(variance, vdupq_n_f32(epsilon))));
}

/* Those of 8 tokens. Row r goes into partial sum r % 4. */
static void measure(const float *x, size_t rows, size_t width, float epsilon, float32x4_t mean[2],
                    float32x4_t factor[2])
{
    const float32x4_t first[2] = {vld1q_f32(x), vld1q_f32(x + 4)};
    float32x4_t sums[2][4], squares[2][4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++)
        sums[0][r] = sums[1][r] = squares[0][r] = squares[1][r] = vdupq_n_f32(0);
    for (size_t row = 0; row < rows; row += 4)
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++)
            if (row + r < rows)
#pragma GCC unroll 2
                for (int v = 0; v < 2; v++) {
                    float32x4_t d = vsubq_f32(vld1q_f32(x + (row + r) * width + 4 * v), first[v]);
                    sums[v][r] = vaddq_f32(sums[v][r], d);
                    squares[v][r] = vfmaq_f32(squares[v][r], d, d);
                }
    for (int v = 0; v < 2; v++)
        find_factor(sums[v], squares[v], rows, epsilon, first[v], &mean[v], &factor[v]);
}

static void normalize_chunk(const float *x, size_t rows, size_t width, size_t token, const struct espi_layer_norm *norm,
                            float *y, const struct espi_quantize *quantize)
{
    float32x4_t mean[4], factor[4];
    struct extremes extremes = {0};
    measure(x + token, rows, width, norm->epsilon, mean, factor);
    measure(x + token + 8, rows, width, norm->epsilon, mean + 2, factor + 2);
    for (size_t row = 0; row < rows; row++) {
        const float32x4_t gain = vdupq_n_f32(norm->gain[row]), bias = vdupq_n_f32(norm->bias[row]);
        size_t at = row * width + token;
        float32x4_t value[4];
        load_floats(x + at, value);
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            value[v] = vfmaq_f32(bias, vmulq_f32(vsubq_f32(value[v], mean[v]), factor[v]), gain);
        store_floats(y + at, value);
        if (!quantize)
            continue;
        if (quantize->token_scale)
            extremes_add(&extremes, value, quantize->scale[row]);
        else
            quantize_fixed_row(quantize, value, row, quantize->out + at);
    }
    if (quantize && quantize->token_scale)
        quantize_tokens(quantize, y, rows, width, token, &extremes);
}

void espi_layer_norm_dotprod(const float *x, size_t rows, size_t width, const struct espi_layer_norm *norm, float *y,
                             const struct espi_quantize *quantize)
{
    for (size_t token = 0; token < width; token += CHUNK)
        normalize_chunk(x, rows, width, token, norm, y, quantize);
}
