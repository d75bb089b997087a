/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

size_t espi_utf8_decode(const unsigned char *text, size_t bytes, uint32_t *code)
{
    unsigned char lead = text[0];
    *code = lead;
    if (lead < 0x80)
        return 1;
    *code = ESPI_REPLACEMENT;
    if (lead < 0xc2 || lead > 0xf4)
        return 1;
    size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    /* the second byte's bounds keep out overlong forms, surrogates and what is above U+10FFFF */
    unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    uint32_t value = lead & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (i >= bytes || text[i] < low || text[i] > high)
            return i;
        value = value << 6 | (text[i] & 0x3fu);
        low = 0x80;
        high = 0xbf;
    }
    *code = value;
    return length;
}

size_t espi_utf8_decode_before(const unsigned char *text, size_t end, uint32_t *code)
{
    for (size_t length = 4; length > 1; length--)
        if (end >= length && espi_utf8_decode(text + end - length, length, code) == length)
            return length;
    *code = text[end - 1] < 0x80 ? text[end - 1] : ESPI_REPLACEMENT;
    return 1;
}

size_t espi_utf8_encode(uint32_t code, unsigned char out[4])
{
    if (code < 0x80) {
        out[0] = (unsigned char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (unsigned char)(0xc0 | code >> 6);
        out[1] = (unsigned char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (unsigned char)(0xe0 | code >> 12);
        out[1] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (unsigned char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (unsigned char)(0xf0 | code >> 18);
    out[1] = (unsigned char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (unsigned char)(0x80 | (code & 0x3f));
    return 4;
}

struct espi_utf8_part espi_utf8_part(const char *text, size_t bytes)
{
    const unsigned char *data = (const unsigned char *)text;
    for (size_t at = 0, length; at < bytes; at += length) {
        uint32_t code;
        length = 1;
        if (data[at] < 0x80)
            continue;
        length = espi_utf8_decode(data + at, bytes - at, &code);
        bool stated = length == 3 && data[at] == 0xef; // U+FFFD itself: what is invalid ends sooner after this lead
        if (code == ESPI_REPLACEMENT && !stated)
            return (struct espi_utf8_part){at, length};
    }
    return (struct espi_utf8_part){bytes, 0};
}

size_t espi_utf8_valid(const char *text, size_t bytes)
{
    return espi_utf8_part(text, bytes).valid;
}

size_t espi_utf8_length(const char *text, size_t bytes)
{
    size_t length = 0;
    for (size_t i = 0; i < bytes; i++)
        length += ((unsigned char)text[i] & 0xc0) != 0x80;
    return length;
}

size_t espi_utf8_offset(const char *text, size_t bytes, size_t code_points)
{
    size_t at = 0;
    while (at < bytes && code_points > 0) {
        at++;
        while (at < bytes && ((unsigned char)text[at] & 0xc0) == 0x80)
            at++;
        code_points--;
    }
    return at;
}
