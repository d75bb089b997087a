/* SPDX-License-Identifier: Apache-2.0
 * Data parallel training over MPI: every rank takes a part of each step; gradients are summed over the ranks while
 * backward goes on. Built without MPI, or started without mpirun, there is one rank and nothing here does anything.
 *
 * Sums are taken in the order of the ranks, each element by one rank for all: every rank gets the same bits, and so does
 * every run with as many ranks. A rank that dies ends the run of all (mpirun sees to it); what it had written can be
 * resumed. */
#ifndef ESPI_CREATE_PARALLEL_H
#define ESPI_CREATE_PARALLEL_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Owner: the caller. Thread rule: the thread that made it. */
struct espi_parallel;

/* Starts MPI when the environment says that mpirun did; else *out is NULL, which all functions take for one rank.
 * ESP_ERR_UNSUPPORTED: under mpirun, but built without MPI. */
int espi_parallel_new(esp_context *ctx, struct espi_parallel **out) ESPI_NODISCARD;
/* Ends MPI; all ranks wait for each other. */
void espi_parallel_free(struct espi_parallel *parallel);
/* Ends the processes of all ranks at once with this exit code. Returns when there is one rank, or when all ranks have
 * agreed that they failed. */
void espi_parallel_abort(struct espi_parallel *parallel, int code);
/* Every rank calls it with its status: `status` itself when it is a failure, ESP_ERR_CANCELLED when another rank's was,
 * else ESP_OK. A rank that failed before the others calls it once and then returns; the others meet it at their next
 * call, and later calls do not wait any more. */
int espi_parallel_agree(esp_context *ctx, struct espi_parallel *parallel, int status) ESPI_NODISCARD;
/* Whether another rank says what has failed: one message is enough. */
bool espi_parallel_is_quiet(const struct espi_parallel *parallel);
size_t espi_parallel_rank(const struct espi_parallel *parallel);
size_t espi_parallel_ranks(const struct espi_parallel *parallel);

/* Starts the sum over the ranks of values[0 … count) in place. It goes on while the next ones are started, and until
 * espi_parallel_finish, which waits for all. Every rank starts the same sums in the same order. */
int espi_parallel_start_sum(esp_context *ctx, struct espi_parallel *parallel, float *values,
                            size_t count) ESPI_NODISCARD;
int espi_parallel_finish(esp_context *ctx, struct espi_parallel *parallel) ESPI_NODISCARD;
/* Small sums, at once. */
int espi_parallel_sum(esp_context *ctx, struct espi_parallel *parallel, double *values, size_t count) ESPI_NODISCARD;
/* Rank 0's bytes for everybody. */
int espi_parallel_broadcast(esp_context *ctx, struct espi_parallel *parallel, void *data, size_t bytes) ESPI_NODISCARD;

#endif
