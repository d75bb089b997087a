/* SPDX-License-Identifier: Apache-2.0
 * The 512-bit sparse products. Only for files compiled for AVX-512. */
#ifndef ESPI_KERNELS_SPARSE_ZMM_H
#define ESPI_KERNELS_SPARSE_ZMM_H

#include "kernels/x86/product_zmm.h"

enum { AHEAD = 64 }; // groups whose weights and indices are fetched before they are needed

/* ---- 64 tokens --------------------------------------------------------------------------------------------------------- */

#define LOAD(slot, out)                                                                                                \
    "movzwl " #slot "*2(%[indices]), %k[offset]\n\t"                                                                   \
    "shl $6, %[offset]\n\t"                                                                                            \
    "vmovdqu64 (%[x],%[offset]), %%zmm" #out "\n\t"
#define UNPACK(half, a, b, out)    "vpunpck" #half " %%zmm" #b ", %%zmm" #a ", %%zmm" #out "\n\t"
#define WEIGHT(row, out)           "vpbroadcastd " #row "*4(%[w]), %%zmm" #out "\n\t"
#define START(row, out)            "vpbroadcastd " #row "*4(%[start]), %%zmm" #out "\n\t"
#define DOT(columns, weight, acc)  "vpdpbusd %%zmm" #weight ", %%zmm" #columns ", %%zmm" #acc "\n\t"
#define DOTS_LOW(columns, a0, a1)  DOT(columns, 28, a0) DOT(columns, 29, a1)
#define DOTS_HIGH(columns, a2, a3) DOT(columns, 30, a2) DOT(columns, 31, a3)
#define SUM(row, acc)              register __m512i sum##acc __asm__("zmm" #acc);
#define OUTPUT(row, acc)           "=&v"(sum##acc),
#define KEEP(row, acc)             sums[row][acc % 4] = sum##acc;
/* clang-format off */
#define EACH_SUM(X)                                                                                                    \
    X(0, 0) X(0, 1) X(0, 2) X(0, 3) X(1, 4) X(1, 5) X(1, 6) X(1, 7)                                                    \
    X(2, 8) X(2, 9) X(2, 10) X(2, 11) X(3, 12) X(3, 13) X(3, 14) X(3, 15)

/* sums[row][vector] of a quad in lanes order. Sums are zmm0-15 and stay there for the epilogue (through memory: 2 to 4 %
 * slower on Zen 4). Pipelined by hand: while the dot products of a group run (columns in zmm24-27, weights in zmm28-31),
 * the next group's columns are loaded (zmm16-19) and unpacked (zmm20-23, then zmm24-27 as these fall free). Where shuffles
 * share a port with the dot products this spreads them evenly: 5 % faster than what a compiler makes of the same work.
 * Weights and indices are fetched ahead, across the borders of quads and pages (32 tokens: a model is 1.05 to 1.1 times
 * as fast on Zen 4). */
ESPI_INLINE void sum_quad_64(const int8_t *w, const uint16_t *indices, size_t groups, const uint8_t *x,
                             const int32_t *start, __m512i sums[4][4])
{
    size_t offset;
    EACH_SUM(SUM)
    __asm__ volatile(
        EACH_SUM(START)
        "test %[groups], %[groups]\n\t"
        "jz 3f\n\t"
        LOAD(0, 16) LOAD(1, 17) LOAD(2, 18) LOAD(3, 19)
        UNPACK(lbw, 16, 17, 20) UNPACK(lbw, 18, 19, 22) UNPACK(hbw, 16, 17, 21) UNPACK(hbw, 18, 19, 23)
        UNPACK(lwd, 20, 22, 24) UNPACK(hwd, 20, 22, 25) UNPACK(lwd, 21, 23, 26) UNPACK(hwd, 21, 23, 27)
        "jmp 2f\n\t"
        ".p2align 5\n"
        "1:\n\t"
        "prefetcht0 %c[ahead]*16(%[w])\n\t"
        "prefetcht0 %c[ahead]*8(%[indices])\n\t"
        WEIGHT(0, 28) WEIGHT(1, 29) WEIGHT(2, 30) WEIGHT(3, 31)
        LOAD(0, 16) LOAD(1, 17) LOAD(2, 18) LOAD(3, 19)
        UNPACK(lbw, 16, 17, 20) DOTS_LOW(24, 0, 4)
        UNPACK(lbw, 18, 19, 22) DOTS_HIGH(24, 8, 12)
        UNPACK(lwd, 20, 22, 24) DOTS_LOW(25, 1, 5)
        UNPACK(hbw, 16, 17, 21) DOTS_HIGH(25, 9, 13)
        UNPACK(hwd, 20, 22, 25) DOTS_LOW(26, 2, 6)
        UNPACK(hbw, 18, 19, 23) DOTS_HIGH(26, 10, 14)
        UNPACK(lwd, 21, 23, 26) DOTS_LOW(27, 3, 7) DOTS_HIGH(27, 11, 15)
        UNPACK(hwd, 21, 23, 27)
        "add $16, %[w]\n"
        "2:\n\t"
        "add $8, %[indices]\n\t"
        "dec %[groups]\n\t"
        "jnz 1b\n\t"
        WEIGHT(0, 28) WEIGHT(1, 29) WEIGHT(2, 30) WEIGHT(3, 31)
        DOTS_LOW(24, 0, 4) DOTS_HIGH(24, 8, 12) DOTS_LOW(25, 1, 5) DOTS_HIGH(25, 9, 13)
        DOTS_LOW(26, 2, 6) DOTS_HIGH(26, 10, 14) DOTS_LOW(27, 3, 7) DOTS_HIGH(27, 11, 15)
        "3:\n\t"
        : EACH_SUM(OUTPUT) [w] "+r"(w), [indices] "+r"(indices), [groups] "+r"(groups), [offset] "=&r"(offset)
        : [x] "r"(x), [start] "r"(start), [ahead] "i"(AHEAD)
        : "memory", "cc", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24",
          "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
    EACH_SUM(KEEP)
}
/* clang-format on */

/* Fetches what the epilogue of a quad will add to (a model is 1.01 to 1.04 times as fast at 8 x 128 tokens on Zen 4). */
ESPI_INLINE void fetch_quad_64(const float *out)
{
    for (size_t i = 0; i < 4 * 64; i += 16)
        _mm_prefetch((const char *)(out + i), _MM_HINT_T0);
}

static void compute_64(const struct espi_quads *weights, const uint8_t *x, size_t first, size_t end,
                       const struct espi_epilogue *epilogue)
{
    for (size_t quad = first; quad < end; quad++) {
        __m512i sums[4][4];
        if (epilogue->far)
            fetch_quad_64((const float *)epilogue->out + quad * 4 * 64);
        size_t begin = weights->starts[quad];
        sum_quad_64(weights->weights + begin * 16, weights->indices + begin * 4, weights->starts[quad + 1] - begin, x,
                    epilogue->start + quad * 4, sums);
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++)
            if (quad * 4 + r < weights->rows)
                finish_row(epilogue, quad * 4 + r, 64, sums[r], 4, true);
    }
}

/* ---- 32 and 16 tokens -------------------------------------------------------------------------------------------------- */

ESPI_INLINE __m256i load_32(const uint8_t *x, uint16_t index)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)(x + (size_t)index * 32));
}

#ifdef __AVX512VBMI__

/* A permutation of bytes: those of dword j are base + j * step. */
ESPI_INLINE __m512i byte_order(int base, int step)
{
    __m512i j = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_add_epi32(_mm512_mullo_epi32(j, _mm512_set1_epi32(step)), _mm512_set1_epi32(base));
}

/* 32 tokens of 4 columns, two of which fill a register, as dwords in lanes. Words of a, b and of c, d meet in one register, the
 * permutation pairs them. */
ESPI_INLINE void join_32(__m256i a, __m256i b, __m256i c, __m256i d, __m512i out[2])
{
    const __m512i order = byte_order(0x21200100, 0x02020202);
    __m512i ac = _mm512_inserti64x4(_mm512_castsi256_si512(a), c, 1);
    __m512i bd = _mm512_inserti64x4(_mm512_castsi256_si512(b), d, 1);
    out[0] = _mm512_permutexvar_epi8(order, _mm512_unpacklo_epi8(ac, bd));
    out[1] = _mm512_permutexvar_epi8(order, _mm512_unpackhi_epi8(ac, bd));
}

/* 16 tokens of 4 columns, which fill a register. */
ESPI_INLINE __m512i join_16(__m512i columns)
{
    return _mm512_permutexvar_epi8(byte_order(0x30201000, 0x01010101), columns);
}

#else

/* Of every lane, which holds 4 bytes of each of 4 columns, the dwords of 4 tokens. */
ESPI_INLINE __m512i turn_lanes(__m512i lanes)
{
    return _mm512_shuffle_epi8(
        lanes, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
}

/* As many shuffles as with VBMI, all of which an Intel core issues one a cycle; a permutation of words would be two. */
ESPI_INLINE void join_32(__m256i a, __m256i b, __m256i c, __m256i d, __m512i out[2])
{
    const __m512i low = _mm512_setr_epi32(0, 8, 16, 24, 1, 9, 17, 25, 4, 12, 20, 28, 5, 13, 21, 29);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(2));
    __m512i ab = _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
    __m512i cd = _mm512_inserti64x4(_mm512_castsi256_si512(c), d, 1);
    out[0] = turn_lanes(_mm512_permutex2var_epi32(ab, low, cd));
    out[1] = turn_lanes(_mm512_permutex2var_epi32(ab, high, cd));
}

ESPI_INLINE __m512i join_16(__m512i columns)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return turn_lanes(_mm512_permutexvar_epi32(order, columns));
}

#endif

ESPI_INLINE void load_group_32(const uint8_t *x, const uint16_t *indices, __m512i out[2])
{
    join_32(load_32(x, indices[0]), load_32(x, indices[1]), load_32(x, indices[2]), load_32(x, indices[3]), out);
}

ESPI_INLINE __m128i load_16(const uint8_t *x, uint16_t index)
{
    return _mm_loadu_si128((const __m128i *)(const void *)(x + (size_t)index * 16));
}

/* Two and two put together are 7 % faster on Zen 4 than one after another. */
ESPI_INLINE void load_group_16(const uint8_t *x, const uint16_t *indices, __m512i out[1])
{
    __m256i ab = _mm256_inserti128_si256(_mm256_castsi128_si256(load_16(x, indices[0])), load_16(x, indices[1]), 1);
    __m256i cd = _mm256_inserti128_si256(_mm256_castsi128_si256(load_16(x, indices[2])), load_16(x, indices[3]), 1);
    out[0] = join_16(_mm512_inserti64x4(_mm512_castsi256_si512(ab), cd, 1));
}

ESPI_INLINE void compute_quads(const struct espi_quads *weights, const uint8_t *x, size_t first, size_t end,
                               const struct espi_epilogue *epilogue, int vectors)
{
    const size_t width = (size_t)vectors * 16;
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
            _mm_prefetch((const char *)(w + 16 * AHEAD), _MM_HINT_T0);
            _mm_prefetch((const char *)(indices + 4 * AHEAD), _MM_HINT_T0);
            __m512i group[4];
            if (vectors == 2)
                load_group_32(x, indices, group);
            else
                load_group_16(x, indices, group);
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                dot_row(acc[r], group, w + 4 * r, vectors, DOT_U8S8);
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++)
            if (quad * 4 + r < weights->rows)
                finish_row(epilogue, quad * 4 + r, width, acc[r], vectors, true);
    }
}

ESPI_INLINE void sparse_product(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first,
                                size_t end, const struct espi_epilogue *epilogue)
{
    if (width == 64)
        compute_64(weights, x, first, end, epilogue);
    else if (width == 32)
        compute_quads(weights, x, first, end, epilogue, 2);
    else
        compute_quads(weights, x, first, end, epilogue, 1);
}

#endif
