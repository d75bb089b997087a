/* SPDX-License-Identifier: Apache-2.0
 * The right-hand operand stands in strips, so that the inner loop reads it in order from the first-level cache; the left-hand
 * one is read where it stands, one element to all lanes. oneDNN has no kernel for packed operands on CPUs with AVX2 but
 * without AVX-512 and copies them anew in every call. That costs nothing in the tiles of a wide layer, but the small products
 * of attention reach only 50 to 85 % of the peak; here all reach 90 % and more, and a tile may have any number of rows. */
#include "kernels/kernel.h"

#include <immintrin.h>

#define ESPI_INLINE static inline __attribute__((always_inline))

enum {
    GROUP = 6,   // rows whose 12 sums, with 2 vectors of the strip and one of the left-hand side, fill the 16 registers
    DEPTH = 256, // of a strip that stays in the first-level cache: 16 KB
    UNROLL = 8,
    PREFETCH = 2, // columns of the next strip that one group of rows asks for: eight groups ask for all
};

/* Rows of a block against a part of a strip. */
struct strip {
    size_t depth, source_stride, target_stride;
    const float *source; // (rows, depth)
    const float *strip;  // (depth, ESPI_STRIP)
    const float *next;   // the part of a strip that comes next
    bool add;
    float *target; // (rows, ESPI_STRIP)
};

/* One element of each row times ESPI_STRIP of the strip. `below` is the fourth row: every row is then what an address can
 * hold from one of two pointers, and the loop is little more than its loads and sums. That tells where another thread
 * shares the core (77 to 65 GFLOP/s). */
ESPI_INLINE void add_products(size_t rows, const float *source, const float *below, size_t stride, const float *strip,
                              __m256 sums[GROUP][2])
{
    __m256 low = _mm256_loadu_ps(strip), high = _mm256_loadu_ps(strip + 8);
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        __m256 x = _mm256_broadcast_ss(r < 3 ? source + r * stride : below + (r - 3) * stride);
        sums[r][0] = _mm256_fmadd_ps(x, low, sums[r][0]);
        sums[r][1] = _mm256_fmadd_ps(x, high, sums[r][1]);
    }
}

/* target = or += source strip for `rows` rows from `row` on, a number known to the compiler. Meanwhile asks for
 * PREFETCH * depth elements of the next strip, which the processor would notice too late. */
ESPI_INLINE void multiply_rows(size_t rows, size_t row, const struct strip *s)
{
    const float *source = s->source + row * s->source_stride, *strip = s->strip;
    const float *next = s->next + row / GROUP % (ESPI_STRIP / PREFETCH) * s->depth * PREFETCH;
    float *target = s->target + row * s->target_stride;
    __m256 sums[GROUP][2];
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        sums[r][0] = s->add ? _mm256_loadu_ps(target + r * s->target_stride) : _mm256_setzero_ps();
        sums[r][1] = s->add ? _mm256_loadu_ps(target + r * s->target_stride + 8) : _mm256_setzero_ps();
    }
    size_t depth = s->depth, stride = s->source_stride;
    const float *below = source + (rows > 3 ? 3 * stride : 0);
    for (; depth >= UNROLL; depth -= UNROLL) {
        _mm_prefetch((const char *)next, _MM_HINT_T0);
#pragma GCC unroll 8
        for (size_t i = 0; i < UNROLL; i++)
            add_products(rows, source + i, below + i, stride, strip + i * ESPI_STRIP, sums);
        source += UNROLL, below += UNROLL, strip += UNROLL * ESPI_STRIP, next += UNROLL * PREFETCH;
        // or gcc keeps sums of them for every row and element, on the stack
        __asm__("" : "+r"(source), "+r"(below), "+r"(stride));
    }
    for (; depth > 0; depth--, source++, below++, strip += ESPI_STRIP)
        add_products(rows, source, below, stride, strip, sums);
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        _mm256_storeu_ps(target + r * s->target_stride, sums[r][0]);
        _mm256_storeu_ps(target + r * s->target_stride + 8, sums[r][1]);
    }
}

static void multiply_strip(size_t rows, const struct strip *s)
{
    size_t row = 0;
    for (; row + GROUP <= rows; row += GROUP)
        multiply_rows(GROUP, row, s);
    switch (rows - row) {
    case 5:
        multiply_rows(5, row, s);
        break;
    case 4:
        multiply_rows(4, row, s);
        break;
    case 3:
        multiply_rows(3, row, s);
        break;
    case 2:
        multiply_rows(2, row, s);
        break;
    case 1:
        multiply_rows(1, row, s);
        break;
    default:
        break;
    }
}

void espi_gemm_strips_avx2(const struct espi_strips *strips)
{
    const size_t inner = strips->inner, columns = strips->columns;
    for (size_t k = 0; k < inner; k += DEPTH) {
        size_t after = k + DEPTH < inner ? (k + DEPTH) * ESPI_STRIP : 0;
        for (size_t n = 0; n < columns; n += ESPI_STRIP) {
            const float *strip = strips->right + n / ESPI_STRIP * strips->pitch + k * ESPI_STRIP;
            const struct strip s = {.depth = inner - k < DEPTH ? inner - k : DEPTH,
                                    .source_stride = inner,
                                    .target_stride = columns,
                                    .source = strips->source + k,
                                    .strip = strip,
                                    .next = n + ESPI_STRIP < columns ? strip + strips->pitch : strips->right + after,
                                    .add = strips->add || k > 0,
                                    .target = strips->target + n};
            multiply_strip(strips->rows, &s);
        }
    }
}
