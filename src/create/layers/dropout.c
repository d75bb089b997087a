/* SPDX-License-Identifier: Apache-2.0 */
#include "create/layers/dropout.h"

#include "base/simd.h"
#include "base/size.h"

enum { PARTS = ESPI_DROPOUT_GROUP / ESPI_LANES }; // 16-bit parts of a block of four words

/* ESPI_LANES blocks of Philox4x32-10 side by side, as espi_random_block draws them: part p of the block in lane l goes
 * to draws[p * ESPI_LANES + l]. */
ESPI_SIMD static void draw_group(uint64_t seed, uint64_t stream, uint64_t group, uint16_t *restrict draws)
{
    uint64_t first = group * ESPI_LANES; // a multiple of the lanes: adding one does not carry
    for (uint32_t lane = 0; lane < ESPI_LANES; lane++) {
        uint32_t c0 = (uint32_t)first + lane, c1 = (uint32_t)(first >> 32);
        uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
            c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
            c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
            c1 = (uint32_t)p1;
            c3 = (uint32_t)p0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        draws[0 * ESPI_LANES + lane] = (uint16_t)c0;
        draws[1 * ESPI_LANES + lane] = (uint16_t)(c0 >> 16);
        draws[2 * ESPI_LANES + lane] = (uint16_t)c1;
        draws[3 * ESPI_LANES + lane] = (uint16_t)(c1 >> 16);
        draws[4 * ESPI_LANES + lane] = (uint16_t)c2;
        draws[5 * ESPI_LANES + lane] = (uint16_t)(c2 >> 16);
        draws[6 * ESPI_LANES + lane] = (uint16_t)c3;
        draws[7 * ESPI_LANES + lane] = (uint16_t)(c3 >> 16);
    }
}

ESPI_SIMD static void keep_above(size_t count, uint32_t threshold, float scale, const uint16_t *restrict draws,
                                 float *restrict x)
{
    for (size_t i = 0; i < count; i++)
        x[i] *= draws[i] < threshold ? 0.0f : scale;
}

void espi_dropout_row(uint64_t seed, uint64_t stream, uint64_t position, float rate, size_t count, float *x)
{
    _Static_assert(PARTS == 8, "four words of two halves");
    uint16_t draws[ESPI_DROPOUT_GROUP];
    uint32_t threshold = (uint32_t)(rate * 65536.0f + 0.5f);
    float scale = 1.0f / (1.0f - rate);
    for (size_t done = 0; done < count;) {
        size_t offset = (size_t)((position + done) % ESPI_DROPOUT_GROUP);
        size_t part = espi_size_min(ESPI_DROPOUT_GROUP - offset, count - done);
        draw_group(seed, stream, (position + done) / ESPI_DROPOUT_GROUP, draws);
        keep_above(part, threshold, scale, draws + offset, x + done);
        done += part;
    }
}
