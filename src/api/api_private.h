/* SPDX-License-Identifier: Apache-2.0
 * What stands behind the opaque types of espalier.h. */
#ifndef ESPI_API_API_PRIVATE_H
#define ESPI_API_API_PRIVATE_H

#include "run/session.h"
#include "tasks/pipeline.h"

struct esp_model {
    char *path;
    struct espi_esp_model file;
    struct espi_plan plan;
    esp_tokenizer *tokenizer; // NULL: compiled without one
    struct esp_model_facts facts;
};

struct esp_session {
    const struct esp_model *model;
    struct espi_team *team;
    struct espi_engine *engine;
    size_t capacity, workspace;

    /* of esp_session_answer */
    struct espi_job job;
    struct espi_pipeline *pipeline; // NULL until it is needed; it keeps its buffers from call to call
    struct espi_arena arena;        // of the answers
    esp_answer *answers;            // (inputs)
    size_t answered;                // so far
    size_t max_text_bytes;
    bool json;
    esp_context fallback; // keeps error texts when the caller has no context
};

const struct espi_task *espi_api_task(const struct esp_model *model, esp_task task);

/* What was found, and its JSON text, copied to the session's arena. */
int espi_api_answer(esp_context *ctx, struct esp_session *session, const struct espi_found *found,
                    esp_answer *to) ESPI_NODISCARD;

#endif
