/* SPDX-License-Identifier: Apache-2.0
 * Long work as whoever waits for it sees it: how far it is, and whether it shall go on. */
#ifndef ESPI_BASE_PROGRESS_H
#define ESPI_BASE_PROGRESS_H

#include "base/status.h"
#include "espalier_create.h"

#include <stdio.h>

/* An esp_watch without its reserved room. Called on the thread that asked for the work. Zeros: silent, and never stopped. */
struct espi_watch {
    void (*show)(void *cookie, const esp_progress *progress);
    bool (*stop)(void *cookie);
    void *cookie;
};

static inline struct espi_watch espi_watch_of(const esp_watch *watch)
{
    return (struct espi_watch){.show = watch->show, .stop = watch->stop, .cookie = watch->cookie};
}

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
    size_t first;   // private: done at the first update, when the clock starts
    double started; // private
    bool begun;     // private
};

/* Shows what has been done, with `note` (may be NULL; for example "loss 1.23"). Cheap to call often. */
void espi_progress_update(struct espi_progress *progress, size_t done, const char *note);
/* Shows the final state. */
void espi_progress_end(struct espi_progress *progress, const char *note);

/* Where progress is drawn: zero-initialise with the stream. */
struct espi_progress_line {
    FILE *stream;
    double drawn; // private: when, in the pass
};

/* A watch's `show` with such a line as cookie: rate and remaining time, both by what has been done since the pass began. One
 * line redrawn on a terminal (not with TERM=dumb or NO_COLOR), a plain line every few seconds otherwise. */
void espi_progress_draw(void *line, const esp_progress *progress);

#endif
