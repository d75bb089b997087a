/* SPDX-License-Identifier: Apache-2.0
 * Operands: rounding, transposing, and the layout of right-hand operands. */
#include "create/layers/matmul_private.h"

#include "base/simd.h"
#include "base/size.h"

/* ---- rounding ------------------------------------------------------------------------------------------------------- */

/* To the nearest bf16, ties to even; a NaN stays one. */
static inline uint16_t round_bf16(float x)
{
    uint32_t bits = espi_bits_of_float(x);
    uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u);
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : rounded >> 16);
}

ESPI_SIMD static void round_row(size_t count, const float *restrict x, uint16_t *restrict out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = round_bf16(x[i]);
}

ESPI_SIMD static void add_bf16(size_t count, const uint16_t *restrict x, float *restrict sum)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += espi_float_of_bits((uint32_t)x[i] << 16);
}

ESPI_SIMD static void add_f32(size_t count, const float *restrict x, float *restrict sum)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += x[i];
}

void espi_operand_row(enum espi_compute compute, size_t count, const float *x, void *out)
{
    if (compute == ESPI_COMPUTE_BF16)
        round_row(count, x, out);
    else
        memcpy(out, x, count * sizeof *x);
}

void espi_operand_add_to(enum espi_compute compute, size_t count, const void *x, float *sum)
{
    if (compute == ESPI_COMPUTE_BF16)
        add_bf16(count, x, sum);
    else
        add_f32(count, x, sum);
}

void espi_weight_block(enum espi_compute compute, const struct espi_plain_weight *weight, size_t output, size_t input,
                       char *block)
{
    size_t rows = espi_size_min(ESPI_BLOCK, weight->outputs - output);
    size_t columns = espi_size_min(ESPI_BLOCK, weight->inputs - input);
    size_t row_bytes = ESPI_BLOCK * espi_operand_size(compute);
    if (rows < ESPI_BLOCK || columns < ESPI_BLOCK)
        memset(block, 0, ESPI_BLOCK * row_bytes);
    for (size_t row = 0; row < rows; row++)
        espi_operand_row(compute, columns, weight->data + (output + row) * weight->inputs + input,
                         block + row * row_bytes);
}

/* ---- transposing ---------------------------------------------------------------------------------------------------- */

typedef uint32_t words __attribute__((vector_size(16)));
typedef uint16_t halves __attribute__((vector_size(16)));

/* 4 × 4 words */
static inline void turn_words(const uint32_t *in, size_t in_stride, uint32_t *out, size_t out_stride)
{
    words r[4], t[4];
    for (size_t i = 0; i < 4; i++)
        memcpy(&r[i], in + i * in_stride, sizeof r[i]);
    t[0] = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
    t[1] = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    t[2] = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    t[3] = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    r[0] = __builtin_shufflevector(t[0], t[2], 0, 1, 4, 5);
    r[1] = __builtin_shufflevector(t[0], t[2], 2, 3, 6, 7);
    r[2] = __builtin_shufflevector(t[1], t[3], 0, 1, 4, 5);
    r[3] = __builtin_shufflevector(t[1], t[3], 2, 3, 6, 7);
    for (size_t i = 0; i < 4; i++)
        memcpy(out + i * out_stride, &r[i], sizeof r[i]);
}

static inline halves low_halves(halves a, halves b)
{
    return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

static inline halves high_halves(halves a, halves b)
{
    return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

/* 8 × 8 half words: three rounds that interleave row i with row i + 4. */
static inline void turn_halves(const uint16_t *in, size_t in_stride, uint16_t *out, size_t out_stride)
{
    halves r[8], t[8];
    for (size_t i = 0; i < 8; i++)
        memcpy(&r[i], in + i * in_stride, sizeof r[i]);
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < 4; i++) {
            t[2 * i] = low_halves(r[i], r[i + 4]);
            t[2 * i + 1] = high_halves(r[i], r[i + 4]);
        }
        memcpy(r, t, sizeof r);
    }
    for (size_t i = 0; i < 8; i++)
        memcpy(out + i * out_stride, &r[i], sizeof r[i]);
}

static void transpose_words(size_t rows, size_t columns, const uint32_t *in, size_t in_stride, uint32_t *out,
                            size_t out_stride)
{
    for (size_t row = 0; row < rows; row += 4)
        for (size_t column = 0; column < columns; column += 4)
            turn_words(in + row * in_stride + column, in_stride, out + column * out_stride + row, out_stride);
}

void espi_transpose(enum espi_compute compute, size_t rows, size_t columns, const void *in, size_t in_stride, void *out,
                    size_t out_stride)
{
    if (compute == ESPI_COMPUTE_F32) {
        transpose_words(rows, columns, in, in_stride, out, out_stride);
        return;
    }
    const uint16_t *from = in;
    uint16_t *to = out;
    for (size_t column = 0; column < columns; column += 8)
        for (size_t row = 0; row < rows; row += 8)
            turn_halves(from + row * in_stride + column, in_stride, to + column * out_stride + row, out_stride);
}

/* ---- right-hand operands -------------------------------------------------------------------------------------------- */

/* oneDNN's blocks go on to the next multiple of 16 words. */
static size_t padded(enum espi_compute compute, size_t inner)
{
    return espi_round_up(inner, compute == ESPI_COMPUTE_BF16 ? 32 : 16);
}

size_t espi_right_bytes(enum espi_compute compute, size_t inner, size_t columns)
{
    return padded(compute, inner) * columns * espi_operand_size(compute);
}

/* Row pairs (count / 2, stride) to words (count / 2, ESPI_BLOCK, 2). */
ESPI_SIMD static void interleave_pairs(size_t count, const uint16_t *restrict in, size_t stride, uint16_t *restrict out)
{
    for (size_t k = 0; k < count; k += 2, in += 2 * stride, out += 2 * ESPI_BLOCK)
        for (size_t i = 0; i < ESPI_BLOCK; i++) {
            out[2 * i] = in[i];
            out[2 * i + 1] = in[stride + i];
        }
}

static void copy_rows(size_t rows, size_t bytes, const char *in, size_t in_stride, char *out, size_t out_stride)
{
    for (size_t row = 0; row < rows; row++)
        memcpy(out + row * out_stride, in + row * in_stride, bytes);
}

/* Where row k of the block of column n starts. */
static void *blocked_row(const struct espi_right *right, size_t k, size_t n)
{
    size_t size = espi_operand_size(right->compute);
    return (char *)right->data + (n * padded(right->compute, right->inner) + k * ESPI_BLOCK) * size;
}

/* Where row k of the strip of column n starts. */
static uint32_t *strip_row(const struct espi_right *right, size_t k, size_t n)
{
    return (uint32_t *)right->data + n * padded(right->compute, right->inner) + k * ESPI_STRIP;
}

static void put_rows_in_strips(const struct espi_right *right, size_t k, size_t n, const uint32_t *block, size_t stride)
{
    size_t rows = espi_size_min(right->inner - k, ESPI_BLOCK), columns = espi_size_min(right->columns - n, ESPI_BLOCK);
    for (size_t column = 0; column < columns; column += ESPI_STRIP) {
        uint32_t *strip = strip_row(right, k, n + column);
        for (size_t row = 0; row < rows; row++)
            memcpy(strip + row * ESPI_STRIP, block + row * stride + column, ESPI_STRIP * sizeof *strip);
    }
}

static void put_columns_in_strips(const struct espi_right *right, size_t k, size_t n, const uint32_t *block,
                                  size_t stride)
{
    size_t rows = espi_size_min(padded(right->compute, right->inner) - k, ESPI_BLOCK);
    size_t columns = espi_size_min(right->columns - n, ESPI_BLOCK);
    for (size_t column = 0; column < columns; column += ESPI_STRIP)
        transpose_words(ESPI_STRIP, rows, block + column * stride, stride, strip_row(right, k, n + column), ESPI_STRIP);
}

void espi_right_put_rows(const struct espi_right *right, size_t k, size_t n, const void *block, size_t stride)
{
    size_t size = espi_operand_size(right->compute);
    if (right->layout == ESPI_LAYOUT_STRIPS) {
        put_rows_in_strips(right, k, n, block, stride);
        return;
    }
    if (right->layout == ESPI_LAYOUT_ROWS) {
        size_t rows = espi_size_min(right->inner - k, ESPI_BLOCK);
        copy_rows(rows, ESPI_BLOCK * size, block, stride * size, (char *)right->data + (k * right->columns + n) * size,
                  right->columns * size);
        return;
    }
    size_t rows = espi_size_min(padded(right->compute, right->inner) - k, ESPI_BLOCK);
    if (right->compute == ESPI_COMPUTE_BF16)
        interleave_pairs(rows, block, stride, blocked_row(right, k, n));
    else
        copy_rows(rows, ESPI_BLOCK * size, block, stride * size, blocked_row(right, k, n), ESPI_BLOCK * size);
}

void espi_right_put_columns(const struct espi_right *right, size_t k, size_t n, const void *block, size_t stride)
{
    if (right->layout == ESPI_LAYOUT_STRIPS) {
        put_columns_in_strips(right, k, n, block, stride);
        return;
    }
    if (right->layout == ESPI_LAYOUT_ROWS) {
        float turned[ESPI_BLOCK * ESPI_BLOCK]; // of either size
        espi_transpose(right->compute, ESPI_BLOCK, ESPI_BLOCK, block, stride, turned, ESPI_BLOCK);
        espi_right_put_rows(right, k, n, turned, ESPI_BLOCK);
        return;
    }
    size_t rows = espi_size_min(padded(right->compute, right->inner) - k, ESPI_BLOCK);
    size_t per_word = sizeof(uint32_t) / espi_operand_size(right->compute);
    transpose_words(ESPI_BLOCK, rows / per_word, block, stride / per_word, blocked_row(right, k, n), ESPI_BLOCK);
}
