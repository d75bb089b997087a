/* SPDX-License-Identifier: Apache-2.0
 * Progress of long work on stderr: one line redrawn on a terminal (not with TERM=dumb or NO_COLOR), a plain line every few seconds otherwise. */
#ifndef ESPI_BASE_PROGRESS_H
#define ESPI_BASE_PROGRESS_H

#include "base/status.h"

#include <stdio.h>

/* Zero-initialise with `.label`, `.unit`, `.total` (0: unknown) and `.stream` (NULL: silent). */
struct espi_progress {
    FILE *stream;
    const char *label; // "eval"
    const char *unit;  // "questions"
    size_t total;
    size_t done;
    size_t first;          // private: done at the first update, when the clock starts
    double started, drawn; // private
    bool terminal, begun;  // private
};

/* Shows rate and remaining time, both by what has been done since the first update, with `note` (may be NULL; for example
 * "loss 1.23") behind them. Cheap to call often. */
void espi_progress_update(struct espi_progress *progress, size_t done, const char *note);
/* Draws the final state and ends the line. */
void espi_progress_end(struct espi_progress *progress, const char *note);

#endif
