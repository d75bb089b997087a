/* SPDX-License-Identifier: Apache-2.0
 * Byte-level BPE as Hugging Face's BpeTrainer makes it: special tokens, the 256 bytes, then merges in the order of their
 * counts. */
#include "create/vocab/vocab_models.h"

#include "base/size.h"
#include "create/vocab/vocab_merges.h"
#include "text/byte_level.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES = 256 };

/* Tokens, by id: as they are written. */
struct bpe {
    struct espi_arena arena;
    struct espi_word_table tokens;
    struct espi_merge *merges; // (merge_count)
    size_t merge_count, merge_capacity;
    uint32_t of_byte[BYTES]; // their ids
};

static int add_token(esp_context *ctx, struct bpe *bpe, const char *text, size_t bytes, uint32_t *id)
{
    size_t number = 0;
    int status = espi_word_table_get(ctx, &bpe->arena, &bpe->tokens, text, bytes, &number);
    *id = (uint32_t)number;
    return status;
}

/* Special tokens, then the bytes in the order of the characters they are written as. */
static int add_alphabet(esp_context *ctx, struct bpe *bpe)
{
    static const unsigned order[][2] = {{'!', '~'},  {0xa1, 0xac}, {0xae, 0xff},
                                        {0x00, ' '}, {0x7f, 0xa0}, {0xad, 0xad}};
    uint32_t id;
    int status = ESP_OK;
    for (size_t i = 0; i < ESPI_COUNT(espi_vocab_specials) && !status; i++)
        status = add_token(ctx, bpe, espi_vocab_specials[i], strlen(espi_vocab_specials[i]), &id);
    for (size_t i = 0; i < ESPI_COUNT(order); i++)
        for (unsigned byte = order[i][0]; byte <= order[i][1] && !status; byte++) {
            unsigned char text[4];
            size_t bytes = espi_utf8_encode(espi_byte_level_code((unsigned char)byte), text);
            status = add_token(ctx, bpe, (const char *)text, bytes, &bpe->of_byte[byte]);
        }
    return status;
}

static int add_words(esp_context *ctx, const struct bpe *bpe, const struct espi_word_table *words,
                     struct espi_merges *merges)
{
    int status = ESP_OK;
    uint32_t symbols[4 * ESPI_VOCAB_WORD_CHARS];
    for (size_t i = 0; i < words->count && !status; i++) {
        const struct espi_word_entry *word = &words->entries[i];
        for (size_t k = 0; k < word->bytes; k++)
            symbols[k] = bpe->of_byte[(unsigned char)word->text[k]];
        status = espi_merges_add_word(ctx, merges, symbols, word->bytes, word->count);
    }
    return status;
}

static int apply(esp_context *ctx, struct bpe *bpe, struct espi_merges *merges, const struct espi_merge *merge)
{
    const struct espi_word_entry *left = &bpe->tokens.entries[merge->left], *right = &bpe->tokens.entries[merge->right];
    char text[2 * 4 * ESPI_VOCAB_WORD_CHARS * 2];
    uint32_t id;
    memcpy(text, left->text, left->bytes);
    memcpy(text + left->bytes, right->text, right->bytes);
    int status = add_token(ctx, bpe, text, left->bytes + right->bytes, &id);
    if (!status)
        status = espi_grow(ctx, &bpe->merges, &bpe->merge_capacity, bpe->merge_count + 1, sizeof *merge);
    if (status)
        return status;
    bpe->merges[bpe->merge_count++] = *merge;
    return espi_merges_apply(ctx, merges, merge, id);
}

static int merge_pairs(esp_context *ctx, const struct espi_vocab_options *options, struct bpe *bpe,
                       struct espi_merges *merges, struct espi_progress *progress)
{
    while (bpe->tokens.count < options->size) {
        struct espi_merge merge;
        bool found;
        int status = espi_merges_next(ctx, merges, &merge, &found);
        if (status || !found || merge.count < options->min_frequency)
            return status;
        status = apply(ctx, bpe, merges, &merge);
        if (status)
            return status;
        if (progress)
            espi_progress_update(progress, bpe->tokens.count, NULL);
        if (progress && espi_watch_stops(&progress->watch))
            return espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted");
    }
    return ESP_OK;
}

static void put_level(struct espi_json_writer *w, const char *key)
{
    espi_put_object(w, key);
    espi_put_string(w, "type", "ByteLevel");
    espi_put_bool(w, "add_prefix_space", false);
    espi_put_bool(w, "trim_offsets", true);
    espi_put_bool(w, "use_regex", true);
    espi_put_object_end(w);
}

static void put_stages(struct espi_json_writer *w)
{
    espi_put_null(w, "normalizer");
    put_level(w, "pre_tokenizer");
}

static void put_model(struct espi_json_writer *w, const struct bpe *bpe)
{
    espi_put_object(w, "model");
    espi_put_string(w, "type", "BPE");
    espi_put_null(w, "dropout");
    espi_put_null(w, "unk_token");
    espi_put_null(w, "continuing_subword_prefix");
    espi_put_null(w, "end_of_word_suffix");
    espi_put_bool(w, "fuse_unk", false);
    espi_put_bool(w, "byte_fallback", false);
    espi_put_object(w, "vocab");
    for (size_t id = 0; id < bpe->tokens.count; id++)
        espi_put_size(w, bpe->tokens.entries[id].text, id);
    espi_put_object_end(w);
    espi_put_array(w, "merges");
    for (size_t i = 0; i < bpe->merge_count; i++) {
        espi_put_array(w, NULL);
        espi_put_string(w, NULL, bpe->tokens.entries[bpe->merges[i].left].text);
        espi_put_string(w, NULL, bpe->tokens.entries[bpe->merges[i].right].text);
        espi_put_array_end(w);
    }
    espi_put_array_end(w);
    espi_put_object_end(w);
}

static int train(esp_context *ctx, const struct espi_vocab_options *options, const struct espi_word_table *words,
                 struct espi_progress *progress, struct espi_json_writer *w)
{
    struct bpe bpe = {0};
    struct espi_merges *merges;
    int status = espi_merges_new(ctx, &merges);
    if (!status)
        status = add_alphabet(ctx, &bpe);
    if (!status)
        status = add_words(ctx, &bpe, words, merges);
    if (!status)
        status = merge_pairs(ctx, options, &bpe, merges, progress);
    if (!status) {
        espi_vocab_put_specials(w);
        espi_vocab_put_template(w, true);
        put_level(w, "decoder");
        put_model(w, &bpe);
    }
    espi_merges_free(merges);
    espi_word_table_clear(&bpe.tokens);
    espi_arena_clear(&bpe.arena);
    free(bpe.merges);
    return status;
}

const struct espi_vocab_model_form espi_vocab_bpe = {put_stages, train};
