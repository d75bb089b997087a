/* SPDX-License-Identifier: Apache-2.0
 * Where the files of an encoder and its tokenizer stand. */
#ifndef ESPI_TEXT_ENCODER_FOLDER_H
#define ESPI_TEXT_ENCODER_FOLDER_H

#include "base/file.h"

/* The directory itself, or the folder in it that the first module of its modules.json names ("0_Transformer", as older
 * versions of sentence-transformers write models). */
int espi_encoder_folder(esp_context *ctx, const char *directory, char folder[ESPI_PATH_BYTES]) ESPI_NODISCARD;

/* Whether a "type" of modules.json is an encoder's. */
bool espi_is_encoder_module(const char *type);

/* "1_Pooling": one name inside a directory. */
bool espi_is_plain_name(const char *name);

#endif
