/* SPDX-License-Identifier: Apache-2.0 */
#include "run/cost.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "kernels/kernel.h"

#include <math.h>
#include <stdlib.h>

enum {
    HALF_PANEL = ESPI_PANEL_TOKENS / 2,
    MOST_RUNS = 5, // of a shape; the median counts
    SWEEPS = 20000,
};

static const double SHORTEST = 1e-9; // of a run, whatever the clock says
static const double FOLLOW = 0.05;   // how much of a new pace is believed: some twenty batches make it known

const char *const espi_cost_term_names[ESPI_COST_TERMS] = {
    "parts", "panels", "half_tail", "tail", "tokens", "sequences", "squares",
};

void espi_cost_add(struct espi_cost_load *load, size_t length)
{
    load->sequences++;
    load->tokens += length;
    load->squares += (double)length * (double)length;
}

static void count_terms(const struct espi_cost_load *load, size_t capacity, double terms[ESPI_COST_TERMS])
{
    size_t tail = load->tokens % ESPI_PANEL_TOKENS;
    terms[ESPI_COST_PARTS] = load->tokens ? (double)((load->tokens - 1) / capacity + 1) : 0;
    terms[ESPI_COST_PANELS] = (double)(load->tokens / ESPI_PANEL_TOKENS);
    terms[ESPI_COST_HALF_TAIL] = tail > 0 && tail <= HALF_PANEL;
    terms[ESPI_COST_TAIL] = tail > HALF_PANEL;
    terms[ESPI_COST_TOKENS] = (double)load->tokens;
    terms[ESPI_COST_SEQUENCES] = (double)load->sequences;
    terms[ESPI_COST_SQUARES] = load->squares;
}

/* Seconds at the pace of the fit. */
static double fitted(const struct espi_cost *cost, const struct espi_cost_load *load)
{
    double terms[ESPI_COST_TERMS], seconds = 0;
    if (!cost->capacity)
        return 0;
    count_terms(load, cost->capacity, terms);
    for (size_t i = 0; i < ESPI_COST_TERMS; i++)
        seconds += cost->seconds[i] * terms[i];
    return seconds;
}

double espi_cost_seconds(const struct espi_cost *cost, const struct espi_cost_load *load)
{
    return fitted(cost, load) * cost->pace;
}

/* ---- the fit ----------------------------------------------------------------------------------------------------- */

/* Alone, together, and filling parts; from cheap to dear. */
static const struct shape {
    uint16_t sequences, length;
} shapes[] = {
    {1, 8},   {1, 16},  {1, 32},  {4, 8},   {1, 48}, {1, 64}, {4, 16},  {16, 4},  {1, 96},  {2, 48},
    {1, 128}, {8, 16},  {4, 32},  {3, 64},  {6, 40}, {2, 96}, {1, 192}, {1, 256}, {2, 128}, {16, 16},
    {1, 384}, {4, 128}, {16, 32}, {1, 512}, {8, 64}, {8, 96}, {2, 384}, {8, 128},
};

enum {
    SHAPES = sizeof shapes / sizeof *shapes,
    LEAST_SHAPES = ESPI_COST_TERMS,
    MOST_SEQUENCES = 16,
    MOST_TOKENS = 1024
};

struct timed {
    struct espi_cost_load loads[SHAPES];
    double seconds[SHAPES];
    size_t count;
};

/* Random ids, and what is wanted of them. */
struct trial {
    int32_t ids[MOST_TOKENS];
    uint32_t starts[MOST_SEQUENCES + 1];
    float *out;
    size_t out_capacity;
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median time of a shape, of five runs or of one where five take more than a tenth of the budget. */
static int time_shape(esp_context *ctx, struct espi_engine *engine, enum espi_result result, const struct shape *shape,
                      double budget, struct trial *trial, double *seconds)
{
    for (size_t i = 0; i <= shape->sequences; i++)
        trial->starts[i] = (uint32_t)(i * shape->length);
    struct espi_batch batch = {.sequences = shape->sequences,
                               .tokens = trial->starts[shape->sequences],
                               .starts = trial->starts,
                               .ids = trial->ids};
    struct espi_wanted wanted = {.result = result, .positions = trial->starts, .position_count = shape->sequences};
    size_t floats = espi_result_size(engine->config, &batch, &wanted), runs = 0;
    int status = espi_grow(ctx, &trial->out, &trial->out_capacity, floats, sizeof(float));
    wanted.out = trial->out;
    double times[MOST_RUNS], first = 0;
    if (!status) {
        double begin = espi_clock();
        status = engine->run(engine, ctx, &batch, &wanted); // warms up
        first = espi_clock() - begin;
    }
    for (; !status && runs < MOST_RUNS && (!runs || first < budget / 10 / MOST_RUNS); runs++) {
        double begin = espi_clock();
        status = engine->run(engine, ctx, &batch, &wanted);
        times[runs] = espi_clock() - begin;
    }
    if (status)
        return status;
    qsort(times, runs, sizeof *times, ascending);
    *seconds = times[runs / 2];
    return ESP_OK;
}

static int time_shapes(esp_context *ctx, struct espi_engine *engine, enum espi_result result, double budget,
                       struct trial *trial, struct timed *timed)
{
    double end = espi_clock() + budget;
    int status = ESP_OK;
    for (size_t i = 0; i < SHAPES && !status && (i < LEAST_SHAPES || espi_clock() < end); i++) {
        const struct shape *shape = &shapes[i];
        if (shape->length > engine->config->max_positions)
            continue;
        struct espi_cost_load load = {0};
        for (size_t s = 0; s < shape->sequences; s++)
            espi_cost_add(&load, shape->length);
        timed->loads[timed->count] = load;
        status = time_shape(ctx, engine, result, shape, budget, trial, &timed->seconds[timed->count++]);
    }
    return status;
}

/* Least squares of relative errors with weights >= 0: one weight after another to its best value, many times. Terms that
 * grow alike (tokens, panels) converge slowly between each other, but what they predict together does not wait for that. */
void espi_cost_solve(const struct espi_cost_load *loads, const double *seconds, size_t count, size_t capacity,
                     struct espi_cost *out)
{
    double products[ESPI_COST_TERMS][ESPI_COST_TERMS] = {0}, sums[ESPI_COST_TERMS] = {0}, terms[ESPI_COST_TERMS];
    *out = (struct espi_cost){.capacity = capacity, .pace = 1};
    double *weights = out->seconds;
    for (size_t r = 0; r < count; r++) {
        count_terms(&loads[r], capacity, terms);
        double weight = 1 / fmax(seconds[r], SHORTEST);
        for (size_t i = 0; i < ESPI_COST_TERMS; i++) {
            sums[i] += terms[i] * weight;
            for (size_t k = 0; k < ESPI_COST_TERMS; k++)
                products[i][k] += terms[i] * terms[k] * weight * weight;
        }
    }
    for (size_t sweep = 0; sweep < SWEEPS; sweep++)
        for (size_t i = 0; i < ESPI_COST_TERMS; i++) {
            double rest = sums[i];
            for (size_t k = 0; k < ESPI_COST_TERMS; k++)
                rest -= k == i ? 0 : products[i][k] * weights[k];
            weights[i] = products[i][i] > 0 ? fmax(rest / products[i][i], 0) : 0;
        }
}

int espi_cost_fit(esp_context *ctx, struct espi_engine *engine, enum espi_result result, size_t capacity, double budget,
                  struct espi_cost *out)
{
    struct timed timed = {0};
    *out = (struct espi_cost){0};
    struct trial *trial = espi_calloc(ctx, 1, sizeof *trial);
    if (!trial)
        return ESP_ERR_MEMORY;
    struct espi_random random = {.seed = 1};
    for (size_t i = 0; i < MOST_TOKENS; i++)
        trial->ids[i] = (int32_t)espi_random_below(&random, engine->config->vocab_size);
    int status = time_shapes(ctx, engine, result, budget, trial, &timed);
    if (!status)
        espi_cost_solve(timed.loads, timed.seconds, timed.count, capacity, out);
    free(trial->out);
    free(trial);
    return status;
}

/* ---- what comes later -------------------------------------------------------------------------------------------- */

void espi_cost_learn(struct espi_cost *cost, const struct espi_cost_load *load, double seconds)
{
    double expected = fitted(cost, load);
    if (expected <= 0 || seconds <= 0)
        return;
    double error = fabs(expected * cost->pace / seconds - 1);
    cost->errors[(size_t)fmin(ceil(100 * error), ESPI_COST_ERRORS - 1)]++;
    double step = fmin(fmax(seconds / expected / cost->pace, 0.5), 2); // one batch that was stopped says little
    cost->pace *= 1 + FOLLOW * (step - 1);
}

double espi_cost_error(const struct espi_cost *cost, double q)
{
    uint64_t count = 0, seen = 0;
    for (size_t i = 0; i < ESPI_COST_ERRORS; i++)
        count += cost->errors[i];
    for (size_t i = 0; i < ESPI_COST_ERRORS && count; i++)
        if ((double)(seen += cost->errors[i]) >= q * (double)count)
            return (double)i / 100;
    return 0;
}
