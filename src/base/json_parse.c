/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_parse.h"

#include "base/memory.h"
#include "base/utf8.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Characters of a string without its escapes: in the document, or in `room`. */
struct chars {
    const char *text; // (bytes)
    size_t bytes;
    char *room; // (capacity)
    size_t capacity;
};

struct parser {
    esp_context *ctx;
    const char *text; // (bytes)
    size_t bytes, at;
    const char *problem; // the first; NULL: none so far
    bool no_memory;
    json_t *open[ESPI_JSON_DEPTH],
        *root; // (depth) the arrays and objects that are open; each belongs to the one before
    size_t depth;
    struct chars key, string; // of the value that comes; of the string just read
    locale_t locale;          // of the decimal point; 0: no number needed it yet
};

static bool fail(struct parser *s, const char *problem)
{
    s->problem = problem;
    return false;
}

static bool no_memory(struct parser *s)
{
    s->no_memory = true;
    return false;
}

/* The next character; a zero byte, which JSON has nowhere, stands for the end too. */
static char peek(const struct parser *s)
{
    return s->at < s->bytes ? s->text[s->at] : '\0';
}

static bool take(struct parser *s, char c)
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

static void skip_spaces(struct parser *s)
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

/* Behind "\u": a code point, which may take two escapes. */
static bool parse_unicode(struct parser *s, uint32_t *out)
{
    int code = hex4(s->text + s->at, s->bytes - s->at);
    if (code < 0)
        return fail(s, "expected four hexadecimal digits behind \\u");
    s->at += 4;
    *out = (uint32_t)code;
    if (code < 0xd800 || code > 0xdfff)
        return true;
    size_t left = s->bytes - s->at;
    int low = left >= 6 && !memcmp(s->text + s->at, "\\u", 2) ? hex4(s->text + s->at + 2, left - 2) : -1;
    if (code >= 0xdc00 || low < 0xdc00 || low > 0xdfff)
        return fail(s, "half of a surrogate pair is no character");
    s->at += 6;
    *out = 0x10000 + (((uint32_t)code - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    return true;
}

/* Behind a backslash: what the escape stands for is added to `chars`, whose room is large enough. */
static bool parse_escape(struct parser *s, struct chars *chars)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char letter = peek(s);
    const char *found = letter ? strchr(letters, letter) : NULL;
    uint32_t code;
    if (!found && letter != 'u')
        return fail(s, s->at < s->bytes ? "unknown escape in a string" : "the text ends within a string");
    s->at++;
    if (found)
        chars->room[chars->bytes++] = meanings[found - letters];
    else if (parse_unicode(s, &code))
        chars->bytes += espi_utf8_encode(code, (unsigned char *)chars->room + chars->bytes);
    return !s->problem;
}

/* Behind the opening quote: to the first character that does not stand for itself. */
static bool parse_plain(struct parser *s)
{
    while (s->at < s->bytes) {
        unsigned char c = (unsigned char)s->text[s->at];
        uint32_t code;
        size_t length = 1;
        if (c == '"' || c == '\\')
            return true;
        if (c < 0x20)
            return fail(s, "a control character in a string (it is written as an escape)");
        if (c >= 0x80) {
            length = espi_utf8_decode((const unsigned char *)s->text + s->at, s->bytes - s->at, &code);
            if (code == ESPI_REPLACEMENT && !(length == 3 && c == 0xef)) // see espi_utf8_part
                return fail(s, "expected UTF-8");
        }
        s->at += length;
    }
    return fail(s, "the text ends within a string");
}

/* The end of the string whose characters begin at `begin`; the end of the text when it has none. */
static size_t string_end(const struct parser *s, size_t begin)
{
    size_t at = begin;
    while (at < s->bytes && s->text[at] != '"')
        at += s->text[at] == '\\' ? 2 : 1;
    return at < s->bytes ? at : s->bytes;
}

/* Behind the opening quote. A string takes no more bytes than its text. */
static bool parse_string(struct parser *s, struct chars *chars)
{
    size_t begin = s->at;
    if (!parse_plain(s))
        return false;
    chars->text = s->text + begin;
    chars->bytes = s->at - begin;
    if (s->text[s->at] == '\\') {
        if (espi_grow(s->ctx, &chars->room, &chars->capacity, string_end(s, begin) - begin + 1, 1))
            return no_memory(s);
        memcpy(chars->room, chars->text, chars->bytes);
        while (s->text[s->at] == '\\') {
            s->at++;
            if (!parse_escape(s, chars))
                return false;
            begin = s->at;
            if (!parse_plain(s))
                return false;
            memcpy(chars->room + chars->bytes, s->text + begin, s->at - begin);
            chars->bytes += s->at - begin;
        }
        chars->text = chars->room;
    }
    s->at++;
    return true;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static size_t skip_digits(struct parser *s)
{
    size_t begin = s->at;
    while (peek(s) >= '0' && peek(s) <= '9')
        s->at++;
    return s->at - begin;
}

/* To behind a number; whether it is written as an integer. */
static bool skip_number(struct parser *s, bool *integer)
{
    *integer = true;
    take(s, '-');
    if (!take(s, '0') && !skip_digits(s))
        return fail(s, peek(s) == 'I' ? "Infinity is no number of JSON" : "expected a digit");
    if (take(s, '.')) {
        *integer = false;
        if (!skip_digits(s))
            return fail(s, "expected digits behind the decimal point");
    }
    if (take(s, 'e') || take(s, 'E')) {
        *integer = false;
        if (!take(s, '-'))
            take(s, '+');
        if (!skip_digits(s))
            return fail(s, "expected digits in an exponent");
    }
    return true;
}

/* False when it does not fit into 64 bits. */
static bool to_integer(const char *digits, size_t count, int64_t *out)
{
    bool negative = *digits == '-';
    int64_t value = 0;
    for (size_t i = negative; i < count; i++) {
        int digit = digits[i] - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return false;
    }
    *out = value;
    return true;
}

/* The real nearest to a number that is written as text[0 .. bytes), whatever decimal point the program prefers. */
static bool to_real(struct parser *s, const char *text, size_t bytes, double *out)
{
    char few[64], *copy = bytes < sizeof few ? few : espi_calloc(s->ctx, bytes + 1, 1);
    if (!s->locale)
        s->locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (copy && s->locale) {
        memcpy(copy, text, bytes);
        copy[bytes] = 0;
        *out = strtod_l(copy, NULL, s->locale);
        if (fabs(*out) > 1e308)
            *out = copysign(1e308, *out);
    }
    bool done = copy && s->locale;
    if (copy != few)
        free(copy);
    return done || no_memory(s);
}

/* NULL on failure, as all below that give a value. */
static json_t *parse_number(struct parser *s)
{
    size_t begin = s->at;
    bool whole;
    int64_t integer;
    double real;
    if (!skip_number(s, &whole))
        return NULL;
    const char *text = s->text + begin;
    if (whole && to_integer(text, s->at - begin, &integer))
        return json_integer(integer);
    return to_real(s, text, s->at - begin, &real) ? json_real(real) : NULL;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static json_t *parse_word(struct parser *s)
{
    static const char *const words[] = {"null", "false", "true"};
    for (size_t i = 0; i < 3; i++) {
        size_t length = strlen(words[i]);
        if (s->bytes - s->at >= length && !memcmp(s->text + s->at, words[i], length)) {
            s->at += length;
            return i ? json_boolean(i == 2) : json_null();
        }
    }
    if (peek(s) == 'N' || peek(s) == 'I')
        fail(s, "NaN and Infinity are no numbers of JSON");
    else
        fail(s, s->at < s->bytes ? "expected a value" : "expected a value, found the end of the text");
    return NULL;
}

static bool parse_key(struct parser *s)
{
    skip_spaces(s);
    size_t begin = s->at;
    if (!take(s, '"'))
        return fail(s, "expected a key in double quotes");
    if (!parse_string(s, &s->key))
        return false;
    size_t end = s->at;
    s->at = begin; // of a complaint about the key
    if (memchr(s->key.text, 0, s->key.bytes))
        return fail(s, "a zero character in a key");
    if (json_object_getn(s->open[s->depth - 1], s->key.text, s->key.bytes))
        return fail(s, "duplicate object key");
    s->at = end;
    skip_spaces(s);
    return take(s, ':') || fail(s, "expected ':' behind a key");
}

/* Hands a value to the array or object it stands in. */
static bool put(struct parser *s, json_t *value)
{
    if (!value)
        return s->problem ? false : no_memory(s);
    json_t *in = s->depth ? s->open[s->depth - 1] : NULL;
    int failed = 0;
    if (!in)
        s->root = value;
    else if (json_is_array(in))
        failed = json_array_append_new(in, value);
    else
        failed = json_object_setn_new_nocheck(in, s->key.text, s->key.bytes, value);
    return failed ? no_memory(s) : true;
}

/* At an opening bracket; what stands in it comes next unless it is closed at once. */
static bool open_value(struct parser *s)
{
    bool object = peek(s) == '{';
    json_t *value = NULL;
    if (s->depth == ESPI_JSON_DEPTH)
        return fail(s, "arrays and objects are nested deeper than 128");
    value = object ? json_object() : json_array();
    if (!put(s, value))
        return false;
    s->at++;
    s->open[s->depth++] = value;
    return true;
}

static bool is_open_object(const struct parser *s)
{
    return json_is_object(s->open[s->depth - 1]);
}

/* A value, or the opening of one: *opened is then true. */
static bool parse_value(struct parser *s, bool *opened)
{
    *opened = false;
    skip_spaces(s);
    char c = peek(s);
    if (c == '"') {
        s->at++;
        return parse_string(s, &s->string) && put(s, json_stringn_nocheck(s->string.text, s->string.bytes));
    }
    if (c == '-' || (c >= '0' && c <= '9'))
        return put(s, parse_number(s));
    if (c != '{' && c != '[')
        return put(s, parse_word(s));
    if (!open_value(s))
        return false;
    skip_spaces(s);
    if (take(s, c == '{' ? '}' : ']')) {
        s->depth--;
        return true;
    }
    *opened = true;
    return c == '[' || parse_key(s);
}

/* Behind a value: closes what ends here and stops before the next value. */
static bool parse_behind(struct parser *s)
{
    while (s->depth) {
        bool object = is_open_object(s);
        skip_spaces(s);
        if (take(s, ','))
            return !object || parse_key(s);
        if (!take(s, object ? '}' : ']'))
            return fail(s, object ? "expected ',' or '}'" : "expected ',' or ']'");
        s->depth--;
    }
    return true;
}

static bool parse_text(struct parser *s)
{
    bool opened;
    do {
        if (!parse_value(s, &opened) || (!opened && !parse_behind(s)))
            return false;
    } while (s->depth);
    skip_spaces(s);
    return s->at == s->bytes || fail(s, "expected the end of the text");
}

static int complain(esp_context *ctx, const char *source, const struct parser *s)
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

int espi_json_parse(esp_context *ctx, const char *source, const char *text, size_t bytes, json_t **out)
{
    struct parser parser = {.ctx = ctx, .text = text, .bytes = bytes};
    bool done = parse_text(&parser);
    free(parser.key.room);
    free(parser.string.room);
    if (parser.locale)
        freelocale(parser.locale);
    *out = done ? parser.root : NULL;
    if (done)
        return ESP_OK;
    json_decref(parser.root);
    return parser.no_memory ? espi_fail_memory(ctx, bytes) : complain(ctx, source, &parser);
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
