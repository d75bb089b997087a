/* SPDX-License-Identifier: Apache-2.0
 * Products of bytes by the dot products of dotprod or of i8mm: one text, in tiles of 4 rows by 16 tokens, 16 sums.
 *
 * The 16 bytes of a group, 4 rows times 4 columns, are one operand, of which each row is a lane; the dwords of 4 tokens are the
 * other. usdot multiplies u8 by s8 as they are. Without it udot takes the weights with their top bit flipped, w + 128, one
 * instruction for 16 dot products (flipping the tokens would be 4); sums then hold 128 Σ x too much, which depends on the
 * token alone: the surplus, which they begin without. Where groups follow in order, i8mm takes two of them by usmmla. */
#ifndef ESPI_KERNELS_INT8_NEON_H
#define ESPI_KERNELS_INT8_NEON_H

#include "kernels/arm/product_neon.h"

#ifdef __ARM_FEATURE_MATMUL_INT8
enum { SURPLUS = 0 };
#define DOT_ROW(sum, x, group, row) vusdotq_laneq_s32(sum, x, group, row)
#else
enum { SURPLUS = 128 };
#define DOT_ROW(sum, x, group, row)                                                                                    \
    vreinterpretq_s32_u32(vdotq_laneq_u32(vreinterpretq_u32_s32(sum), x, vreinterpretq_u8_s8(group), row))
#endif

/* 16 weights as DOT_ROW takes them. */
ESPI_INLINE int8x16_t load_weights(const int8_t *w)
{
    int8x16_t weights = vld1q_s8(w);
    return SURPLUS > 0 ? veorq_s8(weights, vdupq_n_s8(INT8_MIN)) : weights;
}

/* sums[row][v] += dot4(x[v], w[row]) */
ESPI_INLINE void dot_group(int32x4_t sums[4][4], const uint8x16_t x[4], int8x16_t group)
{
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        sums[0][v] = DOT_ROW(sums[0][v], x[v], group, 0);
        sums[1][v] = DOT_ROW(sums[1][v], x[v], group, 1);
        sums[2][v] = DOT_ROW(sums[2][v], x[v], group, 2);
        sums[3][v] = DOT_ROW(sums[3][v], x[v], group, 3);
    }
}

ESPI_INLINE void load_tokens(const uint8_t *dwords, uint8x16_t x[4])
{
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        x[v] = vld1q_u8(dwords + 16 * v);
}

ESPI_INLINE void add_surplus(int32x4_t surplus[4], const uint8x16_t x[4])
{
#pragma GCC unroll 4
    for (int v = 0; v < 4 && SURPLUS > 0; v++)
        surplus[v] =
            vreinterpretq_s32_u32(vdotq_u32(vreinterpretq_u32_s32(surplus[v]), x[v], vdupq_n_u8((uint8_t)SURPLUS)));
}

/* That of a chunk of all groups; `stride`: bytes from one group to the next. */
ESPI_INLINE void find_surplus(const uint8_t *dwords, size_t groups, size_t stride, int32x4_t surplus[4])
{
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        surplus[v] = vdupq_n_s32(0);
    for (size_t group = 0; group < groups && SURPLUS > 0; group++, dwords += stride) {
        uint8x16_t x[4];
        load_tokens(dwords, x);
        add_surplus(surplus, x);
    }
}

/* A row of each of 4 numbers, less the surplus. */
ESPI_INLINE void begin_sums(const int32_t start[4], const int32x4_t surplus[4], int32x4_t sums[4][4])
{
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++)
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            sums[r][v] = SURPLUS > 0 ? vsubq_s32(vdupq_n_s32(start[r]), surplus[v]) : vdupq_n_s32(start[r]);
}

ESPI_INLINE void finish_quad(const struct espi_epilogue *epilogue, size_t quad, size_t rows, size_t width, size_t token,
                             const int32x4_t sums[4][4])
{
#pragma GCC unroll 4
    for (size_t r = 0; r < 4; r++)
        if (quad * 4 + r < rows)
            finish_row(epilogue, quad * 4 + r, (quad * 4 + r) * width + token, token, sums[r]);
}

/* ---- dense ------------------------------------------------------------------------------------------------------------- */

#ifdef __ARM_FEATURE_MATMUL_INT8

/* Dwords of two groups side by side: 8 columns of two tokens each, or of two rows. */
ESPI_INLINE void join_tokens(uint8x16_t first, uint8x16_t second, uint8x16_t out[2])
{
    uint32x4_t a = vreinterpretq_u32_u8(first), b = vreinterpretq_u32_u8(second);
    out[0] = vreinterpretq_u8_u32(vzip1q_u32(a, b));
    out[1] = vreinterpretq_u8_u32(vzip2q_u32(a, b));
}

ESPI_INLINE void join_rows(int8x16_t first, int8x16_t second, int8x16_t out[2])
{
    int32x4_t a = vreinterpretq_s32_s8(first), b = vreinterpretq_s32_s8(second);
    out[0] = vreinterpretq_s8_s32(vzip1q_s32(a, b));
    out[1] = vreinterpretq_s8_s32(vzip2q_s32(a, b));
}

/* Of two groups. usmmla multiplies 2 tokens by 2 rows over 8 columns, twice what usdot does: squares[i][j] has rows 2i and
 * 2i + 1 of token 2j, then of token 2j + 1. */
ESPI_INLINE void add_two_groups(int32x4_t squares[2][8], const int8_t *w, size_t w_stride, const uint8_t *dwords,
                                size_t stride)
{
    int8x16_t rows[2];
    join_rows(vld1q_s8(w), vld1q_s8(w + w_stride), rows);
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        uint8x16_t tokens[2];
        join_tokens(vld1q_u8(dwords + 16 * v), vld1q_u8(dwords + stride + 16 * v), tokens);
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            squares[i][2 * v] = vusmmlaq_s32(squares[i][2 * v], tokens[0], rows[i]);
            squares[i][2 * v + 1] = vusmmlaq_s32(squares[i][2 * v + 1], tokens[1], rows[i]);
        }
    }
}

#endif

/* sums += groups `w_stride` apart times dwords of 16 tokens `stride` apart. */
ESPI_INLINE void add_groups(int32x4_t sums[4][4], size_t groups, const int8_t *w, size_t w_stride,
                            const uint8_t *dwords, size_t stride)
{
#ifdef __ARM_FEATURE_MATMUL_INT8
    int32x4_t squares[2][8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        squares[0][j] = squares[1][j] = vdupq_n_s32(0);
    for (; groups >= 2; groups -= 2, w += 2 * w_stride, dwords += 2 * stride)
        add_two_groups(squares, w, w_stride, dwords, stride);
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            const int32x4_t *two = &squares[i][2 * v];
            sums[2 * i][v] = vaddq_s32(sums[2 * i][v], vuzp1q_s32(two[0], two[1]));
            sums[2 * i + 1][v] = vaddq_s32(sums[2 * i + 1][v], vuzp2q_s32(two[0], two[1]));
        }
#endif
    for (; groups > 0; groups--, w += w_stride, dwords += stride) {
        uint8x16_t tokens[4];
        load_tokens(dwords, tokens);
        dot_group(sums, tokens, load_weights(w));
    }
}

ESPI_INLINE void dense_product(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first,
                               size_t end, const struct espi_epilogue *epilogue)
{
    const size_t groups = (weights->columns + 3) / 4;
    int32x4_t surplus[ESPI_PANEL_TOKENS / CHUNK][4], sums[4][4];
    for (size_t token = 0; token < width; token += CHUNK)
        find_surplus(x + token * 4, groups, width * 4, surplus[token / CHUNK]);
    for (size_t quad = first; quad < end; quad++)
        for (size_t token = 0; token < width; token += CHUNK) {
            begin_sums(epilogue->start + quad * 4, surplus[token / CHUNK], sums);
            add_groups(sums, groups, weights->weights + quad * groups * 16, 16, x + token * 4, width * 4);
            finish_quad(epilogue, quad, weights->rows, width, token, sums);
        }
}

/* ---- sparse ------------------------------------------------------------------------------------------------------------ */

ESPI_INLINE void sparse_product(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first,
                                size_t end, const struct espi_epilogue *epilogue)
{
    const int shift = width == 64 ? 6 : width == 32 ? 5 : 4; // gcc would multiply by the width
    const int32x4_t none[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
    for (size_t quad = first; quad < end; quad++)
        for (size_t token = 0; token < width; token += CHUNK) {
            const int8_t *w = weights->weights + (size_t)weights->starts[quad] * 16;
            const int8_t *w_end = weights->weights + (size_t)weights->starts[quad + 1] * 16;
            const uint16_t *indices = weights->indices + (size_t)weights->starts[quad] * 4;
            int32x4_t sums[4][4], surplus[4] = {none[0], none[1], none[2], none[3]};
            begin_sums(epilogue->start + quad * 4, none, sums);
            for (; w != w_end; w += 16, indices += 4) {
                uint8x16_t columns[4], tokens[4];
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++)
                    columns[i] = vld1q_u8(x + ((size_t)indices[i] << shift) + token);
                interleave_4(columns, tokens);
                dot_group(sums, tokens, load_weights(w));
                add_surplus(surplus, tokens);
            }
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
#pragma GCC unroll 4
                for (int v = 0; v < 4 && SURPLUS > 0; v++)
                    sums[r][v] = vsubq_s32(sums[r][v], surplus[v]);
            finish_quad(epilogue, quad, weights->rows, width, token, sums);
        }
}

#endif
