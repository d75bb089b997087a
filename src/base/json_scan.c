/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_scan.h"

#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scanner {
    const char *text; // (bytes)
    size_t bytes, at;
    const char *problem; // the first; NULL: none so far
    char *copy;          // NULL until a number must be changed
    bool no_memory;
    char closing[ESPI_JSON_DEPTH]; // (depth) '}' or ']' of what is open
    size_t depth;
};

static bool fail(struct scanner *s, const char *problem)
{
    s->problem = problem;
    return false;
}

/* The next character; a zero byte, which JSON has nowhere, stands for the end too. */
static char peek(const struct scanner *s)
{
    return s->at < s->bytes ? s->text[s->at] : '\0';
}

static bool take(struct scanner *s, char c)
{
    bool there = peek(s) == c;
    s->at += there;
    return there;
}

static size_t skip_space(const char *text, size_t bytes, size_t at)
{
    while (at < bytes && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r'))
        at++;
    return at;
}

static void skip_spaces(struct scanner *s)
{
    s->at = skip_space(s->text, s->bytes, s->at);
}

/* ---- strings ----------------------------------------------------------------------------------------------------- */

/* The four digits of a \u escape; -1 when they are none. */
static int hex4(const char *text, size_t bytes)
{
    int code = 0;
    for (size_t i = 0; i < 4; i++) {
        char c = i < bytes ? text[i] : '\0';
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        code = 16 * code + digit;
    }
    return code;
}

/* Behind "\u". */
static bool scan_unicode(struct scanner *s)
{
    int code = hex4(s->text + s->at, s->bytes - s->at);
    if (code < 0)
        return fail(s, "expected four hexadecimal digits behind \\u");
    s->at += 4;
    if (code < 0xd800 || code > 0xdfff)
        return true;
    size_t left = s->bytes - s->at;
    int low = left >= 6 && !memcmp(s->text + s->at, "\\u", 2) ? hex4(s->text + s->at + 2, left - 2) : -1;
    if (code >= 0xdc00 || low < 0xdc00 || low > 0xdfff)
        return fail(s, "half of a surrogate pair is no character");
    s->at += 6;
    return true;
}

/* Behind the opening quote. */
static bool scan_string(struct scanner *s)
{
    for (;;) {
        if (s->at == s->bytes)
            return fail(s, "the text ends within a string");
        unsigned char c = (unsigned char)s->text[s->at];
        if (c == '"') {
            s->at++;
            return true;
        }
        if (c < 0x20)
            return fail(s, "a control character in a string (it is written as an escape)");
        if (c == '\\') {
            s->at++;
            char escape = peek(s);
            if (!escape || !strchr("\"\\/bfnrtu", escape))
                return fail(s, "unknown escape in a string");
            s->at++;
            if (escape == 'u' && !scan_unicode(s))
                return false;
            continue;
        }
        uint32_t code;
        size_t length = 1;
        if (c >= 0x80) {
            length = espi_utf8_decode((const unsigned char *)s->text + s->at, s->bytes - s->at, &code);
            if (code == ESPI_REPLACEMENT && !(length == 3 && c == 0xef)) // see espi_utf8_part
                return fail(s, "expected UTF-8");
        }
        s->at += length;
    }
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static char *edit(struct scanner *s)
{
    if (!s->copy && (s->copy = malloc(s->bytes)))
        memcpy(s->copy, s->text, s->bytes);
    s->no_memory |= !s->copy;
    return s->copy;
}

/* A number jansson would refuse, text[begin .. at). Its length is kept, so that columns stay what they are. */
static void narrow(struct scanner *s, size_t begin, bool integer, long magnitude)
{
    char *copy = edit(s);
    if (!copy)
        return;
    if (integer && magnitude < 308) { // the last two of 19 digits or more are below what a double holds
        memcpy(copy + s->at - 2, "e2", 2);
        return;
    }
    begin += copy[begin] == '-';
    memset(copy + begin, ' ', s->at - begin);
    memcpy(copy + begin, "1e308", 5);
}

static bool fits_integer(const char *digits, size_t count, bool negative)
{
    const char *most = negative ? "9223372036854775808" : "9223372036854775807";
    return count < 19 || (count == 19 && memcmp(digits, most, 19) <= 0);
}

static size_t scan_digits(struct scanner *s)
{
    size_t begin = s->at;
    while (peek(s) >= '0' && peek(s) <= '9')
        s->at++;
    return s->at - begin;
}

/* The exponent behind an 'e'; numbers beyond 10 digits are cut to that. */
static bool scan_exponent(struct scanner *s, long *exponent)
{
    bool negative = peek(s) == '-';
    s->at += negative || peek(s) == '+';
    size_t begin = s->at;
    if (!scan_digits(s))
        return fail(s, "expected digits in an exponent");
    for (; begin < s->at && *exponent < 1000000000; begin++)
        *exponent = 10 * *exponent + (s->text[begin] - '0');
    *exponent = negative ? -*exponent : *exponent;
    return true;
}

static bool scan_number(struct scanner *s)
{
    size_t begin = s->at;
    bool negative = take(s, '-'), integer = true;
    const char *digits = s->text + s->at;
    bool zero = peek(s) == '0';
    size_t count = zero ? 1 : scan_digits(s), zeros = 0;
    s->at += zero;
    if (!count)
        return fail(s, peek(s) == 'I' ? "Infinity is no number of JSON" : "expected a digit");
    if (take(s, '.')) {
        const char *fraction = s->text + s->at;
        size_t places = scan_digits(s);
        integer = false;
        if (!places)
            return fail(s, "expected digits behind the decimal point");
        while (zero && zeros < places && fraction[zeros] == '0')
            zeros++;
        zero = zero && zeros == places;
    }
    long exponent = 0;
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        integer = false;
        if (!scan_exponent(s, &exponent))
            return false;
    }
    long magnitude = (digits[0] == '0' ? -(long)zeros - 1 : (long)count - 1) + exponent; // of the first digit
    if (integer ? !fits_integer(digits, count, negative) : !zero && magnitude >= 308)
        narrow(s, begin, integer, magnitude);
    return true;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static bool open_value(struct scanner *s, char closing)
{
    if (s->depth == ESPI_JSON_DEPTH)
        return fail(s, "arrays and objects are nested deeper than 128");
    s->closing[s->depth++] = closing;
    return true;
}

static bool scan_word(struct scanner *s)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i]);
        if (s->bytes - s->at >= length && !memcmp(s->text + s->at, words[i], length)) {
            s->at += length;
            return true;
        }
    }
    if (peek(s) == 'N' || peek(s) == 'I')
        return fail(s, "NaN and Infinity are no numbers of JSON");
    return fail(s, s->at < s->bytes ? "expected a value" : "expected a value, found the end of the text");
}

static bool scan_key(struct scanner *s)
{
    skip_spaces(s);
    if (!take(s, '"'))
        return fail(s, "expected a key in double quotes");
    if (!scan_string(s))
        return false;
    skip_spaces(s);
    return take(s, ':') || fail(s, "expected ':' behind a key");
}

/* A value, or the opening of one: *opened is then true. */
static bool scan_value(struct scanner *s, bool *opened)
{
    *opened = false;
    skip_spaces(s);
    char c = peek(s);
    if (c == '"') {
        s->at++;
        return scan_string(s);
    }
    if (c == '-' || (c >= '0' && c <= '9'))
        return scan_number(s);
    if (c != '{' && c != '[')
        return scan_word(s);
    if (!open_value(s, c == '{' ? '}' : ']'))
        return false;
    s->at++;
    skip_spaces(s);
    if (take(s, s->closing[s->depth - 1])) {
        s->depth--;
        return true;
    }
    *opened = true;
    return c == '[' || scan_key(s);
}

/* Behind a value: closes what ends here and stops before the next value. */
static bool scan_behind(struct scanner *s)
{
    while (s->depth) {
        char closing = s->closing[s->depth - 1];
        skip_spaces(s);
        if (take(s, ','))
            return closing == ']' || scan_key(s);
        if (!take(s, closing))
            return fail(s, closing == ']' ? "expected ',' or ']'" : "expected ',' or '}'");
        s->depth--;
    }
    return true;
}

static bool scan_text(struct scanner *s)
{
    bool opened;
    do {
        if (!scan_value(s, &opened) || (!opened && !scan_behind(s)))
            return false;
    } while (s->depth);
    skip_spaces(s);
    return s->at == s->bytes || fail(s, "expected the end of the text");
}

static int complain(esp_context *ctx, const char *source, const struct scanner *s)
{
    size_t line = 1, begin = 0;
    for (size_t i = 0; i < s->at; i++) {
        if (s->text[i] == '\n') {
            line++;
            begin = i + 1;
        }
    }
    size_t column = espi_utf8_length(s->text + begin, s->at - begin) + (s->at < s->bytes);
    char place[32] = ""; // of a text of several lines; one line stands in a file whose lines the source counts
    if (s->bytes && memchr(s->text, '\n', s->bytes))
        snprintf(place, sizeof place, "line %zu, ", line);
    return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %scolumn %zu: not valid JSON: %s", source, place, column, s->problem);
}

int espi_json_scan(esp_context *ctx, const char *source, const char *text, size_t bytes, char **copy)
{
    struct scanner scanner = {.text = text, .bytes = bytes};
    bool valid = scan_text(&scanner);
    *copy = scanner.copy;
    if (valid && !scanner.no_memory)
        return ESP_OK;
    free(scanner.copy);
    *copy = NULL;
    return valid ? espi_fail_memory(ctx, bytes) : complain(ctx, source, &scanner);
}

/* ---- a member's text ---------------------------------------------------------------------------------------------- */

/* From an opening quote to behind the closing one. */
static size_t skip_string(const char *text, size_t at)
{
    for (at++; text[at] != '"'; at++)
        at += text[at] == '\\';
    return at + 1;
}

/* To behind a value within an object. */
static size_t skip_value(const char *text, size_t at)
{
    for (size_t depth = 0;;) {
        char c = text[at];
        if (!depth && (c == ',' || c == '}' || c == ']'))
            return at;
        if (c == '"') {
            at = skip_string(text, at);
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        at++;
    }
}

/* Whether the string at an opening quote is `key`. */
static bool is_key(const char *text, size_t at, const char *key)
{
    for (at++; text[at] != '"'; key++) {
        int c = text[at++];
        if (c == '\\' && text[at] == 'u') {
            c = hex4(text + at + 1, 4);
            at += 5;
        } else if (c == '\\') {
            return false; // no key we ask for has a character with a short escape
        }
        if (c != (unsigned char)*key || !*key)
            return false;
    }
    return !*key;
}

const char *espi_json_member_text(const char *text, size_t bytes, const char *key, size_t *length)
{
    size_t at = skip_space(text, bytes, 0) + 1; // behind the '{'
    for (;;) {
        at = skip_space(text, bytes, at);
        if (text[at] != '"')
            return NULL;
        bool found = is_key(text, at, key);
        at = skip_space(text, bytes, skip_string(text, at)) + 1; // behind the ':'
        size_t begin = skip_space(text, bytes, at), end = skip_value(text, begin);
        at = end + 1; // behind a ','
        if (found) {
            while (strchr(" \t\n\r", text[end - 1]))
                end--;
            *length = end - begin;
            return text + begin;
        }
        if (text[end] == '}')
            return NULL;
    }
}
