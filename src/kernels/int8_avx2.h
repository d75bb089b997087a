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
#include "kernels/product_ymm.h"

#include <string.h>

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

/* acc[r] += row r of a narrow group times 16 tokens; x: dwords of 4 columns; `stride`: bytes from row to row. */
ESPI_INLINE void dot_narrow(__m256i acc[4][2], __m256i x0, __m256i x1, const int8_t *group, size_t stride)
{
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 4
    for (size_t r = 0; r < 4; r++) {
        __m256i w = _mm256_broadcastd_epi32(_mm_loadu_si32(group + r * stride));
        acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(_mm256_maddubs_epi16(x0, w), ones));
        acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(_mm256_maddubs_epi16(x1, w), ones));
    }
}

/* In assembly: gcc 12 spills accumulators around the intrinsics, and the CPU prefers the multiplications of a row first. */

typedef int32_t dword[1];
static const __m256i ones = {0x0001000100010001, 0x0001000100010001, 0x0001000100010001, 0x0001000100010001};
static const __m256i low_bytes = {0x00ff00ff00ff00ff, 0x00ff00ff00ff00ff, 0x00ff00ff00ff00ff, 0x00ff00ff00ff00ff};

/* acc += a row of two groups times 16 tokens. */
ESPI_INLINE void dot_pair(__m256i acc[2], const __m256i x[2], const __m256i y[2], const int8_t *w, const int8_t *v)
{
    __m256i t0, t1, u0, u1;
    __asm__("vpbroadcastd %[w], %[t1]\n\tvpbroadcastd %[v], %[u1]\n\t"
            "vpmaddubsw %[t1], %[x0], %[t0]\n\tvpmaddubsw %[t1], %[x1], %[t1]\n\t"
            "vpmaddubsw %[u1], %[y0], %[u0]\n\tvpmaddubsw %[u1], %[y1], %[u1]\n\t"
            "vpaddw %[u0], %[t0], %[t0]\n\tvpaddw %[u1], %[t1], %[t1]\n\t"
            "vpmaddwd %[ones], %[t0], %[t0]\n\tvpmaddwd %[ones], %[t1], %[t1]\n\t"
            "vpaddd %[t0], %[a0], %[a0]\n\tvpaddd %[t1], %[a1], %[a1]"
            : [a0] "+x"(acc[0]), [a1] "+x"(acc[1]), [t0] "=&x"(t0), [t1] "=&x"(t1), [u0] "=&x"(u0), [u1] "=&x"(u1)
            : [x0] "x"(x[0]), [x1] "x"(x[1]), [y0] "x"(y[0]), [y1] "x"(y[1]), [ones] "m"(ones),
              [w] "m"(*(const dword *)(const void *)w), [v] "m"(*(const dword *)(const void *)v));
}

/* The same of one narrow group. */
ESPI_INLINE void dot_narrow_row(__m256i acc[2], const __m256i x[2], const int8_t *w)
{
    __m256i t0, t1;
    __asm__("vpbroadcastd %[w], %[t1]\n\t"
            "vpmaddubsw %[t1], %[x0], %[t0]\n\tvpmaddubsw %[t1], %[x1], %[t1]\n\t"
            "vpmaddwd %[ones], %[t0], %[t0]\n\tvpmaddwd %[ones], %[t1], %[t1]\n\t"
            "vpaddd %[t0], %[a0], %[a0]\n\tvpaddd %[t1], %[a1], %[a1]"
            : [a0] "+x"(acc[0]), [a1] "+x"(acc[1]), [t0] "=&x"(t0), [t1] "=&x"(t1)
            : [x0] "x"(x[0]), [x1] "x"(x[1]), [ones] "m"(ones), [w] "m"(*(const dword *)(const void *)w));
}

/* The same of any group as words: columns 0 and 2, then 1 and 3. */
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
            : [x0] "x"(x[0]), [x1] "x"(x[1]), [low] "m"(low_bytes), [w] "m"(*(const dword *)(const void *)w));
}

/* A chunk's sums of a quad: `sums` holds them from one segment to the next. */
ESPI_INLINE void begin_sums(__m256i acc[4][2], bool first, const struct espi_epilogue *epilogue, size_t quad,
                            const __m256i sums[4][2])
{
#pragma GCC unroll 4
    for (size_t r = 0; r < 4; r++) {
        __m256i start = _mm256_set1_epi32(epilogue->start[quad * 4 + r]);
        acc[r][0] = first ? start : sums[r][0];
        acc[r][1] = first ? start : sums[r][1];
    }
}

ESPI_INLINE void end_sums(__m256i acc[4][2], bool last, const struct espi_epilogue *epilogue, size_t quad, size_t rows,
                          size_t width, size_t token, size_t lanes, __m256i sums[4][2])
{
#pragma GCC unroll 4
    for (size_t r = 0; r < 4; r++)
        if (!last) {
            sums[r][0] = acc[r][0];
            sums[r][1] = acc[r][1];
        } else if (quad * 4 + r < rows) {
            finish_row(epilogue, quad * 4 + r, (quad * 4 + r) * width + token, token, acc[r], lanes);
        }
}

#endif
