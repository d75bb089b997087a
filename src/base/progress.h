/* SPDX-License-Identifier: Apache-2.0
 * Long work as whoever waits for it sees it: how far it is, and whether it shall go on. */
#ifndef ESPI_BASE_PROGRESS_H
#define ESPI_BASE_PROGRESS_H

#include "base/status.h"

#include <stdio.h>

struct espi_progress;

/* Called on the thread that asked for the work. Zeros: silent, and never stopped. */
struct espi_watch {
    /* Often; `note` may be NULL, `last`: the work has ended. NULL: silent. */
    void (*show)(void *cookie, struct espi_progress *progress, const char *note, bool last);
    bool (*stop)(void *cookie); // asked often; true: the work ends with ESP_ERR_CANCELLED. NULL: it goes on
    void *cookie;
};

static inline bool espi_watch_stops(const struct espi_watch *watch)
{
    return watch->stop && watch->stop(watch->cookie);
}

/* Zero-initialise with `.label`, `.unit`, `.total` (0: unknown) and `.watch`. */
struct espi_progress {
    struct espi_watch watch;
    const char *label; // "eval"
    const char *unit;  // "questions"
    size_t total;
    size_t done;
    size_t first;          // private: done at the first update, when the clock starts
    double started, drawn; // private
    bool begun;            // private
};

/* Shows rate and remaining time, both by what has been done since the first update, with `note` (may be NULL; for example
 * "loss 1.23") behind them. Cheap to call often. */
void espi_progress_update(struct espi_progress *progress, size_t done, const char *note);
/* Shows the final state. */
void espi_progress_end(struct espi_progress *progress, const char *note);

/* A watch's `show` with a FILE as cookie: one line redrawn on a terminal (not with TERM=dumb or NO_COLOR), a plain line every
 * few seconds otherwise. */
void espi_progress_draw(void *stream, struct espi_progress *progress, const char *note, bool last);

#endif
