/* SPDX-License-Identifier: Apache-2.0
 * The two kinds of files of tagged words. Both take the opened file over, also when they fail. */
#ifndef ESPI_EVAL_TAG_READER_H
#define ESPI_EVAL_TAG_READER_H

#include "eval/data_file.h"
#include "eval/dataset.h"

/* Words in columns: conll_reader.c. */
int espi_conll_open(esp_context *ctx, struct espi_data_file *file, const struct espi_task_options *options,
                    struct espi_dataset **out) ESPI_NODISCARD;
/* JSON records of two lists: words_reader.c. */
int espi_words_open(esp_context *ctx, struct espi_data_file *file, const struct espi_task_options *options,
                    struct espi_dataset **out) ESPI_NODISCARD;

#endif
