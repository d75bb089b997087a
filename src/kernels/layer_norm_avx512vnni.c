/* SPDX-License-Identifier: Apache-2.0
 * Three passes over the panel, which stays in L2: mean, variance, result; a fourth when every token has its own step. */
#include "kernels/panel_zmm.h"

struct partial {
    __m512 sum[4][4]; // [row % 4][vector]
};

ESPI_INLINE void total(const struct partial *partial, int vectors, float rows, __m512 *out)
{
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        out[v] = _mm512_div_ps(_mm512_add_ps(_mm512_add_ps(partial->sum[0][v], partial->sum[1][v]),
                                             _mm512_add_ps(partial->sum[2][v], partial->sum[3][v])),
                               _mm512_set1_ps(rows));
}

/* One row into its partial sum: of x when mean is NULL, else of the squared distance from it. */
ESPI_INLINE void add_row(const float *x, const __m512 *mean, int vectors, __m512 *sum)
{
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        __m512 value = _mm512_loadu_ps(x + 16 * v);
        if (mean) {
            value = _mm512_sub_ps(value, mean[v]);
            sum[v] = _mm512_fmadd_ps(value, value, sum[v]);
        } else {
            sum[v] = _mm512_add_ps(sum[v], value);
        }
    }
}

ESPI_INLINE void reduce(const float *x, size_t rows, const __m512 *mean, int vectors, __m512 *out)
{
    const size_t width = (size_t)vectors * 16;
    struct partial partial;
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            partial.sum[r][v] = _mm512_setzero_ps();
    size_t row = 0;
    for (; row + 4 <= rows; row += 4) {
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++)
            add_row(x + (row + r) * width, mean, vectors, partial.sum[r]);
    }
#pragma GCC unroll 3
    for (size_t r = 0; r < 3; r++)
        if (row + r < rows)
            add_row(x + (row + r) * width, mean, vectors, partial.sum[r]);
    total(&partial, vectors, (float)rows, out);
}

ESPI_INLINE void normalize_panel(const float *x, size_t rows, const struct espi_layer_norm *norm, float *y,
                                 const struct espi_quantize *quantize, int vectors)
{
    const size_t width = (size_t)vectors * 16;
    __m512 mean[4], factor[4];
    struct extremes extremes;
    reduce(x, rows, NULL, vectors, mean);
    reduce(x, rows, mean, vectors, factor);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        factor[v] =
            _mm512_div_ps(_mm512_set1_ps(1), _mm512_sqrt_ps(_mm512_add_ps(factor[v], _mm512_set1_ps(norm->epsilon))));
    extremes_begin(&extremes);
    for (size_t row = 0; row < rows; row++) {
        __m512 gain = _mm512_set1_ps(norm->gain[row]), bias = _mm512_set1_ps(norm->bias[row]), value[4];
#pragma GCC unroll 4
        for (size_t v = 0; v < (size_t)vectors; v++) {
            __m512 d = _mm512_sub_ps(_mm512_loadu_ps(x + row * width + 16 * v), mean[v]);
            value[v] = _mm512_fmadd_ps(_mm512_mul_ps(d, factor[v]), gain, bias);
            _mm512_storeu_ps(y + row * width + 16 * v, value[v]);
        }
        if (!quantize)
            continue;
        if (quantize->token_scale)
            extremes_add(&extremes, value, quantize->scale[row], vectors);
        else
            quantize_fixed_row(quantize, value, row, vectors);
    }
    if (quantize && quantize->token_scale)
        quantize_tokens(quantize, y, rows, &extremes, vectors);
}

void espi_layer_norm_avx512vnni(const float *x, size_t rows, size_t width, const struct espi_layer_norm *norm, float *y,
                                const struct espi_quantize *quantize)
{
    if (width == 64)
        normalize_panel(x, rows, norm, y, quantize, 4);
    else if (width == 32)
        normalize_panel(x, rows, norm, y, quantize, 2);
    else
        normalize_panel(x, rows, norm, y, quantize, 1);
}
