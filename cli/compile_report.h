/* SPDX-License-Identifier: Apache-2.0
 * What espalier compile says of the file it has made. */
#ifndef ESPI_CLI_COMPILE_REPORT_H
#define ESPI_CLI_COMPILE_REPORT_H

#include "espalier_create.h"

#include "base/status.h"

/* Prints it to stdout: one JSON object, or a table. */
int cli_compile_report_print(esp_context *ctx, const esp_compile_options *how, const esp_compile_report *report,
                             bool json) ESPI_NODISCARD;

#endif
