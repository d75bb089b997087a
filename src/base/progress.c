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

static void draw(FILE *stream, bool terminal, const esp_progress *p)
{
    double rate = p->seconds > 0 ? (double)(p->done - p->first) / p->seconds : 0;
    char time[32], total[32] = "", speed[32] = "";
    if (p->total)
        snprintf(total, sizeof total, "/%zu", p->total);
    if (rate > 0)
        snprintf(speed, sizeof speed, ", %.1f/s", rate);
    bool known = !p->last && p->total > p->done && rate > 0;
    format_time(time, known ? (double)(p->total - p->done) / rate : p->seconds);
    fprintf(stream, "%s%s: %zu%s %s%s, %s %s%s%s%s", terminal ? "\r\033[K" : "", p->label, p->done, total, p->unit,
            speed, known ? "left" : "took", time, *p->note ? ", " : "", p->note, terminal && !p->last ? "" : "\n");
    fflush(stream);
}

void espi_progress_draw(void *cookie, const esp_progress *progress)
{
    struct espi_progress_line *line = cookie;
    bool terminal = can_redraw(line->stream);
    if (progress->seconds < line->drawn) // another pass
        line->drawn = 0;
    if (!progress->last && progress->seconds - line->drawn < (terminal ? TERMINAL_INTERVAL : PLAIN_INTERVAL))
        return;
    line->drawn = progress->seconds;
    draw(line->stream, terminal, progress);
}

static void show(const struct espi_progress *progress, const char *note, bool last)
{
    const esp_progress now = {.label = progress->label,
                              .unit = progress->unit,
                              .note = note ? note : "",
                              .done = progress->done,
                              .total = progress->total,
                              .first = progress->first,
                              .seconds = espi_clock() - progress->started,
                              .last = last};
    progress->watch.show(progress->watch.cookie, &now);
}

void espi_progress_update(struct espi_progress *progress, size_t done, const char *note)
{
    progress->done = done;
    if (!progress->watch.show)
        return;
    if (!progress->begun) {
        progress->begun = true;
        progress->started = espi_clock();
        progress->first = done;
    }
    show(progress, note, false);
}

void espi_progress_end(struct espi_progress *progress, const char *note)
{
    if (progress->watch.show && progress->begun)
        show(progress, note, true);
}
