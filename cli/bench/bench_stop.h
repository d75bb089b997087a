/* SPDX-License-Identifier: Apache-2.0
 * bench: ending by a signal. A run in progress cannot be asked to stop and may take minutes, so a thread waits for the
 * signal, prints what has been measured so far and ends the program. */
#ifndef ESPI_CLI_BENCH_STOP_H
#define ESPI_CLI_BENCH_STOP_H

#include "base/json_writer.h"

/* What is printed: what has been put when it begins, and the rows that come by and by, at the end of its innermost array.
 * One by itself, for which nothing has been put, is printed as it is. Zero-initialise but for `json`. */
struct cli_bench_document {
    struct espi_json_writer json;
    size_t rows;
    bool print_empty; // also without rows
};

/* From here on the signals of cli_stop_signals print the document (NULL: nothing) and end the program with CLI_FAILED. Call
 * it once, before other threads are started: they leave the signals to this one. */
int cli_bench_stop_at_signals(esp_context *ctx, struct cli_bench_document *document) ESPI_NODISCARD;

/* Takes over the row. */
void cli_bench_append(struct cli_bench_document *document, struct espi_json_writer *row);

/* Prints the document to its end. From here on a signal changes nothing; once for a program. */
int cli_bench_print(esp_context *ctx, struct cli_bench_document *document) ESPI_NODISCARD;

#endif
