/* SPDX-License-Identifier: Apache-2.0 */
#include "create/compile/calibrate.h"

#include "create/compile/smooth.h"
#include "create/network/network.h"
#include "create/quantize/histogram.h"
#include "create/quantize/quantize.h"

#include <math.h>
#include <stdlib.h>

/* What was seen of the points; their histograms have bins in the second pass only. */
struct watch {
    struct espi_histogram (*ranges)[ESPI_POINT_COUNT]; // (layers)
    size_t hidden, sharing;                            // see espi_config_sharing
    const float *factors;                              // see espi_smooth, or NULL
    float *row;                                        // (hidden) of a smoothed activation
};

static void widen(struct espi_histogram *range, float low, float high)
{
    range->low = fminf(range->low, low);
    range->high = fmaxf(range->high, high);
}

/* Columns begin .. begin + count - 1 of x (tokens, columns). */
static void observe(struct espi_histogram *range, size_t tokens, size_t columns, size_t begin, size_t count,
                    const float *x)
{
    for (size_t t = 0; t < tokens; t++) {
        const float *row = x + t * columns + begin;
        if (range->bins) {
            espi_histogram_count(range, count, row);
            continue;
        }
        float low = row[0], high = row[0];
        bool finite = true; // comparisons pass over what is not a number
        for (size_t i = 0; i < count; i++) {
            finite &= isfinite(row[i]);
            low = row[i] < low ? row[i] : low;
            high = row[i] > high ? row[i] : high;
        }
        widen(range, low, finite ? high : INFINITY);
    }
}

/* Each channel of x (tokens, columns) by its factor. */
static void observe_smoothed(const struct watch *watch, struct espi_histogram *range, size_t tokens, size_t columns,
                             const float *factors, const float *x)
{
    for (size_t t = 0; t < tokens; t++) {
        for (size_t c = 0; c < columns; c++)
            watch->row[c] = x[t * columns + c] * factors[c];
        observe(range, 1, columns, 0, columns, watch->row);
    }
}

/* An activation filter that only looks. */
static int tap(void *argument, esp_context *ctx, size_t layer, enum espi_tap tap, const struct espi_batch *batch,
               size_t columns, bool train, const float *before, float *x)
{
    (void)ctx;
    (void)train;
    (void)before;
    static const enum espi_esp_point points[] = {
        [ESPI_TAP_INPUT] = ESPI_POINT_INPUT,
        [ESPI_TAP_QKV] = ESPI_POINT_QUERY,
        [ESPI_TAP_CONTEXT] = ESPI_POINT_CONTEXT,
        [ESPI_TAP_FFN_INPUT] = ESPI_POINT_FFN_INPUT,
        [ESPI_TAP_INTERMEDIATE] = ESPI_POINT_INTERMEDIATE,
    };
    const struct watch *watch = argument;
    struct espi_histogram *range = &watch->ranges[layer][points[tap]];
    size_t tokens = batch->tokens;
    if (watch->factors && (tap == ESPI_TAP_INPUT || tap == ESPI_TAP_FFN_INPUT)) {
        enum espi_smooth_point point = tap == ESPI_TAP_INPUT ? ESPI_SMOOTH_QKV : ESPI_SMOOTH_FFN_IN;
        observe_smoothed(watch, range, tokens, columns,
                         espi_smooth_factors(watch->factors, watch->hidden, layer / watch->sharing, point), x);
        return ESP_OK;
    }
    if (tap != ESPI_TAP_QKV) {
        observe(range, tokens, columns, 0, columns, x);
        return ESP_OK;
    }
    for (size_t part = 0; part < 3; part++) // query, key, value
        observe(range + part, tokens, columns, part * columns / 3, columns / 3, x);
    return ESP_OK;
}

static void narrow(struct espi_histogram *range, const struct espi_calibrate_options *options)
{
    switch (options->method) {
    case ESPI_CALIBRATE_MINMAX:
        break;
    case ESPI_CALIBRATE_PERCENTILE:
        espi_histogram_percentile(range, options->percentile);
        break;
    case ESPI_CALIBRATE_ENTROPY:
        espi_histogram_entropy(range);
        break;
    case ESPI_CALIBRATE_MSE:
        espi_histogram_mse(range);
        break;
    }
}

/* Second pass: the same examples once more, into histograms over the ranges of the first. */
static int narrow_ranges(esp_context *ctx, struct espi_engine *engine, const struct espi_batch *examples, size_t count,
                         const struct espi_calibrate_options *options,
                         struct espi_histogram (*ranges)[ESPI_POINT_COUNT])
{
    size_t all = engine->config->layers * ESPI_POINT_COUNT;
    uint32_t *bins = espi_calloc(ctx, all, ESPI_BINS * sizeof *bins);
    if (!bins)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < all; i++)
        ranges[i / ESPI_POINT_COUNT][i % ESPI_POINT_COUNT].bins = bins + i * ESPI_BINS;
    int status = espi_calibrate_run(ctx, engine, examples, count, "ranges, second pass", &options->pass);
    for (size_t i = 0; !status && i < all; i++)
        narrow(&ranges[i / ESPI_POINT_COUNT][i % ESPI_POINT_COUNT], options);
    free(bins);
    return status;
}

/* Before the second pass, whose bins divide what was found. */
static int check_ranges(esp_context *ctx, const struct espi_checkpoint *checkpoint,
                        struct espi_histogram (*ranges)[ESPI_POINT_COUNT])
{
    for (size_t layer = 0; layer < checkpoint->config.layers; layer++)
        for (size_t p = 0; p < ESPI_POINT_COUNT; p++) {
            const struct espi_histogram *range = &ranges[layer][p];
            double most = 100 * ESPI_STEP_HIGHEST; // whatever is added to either side
            if (!((double)range->low >= -most && (double)range->high <= most))
                return espi_fail(ctx, ESP_ERR_FORMAT,
                                 "%s: layer %zu: on these data its %s reaches from %g to %g%s, which cannot be rounded "
                                 "to 8 bits: the weights of this layer, or of one before it, are damaged or have "
                                 "diverged in training; take an earlier checkpoint",
                                 checkpoint->directory, layer, espi_esp_point_names[p], (double)range->low,
                                 (double)range->high, isinf(range->high) ? " or is not a number" : "");
        }
    return ESP_OK;
}

static int find_ranges(esp_context *ctx, const struct espi_checkpoint *checkpoint, const struct espi_batch *examples,
                       size_t count, const struct espi_calibrate_options *options, struct watch *watch)
{
    struct espi_engine *engine;
    int status = espi_network_engine_new(ctx, &checkpoint->config, &checkpoint->params, options->pass.team, &engine);
    if (status)
        return status;
    espi_network_set_activation_filter(espi_network_of(engine),
                                       &(struct espi_activation_filter){.argument = watch, .forward = tap});
    status = espi_calibrate_run(ctx, engine, examples, count, "ranges", &options->pass);
    if (!status)
        status = check_ranges(ctx, checkpoint, watch->ranges);
    if (!status && options->method != ESPI_CALIBRATE_MINMAX)
        status = narrow_ranges(ctx, engine, examples, count, options, watch->ranges);
    engine->free(engine);
    return status;
}

int espi_calibrate(esp_context *ctx, const struct espi_checkpoint *checkpoint, const struct espi_batch *examples,
                   size_t count, const struct espi_calibrate_options *options,
                   struct espi_scale (*points)[ESPI_POINT_COUNT])
{
    if (!count)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "calibration: there are no examples");
    if (options->method == ESPI_CALIBRATE_PERCENTILE && !(options->percentile > 50 && options->percentile <= 100))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "calibration: expected a percentile above 50, at most 100, found %g",
                         options->percentile);
    const struct espi_config *config = &checkpoint->config;
    struct watch watch = {
        .hidden = config->hidden, .sharing = espi_config_sharing(config), .factors = options->factors};
    watch.ranges = espi_calloc(ctx, config->layers, sizeof *watch.ranges); // 0 is in every range
    watch.row = espi_calloc(ctx, config->hidden, sizeof *watch.row);
    int status =
        watch.ranges && watch.row ? find_ranges(ctx, checkpoint, examples, count, options, &watch) : ESP_ERR_MEMORY;
    for (size_t layer = 0; !status && layer < config->layers; layer++)
        for (size_t p = 0; p < ESPI_POINT_COUNT; p++) {
            struct espi_histogram *range = &watch.ranges[layer][p];
            if (p == ESPI_POINT_INTERMEDIATE) // an activation's table takes zero points up to 127
                range->high = fmaxf(range->high, -1.1f * range->low);
            bool symmetric = p == ESPI_POINT_QUERY || p == ESPI_POINT_KEY || p == ESPI_POINT_VALUE;
            points[layer][p] = symmetric ? espi_scale_symmetric(range->low, range->high)
                                         : espi_scale_asymmetric(range->low, range->high);
        }
    free(watch.ranges);
    free(watch.row);
    return status;
}
