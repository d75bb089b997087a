/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/product_zmm.h"

/* The byte permutation that ends the interleaving of narrow groups: bytes of dword j are base + j * step. */
ESPI_INLINE __m512i byte_order(int base, int step)
{
    __m512i j = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_add_epi32(_mm512_mullo_epi32(j, _mm512_set1_epi32(step)), _mm512_set1_epi32(base));
}

/* Four columns of 64 tokens to dwords of one token each: 8 unpacks. */
ESPI_INLINE void load_group_64(const uint8_t *x, const uint16_t *indices, __m512i out[4])
{
    __m512i a = _mm512_loadu_si512(x + (size_t)indices[0] * 64), b = _mm512_loadu_si512(x + (size_t)indices[1] * 64);
    __m512i c = _mm512_loadu_si512(x + (size_t)indices[2] * 64), d = _mm512_loadu_si512(x + (size_t)indices[3] * 64);
    __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
    __m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
    out[0] = _mm512_unpacklo_epi16(ab_low, cd_low);
    out[1] = _mm512_unpackhi_epi16(ab_low, cd_low);
    out[2] = _mm512_unpacklo_epi16(ab_high, cd_high);
    out[3] = _mm512_unpackhi_epi16(ab_high, cd_high);
}

ESPI_INLINE __m256i load_32(const uint8_t *x, uint16_t index)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)(x + (size_t)index * 32));
}

/* Of 32 tokens: two columns fill a register; words of a, b and of c, d meet in one register, the permutation pairs
 * them. */
ESPI_INLINE void load_group_32(const uint8_t *x, const uint16_t *indices, __m512i order, __m512i out[2])
{
    __m512i ac = _mm512_inserti64x4(_mm512_castsi256_si512(load_32(x, indices[0])), load_32(x, indices[2]), 1);
    __m512i bd = _mm512_inserti64x4(_mm512_castsi256_si512(load_32(x, indices[1])), load_32(x, indices[3]), 1);
    out[0] = _mm512_permutexvar_epi8(order, _mm512_unpacklo_epi8(ac, bd));
    out[1] = _mm512_permutexvar_epi8(order, _mm512_unpackhi_epi8(ac, bd));
}

ESPI_INLINE __m128i load_16(const uint8_t *x, uint16_t index)
{
    return _mm_loadu_si128((const __m128i *)(const void *)(x + (size_t)index * 16));
}

/* Of 16 tokens: four columns fill a register. */
ESPI_INLINE void load_group_16(const uint8_t *x, const uint16_t *indices, __m512i order, __m512i out[1])
{
    __m512i all = _mm512_castsi128_si512(load_16(x, indices[0]));
    all = _mm512_inserti32x4(all, load_16(x, indices[1]), 1);
    all = _mm512_inserti32x4(all, load_16(x, indices[2]), 2);
    all = _mm512_inserti32x4(all, load_16(x, indices[3]), 3);
    out[0] = _mm512_permutexvar_epi8(order, all);
}

ESPI_INLINE void compute_quads(const struct espi_quads *weights, const uint8_t *x, size_t first, size_t end,
                               const struct espi_epilogue *epilogue, int vectors)
{
    const size_t width = (size_t)vectors * 16;
    const __m512i order = vectors == 2 ? byte_order(0x21200100, 0x02020202) : byte_order(0x30201000, 0x01010101);
    for (size_t quad = first; quad < end; quad++) {
        __m512i acc[4][4];
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                acc[r][v] = start_sum(&epilogue->start[quad * 4 + (size_t)r]);
        const int8_t *w = weights->weights + (size_t)weights->starts[quad] * 16;
        const int8_t *w_end = weights->weights + (size_t)weights->starts[quad + 1] * 16;
        const uint16_t *indices = weights->indices + (size_t)weights->starts[quad] * 4;
        for (; w != w_end; w += 16, indices += 4) {
            __m512i group[4];
            if (vectors == 4)
                load_group_64(x, indices, group);
            else if (vectors == 2)
                load_group_32(x, indices, order, group);
            else
                load_group_16(x, indices, order, group);
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                dot_row(acc[r], group, w + 4 * r, vectors);
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++)
            if (quad * 4 + r < weights->rows)
                finish_row(epilogue, quad * 4 + r, width, acc[r], vectors, true);
    }
}

void espi_sparse_u8s8_avx512vnni(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first,
                                 size_t end, const struct espi_epilogue *epilogue)
{
    if (width == 64)
        compute_quads(weights, x, first, end, epilogue, 4);
    else if (width == 32)
        compute_quads(weights, x, first, end, epilogue, 2);
    else
        compute_quads(weights, x, first, end, epilogue, 1);
}
