/* SPDX-License-Identifier: Apache-2.0
 * What a batch will cost, known before it runs: a ragged batch has no padding, so its time is a sum over things that can be
 * counted. The model is linear in them, with weights >= 0 that are fitted to runs of the engine itself.
 *
 *   parts      times the weights are read: batches go through in parts of the session's capacity
 *   panels     full panels of 64 tokens
 *   half tail  a last panel of at most 32 tokens (kernels take two vectors of 16 at a time)
 *   tail       a last panel of more
 *   tokens     tokens
 *   sequences  sequences: attention and the head are called for each
 *   squares    pairs of tokens of a sequence, Σ length²: attention
 */
#ifndef ESPI_RUN_COST_H
#define ESPI_RUN_COST_H

#include "model/engine.h"

enum espi_cost_term {
    ESPI_COST_PARTS,
    ESPI_COST_PANELS,
    ESPI_COST_HALF_TAIL,
    ESPI_COST_TAIL,
    ESPI_COST_TOKENS,
    ESPI_COST_SEQUENCES,
    ESPI_COST_SQUARES,
    ESPI_COST_TERMS,
};

extern const char *const espi_cost_term_names[ESPI_COST_TERMS]; // for people and as members of JSON

/* A batch, as far as its cost goes. Zero-initialise, then add every sequence. */
struct espi_cost_load {
    size_t sequences, tokens;
    double squares;
};

enum { ESPI_COST_ERRORS = 201 }; // shares of 0 %, 1 %, …, 200 % and more

/* The cost model of one engine: of its weights, its threads, this CPU. Zero: nothing is known, everything costs nothing.
 * Thread rule: the owner's lock. */
struct espi_cost {
    size_t capacity;                 // tokens of a part
    double seconds[ESPI_COST_TERMS]; // of one of each
    double pace;                     // what runs take lately, of what was fitted: a CPU has slow minutes
    uint64_t errors[ESPI_COST_ERRORS];
};

void espi_cost_add(struct espi_cost_load *load, size_t length);

/* Seconds, by the fit and the present pace. */
double espi_cost_seconds(const struct espi_cost *cost, const struct espi_cost_load *load);

/* The model of runs of these loads that took so long. */
void espi_cost_solve(const struct espi_cost_load *loads, const double *seconds, size_t count, size_t capacity,
                     struct espi_cost *out);

/* The same of runs of `engine` on batches of random ids, small ones first and as many as `budget` seconds allow; the
 * smallest are always made. `result`: what is wanted of the engine. `capacity`: of the session. Errors are the engine's. */
int espi_cost_fit(esp_context *ctx, struct espi_engine *engine, enum espi_result result, size_t capacity, double budget,
                  struct espi_cost *out) ESPI_NODISCARD;

/* A batch took so long: notes how far the prediction was off, and follows the pace. */
void espi_cost_learn(struct espi_cost *cost, const struct espi_cost_load *load, double seconds);

/* The relative error that the share `q` of the predictions so far did not exceed, to 1 %; 0 before any. */
double espi_cost_error(const struct espi_cost *cost, double q);

#endif
