/* SPDX-License-Identifier: Apache-2.0 */
#include "base/simd.h"
#include "create/layers/layers.h"

ESPI_SIMD static void sum_two(size_t hidden, const float *restrict word, const float *restrict position,
                              float *restrict out)
{
    for (size_t i = 0; i < hidden; i++)
        out[i] = word[i] + position[i];
}

ESPI_SIMD static void sum_three(size_t hidden, const float *restrict word, const float *restrict type,
                                const float *restrict position, float *restrict out)
{
    for (size_t i = 0; i < hidden; i++)
        out[i] = word[i] + type[i] + position[i];
}

void espi_embedding_forward(size_t tokens, size_t hidden, const int32_t *ids, const uint8_t *types,
                            const uint32_t *rows, const float *word, const float *position, const float *type,
                            float *out)
{
    for (size_t t = 0; t < tokens; t++, out += hidden) {
        const float *row = word + (size_t)ids[t] * hidden, *place = position + rows[t] * hidden; // (hidden)
        if (type)
            sum_three(hidden, row, type + (types ? types[t] : 0) * hidden, place, out);
        else
            sum_two(hidden, row, place, out);
    }
}

ESPI_SIMD static void add_columns(size_t columns, const float *restrict d, float *restrict out)
{
    for (size_t i = 0; i < columns; i++)
        out[i] += d[i];
}

void espi_embedding_backward(const struct espi_batch *batch, const uint32_t *rows, size_t hidden, size_t first,
                             size_t columns, const float *d, float *dword, float *dposition, float *dtype)
{
    for (size_t t = 0; t < batch->tokens; t++) {
        const float *row = d + t * hidden + first; // (columns)
        add_columns(columns, row, dword + (size_t)batch->ids[t] * hidden + first);
        add_columns(columns, row, dposition + rows[t] * hidden + first);
        if (dtype)
            add_columns(columns, row, dtype + (batch->types ? batch->types[t] : 0) * hidden + first);
    }
}
