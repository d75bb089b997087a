/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

#include <immintrin.h>

static __m512i column_or_zero(const uint8_t *panel, size_t column, size_t columns, size_t width, __mmask64 mask)
{
    return column < columns ? _mm512_maskz_loadu_epi8(mask, panel + column * width) : _mm512_setzero_si512();
}

void espi_interleave_u8_avx512vnni(const uint8_t *panel, size_t columns, size_t width, uint8_t *out)
{
    __mmask64 mask = width == 64 ? UINT64_MAX : ((__mmask64)1 << width) - 1;
    for (size_t column = 0; column < columns; column += 4, out += width * 4) {
        __m512i a = column_or_zero(panel, column, columns, width, mask);
        __m512i b = column_or_zero(panel, column + 1, columns, width, mask);
        __m512i c = column_or_zero(panel, column + 2, columns, width, mask);
        __m512i d = column_or_zero(panel, column + 3, columns, width, mask);
        __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
        __m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
        /* lane l of v[i]: tokens 16l + 4i .. 16l + 4i + 3 */
        __m512i v[4] = {_mm512_unpacklo_epi16(ab_low, cd_low), _mm512_unpackhi_epi16(ab_low, cd_low),
                        _mm512_unpacklo_epi16(ab_high, cd_high), _mm512_unpackhi_epi16(ab_high, cd_high)};
        __m512i e = _mm512_shuffle_i32x4(v[0], v[1], 0x44), f = _mm512_shuffle_i32x4(v[2], v[3], 0x44);
        _mm512_storeu_si512(out, _mm512_shuffle_i32x4(e, f, 0x88));
        if (width > 16)
            _mm512_storeu_si512(out + 64, _mm512_shuffle_i32x4(e, f, 0xdd));
        if (width > 32) {
            e = _mm512_shuffle_i32x4(v[0], v[1], 0xee);
            f = _mm512_shuffle_i32x4(v[2], v[3], 0xee);
            _mm512_storeu_si512(out + 128, _mm512_shuffle_i32x4(e, f, 0x88));
            _mm512_storeu_si512(out + 192, _mm512_shuffle_i32x4(e, f, 0xdd));
        }
    }
}
