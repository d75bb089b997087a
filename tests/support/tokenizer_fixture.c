/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer_fixture.h"

#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

esp_tokenizer *test_tokenizer(esp_context *ctx, const char *json)
{
    esp_tokenizer *tokenizer;
    test_ok(ctx, espi_tokenizer_open_text(ctx, "tokenizer.json", json, strlen(json), &tokenizer));
    return tokenizer;
}

void test_tokens(esp_context *ctx, const esp_tokenizer *tokenizer, const char *text, const char *expected)
{
    char found[512] = "";
    esp_encoding encoding = {0};
    test_ok(ctx, esp_encode(ctx, tokenizer, text, strlen(text), NULL, 0, NULL, &encoding));
    for (size_t i = 0, used = 0; i < encoding.tokens; i++) {
        used += (size_t)snprintf(found + used, sizeof found - used, "%s%d[%u,%u]", i ? " " : "", (int)encoding.ids[i],
                                 encoding.char_begin[i], encoding.char_end[i]);
        if (encoding.words[i] != ESP_NO_WORD)
            used += (size_t)snprintf(found + used, sizeof found - used, "%u", encoding.words[i]);
    }
    assert_string_equal(found, expected);
    esp_encoding_clear(&encoding);
}

void test_tokens_of(esp_context *ctx, const char *json, const char *text, const char *expected)
{
    esp_tokenizer *tokenizer = test_tokenizer(ctx, json), *again;
    unsigned char *tables;
    char *written = NULL;
    size_t bytes;
    test_tokens(ctx, tokenizer, text, expected);
    test_ok(ctx, espi_tokenizer_tables(ctx, tokenizer, &tables, &bytes));
    test_ok(ctx, espi_tokenizer_open_tables(ctx, "tables", tables, bytes, &again));
    test_tokens(ctx, again, text, expected);
    FILE *stream = open_memstream(&written, &bytes);
    assert_non_null(stream);
    test_ok(ctx, espi_tokenizer_write_json(ctx, again, stream));
    fclose(stream);
    esp_tokenizer_free(again);
    again = test_tokenizer(ctx, written);
    test_tokens(ctx, again, text, expected);
    esp_tokenizer_free(again);
    esp_tokenizer_free(tokenizer);
    free(written);
    free(tables);
}

void test_tokenizer_refused(esp_context *ctx, const char *json, int status, const char *message)
{
    esp_tokenizer *tokenizer;
    test_fails(ctx, espi_tokenizer_open_text(ctx, "tokenizer.json", json, strlen(json), &tokenizer), status);
    test_error_has(ctx, message);
}
