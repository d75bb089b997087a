/* SPDX-License-Identifier: Apache-2.0
 * What the files of a session share. */
#ifndef ESPI_RUN_SESSION_PRIVATE_H
#define ESPI_RUN_SESSION_PRIVATE_H

#include "base/memory.h"
#include "run/session.h"

enum { ESPI_HEAD_LANES = 16 }; // sequences or positions the model's head takes at a time

/* The memory of one thread, or of all threads when they share a panel. */
struct espi_scratch {
    void *buffers[ESPI_BUFFER_COUNT]; // of one panel; those of the batch are NULL
    uint8_t *interleaved;             // (plan->interleaved)
    uint32_t *ids[3];                 // (64) rows of the embedding tables
    float *token_scale[2];            // (64) of BYTES and of INNER
    void *head;                       // a packed head
    void *scores;                     // scratch of the attention op
    float *head_scale;                // (head size) scale of an attention output with a scale of its own
    int16_t *distances;               // (espi_distance_count) of a head of a model with biases
    float *lanes[2];                  // (hidden or word width, ESPI_HEAD_LANES)
};

/* Whole sequences that fit the workspace, as they stand in the caller's batch. */
struct espi_batch_part {
    const struct espi_batch *batch;
    size_t sequence, sequences; // first and number
    size_t token, tokens;
};

struct espi_session {
    struct espi_engine engine; // first: the engine is the session
    const struct espi_plan *plan;
    struct espi_team *team;
    size_t capacity;
    struct espi_pages slab;
    void *buffers[ESPI_BUFFER_COUNT]; // those of the batch
    struct espi_scratch *scratch;     // (threads)
    double *profile;                  // (threads, plan->length + 1) or NULL
};

static inline size_t espi_panels(size_t tokens)
{
    return (tokens + ESPI_PANEL_TOKENS - 1) / ESPI_PANEL_TOKENS;
}

/* Tokens of a panel. */
static inline size_t espi_panel_tokens(const struct espi_batch_part *part, size_t panel)
{
    size_t left = part->tokens - panel * ESPI_PANEL_TOKENS;
    return left < ESPI_PANEL_TOKENS ? left : ESPI_PANEL_TOKENS;
}

/* The panel of a buffer of the batch, or of the thread. */
void *espi_session_panel(const struct espi_session *session, const struct espi_scratch *scratch,
                         enum espi_buffer buffer, size_t panel);

/* ESP_ERR_UNSUPPORTED when the model has no such head, ESP_ERR_ARGUMENT for a position outside of the batch. */
int espi_session_check_wanted(esp_context *ctx, const struct espi_session *session, const struct espi_batch *batch,
                              const struct espi_wanted *wanted) ESPI_NODISCARD;
/* The results of a part, from the stream. */
void espi_session_finish(struct espi_session *session, const struct espi_batch_part *part,
                         const struct espi_wanted *wanted);

#endif
