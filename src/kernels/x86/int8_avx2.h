/* SPDX-License-Identifier: Apache-2.0
 * What the int8 products of AVX2 share.
 *
 * maddubs multiplies u8 by s8 and adds the products in pairs, in 16 bits with saturation. It is exact for every input when
 * |w0 + w1| <= 128, since then the sum stays within 255 * 128. A group whose 8 pairs of weights are such is "narrow" and
 * takes maddubs; the others have their bytes widened to words and multiplied with madd, whose pair sums fit 32 bits. The
 * sums of two groups are added up in 16 bits where that is exact too (kernels/pairs.h, kernels/columns.h). */
#ifndef ESPI_KERNELS_INT8_AVX2_H
#define ESPI_KERNELS_INT8_AVX2_H

#include "kernels/pack.h"
#include "kernels/x86/dot_avx2.h"

enum { GROUP = 16 }; // bytes of a group

/* The sums of the positive weights of a group where they meet, and behind them those of the negative ones. */
ESPI_INLINE __m256i load_of(const int8_t *group)
{
    const __m256i least = _mm256_set_m128i(_mm_set1_epi8(INT8_MIN), _mm_setzero_si128());
    const __m256i most = _mm256_set_m128i(_mm_setzero_si128(), _mm_set1_epi8(INT8_MAX));
    __m256i weights = _mm256_broadcastsi128_si256(load_16((const uint8_t *)group));
    weights = _mm256_min_epi8(_mm256_max_epi8(weights, least), most);
    return _mm256_maddubs_epi16(_mm256_set1_epi8(1), weights);
}

/* acc += a row of any group, as words, times 16 tokens: columns 0 and 2, then 1 and 3. */
ESPI_INLINE void dot_words(__m256i acc[2], const __m256i x[2], const int8_t *w)
{
    __m256i even, odd, t0, t1;
    __asm__("vpbroadcastd %[w], %[odd]\n\t"
            "vpsllw $8, %[odd], %[even]\n\tvpsraw $8, %[odd], %[odd]\n\tvpsraw $8, %[even], %[even]\n\t"
            "vpand %[low], %[x0], %[t0]\n\tvpand %[low], %[x1], %[t1]\n\t"
            "vpmaddwd %[even], %[t0], %[t0]\n\tvpmaddwd %[even], %[t1], %[t1]\n\t"
            "vpaddd %[t0], %[a0], %[a0]\n\tvpaddd %[t1], %[a1], %[a1]\n\t"
            "vpsrlw $8, %[x0], %[t0]\n\tvpsrlw $8, %[x1], %[t1]\n\t"
            "vpmaddwd %[odd], %[t0], %[t0]\n\tvpmaddwd %[odd], %[t1], %[t1]\n\t"
            "vpaddd %[t0], %[a0], %[a0]\n\tvpaddd %[t1], %[a1], %[a1]"
            : [a0] "+x"(acc[0]), [a1] "+x"(acc[1]), [even] "=&x"(even), [odd] "=&x"(odd), [t0] "=&x"(t0), [t1] "=&x"(t1)
            : [x0] "x"(x[0]), [x1] "x"(x[1]), [low] "m"(low_bytes), [w] ESPI_ALL(w));
}

/* What the sums of a quad begin with. */
ESPI_INLINE void begin_sums(const struct espi_epilogue *epilogue, size_t quad, __m256i sums[4][2])
{
#pragma GCC unroll 4
    for (size_t r = 0; r < 4; r++)
        sums[r][0] = sums[r][1] = _mm256_set1_epi32(epilogue->start[quad * 4 + r]);
}

#endif
