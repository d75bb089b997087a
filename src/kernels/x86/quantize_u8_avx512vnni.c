/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/x86/panel_zmm.h"

ESPI_INLINE void load_row(const float *x, int vectors, __m512 *out)
{
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        out[v] = _mm512_loadu_ps(x + 16 * v);
}

ESPI_INLINE void quantize_panel(const float *x, size_t rows, const struct espi_quantize *quantize, int vectors)
{
    __m512 values[4];
    struct extremes extremes;
    extremes_begin(&extremes);
    for (size_t row = 0; row < rows; row++) {
        load_row(x + row * (size_t)vectors * 16, vectors, values);
        if (quantize->token_scale)
            extremes_add(&extremes, values, quantize->scale[row], vectors);
        else
            quantize_fixed_row(quantize, values, row, vectors);
    }
    if (quantize->token_scale)
        quantize_tokens(quantize, x, rows, &extremes, vectors);
}

void espi_quantize_u8_avx512vnni(const float *x, size_t rows, size_t width, const struct espi_quantize *quantize)
{
    if (width == 64)
        quantize_panel(x, rows, quantize, 4);
    else if (width == 32)
        quantize_panel(x, rows, quantize, 2);
    else
        quantize_panel(x, rows, quantize, 1);
}
