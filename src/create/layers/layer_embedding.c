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

void espi_embedding_forward(size_t tokens, size_t hidden, const int32_t *ids, const uint8_t *types, const float *word,
                            const float *position, const float *type, float *out)
{
    for (size_t t = 0; t < tokens; t++, position += hidden, out += hidden) {
        const float *row = word + (size_t)ids[t] * hidden; // (hidden)
        if (type)
            sum_three(hidden, row, type + (types ? types[t] : 0) * hidden, position, out);
        else
            sum_two(hidden, row, position, out);
    }
}
