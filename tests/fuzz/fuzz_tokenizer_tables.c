/* SPDX-License-Identifier: Apache-2.0
 * A tokenizer's tables with some bytes changed: whatever is accepted encodes and decodes without leaving its memory.
 * The input is a list of changes, so that it stays short: u24 place (modulo the tables' size), u8 length 0 to 7, that
 * many bytes to write there; the tables are those of a small uncased tokenizer, behind a first byte of 255 those of byte-level
 * BPE, of 254 those of Unigram. With 128 added to the length the place is one of the first 8 KiB: header, stages, tokens, tries and
 * templates; behind them stands what is known of all code points. */
#include "base/size.h"
#include "text/tokenizer_tables.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char bpe[] =
    "{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"normalizer\":{\"type\":\"NFC\"},\"decoder\":{\"type\":\"ByteLevel\"}"
    ","
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"?\":0,\"a\":1,\"b\":2,\"ab\":3,\"[SEP]\":4,\"un\":5,"
    "\"u\":6,\"n\":7,\"\\u0120\":8,\"\\u0120a\":9},\"merges\":[\"u n\",\"a b\",\"\\u0120 a\"]}}";
static const char unigram[] =
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Strip\"},{\"type\":\"NFKD\"},{\"type\":"
    "\"Replace\","
    "\"pattern\":{\"Regex\":\" "
    "{2,}|z\"},\"content\":\"a\"},{\"type\":\"Prepend\",\"prepend\":\"b\"},{\"type\":\"Nmt\"}]},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"String\":\".\"},"
    "\"behavior\":\"MergedWithNext\"},{\"type\":\"Metaspace\"}]},\"decoder\":{\"type\":\"Metaspace\"},\"model\":{"
    "\"type\":"
    "\"Unigram\",\"unk_id\":0,\"byte_fallback\":true,\"vocab\":[[\"?\",0],[\"a\",-1],[\"b\",-2],[\"ab\",-3],[\"[SEP]\","
    "0],"
    "[\"un\",-4],[\"\\u2581\",-1],[\"<0xC3>\",-5],[\"<0xA9>\",-5]]}}";

static unsigned char *make_tables_of(const char *json, size_t *bytes)
{
    esp_tokenizer *tokenizer;
    unsigned char *tables;
    if (espi_tokenizer_open_text(NULL, "made", json, strlen(json), &tokenizer) ||
        espi_tokenizer_tables(NULL, tokenizer, &tables, bytes))
        abort();
    esp_tokenizer_free(tokenizer);
    return tables;
}

static unsigned char *make_tables(size_t *bytes)
{
    static const char *const tokens[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "un", "##able", "."};
    static const struct espi_vocab_settings settings = {.lowercase = true, .strip_accents = -1, .max_length = 16};
    esp_tokenizer *tokenizer;
    unsigned char *tables;
    if (espi_tokenizer_from_vocab(NULL, tokens, ESPI_COUNT(tokens), &settings, &tokenizer) ||
        espi_tokenizer_tables(NULL, tokenizer, &tables, bytes))
        abort();
    esp_tokenizer_free(tokenizer);
    return tables;
}

static void use(const esp_tokenizer *tokenizer)
{
    static const char text[] =
        "un[MASK] able abb \xc3\xa9\xe4\xb8\xad\xcc\x81 a.b [SEP]\xef\xac\x83 zz \xe1\x84\x80 A\xff";
    esp_encoding encoding = {0};
    const esp_encode_options options = {
        .max_length = 9, .stride = 1, .truncation = ESP_TRUNCATE_LONGEST_FIRST, .overflow = true};
    char *decoded;
    if (esp_encode(NULL, tokenizer, text, sizeof text - 1, "b a", 3, &options, &encoding) == ESP_OK &&
        espi_tokenizer_decode(NULL, tokenizer, encoding.ids, encoding.tokens, true, &decoded) == ESP_OK)
        free(decoded);
    if (espi_encode_lines(NULL, tokenizer, text, sizeof text - 1, 5, &encoding) == ESP_OK && encoding.windows > 0 &&
        encoding.starts[encoding.windows] != encoding.tokens)
        abort();
    (void)esp_tokenizer_id(tokenizer, "able");
    esp_encoding_clear(&encoding);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const texts[] = {NULL, unigram, bpe};
    static unsigned char *all[ESPI_COUNT(texts)];
    static size_t sizes[ESPI_COUNT(texts)];
    size_t kind = size > 0 && data[0] >= 254 ? data[0] - 253u : 0;
    if (!all[kind])
        all[kind] = kind ? make_tables_of(texts[kind], &sizes[kind]) : make_tables(&sizes[kind]);
    const unsigned char *tables = all[kind];
    size_t bytes = sizes[kind];
    unsigned char *changed = aligned_alloc(ESPI_TABLES_ALIGN, bytes);
    if (!changed)
        return 0;
    memcpy(changed, tables, bytes);
    for (size_t at = kind > 0; at + 4 <= size;) {
        size_t most = data[at + 3] & 128 ? espi_size_min(bytes, 8192) : bytes;
        size_t place = ((size_t)data[at] | (size_t)data[at + 1] << 8 | (size_t)data[at + 2] << 16) % most;
        size_t length = espi_size_min(data[at + 3] % 8u, espi_size_min(size - at - 4, bytes - place));
        memcpy(changed + place, data + at + 4, length);
        at += 4 + length;
    }
    esp_tokenizer *tokenizer;
    if (espi_tokenizer_open_tables(NULL, "input", changed, bytes, &tokenizer) == ESP_OK) {
        use(tokenizer);
        esp_tokenizer_free(tokenizer);
    }
    free(changed);
    return 0;
}
