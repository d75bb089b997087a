/* SPDX-License-Identifier: Apache-2.0
 * Blocks of 24 accumulators: 6 rows of 64 tokens, 12 of 32, 24 of 16. With 16 of them, loads and dot products get into
 * each other's way (94 % of the peak at best). */
#include "kernels/product_zmm.h"

/* Output rows `row` .. `row + rows - 1` (those that exist); `phase`: row % 4. */
ESPI_INLINE void compute_block(const struct espi_quads *weights, const uint8_t *x, size_t row, int phase, int rows,
                               int vectors, const struct espi_epilogue *epilogue)
{
    const size_t width = (size_t)vectors * 16;
    const size_t groups = (weights->columns + 3) / 4;
    __m512i acc[24][4];
#pragma GCC unroll 24
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            acc[r][v] = start_sum(&epilogue->start[row + (size_t)r]);
    const int8_t *w = weights->weights + row / 4 * groups * 16;
    for (size_t group = 0; group < groups; group++, w += 16, x += width * 4) {
        __m512i columns[4];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            columns[v] = _mm512_loadu_si512(x + 64 * v);
            _mm_prefetch((const char *)x + 4 * (width * 4) + 64 * v, _MM_HINT_T0); // 4 groups ahead
        }
#pragma GCC unroll 24
        for (int r = 0; r < rows; r++)
            dot_row(acc[r], columns, w + (size_t)((phase + r) / 4) * groups * 16 + (phase + r) % 4 * 4, vectors);
    }
#pragma GCC unroll 24
    for (size_t r = 0; r < (size_t)rows; r++)
        if (row + r < weights->rows)
            finish_row(epilogue, row + r, width, acc[r], vectors, false);
}

static void compute_64(const struct espi_quads *weights, const uint8_t *x, size_t first, size_t end,
                       const struct espi_epilogue *epilogue)
{
    size_t quad = first;
    for (; quad + 3 <= end; quad += 3) {
        compute_block(weights, x, quad * 4, 0, 6, 4, epilogue);
        compute_block(weights, x, quad * 4 + 6, 2, 6, 4, epilogue);
    }
    for (; quad < end; quad++)
        compute_block(weights, x, quad * 4, 0, 4, 4, epilogue);
}

static void compute_32(const struct espi_quads *weights, const uint8_t *x, size_t first, size_t end,
                       const struct espi_epilogue *epilogue)
{
    size_t quad = first;
    for (; quad + 3 <= end; quad += 3)
        compute_block(weights, x, quad * 4, 0, 12, 2, epilogue);
    for (; quad < end; quad++)
        compute_block(weights, x, quad * 4, 0, 4, 2, epilogue);
}

static void compute_16(const struct espi_quads *weights, const uint8_t *x, size_t first, size_t end,
                       const struct espi_epilogue *epilogue)
{
    size_t quad = first;
    for (; quad + 4 <= end; quad += 4)
        compute_block(weights, x, quad * 4, 0, 16, 1, epilogue);
    for (; quad < end; quad++)
        compute_block(weights, x, quad * 4, 0, 4, 1, epilogue);
}

void espi_gemm_u8s8_avx512vnni(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first,
                               size_t end, const struct espi_epilogue *epilogue)
{
    if (width == 64)
        compute_64(weights, x, first, end, epilogue);
    else if (width == 32)
        compute_32(weights, x, first, end, epilogue);
    else
        compute_16(weights, x, first, end, epilogue);
}
