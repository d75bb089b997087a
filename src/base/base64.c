/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <stdint.h>

size_t espi_base64_length(size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}

void espi_base64_encode(const unsigned char *data, size_t bytes, char *out)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < bytes; at += 3, out += 4) {
        size_t left = bytes - at;
        uint32_t bits =
            (uint32_t)data[at] << 16 | (left > 1 ? (uint32_t)data[at + 1] << 8 : 0) | (left > 2 ? data[at + 2] : 0);
        out[0] = letters[bits >> 18];
        out[1] = letters[bits >> 12 & 63];
        out[2] = left > 1 ? letters[bits >> 6 & 63] : '=';
        out[3] = left > 2 ? letters[bits & 63] : '=';
    }
    *out = '\0';
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool espi_base64_decode(const char *text, size_t length, unsigned char *out, size_t *bytes)
{
    *bytes = 0;
    if (length % 4)
        return false;
    for (size_t at = 0; at < length; at += 4) {
        size_t padding = 0;
        uint32_t bits = 0;
        if (at + 4 == length && text[at + 3] == '=')
            padding = text[at + 2] == '=' ? 2 : 1;
        for (size_t i = 0; i < 4; i++) {
            int value = i >= 4 - padding ? 0 : value_of(text[at + i]);
            if (value < 0)
                return false;
            bits = bits << 6 | (uint32_t)value;
        }
        for (size_t i = 0; i < 3 - padding; i++)
            out[(*bytes)++] = (unsigned char)(bits >> (16 - 8 * i));
    }
    return true;
}
