/* SPDX-License-Identifier: Apache-2.0 */
#include "create/compile/precision_find.h"

#include "base/clock.h"
#include "create/network/network.h"
#include "run/session.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A compiled model in memory, ready to run. */
struct candidate {
    unsigned char *image;
    struct espi_esp_model model;
    struct espi_plan plan;
    struct espi_engine *engine;
};

struct search {
    const struct espi_precision_finding *finding;
    struct espi_compile_options how; // that of the finding, or without static ranges
    float **exact;                   // (examples->count) results of fp32
};

static void close_candidate(struct candidate *candidate)
{
    if (candidate->engine)
        candidate->engine->free(candidate->engine);
    espi_plan_clear(&candidate->plan);
    espi_esp_model_close(&candidate->model);
    free(candidate->image);
}

static int open_candidate(esp_context *ctx, const struct search *s, const enum espi_precision *precisions,
                          struct candidate *out)
{
    struct espi_compile_options how = s->how;
    size_t bytes;
    how.precisions = precisions;
    int status = espi_compile_image(ctx, s->finding->checkpoint, &how, &out->image, &bytes, NULL);
    if (!status)
        status = espi_esp_model_parse(ctx, "candidate", out->image, bytes, &out->model);
    if (!status)
        status = espi_plan_make(ctx, &out->model, &out->plan);
    if (!status)
        status = espi_session_new(ctx, &out->plan, s->finding->team, ESPI_SESSION_CAPACITY, &out->engine);
    return status;
}

/* ---- results on the examples ------------------------------------------------------------------------------------------- */

/* The last hidden state: what every result is made of. */
static struct espi_wanted wanted_of(float *out)
{
    return (struct espi_wanted){.result = ESPI_RESULT_HIDDEN, .out = out};
}

static size_t result_size(const struct search *s, size_t example)
{
    return s->finding->examples->batches[example].tokens * s->finding->checkpoint->config.hidden;
}

static int find_exact(esp_context *ctx, struct search *s, struct espi_engine *fp32)
{
    const struct espi_examples *examples = s->finding->examples;
    s->exact = espi_calloc(ctx, examples->count, sizeof *s->exact);
    int status = s->exact ? ESP_OK : ESP_ERR_MEMORY;
    for (size_t i = 0; !status && i < examples->count; i++) {
        s->exact[i] = espi_calloc(ctx, result_size(s, i), sizeof **s->exact);
        struct espi_wanted wanted = wanted_of(s->exact[i]);
        status = s->exact[i] ? fp32->run(fp32, ctx, &examples->batches[i], &wanted) : ESP_ERR_MEMORY;
    }
    return status;
}

static int add_error(esp_context *ctx, const struct search *s, struct espi_engine *engine, size_t example, double *sum)
{
    size_t size = result_size(s, example);
    float *result = espi_calloc(ctx, size, sizeof *result);
    struct espi_wanted wanted = wanted_of(result);
    int status = result ? engine->run(engine, ctx, &s->finding->examples->batches[example], &wanted) : ESP_ERR_MEMORY;
    for (size_t i = 0; !status && i < size; i++) {
        double difference = (double)result[i] - (double)s->exact[example][i];
        *sum += difference * difference;
    }
    free(result);
    return status;
}

static int trial_error(void *argument, esp_context *ctx, const enum espi_precision *precisions, double *error)
{
    const struct search *s = argument;
    struct candidate candidate = {0};
    double sum = 0, count = 0;
    int status = open_candidate(ctx, s, precisions, &candidate);
    for (size_t i = 0; !status && i < s->finding->examples->count; i++) {
        status = espi_watch_stops(&s->finding->metric.watch) ? espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted")
                                                             : add_error(ctx, s, candidate.engine, i, &sum);
        count += (double)result_size(s, i);
    }
    close_candidate(&candidate);
    *error = sum / count;
    return status;
}

/* ---- the metric -------------------------------------------------------------------------------------------------------- */

static int evaluate(esp_context *ctx, const struct search *s, struct espi_engine *engine, double *metric)
{
    struct espi_evaluation evaluation = s->finding->metric;
    evaluation.engine = engine;
    json_t *report;
    int status = espi_evaluate(ctx, &evaluation, &report);
    if (!status)
        *metric = espi_report_main(report);
    json_decref(report);
    return status;
}

static int trial_metric(void *argument, esp_context *ctx, const enum espi_precision *precisions, double *metric)
{
    const struct search *s = argument;
    struct candidate candidate = {0};
    int status = open_candidate(ctx, s, precisions, &candidate);
    if (!status)
        status = evaluate(ctx, s, candidate.engine, metric);
    close_candidate(&candidate);
    return status;
}

static int find_reference(esp_context *ctx, struct search *s, double *reference)
{
    struct espi_engine *fp32;
    const struct espi_checkpoint *checkpoint = s->finding->checkpoint;
    int status = espi_network_engine_new(ctx, &checkpoint->config, &checkpoint->params, s->finding->team, &fp32);
    if (status)
        return status;
    status = evaluate(ctx, s, fp32, reference);
    if (!status)
        status = find_exact(ctx, s, fp32);
    fp32->free(fp32);
    return status;
}

/* The search with the seconds that are left. */
static int find(esp_context *ctx, struct search *s, double reference, double begin, enum espi_precision *precisions,
                struct espi_search_report *report)
{
    const struct espi_search_trials trials = {.argument = s, .error = trial_error, .metric = trial_metric};
    const struct espi_config *config = &s->finding->checkpoint->config;
    struct espi_search_options search = s->finding->search;
    search.reference = reference;
    if (search.seconds > 0) // int8 throughout is tried in any case
        search.seconds = fmax(search.seconds - (espi_clock() - begin), DBL_MIN);
    return espi_precision_search(ctx, &search, &trials, espi_config_stored_layers(config) * ESPI_LINEAR_COUNT,
                                 precisions, report);
}

static bool is_better(const struct espi_search_report *a, const struct espi_search_report *b)
{
    if (a->met != b->met)
        return a->met;
    return a->met && a->fallen != b->fallen ? a->fallen < b->fallen : a->metric > b->metric;
}

/* The same without static ranges; takes the place of what was found when it is better: *per_token. */
static int find_per_token(esp_context *ctx, struct search *s, double begin, enum espi_precision *precisions,
                          bool *per_token, struct espi_search_report *report)
{
    struct espi_search_report other;
    size_t linears = espi_config_stored_layers(&s->finding->checkpoint->config) * ESPI_LINEAR_COUNT;
    enum espi_precision *found = espi_calloc(ctx, linears, sizeof *found);
    if (!found)
        return ESP_ERR_MEMORY;
    s->how.points = NULL;
    espi_log(ctx, ESP_LOG_INFO, "now with a range per token instead of static ones");
    int status = find(ctx, s, report->reference, begin, found, &other);
    *per_token = !status && is_better(&other, report);
    struct espi_search_report *kept = *per_token ? &other : report, *lost = *per_token ? report : &other;
    kept->metrics += lost->metrics;
    kept->errors += lost->errors;
    kept->seconds += lost->seconds;
    kept->out_of_time |= lost->out_of_time;
    free(lost->gains);
    if (*per_token) {
        memcpy(precisions, found, linears * sizeof *found);
        *report = other;
    }
    free(found);
    return status;
}

int espi_precision_find(esp_context *ctx, const struct espi_precision_finding *finding, enum espi_precision *precisions,
                        bool *per_token, struct espi_search_report *report)
{
    struct search s = {.finding = finding, .how = *finding->how};
    double begin = espi_clock(), most = finding->search.seconds, reference;
    *report = (struct espi_search_report){0};
    *per_token = !s.how.points;
    int status = find_reference(ctx, &s, &reference);
    if (!status)
        status = find(ctx, &s, reference, begin, precisions, report);
    bool perfect = report->met && !report->fallen, late = most > 0 && espi_clock() - begin > most;
    if (!status && s.how.points && finding->may_per_token && !perfect && !late)
        status = find_per_token(ctx, &s, begin, precisions, per_token, report);
    for (size_t i = 0; s.exact && i < finding->examples->count; i++)
        free(s.exact[i]);
    free(s.exact);
    return status;
}
