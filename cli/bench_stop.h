/* SPDX-License-Identifier: Apache-2.0
 * bench: ending by a signal. A run in progress cannot be asked to stop and may take minutes, so a thread waits for the
 * signal, prints what has been measured so far and ends the program. */
#ifndef ESPI_CLI_BENCH_STOP_H
#define ESPI_CLI_BENCH_STOP_H

#include "base/status.h"

#include <jansson.h>

/* From here on the signals of cli_stop_signals print `document` as JSON (NULL: nothing; an empty array counts as nothing) and end the
 * program with CLI_FAILED. Call it once, before other threads are started: they leave the signals to this one. */
int cli_bench_stop_at_signals(esp_context *ctx, const json_t *document) ESPI_NODISCARD;

/* Changes to what `document` holds; takes over the row. */
void cli_bench_append(json_t *list, json_t *row);

/* Prints the document to its end, as above. From here on a signal changes nothing; once for a program. */
int cli_bench_print(esp_context *ctx, const json_t *document) ESPI_NODISCARD;

#endif
