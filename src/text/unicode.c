/* SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode.h"

#include "base/size.h"

#include <utf8proc.h>

#include "text/unicode_tables.inc"

const struct espi_range *espi_char_ranges(enum espi_char_class which, size_t *count)
{
    static const struct {
        const struct espi_range *ranges;
        size_t count;
    } classes[] = {
        [ESPI_CHAR_REMOVED] = {removed, ESPI_COUNT(removed)},
        [ESPI_CHAR_SPACE] = {spaces, ESPI_COUNT(spaces)},
        [ESPI_CHAR_PUNCTUATION] = {punctuation, ESPI_COUNT(punctuation)},
        [ESPI_CHAR_MARK] = {marks, ESPI_COUNT(marks)},
        [ESPI_CHAR_KEPT_MARK] = {kept_marks, ESPI_COUNT(kept_marks)},
        [ESPI_CHAR_CHINESE] = {chinese, ESPI_COUNT(chinese)},
    };
    *count = classes[which].count;
    return classes[which].ranges;
}

/* Bits of ASCII: those of its classes (enum espi_char_class), and its kind (enum espi_char_kind) from bit 6 on. */
enum {
    R = 1 << ESPI_CHAR_REMOVED,
    S = 1 << ESPI_CHAR_SPACE | ESPI_KIND_SPACE << 6,
    B = R | S,
    P = 1 << ESPI_CHAR_PUNCTUATION,
    L = ESPI_KIND_LETTER << 6,
    N = ESPI_KIND_NUMBER << 6
};
/* clang-format off */
static const uint8_t ascii[128] = {
    R, R, R, R, R, R, R, R, R, S, S, B, B, S, R, R,
    R, R, R, R, R, R, R, R, R, R, R, R, R, R, R, R,
    S, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P,
    N, N, N, N, N, N, N, N, N, N, P, P, P, P, P, P,
    P, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
    L, L, L, L, L, L, L, L, L, L, L, P, P, P, P, P,
    P, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
    L, L, L, L, L, L, L, L, L, L, L, P, P, P, P, R,
};
/* clang-format on */

/* Ascending ranges. */
static bool among(const struct espi_range *ranges, size_t count, uint32_t code)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code >= ranges[low].first;
}

bool espi_char_is(enum espi_char_class which, uint32_t code)
{
    size_t count;
    if (code < 128)
        return ascii[code] >> which & 1;
    const struct espi_range *ranges = espi_char_ranges(which, &count);
    return among(ranges, count, code);
}

bool espi_char_is_word(uint32_t code)
{
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    case UTF8PROC_CATEGORY_SO: // Other_Alphabetic: circled and squared letters
        return (code >= 0x24b6 && code <= 0x24e9) || (code >= 0x1f130 && code <= 0x1f149) ||
               (code >= 0x1f150 && code <= 0x1f169) || (code >= 0x1f170 && code <= 0x1f189);
    default:
        return code == 0x200c || code == 0x200d;
    }
}

bool espi_char_is_mark(uint32_t code)
{
    return code >= accents[0].first && among(accents, ESPI_COUNT(accents), code);
}

enum espi_char_kind espi_char_kind(uint32_t code)
{
    if (code < 128)
        return ascii[code] >> 6;
    if (espi_char_is(ESPI_CHAR_SPACE, code))
        return ESPI_KIND_SPACE;
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return ESPI_KIND_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return ESPI_KIND_NUMBER;
    default:
        return ESPI_KIND_OTHER;
    }
}

/* Canonical compositions that came with Unicode 13 and 16: the peer's tables are older and leave them whole. */
static bool decomposes_later(uint32_t code)
{
    static const struct espi_range later[] = {
        {0x105c9, 0x105c9}, {0x105e4, 0x105e4}, {0x11383, 0x11385}, {0x1138e, 0x11391},
        {0x113c5, 0x113c8}, {0x11938, 0x11938}, {0x16121, 0x16128}, {0x16d68, 0x16d6a},
    };
    return among(later, ESPI_COUNT(later), code);
}

/* The same of compatibility decompositions younger than Unicode 9. */
static bool is_compatible_later(uint32_t code)
{
    static const struct espi_range later[] = {
        {0x32ff, 0x32ff},   {0xa7f1, 0xa7f4},   {0xab69, 0xab69},   {0x10781, 0x107ba},
        {0x1ccd6, 0x1ccf9}, {0x1e030, 0x1e06d}, {0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9},
    };
    return among(later, ESPI_COUNT(later), code);
}

/* Marks of Unicode 16 and 17, which the peer's clusters take in. */
static bool joins_later(uint32_t code)
{
    static const struct espi_range later[] = {
        {0x897, 0x897},     {0x1acf, 0x1add},   {0x1ae0, 0x1aeb},   {0x10d69, 0x10d6d}, {0x10efa, 0x10efc},
        {0x113b8, 0x113c0}, {0x113c2, 0x113c2}, {0x113c5, 0x113c5}, {0x113c7, 0x113ca}, {0x113cc, 0x113d0},
        {0x113d2, 0x113d2}, {0x113e1, 0x113e2}, {0x11b60, 0x11b67}, {0x11f5a, 0x11f5a}, {0x1611e, 0x1612f},
        {0x1e5ee, 0x1e5ef}, {0x1e6e3, 0x1e6e3}, {0x1e6e6, 0x1e6e6}, {0x1e6ee, 0x1e6ef}, {0x1e6f5, 0x1e6f5},
    };
    return code >= later[0].first && among(later, ESPI_COUNT(later), code);
}

static size_t decompose(uint32_t code, int options, size_t most, bool whole, uint32_t *out)
{
    utf8proc_int32_t parts[ESPI_DECOMPOSED_COMPATIBLE];
    int last_class = 0;
    utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)code, parts, ESPI_COUNT(parts),
                                                     (utf8proc_option_t)options, &last_class);
    if (count < 1 || count > (utf8proc_ssize_t)most || whole) {
        out[0] = code;
        return 1;
    }
    for (utf8proc_ssize_t i = 0; i < count; i++)
        out[i] = (uint32_t)parts[i];
    return (size_t)count;
}

size_t espi_char_decompose(uint32_t code, uint32_t *out)
{
    return decompose(code, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, ESPI_DECOMPOSED, decomposes_later(code), out);
}

size_t espi_char_decompose_compatible(uint32_t code, uint32_t *out)
{
    return decompose(code, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_STABLE, ESPI_DECOMPOSED_COMPATIBLE,
                     decomposes_later(code) || is_compatible_later(code), out);
}

bool espi_char_joins(uint32_t first, uint32_t second, int32_t *state)
{
    if (first < 0x300 && second < 0x300)
        return first == '\r' && second == '\n';
    bool breaks = utf8proc_grapheme_break_stateful((utf8proc_int32_t)first, (utf8proc_int32_t)second, state);
    return !breaks || (joins_later(second) && first >= ' ' && first != 0x7f);
}

uint32_t espi_char_compose(uint32_t first, uint32_t second)
{
    utf8proc_int32_t pair[2] = {(utf8proc_int32_t)first, (utf8proc_int32_t)second};
    bool one = utf8proc_normalize_utf32(pair, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE) == 1;
    return one && !decomposes_later((uint32_t)pair[0]) ? (uint32_t)pair[0] : 0;
}

uint8_t espi_char_combining(uint32_t code)
{
    if (!espi_char_is(ESPI_CHAR_MARK, code) && !espi_char_is(ESPI_CHAR_KEPT_MARK, code))
        return 0; // younger than the peer's tables, which take it for a letter
    return (uint8_t)utf8proc_get_property((utf8proc_int32_t)code)->combining_class;
}

/* Capital letters younger than Unicode 15, which the peer's language runtime already lowers. */
static uint32_t lower_later(uint32_t code)
{
    static const struct {
        uint32_t first, last;
        int32_t distance;
    } later[] = {
        {0x1c89, 0x1c89, 1},      {0xa7cb, 0xa7cb, 0x264 - 0xa7cb},
        {0xa7cc, 0xa7cc, 1},      {0xa7ce, 0xa7ce, 1},
        {0xa7d2, 0xa7d2, 1},      {0xa7d4, 0xa7d4, 1},
        {0xa7da, 0xa7da, 1},      {0xa7dc, 0xa7dc, 0x19b - 0xa7dc},
        {0x10d50, 0x10d65, 0x20}, {0x16ea0, 0x16eb8, 0x1b},
    };
    for (size_t i = 0; i < ESPI_COUNT(later); i++)
        if (code >= later[i].first && code <= later[i].last)
            return (uint32_t)((int32_t)code + later[i].distance);
    return code;
}

size_t espi_char_lower(uint32_t code, uint32_t out[ESPI_LOWERED])
{
    if (code == 0x130) { // İ: the only letter whose lower case is two code points
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
    if (out[0] == code)
        out[0] = lower_later(code);
    return 1;
}
