/* SPDX-License-Identifier: Apache-2.0
 * The int8 products of AVX-VNNI. */
#ifndef ESPI_KERNELS_INT8_AVXVNNI_H
#define ESPI_KERNELS_INT8_AVXVNNI_H

#include "kernels/x86/product_ymm.h"

/* ---- the dot product --------------------------------------------------------------------------------------------------- */

enum { DENSE_ROWS = 6 }; // of a block, two blocks to three quads: 12 accumulators hide the latency

struct columns {
    __m256i bytes[2]; // dwords of 4 columns of a token
};

ESPI_INLINE struct columns from_dwords(__m256i low, __m256i high)
{
    return (struct columns){{low, high}};
}

ESPI_INLINE struct columns from_rows(__m128i a, __m128i b, __m128i c, __m128i d)
{
    __m256i ab = _mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b));
    __m256i cd = _mm256_set_m128i(_mm_unpackhi_epi8(c, d), _mm_unpacklo_epi8(c, d));
    return (struct columns){{_mm256_unpacklo_epi16(ab, cd), _mm256_unpackhi_epi16(ab, cd)}};
}

/* acc[v] += dot4(u8 x[v], s8 w) with one dword of weights. In assembly: gcc 12 copies accumulators around the
 * intrinsic. */
ESPI_INLINE void dot_row(__m256i acc[2], const struct columns *x, const int8_t *w)
{
    __m256i weight;
    __asm__("vpbroadcastd %[w], %[weight]\n\t"
            "%{vex%} vpdpbusd %[weight], %[x0], %[a0]\n\t"
            "%{vex%} vpdpbusd %[weight], %[x1], %[a1]"
            : [a0] "+x"(acc[0]), [a1] "+x"(acc[1]), [weight] "=&x"(weight)
            : [x0] "x"(x->bytes[0]), [x1] "x"(x->bytes[1]), [w] "m"(*(const int32_t(*)[1])(const void *)w));
}

/* ---- dense ------------------------------------------------------------------------------------------------------------- */

/* Output rows `row` .. `row + rows - 1` (those that exist) of every chunk; `phase`: row % 4. */
ESPI_INLINE void dense_block(const struct dense *dense, size_t width, size_t row, int phase, int rows)
{
    const size_t groups = dense->groups;
    for (size_t token = 0; token < width; token += CHUNK) {
        __m256i acc[DENSE_ROWS][2];
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
            acc[r][0] = acc[r][1] = _mm256_set1_epi32(dense->epilogue->start[row + (size_t)r]);
        const int8_t *w = dense->weights + row / 4 * groups * 16;
        const uint8_t *dwords = dense->x + token * 4;
        for (size_t group = 0; group < groups; group++, w += 16, dwords += width * 4) {
            struct columns columns = from_dwords(load_32(dwords), load_32(dwords + 32));
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++)
                dot_row(acc[r], &columns, w + (size_t)((phase + r) / 4) * groups * 16 + (phase + r) % 4 * 4);
        }
#pragma GCC unroll 6
        for (size_t r = 0; r < (size_t)rows; r++)
            if (row + r < dense->rows)
                finish_row(dense->epilogue, row + r, (row + r) * width + token, token, acc[r], 0);
    }
}

ESPI_INLINE void dense_product(const struct dense *dense, size_t width, size_t first, size_t end, enum dot dot)
{
    (void)dot; // DOT_U8S8
    size_t quad = first;
    for (; quad + 3 <= end; quad += 3) {
        dense_block(dense, width, quad * 4, 0, DENSE_ROWS);
        dense_block(dense, width, quad * 4 + 6, 2, DENSE_ROWS);
    }
    for (; quad < end; quad++)
        dense_block(dense, width, quad * 4, 0, 4);
}

/* ---- sparse ------------------------------------------------------------------------------------------------------------ */

ESPI_INLINE void sparse_product(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first,
                                size_t end, const struct espi_epilogue *epilogue)
{
    for (size_t i = first * (width / CHUNK); i < end * (width / CHUNK); i++) {
        size_t quad = i / (width / CHUNK), token = i % (width / CHUNK) * CHUNK;
        __m256i acc[4][2];
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++)
            acc[r][0] = acc[r][1] = _mm256_set1_epi32(epilogue->start[quad * 4 + r]);
        for (size_t group = weights->starts[quad]; group < weights->starts[quad + 1]; group++) {
            const uint16_t *indices = weights->indices + group * 4;
            struct columns columns =
                from_rows(load_16(x + indices[0] * width + token), load_16(x + indices[1] * width + token),
                          load_16(x + indices[2] * width + token), load_16(x + indices[3] * width + token));
#pragma GCC unroll 4
            for (size_t r = 0; r < 4; r++)
                dot_row(acc[r], &columns, weights->weights + group * 16 + r * 4);
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++)
            if (quad * 4 + r < weights->rows)
                finish_row(epilogue, quad * 4 + r, (quad * 4 + r) * width + token, token, acc[r], 8);
    }
}

#endif
