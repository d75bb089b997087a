/* SPDX-License-Identifier: Apache-2.0
 * Speed of the tokenizer on one thread, ids and offsets included.
 *   bench_tokenizer TOKENIZER FILE... [--seconds S]
 * Each line of the files is a text. All texts are encoded again and again for S seconds (default 3); the best pass
 * counts. One JSON line on stdout. */
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct texts {
    char *data; // all lines, one after another
    size_t bytes, data_capacity;
    size_t *ends; // (count)
    size_t count, ends_capacity;
};

static int read_texts(esp_context *ctx, const char *path, struct texts *texts)
{
    struct espi_lines lines;
    int status = espi_lines_open(ctx, path, &lines);
    while (!status && (status = espi_lines_next(ctx, &lines)) > 0) {
        size_t needed = texts->bytes + lines.length;
        status = espi_grow(ctx, &texts->data, &texts->data_capacity, needed, 1);
        if (!status)
            status = espi_grow(ctx, &texts->ends, &texts->ends_capacity, texts->count + 1, sizeof *texts->ends);
        if (status)
            break;
        memcpy(texts->data + texts->bytes, lines.text, lines.length);
        texts->ends[texts->count++] = texts->bytes = needed;
    }
    espi_lines_close(&lines);
    return status;
}

static int encode_all(esp_context *ctx, const esp_tokenizer *tokenizer, const struct texts *texts,
                      esp_encoding *encoding, size_t *tokens)
{
    size_t begin = 0;
    *tokens = 0;
    for (size_t i = 0; i < texts->count; begin = texts->ends[i++]) {
        int status = esp_encode(ctx, tokenizer, texts->data + begin, texts->ends[i] - begin, NULL, 0, NULL, encoding);
        if (status)
            return status;
        *tokens += encoding->tokens;
    }
    return ESP_OK;
}

static int run(esp_context *ctx, const char *tokenizer_path, const struct texts *texts, double seconds)
{
    esp_tokenizer *tokenizer;
    esp_encoding encoding = {0};
    size_t tokens = 0, passes = 0;
    double opened = espi_clock();
    int status = esp_tokenizer_open(ctx, tokenizer_path, &tokenizer);
    opened = espi_clock() - opened;
    double best = 0, started = espi_clock();
    while (!status && (passes < 2 || espi_clock() - started < seconds)) {
        double begin = espi_clock();
        status = encode_all(ctx, tokenizer, texts, &encoding, &tokens);
        double took = espi_clock() - begin;
        if (passes++ == 0 || took < best)
            best = took;
    }
    if (!status)
        printf("{\"open_ms\": %.2f, \"texts\": %zu, \"bytes\": %zu, \"tokens\": %zu, \"passes\": %zu, "
               "\"best_s\": %.6f, \"mb_per_s\": %.2f, \"texts_per_s\": %.0f, \"tokens_per_s\": %.0f}\n",
               1e3 * opened, texts->count, texts->bytes, tokens, passes, best, (double)texts->bytes / best / 1e6,
               (double)texts->count / best, (double)tokens / best);
    esp_encoding_clear(&encoding);
    esp_tokenizer_free(tokenizer);
    return status;
}

int main(int argc, char **argv)
{
    struct texts texts = {0};
    double seconds = 3;
    int status = ESP_OK;
    if (argc < 3) {
        fprintf(stderr, "usage: bench_tokenizer TOKENIZER FILE... [--seconds S]\n");
        return 2;
    }
    esp_context *ctx = esp_context_new();
    for (int i = 2; i < argc && !status; i++) {
        if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            seconds = strtod(argv[++i], NULL);
        else
            status = read_texts(ctx, argv[i], &texts);
    }
    if (!status)
        status = run(ctx, argv[1], &texts, seconds);
    if (status)
        fprintf(stderr, "%s\n", esp_last_error(ctx));
    free(texts.data);
    free(texts.ends);
    esp_context_free(ctx);
    return status ? 1 : 0;
}
