/* SPDX-License-Identifier: Apache-2.0
 * From ids back to text, as Hugging Face's WordPiece decoder writes it. */
#include "text/tokenizer_state.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>

struct output {
    char *text;
    size_t bytes, capacity;
};

static int append(esp_context *ctx, struct output *output, const char *text, size_t bytes)
{
    int status = espi_grow(ctx, &output->text, &output->capacity, output->bytes + bytes + 1, 1);
    if (status)
        return status;
    memcpy(output->text + output->bytes, text, bytes);
    output->bytes += bytes;
    output->text[output->bytes] = 0;
    return ESP_OK;
}

/* Replaces every `old` in text[from ..] by `new`, which is shorter. */
static void shorten(struct output *output, size_t from, const char *old, const char *new)
{
    size_t old_bytes = strlen(old), new_bytes = strlen(new);
    for (char *at = output->text + from; (at = strstr(at, old)); at += new_bytes) {
        memcpy(at, new, new_bytes);
        memmove(at + new_bytes, at + old_bytes, strlen(at + old_bytes) + 1);
        output->bytes -= old_bytes - new_bytes;
    }
}

/* The peer's clean-up of English contractions and punctuation, in its order; it looks at one token at a time. */
static void clean_up(struct output *output, size_t from)
{
    static const char *const rules[][2] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    for (size_t i = 0; i < ESPI_COUNT(rules); i++)
        shorten(output, from, rules[i][0], rules[i][1]);
}

static int append_token(esp_context *ctx, const esp_tokenizer *tokenizer, const char *token, bool first,
                        struct output *output)
{
    size_t from = output->bytes, prefix_bytes = strlen(tokenizer->decoder_prefix);
    int status = ESP_OK;
    if (!first && tokenizer->has_decoder && prefix_bytes &&
        strncmp(token, tokenizer->decoder_prefix, prefix_bytes) == 0)
        token += prefix_bytes;
    else if (!first)
        status = append(ctx, output, " ", 1);
    if (!status)
        status = append(ctx, output, token, strlen(token));
    if (!status && tokenizer->has_decoder && tokenizer->cleanup)
        clean_up(output, from);
    return status;
}

int espi_tokenizer_decode(esp_context *ctx, const esp_tokenizer *tokenizer, const int32_t *ids, size_t count,
                          bool skip_special, char **text)
{
    struct output output = {0};
    bool first = true;
    *text = NULL;
    int status = append(ctx, &output, "", 0);
    for (size_t i = 0; i < count && !status; i++) {
        const char *token = esp_tokenizer_token(tokenizer, ids[i]);
        if (!token || (skip_special && espi_tokenizer_is_special(tokenizer, ids[i])))
            continue;
        status = append_token(ctx, tokenizer, token, first, &output);
        first = false;
    }
    if (status)
        free(output.text);
    else
        *text = output.text;
    return status;
}
