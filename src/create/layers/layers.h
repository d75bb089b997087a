/* SPDX-License-Identifier: Apache-2.0
 * The layers of an encoder, straight line, one file each: x_forward and x_backward. Activations are tokens × features, row-major fp32.
 *
 * Every row's result depends on that row's input alone (attention and pooling: on that sequence's), bit for bit. */
#ifndef ESPI_CREATE_LAYERS_H
#define ESPI_CREATE_LAYERS_H

#include "model/batch.h"

/* y[i] = activation(x[i]); they do not overlap.
 * x: (rows, cols), stride x_stride; y: (rows, cols), stride y_stride */
void espi_activation_forward(enum espi_activation kind, size_t rows, size_t cols, const float *x, size_t x_stride,
                             float *y, size_t y_stride);

/* dx = dy activation'(x), x what the activation was applied to; dx may be dy.
 * x, dy, dx: (rows, cols), with a stride each */
void espi_activation_backward(enum espi_activation kind, size_t rows, size_t cols, const float *x, size_t x_stride,
                              const float *dy, size_t dy_stride, float *dx, size_t dx_stride);

/* out = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias by row (Ba et al., "Layer normalization", 2016);
 * statistics gets mean and 1 / sqrt(variance + eps) of every row.
 * x, out (apart): (rows, hidden); weight, bias: (hidden); statistics: (rows, 2) */
void espi_layer_norm_forward(size_t rows, size_t hidden, float eps, const float *x, const float *weight,
                             const float *bias, float *out, float *statistics);

/* dx from dy, x and statistics as forward had them; adds to dweight and dbias row by row. dx may be dy.
 * x, dy, dx: (rows, hidden); statistics: (rows, 2); weight, dweight, dbias: (hidden) */
void espi_layer_norm_backward(size_t rows, size_t hidden, const float *x, const float *statistics, const float *weight,
                              const float *dy, float *dx, float *dweight, float *dbias);

/* out = word[id] + position[row] + type[type id] by token.
 * ids, types (NULL: all 0), rows: (tokens); word: (vocabulary, hidden); position: its table; type: (type_vocab, hidden),
 * NULL: the family has none; out: (tokens, hidden) */
void espi_embedding_forward(size_t tokens, size_t hidden, const int32_t *ids, const uint8_t *types,
                            const uint32_t *rows, const float *word, const float *position, const float *type,
                            float *out);

/* Adds d to the rows of the three tables that forward took, for columns [first, first + columns) of all of them, token by
 * token: callers who share the columns among threads get the same bits as one.
 * d: (tokens, hidden); rows: (tokens) of the position table; dword, dposition, dtype (NULL: none): as the tables */
void espi_embedding_backward(const struct espi_batch *batch, const uint32_t *rows, size_t hidden, size_t first,
                             size_t columns, const float *d, float *dword, float *dposition, float *dtype);

/* One vector for a sequence: its first token, the mean or the largest of its tokens; scaled to length 1 when
 * `normalize` (a vector of length 0 stays).
 * x: (tokens, hidden); out: (hidden) */
void espi_pooling_forward(enum espi_pooling kind, bool normalize, size_t tokens, size_t hidden, const float *x,
                          float *out);

/* Adds the gradient of forward's input to dx; among equals the largest is the first token.
 * x, dx: (tokens, hidden); dout, scratch: (hidden) */
void espi_pooling_backward(enum espi_pooling kind, bool normalize, size_t tokens, size_t hidden, const float *x,
                           const float *dout, float *scratch, float *dx);

#endif
