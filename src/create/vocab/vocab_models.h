/* SPDX-License-Identifier: Apache-2.0
 * Models beside WordPiece that the trainer makes: from words and their counts to a tokenizer.json. Private to this folder. */
#ifndef ESPI_CREATE_VOCAB_MODELS_H
#define ESPI_CREATE_VOCAB_MODELS_H

#include "base/json_writer.h"
#include "create/vocab/vocab_trainer.h"
#include "create/vocab/word_table.h"

struct espi_vocab_model_form {
    /* The members of a tokenizer.json before "model" that words come from. */
    void (*put_stages)(struct espi_json_writer *w);
    /* Members "added_tokens", "post_processor", "decoder" and "model". */
    int (*train)(esp_context *ctx, const struct espi_vocab_options *options, const struct espi_word_table *words,
                 struct espi_progress *progress, struct espi_json_writer *w);
};

extern const struct espi_vocab_model_form espi_vocab_bpe, espi_vocab_unigram;

enum { ESPI_VOCAB_WORD_CHARS = 100 }; // longer words are left out

/* The special tokens that these vocabularies begin with, RoBERTa's, in the order of their ids. */
extern const char *const espi_vocab_specials[5];
/* They as added tokens, and RoBERTa's template, without trimmed places where the model is not over bytes. */
void espi_vocab_put_specials(struct espi_json_writer *w);
void espi_vocab_put_template(struct espi_json_writer *w, bool bytes);

#endif
