/* SPDX-License-Identifier: Apache-2.0
 * What espalier compile says of the file it has made. */
#ifndef ESPI_CLI_COMPILE_REPORT_H
#define ESPI_CLI_COMPILE_REPORT_H

#include "create/compile/compile.h"
#include "create/compile/precision_search.h"

/* Owner: the caller, zero-initialise; clear releases. */
struct cli_compile_report {
    const char *path; // the file
    struct espi_compile_report file;
    bool trained;   // the activations have the ranges of quantization-aware training
    bool per_token; // none: a range per token
    double smooth;  // below 0: not smoothed
    bool searched;  // for the layers that stay in higher precision
    double reference;
    struct espi_search_report search;
};

/* Prints it to stdout: one JSON object, or a table. */
int cli_compile_report_print(esp_context *ctx, const struct cli_compile_report *report, bool json) ESPI_NODISCARD;
void cli_compile_report_clear(struct cli_compile_report *report);

#endif
