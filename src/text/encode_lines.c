/* SPDX-License-Identifier: Apache-2.0
 * Lines of running text, packed into full windows. */
#include "text/tokenizer_state.h"

#include "base/size.h"
#include "text/unicode.h"

#include <string.h>

/* The place of a token without the white space around it that an added token may take in (lstrip, rstrip); of one that is
 * nothing else, such as a token for line ends, its place. */
static struct espi_token_range own_place(const unsigned char *text, const struct espi_token *token)
{
    struct espi_token_range place = {token->byte_begin, token->byte_end};
    for (uint32_t code; place.begin < place.end;) {
        size_t length = espi_utf8_decode(text + place.begin, place.end - place.begin, &code);
        if (!espi_char_is(ESPI_CHAR_SPACE, code))
            break;
        place.begin += length;
    }
    if (place.begin == place.end)
        return (struct espi_token_range){token->byte_begin, token->byte_end};
    for (uint32_t code;;) {
        size_t length = espi_utf8_decode_before(text, place.end, &code);
        if (!espi_char_is(ESPI_CHAR_SPACE, code))
            return place;
        place.end -= length;
    }
}

/* Copies the tokens of a text, with a separator wherever a line ends between two of them. The white space of a line's end
 * parts words as a space does, so that these are the tokens of the lines one by one. */
static int separate_lines(esp_context *ctx, const unsigned char *text, int32_t separator,
                          const struct espi_token_list *from, struct espi_token_list *to)
{
    struct espi_token_range last = {0};
    int status = espi_grow(ctx, &to->data, &to->capacity, 2 * from->count, sizeof *to->data);
    to->count = 0;
    for (size_t i = 0; !status && i < from->count; i++) {
        const struct espi_token *token = &from->data[i];
        struct espi_token_range place = own_place(text, token);
        if (separator >= 0 && i > 0 && place.begin > last.end && memchr(text + last.end, '\n', place.begin - last.end))
            to->data[to->count++] = (struct espi_token){.id = separator, .word = ESP_NO_WORD};
        to->data[to->count++] = *token;
        last = place;
    }
    return status;
}

static bool is_separator(const struct espi_token *token)
{
    return token->word == ESP_NO_WORD;
}

/* Windows of at most `most` tokens, one behind another. A separator stands between two tokens of a window only: at its
 * edges are those of the template. */
static int cut(esp_context *ctx, const struct espi_token_list *list, size_t most, struct espi_token_ranges *windows)
{
    int status = ESP_OK;
    windows->count = 0;
    for (size_t at = 0; !status && at < list->count;) {
        size_t begin = at + is_separator(&list->data[at]), end = espi_size_min(begin + most, list->count);
        status = espi_token_range_add(ctx, windows, begin, end - is_separator(&list->data[end - 1]));
        at = end;
    }
    return status;
}

int espi_encode_lines(esp_context *ctx, const esp_tokenizer *tokenizer, const char *text, size_t bytes,
                      size_t max_length, esp_encoding *out)
{
    const struct espi_template *template = &tokenizer->single;
    if (bytes > INT32_MAX)
        return espi_fail(ctx, ESP_ERR_LIMIT, "the text has more than %d bytes", INT32_MAX);
    if (max_length <= template->special)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "max_length: expected at least %zu, found %zu", template->special + 1,
                         max_length);
    int status = espi_encoding_prepare(ctx, out);
    if (status)
        return status;
    struct espi_encode_workspace *workspace = out->workspace;
    struct espi_token_list *lines = &workspace->lists[0], *tokens = &workspace->lists[1];
    status = espi_encode_text(ctx, tokenizer, text, bytes, SIZE_MAX, workspace, tokens);
    if (!status)
        status = separate_lines(ctx, (const unsigned char *)text, tokenizer->special.sep, tokens, lines);
    if (!status)
        status = cut(ctx, lines, max_length - template->special, &workspace->windows[0]);
    workspace->windows[1].count = 0;
    if (!status)
        status = espi_token_range_add(ctx, &workspace->windows[1], 0, 0); // no pair
    if (!status && workspace->windows[0].count > 0)
        status = espi_encoding_write(ctx, template, true, workspace, out);
    for (size_t i = 0; !status && i < out->tokens; i++) {
        if (out->words[i] != ESP_NO_WORD)
            continue;
        out->special[i] = 1;
        out->sequences[i] = ESP_NO_SEQUENCE;
    }
    return status;
}
