/* SPDX-License-Identifier: Apache-2.0 */
#include "create/compile/smooth.h"

#include "create/network/network.h"

#include <math.h>
#include <stdlib.h>

/* The largest magnitude of each channel. */
struct peaks {
    size_t hidden, intermediate;
    float *input, *context, *ffn_input; // (layers, hidden)
    float *inner;                       // (layers, intermediate)
};

/* ---- activations ------------------------------------------------------------------------------------------------------- */

static int peaks_new(esp_context *ctx, const struct espi_config *config, struct peaks *peaks)
{
    size_t hidden = config->layers * config->hidden, inner = config->layers * config->intermediate;
    *peaks = (struct peaks){.hidden = config->hidden, .intermediate = config->intermediate};
    peaks->input = espi_calloc(ctx, 3 * hidden + inner, sizeof *peaks->input);
    if (!peaks->input)
        return ESP_ERR_MEMORY;
    peaks->context = peaks->input + hidden;
    peaks->ffn_input = peaks->context + hidden;
    peaks->inner = peaks->ffn_input + hidden;
    return ESP_OK;
}

static float *peaks_at(const struct peaks *peaks, enum espi_tap tap, size_t layer)
{
    switch (tap) {
    case ESPI_TAP_INPUT:
        return peaks->input + layer * peaks->hidden;
    case ESPI_TAP_CONTEXT:
        return peaks->context + layer * peaks->hidden;
    case ESPI_TAP_FFN_INPUT:
        return peaks->ffn_input + layer * peaks->hidden;
    case ESPI_TAP_INTERMEDIATE:
        return peaks->inner + layer * peaks->intermediate;
    case ESPI_TAP_QKV:
        break;
    }
    return NULL;
}

/* An activation filter that only looks. */
static int note_peaks(void *argument, esp_context *ctx, size_t layer, enum espi_tap tap, const struct espi_batch *batch,
                      size_t columns, bool train, const float *before, float *x)
{
    (void)ctx;
    (void)train;
    (void)before;
    float *peaks = peaks_at(argument, tap, layer);
    for (size_t t = 0; peaks && t < batch->tokens; t++)
        for (size_t c = 0; c < columns; c++)
            peaks[c] = fmaxf(peaks[c], fabsf(x[t * columns + c]));
    return ESP_OK;
}

static int find_peaks(esp_context *ctx, const struct espi_checkpoint *checkpoint, const struct espi_batch *batches,
                      size_t count, const struct espi_calibrate_pass *pass, struct peaks *peaks)
{
    struct espi_engine *engine;
    int status = espi_network_engine_new(ctx, &checkpoint->config, &checkpoint->params, pass->team, &engine);
    if (status)
        return status;
    espi_network_set_activation_filter(espi_network_of(engine),
                                       &(struct espi_activation_filter){.argument = peaks, .forward = note_peaks});
    status = espi_calibrate_run(ctx, engine, batches, count, "smoothing", pass);
    engine->free(engine);
    return status;
}

/* ---- weights ----------------------------------------------------------------------------------------------------------- */

/* A matrix of a checkpoint, or several that stand one behind another, and its bias. */
struct matrix {
    float *weights, *bias; // (rows, columns), (rows)
    size_t rows, columns;
};

static struct matrix matrix_at(const struct espi_checkpoint *checkpoint, enum espi_role weight, enum espi_role bias,
                               size_t layer, size_t rows, size_t columns)
{
    return (struct matrix){.weights = espi_params_data(&checkpoint->params, weight, layer),
                           .bias = espi_params_data(&checkpoint->params, bias, layer),
                           .rows = rows,
                           .columns = columns};
}

static float column_peak(const struct matrix *m, size_t column)
{
    float most = 0;
    for (size_t row = 0; row < m->rows; row++)
        most = fmaxf(most, fabsf(m->weights[row * m->columns + column]));
    return most;
}

/* s; 1 where nothing is seen or read. Kept so that no product of it overflows or vanishes. */
static float scale_of(float activation, float weight, double alpha)
{
    if (!(activation > 0 && weight > 0))
        return 1;
    double scale = pow((double)activation, alpha) / pow((double)weight, 1 - alpha);
    return (float)fmin(fmax(scale, 0x1p-20), 0x1p20);
}

static void find_factors(const struct matrix *reader, const float *peaks, double alpha, float *factors)
{
    for (size_t c = 0; c < reader->columns; c++) {
        float weight = column_peak(reader, c);
        factors[c] = weight > 0 ? 1 / scale_of(peaks[c], weight, alpha) : 0;
    }
}

/* Divides the rows of the matrix that makes the channels, multiplies the columns of the one that reads them. */
static void migrate(const struct matrix *maker, const struct matrix *reader, const float *peaks, double alpha)
{
    for (size_t channel = 0; channel < reader->columns; channel++) {
        float scale = scale_of(peaks[channel], column_peak(reader, channel), alpha);
        for (size_t c = 0; c < maker->columns; c++)
            maker->weights[channel * maker->columns + c] /= scale;
        maker->bias[channel] /= scale;
        for (size_t row = 0; row < reader->rows; row++)
            reader->weights[row * reader->columns + channel] *= scale;
    }
}

/* What is seen in any of the layers that share their weights counts for the first. */
static void join_peaks(const struct peaks *peaks, size_t first, size_t sharing)
{
    for (size_t layer = first + 1; layer < first + sharing; layer++)
        for (enum espi_tap tap = ESPI_TAP_INPUT; tap <= ESPI_TAP_INTERMEDIATE; tap++) {
            float *to = peaks_at(peaks, tap, first), *from = peaks_at(peaks, tap, layer);
            size_t columns = tap == ESPI_TAP_INTERMEDIATE ? peaks->intermediate : peaks->hidden;
            for (size_t c = 0; to && c < columns; c++)
                to[c] = fmaxf(to[c], from[c]);
        }
}

/* `layer`: the first that has these weights. */
static void smooth_layer(struct espi_checkpoint *checkpoint, const struct peaks *peaks, size_t layer, double alpha,
                         float *factors)
{
    const struct espi_config *config = &checkpoint->config;
    size_t hidden = config->hidden, context = espi_config_context(config, layer), inner = config->intermediate;
    /* Query, key and value follow each other: one matrix. */
    struct matrix qkv = matrix_at(checkpoint, ESPI_QUERY_W, ESPI_QUERY_B, layer, 3 * context, hidden);
    struct matrix value = matrix_at(checkpoint, ESPI_VALUE_W, ESPI_VALUE_B, layer, context, hidden);
    struct matrix out = matrix_at(checkpoint, ESPI_ATTENTION_OUT_W, ESPI_ATTENTION_OUT_B, layer, hidden, context);
    struct matrix ffn_in = matrix_at(checkpoint, ESPI_FFN_IN_W, ESPI_FFN_IN_B, layer, inner, hidden);
    struct matrix ffn_out = matrix_at(checkpoint, ESPI_FFN_OUT_W, ESPI_FFN_OUT_B, layer, hidden, inner);
    migrate(&value, &out, peaks->context + layer * hidden, alpha);
    if (config->activation == ESPI_RELU)
        migrate(&ffn_in, &ffn_out, peaks->inner + layer * inner, alpha);
    /* The factors are the LayerNorm's that makes the channels: one that others read, too, has none for them. */
    bool own_norm = !config->block.shared_layers && !(layer == 0 && config->block.embedding);
    if (own_norm)
        find_factors(&qkv, peaks->input + layer * hidden, alpha, factors + ESPI_SMOOTH_QKV * hidden);
    for (size_t c = 0; !own_norm && c < hidden; c++)
        factors[ESPI_SMOOTH_QKV * hidden + c] = 1;
    find_factors(&ffn_in, peaks->ffn_input + layer * hidden, alpha, factors + ESPI_SMOOTH_FFN_IN * hidden);
}

int espi_smooth(esp_context *ctx, struct espi_checkpoint *checkpoint, const struct espi_batch *batches, size_t count,
                double alpha, const struct espi_calibrate_pass *pass, float **factors)
{
    const struct espi_config *config = &checkpoint->config;
    struct peaks peaks;
    *factors = NULL;
    if (!(alpha >= 0 && alpha <= 1))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "smoothing: expected an alpha from 0 to 1, found %g", alpha);
    if (!count)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "smoothing: there are no examples");
    int status = peaks_new(ctx, config, &peaks);
    if (!status)
        status = find_peaks(ctx, checkpoint, batches, count, pass, &peaks);
    if (!status) {
        *factors =
            espi_calloc(ctx, espi_config_stored_layers(config) * ESPI_SMOOTH_COUNT, config->hidden * sizeof **factors);
        status = *factors ? ESP_OK : ESP_ERR_MEMORY;
    }
    const size_t sharing = espi_config_sharing(config), size = ESPI_SMOOTH_COUNT * config->hidden;
    for (size_t layer = 0; !status && layer < config->layers; layer += sharing) {
        join_peaks(&peaks, layer, sharing);
        smooth_layer(checkpoint, &peaks, layer, alpha, *factors + espi_config_stored(config, layer) * size);
    }
    free(peaks.input);
    return status;
}
