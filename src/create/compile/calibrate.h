/* SPDX-License-Identifier: Apache-2.0
 * Steps of the activations from example batches, which run through the fp32 network. */
#ifndef ESPI_CREATE_CALIBRATE_H
#define ESPI_CREATE_CALIBRATE_H

#include "create/compile/calibrate_pass.h"
#include "model/checkpoint.h"
#include "model/esp_model.h"

enum espi_calibration {
    ESPI_CALIBRATE_MINMAX,     // the whole range seen
    ESPI_CALIBRATE_PERCENTILE, // without the values beyond the percentile on either side
    ESPI_CALIBRATE_ENTROPY, // the range whose 8-bit histogram is closest to the values' (Kullback-Leibler divergence;
                            // Migacz, "8-bit inference with TensorRT", 2017, for ranges with two ends)
    ESPI_CALIBRATE_MSE,     // the range with the least squared error
};

struct espi_calibrate_options {
    enum espi_calibration method;
    double percentile;    // PERCENTILE: above 50, at most 100, for example 99.99
    const float *factors; // of espi_smooth, with which the inputs of linear layers become bytes; NULL: none
    struct espi_calibrate_pass pass;
};

/* Fills points (layers). The examples run once for MINMAX, else twice. ESP_ERR_ARGUMENT: no examples, or a percentile
 * that is none; other errors as the encoder's. */
int espi_calibrate(esp_context *ctx, const struct espi_checkpoint *checkpoint, const struct espi_batch *examples,
                   size_t count, const struct espi_calibrate_options *options,
                   struct espi_scale (*points)[ESPI_POINT_COUNT]) ESPI_NODISCARD;

#endif
