/* SPDX-License-Identifier: Apache-2.0
 * GELU as a table in the requantizing epilogue: f(x) = max(x, 0) - g(|x|) with g(x) = x * Φ(-x), a bump of at most 0.17
 * that is gone by |x| = 4. The straight part is exact to 2^-shift units of the output; only the bump is looked up. */
#ifndef ESPI_KERNELS_ACTIVATION_H
#define ESPI_KERNELS_ACTIVATION_H

#include "kernels/kernel.h"

enum espi_curve {
    ESPI_CURVE_GELU,      // x * Φ(x), "gelu"
    ESPI_CURVE_GELU_TANH, // its tanh approximation, "gelu_new", "gelu_pytorch_tanh"
    ESPI_CURVE_RELU,      // max(x, 0): no bump
};

/* For an output of (q - zero_point) * scale. Multiply the epilogue's scale and bias, which give x, by 2^shift / scale.
 * ESP_ERR_ARGUMENT: scale is not positive and finite, or zero_point is not in 0 .. 127 (a GELU's least value is -0.17, so
 * a calibrated zero point is far below that unless the output's range is). */
int espi_activation_gelu(esp_context *ctx, enum espi_curve kind, float scale, int zero_point,
                         struct espi_activation_table *activation) ESPI_NODISCARD;

/* The function for ESPI_EPILOGUE_F32_CURVE. Static storage. */
const struct espi_activation_curve *espi_activation_curve(enum espi_curve kind);

#endif
