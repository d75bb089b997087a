/* SPDX-License-Identifier: Apache-2.0
 * cli_parse stands alone: the program that writes the manual pages (tools/pages) has another one, which is given the same tables. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cli_parse(const struct argp *argp, const char *command, int argc, char **argv, void *input)
{
    char name[64];
    snprintf(name, sizeof name, "espalier %s", command);
    argp_err_exit_status = CLI_USAGE;
    argv[0] = name;
    error_t error = argp_parse(argp, argc, argv, 0, NULL, input);
    argv[0] = (char *)(uintptr_t)command;
    if (error) {
        fprintf(stderr, "%s: %s\n", name, strerror(error));
        exit(CLI_FAILED);
    }
}
