/* SPDX-License-Identifier: Apache-2.0
 * Migration of scales from activations to weights (Xiao et al., "SmoothQuant", 2023): a few channels of an activation that
 * are far larger than the others take the 8 bits of all. Channel j of a linear layer's input is divided by
 *     s[j] = max|x[j]|^alpha / max|w[j]|^(1 - alpha)
 * and column j of its weights multiplied by it. The function stays the same, and it costs nothing to run:
 *
 *   after a LayerNorm (query/key/value and the first feed-forward layer): the bytes are made by a factor a channel anyway.
 *      The LayerNorm's floats stay as they are, since the residual stream needs them.
 *   attention output: the rows of the value layer are divided; attention mixes tokens, not channels.
 *   second feed-forward layer: the rows of the first are divided where the activation is ReLU; GELU does not let a scale
 *      through. */
#ifndef ESPI_CREATE_SMOOTH_H
#define ESPI_CREATE_SMOOTH_H

#include "create/compile/calibrate_pass.h"
#include "model/checkpoint.h"

/* Where a LayerNorm stands before int8 weights. */
enum espi_smooth_point { ESPI_SMOOTH_QKV, ESPI_SMOOTH_FFN_IN, ESPI_SMOOTH_COUNT };

/* layer: see espi_config_stored. 1 / s of the layer's channels (hidden); 0: no weight reads the channel. NULL factors: NULL. */
static inline const float *espi_smooth_factors(const float *factors, size_t hidden, size_t layer,
                                               enum espi_smooth_point point)
{
    return factors ? factors + (layer * ESPI_SMOOTH_COUNT + point) * hidden : NULL;
}

/* Finds the factors on the batches, which run once through the fp32 network, and changes the checkpoint's value,
 * attention output and, with ReLU, feed-forward weights. *factors: (stored layers, ESPI_SMOOTH_COUNT, hidden), free(). alpha from
 * 0 (all that is uneven goes to the activations) to 1 (all to the weights). ESP_ERR_ARGUMENT: another alpha, no batches. */
int espi_smooth(esp_context *ctx, struct espi_checkpoint *checkpoint, const struct espi_batch *batches, size_t count,
                double alpha, const struct espi_calibrate_pass *pass, float **factors) ESPI_NODISCARD;

#endif
