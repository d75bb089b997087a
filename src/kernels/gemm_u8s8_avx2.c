/* SPDX-License-Identifier: Apache-2.0
 * Dense int8 products. A quad's narrow groups come first, then its wide ones: a loop each, without a branch on the kind. */
#include "kernels/int8_avx2.h"

enum { SEGMENT = 256 }; // groups sorted at a time: bounds the stack

/* Groups by kind. A group is named by its offset in the weights, GROUP times its number. */
struct segment {
    size_t narrow_count, wide_count;
    uint16_t narrow[SEGMENT + 4], wide[SEGMENT + 4]; // `append` writes 4 at a time
    __m256i words[SEGMENT];                          // of the wide ones
};

/* The offsets of the groups of a mask. */
static const uint16_t offsets_of[16][4] = {
    {0},  {0},     {16},     {0, 16},     {32},     {0, 32},     {16, 32},     {0, 16, 32},
    {48}, {0, 48}, {16, 48}, {0, 16, 48}, {32, 48}, {0, 32, 48}, {16, 32, 48}, {0, 16, 32, 48},
};

ESPI_INLINE void append(uint16_t *list, size_t *count, size_t group, unsigned mask)
{
    uint64_t offsets;
    memcpy(&offsets, offsets_of[mask], sizeof(offsets));
    offsets += group * GROUP * 0x0001000100010001;
    memcpy(list + *count, &offsets, sizeof(offsets));
    *count += 0x4332322132212110 >> 4 * mask & 7; // groups of the mask
}

ESPI_INLINE void sort_groups(struct segment *segment, const int8_t *weights, size_t groups)
{
    segment->narrow_count = segment->wide_count = 0;
    for (size_t group = 0; group < groups; group += 4) {
        unsigned all = groups - group < 4 ? (1u << (groups - group)) - 1 : 15;
        unsigned narrow = narrow_of_first(weights + group * GROUP, groups - group);
        append(segment->narrow, &segment->narrow_count, group, narrow);
        append(segment->wide, &segment->wide_count, group, all ^ narrow);
    }
    for (size_t i = 0; i < segment->wide_count; i++)
        segment->words[i] = widen(weights + segment->wide[i]);
}

/* x: of the segment's first group and the chunk's first token. */
ESPI_INLINE void dot_segment(__m256i acc[4][2], const struct segment *segment, const int8_t *weights, const uint8_t *x,
                             size_t width)
{
    for (size_t i = 0; i < segment->narrow_count; i++) {
        size_t group = segment->narrow[i];
        const uint8_t *dwords = x + group * (width * 4 / GROUP);
        dot_narrow(acc, load_32(dwords), load_32(dwords + 32), weights + group, 4);
    }
    for (size_t i = 0; i < segment->wide_count; i++) {
        const uint8_t *dwords = x + segment->wide[i] * (width * 4 / GROUP);
        const __m256i mask = _mm256_set1_epi16(0xff), low = load_32(dwords), high = load_32(dwords + 32);
        __m256i even[2] = {_mm256_and_si256(low, mask), _mm256_and_si256(high, mask)};
        __m256i odd[2] = {_mm256_srli_epi16(low, 8), _mm256_srli_epi16(high, 8)};
        dot_wide(acc, even, odd, &segment->words[i]);
    }
}

void espi_gemm_u8s8_avx2(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                         const struct espi_epilogue *epilogue)
{
    const size_t groups = (weights->columns + 3) / 4;
    struct segment segment;
    __m256i sums[ESPI_PANEL_TOKENS / CHUNK][4][2];
    for (size_t quad = first; quad < end; quad++)
        for (size_t group = 0; group < groups; group += SEGMENT) {
            size_t count = groups - group < SEGMENT ? groups - group : SEGMENT;
            const int8_t *w = weights->weights + (quad * groups + group) * GROUP;
            sort_groups(&segment, w, count);
            for (size_t token = 0; token < width; token += CHUNK) {
                __m256i acc[4][2];
                begin_sums(acc, group == 0, epilogue, quad, sums[token / CHUNK]);
                dot_segment(acc, &segment, w, x + (group * width + token) * 4, width);
                end_sums(acc, group + count == groups, epilogue, quad, weights->rows, width, token, false,
                         sums[token / CHUNK]);
            }
        }
}
