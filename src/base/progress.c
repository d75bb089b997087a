/* SPDX-License-Identifier: Apache-2.0 */
#include "base/progress.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double TERMINAL_INTERVAL = 0.2, PLAIN_INTERVAL = 10.0;

/* A line can be redrawn where the terminal knows how, and its user has not asked for plain text. */
static bool can_redraw(FILE *stream)
{
    const char *terminal = getenv("TERM"), *plain = getenv("NO_COLOR");
    return isatty(fileno(stream)) == 1 && terminal && *terminal && strcmp(terminal, "dumb") != 0 && !(plain && *plain);
}

static void format_time(char text[32], double seconds)
{
    long s = (long)(seconds + 0.5);
    if (s >= 3600)
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
}

static void draw(struct espi_progress *p, double now, const char *note, bool final)
{
    double elapsed = now - p->started, rate = elapsed > 0 ? (double)(p->done - p->first) / elapsed : 0;
    char time[32], total[32] = "", speed[32] = "";
    if (p->total)
        snprintf(total, sizeof total, "/%zu", p->total);
    if (rate > 0)
        snprintf(speed, sizeof speed, ", %.1f/s", rate);
    bool known = !final && p->total > p->done && rate > 0;
    format_time(time, known ? (double)(p->total - p->done) / rate : elapsed);
    fprintf(p->stream, "%s%s: %zu%s %s%s, %s %s%s%s%s", p->terminal ? "\r\033[K" : "", p->label, p->done, total,
            p->unit, speed, known ? "left" : "took", time, note && *note ? ", " : "", note ? note : "",
            p->terminal && !final ? "" : "\n");
    fflush(p->stream);
    p->drawn = now;
}

void espi_progress_update(struct espi_progress *progress, size_t done, const char *note)
{
    progress->done = done;
    if (!progress->stream)
        return;
    double now = espi_clock();
    if (!progress->begun) {
        progress->begun = true;
        progress->terminal = can_redraw(progress->stream);
        progress->started = progress->drawn = now;
        progress->first = done;
    }
    if (now - progress->drawn >= (progress->terminal ? TERMINAL_INTERVAL : PLAIN_INTERVAL))
        draw(progress, now, note, false);
}

void espi_progress_end(struct espi_progress *progress, const char *note)
{
    if (progress->stream && progress->begun)
        draw(progress, espi_clock(), note, true);
}
