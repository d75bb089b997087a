/* SPDX-License-Identifier: Apache-2.0
 * Losses with their gradients. Each returns `scale` times the sum over its units (fp64, in a fixed order) and adds
 * `scale` times the gradient to `d`, so that parts of a step add up whichever way it is cut. */
#ifndef ESPI_CREATE_LOSS_H
#define ESPI_CREATE_LOSS_H

#include "base/status.h"

#include <stddef.h>

/* Logits of a choice among `count` classes that stand `stride` apart. */
struct espi_choice {
    const float *logits;
    float *d; // gradient, as the logits; NULL: only the loss
    size_t count, stride;
};

/* -log softmax(logits)[target], with label smoothing: the target gets 1 - smoothing + smoothing / count. */
double espi_loss_cross_entropy(const struct espi_choice *choice, size_t target, double smoothing, double scale);
/* temperature² KL(softmax(teacher / temperature) || softmax(logits / temperature)) (Hinton et al., 2015).
 * teacher: (count), stride as the logits */
double espi_loss_soft(const struct espi_choice *choice, const float *teacher, double temperature, double scale);
/* Mean over the labels of -[y log σ(x) + (1 - y) log(1 - σ(x))]; y: (count) */
double espi_loss_binary(const struct espi_choice *choice, const float *y, double scale);
/* Mean over the labels of temperature² KL(σ(teacher / temperature) || σ(x / temperature)) of their two outcomes.
 * teacher: (count), stride as the logits */
double espi_loss_soft_binary(const struct espi_choice *choice, const float *teacher, double temperature, double scale);

/* Mean over the elements of (x - y)²; d may be NULL. x, y, d: (count) */
double espi_loss_mse(size_t count, const float *x, const float *y, double scale, float *d);
/* 1 - cos(x, y). x, y, d: (count) */
double espi_loss_cosine(size_t count, const float *x, const float *y, double scale, float *d);

/* Sentence pairs: (cos(a, b) - y)² of one pair; a, b, da, db: (hidden) */
double espi_loss_similarity(size_t hidden, const float *a, const float *b, float y, double scale, float *da, float *db);
/* InfoNCE with the other pairs' seconds as negatives (Henderson et al., 2017; van den Oord et al., 2018): the cross
 * entropy of a_i among cos(a_i, b_j) / temperature over j. x, dx: (pairs, 2, hidden) */
int espi_loss_contrastive(esp_context *ctx, size_t pairs, size_t hidden, const float *x, double temperature,
                          double scale, float *dx, double *loss);

#endif
