/* SPDX-License-Identifier: Apache-2.0
 * Dense int8 products. The products of two groups are added up in 16 bits where that is exact (kernels/pairs.h). */
#include "kernels/pairs.h"
#include "kernels/x86/int8_avx2.h"

enum { BLOCK = 16 };              // quads that read a copy of the input
enum { CHUNK_BYTES = 4 * CHUNK }; // of a group

/* A segment of a quad. */
struct segment {
    const int8_t *weights; // (groups, 4, 4)
    const int8_t *next;    // the same of the next quad, if there is one
    size_t groups;
    const uint8_t *order; // (groups)
    const uint8_t *pairs; // (ESPI_PAIR_KINDS)
};

/* ---- the order ------------------------------------------------------------------------------------------------------- */

static bool all_exist(const uint8_t *order, size_t groups)
{
    __m256i last = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 32 <= groups; i += 32)
        last = _mm256_max_epu8(last, load_32(order + i));
    for (; i < groups; i++)
        last = _mm256_max_epu8(last, _mm256_set1_epi8((char)order[i]));
    last = _mm256_subs_epu8(last, _mm256_set1_epi8((char)(groups - 1)));
    return _mm256_testz_si256(last, last);
}

/* How many groups were named, which are those that have a 1. */
static size_t count_named(const uint8_t named[ESPI_SEGMENT_GROUPS])
{
    __m256i counts = _mm256_setzero_si256();
    for (size_t i = 0; i < ESPI_SEGMENT_GROUPS; i += 32)
        counts = _mm256_add_epi8(counts, load_32(named + i));
    counts = _mm256_sad_epu8(counts, _mm256_setzero_si256());
    __m128i sums = _mm_add_epi64(_mm256_castsi256_si128(counts), _mm256_extracti128_si256(counts, 1));
    return (size_t)_mm_cvtsi128_si64(_mm_add_epi64(sums, _mm_unpackhi_epi64(sums, sums)));
}

/* Two groups side by side. */
ESPI_INLINE __m256i take_two(const int8_t *weights, size_t first, size_t second, uint8_t *named)
{
    named[first] = named[second] = 1;
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load_16((const uint8_t *)weights + first * GROUP)),
                                   load_16((const uint8_t *)weights + second * GROUP), 1);
}

/* What two groups come to where they meet: the positive weights or the negative ones, whichever is more. */
ESPI_INLINE __m256i heavier_sign(__m256i a, __m256i b)
{
    const __m256i zero = _mm256_setzero_si256(), ones_8 = _mm256_set1_epi8(1);
    __m256i up_a = _mm256_max_epi8(a, zero), up_b = _mm256_max_epi8(b, zero);
    __m256i up = _mm256_add_epi8(up_a, up_b);
    /* 256 of two -128 ends as 255, which is too much as well */
    __m256i down = _mm256_adds_epu8(_mm256_sub_epi8(up_a, a), _mm256_sub_epi8(up_b, b));
    return _mm256_max_epi16(_mm256_maddubs_epi16(up, ones_8), _mm256_maddubs_epi16(down, ones_8));
}

/* Whether the order's places from `at` on are pairs of a kind. Two at a time: this is most of what a model's first run
 * takes longer than the others. */
static bool are_pairs(const int8_t *weights, const uint8_t *at, size_t pairs, int kind, uint8_t *named)
{
    const __m256i row = _mm256_cmpeq_epi32(_mm256_setr_epi32(1, 2, 3, 4, 1, 2, 3, 4), _mm256_set1_epi32(kind));
    __m256i heaviest = _mm256_setzero_si256();
    for (; pairs >= 2; pairs -= 2, at += 4) {
        __m256i a = take_two(weights, at[0], at[2], named), b = take_two(weights, at[1], at[3], named);
        heaviest = _mm256_max_epi16(heaviest, heavier_sign(a, b));
    }
    if (pairs) {
        __m256i a = take_two(weights, at[0], at[0], named), b = take_two(weights, at[1], at[1], named);
        heaviest = _mm256_max_epi16(heaviest, heavier_sign(a, b));
    }
    return _mm256_testc_si256(row, _mm256_cmpgt_epi16(heaviest, _mm256_set1_epi16(ESPI_PAIR_LIMIT)));
}

static bool order_holds(const struct segment *segment)
{
    const uint8_t *at = segment->order, *end = at + segment->groups;
    uint8_t named[ESPI_SEGMENT_GROUPS] = {0};
    if (!all_exist(at, segment->groups))
        return false;
    for (int kind = 0; kind < ESPI_PAIR_KINDS; kind++) {
        size_t pairs = segment->pairs[kind];
        if (pairs * 2 > (size_t)(end - at) || !are_pairs(segment->weights, at, pairs, kind, named))
            return false;
        at += pairs * 2;
    }
    while (at < end)
        named[*at++] = 1;
    return count_named(named) == segment->groups;
}

static size_t segment_number(const struct espi_quads *weights, size_t quad, size_t group)
{
    return quad * espi_segments(weights->columns) + group / ESPI_SEGMENT_GROUPS;
}

/* The segment that begins with a group of a quad, in the order of the file, which there has to be. */
static struct segment proposed(const struct espi_quads *weights, size_t quad, size_t group)
{
    size_t groups = (weights->columns + 3) / 4, at = quad * groups + group, left = groups - group;
    const int8_t *first = weights->weights + at * GROUP;
    return (struct segment){.weights = first,
                            .next = quad + 1 < espi_quad_count(weights->rows) ? first + groups * GROUP : first,
                            .groups = left < ESPI_SEGMENT_GROUPS ? left : ESPI_SEGMENT_GROUPS,
                            .order = weights->order + at,
                            .pairs = weights->pairs + segment_number(weights, quad, group) * ESPI_PAIR_KINDS};
}

/* Of each segment whether its order holds: (quads, segments). */
size_t espi_gemm_u8s8_avx2_memo(const struct espi_quads *weights, void *memo)
{
    const size_t quads = espi_quad_count(weights->rows), groups = (weights->columns + 3) / 4;
    uint8_t *holds = memo;
    for (size_t quad = 0; holds && quad < quads; quad++)
        for (size_t group = 0; group < groups; group += ESPI_SEGMENT_GROUPS) {
            struct segment segment = proposed(weights, quad, group);
            holds[segment_number(weights, quad, group)] = order_holds(&segment);
        }
    return quads * espi_segments(weights->columns);
}

/* The same in an order that holds. */
static struct segment segment_of(const struct espi_quads *weights, size_t quad, size_t group)
{
    static const uint8_t none[ESPI_PAIR_KINDS];
#define FOUR(i)       (i), (i) + 1, (i) + 2, (i) + 3
#define SIXTEEN(i)    FOUR(i), FOUR((i) + 4), FOUR((i) + 8), FOUR((i) + 12)
#define SIXTY_FOUR(i) SIXTEEN(i), SIXTEEN((i) + 16), SIXTEEN((i) + 32), SIXTEEN((i) + 48)
    static const uint8_t natural[] = {SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};
    const uint8_t *holds = weights->memo;
    struct segment segment = proposed(weights, quad, group);
    if (holds ? holds[segment_number(weights, quad, group)] : order_holds(&segment))
        return segment;
    segment.order = natural;
    segment.pairs = none;
    return segment;
}

/* ---- products -------------------------------------------------------------------------------------------------------- */

ESPI_INLINE void dot_row(__m256i acc[2], const __m256i x[2], const __m256i y[2], const int8_t *w, const int8_t *v,
                         bool words)
{
    if (words) {
        dot_words(acc, x, w);
        dot_words(acc, y, v);
    } else {
        dot_pair_u8(acc, x, y, w, v);
    }
}

/* The pairs of a kind; x: 16 tokens of the segment's first group. Returns the order's place behind them. Rows are written
 * out, since gcc 12 keeps arrays in registers only when their indices are constants from the first. */
ESPI_INLINE const uint8_t *dot_pairs(__m256i acc[4][2], const struct segment *segment, const uint8_t *at, int kind,
                                     const uint8_t *x)
{
    for (size_t pairs = segment->pairs[kind]; pairs; pairs--, at += 2) {
        const int8_t *w = segment->weights + at[0] * GROUP, *v = segment->weights + at[1] * GROUP;
        const uint8_t *first = x + at[0] * CHUNK_BYTES, *second = x + at[1] * CHUNK_BYTES;
        __m256i x0[2] = {load_32(first), load_32(first + 32)}, x1[2] = {load_32(second), load_32(second + 32)};
        _mm_prefetch((const char *)segment->next + (at - segment->order) * GROUP, _MM_HINT_T0);
        dot_row(acc[0], x0, x1, w, v, kind == 1);
        dot_row(acc[1], x0, x1, w + 4, v + 4, kind == 2);
        dot_row(acc[2], x0, x1, w + 8, v + 8, kind == 3);
        dot_row(acc[3], x0, x1, w + 12, v + 12, kind == 4);
    }
    return at;
}

ESPI_INLINE void dot_segment(__m256i acc[4][2], const struct segment *segment, const uint8_t *x)
{
    const uint8_t *at = segment->order, *end = at + segment->groups;
    at = dot_pairs(acc, segment, at, 0, x);
    at = dot_pairs(acc, segment, at, 1, x);
    at = dot_pairs(acc, segment, at, 2, x);
    at = dot_pairs(acc, segment, at, 3, x);
    at = dot_pairs(acc, segment, at, 4, x);
    for (; at < end; at++) {
        const int8_t *w = segment->weights + *at * GROUP;
        const uint8_t *group = x + *at * CHUNK_BYTES;
        __m256i dwords[2] = {load_32(group), load_32(group + 32)};
        dot_words(acc[0], dwords, w);
        dot_words(acc[1], dwords, w + 4);
        dot_words(acc[2], dwords, w + 8);
        dot_words(acc[3], dwords, w + 12);
    }
}

/* The input of a segment for a chunk of 16 tokens, group behind group. Wider panels are copied: their groups lie 128 or 256
 * bytes apart, so that they share a half or a quarter of the sets of L1, which do not hold them from quad to quad. */
ESPI_INLINE const uint8_t *gather(const uint8_t *x, size_t width, size_t groups, uint8_t *copy)
{
    if (width == CHUNK)
        return x;
    for (size_t i = 0; i < groups; i++) {
        _mm256_store_si256((__m256i *)(void *)(copy + i * CHUNK_BYTES), load_32(x + i * width * 4));
        _mm256_store_si256((__m256i *)(void *)(copy + i * CHUNK_BYTES + 32), load_32(x + i * width * 4 + 32));
    }
    return copy;
}

/* A segment of a quad added to its sums so far. */
ESPI_INLINE void add_segment(__m256i sums[4][2], const struct segment *segment, const uint8_t *x)
{
    __m256i acc[4][2] = {
        {sums[0][0], sums[0][1]}, {sums[1][0], sums[1][1]}, {sums[2][0], sums[2][1]}, {sums[3][0], sums[3][1]}};
    dot_segment(acc, segment, x);
    sums[0][0] = acc[0][0], sums[0][1] = acc[0][1];
    sums[1][0] = acc[1][0], sums[1][1] = acc[1][1];
    sums[2][0] = acc[2][0], sums[2][1] = acc[2][1];
    sums[3][0] = acc[3][0], sums[3][1] = acc[3][1];
}

/* Up to BLOCK quads of a chunk of 16 tokens; x: of the chunk's first. */
static void block(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                  size_t token, const struct espi_epilogue *epilogue)
{
    const size_t groups = (weights->columns + 3) / 4;
    uint8_t copy[ESPI_SEGMENT_GROUPS * CHUNK_BYTES] __attribute__((aligned(32)));
    __m256i sums[BLOCK][4][2];
    for (size_t group = 0, count; group < groups; group += count) {
        count = groups - group < ESPI_SEGMENT_GROUPS ? groups - group : ESPI_SEGMENT_GROUPS;
        const uint8_t *chunk = gather(x + group * width * 4, width, count, copy);
        for (size_t quad = first; quad < end; quad++) {
            struct segment segment = segment_of(weights, quad, group);
            __m256i(*sum)[2] = sums[quad - first];
            if (group == 0)
                begin_sums(epilogue, quad, sum);
            add_segment(sum, &segment, chunk);
            if (group + count == groups)
                for (size_t r = 0, row = quad * 4; r < 4 && row < weights->rows; r++, row++)
                    finish_row(epilogue, row, row * width + token, token, sum[r], 0);
        }
    }
}

void espi_gemm_u8s8_avx2(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                         const struct espi_epilogue *epilogue)
{
    for (size_t quad = first; quad < end; quad += BLOCK)
        for (size_t token = 0; token < width; token += CHUNK)
            block(weights, x + token * 4, width, quad, end - quad < BLOCK ? end : quad + BLOCK, token, epilogue);
}
