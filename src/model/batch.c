/* SPDX-License-Identifier: Apache-2.0 */
#include "model/batch.h"

#include "base/size.h"
#include "model/engine.h"

int espi_batch_check(esp_context *ctx, const struct espi_batch *batch, const struct espi_config *config)
{
    if (batch->sequences && batch->starts[0] != 0)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "batch: expected the first sequence to start at token 0, found %u",
                         batch->starts[0]);
    for (size_t s = 0; s < batch->sequences; s++) {
        uint32_t begin = batch->starts[s], end = batch->starts[s + 1];
        if (end <= begin)
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "sequence %zu: has no tokens", s);
        if (end - begin > config->max_positions)
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "sequence %zu: expected at most %zu tokens, found %u", s,
                             config->max_positions, end - begin);
        if (end > batch->tokens)
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "sequence %zu: ends at token %u of %zu", s, end, batch->tokens);
        for (uint32_t t = begin; t < end; t++) {
            if (batch->ids[t] < 0 || (size_t)batch->ids[t] >= config->vocab_size)
                return espi_fail(ctx, ESP_ERR_ARGUMENT,
                                 "sequence %zu, token %u: expected an id from 0 to %zu, found %d", s, t - begin,
                                 config->vocab_size - 1, batch->ids[t]);
            if (batch->types && config->type_vocab > 1 && batch->types[t] >= config->type_vocab)
                return espi_fail(ctx, ESP_ERR_ARGUMENT,
                                 "sequence %zu, token %u: expected a type from 0 to %zu, found %u", s, t - begin,
                                 config->type_vocab - 1, batch->types[t]);
        }
    }
    size_t end = batch->sequences ? batch->starts[batch->sequences] : 0;
    if (end != batch->tokens)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "batch: expected %zu tokens, found %zu in its sequences", batch->tokens,
                         end);
    return ESP_OK;
}

/* SIZE_MAX, which no caller has room for, when it does not fit. */
static size_t floats(size_t rows, size_t width)
{
    size_t count;
    return espi_size_mul(rows, width, &count) ? count : SIZE_MAX;
}

size_t espi_result_size(const struct espi_config *config, const struct espi_batch *batch,
                        const struct espi_wanted *wanted)
{
    switch (wanted->result) {
    case ESPI_RESULT_HIDDEN:
        return floats(batch->tokens, config->hidden);
    case ESPI_RESULT_POOLED:
    case ESPI_RESULT_EMBEDDING:
        return floats(batch->sequences, config->hidden);
    case ESPI_RESULT_TOKEN_LOGITS:
        return floats(batch->tokens, config->labels);
    case ESPI_RESULT_SEQUENCE_LOGITS:
        return floats(batch->sequences, config->labels);
    case ESPI_RESULT_VOCAB_LOGITS:
        return floats(wanted->position_count, config->vocab_size);
    }
    return 0;
}
