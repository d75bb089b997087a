/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a tokenizer.json: refused with a text, or a tokenizer that encodes and is written again. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "The un\xc3\xa9qual [MASK] x\xe4\xb8\xad\xcc\x81, \xff\xe3\x80\xae ab [UNK]";
    esp_context *ctx = esp_context_new();
    esp_tokenizer *tokenizer;
    if (espi_tokenizer_open_text(ctx, "fuzz", (const char *)data, size, &tokenizer)) {
        if (!*esp_last_error(ctx) || tokenizer)
            abort();
        esp_context_free(ctx);
        return 0;
    }
    esp_encoding encoding = {0};
    esp_encode_options options = {
        .max_length = 8, .stride = 1, .truncation = ESP_TRUNCATE_LONGEST_FIRST, .overflow = true};
    if (!esp_encode(ctx, tokenizer, text, strlen(text), NULL, 0, NULL, &encoding))
        for (size_t i = 0; i < encoding.tokens; i++)
            if (!esp_tokenizer_token(tokenizer, encoding.ids[i]) || encoding.byte_end[i] > strlen(text))
                abort();
    if (esp_encode(ctx, tokenizer, text, strlen(text), text, 20, &options, &encoding) && !*esp_last_error(ctx))
        abort();
    char *decoded = NULL, *written = NULL;
    size_t bytes = 0;
    if (!espi_tokenizer_decode(ctx, tokenizer, encoding.ids, encoding.tokens, true, &decoded))
        free(decoded);
    FILE *stream = open_memstream(&written, &bytes);
    if (!stream || espi_tokenizer_write_json(ctx, tokenizer, stream) || fclose(stream))
        abort();
    esp_tokenizer *again;
    if (espi_tokenizer_open_text(ctx, "again", written, bytes, &again) ||
        esp_tokenizer_size(again) != esp_tokenizer_size(tokenizer))
        abort();
    esp_tokenizer_free(again);
    free(written);
    esp_encoding_clear(&encoding);
    esp_tokenizer_free(tokenizer);
    esp_context_free(ctx);
    return 0;
}
