/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bench_cost.h"

#include "raw.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/size.h"
#include "run/cost.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_SEQUENCES = 16, LEAST_LENGTH = 4, LEAST_BATCHES = 20 };

static const double FIT_SECONDS = 1;

/* Batches as a server sees them: a few texts, most of them short. */
struct draw {
    struct espi_random random;
    struct cli_bench_batch batch; // of the most tokens; what is run is a part of it
    size_t longest;
};

static struct espi_cost_load draw_batch(struct draw *draw)
{
    struct espi_cost_load load = {0};
    size_t count = 1 + espi_random_below(&draw->random, MOST_SEQUENCES);
    double range = log((double)draw->longest / LEAST_LENGTH);
    while (load.sequences < count) {
        double length = LEAST_LENGTH * exp(range * (double)espi_random_uniform(&draw->random));
        size_t tokens = espi_size_min((size_t)length, draw->longest);
        if (load.sequences && load.tokens + tokens > ESPI_SESSION_CAPACITY)
            break;
        draw->batch.positions[load.sequences] = draw->batch.starts[load.sequences] = (uint32_t)load.tokens;
        espi_cost_add(&load, tokens);
        draw->batch.starts[load.sequences] = (uint32_t)load.tokens;
    }
    draw->batch.batch.sequences = draw->batch.wanted.position_count = load.sequences;
    draw->batch.batch.tokens = load.tokens;
    return load;
}

static int run_batches(esp_context *ctx, struct espi_engine *engine, struct draw *draw, double seconds,
                       struct espi_cost *cost, size_t *batches)
{
    int status = ESP_OK;
    double end = espi_clock() + seconds;
    for (*batches = 0; !status && (*batches < LEAST_BATCHES || espi_clock() < end); ++*batches) {
        struct espi_cost_load load = draw_batch(draw);
        double begin = espi_clock();
        status = engine->run(engine, ctx, &draw->batch.batch, &draw->batch.wanted);
        espi_cost_learn(cost, &load, espi_clock() - begin);
    }
    return status;
}

static void put_cost(struct espi_json_writer *w, const struct espi_cost *cost, size_t threads, size_t batches)
{
    espi_put_size(w, "threads", threads);
    espi_put_object(w, "ms");
    for (size_t i = 0; i < ESPI_COST_TERMS; i++)
        espi_put_number(w, espi_cost_term_names[i], 1e3 * cost->seconds[i]);
    espi_put_object_end(w);
    espi_put_size(w, "batches", batches);
    espi_put_number(w, "error_median", espi_cost_error(cost, 0.5));
    espi_put_number(w, "error_p99", espi_cost_error(cost, 0.99));
    espi_put_number(w, "pace", cost->pace);
}

int cli_bench_cost(esp_context *ctx, const struct espi_any_model *model, size_t threads, double seconds,
                   struct espi_json_writer *report)
{
    const struct espi_config *config = espi_any_model_config(model);
    size_t longest = espi_size_min(config->max_positions, ESPI_SESSION_CAPACITY);
    struct cli_bench_shape most = {.batch = MOST_SEQUENCES, .length = longest};
    struct draw draw = {.random = {.seed = 2}, .longest = espi_size_max(longest, LEAST_LENGTH)};
    struct espi_team *team = NULL;
    struct espi_engine *engine = NULL;
    struct espi_cost cost;
    size_t batches = 0;
    int status = cli_bench_batch_make(ctx, config, &most, &draw.batch);
    if (!status)
        status = espi_team_new(ctx, threads, &team);
    if (!status)
        status = espi_any_model_engine(ctx, model, team, &engine);
    if (!status)
        status = espi_cost_fit(ctx, engine, draw.batch.wanted.result, ESPI_SESSION_CAPACITY, FIT_SECONDS, &cost);
    if (!status)
        status = run_batches(ctx, engine, &draw, seconds, &cost, &batches);
    if (!status)
        put_cost(report, &cost, threads, batches);
    if (engine)
        engine->free(engine);
    espi_team_free(team);
    cli_bench_batch_clear(&draw.batch);
    return status;
}

void cli_bench_print_cost(const json_t *report)
{
    const char *term;
    json_t *ms;
    printf("%lld threads\n%-12s %12s\n", (long long)json_integer_value(json_object_get(report, "threads")), "a batch's",
           "us each");
    json_object_foreach(json_object_get(report, "ms"), term, ms)
        printf("%-12s %12.4f\n", term, 1e3 * json_number_value(ms));
    printf("%lld ragged batches foretold within %.0f %% (median), %.0f %% (99 of 100)\n\n",
           (long long)json_integer_value(json_object_get(report, "batches")),
           100 * json_number_value(json_object_get(report, "error_median")),
           100 * json_number_value(json_object_get(report, "error_p99")));
    fflush(stdout);
}
