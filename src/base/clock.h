/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ESPI_BASE_CLOCK_H
#define ESPI_BASE_CLOCK_H

/* Seconds of the monotonic clock. */
double espi_clock(void);

#endif
