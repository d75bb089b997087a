/* SPDX-License-Identifier: Apache-2.0
 * Attention relations (Wang et al., "MiniLMv2: multi-head self-attention relation distillation", 2021): for x the
 * queries, keys or values of a sequence, cut into relation heads, KL(softmax(t t' / sqrt(width of t)) || softmax(x x' /
 * sqrt(width of x))) for t the teacher's. Only blocks of some queries of a relation are there at a time. */
#ifndef ESPI_CREATE_RELATION_H
#define ESPI_CREATE_RELATION_H

#include "create/layers/matmul.h"
#include "model/batch.h"

struct espi_relation {
    const struct espi_batch *batch;
    size_t heads; // of the relations: divides both widths
    size_t hidden, teacher_hidden;
    const float *qkv;     // (tokens, 3 hidden)
    const float *teacher; // (tokens, 3 teacher_hidden)
    double scale;
    float *d_qkv; // (tokens, 3 hidden), added to
};

/* Adds scale times the sum over sequences, relations, heads and tokens. In fp32 whatever the products' compute; the bits
 * depend on each sequence only, not on the number of threads. */
int espi_loss_relation(esp_context *ctx, struct espi_matmuls *matmuls, const struct espi_relation *relation,
                       double *loss) ESPI_NODISCARD;

#endif
