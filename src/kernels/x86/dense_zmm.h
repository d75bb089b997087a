/* SPDX-License-Identifier: Apache-2.0
 * The 512-bit dense products: one text for int8, float and bf16, which differ in the dot product of a dword.
 *
 * Blocks of 24 accumulators: 6 rows of 64 tokens, 12 of 32. With 16 of them, loads and dot products get into each other's
 * way (94 % of the peak at best). While a block is multiplied, the weights of the next are fetched: its streams are too
 * short for a processor to notice in time that they go on, and of a whole model they come from memory (32 tokens: 1.16
 * times as fast on Zen 4, 64: 1.06). */
#ifndef ESPI_KERNELS_DENSE_ZMM_H
#define ESPI_KERNELS_DENSE_ZMM_H

#include "kernels/x86/product_zmm.h"

/* Volatile for the reason start_sum is. */
ESPI_INLINE __m512i zero_sum(void)
{
    __m512i value;
    __asm__ volatile("vpxord %0, %0, %0" : "=v"(value));
    return value;
}

ESPI_INLINE void finish_sums(const struct espi_epilogue *epilogue, size_t row, size_t width, const __m512i *sums,
                             int vectors, enum dot dot)
{
    if (dot == DOT_U8S8) {
        finish_row(epilogue, row, width, sums, vectors, false);
        return;
    }
    __m512 y[4] = {0};
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        y[v] = _mm512_castsi512_ps(sums[v]);
    finish_floats(epilogue, row, width, y, vectors, false);
}

/* Output rows `row` .. `row + rows - 1` (those that exist); `phase`: row % 4. */
ESPI_INLINE void dense_block(const struct dense *dense, size_t row, int phase, int rows, int vectors, enum dot dot)
{
    const size_t width = (size_t)vectors * 16;
    const size_t groups = dense->groups;
    const uint8_t *x = dense->x;
    __m512i acc[24][4];
#pragma GCC unroll 24
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            acc[r][v] = dot == DOT_U8S8 ? start_sum(&dense->epilogue->start[row + (size_t)r]) : zero_sum();
    const int8_t *w = dense->weights + row / 4 * groups * 16;
    const int read = (phase + rows + 3) / 4;             // quads this block reads
    const int ahead = (phase + 2 * rows + 3) / 4 - read; // quads the next one reads first
    const int8_t *next = w + (size_t)read * groups * 16;
    for (size_t group = 0; group < groups; group++, w += 16, x += width * 4, next += ahead * 16) {
        __m512i columns[4];
        _mm_prefetch((const char *)next, _MM_HINT_T0);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            columns[v] = _mm512_loadu_si512(x + 64 * v);
            _mm_prefetch((const char *)x + 4 * (width * 4) + 64 * v, _MM_HINT_T0); // 4 groups ahead
        }
#pragma GCC unroll 24
        for (int r = 0; r < rows; r++)
            dot_row(acc[r], columns, w + (size_t)((phase + r) / 4) * groups * 16 + (phase + r) % 4 * 4, vectors, dot);
    }
#pragma GCC unroll 24
    for (size_t r = 0; r < (size_t)rows; r++)
        if (row + r < dense->rows)
            finish_sums(dense->epilogue, row + r, width, acc[r], vectors, dot);
}

ESPI_INLINE void dense_64(const struct dense *dense, size_t first, size_t end, enum dot dot)
{
    size_t quad = first;
    for (; quad + 3 <= end; quad += 3) {
        dense_block(dense, quad * 4, 0, 6, 4, dot);
        dense_block(dense, quad * 4 + 6, 2, 6, 4, dot);
    }
    for (; quad < end; quad++)
        dense_block(dense, quad * 4, 0, 4, 4, dot);
}

ESPI_INLINE void dense_32(const struct dense *dense, size_t first, size_t end, enum dot dot)
{
    size_t quad = first;
    for (; quad + 3 <= end; quad += 3)
        dense_block(dense, quad * 4, 0, 12, 2, dot);
    for (; quad < end; quad++)
        dense_block(dense, quad * 4, 0, 4, 2, dot);
}

ESPI_INLINE void dense_16(const struct dense *dense, size_t first, size_t end, enum dot dot)
{
    size_t quad = first;
    for (; quad + 4 <= end; quad += 4)
        dense_block(dense, quad * 4, 0, 16, 1, dot);
    for (; quad < end; quad++)
        dense_block(dense, quad * 4, 0, 4, 1, dot);
}

ESPI_INLINE void dense_product(const struct dense *dense, size_t width, size_t first, size_t end, enum dot dot)
{
    if (width == 64)
        dense_64(dense, first, end, dot);
    else if (width == 32)
        dense_32(dense, first, end, dot);
    else
        dense_16(dense, first, end, dot);
}

#endif
