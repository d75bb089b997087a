/* SPDX-License-Identifier: Apache-2.0
 * A vocabulary from text files to a directory. */
#ifndef ESPI_CREATE_VOCAB_FILES_H
#define ESPI_CREATE_VOCAB_FILES_H

#include "create/vocab/vocab_trainer.h"

/* Trains on the lines of the texts ("-": standard input) and writes the tokenizer's files into a new or empty directory. The
 * watch is asked between lines. ESP_ERR_FORMAT: the texts have no words. */
int espi_vocab_train_files(esp_context *ctx, const struct espi_vocab_options *options, const char *const *texts,
                           size_t text_count, const struct espi_watch *watch, const char *directory) ESPI_NODISCARD;

#endif
