/* SPDX-License-Identifier: Apache-2.0
 * In which order a sparse quad names the columns it keeps: for AVX2, whose u8 x s8 product leaves sums of two in 16 bits
 * (kernels/pairs.h). Columns may stand in any order, so, unlike dense groups, they are put together as they fit:
 *
 *     fours   four columns whose products add up in 16 bits: slots 0 and 1, or 2 and 3, of two neighbouring groups.
 *             Two fours make a pair of groups.
 *     twos    two columns whose products do: slots 0 and 1, or 2 and 3, of one group. Two twos make a narrow group.
 *
 * A quad's groups are cut into segments. A segment begins with its pairs; behind them are its narrow groups, then the others.
 * Nothing in a file says how many there are of each: the kernel looks. Another order is as exact, only slower. */
#ifndef ESPI_KERNELS_COLUMNS_H
#define ESPI_KERNELS_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

enum { ESPI_SPARSE_SEGMENT_GROUPS = 64 }; // at most; even

/* Groups of each segment, but perhaps the last, of a quad with `groups` groups: even, about the same for all. */
static inline size_t espi_sparse_segment(size_t groups)
{
    size_t segments = (groups + ESPI_SPARSE_SEGMENT_GROUPS - 1) / ESPI_SPARSE_SEGMENT_GROUPS;
    return segments ? ((groups + segments - 1) / segments + 1) / 2 * 2 : 0;
}

/* Segments of a quad at most. */
static inline size_t espi_sparse_segments(size_t columns)
{
    return (columns + 4 * ESPI_SPARSE_SEGMENT_GROUPS - 1) / (4 * ESPI_SPARSE_SEGMENT_GROUPS);
}

/* Orders the columns of one segment. */
void espi_columns_order(const int8_t *weights, // (rows, stride) of a quad
                        size_t rows,           // 1 .. 4
                        size_t stride,
                        uint16_t *columns, // (count), in and out
                        size_t count       // at most 4 * ESPI_SPARSE_SEGMENT_GROUPS
);

#endif
