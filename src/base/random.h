/* SPDX-License-Identifier: Apache-2.0
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11).
 * A value depends on (seed, stream, position) only, never on who draws first: threads can draw anywhere. */
#ifndef ESPI_BASE_RANDOM_H
#define ESPI_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* The four words of block `position` of a stream. */
void espi_random_block(uint64_t seed, uint64_t stream, uint64_t position, uint32_t out[4]);

/* A cursor over one stream, for serial use. Start: {.seed = s, .stream = k}; a new stream needs a new cursor. */
struct espi_random {
    uint64_t seed, stream, position; // position in 32-bit words
    uint64_t held;                   // block[] is block `held - 1`; 0: not drawn yet
    uint32_t block[4];
};

uint32_t espi_random_u32(struct espi_random *random);
uint64_t espi_random_below(struct espi_random *random, uint64_t bound); // unbiased; bound > 0
float espi_random_uniform(struct espi_random *random);                  // [0, 1)
float espi_random_normal(struct espi_random *random);                   // mean 0, deviation 1 (Box-Muller)

#endif
