/* SPDX-License-Identifier: Apache-2.0
 * The inner products of AVX2: acc += what 16 lanes (tokens or queries) hold times what all share. Only for files compiled for
 * AVX2.
 *
 * x and y hold 4 bytes of a lane each, w and v are 4 bytes for all. _u8: the lanes are u8 and the others s8; _s8: the other way
 * round. Exact where the 16-bit sums of maddubs, and those of two groups, fit, which is for the caller to know.
 *
 * In assembly: gcc 12 spills accumulators around the intrinsics, and the CPU prefers the multiplications of a row first. */
#ifndef ESPI_KERNELS_DOT_AVX2_H
#define ESPI_KERNELS_DOT_AVX2_H

#include "kernels/x86/product_ymm.h"

typedef int32_t dword[1];
static const __m256i one_words = {0x0001000100010001, 0x0001000100010001, 0x0001000100010001, 0x0001000100010001};
static const __m256i low_bytes = {0x00ff00ff00ff00ff, 0x00ff00ff00ff00ff, 0x00ff00ff00ff00ff, 0x00ff00ff00ff00ff};

#define ESPI_ALL(w) "m"(*(const dword *)(const void *)(w))

/* acc += a row of two groups times 16 lanes. */
ESPI_INLINE void dot_pair_u8(__m256i acc[2], const __m256i x[2], const __m256i y[2], const int8_t *w, const int8_t *v)
{
    __m256i t0, t1, u0, u1;
    __asm__("vpbroadcastd %[w], %[t1]\n\tvpbroadcastd %[v], %[u1]\n\t"
            "vpmaddubsw %[t1], %[x0], %[t0]\n\tvpmaddubsw %[t1], %[x1], %[t1]\n\t"
            "vpmaddubsw %[u1], %[y0], %[u0]\n\tvpmaddubsw %[u1], %[y1], %[u1]\n\t"
            "vpaddw %[u0], %[t0], %[t0]\n\tvpaddw %[u1], %[t1], %[t1]\n\t"
            "vpmaddwd %[ones], %[t0], %[t0]\n\tvpmaddwd %[ones], %[t1], %[t1]\n\t"
            "vpaddd %[t0], %[a0], %[a0]\n\tvpaddd %[t1], %[a1], %[a1]"
            : [a0] "+x"(acc[0]), [a1] "+x"(acc[1]), [t0] "=&x"(t0), [t1] "=&x"(t1), [u0] "=&x"(u0), [u1] "=&x"(u1)
            : [x0] "x"(x[0]), [x1] "x"(x[1]), [y0] "x"(y[0]), [y1] "x"(y[1]), [ones] "m"(one_words), [w] ESPI_ALL(w),
              [v] ESPI_ALL(v));
}

ESPI_INLINE void dot_pair_s8(__m256i acc[2], const __m256i x[2], const __m256i y[2], const uint8_t *w, const uint8_t *v)
{
    __m256i t0, t1, u0, u1;
    __asm__("vpbroadcastd %[w], %[t1]\n\tvpbroadcastd %[v], %[u1]\n\t"
            "vpmaddubsw %[x0], %[t1], %[t0]\n\tvpmaddubsw %[x1], %[t1], %[t1]\n\t"
            "vpmaddubsw %[y0], %[u1], %[u0]\n\tvpmaddubsw %[y1], %[u1], %[u1]\n\t"
            "vpaddw %[u0], %[t0], %[t0]\n\tvpaddw %[u1], %[t1], %[t1]\n\t"
            "vpmaddwd %[ones], %[t0], %[t0]\n\tvpmaddwd %[ones], %[t1], %[t1]\n\t"
            "vpaddd %[t0], %[a0], %[a0]\n\tvpaddd %[t1], %[a1], %[a1]"
            : [a0] "+x"(acc[0]), [a1] "+x"(acc[1]), [t0] "=&x"(t0), [t1] "=&x"(t1), [u0] "=&x"(u0), [u1] "=&x"(u1)
            : [x0] "x"(x[0]), [x1] "x"(x[1]), [y0] "x"(y[0]), [y1] "x"(y[1]), [ones] "m"(one_words), [w] ESPI_ALL(w),
              [v] ESPI_ALL(v));
}

/* The same of one group. */
ESPI_INLINE void dot_single_u8(__m256i acc[2], const __m256i x[2], const int8_t *w)
{
    __m256i t0, t1;
    __asm__("vpbroadcastd %[w], %[t1]\n\tvpmaddubsw %[t1], %[x0], %[t0]\n\tvpmaddubsw %[t1], %[x1], %[t1]\n\t"
            "vpmaddwd %[ones], %[t0], %[t0]\n\tvpmaddwd %[ones], %[t1], %[t1]\n\t"
            "vpaddd %[t0], %[a0], %[a0]\n\tvpaddd %[t1], %[a1], %[a1]"
            : [a0] "+x"(acc[0]), [a1] "+x"(acc[1]), [t0] "=&x"(t0), [t1] "=&x"(t1)
            : [x0] "x"(x[0]), [x1] "x"(x[1]), [ones] "m"(one_words), [w] ESPI_ALL(w));
}

ESPI_INLINE void dot_single_s8(__m256i acc[2], const __m256i x[2], const uint8_t *w)
{
    __m256i t0, t1;
    __asm__("vpbroadcastd %[w], %[t1]\n\tvpmaddubsw %[x0], %[t1], %[t0]\n\tvpmaddubsw %[x1], %[t1], %[t1]\n\t"
            "vpmaddwd %[ones], %[t0], %[t0]\n\tvpmaddwd %[ones], %[t1], %[t1]\n\t"
            "vpaddd %[t0], %[a0], %[a0]\n\tvpaddd %[t1], %[a1], %[a1]"
            : [a0] "+x"(acc[0]), [a1] "+x"(acc[1]), [t0] "=&x"(t0), [t1] "=&x"(t1)
            : [x0] "x"(x[0]), [x1] "x"(x[1]), [ones] "m"(one_words), [w] ESPI_ALL(w));
}

#endif
