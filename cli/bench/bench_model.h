/* SPDX-License-Identifier: Apache-2.0
 * bench: a model end to end, on random token ids. */
#ifndef ESPI_CLI_BENCH_MODEL_H
#define ESPI_CLI_BENCH_MODEL_H

#include "create/open/any_model.h"

/* What is measured: `instances` engines at once on one model, each with `threads` threads and batches of `batch`
 * sequences of `length` tokens. */
struct cli_bench_shape {
    size_t batch, length, threads, instances;
};

struct cli_bench_result {
    size_t runs;                                    // of all instances
    double seconds;                                 // the longest an instance was measured
    double min, mean, median, p90, p99;             // seconds of a run
    double sequences_per_second, tokens_per_second; // of all instances together
    bool pinned;                                    // every instance had CPUs of its own
};

/* A batch of random ids and room for what the model computes of it. Zero-initialise; cli_bench_batch_clear releases. */
struct cli_bench_batch {
    struct espi_batch batch;
    struct espi_wanted wanted;
    uint32_t *starts, *positions;
    int32_t *ids;
};

/* The head's result is wanted; of a masked-LM head at one position of each sequence. ESP_ERR_LIMIT: too many tokens. */
int cli_bench_batch_make(esp_context *ctx, const struct espi_config *config, const struct cli_bench_shape *shape,
                         struct cli_bench_batch *out);
void cli_bench_batch_clear(struct cli_bench_batch *batch);

/* Warms up, then runs for at least `seconds` and five runs. More than one instance: each on CPUs of its own where there are
 * enough. */
int cli_bench_model(esp_context *ctx, const struct espi_any_model *model, const struct cli_bench_shape *shape,
                    double seconds, struct cli_bench_result *out);

/* The value below which the share `q` of `count` ascending values lies. */
double cli_bench_quantile(const double *sorted, size_t count, double q);
void cli_bench_sort(double *values, size_t count);

#endif
