/* SPDX-License-Identifier: Apache-2.0
 * Two passes over the panel, which stays in L2: the sums, the result; a third when every token has its own scale. */
#include "kernels/x86/panel_zmm.h"

/* Of d = x - x[row 0] and of its square, in four partial sums: the rows r with r % 4 = 0, 1, 2, 3. */
struct sums {
    __m512 first, d[4], square[4];
};

ESPI_INLINE void add_row(struct sums *sums, size_t partial, const float *x)
{
    __m512 d = _mm512_sub_ps(_mm512_loadu_ps(x), sums->first);
    sums->d[partial] = _mm512_add_ps(sums->d[partial], d);
    sums->square[partial] = _mm512_fmadd_ps(d, d, sums->square[partial]);
}

ESPI_INLINE __m512 average(const __m512 *partial, size_t rows)
{
    __m512 sum = _mm512_add_ps(_mm512_add_ps(partial[0], partial[1]), _mm512_add_ps(partial[2], partial[3]));
    return _mm512_div_ps(sum, _mm512_set1_ps((float)rows));
}

/* Mean and factor of `vectors` vectors of a panel: 1 or 2, whose sums fit the registers. */
ESPI_INLINE void measure(const float *x, size_t rows, size_t width, float epsilon, int vectors, __m512 *mean,
                         __m512 *factor)
{
    struct sums sums[2];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
        sums[v].first = _mm512_loadu_ps(x + 16 * v);
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++)
            sums[v].d[r] = sums[v].square[r] = _mm512_setzero_ps();
    }
    size_t row = 0;
    for (; row + 4 <= rows; row += 4)
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                add_row(&sums[v], r, x + (row + r) * width + 16 * v);
#pragma GCC unroll 3
    for (size_t r = 0; r < 3; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            if (row + r < rows)
                add_row(&sums[v], r, x + (row + r) * width + 16 * v);
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
        __m512 shift = average(sums[v].d, rows);
        __m512 variance = _mm512_fnmadd_ps(shift, shift, average(sums[v].square, rows));
        variance = _mm512_max_ps(variance, _mm512_setzero_ps());
        mean[v] = _mm512_add_ps(sums[v].first, shift);
        factor[v] = _mm512_div_ps(_mm512_set1_ps(1), _mm512_sqrt_ps(_mm512_add_ps(variance, _mm512_set1_ps(epsilon))));
    }
}

ESPI_INLINE void normalize_panel(const float *x, size_t rows, const struct espi_layer_norm *norm, float *y,
                                 const struct espi_quantize *quantize, int vectors)
{
    const size_t width = (size_t)vectors * 16;
    __m512 mean[4], factor[4];
    struct extremes extremes;
    measure(x, rows, width, norm->epsilon, vectors > 1 ? 2 : 1, mean, factor);
    if (vectors == 4)
        measure(x + 32, rows, width, norm->epsilon, 2, mean + 2, factor + 2);
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
