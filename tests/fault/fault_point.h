/* SPDX-License-Identifier: Apache-2.0
 * One trial: a child that does something with a fault armed, and everything that came of it. */
#ifndef ESPI_FAULT_POINT_H
#define ESPI_FAULT_POINT_H

#include "fault.h"

struct fault_text {
    char *text; // (bytes), zero-terminated
    size_t bytes, room;
};

/* Zero-initialise; fault_result_clear releases. */
struct fault_result {
    int code;                // exit code; negative: the signal that ended it
    struct fault fault;      // as it was at the end
    struct fault_text out;   // standard output
    struct fault_text error; // standard error
    struct fault_text files; // names and contents of what stands in the working directory
};

void fault_text_add(struct fault_text *text, const void *bytes, size_t count);
void fault_result_clear(struct fault_result *result);

/* Removes all that stands in the working directory. */
void fault_clear(void);

/* What a child does; its exit code. Standard output and error are kept. */
typedef int fault_child(const void *cookie);

/* Runs `child` with the n-th call of a kind failing (0: none), with standard input from a file (NULL: nothing). The working
 * directory holds what `keep` says ("": everything is removed before). Longer than `seconds` is a hang: code -SIGALRM. */
void fault_try(fault_child *child, const void *cookie, enum fault_kind kind, size_t at, const char *input, bool keep,
               unsigned seconds, struct fault_result *result);

#endif
