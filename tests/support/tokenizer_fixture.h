/* SPDX-License-Identifier: Apache-2.0
 * Small tokenizers for tests: opened from text, and compared with what is expected of them. */
#ifndef ESPI_TEST_TOKENIZER_FIXTURE_H
#define ESPI_TEST_TOKENIZER_FIXTURE_H

#include "support.h"

/* From the text of a tokenizer.json; the test fails where it is refused. */
esp_tokenizer *test_tokenizer(esp_context *ctx, const char *json);
/* `expected`: "1[0,2]0 7[3,4]1": id, place, word of each token. */
void test_tokens(esp_context *ctx, const esp_tokenizer *tokenizer, const char *text, const char *expected);
/* The same of the text of a tokenizer.json, of its tables and of what is written of it. */
void test_tokens_of(esp_context *ctx, const char *json, const char *text, const char *expected);
/* That it is refused with a status and a message that has a text. */
void test_tokenizer_refused(esp_context *ctx, const char *json, int status, const char *message);

#endif
