/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a text: offsets stay inside and in order, and the two ways through the normalizer (the second tokenizer
 * has an added token that is looked for in the normalized text, which forces the long one) agree; lines packed into windows have the tokens of the lines one by one. */
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static esp_tokenizer *make_tokenizer(unsigned flags, const char *added)
{
    static const char *const truth[] = {"false", "true"};
    char json[2048];
    snprintf(json, sizeof json,
             "{\"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": %s, \"handle_chinese_chars\": %s, "
             "\"strip_accents\": %s, \"lowercase\": %s}, \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, "
             "\"added_tokens\": [{\"id\": 4, \"content\": \"[MASK]\", \"lstrip\": true, \"normalized\": false}%s], "
             "\"model\": {\"max_input_chars_per_word\": 6, \"vocab\": {\"[UNK]\": 0, \"a\": 1, \"##a\": 2, \"i\": 3, "
             "\"[MASK]\": 4, \"##i\": 5, \"\xe1\x84\x80\": 6, \"##\xe1\x85\xa1\": 7, \"aa\": 8, \"##\xcc\x87\": 9, "
             "\".\": 10, \"[SEP]\": 11}}}",
             truth[flags & 1], truth[flags >> 1 & 1], truth[flags >> 2 & 1], truth[flags >> 3 & 1], added);
    esp_tokenizer *tokenizer;
    if (espi_tokenizer_open_text(NULL, "made", json, strlen(json), &tokenizer))
        abort();
    return tokenizer;
}

static void check(const esp_encoding *encoding, size_t bytes)
{
    uint32_t begin = 0, end = 0;
    for (size_t i = 0; i < encoding->tokens; i++) {
        if (encoding->byte_begin[i] < begin || encoding->byte_end[i] < end || encoding->byte_end[i] > bytes ||
            encoding->byte_begin[i] >= encoding->byte_end[i] || encoding->char_begin[i] >= encoding->char_end[i] ||
            encoding->char_end[i] > encoding->byte_end[i])
            abort();
        begin = encoding->byte_begin[i];
        end = encoding->byte_end[i];
    }
}

static void same(const void *a, const void *b, size_t count, size_t size)
{
    if (count && memcmp(a, b, count * size) != 0)
        abort();
}

static void check_lines(const esp_tokenizer *tokenizer, const char *text, size_t bytes, size_t max_length)
{
    esp_encoding packed = {0}, line = {0};
    size_t at = 0;
    if (espi_encode_lines(NULL, tokenizer, text, bytes, max_length, &packed))
        abort();
    for (size_t begin = 0, end; begin < bytes; begin = end) {
        const char *stop = memchr(text + begin, '\n', bytes - begin);
        end = stop ? (size_t)(stop - text) + 1 : bytes;
        if (esp_encode(NULL, tokenizer, text + begin, end - begin, NULL, 0, NULL, &line))
            abort();
        for (size_t i = 0; i < line.tokens; i++, at++) {
            at += at < packed.tokens && packed.special[at];
            if (at >= packed.tokens || packed.ids[at] != line.ids[i] || packed.byte_end[at] != line.byte_end[i] + begin)
                abort();
        }
    }
    for (size_t i = 0; i < packed.windows; i++)
        if (packed.starts[i] >= packed.starts[i + 1] || packed.starts[i + 1] - packed.starts[i] > max_length)
            abort();
    if (at != packed.tokens)
        abort();
    esp_encoding_clear(&packed);
    esp_encoding_clear(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static esp_tokenizer *by_table[16], *by_passes[16];
    if (size == 0)
        return 0;
    unsigned flags = data[0] & 15;
    if (!by_table[flags]) {
        by_table[flags] = make_tokenizer(flags, "");
        by_passes[flags] = make_tokenizer(
            flags, ", {\"id\": 12, \"content\": \"\xe2\x9f\xa6never\xe2\x9f\xa7\", \"normalized\": true}");
    }
    /* an exact copy, so that reading past the end is seen */
    size_t bytes = size - 1;
    char *text = malloc(bytes ? bytes : 1);
    esp_encoding a = {0}, b = {0};
    if (!text)
        return 0;
    memcpy(text, data + 1, bytes);
    if (esp_encode(NULL, by_table[flags], text, bytes, NULL, 0, NULL, &a) ||
        esp_encode(NULL, by_passes[flags], text, bytes, NULL, 0, NULL, &b) || a.tokens != b.tokens)
        abort();
    check(&a, bytes);
    same(a.ids, b.ids, a.tokens, sizeof *a.ids);
    same(a.words, b.words, a.tokens, sizeof *a.words);
    same(a.byte_begin, b.byte_begin, a.tokens, sizeof *a.byte_begin);
    same(a.byte_end, b.byte_end, a.tokens, sizeof *a.byte_end);
    same(a.char_begin, b.char_begin, a.tokens, sizeof *a.char_begin);
    same(a.char_end, b.char_end, a.tokens, sizeof *a.char_end);
    check_lines(by_table[flags], text, bytes, 1 + (data[0] >> 4));
    esp_encoding_clear(&a);
    esp_encoding_clear(&b);
    free(text);
    return 0;
}
