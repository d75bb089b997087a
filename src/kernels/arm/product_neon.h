/* SPDX-License-Identifier: Apache-2.0
 * What the NEON versions of the products share: the epilogue. Work proceeds in chunks of 16 tokens, four vectors of a row. */
#ifndef ESPI_KERNELS_PRODUCT_NEON_H
#define ESPI_KERNELS_PRODUCT_NEON_H

#include "kernels/kernel.h"

#include <arm_neon.h>

#define ESPI_INLINE static inline __attribute__((always_inline))

enum { CHUNK = 16 }; // tokens

ESPI_INLINE void load_floats(const float *x, float32x4_t y[4])
{
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        y[v] = vld1q_f32(x + 4 * v);
}

ESPI_INLINE void store_floats(float *x, const float32x4_t y[4])
{
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        vst1q_f32(x + 4 * v, y[v]);
}

/* Nearest, ties to even; what does not fit becomes INT32_MIN, as x86 has it, where this CPU gives INT32_MAX, or 0 of NaN. */
ESPI_INLINE int32x4_t round_to_int(float32x4_t y)
{
    return vbslq_s32(vcltq_f32(y, vdupq_n_f32(0x1p31f)), vcvtnq_s32_f32(y), vdupq_n_s32(INT32_MIN));
}

ESPI_INLINE int16x8_t to_words(float32x4_t low, float32x4_t high)
{
    return vqmovn_high_s32(vqmovn_s32(round_to_int(low)), round_to_int(high));
}

/* 16 floats, rounded and clamped to bytes. */
ESPI_INLINE uint8x16_t to_bytes(const float32x4_t y[4])
{
    return vqmovun_high_s16(vqmovun_s16(to_words(y[0], y[1])), to_words(y[2], y[3]));
}

/* 4 rows of 16 tokens as dwords of a token: out[v] has the tokens 4v .. 4v + 3. */
ESPI_INLINE void interleave_4(const uint8x16_t rows[4], uint8x16_t out[4])
{
    uint16x8_t ab[2] = {vreinterpretq_u16_u8(vzip1q_u8(rows[0], rows[1])),
                        vreinterpretq_u16_u8(vzip2q_u8(rows[0], rows[1]))};
    uint16x8_t cd[2] = {vreinterpretq_u16_u8(vzip1q_u8(rows[2], rows[3])),
                        vreinterpretq_u16_u8(vzip2q_u8(rows[2], rows[3]))};
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        out[2 * i] = vreinterpretq_u8_u16(vzip1q_u16(ab[i], cd[i]));
        out[2 * i + 1] = vreinterpretq_u8_u16(vzip2q_u16(ab[i], cd[i]));
    }
}

/* The upper halves of the products of words. */
ESPI_INLINE uint16x8_t multiply_high(uint16x8_t a, uint16x8_t b)
{
    uint32x4_t low = vmull_u16(vget_low_u16(a), vget_low_u16(b)), high = vmull_high_u16(a, b);
    return vuzp2q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high));
}

/* ---- the activation ------------------------------------------------------------------------------------------------------ */

/* Bytes of the 128-entry table at `index` (0 .. 127): what is out of the range of a half gives 0, or leaves the other's. */
ESPI_INLINE uint8x16_t look_up(const uint8_t table[128], uint8x16_t index)
{
    uint8x16_t low = vqtbl4q_u8(vld1q_u8_x4(table), index);
    return vqtbx4q_u8(low, vld1q_u8_x4(table + 64), vsubq_u8(index, vdupq_n_u8(64)));
}

ESPI_INLINE int16x8_t table_index(const struct espi_activation_table *activation, int16x8_t p)
{
    uint16x8_t magnitude = vreinterpretq_u16_s16(vabsq_s16(p)); // 32768 too
    return vreinterpretq_s16_u16(multiply_high(magnitude, vdupq_n_u16(activation->index_scale)));
}

/* (max(p, 0) + bump) >> shift of 8 words, clamped to bytes. */
ESPI_INLINE uint8x8_t add_bump(const struct espi_activation_table *activation, int16x8_t p, uint8x8_t bump)
{
    uint16x8_t sum = vaddw_u8(vreinterpretq_u16_s16(vmaxq_s16(p, vdupq_n_s16(0))), bump);
    return vqmovn_u16(vshlq_u16(sum, vdupq_n_s16((int16_t)-activation->shift)));
}

/* 16 words through the activation. */
ESPI_INLINE uint8x16_t activate(const struct espi_activation_table *activation, int16x8_t low, int16x8_t high)
{
    /* the indices are at most 32767, so narrowing them as signed numbers clamps them to 127 */
    int8x16_t index = vqmovn_high_s16(vqmovn_s16(table_index(activation, low)), table_index(activation, high));
    uint8x16_t bump = look_up(activation->table, vreinterpretq_u8_s8(index));
    return vcombine_u8(add_bump(activation, low, vget_low_u8(bump)), add_bump(activation, high, vget_high_u8(bump)));
}

ESPI_INLINE float32x4_t curved(const struct espi_activation_curve *curve, float32x4_t y)
{
    float32x4_t zero = vdupq_n_f32(0), a = vabsq_f32(y), b = vminnmq_f32(a, vdupq_n_f32(curve->limit));
    float32x4_t s = vfmaq_f32(vdupq_n_f32(-1), vmulq_f32(b, b), vdupq_n_f32(curve->spread));
    float32x4_t p = vdupq_n_f32(curve->coefficients[ESPI_CURVE_TERMS - 1]);
    for (int i = ESPI_CURVE_TERMS - 2; i >= 0; i--)
        p = vfmaq_f32(vdupq_n_f32(curve->coefficients[i]), p, s);
    float32x4_t q = vmaxnmq_f32(vfmsq_f32(vdupq_n_f32(0.5f), b, p), zero);
    return vfmsq_f32(vmaxnmq_f32(y, zero), a, q);
}

/* ---- the epilogue -------------------------------------------------------------------------------------------------------- */

/* One row of a chunk from sums as floats; `offset` of its first token from the start of the panel. */
ESPI_INLINE void finish_floats(const struct espi_epilogue *epilogue, size_t row, size_t offset, float32x4_t y[4])
{
    const float32x4_t scale = vdupq_n_f32(epilogue->scale[row]), bias = vdupq_n_f32(epilogue->bias[row]);
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        y[v] = vfmaq_f32(bias, y[v], scale);
    if (epilogue->kind < ESPI_EPILOGUE_F32) {
        uint8x16_t bytes;
        if (epilogue->kind == ESPI_EPILOGUE_U8_TABLE)
            bytes = activate(epilogue->activation, to_words(y[0], y[1]), to_words(y[2], y[3]));
        else
            bytes = to_bytes(y);
        vst1q_u8((uint8_t *)epilogue->out + offset, bytes);
        return;
    }
    float *out = (float *)epilogue->out + offset;
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        if (epilogue->kind == ESPI_EPILOGUE_F32_ADD)
            y[v] = vaddq_f32(vld1q_f32(out + 4 * v), y[v]);
        else if (epilogue->kind == ESPI_EPILOGUE_F32_CURVE)
            y[v] = curved(epilogue->curve, y[v]);
    store_floats(out, y);
}

/* The same from integer sums; token: the chunk's first. */
ESPI_INLINE void finish_row(const struct espi_epilogue *epilogue, size_t row, size_t offset, size_t token,
                            const int32x4_t sums[4])
{
    float32x4_t y[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        y[v] = vcvtq_f32_s32(sums[v]);
        if (epilogue->token_scale)
            y[v] = vmulq_f32(y[v], vld1q_f32(epilogue->token_scale + token + 4 * v));
    }
    finish_floats(epilogue, row, offset, y);
}

#endif
