/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

#include <immintrin.h>

static __m128i column_or_zero(const uint8_t *panel, size_t column, size_t columns, size_t width, size_t token)
{
    if (column >= columns)
        return _mm_setzero_si128();
    return _mm_loadu_si128((const __m128i *)(const void *)(panel + column * width + token));
}

void espi_interleave_u8_avx2(const uint8_t *panel, size_t columns, size_t width, uint8_t *out)
{
    for (size_t column = 0; column < columns; column += 4)
        for (size_t token = 0; token < width; token += 16, out += 64) {
            __m128i a = column_or_zero(panel, column, columns, width, token);
            __m128i b = column_or_zero(panel, column + 1, columns, width, token);
            __m128i c = column_or_zero(panel, column + 2, columns, width, token);
            __m128i d = column_or_zero(panel, column + 3, columns, width, token);
            __m128i ab_low = _mm_unpacklo_epi8(a, b), ab_high = _mm_unpackhi_epi8(a, b);
            __m128i cd_low = _mm_unpacklo_epi8(c, d), cd_high = _mm_unpackhi_epi8(c, d);
            __m128i *dwords = (__m128i *)(void *)out;
            _mm_storeu_si128(dwords, _mm_unpacklo_epi16(ab_low, cd_low));
            _mm_storeu_si128(dwords + 1, _mm_unpackhi_epi16(ab_low, cd_low));
            _mm_storeu_si128(dwords + 2, _mm_unpacklo_epi16(ab_high, cd_high));
            _mm_storeu_si128(dwords + 3, _mm_unpackhi_epi16(ab_high, cd_high));
        }
}
