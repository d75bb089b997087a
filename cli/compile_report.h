/* SPDX-License-Identifier: Apache-2.0
 * What espalier compile says of the file it has made. */
#ifndef ESPI_CLI_COMPILE_REPORT_H
#define ESPI_CLI_COMPILE_REPORT_H

#include "create/compile/compilation.h"

/* Prints it to stdout: one JSON object, or a table. */
int cli_compile_report_print(esp_context *ctx, const struct espi_compilation *how,
                             const struct espi_compilation_report *report, bool json) ESPI_NODISCARD;

#endif
