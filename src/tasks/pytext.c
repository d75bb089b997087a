/* SPDX-License-Identifier: Apache-2.0 */
#include "tasks/pytext.h"

#include "base/size.h"

#include <string.h>
#include <utf8proc.h>

/* ---- UTF-8 ------------------------------------------------------------------------------------------------------- */

/* The code point at `at`, which moves behind it. An invalid byte counts as U+FFFD. */
static int32_t next(const char *text, size_t bytes, size_t *at)
{
    utf8proc_int32_t code_point;
    utf8proc_ssize_t step =
        utf8proc_iterate((const utf8proc_uint8_t *)text + *at, (utf8proc_ssize_t)(bytes - *at), &code_point);
    *at += step > 0 ? (size_t)step : 1;
    return step > 0 ? code_point : 0xfffd;
}

/* The code point before `at`, which moves to its start. */
static int32_t previous(const char *text, size_t *at)
{
    size_t end = *at;
    do
        --*at;
    while (*at > 0 && ((unsigned char)text[*at] & 0xc0) == 0x80);
    size_t start = *at;
    return next(text, end, &start);
}

/* ---- character classes ------------------------------------------------------------------------------------------- */

bool espi_py_isspace(int32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* str.isalnum() or "_": letters, and every number (all of N* have a numeric value); marks are not. */
bool espi_py_isword(int32_t c)
{
    if (c < 0x80)
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return true;
    default:
        return false;
    }
}

/* The Unicode property Case_Ignorable (DerivedCoreProperties): marks, format, modifiers, and the word-break classes
 * MidLetter, MidNumLet and Single_Quote. */
static bool case_ignorable(int32_t c)
{
    static const uint16_t word_break[] = {0x27,   0x2e,   0x3a,   0xb7,   0x387,  0x55f,  0x5f4,  0x2018, 0x2019,
                                          0x2024, 0x2027, 0xfe13, 0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a};
    for (size_t i = 0; i < ESPI_COUNT(word_break); i++) {
        if (c == word_break[i])
            return true;
    }
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        return false;
    }
}

/* The Unicode property Cased, of characters that are not Case_Ignorable. */
static bool cased(int32_t c)
{
    static const struct {
        int32_t low, high;
    } other[] = {{0xaa, 0xaa},       {0xba, 0xba},       {0x2160, 0x217f},  {0x24b6, 0x24e9},
                 {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}}; // Other_Lowercase, Other_Uppercase
    for (size_t i = 0; i < ESPI_COUNT(other); i++) {
        if (c >= other[i].low && c <= other[i].high)
            return true;
    }
    utf8proc_category_t category = utf8proc_category(c);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
}

/* ---- lower case -------------------------------------------------------------------------------------------------- */

/* A capital sigma at [begin, end) ends a word: a cased letter stands before it and none behind it, where characters
 * that have no say in casing are passed over (Unicode SpecialCasing, Final_Sigma). */
static bool final_sigma(const char *text, size_t bytes, size_t begin, size_t end)
{
    bool before = false;
    while (begin > 0) {
        int32_t c = previous(text, &begin);
        if (!case_ignorable(c)) {
            before = cased(c);
            break;
        }
    }
    if (!before)
        return false;
    while (end < bytes) {
        int32_t c = next(text, bytes, &end);
        if (!case_ignorable(c))
            return !cased(c);
    }
    return true;
}

int espi_py_lower(esp_context *ctx, const char *text, size_t bytes, struct espi_string *out)
{
    int status = espi_string_add(ctx, out, "", 0);
    for (size_t at = 0; !status && at < bytes;) {
        size_t begin = at;
        int32_t c = next(text, bytes, &at);
        if (c < 0x80) {
            char lower = (char)(c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c);
            status = espi_string_add(ctx, out, &lower, 1);
        } else if (c == 0x130) { // the one character whose lower case is two
            status = espi_string_add(ctx, out, "i\xcc\x87", 3);
        } else if (c == 0x3a3) {
            status = espi_string_add(ctx, out, final_sigma(text, bytes, begin, at) ? "\xcf\x82" : "\xcf\x83", 2);
        } else {
            utf8proc_uint8_t encoded[4];
            utf8proc_ssize_t length = utf8proc_encode_char(utf8proc_tolower(c), encoded);
            status = espi_string_add(ctx, out, (const char *)encoded, (size_t)length);
        }
    }
    return status;
}
