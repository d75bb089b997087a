/* SPDX-License-Identifier: Apache-2.0
 * bench --ops: where the time of a compiled model goes, op by op. */
#ifndef ESPI_CLI_BENCH_OPS_H
#define ESPI_CLI_BENCH_OPS_H

#include "bench/bench_model.h"

#include "base/json_writer.h"

/* Measures one instance of `shape` for at least `seconds` and puts members into `report`:
 * {"batch", "length", "threads", "runs", "median_ms", "thread_ms", "peaks": {kind: {"name", "g_per_s"}},
 *  "ops": [{"op", "precision", "kernel", "thread_ms", "share", "gops", "gbytes", "peak", "of_peak"}, …],
 *  "outside_products_and_attention"}:
 * thread_ms is the time of a run times the threads; that of the ops adds up to that of the whole, the last of them being
 * what is spent outside of them. gops counts what is multiplied (of sparse weights the blocks that are kept), gbytes what
 * is read and written; "of_peak" compares with the peak of the kind "peak" names, measured in turns with the runs. */
int cli_bench_ops(esp_context *ctx, const struct espi_any_model *model, const struct cli_bench_shape *shape,
                  double seconds, struct espi_json_writer *report);

void cli_bench_print_ops(const json_t *report);

#endif
