/* SPDX-License-Identifier: Apache-2.0
 * Trains a WordPiece vocabulary as Hugging Face's WordPieceTrainer does: special tokens, the alphabet, then byte-pair
 * merges in the order of their counts (Sennrich et al., "Neural machine translation of rare words with subword units",
 * ACL 2016), "##" before what continues a word.
 *
 * The result depends on the words and their counts only, not on the order of texts. Where that trainer leaves the
 * order to a hash table, ours is: of characters that occur equally often the limited alphabet keeps the smaller code
 * point; the "##" forms of single characters follow by code point; of pairs with the same count the one with the
 * smaller ids is merged first. Words of more than 100 code points are left out: no tokenizer would split them. */
#ifndef ESPI_CREATE_VOCAB_TRAINER_H
#define ESPI_CREATE_VOCAB_TRAINER_H

#include "base/progress.h"

enum espi_vocab_model { ESPI_VOCAB_WORDPIECE, ESPI_VOCAB_BPE, ESPI_VOCAB_UNIGRAM };

struct espi_vocab_options {
    enum espi_vocab_model model;
    size_t size;            // tokens wanted; there are fewer when the merges run out
    uint64_t min_frequency; // a pair that occurs less often is not merged
    size_t limit_alphabet;  // the most frequent characters that are kept; 0: all; not of BPE, which has the bytes
    bool lowercase;         // this and the next: WordPiece only
    int strip_accents;      // 0, 1, or -1: as lowercase
    size_t max_length;      // model_max_length to write; SIZE_MAX: none
};

/* 30,522 tokens, a frequency of 2, an alphabet of 1,000, lower case, 512 tokens: BERT uncased. */
void espi_vocab_options_default(struct espi_vocab_options *options);

/* Owner: the caller. Thread rule: one thread at a time. */
struct espi_vocab_trainer;

int espi_vocab_trainer_new(esp_context *ctx, const struct espi_vocab_options *options,
                           struct espi_vocab_trainer **out) ESPI_NODISCARD;
void espi_vocab_trainer_free(struct espi_vocab_trainer *trainer);

/* Counts the words of a text (a line, a paragraph). Invalid UTF-8 is passed over. */
int espi_vocab_trainer_add(esp_context *ctx, struct espi_vocab_trainer *trainer, const char *text,
                           size_t bytes) ESPI_NODISCARD;
/* Different words so far. */
size_t espi_vocab_trainer_words(const struct espi_vocab_trainer *trainer);

/* Makes the vocabulary, once, after all texts; `progress` may be NULL. ESP_ERR_ARGUMENT when no word was added. */
int espi_vocab_trainer_train(esp_context *ctx, struct espi_vocab_trainer *trainer,
                             struct espi_progress *progress) ESPI_NODISCARD;

/* The tokenizer, after training. The caller's: esp_tokenizer_free. */
int espi_vocab_trainer_tokenizer(esp_context *ctx, const struct espi_vocab_trainer *trainer,
                                 esp_tokenizer **out) ESPI_NODISCARD;
/* Writes vocab.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json as a new directory, which
 * appears when it is complete. */
int espi_vocab_trainer_write(esp_context *ctx, const struct espi_vocab_trainer *trainer,
                             const char *directory) ESPI_NODISCARD;

#endif
