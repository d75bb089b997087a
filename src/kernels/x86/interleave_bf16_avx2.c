/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

#include <immintrin.h>

/* Rounded to nearest, ties to even, in the upper half of each dword; the lower half is not cleared. */
static __m256i rounded(const float *x)
{
    __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
}

void espi_interleave_bf16_avx2(const float *panel, size_t columns, size_t width, uint16_t *out)
{
    for (size_t column = 0; column < columns; column += 2)
        for (size_t token = 0; token < width; token += 8, out += 16) {
            const float *x = panel + column * width + token;
            __m256i low = _mm256_srli_epi32(rounded(x), 16), high = _mm256_setzero_si256();
            if (column + 1 < columns)
                high = rounded(x + width);
            _mm256_storeu_si256((__m256i *)(void *)out, _mm256_blend_epi16(low, high, 0xaa));
        }
}
