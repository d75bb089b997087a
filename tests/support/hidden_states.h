/* SPDX-License-Identifier: Apache-2.0
 * The hidden states behind the embeddings and behind each layer. */
#ifndef ESPI_TEST_HIDDEN_STATES_H
#define ESPI_TEST_HIDDEN_STATES_H

#include "support.h"

#include "create/network/network.h"

#include <stdlib.h>
#include <string.h>

/* Of an engine that is a network. out: (layers + 1, tokens, hidden) */
static inline void test_hidden_states(esp_context *ctx, struct espi_engine *engine, const struct espi_batch *batch,
                                      float *out)
{
    struct espi_network *network = espi_network_of(engine);
    size_t count = batch->tokens * engine->config->hidden;
    struct espi_wanted wanted = {.result = ESPI_RESULT_HIDDEN, .out = out};
    espi_network_keep_layers(network, true);
    test_ok(ctx, engine->run(engine, ctx, batch, &wanted));
    for (size_t layer = 0; layer <= engine->config->layers; layer++)
        memcpy(out + layer * count, espi_network_hidden(network, layer), count * sizeof *out);
    espi_network_keep_layers(network, false);
}

#endif
