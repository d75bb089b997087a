/* SPDX-License-Identifier: Apache-2.0 */
#include "model/vocabulary.h"

void espi_vocabulary_check(esp_context *ctx, const char *source, const struct espi_config *config,
                           const esp_tokenizer *tokenizer)
{
    size_t size = esp_tokenizer_size(tokenizer), limit = config->vocab_size;
    const char *first = NULL;
    for (size_t id = limit; id < size && !first; id++)
        first = esp_tokenizer_token(tokenizer, (int32_t)id);
    if (first)
        espi_log(
            ctx, ESP_LOG_WARNING,
            "%s: the tokenizer has %zu tokens, the model %zu embeddings: a text with one of the tokens beyond them "
            "(the first is \"%s\") has no answer",
            source, size, limit, first);
}
