/* SPDX-License-Identifier: Apache-2.0 */
#include "create/layers/layers.h"
#include "create/layers/products.h"

#include <math.h>

int espi_attention_forward(const struct espi_attention_shape *shape, size_t head, size_t first, size_t rows,
                           float *scratch)
{
    size_t hidden = shape->heads * shape->width, width = shape->width, tokens = shape->tokens;
    const float *query = shape->qkv + first * 3 * hidden + head * width; // (rows, width), stride 3 hidden
    const float *key = shape->qkv + hidden + head * width;               // (tokens, width), stride 3 hidden
    const float *value = key + hidden;                                   // (tokens, width), stride 3 hidden
    float *out = shape->out + first * hidden + head * width;             // (rows, width), stride hidden

    struct espi_matrix q = {.data = query, .stride = 3 * hidden};
    struct espi_matrix k = {.data = key, .stride = 3 * hidden, .transposed = true};
    int status = espi_multiply(rows, tokens, width, 1.0f / sqrtf((float)width), &q, &k, scratch, tokens);
    if (status)
        return status;
    espi_softmax_forward(rows, tokens, scratch);
    struct espi_matrix p = {.data = scratch, .stride = tokens};
    struct espi_matrix v = {.data = value, .stride = 3 * hidden};
    return espi_multiply(rows, width, tokens, 1.0f, &p, &v, out, hidden);
}
