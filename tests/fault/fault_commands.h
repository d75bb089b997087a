/* SPDX-License-Identifier: Apache-2.0
 * The commands, each with a fault somewhere in it, and the small models and data they work on. */
#ifndef ESPI_FAULT_COMMANDS_H
#define ESPI_FAULT_COMMANDS_H

#include "fault_point.h"

enum { FAULT_ARGUMENTS = 32 };

struct fault_command {
    const char *name;
    const char *arguments; // in a directory beside "models"; parted by blanks
    const char *input;     // file of models that standard input comes from, or NULL
    bool lines;            // answers stand line by line, errors in their place
    bool every;            // point is tried in an ordinary run of the tests
    bool resumes;          // what a failed run leaves in out.partial is gone on from with --resume
};

/* Command i, or NULL behind the last. */
const struct fault_command *fault_command(size_t i);

/* Writes models and data into the working directory. */
void fault_fixture(void);

/* A child for fault_try; the cookie is a string like fault_command.arguments. */
int fault_command_child(const void *arguments);

#endif
