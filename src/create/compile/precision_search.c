/* SPDX-License-Identifier: Apache-2.0 */
#include "create/compile/precision_search.h"

#include "base/clock.h"
#include "base/memory.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct search {
    const struct espi_search_options *options;
    const struct espi_search_trials *trials;
    struct espi_search_report *report;
    size_t linears;
    double begin;
    size_t *order;              // (linears) the most sensitive first
    enum espi_precision *trial; // (linears)
    enum espi_precision *best;  // (linears) the caller's
    double best_metric;
};

static bool in_time(const struct search *s)
{
    bool left = s->options->seconds <= 0 || espi_clock() - s->begin < s->options->seconds;
    s->report->out_of_time |= !left;
    return left;
}

static bool good(const struct search *s, double metric)
{
    return metric >= s->options->reference - s->options->max_drop * fabs(s->options->reference);
}

static size_t count_fallen(const struct search *s, const enum espi_precision *precisions)
{
    size_t fallen = 0;
    for (size_t i = 0; i < s->linears; i++)
        fallen += precisions[i] != ESPI_INT8;
    return fallen;
}

/* Is a trial better than the best so far: good before not good; then fewer layers, or a higher metric. */
static bool is_better(const struct search *s, double metric, size_t fallen)
{
    bool now = good(s, metric), before = good(s, s->best_metric);
    if (now != before)
        return now;
    size_t best_fallen = count_fallen(s, s->best);
    if (now && fallen != best_fallen)
        return fallen < best_fallen;
    return metric > s->best_metric;
}

/* The metric of s->trial; keeps it when it is the best. */
static int try_metric(esp_context *ctx, struct search *s, bool *met)
{
    double metric;
    size_t fallen = count_fallen(s, s->trial);
    int status = s->trials->metric(s->trials->argument, ctx, s->trial, &metric);
    if (status)
        return status;
    s->report->metrics++;
    *met = good(s, metric);
    espi_log(ctx, ESP_LOG_INFO, "%zu of %zu linear layers in higher precision: %.6g, %+.2f %% of fp32's %.6g%s", fallen,
             s->linears, metric, 100 * (metric - s->options->reference) / fabs(s->options->reference),
             s->options->reference, *met ? "" : ": not enough");
    if (is_better(s, metric, fallen)) {
        s->best_metric = metric;
        memcpy(s->best, s->trial, s->linears * sizeof *s->best);
    }
    return ESP_OK;
}

/* ---- sensitivity ----------------------------------------------------------------------------------------------------- */

static int find_gains(esp_context *ctx, struct search *s)
{
    double all, one;
    for (size_t i = 0; i < s->linears; i++)
        s->trial[i] = ESPI_INT8;
    int status = s->trials->error(s->trials->argument, ctx, s->trial, &all);
    for (size_t i = 0; !status && i < s->linears && in_time(s); i++) {
        s->trial[i] = s->options->fallback;
        status = s->trials->error(s->trials->argument, ctx, s->trial, &one);
        s->trial[i] = ESPI_INT8;
        s->report->gains[i] = all > 0 ? 1 - one / all : 0;
        s->report->errors++;
    }
    return status;
}

/* Insertion sort: the earlier layer first among equals. */
static void sort_by_gain(struct search *s)
{
    for (size_t i = 0; i < s->linears; i++) {
        size_t at = i;
        for (; at > 0 && s->report->gains[s->order[at - 1]] < s->report->gains[i]; at--)
            s->order[at] = s->order[at - 1];
        s->order[at] = i;
    }
}

/* ---- the number of layers ---------------------------------------------------------------------------------------------- */

static int try_most_sensitive(esp_context *ctx, struct search *s, size_t count, bool *met)
{
    for (size_t i = 0; i < s->linears; i++)
        s->trial[s->order[i]] = i < count ? s->options->fallback : ESPI_INT8;
    return try_metric(ctx, s, met);
}

/* Doubles the number until it is enough, then halves the interval. */
static int find_count(esp_context *ctx, struct search *s)
{
    size_t enough = 0, low = 0; // low: known not to be enough
    int status = ESP_OK;
    for (size_t count = 1; !status && !enough && low < s->linears && in_time(s); count *= 2) {
        bool met;
        size_t number = count < s->linears ? count : s->linears;
        status = try_most_sensitive(ctx, s, number, &met);
        if (!status && met)
            enough = number;
        else
            low = number;
    }
    while (!status && enough > low + 1 && in_time(s)) {
        bool met;
        size_t middle = (low + enough) / 2;
        status = try_most_sensitive(ctx, s, middle, &met);
        if (!status && met)
            enough = middle;
        else
            low = middle;
    }
    return status;
}

/* Returns layers to int8 that turn out not to be needed. */
static int give_back(esp_context *ctx, struct search *s)
{
    int status = ESP_OK;
    for (size_t i = s->linears; !status && i-- > 0 && count_fallen(s, s->best) > 1 && in_time(s);) {
        bool met;
        if (s->best[s->order[i]] == ESPI_INT8)
            continue;
        memcpy(s->trial, s->best, s->linears * sizeof *s->trial);
        s->trial[s->order[i]] = ESPI_INT8;
        status = try_metric(ctx, s, &met); // keeps it when it is good
    }
    return status;
}

/* ---- all together ------------------------------------------------------------------------------------------------------ */

static int run(esp_context *ctx, struct search *s)
{
    bool met;
    s->best_metric = -DBL_MAX;
    int status = try_metric(ctx, s, &met); // int8 throughout
    if (status || met)
        return status;
    status = find_gains(ctx, s);
    if (status)
        return status;
    sort_by_gain(s);
    status = find_count(ctx, s);
    if (!status && good(s, s->best_metric))
        status = give_back(ctx, s);
    return status;
}

int espi_precision_search(esp_context *ctx, const struct espi_search_options *options,
                          const struct espi_search_trials *trials, size_t linears, enum espi_precision *precisions,
                          struct espi_search_report *report)
{
    struct search s = {.options = options,
                       .trials = trials,
                       .report = report,
                       .linears = linears,
                       .begin = espi_clock(),
                       .best = precisions};
    *report = (struct espi_search_report){.reference = options->reference};
    memset(precisions, 0, linears * sizeof *precisions);
    _Static_assert(ESPI_INT8 == 0, "zeros are int8");
    report->gains = espi_calloc(ctx, linears, sizeof *report->gains);
    s.order = espi_calloc(ctx, linears, sizeof *s.order);
    s.trial = espi_calloc(ctx, linears, sizeof *s.trial);
    int status = report->gains && s.order && s.trial ? run(ctx, &s) : ESP_ERR_MEMORY;
    report->metric = s.best_metric;
    report->met = good(&s, s.best_metric);
    report->fallen = count_fallen(&s, precisions);
    report->seconds = espi_clock() - s.begin;
    free(s.order);
    free(s.trial);
    if (status || !report->errors) { // failed, or nothing was measured
        free(report->gains);
        report->gains = NULL;
    }
    return status;
}
