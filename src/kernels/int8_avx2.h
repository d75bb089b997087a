/* SPDX-License-Identifier: Apache-2.0
 * What the int8 products of AVX2 share.
 *
 * maddubs multiplies u8 by s8 and adds the products in pairs, in 16 bits with saturation. It is exact for every input when
 * |w0 + w1| <= 128, since then the sum stays within 255 * 128. A group whose 8 pairs of weights are such is "narrow" and
 * takes maddubs; the others are "wide": their bytes are widened to words and multiplied with madd, whose pair sums fit 32
 * bits. Sparse products find out which groups are narrow anew for every quad and panel; dense ones pair groups
 * (kernels/pairs.h). */
#ifndef ESPI_KERNELS_INT8_AVX2_H
#define ESPI_KERNELS_INT8_AVX2_H

#include "kernels/pack.h"
#include "kernels/product_ymm.h"

#include <string.h>

enum { GROUP = 16 }; // bytes of a group

/* Bit i: group i of 4 is narrow. */
ESPI_INLINE unsigned narrow_of_4(const int8_t *weights)
{
    const __m256i ones = _mm256_set1_epi8(1), limit = _mm256_set1_epi16(ESPI_PAIR_LIMIT);
    __m256i wide[2];
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        __m256i sums = _mm256_maddubs_epi16(ones, load_32((const uint8_t *)weights + 32 * i));
        wide[i] = _mm256_cmpgt_epi16(_mm256_abs_epi16(sums), limit);
    }
    /* 8 bytes a group, in the order 0 2 1 3 */
    __m256i groups = _mm256_permute4x64_epi64(_mm256_packs_epi16(wide[0], wide[1]), 0xd8);
    return (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(groups, _mm256_setzero_si256())));
}

/* The same for the first 4 of `count` groups, or as many as there are. */
ESPI_INLINE unsigned narrow_of_first(const int8_t *weights, size_t count)
{
    if (count >= 4)
        return narrow_of_4(weights);
    int8_t last[4 * GROUP] = {0};
    memcpy(last, weights, count * GROUP);
    return narrow_of_4(last) & ((1u << count) - 1);
}

/* A group as words: columns 0 and 2, then 1 and 3, of each row. */
ESPI_INLINE __m256i widen(const int8_t *group)
{
    const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    __m256i words = _mm256_cvtepi8_epi16(load_16((const uint8_t *)group));
    return _mm256_shuffle_epi8(words, _mm256_broadcastsi128_si256(order));
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

/* The same for any group, as words; x: columns 0 and 2, columns 1 and 3. */
ESPI_INLINE void dot_wide(__m256i acc[4][2], const __m256i even[2], const __m256i odd[2], const __m256i *words)
{
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
        const char *row = (const char *)words + 8 * r;
        __m256i w02 = _mm256_broadcastd_epi32(_mm_loadu_si32(row));
        __m256i w13 = _mm256_broadcastd_epi32(_mm_loadu_si32(row + 4));
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(even[v], w02));
            acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(odd[v], w13));
        }
    }
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
                          size_t width, size_t token, bool lanes, __m256i sums[4][2])
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
