/* SPDX-License-Identifier: Apache-2.0
 * What a task answers: typed items, the same for `espalier run`, for the API and for metrics. */
#ifndef ESPI_TASKS_ANSWER_H
#define ESPI_TASKS_ANSWER_H

#include "base/json_writer.h"
#include "base/status.h"

struct espi_job;
struct espi_text;

/* Which members of an item a task sets, and how `espalier run` names them. */
enum espi_answer_kind {
    ESPI_ANSWER_SPAN,   // qa
    ESPI_ANSWER_LABEL,  // classify
    ESPI_ANSWER_ENTITY, // tag
    ESPI_ANSWER_VECTOR, // embed
    ESPI_ANSWER_TOKEN,  // mlm
};

/* Owner: the features it stands in (or the caller, zero-initialised; free(items)). */
struct espi_found {
    esp_item *items; // (count) texts are borrowed and as long as the item says, without a zero at their end
    size_t count, capacity;
    const float *vector; // (width) embed
    size_t width;
    double loss; // mlm, to evaluate: sums over the masked tokens
    size_t predicted, correct;
};

int espi_found_add(esp_context *ctx, struct espi_found *found, const esp_item *item) ESPI_NODISCARD;

/* What `espalier run` prints: an object, or a list where a task may find several things; with an `id` (its data may be
 * NULL) {"id": …, the members} or {"id": …, "result": the list}. */
void espi_answer_put(struct espi_json_writer *w, const struct espi_job *job, const struct espi_found *found,
                     struct espi_text id);

#endif
