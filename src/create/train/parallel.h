/* SPDX-License-Identifier: Apache-2.0
 * Data parallel training over MPI: every rank takes a part of each step, gradients are summed over the ranks while
 * backward goes on. Built without MPI, or started without mpirun: one rank, and everything here does nothing.
 *
 * Sums are taken in the order of the ranks whatever the network does, so that a run with the same number of ranks has
 * the same bits. */
#ifndef ESPI_CREATE_PARALLEL_H
#define ESPI_CREATE_PARALLEL_H

#include "base/status.h"

/* Owner: the caller. Thread rule: the thread that made it. */
struct espi_parallel;

/* Under mpirun (its environment says so) starts MPI. ESP_ERR_UNSUPPORTED: mpirun, but built without MPI. */
int espi_parallel_new(esp_context *ctx, struct espi_parallel **out) ESPI_NODISCARD;
void espi_parallel_free(struct espi_parallel *parallel);          // ends MPI
size_t espi_parallel_rank(const struct espi_parallel *parallel);  // 0 for NULL
size_t espi_parallel_ranks(const struct espi_parallel *parallel); // 1 for NULL

/* Starts the sum over the ranks of values[0 … count); it goes on in the background until espi_parallel_finish, which
 * waits for all that were started. Every rank starts the same sums in the same order. */
int espi_parallel_start_sum(esp_context *ctx, struct espi_parallel *parallel, float *values,
                            size_t count) ESPI_NODISCARD;
int espi_parallel_finish(esp_context *ctx, struct espi_parallel *parallel) ESPI_NODISCARD;
/* Small sums, at once. */
int espi_parallel_sum(esp_context *ctx, struct espi_parallel *parallel, double *values, size_t count) ESPI_NODISCARD;
/* Rank 0's bytes for everybody. */
int espi_parallel_broadcast(esp_context *ctx, struct espi_parallel *parallel, void *data, size_t bytes) ESPI_NODISCARD;
/* The first failure of any rank for all: every rank calls it with its own status at the same places. */
int espi_parallel_agree(esp_context *ctx, struct espi_parallel *parallel, int status) ESPI_NODISCARD;

#endif
