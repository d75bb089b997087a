/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/x86/panel_ymm.h"

ESPI_INLINE __m256 average(const __m256 partial[4], size_t rows)
{
    __m256 sum = _mm256_add_ps(_mm256_add_ps(partial[0], partial[1]), _mm256_add_ps(partial[2], partial[3]));
    return _mm256_div_ps(sum, _mm256_set1_ps((float)rows));
}

/* Mean and factor of 8 tokens. Row r goes into partial sum r % 4. */
static void measure(const float *x, size_t rows, size_t width, float epsilon, __m256 *mean, __m256 *factor)
{
    __m256 first = _mm256_loadu_ps(x), sums[4], squares[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++)
        sums[r] = squares[r] = _mm256_setzero_ps();
    for (size_t row = 0; row < rows; row += 4)
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++)
            if (row + r < rows) {
                __m256 d = _mm256_sub_ps(_mm256_loadu_ps(x + (row + r) * width), first);
                sums[r] = _mm256_add_ps(sums[r], d);
                squares[r] = _mm256_fmadd_ps(d, d, squares[r]);
            }
    __m256 shift = average(sums, rows);
    __m256 variance = _mm256_fnmadd_ps(shift, shift, average(squares, rows));
    variance = _mm256_max_ps(variance, _mm256_setzero_ps());
    *mean = _mm256_add_ps(first, shift);
    *factor = _mm256_div_ps(_mm256_set1_ps(1), _mm256_sqrt_ps(_mm256_add_ps(variance, _mm256_set1_ps(epsilon))));
}

static void normalize_chunk(const float *x, size_t rows, size_t width, size_t token, const struct espi_layer_norm *norm,
                            float *y, const struct espi_quantize *quantize)
{
    __m256 mean[2], factor[2];
    struct extremes extremes = {0};
    for (int v = 0; v < 2; v++)
        measure(x + token + 8 * v, rows, width, norm->epsilon, &mean[v], &factor[v]);
    for (size_t row = 0; row < rows; row++) {
        __m256 gain = _mm256_set1_ps(norm->gain[row]), bias = _mm256_set1_ps(norm->bias[row]), value[2];
        size_t at = row * width + token;
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            __m256 d = _mm256_sub_ps(_mm256_loadu_ps(x + at + 8 * v), mean[v]);
            value[v] = _mm256_fmadd_ps(_mm256_mul_ps(d, factor[v]), gain, bias);
            _mm256_storeu_ps(y + at + 8 * v, value[v]);
        }
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

void espi_layer_norm_avx2(const float *x, size_t rows, size_t width, const struct espi_layer_norm *norm, float *y,
                          const struct espi_quantize *quantize)
{
    for (size_t token = 0; token < width; token += CHUNK)
        normalize_chunk(x, rows, width, token, norm, y, quantize);
}
