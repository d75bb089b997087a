/* SPDX-License-Identifier: Apache-2.0
 * From ids back to text. */
#include "text/tokenizer_state.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>

static const struct replacement {
    const char *from, *to;
} replacements[] = {
    {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
    {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
};

/* Replaces all occurrences in place and returns the new length; no replacement is longer than what it replaces. */
static size_t replace(char *text, size_t length, const struct replacement *rule)
{
    size_t from_bytes = strlen(rule->from), to_bytes = strlen(rule->to), kept = 0;
    for (size_t at = 0; at < length;) {
        if (length - at >= from_bytes && !memcmp(text + at, rule->from, from_bytes)) {
            memcpy(text + kept, rule->to, to_bytes);
            kept += to_bytes;
            at += from_bytes;
        } else {
            text[kept++] = text[at++];
        }
    }
    text[kept] = '\0';
    return kept;
}

size_t espi_clean_up(char *text, size_t length, bool decoder)
{
    for (size_t i = 0; i < ESPI_COUNT(replacements); i++)
        if (decoder || strcmp(replacements[i].from, " do not") != 0)
            length = replace(text, length, &replacements[i]);
    return length;
}

int espi_tokenizer_join(esp_context *ctx, const esp_tokenizer *tokenizer, const char *token, size_t bytes, bool first,
                        struct espi_string *out)
{
    const struct espi_stage *decoder = &tokenizer->decoder;
    if (decoder->form)
        return decoder->form->decode(ctx, decoder->self, token, bytes, first, out);
    int status = first ? ESP_OK : espi_string_add(ctx, out, " ", 1);
    return status ? status : espi_string_add(ctx, out, token, bytes);
}

/* Tokens may end within a character: what is none becomes U+FFFD. */
static int repair(esp_context *ctx, struct espi_string *text)
{
    struct espi_string out = {0};
    size_t at = espi_utf8_valid(text->data, text->length);
    if (at == text->length)
        return ESP_OK;
    int status = ESP_OK;
    for (at = 0; at < text->length && !status;) {
        struct espi_utf8_part part = espi_utf8_part(text->data + at, text->length - at);
        status = espi_string_add(ctx, &out, text->data + at, part.valid);
        if (!status && part.invalid)
            status = espi_string_add(ctx, &out, ESPI_REPLACEMENT_UTF8, strlen(ESPI_REPLACEMENT_UTF8));
        at += part.valid + part.invalid;
    }
    free(text->data);
    *text = out;
    return status;
}

int espi_tokenizer_decode(esp_context *ctx, const esp_tokenizer *tokenizer, const int32_t *ids, size_t count,
                          bool skip_special, char **text)
{
    struct espi_string output = {0};
    bool first = true;
    *text = NULL;
    int status = espi_string_add(ctx, &output, "", 0);
    for (size_t i = 0; i < count && !status; i++) {
        const char *token = esp_tokenizer_token(tokenizer, ids[i]);
        if (!token || (skip_special && espi_tokenizer_is_special(tokenizer, ids[i])))
            continue;
        status = espi_tokenizer_join(ctx, tokenizer, token, strlen(token), first, &output);
        first = false;
    }
    if (!status)
        status = repair(ctx, &output);
    if (status)
        free(output.data);
    else
        *text = output.data;
    return status;
}
