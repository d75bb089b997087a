/* SPDX-License-Identifier: Apache-2.0
 * The calls of espalier.h, each with a fault somewhere in it. */
#ifndef ESPI_FAULT_API_H
#define ESPI_FAULT_API_H

#include "fault_point.h"

/* Name of case i, or NULL behind the last. */
const char *fault_api_name(size_t i);
/* Opens what the case needs, in this process; the children then have it. */
void fault_api_prepare(size_t i, const char *models);
void fault_api_release(void);
/* A child for fault_try (cookie unused). Standard output: the status, the text of the error and what the call gave;
 * standard error: what the same call then gives without a fault. */
int fault_api_child(const void *cookie);

#endif
