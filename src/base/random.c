/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include <math.h>

/* Constants of the paper, section 4.3. */
void espi_random_block(uint64_t seed, uint64_t stream, uint64_t position, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)position, c1 = (uint32_t)(position >> 32), c2 = (uint32_t)stream,
             c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint32_t espi_random_u32(struct espi_random *random)
{
    uint64_t block = random->position / 4;
    if (random->held != block + 1) {
        espi_random_block(random->seed, random->stream, block, random->block);
        random->held = block + 1;
    }
    return random->block[random->position++ % 4];
}

uint64_t espi_random_below(struct espi_random *random, uint64_t bound)
{
    /* Draws above the largest multiple of the bound are thrown away: no value is favoured. Few come near it, and only
     * these cost a division. */
    uint64_t draw;
    do {
        uint64_t high = espi_random_u32(random);
        draw = high << 32 | espi_random_u32(random);
    } while (draw > UINT64_MAX - bound && draw > UINT64_MAX - (UINT64_MAX % bound + 1) % bound);
    return draw % bound;
}

float espi_random_uniform(struct espi_random *random)
{
    return (float)(espi_random_u32(random) >> 8) * 0x1p-24f;
}

float espi_random_normal(struct espi_random *random)
{
    double u = ((double)espi_random_u32(random) + 0.5) * 0x1p-32, v = (double)espi_random_u32(random) * 0x1p-32;
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}
