/* SPDX-License-Identifier: Apache-2.0
 * bench --kernels: every version of every op of kernels.inc that this CPU has, against the measured peaks of this core. */
#ifndef ESPI_CLI_BENCH_KERNELS_H
#define ESPI_CLI_BENCH_KERNELS_H

#include "base/memory.h"
#include "bench/bench_stop.h"
#include "kernels/peak.h"

/* {kind: {"name", "g_per_s"}} of this core now; cap: as ESPALIER_ISA says. */
void cli_put_peaks(struct espi_json_writer *w, const char *key, enum espi_isa cap);
/* kind: {"name", "g_per_s": rate} */
void cli_put_peak(struct espi_json_writer *w, const struct espi_peak *peak, enum espi_peak_kind kind, double rate);

struct cli_kernels {
    esp_context *ctx;
    struct espi_kernel_set set; // under the cap
    const char *only;
    double seconds;
    struct cli_bench_document *document; // NULL: print
    struct espi_arena memory;            // of the case at hand
    size_t timed;                        // cases so far
    int status;                          // once not ESP_OK nothing is timed any more
};

/* One thing to time. */
struct cli_kernel_case {
    const struct espi_kernel *kernel;
    const char *what;
    size_t rows, columns, tokens;
    double kept;              // of the weights
    double operations, bytes; // of a call; 0: not counted
    enum espi_peak_kind peak;
    void (*run)(void *argument);
    void *argument;
};

/* Whether the kernel is asked for and on this CPU. */
bool cli_kernels_wants(const struct cli_kernels *bench, const struct espi_kernel *kernel);
/* 64-byte aligned and zeroed until the case is over; NULL after setting the status. */
void *cli_kernels_alloc(struct cli_kernels *bench, size_t count, size_t size);
float *cli_kernels_normals(struct cli_kernels *bench, size_t count);
void cli_kernels_time(struct cli_kernels *bench, const struct cli_kernel_case *timed);

void cli_bench_products(struct cli_kernels *bench);
void cli_bench_panels(struct cli_kernels *bench);

#endif
