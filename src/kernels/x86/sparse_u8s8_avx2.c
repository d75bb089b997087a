/* SPDX-License-Identifier: Apache-2.0
 * Sparse int8 products. The columns of a segment are brought side by side once for the whole panel, behind one another, as
 * dense products find them; then pairs of groups are multiplied, narrow groups, and the others as words
 * (kernels/columns.h). How many of each stand there is looked at, once where there is a memo. */
#include "kernels/x86/int8_avx2.h"

struct segment {
    const int8_t *weights;   // (groups, 4, 4)
    const uint16_t *indices; // (groups, 4)
    size_t groups, pairs, narrow;
};

/* What the memo has of each segment: (quads, segments). */
struct found {
    uint8_t pairs, narrow;
};

/* ---- what a segment holds -------------------------------------------------------------------------------------------- */

ESPI_INLINE bool within_limit(__m256i sums)
{
    __m256i beyond = _mm256_cmpgt_epi16(_mm256_abs_epi16(sums), _mm256_set1_epi16(ESPI_PAIR_LIMIT));
    return _mm256_testz_si256(beyond, beyond);
}

static struct found look(const struct segment *segment)
{
    size_t pairs = 0, at = 0;
    for (; at + 2 <= segment->groups; at += 2, pairs++) {
        const int8_t *group = segment->weights + at * GROUP;
        if (!within_limit(_mm256_add_epi16(load_of(group), load_of(group + GROUP))))
            break;
    }
    size_t narrow = 0;
    for (; at < segment->groups; at++, narrow++) {
        __m256i weights = _mm256_castsi128_si256(load_16((const uint8_t *)segment->weights + at * GROUP));
        if (!within_limit(_mm256_maddubs_epi16(_mm256_set1_epi8(1), weights)))
            break;
    }
    return (struct found){(uint8_t)pairs, (uint8_t)narrow};
}

static struct segment segment_of(const struct espi_quads *weights, size_t quad, size_t group, size_t part)
{
    size_t at = weights->starts[quad] + group, left = weights->starts[quad + 1] - at;
    return (struct segment){.weights = weights->weights + at * GROUP,
                            .indices = weights->indices + at * 4,
                            .groups = left < part ? left : part};
}

size_t espi_sparse_u8s8_avx2_memo(const struct espi_quads *weights, void *memo)
{
    const size_t quads = espi_quad_count(weights->rows), segments = espi_sparse_segments(weights->columns);
    for (size_t quad = 0; memo && quad < quads; quad++) {
        struct found *found = (struct found *)memo + quad * segments;
        size_t groups = weights->starts[quad + 1] - weights->starts[quad], part = espi_sparse_segment(groups);
        for (size_t group = 0; group < groups; group += part) {
            struct segment segment = segment_of(weights, quad, group, part);
            *found++ = look(&segment);
        }
    }
    return quads * segments * sizeof(struct found);
}

/* ---- columns side by side -------------------------------------------------------------------------------------------- */

/* Of 4 columns as dwords: 32 tokens as two chunks in lanes, 16 tokens apart; x: of the 4 columns. */
ESPI_INLINE void join_32(const uint8_t *const x[4], size_t token, uint8_t *out)
{
    __m256i a = load_32(x[0] + token), b = load_32(x[1] + token), c = load_32(x[2] + token), d = load_32(x[3] + token);
    __m256i ab[2] = {_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)};
    __m256i cd[2] = {_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d)};
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        _mm256_store_si256((__m256i *)(void *)(out + 64 * i), _mm256_unpacklo_epi16(ab[i], cd[i]));
        _mm256_store_si256((__m256i *)(void *)(out + 64 * i + 32), _mm256_unpackhi_epi16(ab[i], cd[i]));
    }
}

/* The same of 16 tokens, a chunk in lanes, 8 tokens apart. */
ESPI_INLINE void join_16(const uint8_t *const x[4], uint8_t *out)
{
    __m128i a = load_16(x[0]), b = load_16(x[1]), c = load_16(x[2]), d = load_16(x[3]);
    __m256i ab = _mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b));
    __m256i cd = _mm256_set_m128i(_mm_unpackhi_epi8(c, d), _mm_unpacklo_epi8(c, d));
    _mm256_store_si256((__m256i *)(void *)out, _mm256_unpacklo_epi16(ab, cd));
    _mm256_store_si256((__m256i *)(void *)(out + 32), _mm256_unpackhi_epi16(ab, cd));
}

/* out: (groups, chunks, 64 bytes) */
ESPI_INLINE void gather(const struct segment *segment, const uint8_t *x, size_t width, uint8_t *out)
{
    for (size_t group = 0; group < segment->groups; group++, out += width * 4) {
        const uint16_t *at = segment->indices + group * 4;
        const uint8_t *const columns[4] = {x + at[0] * width, x + at[1] * width, x + at[2] * width, x + at[3] * width};
        if (width == CHUNK)
            join_16(columns, out);
        else
            for (size_t token = 0; token < width; token += 32)
                join_32(columns, token, out + token * 4);
    }
}

/* ---- products -------------------------------------------------------------------------------------------------------- */

/* acc += a segment times a chunk; x: the chunk of the first group, `stride` bytes before that of the next. Rows are written
 * out, since gcc 12 keeps arrays in registers only when their indices are constants from the first. */
ESPI_INLINE void dot_segment(__m256i acc[4][2], const struct segment *segment, const uint8_t *x, size_t stride)
{
    const int8_t *w = segment->weights;
    for (size_t i = 0; i < segment->pairs; i++, w += 2 * GROUP, x += 2 * stride) {
        __m256i x0[2] = {load_32(x), load_32(x + 32)}, x1[2] = {load_32(x + stride), load_32(x + stride + 32)};
        dot_pair_u8(acc[0], x0, x1, w, w + GROUP);
        dot_pair_u8(acc[1], x0, x1, w + 4, w + GROUP + 4);
        dot_pair_u8(acc[2], x0, x1, w + 8, w + GROUP + 8);
        dot_pair_u8(acc[3], x0, x1, w + 12, w + GROUP + 12);
    }
    for (size_t i = 0; i < segment->narrow; i++, w += GROUP, x += stride) {
        __m256i dwords[2] = {load_32(x), load_32(x + 32)};
        dot_single_u8(acc[0], dwords, w);
        dot_single_u8(acc[1], dwords, w + 4);
        dot_single_u8(acc[2], dwords, w + 8);
        dot_single_u8(acc[3], dwords, w + 12);
    }
    for (size_t i = segment->pairs * 2 + segment->narrow; i < segment->groups; i++, w += GROUP, x += stride) {
        __m256i dwords[2] = {load_32(x), load_32(x + 32)};
        dot_words(acc[0], dwords, w);
        dot_words(acc[1], dwords, w + 4);
        dot_words(acc[2], dwords, w + 8);
        dot_words(acc[3], dwords, w + 12);
    }
}

ESPI_INLINE void add_segment(__m256i sums[4][2], const struct segment *segment, const uint8_t *x, size_t stride)
{
    __m256i acc[4][2] = {
        {sums[0][0], sums[0][1]}, {sums[1][0], sums[1][1]}, {sums[2][0], sums[2][1]}, {sums[3][0], sums[3][1]}};
    dot_segment(acc, segment, x, stride);
    sums[0][0] = acc[0][0], sums[0][1] = acc[0][1];
    sums[1][0] = acc[1][0], sums[1][1] = acc[1][1];
    sums[2][0] = acc[2][0], sums[2][1] = acc[2][1];
    sums[3][0] = acc[3][0], sums[3][1] = acc[3][1];
}

/* The rows of a quad from the sums of its chunks. */
ESPI_INLINE void finish(const struct espi_epilogue *epilogue, size_t quad, size_t rows, size_t width,
                        const __m256i sums[][4][2])
{
    for (size_t r = 0, row = quad * 4; r < 4 && row < rows; r++, row++)
        if (width == CHUNK)
            finish_row(epilogue, row, row * width, 0, sums[0][r], 8);
        else
            for (size_t token = 0; token < width; token += 32)
                finish_row_32(epilogue, row, row * width + token, token, sums[token / 16][r], sums[token / 16 + 1][r]);
}

ESPI_INLINE void product(const struct espi_quads *weights, size_t quad, const uint8_t *x, size_t width,
                         const struct espi_epilogue *epilogue)
{
    uint8_t columns[ESPI_SPARSE_SEGMENT_GROUPS * ESPI_PANEL_TOKENS * 4] __attribute__((aligned(64)));
    __m256i sums[ESPI_PANEL_TOKENS / CHUNK][4][2];
    const size_t groups = weights->starts[quad + 1] - weights->starts[quad], part = espi_sparse_segment(groups);
    const struct found *memo = weights->memo;
    if (memo)
        memo += quad * espi_sparse_segments(weights->columns);
    for (size_t chunk = 0; chunk < width / CHUNK; chunk++)
        begin_sums(epilogue, quad, sums[chunk]);
    for (size_t group = 0; group < groups; group += part) {
        struct segment segment = segment_of(weights, quad, group, part);
        struct found found = memo ? *memo++ : look(&segment);
        segment.pairs = found.pairs;
        segment.narrow = found.narrow;
        gather(&segment, x, width, columns);
        for (size_t chunk = 0; chunk < width / CHUNK; chunk++)
            add_segment(sums[chunk], &segment, columns + chunk * 64, width * 4);
    }
    finish(epilogue, quad, weights->rows, width, (const __m256i(*)[4][2])sums);
}

void espi_sparse_u8s8_avx2(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                           const struct espi_epilogue *epilogue)
{
    for (size_t quad = first; quad < end; quad++)
        if (width == 64)
            product(weights, quad, x, 64, epilogue);
        else if (width == 32)
            product(weights, quad, x, 32, epilogue);
        else
            product(weights, quad, x, 16, epilogue);
}
