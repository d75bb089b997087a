/* SPDX-License-Identifier: Apache-2.0
 * Whether what came of a fault is allowed: the right answer, or a clean error of the right kind. */
#ifndef ESPI_FAULT_JUDGE_H
#define ESPI_FAULT_JUDGE_H

#include "fault_commands.h"

enum fault_verdict {
    FAULT_RIGHT,   // the answer of the run without a fault
    FAULT_REFUSED, // an error that says what failed
    FAULT_ENDED,   // a foreign library ended the process when it got no memory
    FAULT_WRONG
};

/* `why` gets the reason of FAULT_WRONG. */
enum fault_verdict fault_judge_api(const struct fault_result *base, const struct fault_result *result, char *why,
                                   size_t bytes);
enum fault_verdict fault_judge_command(const struct fault_command *command, const struct fault_result *base,
                                       const struct fault_result *result, char *why, size_t bytes);

/* From a little before where b begins to differ from a. */
const char *fault_first_difference(const struct fault_text *a, const struct fault_text *b);

/* Overwrites what differs from run to run: times and rates. */
void fault_blank_times(struct fault_result *result);

#endif
