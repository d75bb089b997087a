/* SPDX-License-Identifier: Apache-2.0
 * Sparse int8 products. espi_pack puts a quad's wide groups last, so the groups up to the first wide one are taken for
 * narrow and the rest for wide; another order is as exact, only slower. */
#include "kernels/int8_avx2.h"

/* Groups prepared at a time. Their columns' cache lines, which all chunks of tokens read, have to stay in half of L1. */
enum { SEGMENT = 64 };

struct segment {
    size_t narrow, groups;
    uint32_t columns[SEGMENT][4]; // where a group's columns begin in the panel
    __m256i words[SEGMENT];       // of the wide groups
};

ESPI_INLINE void prepare(struct segment *segment, const int8_t *weights, const uint16_t *indices, size_t groups,
                         size_t width)
{
    const __m128i shift = _mm_cvtsi32_si128(width == 16 ? 4 : width == 32 ? 5 : 6);
    for (size_t i = 0; i < groups; i++) {
        __m128i columns = _mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(indices + 4 * i)));
        _mm_storeu_si128((__m128i *)(void *)segment->columns[i], _mm_sll_epi32(columns, shift));
    }
    size_t narrow = 0;
    unsigned mask = 15;
    for (; mask == 15 && narrow < groups; narrow += 4)
        mask = narrow_of_first(weights + narrow * GROUP, groups - narrow);
    if (mask != 15) // of the last 4: those before the first wide one
        narrow = narrow - 4 + (size_t)__builtin_ctz(~mask);
    segment->narrow = narrow;
    segment->groups = groups;
    for (size_t i = narrow; i < groups; i++)
        segment->words[i] = widen(weights + i * GROUP);
}

/* The bytes of two columns side by side: tokens 0 .. 7, then 8 .. 15. */
ESPI_INLINE __m256i two_columns(const uint8_t *a, const uint8_t *b)
{
    __m256i x = _mm256_broadcastsi128_si256(load_16(a)), y = _mm256_broadcastsi128_si256(load_16(b));
    return _mm256_blend_epi32(_mm256_unpacklo_epi8(x, y), _mm256_unpackhi_epi8(x, y), 0xf0);
}

/* x: the chunk's first token. The sums come in the order "lanes". */
ESPI_INLINE void dot_segment(__m256i acc[4][2], const struct segment *segment, const int8_t *weights, const uint8_t *x)
{
    size_t i = 0;
    for (; i < segment->narrow; i++) {
        const uint32_t *at = segment->columns[i];
        __m256i ab = two_columns(x + at[0], x + at[1]), cd = two_columns(x + at[2], x + at[3]);
        dot_narrow(acc, _mm256_unpacklo_epi16(ab, cd), _mm256_unpackhi_epi16(ab, cd), weights + i * GROUP, 4);
    }
    for (; i < segment->groups; i++) {
        const uint32_t *at = segment->columns[i];
        __m256i a = _mm256_cvtepu8_epi16(load_16(x + at[0])), b = _mm256_cvtepu8_epi16(load_16(x + at[1]));
        __m256i c = _mm256_cvtepu8_epi16(load_16(x + at[2])), d = _mm256_cvtepu8_epi16(load_16(x + at[3]));
        __m256i even[2] = {_mm256_unpacklo_epi16(a, c), _mm256_unpackhi_epi16(a, c)};
        __m256i odd[2] = {_mm256_unpacklo_epi16(b, d), _mm256_unpackhi_epi16(b, d)};
        dot_wide(acc, even, odd, &segment->words[i]);
    }
}

void espi_sparse_u8s8_avx2(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                           const struct espi_epilogue *epilogue)
{
    struct segment segment;
    __m256i sums[ESPI_PANEL_TOKENS / CHUNK][4][2];
    for (size_t quad = first; quad < end; quad++) {
        size_t begin = weights->starts[quad], groups = weights->starts[quad + 1] - begin, group = 0;
        size_t segments = (groups + SEGMENT - 1) / SEGMENT, part = segments ? (groups + segments - 1) / segments : 0;
        do { // once for a quad without groups
            size_t count = groups - group < part ? groups - group : part;
            const int8_t *w = weights->weights + (begin + group) * GROUP;
            prepare(&segment, w, weights->indices + (begin + group) * 4, count, width);
            for (size_t token = 0; token < width; token += CHUNK) {
                __m256i acc[4][2];
                begin_sums(acc, group == 0, epilogue, quad, sums[token / CHUNK]);
                dot_segment(acc, &segment, w, x + token);
                end_sums(acc, group + count == groups, epilogue, quad, weights->rows, width, token, true,
                         sums[token / CHUNK]);
            }
            group += count;
        } while (group < groups);
    }
}
