/* SPDX-License-Identifier: Apache-2.0
 * bench --cost: how the time of a batch comes about, and how well it is foretold. */
#ifndef ESPI_CLI_BENCH_COST_H
#define ESPI_CLI_BENCH_COST_H

#include "bench/bench_model.h"

#include "base/json_writer.h"

/* Fits the cost model (run/cost.h) in about a second, then runs random ragged batches for `seconds`, each foretold first.
 * Puts members into `report`: {"threads", "ms": {term: …}, "batches", "error_median", "error_p99", "pace"}: milliseconds of
 * one of each term (docs/results.md), and relative errors. */
int cli_bench_cost(esp_context *ctx, const struct espi_any_model *model, size_t threads, double seconds,
                   struct espi_json_writer *report);

void cli_bench_print_cost(const json_t *report);

#endif
