/* SPDX-License-Identifier: Apache-2.0
 * Removal of whole attention heads and feed-forward neurons: a smaller model, exactly the old one with those heads and
 * neurons at zero. Every layer loses the same number of neurons (config.json has one intermediate size) and keeps at
 * least one head; removed heads are listed in config.json as `pruned_heads`, which transformers up to 4 prunes on
 * loading. */
#ifndef ESPI_CREATE_STRUCTURE_H
#define ESPI_CREATE_STRUCTURE_H

#include "model/checkpoint.h"

/* What heads and neurons are worth. Owner: the caller, zero-initialise; clear releases. */
struct espi_importance {
    double *heads;   // (layers, heads); of heads that are gone already: unused
    double *neurons; // (layers, intermediate)
    double *sums;    // (max(heads, intermediate)) scratch
};

/* Zeros. */
int espi_importance_new(esp_context *ctx, const struct espi_config *config, struct espi_importance *out) ESPI_NODISCARD;
void espi_importance_clear(struct espi_importance *importance);

/* From the weights alone, what one can pass on at most: |value rows| |output columns| of a head, |input row| |output
 * column| of a neuron (norms). */
void espi_importance_magnitude(const struct espi_checkpoint *checkpoint, struct espi_importance *importance);
/* Adds |Σ a ∂loss/∂a| over what a head or a neuron gives in a step (Michel et al., "Are sixteen heads really better than
 * one?", 2019; there of one example). That sum is Σ w ∂loss/∂w over its columns of the output layer.
 * gradients: (params.elements) */
void espi_importance_observe(const struct espi_checkpoint *checkpoint, const float *gradients,
                             struct espi_importance *importance);

struct espi_structure_options {
    double heads,
        neurons;  // to remove: below 1 a share (what stays of neurons is rounded up to a multiple of 4); else so
                  // many in each layer
    bool uniform; // as many heads in each layer; else layers compete for them, each layer's importance scaled to norm 1
};

/* Copies what stays into a new checkpoint. ESP_ERR_ARGUMENT names the option (--remove-heads, --remove-neurons): not a
 * whole number, or as many as a layer has. */
int espi_structure_remove(esp_context *ctx, const struct espi_checkpoint *from,
                          const struct espi_importance *importance, const struct espi_structure_options *options,
                          struct espi_checkpoint *out) ESPI_NODISCARD;

#endif
