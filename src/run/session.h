/* SPDX-License-Identifier: Apache-2.0
 * A session runs ragged batches through a plan. All its memory is allocated when it is made; a run allocates nothing and,
 * with one thread, takes no lock.
 *
 * A batch of more tokens than the session's capacity goes through in parts of whole sequences. The result of a sequence
 * depends neither on that nor on its neighbours, the number of threads or the instruction set, bit for bit. */
#ifndef ESPI_RUN_SESSION_H
#define ESPI_RUN_SESSION_H

#include "base/team.h"
#include "model/engine.h"
#include "run/plan.h"

enum { ESPI_SESSION_CAPACITY = 1024 }; // tokens, unless asked otherwise

/* Makes an engine on a plan, which outlives it. `capacity`: tokens that go through at once; at least the model's longest
 * sequence is taken. `team` may be NULL (one thread) and stays the caller's. Free with engine->free. */
int espi_session_new(esp_context *ctx, const struct espi_plan *plan, struct espi_team *team, size_t capacity,
                     struct espi_engine **out) ESPI_NODISCARD;

/* Gives the memory of the workspace back to the system; what the next runs use comes back by itself. For a session that
 * is idle, or that has seen large batches and will see small ones. Not while it runs. */
void espi_session_trim(struct espi_engine *session);

/* Bytes a session of that capacity allocates beside its fixed-size struct, by the formula of docs/format.md:
 *     batch    panels(capacity) * 64 * Σ rows * value size over STREAM, QKV, CONTEXT, CONTEXT_FLOAT
 *   + threads * (64 * Σ rows * value size over BYTES, INNER, INNER_FLOAT           one panel of each
 *              + the widest interleaved panel of a dense layer
 *              + one packed head and its scores for the longest sequence
 *              + the small arrays: ids, token scales, scale of a head, lanes of the model's head)
 * each part rounded up to 64. ESP_ERR_LIMIT when it overflows. */
int espi_session_bytes(esp_context *ctx, const struct espi_plan *plan, size_t capacity, size_t threads,
                       size_t *bytes) ESPI_NODISCARD;

/* From now on every run of a session adds what each thread spends in each op to `seconds` (threads, plan->length + 1),
 * where the last of a row is the model's head; NULL: no more. A shared op's wait for the other threads counts as its
 * own; waits between ops belong to none. Without it a op costs one test of a pointer. */
void espi_session_profile(struct espi_engine *session, double *seconds);

#endif
