/* SPDX-License-Identifier: Apache-2.0
 * In which order AVX2 takes the groups of a dense quad.
 *
 * Its u8 x s8 product leaves the sum of two products in 16 bits: columns 0 and 1 of a row, columns 2 and 3. The sums of two
 * groups may be added up in 16 bits before they are widened when the positive weights that meet there come to at most
 * ESPI_PAIR_LIMIT and the negative ones to at least minus that: then nothing on the way exceeds 255 * 128, whatever the
 * input. Two groups are a pair when this holds for all rows (kind 0), or for all but row `kind - 1`, which is multiplied as
 * words.
 *
 * The columns of a quad are cut into segments of 256 groups. A segment's order names each of its groups by its number in the
 * segment: the pairs of kind 0 first, then those of kinds 1 to 4, then the groups without a partner, which are multiplied
 * as words. It is a proposal: the kernel looks whether the order names each group once and the pairs are such, and takes
 * all groups as words where it does not. */
#ifndef ESPI_KERNELS_PAIRS_H
#define ESPI_KERNELS_PAIRS_H

#include <stddef.h>
#include <stdint.h>

enum { ESPI_PAIR_KINDS = 5, ESPI_SEGMENT_GROUPS = 256 };

static inline size_t espi_segments(size_t columns)
{
    return (columns + 4 * ESPI_SEGMENT_GROUPS - 1) / (4 * ESPI_SEGMENT_GROUPS);
}

/* Finds a segment's pairs: of each group that has none yet, the heaviest first, with the heaviest it fits with. */
void espi_pairs_find(const int8_t *weights,         // (groups, 4 rows, 4 columns)
                     size_t groups,                 // 1 .. ESPI_SEGMENT_GROUPS
                     uint8_t *order,                // (groups)
                     uint8_t pairs[ESPI_PAIR_KINDS] // how many of each kind
);

#endif
