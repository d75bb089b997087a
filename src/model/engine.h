/* SPDX-License-Identifier: Apache-2.0
 * An engine runs a ragged batch through a model: the fp32 network of src/create, the compiled plan of src/run. Tasks and
 * commands know only this. */
#ifndef ESPI_MODEL_ENGINE_H
#define ESPI_MODEL_ENGINE_H

#include "model/batch.h"

enum espi_result {
    ESPI_RESULT_HIDDEN,          // (tokens, hidden) last hidden state
    ESPI_RESULT_POOLED,          // (sequences, hidden) dense + tanh pooler of the first token; only with has_pooler
    ESPI_RESULT_EMBEDDING,       // (sequences, hidden) by config->pooling (NONE: mean), normalised when the config says
    ESPI_RESULT_TOKEN_LOGITS,    // (tokens, labels) QA and token heads
    ESPI_RESULT_SEQUENCE_LOGITS, // (sequences, labels)
    ESPI_RESULT_VOCAB_LOGITS,    // (positions, vocab_size) masked-LM head at the wanted token positions
};

struct espi_wanted {
    enum espi_result result;
    const uint32_t *positions; // (position_count) indices into the batch's tokens; VOCAB_LOGITS only
    size_t position_count;
    float *out; // the caller's, of the shape above
};

struct espi_engine {
    const struct espi_config *config; // lives as long as the engine
    /* Thread rule: one call at a time on an engine. Deterministic: the result of a sequence does not depend on its
     * batch neighbours or on the number of threads, bit for bit. ESP_ERR_UNSUPPORTED when the model has no such
     * head. */
    int (*run)(struct espi_engine *engine, esp_context *ctx, const struct espi_batch *batch,
               const struct espi_wanted *wanted);
    void (*free)(struct espi_engine *engine);
};

/* Number of floats `wanted->out` must hold. */
size_t espi_result_size(const struct espi_config *config, const struct espi_batch *batch,
                        const struct espi_wanted *wanted);

#endif
