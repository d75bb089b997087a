/* SPDX-License-Identifier: Apache-2.0
 * BertNormalizer and BertPreTokenizer, pass by pass; split_table.h has both in one table. */
#ifndef ESPI_TEXT_BERT_STAGES_H
#define ESPI_TEXT_BERT_STAGES_H

#include "text/split_table.h"
#include "text/stage.h"

struct espi_bert_normalizer {
    struct espi_bert_options options;
    bool strip_accents_stated; // false: null in the file, as lowercase is
};

extern const struct espi_stage_form espi_bert_normalizer, espi_bert_pre_tokenizer;

/* The options that hold. */
struct espi_bert_options espi_bert_options(const struct espi_bert_normalizer *normalizer);

#endif
